package local_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/sterlingrun/sterling/cell"
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/store/local"
)

const lockedFolder = "STERLING_TEST_LOCKED_FOLDER"

// TestSecondProcess starts this test again in another process, which must not get in and must say who is there.
func TestSecondProcess(t *testing.T) {
	if dir := os.Getenv(lockedFolder); dir != "" {
		_, err := local.Open(dir, local.Options{Cell: 1})
		fmt.Printf("locked=%v: %v\n", errors.Is(err, local.ErrLocked), err)
		return
	}
	dir := t.TempDir()
	s := open(t, dir, options(vfs.Default))
	if _, err := local.Open(dir, options(vfs.Default)); !errors.Is(err, local.ErrLocked) {
		t.Fatalf("open twice in one process: got error %v, want ErrLocked", err)
	}
	other := func() string {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestSecondProcess$")
		cmd.Env = append(os.Environ(), lockedFolder+"="+dir)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return string(out)
	}
	want := fmt.Sprintf("in use by process %d", os.Getpid())
	for range 2 {
		if got := other(); !strings.Contains(got, "locked=true") || !strings.Contains(got, want) {
			t.Fatalf("the second process says %q, want %q", got, want)
		}
	}
	closeStore(t, s)
	if got := other(); !strings.Contains(got, "locked=false: <nil>") {
		t.Fatalf("after Close the second process says %q", got)
	}
}

// TestManySegments reads blocks of more segments than are kept open, from several goroutines, while appends go on.
func TestManySegments(t *testing.T) {
	o := options(vfs.NewMem())
	o.SegmentSize = 16 << 10
	s := open(t, "data", o)
	blocks := writer.Chain(0, journal.Hash{}, 600, 1, 50, 3, 100)
	appendAll(t, s, blocks[:500])
	var wait sync.WaitGroup
	for reader := range 4 {
		wait.Go(func() {
			var buf []byte
			for i := range 1500 {
				b := blocks[(i*(37+reader)+reader)%500]
				var err error
				if buf, err = s.Read(t.Context(), b.Header.Seq, buf); err != nil || !bytes.Equal(buf, b.Raw) {
					t.Errorf("read block %d: %v", b.Header.Seq, err)
					return
				}
			}
		})
	}
	appendAll(t, s, blocks[500:])
	wait.Wait()
	wantBlocks(t, s, blocks)
	closeStore(t, s)
	o.VerifyFrom = 550
	wantBlocks(t, open(t, "data", o), blocks)
}

// TestClose: calls in progress end well, and later ones are refused.
func TestClose(t *testing.T) {
	s := open(t, "data", options(vfs.NewMem()))
	blocks := writer.Chain(0, journal.Hash{}, 500, 1)
	appendAll(t, s, blocks[:1])
	var wait sync.WaitGroup
	started := make(chan struct{}, 3)
	for range 2 {
		wait.Go(func() {
			started <- struct{}{}
			for {
				if _, err := s.Read(t.Context(), 1, nil); err != nil {
					if !errors.Is(err, local.ErrClosed) {
						t.Errorf("read: got error %v, want ErrClosed", err)
					}
					return
				}
			}
		})
	}
	wait.Go(func() {
		started <- struct{}{}
		for _, b := range blocks[1:] {
			if err := s.Append(t.Context(), b); err != nil {
				if !errors.Is(err, local.ErrClosed) {
					t.Errorf("append: got error %v, want ErrClosed", err)
				}
				return
			}
		}
	})
	for range 3 {
		<-started
	}
	closeStore(t, s)
	wait.Wait()
	if _, _, err := s.Head(t.Context()); !errors.Is(err, local.ErrClosed) {
		t.Fatalf("head: got error %v, want ErrClosed", err)
	}
	if err := s.Verify(t.Context(), nil); !errors.Is(err, local.ErrClosed) {
		t.Fatalf("verify: got error %v, want ErrClosed", err)
	}
}

// TestLargeBlockInSmallSegments: a block larger than a segment gets one of its own size.
func TestLargeBlockInSmallSegments(t *testing.T) {
	fs := vfs.NewCrashableMem()
	s := open(t, "data", options(fs))
	blocks := writer.Chain(0, journal.Hash{}, 8, 1, journal.MaxEvents)
	appendAll(t, s, blocks)
	if _, err := recovered(t.Context(), crash(fs, 0, 1), blocks, 8); err != nil {
		t.Fatal(err)
	}
}

func TestOptionsAreBounded(t *testing.T) {
	for _, size := range []int64{-1, 1, 16<<10 - 1, 1 << 50} {
		if _, err := local.Open("data", local.Options{FS: vfs.NewMem(), SegmentSize: size}); err == nil {
			t.Errorf("segments of %d bytes were accepted", size)
		}
	}
}

// TestDamageIsTyped: what a cell sees of damage is cell.ErrDamaged, whatever form it has.
func TestDamageIsTyped(t *testing.T) {
	for _, err := range []error{local.ErrMissing, local.ErrBehind, &local.DamageError{File: "f", Offset: 1, Reason: "r"}} {
		if !errors.Is(err, cell.ErrDamaged) {
			t.Errorf("%v is not cell.ErrDamaged", err)
		}
	}
}
