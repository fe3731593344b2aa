package feed

import (
	"context"
	"fmt"
	"sort"
	"sync"
	"time"

	"github.com/sterlingrun/sterling/journal"
)

// Start is where a subscription begins. See After, Beginning, Since and Now.
type Start struct {
	how startKind
	pos Position
	ts  uint64
}

type startKind int

const (
	startAfter startKind = iota + 1
	startSince
	startNow
)

// After begins with the first event after p.
func After(p Position) Start { return Start{how: startAfter, pos: p} }

// Beginning begins with the first event there is.
func Beginning() Start { return Start{how: startSince} }

// Since begins with the first event that the journal recorded at or after a time, ns since 1970.
func Since(timestamp uint64) Start { return Start{how: startSince, ts: timestamp} }

// Now begins with the first event after the call.
func Now() Start { return Start{how: startNow} }

const (
	// Heartbeat is how long Next waits for an event before it returns without one.
	Heartbeat = time.Second
	// batchBytes (about, as the API sends it) and batchPages (bytes of the blocks that it keeps in memory) bound a batch.
	batchBytes = 256 << 10
	batchPages = 8 << 20
	eventBytes = 300 // an event without its attachment, about
	// batchTime is how long a batch with events waits for more of them while the journal has more blocks.
	batchTime = 20 * time.Millisecond
)

// Batch is a run of events, in order.
type Batch struct {
	Events    []Event  // together about 256 KiB, unless a single one has more
	Resume    Position // everything up to here is in this batch or an earlier one, or does not match
	BlockTime uint64   // of Resume's block, ns since 1970; 0 where no block was read yet
	Head      uint64   // sequence number of the last durable block
}

// Subscription reads the feed from one place on. One goroutine uses it.
type Subscription struct {
	feed    *Feed
	matcher *matcher
	at      Position
	time    uint64
	closing sync.Once
}

// Subscribe begins to read. It fails with ErrFilter, ErrPosition, ErrWrongCell, ErrAhead, ErrTooMany or ErrClosed. The
// subscription must be closed.
func (f *Feed) Subscribe(ctx context.Context, from Start, filter Filter) (*Subscription, error) {
	if err := filter.check(); err != nil {
		return nil, err
	}
	select {
	case <-f.stop:
		return nil, ErrClosed
	default:
	}
	if int(f.open.Add(1)) > f.opts.MaxSubscriptions {
		f.leave()
		return nil, fmt.Errorf("%w: %d are open", ErrTooMany, f.opts.MaxSubscriptions)
	}
	at, err := f.find(ctx, from)
	if err != nil {
		f.leave()
		return nil, err
	}
	return &Subscription{feed: f, matcher: newMatcher(&filter, f.Catalogue), at: at}, nil
}

// Close ends the subscription.
func (s *Subscription) Close() { s.closing.Do(s.feed.leave) }

// Position is what Next goes on after.
func (s *Subscription) Position() Position { return s.at }

// find returns the position to begin after.
func (f *Feed) find(ctx context.Context, from Start) (Position, error) {
	head := f.Head()
	switch from.how {
	case startAfter:
		p := from.pos
		if err := p.check(); err != nil {
			return p, err
		}
		if p.Cell != f.opts.Cell {
			return p, fmt.Errorf("%w: this is cell %d, the position is of cell %d", ErrWrongCell, f.opts.Cell, p.Cell)
		}
		if p.Seq > head {
			return p, fmt.Errorf("%w: its last block is %d, the position is %v", ErrAhead, head, p)
		}
		return p, nil
	case startNow:
		return AfterBlock(f.opts.Cell, head), nil
	case startSince:
		return f.since(ctx, head, from.ts)
	}
	return Position{}, fmt.Errorf("%w: a subscription has to say where it starts", ErrPosition)
}

// since finds by bisection the first block that has the time or a later one.
func (f *Feed) since(ctx context.Context, head, ts uint64) (Position, error) {
	var failed error
	var last journal.Header
	n := sort.Search(int(head), func(i int) bool { //nolint:gosec // 48 bits
		if failed != nil || ts == 0 {
			return true
		}
		var b [journal.HeaderSize]byte
		if failed = f.opts.Log.ReadAt(ctx, uint64(i)+1, b[:], 0); failed != nil { //nolint:gosec // i ≥ 0
			return true
		}
		h, err := journal.DecodeHeader(b[:])
		failed = err
		if err != nil {
			return true
		}
		if h.End() > ts {
			last = h
			return true
		}
		return false
	})
	if failed != nil {
		return Position{}, fmt.Errorf("find the block of time %d: %w", ts, failed)
	}
	p := AfterBlock(f.opts.Cell, uint64(n)) //nolint:gosec // n ≥ 0
	if last.Seq == p.Seq+1 && last.Time < ts {
		return Position{p.Cell, last.Seq, int(ts-last.Time) - 1}, nil //nolint:gosec // less than the block has events
	}
	return p, nil
}

// Next returns the next events that match. Where there are none for a while it returns a batch without events, with the
// position reached. It fails with ErrClosed, with ctx's error, or where the journal can't be read.
func (s *Subscription) Next(ctx context.Context) (Batch, error) {
	g := gatherer{s: s, space: batchBytes}
	if err := s.read(ctx, &g); err != nil {
		return Batch{}, err
	}
	return Batch{Events: g.events, Resume: s.at, BlockTime: s.time, Head: s.feed.Head()}, nil
}

// reader takes pages in, one after the other.
type reader interface {
	// page takes what matches on a page from an index on, and moves the subscription behind that. It is full when it
	// can't take more.
	page(ctx context.Context, p *page, from int) (full bool, err error)
	empty() bool
}

// read gives pages to r until it is full, has something and waited long enough for more, or time is up.
func (s *Subscription) read(ctx context.Context, r reader) error {
	f := s.feed
	began := f.opts.Clock.Mono()
	elapsed := func() time.Duration { return time.Duration(f.opts.Clock.Mono() - began) } //nolint:gosec // small
	for {
		seq, from := s.at.next()
		if seq > f.Head() {
			if !r.empty() {
				return nil
			}
			if more, err := f.await(ctx, seq, max(0, Heartbeat-elapsed())); err != nil || !more {
				return err
			}
		}
		if err := f.ended(ctx); err != nil {
			return err
		}
		p, err := f.page(ctx, seq)
		if err != nil {
			return err
		}
		full, err := r.page(ctx, p, from)
		if err != nil {
			return err
		}
		late := elapsed()
		if full || !r.empty() && late >= batchTime || late >= Heartbeat {
			return nil
		}
	}
}

// reach moves the subscription to a position on a page.
func (s *Subscription) reach(p *page, at Position) { s.at, s.time = at, p.block.Header.Time }

// passes reports whether nothing of a page can match, where its summary tells.
func (m *matcher) passes(ctx context.Context, f *Feed, p *page) (bool, error) {
	probes := m.probes()
	if p.block.Header.Events == 0 || len(probes) == 0 {
		return false, nil
	}
	may, err := f.mayHave(ctx, p, probes)
	return !may, err
}

// gatherer makes a batch of events.
type gatherer struct {
	s      *Subscription
	events []Event
	space  int // bytes left
	pages  int // bytes of the blocks that events are of
}

func (g *gatherer) empty() bool { return len(g.events) == 0 }

func (g *gatherer) page(ctx context.Context, p *page, from int) (full bool, err error) {
	s, before := g.s, len(g.events)
	h := &p.block.Header
	end := AfterBlock(h.Cell, h.Seq)
	pass, err := s.matcher.passes(ctx, s.feed, p)
	if err != nil {
		return false, err
	}
	if !pass {
		whole, err := s.feed.walk(ctx, p, from, s.matcher, g)
		if err != nil {
			return false, err
		}
		if !whole {
			end = g.events[len(g.events)-1].Position
			full = true
		}
	}
	s.reach(p, end)
	if len(g.events) > before {
		g.pages += len(p.block.Raw)
	}
	return full || g.space < eventBytes || g.pages >= batchPages, nil
}

// take keeps an event, if there is room for it.
func (g *gatherer) take(e *Event) (bool, error) {
	cost := eventBytes + len(e.Attachment)
	if len(g.events) > 0 && cost > g.space {
		return false, nil
	}
	g.space -= cost
	g.events = append(g.events, *e)
	return true, nil
}

func (f *Feed) ended(ctx context.Context) error {
	select {
	case <-f.stop:
		return ErrClosed
	default:
		return ctx.Err()
	}
}
