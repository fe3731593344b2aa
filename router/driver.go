package router

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sterlingrun/sterling/cell"
	"github.com/sterlingrun/sterling/clock"
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/ledger"
	"github.com/sterlingrun/sterling/money"
)

// Local is the cell that a driver's node leads. [cell.Cell] is one.
type Local interface {
	Do(ctx context.Context, r *cell.Request) error
	LookupTransfers(ctx context.Context, ids []money.U128) ([]ledger.Transfer, error)
	ScanPendings(ctx context.Context, visit func(p *ledger.OpenPending)) error
	OpenPending(ctx context.Context, id money.U128) (ledger.OpenPending, bool, error)
	Assets() *ledger.Catalogue
}

// Peers reaches the leaders of the other cells.
type Peers interface {
	// Submit has the leader of a cell record steps (see [Accept]), and returns their statuses, in order. After an error
	// they may or may not be recorded; the same steps can be sent again.
	Submit(ctx context.Context, to uint64, s *Steps) ([]journal.Status, error)
}

// Steps are steps of transfers that the peer of their home records.
type Steps struct {
	Home  uint64
	Actor journal.Actor
	List  []Step
}

// Step is one of them. The number of its asset is of no meaning in another cell.
type Step struct {
	Record  journal.Transfer
	Details []byte // see [journal.Details]
	Asset   money.Asset
}

// Errors of a driver, wrapped with what was tried.
var (
	// ErrPeer: another cell did not answer in time, and the transfer was given up: its id is still free. Others of the
	// same call may have been recorded: send all of them again with the same ids.
	ErrPeer = errors.New("another cell does not answer: send again with the same ids")
	// ErrIdle: the node does not lead its cell.
	ErrIdle = errors.New("the driver of transfers to other cells does not run")
)

// driverActor is who a driver's own steps are by, in the journal.
var driverActor = journal.Actor([]byte("sterling transit"))

// Options of a driver. All are required but those with a default.
type Options struct {
	Cell   uint64
	Peers  Peers
	Clock  clock.Clock
	Random io.Reader // of the attempts' ids: crypto/rand
	Logger *slog.Logger
	// Owner tells which cell has an account now; nil: none ever moves.
	Owner func(account money.U128) uint64
	// Refresh has Owner know the newest map of cells; nil: Owner knows it by itself.
	Refresh func(ctx context.Context) error
	// HoldPatience is how long another cell may take to reserve; 0: 5 s.
	HoldPatience time.Duration
	// Busy is how many calls of Transfer and Settle are worked on at once; further ones wait. 0: 256.
	Busy int
}

// Driver is the coordinator of the transfers whose home is one cell. It works while its node leads the cell, between Lead
// and Stand; the journal is all it needs of what went before. Its methods are safe for concurrent use.
type Driver struct {
	opts  Options
	term  atomic.Pointer[term] // nil: the node does not lead
	stats driverStats
}

// NewDriver returns a driver that does nothing yet.
func NewDriver(opts Options) *Driver {
	if opts.HoldPatience == 0 {
		opts.HoldPatience = 5 * time.Second
	}
	if opts.Busy == 0 {
		opts.Busy = 256
	}
	return &Driver{opts: opts}
}

// term is the time between Lead and Stand.
type term struct {
	*Driver
	local   Local
	ctx     context.Context
	cancel  context.CancelFunc
	running sync.WaitGroup
	slots   chan struct{} // one per call that is worked on
	ready   chan struct{} // closed when all that was open is known
	known   system        // accounts that exist

	mu      sync.Mutex
	closed  bool
	busy    map[money.U128]chan struct{} // transfers that somebody is at work on; closed when that is over
	open    map[money.U128]uint64        // attempts between reserve and settle that are not in waiting, by reserve: when they began
	waiting map[money.U128]*attempt      // two-phase transfers that are pending, by id
	early   map[money.U128]bool          // two-phase transfers that ended before they were in waiting
	lanes   map[uint64]*lane             // by peer
	silent  map[uint64]*silence          // peers that did not answer

	expiries expiries      // of those in waiting
	wake     chan struct{} // the next expiry is another
}

// Lead begins to work for the cell that the node leads from now on. It returns as soon as the open reservations were
// looked through; what is open is driven in the background, from Stand to Stand.
func (d *Driver) Lead(ctx context.Context, local Local) error {
	d.Stand()
	t := &term{
		Driver: d, local: local, slots: make(chan struct{}, d.opts.Busy), ready: make(chan struct{}),
		busy: map[money.U128]chan struct{}{}, waiting: map[money.U128]*attempt{}, early: map[money.U128]bool{}, lanes: map[uint64]*lane{},
		open: map[money.U128]uint64{}, silent: map[uint64]*silence{}, wake: make(chan struct{}, 1),
	}
	t.ctx, t.cancel = context.WithCancel(context.Background())
	open, err := t.scan(ctx)
	if err != nil {
		t.cancel()
		return fmt.Errorf("look for transfers to other cells that are open: %w", err)
	}
	d.stats.undecided.Store(0)
	for i := range open {
		t.open[open[i].ID] = open[i].Timestamp
	}
	t.start(func() { t.recover(open) })
	t.start(t.watchExpiries)
	d.term.Store(t)
	return nil
}

// Stand ends the work of Lead, if it was called, and waits until nothing of it runs any more.
func (d *Driver) Stand() {
	if t := d.term.Swap(nil); t != nil {
		t.mu.Lock()
		t.closed = true
		t.mu.Unlock()
		t.cancel()
		t.running.Wait()
	}
}

// start runs f until Stand, and reports whether it does: not after Stand.
func (t *term) start(f func()) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return false
	}
	t.running.Go(f)
	return true
}

// enter waits for a turn to work on a caller's request. The caller must leave.
func (d *Driver) enter(ctx context.Context) (*term, error) {
	t := d.term.Load()
	if t == nil {
		return nil, ErrIdle
	}
	select {
	case <-t.ready:
	case <-t.ctx.Done():
		return nil, ErrIdle
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	select {
	case t.slots <- struct{}{}:
		return t, nil
	case <-t.ctx.Done():
		return nil, ErrIdle
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// work runs f in the term's own time: a caller that goes away does not leave a transfer halfway. The slot that enter took
// is free again when f has ended.
func (t *term) work(ctx context.Context, f func() error) error {
	done := make(chan error, 1)
	if !t.start(func() { done <- f(); <-t.slots }) {
		<-t.slots
		return ErrIdle
	}
	select {
	case err := <-done:
		if err != nil && t.ctx.Err() != nil && !errors.Is(err, cell.ErrOutcomeUnknown) { // no matter where it was cut off: the next leader goes on
			return fmt.Errorf("%w: %w", cell.ErrOutcomeUnknown, err)
		}
		return err
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", cell.ErrOutcomeUnknown, ctx.Err())
	}
}

// inTurns calls work with the places of ids, each once, and each only while nobody else is at work on its id.
func (t *term) inTurns(ids []money.U128, work func(places []int) error) error {
	left := make([]int, len(ids))
	for i := range left {
		left[i] = i
	}
	for len(left) > 0 {
		now, later, other := t.claim(ids, left)
		if len(now) == 0 {
			select {
			case <-other:
			case <-t.ctx.Done():
				return fmt.Errorf("%w: %w", cell.ErrOutcomeUnknown, ErrIdle)
			}
			continue
		}
		err := work(now)
		for _, i := range now {
			t.free(ids[i])
		}
		if err != nil {
			return err
		}
		left = later
	}
	return nil
}

// claim takes those of the ids at these places that nobody is at work on. The others are for later: other is closed when
// the first of them is free.
func (t *term) claim(ids []money.U128, places []int) (mine, later []int, other chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, i := range places {
		if busy := t.busy[ids[i]]; busy != nil {
			if later = append(later, i); other == nil {
				other = busy
			}
			continue
		}
		t.busy[ids[i]] = make(chan struct{})
		mine = append(mine, i)
	}
	return mine, later, other
}

// free lets the next one work on a transfer.
func (t *term) free(id money.U128) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if c := t.busy[id]; c != nil {
		close(c)
		delete(t.busy, id)
	}
}

// do has a batch recorded in the home cell.
func (t *term) do(actor journal.Actor, b *batch) ([]journal.Result, error) {
	r := &cell.Request{
		Kind: journal.KindTransfers, Actor: actor, Events: journal.Bytes(b.events), Attachments: b.attached,
		Results: make([]journal.Result, len(b.events)),
	}
	if err := t.local.Do(t.ctx, r); err != nil {
		return nil, fmt.Errorf("record %d steps: %w", len(b.events), err)
	}
	return r.Results, nil
}

// fresh returns a random id for an attempt.
func (d *Driver) fresh() (money.U128, error) {
	var b [16]byte
	if _, err := io.ReadFull(d.opts.Random, b[:]); err != nil {
		return money.U128{}, fmt.Errorf("read random numbers: %w", err)
	}
	return journal.MakeOwn(money.LE(b[:])), nil
}
