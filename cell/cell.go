package cell

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/sterlingrun/sterling/clock"
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/ledger"
)

// Follower is told every block once it is durable, in order, by one goroutine; the index is one. Add may block: that
// slows writes down, and is how a follower that can't keep up asks for time.
type Follower interface {
	Add(b *journal.Block, fx *ledger.Effects) error // keeps neither b nor fx
	Applied() uint64                                // last block that was added
	Durable() uint64                                // last block whose traces survive a crash
	Flush(ctx context.Context) error                // makes all that was added durable
}

// Roomer is a Log or a Follower that can tell ahead of time whether a block of any size will fit.
type Roomer interface {
	Room() error // nil, or why not; a Log's wraps ErrFull
}

// TransferTimes tells whether a transfer has exactly this timestamp (ns), among all durable blocks.
type TransferTimes interface {
	TransferAt(ctx context.Context, timestamp uint64) (bool, error)
}

// Options of a cell. Log, Clock, Incarnation and HashKey are required.
type Options struct {
	ID          uint64
	Log         Log
	Snapshots   Snapshots // nil: none are taken
	IDs         IDFiles   // nil: all ids stay in memory
	Follower    Follower  // nil: none
	Clock       clock.Clock
	Logger      *slog.Logger
	Incarnation [16]byte // random for every start: the blocks of two writers never have the same hash
	// Shared: other nodes can append to the log, too. A read is then answered only once a block that was begun after it
	// is durable, since nothing else tells that this node still leads; and the last block does not stay without a
	// successor for long, since only that tells the others that it was acknowledged.
	Shared  bool
	HashKey [2]uint64 // random; used until a snapshot brings its own
	Alloc   ledger.Alloc
	Yield   func() // called every quarter of a millisecond or so while a large request is decided; nil: never

	Generation     int                                     // ids that stay in memory before they are written out; 0: ledger.DefaultGeneration
	SnapshotEvents uint64                                  // take a snapshot after so many events; 0: 6 million
	QueueLimit     int                                     // events that may wait; 0: 256 full blocks
	Progress       func(replayed, head uint64)             // called during recovery, may be nil
	AfterSnapshot  func()                                  // called when a snapshot has ended, taken or not; may be nil
	Fatal          func(error)                             // called once when the cell stops on a fault, may be nil
	OnBlock        func(b *journal.Block, blockEvents int) // observes durable blocks, may be nil
}

// Cell is one ledger over one journal. Its methods are safe for concurrent use.
type Cell struct {
	opts  Options
	state *ledger.State // owned by the sequencer
	queue queue

	free    chan *batch
	toLog   chan *batch
	toIndex chan *batch
	wake    chan struct{} // to the sequencer: look again
	inHand  atomic.Int32  // batches between the sequencer and the end of their append

	seq           uint64            // last block that was begun; owned by the sequencer, like the next two
	needs         []ledger.Need     // scratch
	pendingAssets *ledger.Catalogue // as of the last block that was begun
	head          journal.Hash      // of the last appended block; owned by the writer
	held          []*batch          // appended in doubt, or after one; owned by the writer
	doubt         atomic.Bool       // there are held batches: a block has to follow
	trailing      uint64            // last block that was begun with something in it; owned by the sequencer
	trailUntil    uint64            // clock.Mono: when it gets a successor, at the latest, that tells of it
	told          atomic.Uint64     // what the last appended block says was acknowledged
	tail          []tailBlock       // recovered, and not confirmed yet
	halfway       bool              // a block was replayed in part: the state is of no use any more
	epoch         atomic.Uint64
	leftBehind    bool     // the follower found no space before the cell stopped; owned by follow
	followed      progress // last block that is durable and that the follower has
	durable       atomic.Uint64
	assets        atomic.Pointer[ledger.Catalogue]
	headers       headerCache
	stats         stats

	guard    clockGuard
	snapshot snapshotting
	settling settling
	eager    int // see eagerEvents

	stop    context.CancelFunc
	ctx     context.Context
	running sync.WaitGroup
	failure atomic.Pointer[error]
	once    sync.Once
}

// batch is a block on its way, with whoever waits for it.
type batch struct {
	builder *journal.Builder
	fx      ledger.Effects
	header  journal.Header
	isBlock bool
	doubt   bool // at some try its outcome was unknown
	waiting []*Request
	block   *journal.Block
	assets  *ledger.Catalogue // to be published when the block is durable; nil: no change
}

const batches = 12

// Open recovers the state from the newest snapshot and the journal, takes the journal over with an epoch block and
// starts the cell. The context bounds only the recovery.
func Open(ctx context.Context, opts Options) (*Cell, error) {
	c, err := recovered(ctx, opts)
	if err != nil {
		return nil, err
	}
	c.run()
	return c, nil
}

// run starts a cell that has taken its journal over.
func (c *Cell) run() {
	c.stats.counts.Store(new(c.state.Counts())) // an idle cell tells what it recovered
	c.running.Add(3)
	go c.sequence()
	go c.write()
	go c.follow()
}

// recovered returns a cell that has taken its journal over and that nothing drives yet.
func recovered(ctx context.Context, opts Options) (*Cell, error) {
	c := newCell(opts)
	if err := c.recover(ctx); err != nil {
		return nil, fmt.Errorf("recover cell %d: %w", opts.ID, err)
	}
	if err := c.takeOver(ctx, 0); err != nil {
		return nil, fmt.Errorf("take over cell %d: %w", opts.ID, err)
	}
	return c, nil
}

func newCell(opts Options) *Cell {
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	if opts.SnapshotEvents == 0 {
		opts.SnapshotEvents = 6_000_000
	}
	if opts.QueueLimit == 0 {
		opts.QueueLimit = 256 * journal.MaxEvents
	}
	c := &Cell{
		opts: opts, free: make(chan *batch, batches), toLog: make(chan *batch, 1), toIndex: make(chan *batch, batches),
		wake: make(chan struct{}, 1), guard: clockGuard{clock: opts.Clock}, eager: eagerEvents,
	}
	c.snapshot.start, c.snapshot.piece = c.goSnapshot, snapshotPiece
	c.settling.start = c.goSettle
	c.queue.limit = opts.QueueLimit
	for range batches {
		c.free <- &batch{builder: journal.NewBuilder()}
	}
	return c
}

// Close finishes what is queued, then stops. Requests that come later get ErrStopped.
func (c *Cell) Close() error {
	c.queue.close()
	c.poke()
	c.running.Wait()
	c.stop()
	return c.Err()
}

// Err returns the fault that stopped the cell, or nil.
func (c *Cell) Err() error {
	if p := c.failure.Load(); p != nil {
		return *p
	}
	return nil
}

// fail stops the cell on a fault: nothing is acknowledged from here on.
func (c *Cell) fail(err error) {
	c.once.Do(func() {
		c.failure.Store(&err)
		c.opts.Logger.Error("the cell stops", "cell", c.opts.ID, "error", err)
		c.queue.close()
		c.stop()
		if c.opts.Fatal != nil {
			c.opts.Fatal(err)
		}
	})
	c.poke()
}

func (c *Cell) poke() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// ID is the cell's number.
func (c *Cell) ID() uint64 { return c.opts.ID }

// Epoch counts the takeovers of the journal, this one included.
func (c *Cell) Epoch() uint64 { return c.epoch.Load() }

// Head is the sequence number of the last durable block.
func (c *Cell) Head() uint64 { return c.durable.Load() }

// Assets returns the catalogue of assets, as of a durable block.
func (c *Cell) Assets() *ledger.Catalogue { return c.assets.Load() }

// errStopped explains why the cell does not answer.
func (c *Cell) errStopped() error {
	if err := c.Err(); err != nil {
		return errors.Join(ErrStopped, ErrOutcomeUnknown, err)
	}
	return ErrStopped
}
