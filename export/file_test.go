package export_test

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/sterlingrun/sterling/export"
)

func TestAFileIsWholeOrNotThere(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "out.csv")
	text := func(s string) func(io.Writer) error {
		return func(w io.Writer) error {
			_, err := io.WriteString(w, s)
			return err
		}
	}
	cut := errors.New("cut short")
	failing := func(w io.Writer) error { return errors.Join(text("half")(w), cut) }
	content := func(want string) {
		t.Helper()
		b, err := os.ReadFile(path)
		if want == "" && !errors.Is(err, os.ErrNotExist) || string(b) != want {
			t.Errorf("the file holds %q, want %q (%v)", b, want, err)
		}
		if _, err := os.Stat(path + ".tmp"); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the temporary file stays: %v", err)
		}
	}
	if err := export.ToFile(path, failing); !errors.Is(err, cut) {
		t.Error(err)
	}
	content("")
	if err := export.ToFile(path, text("first, the longer one")); err != nil {
		t.Error(err)
	}
	content("first, the longer one")
	if err := export.ToFile(path, failing); !errors.Is(err, cut) {
		t.Error(err)
	}
	content("first, the longer one")

	// What a crash left is written over.
	if err := os.WriteFile(path+".tmp", []byte("left by a crash, and longer than what comes"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := export.ToFile(path, text("second")); err != nil {
		t.Error(err)
	}
	content("second")

	// Two at once: the second one is refused, and harms nothing.
	err := export.ToFile(path, func(w io.Writer) error {
		if err := export.ToFile(path, text("other")); err == nil {
			t.Error("two exports write one file")
		}
		return text("third")(w)
	})
	if err != nil {
		t.Error(err)
	}
	content("third")
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info.Mode(), err)
	}
}

func TestAFileThatCantBe(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	called := false
	write := func(io.Writer) error { called = true; return nil }
	if err := export.ToFile(dir, write); err == nil {
		t.Error("a folder was overwritten")
	}
	if err := export.ToFile(filepath.Join(dir, "no", "such"), write); err == nil {
		t.Error("a file in no folder")
	}
	if called {
		t.Error("rows were read for nothing")
	}
}
