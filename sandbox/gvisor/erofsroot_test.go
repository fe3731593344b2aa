package gvisor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/sterlingrun/sterling/clock"
)

const aName = "0123abcd"

// A rootsBench has a folder of packed roots, one to pack, and counts how often it is.
type rootsBench struct {
	*testing.T
	packedRoots
	source, boxes string
	time          *clock.Fake
	written       atomic.Int32
	held          int
}

func newRootsBench(t *testing.T) *rootsBench {
	fake := clock.NewFake(uint64(time.Now().UnixNano()))
	b := &rootsBench{T: t, source: t.TempDir(), boxes: t.TempDir(), time: fake}
	b.packedRoots = packedRoots{filepath.Join(t.TempDir(), "images"), fake}
	if err := os.WriteFile(filepath.Join(b.source, "file"), []byte("text"), 0o600); err != nil {
		t.Fatal(err)
	}
	return b
}

func (b *rootsBench) write(out *os.File, identity [16]byte) error {
	b.written.Add(1)
	return writeErofs(b.source, out, identity)
}

// use is what a sandbox does that starts.
func (b *rootsBench) use(name string) string {
	b.Helper()
	b.held++
	at := filepath.Join(b.boxes, fmt.Sprint(b.held))
	if err := b.hold(b.Context(), name, at, b.write); err != nil {
		b.Fatal(err)
	}
	return at
}

func (b *rootsBench) names() []string {
	b.Helper()
	files, err := filepath.Glob(filepath.Join(b.folder, "*.erofs"))
	if err != nil {
		b.Fatal(err)
	}
	for i, f := range files {
		files[i] = filepath.Base(f)
	}
	return files
}

// TestHoldRoot: a root is packed once, and what a sandbox has of it is its own.
func TestHoldRoot(t *testing.T) {
	b := newRootsBench(t)
	first := b.use(aName)
	second := b.use(aName)
	if b.written.Load() != 1 {
		t.Errorf("packed %d times", b.written.Load())
	}
	if err := errors.Join(os.Remove(first), os.Remove(b.path(aName))); err != nil {
		t.Fatal(err)
	}
	if got := inImage(t, second)["/file"].Content; got != "text" {
		t.Errorf("%q", got)
	}
	if info, err := os.Stat(second); err != nil || info.Mode() != 0o400 {
		t.Errorf("%v, %v", info, err)
	}
	if err := b.hold(t.Context(), aName, second, b.write); !errors.Is(err, fs.ErrExist) {
		t.Errorf("over what is there: %v", err)
	}
}

// TestHoldRootAtOnce: of many starts, one packs and the others wait for it.
func TestHoldRootAtOnce(t *testing.T) {
	b := newRootsBench(t)
	b.packedRoots.clock = clock.NewSystem()
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			if err := b.hold(t.Context(), aName, filepath.Join(b.boxes, fmt.Sprint(i)), b.write); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if b.written.Load() != 1 {
		t.Errorf("packed %d times", b.written.Load())
	}
}

// TestHoldRootFaults: what was damaged is made again, and what could not be made leaves nothing that others find.
func TestHoldRootFaults(t *testing.T) {
	b := newRootsBench(t)
	for _, damage := range []func(string) error{
		func(f string) error { return os.Truncate(f, erofsBlock) },
		func(f string) error { return os.WriteFile(f, make([]byte, erofsBlock), 0o600) },
		os.Remove,
	} {
		b.use(aName)
		b.written.Store(0)
		if err := errors.Join(os.Chmod(b.path(aName), 0o600), damage(b.path(aName))); err != nil {
			t.Fatal(err)
		}
		if inImage(t, b.use(aName))["/file"].Content != "text" || b.written.Load() != 1 {
			t.Errorf("packed %d times", b.written.Load())
		}
		if err := verifyErofs(b.path(aName), anIdentity); !errors.Is(err, errTorn) {
			t.Errorf("of any identity: %v", err)
		}
	}
	// What is there for one name is not taken for another.
	if err := os.Link(b.path(aName), b.path("04")); err != nil {
		t.Fatal(err)
	}
	b.written.Store(0)
	if b.use("04"); b.written.Load() != 1 {
		t.Error("the root of another name was taken")
	}
	failed := errors.New("no space")
	err := b.hold(t.Context(), "05", filepath.Join(b.boxes, "failed"), func(out *os.File, _ [16]byte) error {
		_, err := out.WriteString("half")
		return errors.Join(err, failed)
	})
	if names := b.names(); !errors.Is(err, failed) || slices.Contains(names, "05.erofs") {
		t.Errorf("%v; %q", err, names)
	}
	lock, err := lockFile(filepath.Join(b.folder, "lock-6"), syscall.LOCK_EX)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if err := b.hold(gone, "6", filepath.Join(b.boxes, "waits"), b.write); !errors.Is(err, context.Canceled) {
		t.Errorf("a start that was given up while another packs: %v", err)
	}
}

// TestPruneRoots: what a sandbox has stays, and of the others the last eight that were used within a month.
func TestPruneRoots(t *testing.T) {
	b := newRootsBench(t)
	b.use("00")
	for i := range maxUnused + 2 {
		b.time.Advance(time.Second)
		if err := os.Remove(b.use(fmt.Sprintf("%02d", i+1))); err != nil {
			t.Fatal(err)
		}
	}
	b.time.Advance(time.Second)
	if err := os.Remove(b.use("02")); err != nil { // again
		t.Fatal(err)
	}
	b.prune()
	want := []string{"00.erofs", "02.erofs", "04.erofs", "05.erofs", "06.erofs", "07.erofs", "08.erofs", "09.erofs", "10.erofs"}
	if got := b.names(); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	b.time.Advance(maxUnusedAge)
	b.prune()
	if got := b.names(); !slices.Equal(got, []string{"00.erofs", "02.erofs"}) { // 02 is a month old, and no more
		t.Errorf("after a month: %q", got)
	}
	b.time.Advance(time.Second)
	b.prune()
	if got := b.names(); !slices.Equal(got, []string{"00.erofs"}) {
		t.Errorf("after a month and a second: %q", got)
	}
}

// TestMakePlaces: places are made where links of the root lead within it, and what is there stays as it is.
func TestMakePlaces(t *testing.T) {
	outside := t.TempDir()
	root := filepath.Join(t.TempDir(), "root")
	err := errors.Join(
		os.MkdirAll(filepath.Join(root, "var"), 0o700), os.Symlink("/run", filepath.Join(root, "var/run")),
		os.Symlink("../../.."+outside, filepath.Join(root, "out")), os.Symlink("loop", filepath.Join(root, "loop")),
		os.WriteFile(filepath.Join(root, "file"), []byte("kept"), 0o600), os.Mkdir(filepath.Join(root, "tmp"), 0o700),
	)
	if err != nil {
		t.Fatal(err)
	}
	umask := syscall.Umask(0o077)
	err = makePlaces(root, []mountPlace{
		{"/var/run/secrets/a", false}, {"/tmp", true}, {"/file", true}, {"/out/x", true}, {"/a/../b", false},
	})
	syscall.Umask(umask)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"run": "drwxr-xr-x", "run/secrets": "drwxr-xr-x", "run/secrets/a": "-rw-r--r--", "tmp": "drwx------", "file": "-rw-------",
		outside[1:] + "/x": "drwxr-xr-x", "a": "drwxr-xr-x", "b": "-rw-r--r--",
	} {
		if info, err := os.Lstat(filepath.Join(root, name)); err != nil || info.Mode().String() != want {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
	if left, err := os.ReadDir(outside); err != nil || len(left) > 0 {
		t.Errorf("outside: %v, %v", left, err)
	}
	for _, bad := range []string{"/loop/x", "/file/x"} {
		if err := makePlaces(root, []mountPlace{{bad, true}}); !errors.Is(err, ErrImage) {
			t.Errorf("%s: %v", bad, err)
		}
	}
}
