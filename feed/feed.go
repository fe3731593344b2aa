package feed

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sterlingrun/sterling/cell"
	"github.com/sterlingrun/sterling/clock"
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/ledger"
	"github.com/sterlingrun/sterling/money"
)

// Log is where blocks are read from; a cell.Log is one.
type Log interface {
	Read(ctx context.Context, seq uint64, dst []byte) ([]byte, error)
	ReadAt(ctx context.Context, seq uint64, p []byte, offset int) error
}

// Ledger tells what a block alone can't. [cell.Cell] does.
type Ledger interface {
	Transfer(ctx context.Context, p journal.Position) (ledger.Transfer, error)
	LookupTransfers(ctx context.Context, ids []money.U128) ([]ledger.Transfer, error)
	Assets() *ledger.Catalogue
	Head() uint64 // sequence number of the last durable block
}

// Errors of Subscribe and Next, wrapped with what was tried.
var (
	ErrClosed    = errors.New("the feed is closed")
	ErrTooMany   = errors.New("too many subscriptions")
	ErrWrongCell = errors.New("the position is of another cell")
	ErrAhead     = errors.New("the position is beyond the end of the journal: the consumer has seen what this journal does not have")
)

// Options of a feed. All but MaxSubscriptions are required.
type Options struct {
	Cell  uint64
	Log   Log
	Clock clock.Clock
	// MaxSubscriptions bounds how many may be open at once; 0: 1,024.
	MaxSubscriptions int
}

const (
	defaultSubscriptions = 1024
	// Between two wake-ups of all subscribers lie pulseEach for each of them, within bounds: however small the blocks are
	// and however many wait, waking them takes a small part of a core (about 3 µs each), and few see events at once.
	pulseEach     = 50 * time.Microsecond
	shortestPause = 5 * time.Millisecond
	longestPause  = 30 * time.Millisecond
	// cachedPages are kept of the blocks that were read from the journal, for those who catch up.
	cachedPages = 8
	// loaders read the journal at the same time.
	loaders = 2
)

// Feed is one cell's change feed. Its methods are safe for concurrent use.
type Feed struct {
	opts   Options
	ledger Ledger
	tail   tail
	names  names
	groups groups

	head   atomic.Uint64
	open   atomic.Int32  // subscriptions
	signal chan struct{} // to pulse: there is a new block

	mu      sync.Mutex
	changed chan struct{} // closed when head has moved

	loading chan struct{} // one token per loader
	cacheMu sync.Mutex
	cache   []*page // of the journal, least recently used first

	stop    chan struct{}
	once    sync.Once
	running sync.WaitGroup
}

// New returns a feed that does nothing yet: its OnBlock is given to the cell, and Start the cell to it.
func New(opts Options) *Feed {
	if opts.MaxSubscriptions == 0 {
		opts.MaxSubscriptions = defaultSubscriptions
	}
	return &Feed{
		opts: opts, signal: make(chan struct{}, 1), changed: make(chan struct{}), loading: make(chan struct{}, loaders), stop: make(chan struct{}),
	}
}

// Start opens the feed over a recovered cell. Close ends it.
func (f *Feed) Start(l Ledger) {
	f.ledger = l
	f.advance(l.Head())
	f.running.Add(1)
	go f.pulse()
}

// Close ends all subscriptions and waits for what runs.
func (f *Feed) Close() {
	f.once.Do(func() { close(f.stop) })
	f.running.Wait()
}

// OnBlock tells of a durable, acknowledged block. It is called by the cell's writer, in order, and keeps nothing of b.
func (f *Feed) OnBlock(b *journal.Block, _ int) {
	if f.open.Load() > 0 {
		f.tail.add(newPage(b.Clone()))
	}
	f.advance(b.Header.Seq)
}

func (f *Feed) advance(seq uint64) {
	for {
		head := f.head.Load()
		if seq <= head {
			return
		}
		if f.head.CompareAndSwap(head, seq) {
			break
		}
	}
	select {
	case f.signal <- struct{}{}:
	default:
	}
}

// Head is the sequence number of the last block that subscribers may see.
func (f *Feed) Head() uint64 { return f.head.Load() }

// Cell is the number of the feed's cell.
func (f *Feed) Cell() uint64 { return f.opts.Cell }

// Catalogue returns the assets, as of a durable block.
func (f *Feed) Catalogue() *ledger.Catalogue { return f.ledger.Assets() }

// pulse is the goroutine that wakes subscribers.
func (f *Feed) pulse() {
	defer f.running.Done()
	for {
		select {
		case <-f.signal:
		case <-f.stop:
			return
		}
		f.mu.Lock()
		close(f.changed)
		f.changed = make(chan struct{})
		f.mu.Unlock()
		pause, give := f.opts.Clock.After(min(max(shortestPause, time.Duration(f.open.Load())*pulseEach), longestPause))
		select {
		case <-pause:
		case <-f.stop:
		}
		give()
	}
}

// await returns true once block seq may be seen, or false after d.
func (f *Feed) await(ctx context.Context, seq uint64, d time.Duration) (bool, error) {
	var late <-chan time.Time
	for {
		f.mu.Lock()
		changed := f.changed
		f.mu.Unlock()
		if f.head.Load() >= seq {
			return true, nil
		}
		if late == nil {
			fired, stop := f.opts.Clock.After(d)
			defer stop()
			late = fired
		}
		select {
		case <-changed:
		case <-late:
			return false, nil
		case <-ctx.Done():
			return false, ctx.Err()
		case <-f.stop:
			return false, ErrClosed
		}
	}
}

// page returns block seq: from the tail, from the pages read lately, or from the journal.
func (f *Feed) page(ctx context.Context, seq uint64) (*page, error) {
	if p := f.tail.find(seq); p != nil {
		return p, nil
	}
	if p := f.cached(seq); p != nil {
		return p, nil
	}
	select {
	case f.loading <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-f.stop:
		return nil, ErrClosed
	}
	defer func() { <-f.loading }()
	if p := f.cached(seq); p != nil { // somebody else has read it meanwhile
		return p, nil
	}
	p, err := f.load(ctx, seq)
	if err != nil {
		return nil, err
	}
	f.keep(p)
	return p, nil
}

func (f *Feed) load(ctx context.Context, seq uint64) (*page, error) {
	raw, err := f.opts.Log.Read(ctx, seq, nil)
	if err != nil {
		return nil, fmt.Errorf("read block %d for the feed: %w", seq, err)
	}
	k, err := journal.Decode(raw)
	if err != nil {
		return nil, fmt.Errorf("read block %d for the feed: %w", seq, err)
	}
	if k.Header.Seq != seq || k.Header.Cell != f.opts.Cell {
		return nil, fmt.Errorf("%w: block %d of cell %d stands in the place of block %d", cell.ErrDamaged, k.Header.Seq, k.Header.Cell, seq)
	}
	return newPage(k), nil
}

func (f *Feed) cached(seq uint64) *page {
	f.cacheMu.Lock()
	defer f.cacheMu.Unlock()
	for i, p := range f.cache {
		if p.block.Header.Seq == seq {
			copy(f.cache[i:], f.cache[i+1:])
			f.cache[len(f.cache)-1] = p
			return p
		}
	}
	return nil
}

func (f *Feed) keep(p *page) {
	f.cacheMu.Lock()
	defer f.cacheMu.Unlock()
	if len(f.cache) == cachedPages {
		f.cache[0].shared.drop()
		copy(f.cache, f.cache[1:])
		f.cache = f.cache[:cachedPages-1]
	}
	f.cache = append(f.cache, p)
}

// leave is called when a subscription ends.
func (f *Feed) leave() {
	if f.open.Add(-1) > 0 {
		return
	}
	f.tail.clear()
	f.cacheMu.Lock()
	for _, p := range f.cache {
		p.shared.drop()
	}
	f.cache = nil
	f.cacheMu.Unlock()
}
