package api_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/sterlingrun/sterling/clock"
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/money"
	"github.com/sterlingrun/sterling/router"
	"github.com/sterlingrun/sterling/router/mover"
)

// storedMap is the map of cells that the nodes share.
type storedMap struct {
	mu  sync.Mutex
	now *router.Map
}

func (s *storedMap) Load(context.Context) (uint64, []byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	raw, err := s.now.Encode()
	return s.now.Version, raw, err
}

func (s *storedMap) Swap(_ context.Context, was uint64, raw []byte) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.now.Version != was {
		return false, nil
	}
	m, err := router.DecodeMap(was+1, raw)
	if err == nil {
		s.now = m
	}
	return err == nil, err
}

// movable are two cells whose buckets move: two accounts of the first one, the first of which is in the bucket that moves, and
// one of the second.
type movable struct {
	*ledgerOfCells
	movers map[uint64]*mover.Runner
	bucket uint16
	a, b   []string
}

func openMovable(t *testing.T) *movable {
	t.Helper()
	l := &movable{ledgerOfCells: openCells(t), movers: map[uint64]*mover.Runner{}}
	stored := &storedMap{now: l.cells[1].Router.Map()}
	for id, c := range l.cells {
		c.Refresh = func(ctx context.Context, _ uint64) error {
			version, raw, err := stored.Load(ctx)
			if err != nil {
				return err
			}
			m, err := router.DecodeMap(version, raw)
			if err == nil {
				c.Router.SetMap(m)
			}
			return err
		}
		l.movers[id] = mover.New(mover.Options{
			Cell: id, Peers: c.Network.(*router.Network), Maps: stored, Switched: c.Router.SetMap, Left: l.drivers[id].Rescan,
			Clock: clock.NewSystem(), Random: rand.Reader, Logger: slog.New(slog.DiscardHandler),
		})
		if err := l.movers[id].Lead(t.Context(), l.banks[id].cell.Cell); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(l.movers[id].Stand)
	}
	l.a, l.b = l.ids(1, 2), l.ids(2, 1)
	l.open(append(slices.Clone(l.a), l.b...)...)
	id, err := money.Parse(l.a[0])
	if err != nil {
		t.Fatal(err)
	}
	l.bucket = journal.Bucket(id)
	return l
}

// move moves the bucket and waits until it has arrived.
func (l *movable) move(from, to uint64) error {
	if _, err := l.movers[from].Start(l.t.Context(), journal.Actor{1}, to, []uint16{l.bucket}); err != nil {
		return err
	}
	eventually(l.t, func() bool { p, _ := l.movers[from].Progress(); return p.Ended != 0 })
	if p, _ := l.movers[from].Progress(); p.State != mover.Done || p.Moved[0].Pause > 5*time.Second {
		return fmt.Errorf("move to cell %d: %+v", to, p)
	}
	return nil
}

// call is the n-th call of three transfers: within the bucket's first cell, to the second one, and back.
func (l *movable) call(n int) string {
	return batchOf(one(fmt.Sprint(3*n+1000), l.a[0], l.a[1], 1, ""), one(fmt.Sprint(3*n+1001), l.a[0], l.b[0], 1, ""), one(fmt.Sprint(3*n+1002), l.b[0], l.a[0], 1, ""))
}

// TestCallsFollowABucketThatMoves: while a bucket moves there and back, no call by way of either node fails, and what is
// sent again exists: transfers within the bucket's cell, to another cell, and calls of several parts.
func TestCallsFollowABucketThatMoves(t *testing.T) {
	l := openMovable(t)
	quit, sent := make(chan struct{}), make(chan int)
	go func() {
		n := 0
		defer func() { sent <- n }()
		for ; ; n++ {
			select {
			case <-quit:
				return
			default:
			}
			if got := statuses(t, l.banks[uint64(1+n%2)].call("CreateTransfers", l.call(n))); !slices.Equal(got, []string{"CREATED", "CREATED", "CREATED"}) {
				t.Errorf("call %d: %v", n, got)
				return
			}
		}
	}()
	for round := range 20 {
		if err := l.move(uint64(1+round%2), uint64(2-round%2)); err != nil {
			t.Fatal(err)
		}
	}
	close(quit)
	n := <-sent
	for i := range n {
		if got := statuses(t, l.banks[uint64(2-i%2)].call("CreateTransfers", l.call(i))); !slices.Equal(got, []string{"EXISTS", "EXISTS", "EXISTS"}) {
			t.Errorf("call %d, sent again: %v", i, got)
		}
	}
	l.quiet()
	for id, posted := range map[string]int64{l.a[0]: int64(-n), l.a[1]: int64(n), l.b[0]: 0} {
		if got := l.posted(id); got != posted {
			t.Errorf("account %s has %d after %d calls, want %d", id, got, n, posted)
		}
	}
}
