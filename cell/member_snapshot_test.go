package cell_test

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"sync"
	"testing"

	"github.com/sterlingrun/sterling/cell"
)

// shelf is cell.Snapshots in memory, on a medium that takes its time.
type shelf struct {
	begun chan struct{} // a word when the first piece of a snapshot is to be written
	slow  chan struct{} // what is written waits until it is closed

	mu   sync.Mutex
	kept map[uint64][]byte
}

type onShelf struct {
	bytes.Buffer
	of  *shelf
	seq uint64
}

func (s *shelf) Create(seq uint64) (cell.SnapshotWriter, error) {
	select {
	case s.begun <- struct{}{}:
	default:
	}
	<-s.slow
	return &onShelf{of: s, seq: seq}, nil
}

func (f *onShelf) Commit() error {
	f.of.mu.Lock()
	defer f.of.mu.Unlock()
	f.of.kept[f.seq] = f.Bytes()
	return nil
}

func (f *onShelf) Abort() error { return nil }

func (s *shelf) List() (list []uint64, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for seq := range s.kept {
		list = append(list, seq)
	}
	slices.Sort(list)
	slices.Reverse(list)
	return list, nil
}

func (s *shelf) Open(seq uint64) (io.ReadCloser, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return io.NopCloser(bytes.NewReader(s.kept[seq])), nil
}

func (s *shelf) Remove(seq uint64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.kept, seq)
	return nil
}

// TestAStandbyFollowsWhileItTakesASnapshot: and takes over while it does, and the snapshot is good in the end.
func TestAStandbyFollowsWhileItTakesASnapshot(t *testing.T) {
	e := &engine{}
	a := join(t, e, "a", nil)
	a.awaitLead(t)
	kept := &shelf{begun: make(chan struct{}, 1), slow: make(chan struct{}), kept: map[uint64][]byte{}}
	release := sync.OnceFunc(func() { close(kept.slow) })
	defer release() // or the members could not be closed
	b := join(t, e, "b", func(o *cell.MemberOptions) { o.Snapshots, o.SnapshotEvents = kept, 4 })
	t.Cleanup(release)
	openAccounts(t, a)
	paid := uint64(0)
	payMore := func(p *peer) {
		t.Helper()
		paid++
		if _, err := pay(t.Context(), 100+paid, p); err != nil {
			t.Fatal(err)
		}
	}
	for begun := false; !begun; {
		payMore(a)
		select {
		case <-kept.begun:
			begun = true
		default:
		}
	}
	payMore(a)
	head := a.Head()
	await(t, func() bool { return b.Head() >= head })

	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	b.awaitLead(t)
	payMore(b)
	release()
	await(t, func() bool { list, err := kept.List(); return err == nil && len(list) > 0 })

	// What was begun by a standby and ended by a leader is a start's.
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	again := join(t, e, "b", func(o *cell.MemberOptions) { o.Snapshots, o.SnapshotEvents = kept, 1<<40 })
	again.awaitLead(t)
	if got := again.Stats().Transfers; got != paid {
		t.Errorf("%d transfers are there, want %d", got, paid)
	}
	if err := again.Err(); err != nil && !errors.Is(err, cell.ErrStopped) {
		t.Error(err)
	}
}
