package cell_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/sterlingrun/sterling/cell"
	"github.com/sterlingrun/sterling/clock"
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/ledger"
	"github.com/sterlingrun/sterling/money"
)

// crowded is a follower on a disk that can be full.
type crowded struct {
	cell.Follower
	full  *atomic.Bool
	tells bool // Room says so, and not only Add
	tried chan struct{}
}

func (f *crowded) Add(b *journal.Block, fx *ledger.Effects) error {
	if !f.full.Load() {
		return f.Follower.Add(b, fx)
	}
	select {
	case f.tried <- struct{}{}:
	default:
	}
	return fmt.Errorf("index block %d: %w", b.Header.Seq, syscall.ENOSPC)
}

func (f *crowded) Room() error {
	if f.tells && f.full.Load() {
		return syscall.ENOSPC
	}
	return nil
}

func newCrowded(t *testing.T, tells bool) (*bank, *crowded) {
	t.Helper()
	b := newBank(t, func(o *cell.Options) { o.Clock = clock.NewSystem() })
	b.close()
	f := &crowded{full: new(atomic.Bool), tells: tells, tried: make(chan struct{}, 1)}
	b.wrap = func(inner cell.Follower) cell.Follower {
		f.Follower = inner
		return f
	}
	b.open()
	do(b, journal.KindAccounts, account(1), account(2))
	return b, f
}

// TestAFollowerWithoutSpaceStopsWritesNotReads: the index shares the disk with the journal.
func TestAFollowerWithoutSpaceStopsWritesNotReads(t *testing.T) {
	b, f := newCrowded(t, true)
	f.full.Store(true)
	tr := []journal.Transfer{transfer(10, 1, 2, 5)}
	r := &cell.Request{Kind: journal.KindTransfers, Events: journal.Bytes(tr), Results: make([]journal.Result, 1)}
	if err := b.Do(context.Background(), r); !errors.Is(err, cell.ErrFull) {
		t.Fatalf("a write on a full disk: %v", err)
	}
	if got := b.balance(2).CreditsPosted; !got.IsZero() || !b.Stats().NoRoom {
		t.Errorf("credits posted %v, stats %+v", got, b.Stats())
	}
	f.full.Store(false)
	b.want(do(b, journal.KindTransfers, tr...), "created")
	if got := b.balance(2).CreditsPosted; got != money.From(5) || b.Stats().NoRoom {
		t.Errorf("credits posted %v, stats %+v", got, b.Stats())
	}
}

// TestAFollowerThatRunsOutOfSpaceIsWaitedFor: blocks that are durable already are kept for it.
func TestAFollowerThatRunsOutOfSpaceIsWaitedFor(t *testing.T) {
	b, f := newCrowded(t, false)
	f.full.Store(true)
	for i := range uint64(3) {
		b.want(do(b, journal.KindTransfers, transfer(10+i, 1, 2, 5)), "created")
	}
	<-f.tried
	if got := b.balance(2).CreditsPosted; got != money.From(15) || b.Err() != nil {
		t.Errorf("credits posted %v, the cell has stopped with %v", got, b.Err())
	}
	f.full.Store(false)
	if err := b.index.WaitFor(t.Context(), b.Head()); err != nil {
		t.Error(err)
	}
}

// TestACellStopsWithoutItsFollower: a full disk must not keep it from stopping, and the next start mends the index.
func TestACellStopsWithoutItsFollower(t *testing.T) {
	b, f := newCrowded(t, false)
	f.full.Store(true)
	for i := range uint64(3) {
		b.want(do(b, journal.KindTransfers, transfer(10+i, 1, 2, 5)), "created")
	}
	<-f.tried
	b.close()
	f.full.Store(false)
	b.open()
	if err := b.index.WaitFor(t.Context(), b.Head()); err != nil {
		t.Error(err)
	}
	if got := b.balance(2).CreditsPosted; got != money.From(15) {
		t.Errorf("credits posted %v", got)
	}
}

// TestEveryCallIsAnsweredWhenTheFollowerFails: a fault stops the cell; nobody may wait for it forever.
func TestEveryCallIsAnsweredWhenTheFollowerFails(t *testing.T) {
	for range 30 {
		b := newBank(t, func(o *cell.Options) { o.Clock, o.SnapshotEvents = clock.NewSystem(), 50 })
		b.close()
		f := &failing{after: 3}
		b.wrap = func(inner cell.Follower) cell.Follower {
			f.Follower = inner
			return f
		}
		b.open()
		do(b, journal.KindAccounts, account(1), account(2))
		var clients sync.WaitGroup
		for c := range uint64(16) {
			clients.Go(func() {
				for i := uint64(0); ; i++ {
					list := make([]journal.Transfer, 20)
					for k := range list {
						list[k] = transfer(1+c<<32+i<<16+uint64(k), 1, 2, 1)
					}
					r := &cell.Request{Kind: journal.KindTransfers, Events: journal.Bytes(list), Results: make([]journal.Result, len(list))}
					if err := b.Do(context.Background(), r); err != nil {
						if !errors.Is(err, cell.ErrStopped) && !errors.Is(err, cell.ErrOutcomeUnknown) {
							t.Errorf("client %d: %v", c, err)
						}
						return
					}
					if _, err := b.LookupAccounts(context.Background(), []money.U128{money.From(1)}); err != nil {
						return
					}
				}
			})
		}
		clients.Wait()
		if err := b.Close(); !errors.Is(err, errBroken) {
			t.Fatalf("the cell stopped with %v", err)
		}
		_ = errors.Join(b.store.Close(), b.index.Close())
		b.Cell = nil
	}
}

var errBroken = errors.New("broken")

// failing is a follower that breaks after some blocks.
type failing struct {
	cell.Follower
	after int
}

func (f *failing) Add(b *journal.Block, fx *ledger.Effects) error {
	if f.after--; f.after < 0 {
		return errBroken
	}
	return f.Follower.Add(b, fx)
}
