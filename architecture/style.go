package architecture

import (
	"bytes"
	"fmt"
	"go/ast"
	"path"
	"regexp"
	"slices"
	"strings"
)

// maxLines bounds a file written by hand.
const maxLines = 800

// longFiles are the exemptions from maxLines, each with its reason.
var longFiles = map[string]string{}

const (
	reasonLong  = "a file is one idea that a reader can hold in mind: find the seam, or give an exemption with its reason in longFiles of architecture/style.go"
	reasonStale = "an exemption that nothing needs hides the next case: take it out of architecture/style.go"
	reasonDoc   = "a package's comment says what it is for, what it never does, and where to start reading"
	reasonSleep = "a test that sleeps is slow and still fails on a busy machine: wait for the event, or use testing/synctest or clock.Fake"
	reasonSkip  = "a skipped test says what was missing, or nobody knows that it did not run: t.Skip(\"why\") or t.Skipf"
	reasonMark  = "what is left to do is an issue, not a comment; what is in the tree is finished"
	reasonInit  = "everything is wired in node/ and visible there; an init function acts on whoever imports the package"
	reasonPath  = "a path or host that exists on one machine only breaks the tree on every other one: use a relative path, an argument or an environment variable"
)

// CheckStyle judges the Go files of every package. Generated files only count as files.
func CheckStyle(packages []*Package, long map[string]string) []Violation {
	var found []Violation
	needed := map[string]bool{}
	for _, p := range packages {
		found = append(found, checkDoc(p)...)
		for _, f := range p.Files {
			if f.Origin == Generated {
				continue
			}
			if n := f.Lines(); n > maxLines {
				needed[f.Path] = true
				if long[f.Path] == "" {
					found = append(found, Violation{f.Path, fmt.Sprintf("%d lines, at most %d", n, maxLines), reasonLong})
				}
			}
			found = append(found, checkFile(f)...)
		}
	}
	for file := range long {
		if !needed[file] {
			found = append(found, Violation{file, "exempt from the limit on lines without need", reasonStale})
		}
	}
	return found
}

func checkDoc(p *Package) []Violation {
	code := 0
	for _, f := range p.Files {
		if f.Test || f.Origin == Generated {
			continue
		}
		code++
		if f.AST.Doc != nil && len(strings.TrimSpace(f.AST.Doc.Text())) > 0 {
			return nil
		}
	}
	if code == 0 {
		return nil // generated, or tests only
	}
	return []Violation{{"./" + p.Path, "no package comment", reasonDoc}}
}

// checkFile looks at declarations, calls and comments.
func checkFile(f *File) []Violation {
	var found []Violation
	add := func(n ast.Node, what, reason string) {
		found = append(found, Violation{fmt.Sprintf("%s:%d", f.Path, f.line(n.Pos())), what, reason})
	}
	for _, d := range f.AST.Decls {
		if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
			add(fn, "an init function", reasonInit)
		}
	}
	for _, group := range f.AST.Comments {
		for _, c := range group.List {
			if mark := marks.FindString(c.Text); mark != "" {
				add(c, mark+" in a comment", reasonMark)
			}
		}
	}
	if !f.Test {
		return found
	}
	timeName := importName(f, "time")
	ast.Inspect(f.AST, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		selector, ok := call.Fun.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		x, isName := selector.X.(*ast.Ident)
		switch name := selector.Sel.Name; {
		case isName && timeName != "" && x.Name == timeName && name == "Sleep":
			add(call, "time.Sleep in a test", reasonSleep)
		case isName && len(call.Args) == 0 && (name == "Skip" || name == "SkipNow"):
			add(call, name+" without a message", reasonSkip)
		}
		return true
	})
	return found
}

// importName is the name by which a file knows a package of the standard library, "" if it does not import it.
func importName(f *File, importPath string) string {
	for _, spec := range f.AST.Imports {
		if spec.Path.Value == `"`+importPath+`"` {
			if spec.Name != nil {
				return spec.Name.Name
			}
			return path.Base(importPath)
		}
	}
	return ""
}

var (
	// marks are put together from pieces here and below, so that this file does not contain what it looks for.
	marks = regexp.MustCompile(`\b(TO` + `DO|FIX` + `ME)\b`)
	// machinePaths are absolute paths below folders that people work in.
	machinePaths = regexp.MustCompile(`(^|[\s"'=(:` + "`" + `])((/root|/home|/Users|/work|/workspace)/[A-Za-z0-9._-]|[A-Z]:\\Users\\)`)
	// registryHosts are package registries and mirrors; the user's own settings choose them.
	registryHosts = regexp.MustCompile(`\b(proxy\.golang` + `\.org|goproxy\.[a-z]+|registry\.npm` + `js\.org|registry\.npm` +
		`mirror\.com|deb\.deb` + `ian\.org|[a-z0-9-]+\.jfrog\.io|artifactory\.[a-z0-9.-]+)\b`)
)

// CheckText judges every tracked file, whatever its language. Lock files name registries by their nature; Go files'
// marks are CheckStyle's, which looks at comments only.
func CheckText(texts []Text) []Violation {
	var found []Violation
	for _, t := range texts {
		base := path.Base(t.Path)
		if slices.Contains([]string{"go.sum", "package-lock.json", "LICENSE"}, base) || bytes.IndexByte(t.Src, 0) >= 0 {
			continue
		}
		n := 0
		for line := range bytes.Lines(t.Src) {
			n++
			where := fmt.Sprintf("%s:%d", t.Path, n)
			if m := machinePaths.Find(line); m != nil {
				found = append(found, Violation{where, fmt.Sprintf("a path of one machine: %q", m), reasonPath})
			}
			if m := registryHosts.Find(line); m != nil {
				found = append(found, Violation{where, fmt.Sprintf("a registry's host: %q", m), reasonPath})
			}
			if m := marks.Find(line); m != nil && path.Ext(base) != ".go" {
				found = append(found, Violation{where, fmt.Sprintf("%s in the tree", m), reasonMark})
			}
		}
	}
	return found
}
