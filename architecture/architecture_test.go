package architecture

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

const root = ".."

func TestImportsGoDownwards(t *testing.T) {
	module, packages := load(t)
	report(t, CheckImports(module, packages))
}

func TestStyle(t *testing.T) {
	_, packages := load(t)
	report(t, CheckStyle(packages, longFiles))
}

func TestTrackedFiles(t *testing.T) {
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("git is not installed, so which files are tracked is unknown")
	}
	if _, err := os.Stat(filepath.Join(root, ".git")); err != nil {
		t.Skip("not a git checkout, so which files are tracked is unknown")
	}
	texts, err := Tracked(root)
	if err != nil {
		t.Fatal(err)
	}
	if len(texts) == 0 {
		t.Fatal("git knows no file: nothing was checked")
	}
	report(t, CheckText(texts))
}

// TestLoadSeesThisFile guards against a load that silently misses packages or test files.
func TestLoadSeesThisFile(t *testing.T) {
	module, packages := load(t)
	if module != "github.com/sterlingrun/sterling" {
		t.Errorf("module %q", module)
	}
	for _, p := range packages {
		for _, f := range p.Files {
			if f.Path == "architecture/architecture_test.go" && f.Test && p.Path == "architecture" {
				return
			}
		}
	}
	t.Error("architecture/architecture_test.go is not among the files loaded")
}

func load(t *testing.T) (module string, packages []*Package) {
	t.Helper()
	module, packages, err := Load(root)
	if err != nil {
		t.Fatal(err)
	}
	return module, packages
}

func report(t *testing.T, found []Violation) {
	t.Helper()
	for _, v := range found {
		t.Error(v)
	}
}
