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
	f := s.feed
	began := f.opts.Clock.Mono()
	elapsed := func() time.Duration { return time.Duration(f.opts.Clock.Mono() - began) } //nolint:gosec // small
	var events []Event
	pages, space := 0, batchBytes
	for {
		seq, from := s.at.next()
		if seq > f.Head() {
			if len(events) > 0 {
				break
			}
			more, err := f.await(ctx, seq, max(0, Heartbeat-elapsed()))
			if err != nil {
				return Batch{}, err
			}
			if !more {
				break
			}
		}
		if err := f.ended(ctx); err != nil {
			return Batch{}, err
		}
		p, err := f.page(ctx, seq)
		if err != nil {
			return Batch{}, err
		}
		before, full := len(events), false
		events, full = s.collect(events, p, from, &space)
		if len(events) > before {
			pages += p.size
		}
		late := elapsed()
		if full || pages >= batchPages || len(events) > 0 && late >= batchTime || late >= Heartbeat {
			break
		}
	}
	return Batch{Events: events, Resume: s.at, BlockTime: s.time, Head: f.Head()}, nil
}

// collect adds what matches on a page from an index on, and moves the position there.
func (s *Subscription) collect(events []Event, p *page, from int, space *int) (_ []Event, full bool) {
	s.time = p.time
	if s.matcher.page(p) {
		first := sort.Search(len(p.events), func(i int) bool { return p.events[i].Position.Index >= from })
		for i := first; i < len(p.events); i++ {
			e := &p.events[i]
			if !s.matcher.match(e) {
				continue
			}
			cost := eventBytes + len(e.Attachment)
			if len(events) > 0 && cost > *space {
				s.at = events[len(events)-1].Position
				return events, true
			}
			*space -= cost
			events = append(events, *e)
		}
	}
	s.at = AfterBlock(s.feed.opts.Cell, p.seq)
	return events, *space < eventBytes
}

func (f *Feed) ended(ctx context.Context) error {
	select {
	case <-f.stop:
		return ErrClosed
	default:
		return ctx.Err()
	}
}
