package audit_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/sterlingrun/sterling/audit"
)

func TestKeyStaysAndSigns(t *testing.T) {
	dir := t.TempDir()
	k, err := audit.OpenKey(dir)
	if err != nil {
		t.Fatal(err)
	}
	again, err := audit.OpenKey(dir)
	if err != nil || !again.Public().Equal(k.Public()) {
		t.Fatalf("opened again: %v, another key", err)
	}
	s := k.Sign([]byte("100 yuan"))
	if !audit.Verify(again.Public(), []byte("100 yuan"), s) {
		t.Error("its own signature is refused")
	}
	other, err := audit.OpenKey(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if audit.Verify(k.Public(), []byte("101 yuan"), s) || audit.Verify(other.Public(), []byte("100 yuan"), s) || audit.Verify(nil, nil, nil) {
		t.Error("a signature of something else, or of someone else, is accepted")
	}
}

func TestKeyFilesThatCannotBeTrusted(t *testing.T) {
	dir := t.TempDir()
	if _, err := audit.OpenKey(dir); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, audit.KeyFile)
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := audit.OpenKey(dir); !errors.Is(err, audit.ErrKey) {
		t.Errorf("a key that others can read: %v", err)
	}
	if err := errors.Join(os.Chmod(path, 0o600), os.WriteFile(path, []byte("shopping list"), 0o600)); err != nil {
		t.Fatal(err)
	}
	if _, err := audit.OpenKey(dir); !errors.Is(err, audit.ErrKey) {
		t.Errorf("a file that holds no key: %v", err)
	}
	if _, err := audit.OpenKey(filepath.Join(dir, "missing")); !errors.Is(err, audit.ErrKey) {
		t.Errorf("a folder that is not there: %v", err)
	}
}
