package mover

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sterlingrun/sterling/cell"
	"github.com/sterlingrun/sterling/clock"
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/ledger"
	"github.com/sterlingrun/sterling/money"
	"github.com/sterlingrun/sterling/router"
)

// Local is the cell that gives: the one that the runner's node leads. [cell.Cell] is one.
type Local interface {
	Do(ctx context.Context, r *cell.Request) error
	Read(ctx context.Context, fn func(*ledger.State)) error
	Assets() *ledger.Catalogue
	Head() uint64
	Blocks(ctx context.Context, from, to uint64, visit func(k *journal.Block) error) error
	Fact(ctx context.Context, p journal.Position) (ledger.Fact, error)
	LookupTransfers(ctx context.Context, ids []money.U128) ([]ledger.Transfer, error)
}

// Peers reaches the leaders of the other cells. [router.Network] does.
type Peers interface {
	// Record has the leader of a cell record a part of a move, and returns a status for each event.
	Record(ctx context.Context, to uint64, r *router.Record) ([]journal.Status, error)
	// Buckets tells where buckets stand in a cell, once its map is of a version, or a newer one.
	Buckets(ctx context.Context, in, version uint64, buckets []uint16) ([]router.BucketReport, error)
}

// Errors of Start, wrapped with what to do about them.
var (
	// ErrIdle: the node does not lead its cell.
	ErrIdle = errors.New("the node does not lead its cell, and moves nothing")
	// ErrBusy: another move is under way.
	ErrBusy = errors.New("another move is under way in this cell")
	// ErrAsked: what was asked for can't be done; the text says why.
	ErrAsked = errors.New("move buckets")
)

// Options of a runner. All are required.
type Options struct {
	Cell  uint64
	Peers Peers
	Maps  router.Maps
	// Switched is told of each new map that the runner has made.
	Switched func(m *router.Map)
	// Left is called when reservations have left with a bucket, or were split: see [router.Driver.Rescan].
	Left   func(ctx context.Context) error
	Clock  clock.Clock
	Random io.Reader // of the moves' ids: crypto/rand
	Logger *slog.Logger
}

// Runner moves buckets while its node leads the cell, between Lead and Stand. Its methods are safe for concurrent use.
type Runner struct {
	opts  Options
	term  atomic.Pointer[term] // nil: the node does not lead
	stats stats
}

// New returns a runner that does nothing yet.
func New(opts Options) *Runner { return &Runner{opts: opts, stats: newStats()} }

// term is the time between Lead and Stand.
type term struct {
	*Runner
	local   Local
	ctx     context.Context
	cancel  context.CancelFunc
	running sync.WaitGroup
	turn    chan struct{} // has one element while nobody moves a bucket

	mu     sync.Mutex
	closed bool
	job    *job // the newest; nil: none yet
}

// Lead begins to work for the cell that the node leads from now on. What a leader before left open is brought to its end
// in the background.
func (r *Runner) Lead(ctx context.Context, local Local) error {
	r.Stand()
	var open []ledger.BucketState
	err := local.Read(ctx, func(s *ledger.State) {
		for _, b := range s.Buckets() {
			if b.Phase == ledger.Closing || b.Phase == ledger.Given {
				open = append(open, b)
			}
		}
	})
	if err != nil {
		return fmt.Errorf("look for buckets that are moving: %w", err)
	}
	t := &term{Runner: r, local: local, turn: make(chan struct{}, 1)}
	t.ctx, t.cancel = context.WithCancel(context.Background())
	t.running.Go(func() {
		t.resume(open)
		t.turn <- struct{}{}
	})
	r.term.Store(t)
	return nil
}

// Stand ends the work of Lead, if it was called, and waits until nothing of it runs any more.
func (r *Runner) Stand() {
	if t := r.term.Swap(nil); t != nil {
		t.mu.Lock()
		t.closed = true
		t.mu.Unlock()
		t.cancel()
		t.running.Wait()
	}
}

// Start begins to move buckets of the runner's cell to another one, by an actor's order, and tells how far that is. Those
// that are the other cell's already are done. Where the move that is under way has all of them, that goes on.
func (r *Runner) Start(ctx context.Context, actor journal.Actor, to uint64, buckets []uint16) (Progress, error) {
	t := r.term.Load()
	if t == nil {
		return Progress{}, ErrIdle
	}
	m, err := loadMap(ctx, t.opts.Maps)
	if err != nil {
		return Progress{}, err
	}
	todo, err := t.plan(m, to, buckets)
	if err != nil {
		return Progress{}, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if j := t.job; j != nil && !j.ended() {
		if j.to == to && j.has(todo) {
			return j.progress(), nil
		}
		return Progress{}, fmt.Errorf("%w: to cell %d: wait for its end, or stop it", ErrBusy, j.to)
	}
	if t.closed {
		return Progress{}, ErrIdle
	}
	j := newJob(t, actor, to, buckets, todo)
	t.job = j
	t.running.Go(j.run)
	return j.progress(), nil
}

// Plan tells what Start would move, and moves nothing.
func (r *Runner) Plan(ctx context.Context, to uint64, buckets []uint16) (p Progress, err error) {
	t := r.term.Load()
	if t == nil {
		return p, ErrIdle
	}
	m, err := loadMap(ctx, t.opts.Maps)
	if err != nil {
		return p, err
	}
	todo, err := t.plan(m, to, buckets)
	if err != nil {
		return p, err
	}
	p = Progress{To: to, Buckets: len(buckets), Already: len(buckets) - len(todo), Blocks: t.local.Head()}
	list, err := router.Report(ctx, t.local, todo)
	for i := range list {
		p.Accounts, p.Reservations = p.Accounts+list[i].Present, p.Reservations+list[i].Reserved
	}
	return p, err
}

// Progress tells how far the newest move is; ok is false where there was none since the node leads.
func (r *Runner) Progress() (p Progress, ok bool) {
	t := r.term.Load()
	if t == nil {
		return p, false
	}
	t.mu.Lock()
	j := t.job
	t.mu.Unlock()
	if j == nil {
		return p, false
	}
	return j.progress(), true
}

// Stop ends the move that is under way after its present bucket.
func (r *Runner) Stop() {
	if t := r.term.Load(); t != nil {
		t.mu.Lock()
		defer t.mu.Unlock()
		if t.job != nil {
			t.job.stop()
		}
	}
}

// plan returns those of the buckets that are to be moved.
func (t *term) plan(m *router.Map, to uint64, buckets []uint16) (todo []uint16, err error) {
	if m.Cell(to) == nil {
		return nil, fmt.Errorf("%w: cell %d is not in the map of cells: `sterling cell list` shows those that are", ErrAsked, to)
	}
	if len(buckets) == 0 || len(buckets) > router.Buckets {
		return nil, fmt.Errorf("%w: %d buckets: want 1 to %d", ErrAsked, len(buckets), router.Buckets)
	}
	seen := map[uint16]bool{}
	for _, b := range buckets {
		switch {
		case b >= router.Buckets || seen[b]:
			return nil, fmt.Errorf("%w: bucket %d: want each of 0 to %d once", ErrAsked, b, router.Buckets-1)
		case m.Buckets[b] == to:
		case m.Buckets[b] != t.opts.Cell:
			return nil, fmt.Errorf("%w: bucket %d is of cell %d: ask a node of that one", ErrAsked, b, m.Buckets[b])
		default:
			todo = append(todo, b)
		}
		seen[b] = true
	}
	slices.Sort(todo)
	return todo, nil
}

func loadMap(ctx context.Context, maps router.Maps) (*router.Map, error) {
	version, raw, err := maps.Load(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the map of cells: %w", err)
	}
	return router.DecodeMap(version, raw)
}

// pause grows from 5 ms to 1 s.
func pause(try int) time.Duration { return min(5*time.Millisecond<<min(try, 10), time.Second) }
