package architecture

import (
	"fmt"
	"path"
	"strings"
	"testing"
)

const planted = "example.test/m"

// plant makes a package of one file that imports the given paths ("./x" is x of the module).
func plant(t *testing.T, file string, imports ...string) []*Package {
	t.Helper()
	var src strings.Builder
	fmt.Fprintf(&src, "// Package p is planted.\npackage p\n")
	for _, i := range imports {
		fmt.Fprintf(&src, "import _ %q\n", strings.Replace(i, "./", planted+"/", 1))
	}
	return plantSource(t, file, src.String())
}

func plantSource(t *testing.T, file, src string) []*Package {
	t.Helper()
	f, err := Parse(file, []byte(src))
	if err != nil {
		t.Fatal(err)
	}
	dir := path.Dir(file)
	if dir == "." {
		dir = ""
	}
	return []*Package{{Path: dir, Files: []*File{f}}}
}

// want compares the violations found with the one reason expected, "" for none.
func want(t *testing.T, found []Violation, reason string) {
	t.Helper()
	switch {
	case reason == "" && len(found) > 0:
		t.Errorf("allowed, but found: %v", found)
	case reason != "" && len(found) != 1:
		t.Errorf("found %d violations, want one with reason %q: %v", len(found), reason, found)
	case reason != "" && found[0].Reason != reason:
		t.Errorf("found reason %q, want %q", found[0].Reason, reason)
	case reason != "" && !strings.Contains(found[0].String(), reason):
		t.Errorf("the message does not give the reason: %s", found[0])
	}
}

func TestPlantedImports(t *testing.T) {
	for _, c := range []struct {
		file, imports string
		reason        string
	}{
		// Ranks.
		{"api/a.go", "./cell", ""},
		{"cmd/sterling/a.go", "./node", ""},
		{"cell/a.go", "./api", reasonDown},
		{"money/a.go", "./journal", reasonDown},
		{"api/a.go", "./node", reasonDown},
		{"sim/a.go", "./node", reasonDown},
		{"node/a.go", "./cmd/sterling", reasonDown},
		// Siblings.
		{"auth/a.go", "./client", reasonSiblings},
		{"index/a.go", "./store/local", reasonSiblings},
		{"ledger/a.go", "./transit", reasonSiblings},
		{"bench/a.go", "./demo", ""},
		{"sim/a.go", "./store/local", ""},
		// The table.
		{"util/a.go", "", reasonTable},
		{"a.go", "", reasonTable},
		{"api/a.go", "./util", reasonTable},
		// A domain and its adapters.
		{"mesh/a.go", "./mesh/proxy", reasonAdapter},
		{"cell/a.go", "./cell/memory", reasonAdapter},
		{"mesh/proxy/a.go", "./mesh", ""},
		{"store/local/a.go", "./cell", ""},
		// Sub-packages of one tree.
		{"store/local/a.go", "./store", ""},
		{"store/postgres/a.go", "./store/local", reasonBranches},
		{"store/postgres/a.go", "./store/internal/blocks", reasonBranches},
		{"store/postgres/a.go", "./store/postgres/internal/sql", ""},
		{"readmodel/mysql/a.go", "./readmodel/sqlite", reasonBranches},
		{"ledger/a.go", "./ledger/internal/table", ""},
		{"journal/codec/a.go", "./journal", ""},
		{"journal/codec/a.go", "./journal/chain", reasonCousins},
		{"proto/gen/sterling/ledger/v1/ledgerv1connect/a.go", "./proto/gen/sterling/common/v1", ""},
		// Suites.
		{"cell/celltest/a.go", "./cell", ""},
		{"store/local/a.go", "./cell/celltest", reasonSuite},
		{"store/local/a_test.go", "./cell/celltest", ""},
		{"sim/a.go", "./cell/celltest", ""},
		{"node/a.go", "./enclave/attest", ""}, // ends in "test", but is named after nothing
		// Pure packages.
		{"ledger/a.go", "time", ""},
		{"ledger/a.go", "os", reasonPure},
		{"ledger/a.go", "net/http", reasonPure},
		{"mesh/a.go", "net/netip", ""},
		{"watch/a.go", "math/rand/v2", reasonPure},
		{"transit/a.go", "log", reasonPure},
		{"loan/a.go", "log/slog", reasonPure},
		{"money/a.go", "syscall", reasonPure},
		{"journal/a.go", "golang.org/x/sys/unix", reasonPure},
		{"ledger/internal/table/a.go", "os", reasonPure},
		{"ledger/a.go", "./must", ""},
		{"ledger/a.go", "./clock", reasonPureOwn},
		{"ledger/a.go", "./client", reasonPureOwn},
		{"watch/a.go", "cel.dev/cel-go/cel", ""},
		{"ledger/a.go", "example.com/decimal", reasonPureMod},
		{"ledger/a_test.go", "os", ""},
		{"journal/journaltest/a.go", "os", ""},
		{"store/local/a.go", "golang.org/x/sys/unix", ""},
		{"mesh/control/a.go", "net", ""},
		// Watch counts on its own.
		{"watch/a.go", "./journal", ""},
		{"watch/a.go", "./journal/codec", reasonWatch},
		{"watch/a.go", "./money", reasonWatch},
		{"watch/a.go", "./ledger", reasonWatch},
		{"watch/flows/a.go", "./money", reasonWatch},
		{"watch/a_test.go", "./ledger", ""},
	} {
		t.Run(c.file+"→"+c.imports, func(t *testing.T) {
			want(t, CheckImports(planted, plant(t, c.file, strings.Fields(c.imports)...)), c.reason)
		})
	}
}

// TestTableIsConsistent: every tree that must be pure is, and no path stands there twice.
func TestTableIsConsistent(t *testing.T) {
	seen := map[string]bool{}
	for _, line := range table {
		if seen[line.path] {
			t.Errorf("%s stands in the table twice", line.path)
		}
		seen[line.path] = true
		if line.rank == 2 && !line.pure {
			t.Errorf("%s has rank 2, the pure domains, and is not pure", line.path)
		}
	}
}

const (
	doc       = "// Package p is planted.\npackage p\n"
	generated = "// Code generated by hand. DO NOT EDIT.\n\n"
)

func TestPlantedStyle(t *testing.T) {
	long := strings.Repeat("\n", maxLines)
	mark := "TO" + "DO"
	for name, c := range map[string]struct {
		file, src string
		exempt    map[string]string
		reason    string
	}{
		"as it should be":               {"ledger/a.go", doc, nil, ""},
		"801 lines":                     {"ledger/a.go", doc + long, nil, reasonLong},
		"801 lines of a test":           {"ledger/a_test.go", doc + long, nil, reasonLong},
		"801 lines, exempt":             {"ledger/a.go", doc + long, map[string]string{"ledger/a.go": "a table"}, ""},
		"801 lines, exempt for nothing": {"ledger/a.go", doc + long, map[string]string{"ledger/a.go": ""}, reasonLong},
		"801 lines, generated":          {"ledger/a.go", generated + doc + long, nil, ""},
		"a stale exemption":             {"ledger/a.go", doc, map[string]string{"ledger/a.go": "a table"}, reasonStale},
		"an exemption for no file":      {"ledger/a.go", doc, map[string]string{"ledger/b.go": "a table"}, reasonStale},
		"no package comment":            {"ledger/a.go", "package p\n", nil, reasonDoc},
		"an empty package comment":      {"ledger/a.go", "//\npackage p\n", nil, reasonDoc},
		"a comment in the test only":    {"ledger/a_test.go", "package p\n", nil, ""},
		"init":                          {"ledger/a.go", doc + "func init() {}\n", nil, reasonInit},
		"init in a test":                {"ledger/a_test.go", doc + "func init() {}\n", nil, reasonInit},
		"a method called init":          {"ledger/a.go", doc + "type T int\nfunc (T) init() {}\n", nil, ""},
		"init, generated":               {"ledger/a.go", generated + doc + "func init() {}\n", nil, ""},
		"a mark":                        {"ledger/a.go", doc + "// " + mark + ": later\n", nil, reasonMark},
		"a mark in a function":          {"ledger/a.go", doc + "func f() { /* FIX" + "ME */ }\n", nil, reasonMark},
		"a mark in a string":            {"ledger/a.go", doc + "const s = `" + mark + "`\n", nil, ""},
		"a sleep": {
			"ledger/a_test.go",
			doc + "import \"time\"\nfunc f() { time.Sleep(1) }\n", nil, reasonSleep,
		},
		"a sleep under another name": {
			"ledger/a_test.go",
			doc + "import clock \"time\"\nfunc f() { clock.Sleep(1) }\n", nil, reasonSleep,
		},
		"another Sleep": {
			"ledger/a_test.go",
			doc + "import \"x/time\"\nfunc f() { time.Sleep(1) }\n", nil, "",
		},
		"a sleep outside tests": {
			"store/a.go",
			doc + "import \"time\"\nfunc f() { time.Sleep(1) }\n", nil, "",
		},
		"a skip":             {"ledger/a_test.go", doc + "func f(t T) { t.Skip() }\n", nil, reasonSkip},
		"a skip, now":        {"ledger/a_test.go", doc + "func f(b B) { b.SkipNow() }\n", nil, reasonSkip},
		"a skip with reason": {"ledger/a_test.go", doc + "func f(t T) { t.Skip(\"no disk\") }\n", nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			want(t, CheckStyle(plantSource(t, c.file, c.src), c.exempt), c.reason)
		})
	}
}

func TestPlantedText(t *testing.T) {
	for name, c := range map[string]struct {
		file, line string
		reason     string
	}{
		"a relative path":        {"docs/a.md", "see ../shared/data and /tmp/x", ""},
		"a web address":          {"docs/a.md", "https://go.dev/home/x", ""},
		"a home folder":          {"tools/a.sh", "cp /ho" + "me/ann/x .", reasonPath},
		"root's folder":          {"a_test.go", `const p = "/ro` + `ot/go/pkg"`, reasonPath},
		"a work folder":          {"docs/a.md", "(/wo" + "rk/main)", reasonPath},
		"a folder of a Mac":      {"Makefile", "X=/Us" + "ers/ann", reasonPath},
		"a module proxy":         {"Makefile", "GOPROXY=https://proxy.go" + "lang.org", reasonPath},
		"a package registry":     {"web/.npmrc", "registry=https://registry.npm" + "js.org/", reasonPath},
		"the same in a lock":     {"web/package-lock.json", "https://registry.npm" + "js.org/", ""},
		"a mirror of the system": {"tools/a.sh", "http://deb.deb" + "ian.org/debian", reasonPath},
		"a mark":                 {"tools/a.sh", "# TO" + "DO", reasonMark},
		"a mark in Go":           {"a.go", "// TO" + "DO", ""}, // CheckStyle's
		"a longer word":          {"docs/a.md", "TO" + "DOS", ""},
		"a binary file":          {"a.png", "\x00 TO" + "DO", ""},
	} {
		t.Run(name, func(t *testing.T) {
			want(t, CheckText([]Text{{Path: c.file, Src: []byte("first\n" + c.line + "\n")}}), c.reason)
		})
	}
}

func TestViolationGivesTheLine(t *testing.T) {
	found := CheckText([]Text{{Path: "a.md", Src: []byte("first\nsecond\n# TO" + "DO\n")}})
	if len(found) != 1 || found[0].Where != "a.md:3" {
		t.Errorf("found %v, want one at a.md:3", found)
	}
	found = CheckImports(planted, plant(t, "ledger/a.go", "time", "os"))
	if len(found) != 1 || found[0].Where != "ledger/a.go:4" {
		t.Errorf("found %v, want one at ledger/a.go:4", found)
	}
}

func TestParseRefusesWhatIsNotGo(t *testing.T) {
	if _, err := Parse("a.go", []byte("package")); err == nil {
		t.Error("parsed")
	}
}
