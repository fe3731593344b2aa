// Package architecture checks the shape of the repository: which package may import which, and the rules of style
// that a compiler or a linter can't see. It is for `make test`; nothing imports it and it never changes a file. Start
// reading at table.go, which is the house in one page; a violation's message says why its rule exists.
package architecture

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// A Package is one Go package of the module, with every file whatever its build tags.
type Package struct {
	Path  string // below the module, "" for the module's root
	Files []*File
}

// A File is one parsed Go file.
type File struct {
	Path   string // below the module's root, with slashes
	Src    []byte
	AST    *ast.File
	Fset   *token.FileSet
	Test   bool // name ends in _test.go
	Origin Origin
}

// Origin tells who writes a file.
type Origin int

// A file is written by hand, or carries the "Code generated … DO NOT EDIT." line.
const (
	ByHand Origin = iota
	Generated
)

// Parse reads one file from src. Name is its path below the module's root.
func Parse(name string, src []byte) (*File, error) {
	fset := token.NewFileSet()
	tree, err := parser.ParseFile(fset, name, src, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return nil, fmt.Errorf("parse %s: %w", name, err)
	}
	f := &File{Path: name, Src: src, AST: tree, Fset: fset, Test: strings.HasSuffix(name, "_test.go")}
	if ast.IsGenerated(tree) {
		f.Origin = Generated
	}
	return f, nil
}

// An Import is one import of a file: the path as written and its line.
type Import struct {
	Path string
	Line int
}

// Imports lists the file's imports in order.
func (f *File) Imports() []Import {
	var list []Import
	for _, spec := range f.AST.Imports {
		path, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			continue // the parser has accepted it: can't happen
		}
		list = append(list, Import{Path: path, Line: f.line(spec.Pos())})
	}
	return list
}

// Lines counts the file's lines.
func (f *File) Lines() int { return bytes.Count(f.Src, []byte("\n")) }

func (f *File) line(pos token.Pos) int { return f.Fset.Position(pos).Line }

// Load asks `go list` for the packages of the module at root and parses their files. It returns the module's path
// and the packages in order of path.
func Load(root string) (module string, packages []*Package, err error) {
	listed, err := list(root)
	if err != nil {
		return "", nil, err
	}
	for _, l := range listed {
		if l.Error != nil {
			return "", nil, fmt.Errorf("list %s: %s", l.ImportPath, l.Error.Err)
		}
		module = l.Module.Path
		p := &Package{Path: strings.TrimPrefix(strings.TrimPrefix(l.ImportPath, module), "/")}
		names := slices.Concat(l.GoFiles, l.CgoFiles, l.IgnoredGoFiles, l.TestGoFiles, l.XTestGoFiles)
		slices.Sort(names)
		for _, name := range names {
			src, err := os.ReadFile(filepath.Join(l.Dir, name))
			if err != nil {
				return "", nil, fmt.Errorf("read a file of %s: %w", l.ImportPath, err)
			}
			f, err := Parse(join(p.Path, name), src)
			if err != nil {
				return "", nil, err
			}
			p.Files = append(p.Files, f)
		}
		packages = append(packages, p)
	}
	return module, packages, nil
}

// listedPackage is what we use of `go list -json`.
type listedPackage struct {
	Dir, ImportPath                                              string
	GoFiles, CgoFiles, IgnoredGoFiles, TestGoFiles, XTestGoFiles []string
	Module                                                       struct{ Path string }
	Error                                                        *struct{ Err string }
}

func list(root string) ([]listedPackage, error) {
	var stderr bytes.Buffer
	cmd := exec.Command("go", "list", "-e",
		"-json=Dir,ImportPath,GoFiles,CgoFiles,IgnoredGoFiles,TestGoFiles,XTestGoFiles,Module,Error", "./...")
	cmd.Dir, cmd.Stderr = root, &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list in %s: %w\n%s", root, err, stderr.String())
	}
	var packages []listedPackage
	for decoder := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listedPackage
		switch err := decoder.Decode(&p); {
		case errors.Is(err, io.EOF):
			return packages, nil
		case err != nil:
			return nil, fmt.Errorf("decode the output of go list: %w", err)
		}
		packages = append(packages, p)
	}
}

// Text is a file of the repository that is not (only) Go: read as it is.
type Text struct {
	Path string // below the repository's root, with slashes
	Src  []byte
}

// Tracked reads every file that git tracks or would track at root, whoever owns the checkout. Symbolic links are left
// out.
func Tracked(root string) ([]Text, error) {
	cmd := exec.Command("git", "-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	cmd.Dir = root
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("git ls-files in %s: %w", root, err)
	}
	var texts []Text
	for _, name := range slices.Compact(strings.Split(strings.TrimRight(string(out), "\x00"), "\x00")) {
		path := filepath.Join(root, filepath.FromSlash(name))
		info, err := os.Lstat(path)
		if errors.Is(err, os.ErrNotExist) {
			continue // deleted, and not yet committed as deleted
		}
		if err != nil {
			return nil, fmt.Errorf("look at a tracked file: %w", err)
		}
		if !info.Mode().IsRegular() {
			continue
		}
		src, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("read a tracked file: %w", err)
		}
		texts = append(texts, Text{Path: name, Src: src})
	}
	return texts, nil
}

func join(dir, name string) string {
	if dir == "" {
		return name
	}
	return dir + "/" + name
}

// within tells whether path is dir or lies below it.
func within(path, dir string) bool { return path == dir || strings.HasPrefix(path, dir+"/") }
