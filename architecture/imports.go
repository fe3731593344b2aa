package architecture

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// A Violation is one broken rule: where, what, and why the rule exists.
type Violation struct {
	Where  string // file, or file:line
	What   string
	Reason string
}

func (v Violation) String() string { return v.Where + ": " + v.What + "\n\twhy: " + v.Reason }

// CheckImports judges the imports of every package of the module against the table.
func CheckImports(module string, packages []*Package) []Violation {
	var found []Violation
	for _, p := range packages {
		from, ok := treeOf(p.Path)
		if !ok {
			where := "./" + p.Path
			found = append(found, Violation{where, "no folder of the table contains this package", reasonTable})
			continue
		}
		for _, f := range p.Files {
			if f.Test {
				continue // tests may assemble
			}
			for _, i := range f.Imports() {
				what, reason := judge(module, from, p.Path, i.Path)
				if what != "" {
					found = append(found, Violation{fmt.Sprintf("%s:%d", f.Path, i.Line), what, reason})
				}
			}
		}
	}
	return found
}

// treeOf returns the line of the table for a package.
func treeOf(p string) (best tree, ok bool) {
	for _, t := range table {
		if within(p, t.path) && len(t.path) > len(best.path) {
			best, ok = t, true
		}
	}
	return best, ok
}

// judge returns what is wrong with one import, or nothing.
func judge(module string, from tree, importer, imported string) (what, reason string) {
	pure := from.pure && !isSuite(importer)
	if !within(imported, module) {
		if pure {
			return judgeForeign(importer, imported)
		}
		return "", ""
	}
	target := strings.TrimPrefix(strings.TrimPrefix(imported, module), "/")
	to, ok := treeOf(target)
	if !ok {
		return fmt.Sprintf("imports %s, which no folder of the table contains", target), reasonTable
	}
	for _, e := range forbiddenEdges {
		if within(importer, e.from) && within(target, e.to) {
			return fmt.Sprintf("%s imports %s", importer, target), e.reason
		}
	}
	if isSuite(target) && !isSuite(importer) && from.rank != assemblyRank {
		return fmt.Sprintf("%s imports the test suite %s", importer, target), reasonSuite
	}
	if reason := judgeRank(from, to, importer, target); reason != "" {
		return fmt.Sprintf("%s (rank %d) imports %s (rank %d)", importer, from.rank, target, to.rank), reason
	}
	if pure && !to.pure {
		return fmt.Sprintf("%s is pure and imports %s, which is not", importer, target), reasonPureOwn
	}
	return "", ""
}

// judgeRank applies the ranks, and inside one tree the rules for its sub-packages.
func judgeRank(from, to tree, importer, target string) (reason string) {
	switch {
	case from.path == to.path:
		return judgeTree(from, importer, target)
	case to.rank < from.rank:
		return ""
	case to.rank == from.rank && from.rank == assemblyRank:
		return ""
	case to.rank == from.rank:
		return reasonSiblings
	case within(target, importer):
		return reasonAdapter
	default:
		return reasonDown
	}
}

func judgeTree(t tree, importer, target string) (reason string) {
	if t.free || within(importer, target) { // a sub-package knows its parents
		return ""
	}
	if owner, ok := ownerOfInternal(target); ok {
		if t.branches && owner == t.path && importer != t.path {
			return reasonBranches
		}
		return "" // who may reach it is the compiler's rule
	}
	switch {
	case within(target, importer):
		return reasonAdapter
	case t.branches:
		return reasonBranches
	case t.rank == assemblyRank:
		return ""
	default:
		return reasonCousins
	}
}

// ownerOfInternal returns the package that an internal package belongs to.
func ownerOfInternal(p string) (owner string, ok bool) {
	parts := strings.Split(p, "/")
	i := slices.Index(parts, "internal")
	if i < 0 {
		return "", false
	}
	return strings.Join(parts[:i], "/"), true
}

// isSuite tells whether a package is test machinery by its name: its parent's name and "test", such as cell/celltest.
func isSuite(p string) bool {
	parent := path.Base(path.Dir(p))
	return parent != "." && path.Base(p) == parent+"test"
}

// judgeForeign judges an import of a pure package from outside the module.
func judgeForeign(importer, imported string) (what, reason string) {
	if pureAnyway[imported] {
		return "", ""
	}
	for dir, gives := range impure {
		if within(imported, dir) {
			return fmt.Sprintf("%s is pure and imports %s: %s", importer, imported, gives), reasonPure
		}
	}
	if first, _, _ := strings.Cut(imported, "/"); !strings.Contains(first, ".") {
		return "", "" // the rest of the standard library
	}
	for m := range pureModules {
		if within(imported, m) {
			return "", ""
		}
	}
	return fmt.Sprintf("%s is pure and imports %s", importer, imported), reasonPureMod
}
