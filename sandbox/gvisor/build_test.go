package gvisor

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// TestBuildFolder: what comes out of an image is what went in, and its digest depends on nothing else.
func TestBuildFolder(t *testing.T) {
	newRoot := func(at time.Time) string {
		root := filepath.Join(t.TempDir(), "root")
		err := errors.Join(
			os.MkdirAll(filepath.Join(root, "etc/empty"), 0o755), os.WriteFile(filepath.Join(root, "etc/b"), []byte("b"), 0o644),
			os.WriteFile(filepath.Join(root, "etc/a"), []byte("a"), 0o750), os.Symlink("etc/a", filepath.Join(root, "link")),
			os.Symlink("/etc/shadow", filepath.Join(root, "out")), os.Chmod(filepath.Join(root, "etc/a"), 0o750|fs.ModeSetuid),
			os.Chmod(filepath.Join(root, "etc"), 0o755), os.Chmod(filepath.Join(root, "etc/empty"), 0o755), os.Chmod(filepath.Join(root, "etc/b"), 0o644),
			os.Chtimes(filepath.Join(root, "etc/b"), at, at),
		)
		if err != nil {
			t.Fatal(err)
		}
		return root
	}
	build := func(source string) (string, string) {
		into := filepath.Join(t.TempDir(), "image")
		digest, err := Build(source, into)
		if err != nil {
			t.Fatal(err)
		}
		return into, digest
	}
	root := newRoot(time.Unix(1, 0))
	image, digest := build(root)
	if _, again := build(newRoot(time.Unix(1e9, 0))); again != digest {
		t.Errorf("%s, then %s", digest, again)
	}
	// A change of how images are built changes every digest that a policy names: say so in CHANGELOG.md.
	if want := "sha256:130783796aae2ffda176a927b378b3d9074563962aaeb6d011818c9a3875bd18"; digest != want {
		t.Errorf("%s, want %s", digest, want)
	}
	into := t.TempDir()
	if found, err := Unpack(image, digest, t.TempDir(), into); err != nil || found != digest {
		t.Fatalf("%s, %v", found, err)
	}
	for name, want := range map[string]string{"etc/a": "-rwxr-x---", "etc/b": "-rw-r--r--", "etc/empty": "drwxr-xr-x", "link": "Lrwxrwxrwx", "out": "Lrwxrwxrwx"} {
		info, err := os.Lstat(filepath.Join(into, name))
		if err != nil || info.Mode().String() != want {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
	if text, err := os.ReadFile(filepath.Join(into, "link")); string(text) != "a" {
		t.Errorf("%q, %v", text, err)
	}
	if err := os.WriteFile(filepath.Join(root, "etc/b"), []byte("c"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, changed := build(root); changed == digest {
		t.Error("another content has the same digest")
	}
	if _, err := Build(root, image); !errors.Is(err, fs.ErrExist) {
		t.Errorf("over another image: %v", err)
	}
}

// TestBuildProgram: a static program is an image; what is none leaves nothing behind.
func TestBuildProgram(t *testing.T) {
	folder := t.TempDir()
	program := filepath.Join(folder, "hello")
	if err := os.WriteFile(program, InitProgram(), 0o600); err != nil {
		t.Fatal(err)
	}
	image := filepath.Join(folder, "image")
	digest, err := Build(program, image)
	if err != nil {
		t.Fatal(err)
	}
	root := filepath.Join(folder, "root")
	if err := os.Mkdir(root, 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := Unpack(image, digest, t.TempDir(), root); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"hello": "-rwxr-xr-x", "run/secrets": "drwxr-xr-x", "run/services": "drwxr-xr-x", "tmp": "drwxr-xr-x"} {
		if info, err := os.Stat(filepath.Join(root, name)); err != nil || info.Mode().String() != want {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
	pipe := filepath.Join(folder, "with a pipe")
	if err := os.Mkdir(pipe, 0o755); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mkfifo", filepath.Join(pipe, "p")).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	script := filepath.Join(folder, "script")
	if err := os.WriteFile(script, []byte("#!/bin/sh\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, source := range []string{pipe, script, "/bin/sh"} {
		into := filepath.Join(folder, "none")
		if _, err := Build(source, into); !errors.Is(err, ErrImage) {
			t.Errorf("%s: %v", source, err)
		}
		if _, err := os.Stat(into); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: left behind: %v", source, err)
		}
	}
	if _, err := Build(filepath.Join(folder, "missing"), filepath.Join(folder, "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}
