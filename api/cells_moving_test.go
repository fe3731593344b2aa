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

// TestCallsFollowABucketThatMoves: while a bucket moves there and back, no call by way of either node fails, and what is
// sent again exists: transfers within the bucket's cell, to another cell, and calls of several parts.
func TestCallsFollowABucketThatMoves(t *testing.T) {
	l := openCells(t)
	stored := &storedMap{now: l.cells[1].Router.Map()}
	movers := map[uint64]*mover.Runner{}
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
		movers[id] = mover.New(mover.Options{
			Cell: id, Peers: c.Network.(*router.Network), Maps: stored, Switched: c.Router.SetMap, Left: l.drivers[id].Rescan,
			Clock: clock.NewSystem(), Random: rand.Reader, Logger: slog.New(slog.DiscardHandler),
		})
		if err := movers[id].Lead(t.Context(), l.banks[id].cell.Cell); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(movers[id].Stand)
	}
	a, b := l.ids(1, 2), l.ids(2, 1)
	l.open(append(slices.Clone(a), b...)...)
	id, err := money.Parse(a[0])
	if err != nil {
		t.Fatal(err)
	}
	bucket := journal.Bucket(id)
	call := func(n int) string {
		return batchOf(one(fmt.Sprint(3*n+1000), a[0], a[1], 1, ""), one(fmt.Sprint(3*n+1001), a[0], b[0], 1, ""), one(fmt.Sprint(3*n+1002), b[0], a[0], 1, ""))
	}
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
			if got := statuses(t, l.banks[uint64(1+n%2)].call("CreateTransfers", call(n))); !slices.Equal(got, []string{"CREATED", "CREATED", "CREATED"}) {
				t.Errorf("call %d: %v", n, got)
				return
			}
		}
	}()
	for round := range 4 {
		from, to := uint64(1+round%2), uint64(2-round%2)
		if _, err := movers[from].Start(t.Context(), journal.Actor{1}, to, []uint16{bucket}); err != nil {
			t.Fatal(err)
		}
		eventually(t, func() bool { p, _ := movers[from].Progress(); return p.Ended != 0 })
		if p, _ := movers[from].Progress(); p.State != mover.Done || p.Moved[0].Pause > 5*time.Second {
			t.Fatalf("round %d: %+v", round, p)
		}
	}
	close(quit)
	n := <-sent
	for i := range n {
		if got := statuses(t, l.banks[uint64(2-i%2)].call("CreateTransfers", call(i))); !slices.Equal(got, []string{"EXISTS", "EXISTS", "EXISTS"}) {
			t.Errorf("call %d, sent again: %v", i, got)
		}
	}
	l.quiet()
	for id, posted := range map[string]int64{a[0]: int64(-n), a[1]: int64(n), b[0]: 0} {
		if got := l.posted(id); got != posted {
			t.Errorf("account %s has %d after %d calls, want %d", id, got, n, posted)
		}
	}
}
