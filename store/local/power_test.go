package local_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/sterlingrun/sterling/cell"
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/store/local"
)

// lives runs a journal on fs from an empty folder on: blocks of many sizes over several segments, and a snapshot now
// and then. acked is told of every block that was acknowledged, before the next one starts.
func lives(ctx context.Context, fs vfs.FS, blocks []*journal.Block, acked func(seq uint64)) error {
	s, err := local.Open("data", options(fs))
	if err != nil {
		return err
	}
	for i, b := range blocks {
		if err := s.Append(ctx, b); err != nil {
			return errors.Join(err, s.Close())
		}
		acked(b.Header.Seq)
		if i%10 == 9 {
			w, err := s.Snapshots().Create(b.Header.Seq)
			if err == nil {
				_, err = w.Write(b.Raw)
			}
			if err == nil {
				err = w.Commit()
			}
			if err != nil {
				return errors.Join(err, s.Close())
			}
		}
	}
	return s.Close()
}

// recovered opens what a power loss left and checks it: every acknowledged block is there, nothing is half there,
// whatever is there is a prefix of what was written, and the journal goes on from it.
func recovered(ctx context.Context, fs vfs.FS, blocks []*journal.Block, acked uint64) (cut bool, err error) {
	o := options(fs)
	o.Floor = acked
	s, err := local.Open("data", o)
	if err != nil {
		return false, fmt.Errorf("open with %d acknowledged: %w", acked, err)
	}
	defer s.Close()
	return s.Recovery().Cut, goesOn(ctx, s, fs, blocks, acked)
}

func goesOn(ctx context.Context, s *local.Store, fs vfs.FS, blocks []*journal.Block, acked uint64) error {
	n := 0
	err := s.Verify(ctx, func(b *journal.Block) error {
		if n >= len(blocks) || b.Hash != blocks[n].Hash {
			return fmt.Errorf("block %d is not the one appended", b.Header.Seq)
		}
		n++
		return nil
	})
	if err != nil {
		return err
	}
	if uint64(n) < acked || uint64(n) > acked+1 {
		return fmt.Errorf("%d blocks are there, %d were acknowledged and one more was under way at most", n, acked)
	}
	if err := snapshotsWhole(s, blocks, acked); err != nil {
		return err
	}
	// Another leader's blocks from here on: rests of the old ones must not get in their way.
	var prev journal.Hash
	if n > 0 {
		prev = blocks[n-1].Hash
	}
	rival := writer
	rival.Incarnation = 99
	next := rival.Chain(uint64(n), prev, 3, 0, 25, 1)
	for _, b := range next {
		if err := s.Append(ctx, b); err != nil {
			return err
		}
	}
	if err := s.Close(); err != nil {
		return err
	}
	return reopened(ctx, fs, append(blocks[:n:n], next...))
}

// snapshotsWhole checks that every snapshot is of an acknowledged block, and all there.
func snapshotsWhole(s *local.Store, blocks []*journal.Block, acked uint64) error {
	list, err := s.Snapshots().List()
	if err != nil {
		return err
	}
	for _, seq := range list {
		if seq > acked {
			return fmt.Errorf("there is a snapshot of block %d, but only %d were acknowledged", seq, acked)
		}
		r, err := s.Snapshots().Open(seq)
		if err != nil {
			return err
		}
		b, err := io.ReadAll(r)
		if err = errors.Join(err, r.Close()); err != nil || !bytes.Equal(b, blocks[seq-1].Raw) {
			return fmt.Errorf("snapshot %d has %d bytes, error %w", seq, len(b), err)
		}
	}
	return nil
}

func reopened(ctx context.Context, fs vfs.FS, blocks []*journal.Block) error {
	s, err := local.Open("data", options(fs))
	if err != nil {
		return fmt.Errorf("open once more: %w", err)
	}
	defer s.Close()
	if r := s.Recovery(); r.Cut || r.Head != uint64(len(blocks)) {
		return fmt.Errorf("after a clean end: %+v, want %d blocks", r, len(blocks))
	}
	return s.Verify(ctx, func(b *journal.Block) error {
		if b.Hash != blocks[b.Header.Seq-1].Hash {
			return fmt.Errorf("block %d is not the one appended", b.Header.Seq)
		}
		return nil
	})
}

// TestPowerLossAtEveryStep cuts the power before every single write, sync, rename, creation and removal of a journal's
// life, with none, some and all of the unsynced pages and names having reached the disk.
func TestPowerLossAtEveryStep(t *testing.T) {
	blocks := writer.Chain(0, journal.Hash{}, 25, 1, 90, 60, 3, 250, 150)
	mem := vfs.NewCrashableMem()
	fs := newFaultFS(mem)
	var mu sync.Mutex
	var acked, steps uint64
	var failures []error
	crashes, cuts := 0, 0
	fs.step = func() {
		mu.Lock() // appends and the preparation of segments take turns
		defer mu.Unlock()
		steps++
		for i, percent := range []int{0, 15, 50, 50, 85, 100} {
			seed := steps*10 + uint64(i)
			cut, err := recovered(t.Context(), crash(mem, percent, seed), blocks, acked)
			if err != nil {
				failures = append(failures, fmt.Errorf("step %d, %d%% of what was not synced, seed %d: %w", steps, percent, seed, err))
			}
			crashes++
			if cut {
				cuts++
			}
		}
	}
	err := lives(t.Context(), fs, blocks, func(seq uint64) {
		mu.Lock()
		defer mu.Unlock()
		acked = seq
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range failures[:min(5, len(failures))] {
		t.Error(err)
	}
	if crashes < 500 || cuts < 15 {
		t.Errorf("only %d crashes were tried, and only %d left a torn tail", crashes, cuts)
	}
	t.Logf("%d steps, %d crashes, %d torn tails, %d failures", steps, crashes, cuts, len(failures))
}

// TestLyingDiskIsNoticed: a disk whose sync does nothing loses acknowledged blocks at a power loss. The journal alone
// can't know; whoever remembers a position (an index, a snapshot) makes it stop.
func TestLyingDiskIsNoticed(t *testing.T) {
	blocks := writer.Chain(0, journal.Hash{}, 30, 3, 40)
	mem := vfs.NewCrashableMem()
	fs := newFaultFS(mem)
	s := open(t, "data", options(fs))
	appendAll(t, s, blocks[:20])
	fs.set(func(f *faultFS) { f.lies = true })
	appendAll(t, s, blocks[20:])
	after := crash(mem, 0, 1)

	o := options(after)
	o.Floor = 30
	if _, err := local.Open("data", o); !errors.Is(err, local.ErrBehind) || !errors.Is(err, cell.ErrDamaged) {
		t.Fatalf("with a floor of 30: got error %v, want ErrBehind", err)
	}
	if _, err := recovered(t.Context(), after, blocks, 30); err == nil {
		t.Fatal("the check of the power-loss test didn't notice that acknowledged blocks are gone")
	}
	if got := open(t, "data", options(after)).Recovery().Head; got != 20 {
		t.Fatalf("without a floor the journal ends with block %d, want 20: the lie had no effect", got)
	}
}

// TestSnapshotIsAFloor: a snapshot ahead of the journal's end stops it too.
func TestSnapshotIsAFloor(t *testing.T) {
	mem := vfs.NewCrashableMem()
	fs := newFaultFS(mem)
	s := open(t, "data", options(fs))
	blocks := writer.Chain(0, journal.Hash{}, 6, 2)
	appendAll(t, s, blocks[:5])
	w, err := s.Snapshots().Create(6)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Commit(); err != nil {
		t.Fatal(err)
	}
	if _, err := local.Open("data", options(crash(mem, 0, 1))); !errors.Is(err, local.ErrBehind) {
		t.Fatalf("got error %v, want ErrBehind", err)
	}
}

// TestFailedSync: after a sync that failed nothing may be appended any more, whatever the disk says later.
func TestFailedSync(t *testing.T) {
	fs := newFaultFS(vfs.NewCrashableMem())
	s := open(t, "data", options(fs))
	blocks := writer.Chain(0, journal.Hash{}, 4, 2)
	appendAll(t, s, blocks[:2])
	broken := errors.New("input/output error")
	fs.set(func(f *faultFS) { f.syncError = broken })
	if err := s.Append(t.Context(), blocks[2]); !errors.Is(err, local.ErrSyncFailed) || !errors.Is(err, broken) {
		t.Fatalf("got error %v, want ErrSyncFailed", err)
	}
	fs.set(func(f *faultFS) { f.syncError = nil })
	for _, b := range []*journal.Block{blocks[2], blocks[1]} {
		if err := s.Append(t.Context(), b); !errors.Is(err, local.ErrSyncFailed) {
			t.Fatalf("append after a failed sync: got error %v, want ErrSyncFailed", err)
		}
	}
	if _, err := s.Read(t.Context(), 3, nil); !errors.Is(err, cell.ErrNotFound) {
		t.Fatalf("read a block that was not acknowledged: got error %v, want ErrNotFound", err)
	}
	if _, err := s.Read(t.Context(), 2, nil); err != nil {
		t.Fatalf("reads must go on: %v", err)
	}
}
