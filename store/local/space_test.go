package local_test

import (
	"errors"
	"runtime"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/sterlingrun/sterling/cell"
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/store/local"
)

// TestDiskFull: appends are refused, reads go on, and it works again when there is space.
func TestDiskFull(t *testing.T) {
	mem := vfs.NewCrashableMem()
	fs := newFaultFS(mem)
	fs.space = 5 * segmentSize
	s := open(t, "data", options(fs))
	blocks := writer.Chain(0, journal.Hash{}, 200, 1, 30, 100)
	n := 0
	var err error
	for n < len(blocks) && err == nil {
		if err = s.Append(t.Context(), blocks[n]); err == nil {
			n++
		}
	}
	if !errors.Is(err, cell.ErrFull) || n < 20 || n == len(blocks) {
		t.Fatalf("got error %v after %d blocks, want ErrFull before the end", err, n)
	}
	for range 3 {
		if err := s.Append(t.Context(), blocks[n]); !errors.Is(err, cell.ErrFull) {
			t.Fatalf("append once more: got error %v, want ErrFull", err)
		}
	}
	wantBlocks(t, s, blocks[:n])
	fs.set(func(f *faultFS) { f.space = 0 })
	if _, err := s.Snapshots().Create(uint64(n)); !errors.Is(err, cell.ErrFull) {
		t.Fatalf("create a snapshot: got error %v, want ErrFull", err)
	}
	if cut, err := recovered(t.Context(), crash(mem, 50, 1), blocks, uint64(n)); cut || err != nil {
		t.Fatalf("after a power loss on a full disk: cut %v, error %v", cut, err)
	}
	closeStore(t, s)

	s = open(t, "data", options(fs)) // a full disk must not keep anybody from reading
	wantBlocks(t, s, blocks[:n])
	if err := s.Append(t.Context(), blocks[n]); !errors.Is(err, cell.ErrFull) {
		t.Fatalf("append after opening a full disk: got error %v, want ErrFull", err)
	}
	fs.set(func(f *faultFS) { f.space = -1 })
	appendAll(t, s, blocks[n:])
	wantBlocks(t, s, blocks)
}

// TestFullFromTheStart: not even the first segment fits.
func TestFullFromTheStart(t *testing.T) {
	fs := newFaultFS(vfs.NewCrashableMem())
	s := open(t, "data", options(fs))
	closeStore(t, s)
	fs.set(func(f *faultFS) { f.space = 100 })
	s = open(t, "data", options(fs))
	b := writer.Block(1, journal.Hash{}, 1)
	if err := s.Append(t.Context(), b); !errors.Is(err, cell.ErrFull) {
		t.Fatalf("got error %v, want ErrFull", err)
	}
	fs.set(func(f *faultFS) { f.space = -1 })
	appendAll(t, s, []*journal.Block{b})
}

// TestTornWrite: a write stops halfway for want of space. Nothing of it is in the log, another block takes its place,
// and no rest of the first one is ever found.
func TestTornWrite(t *testing.T) {
	for _, tears := range []int{1, 2, 3} { // from 2 on wiping it out fails too, and is tried again later
		for _, at := range []int{1, 511, 512, 4096, 9000} {
			mem := vfs.NewCrashableMem()
			fs := newFaultFS(mem)
			s := open(t, "data", options(fs))
			blocks := writer.Chain(0, journal.Hash{}, 3, 2)
			appendAll(t, s, blocks)
			long := writer.Block(4, blocks[2].Hash, 100)
			fs.set(func(f *faultFS) { f.tears, f.tearAfter = tears, at })
			for range (tears + 1) / 2 { // a write and its wiping out each tear once
				if err := s.Append(t.Context(), long); !errors.Is(err, cell.ErrFull) {
					t.Fatalf("%d tears at %d: got error %v, want ErrFull", tears, at, err)
				}
				if cut, err := recovered(t.Context(), crash(mem, 50, 1), blocks, 3); err != nil {
					t.Fatalf("%d tears at %d: power loss after the torn write: cut %v, error %v", tears, at, cut, err)
				}
			}
			fs.set(func(f *faultFS) { f.tears = 0 })
			short := writer.Block(4, blocks[2].Hash, 1)
			appendAll(t, s, []*journal.Block{short})
			if cut, err := recovered(t.Context(), crash(mem, 100, 1), append(blocks, short), 4); cut || err != nil {
				t.Fatalf("%d tears at %d: cut %v, error %v", tears, at, cut, err)
			}
			closeStore(t, s)
		}
	}
}

// TestFailingSyncOfASegment: a segment whose zeros could not be made durable is never used.
func TestFailingSyncOfASegment(t *testing.T) {
	fs := newFaultFS(vfs.NewCrashableMem())
	s := open(t, "data", options(fs))
	closeStore(t, s)
	broken := errors.New("input/output error")
	s = open(t, "data", options(fs))
	fs.set(func(f *faultFS) { f.syncError = broken })
	b := writer.Block(1, journal.Hash{}, 1)
	for range 2 {
		if err := s.Append(t.Context(), b); !errors.Is(err, local.ErrSyncFailed) {
			t.Fatalf("got error %v, want ErrSyncFailed", err)
		}
	}
}

// TestRoom: a block that would not fit is known before it is made, and space that comes back is noticed.
func TestRoom(t *testing.T) {
	fs := newFaultFS(vfs.NewCrashableMem())
	s := open(t, "data", options(fs))
	blocks := writer.Chain(0, journal.Hash{}, 2000, 1, 30, 100)
	if err := s.Room(); err != nil {
		t.Fatalf("on an empty disk: %v", err)
	}
	fs.set(func(f *faultFS) { f.space = 5 * segmentSize })
	n := 0
	for s.Room() == nil {
		if n == len(blocks) {
			t.Fatal("room for everything")
		}
		err := s.Append(t.Context(), blocks[n])
		if err == nil {
			n++
		} else if !errors.Is(err, cell.ErrFull) {
			t.Fatal(err)
		}
	}
	if err := s.Room(); !errors.Is(err, cell.ErrFull) {
		t.Fatalf("got error %v, want ErrFull", err)
	}
	fs.set(func(f *faultFS) { f.space = -1 })
	for s.Room() != nil { // the segment is being prepared
		runtime.Gosched()
	}
}
