package cell

import (
	"context"
	"fmt"
	"sync"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/ledger"
)

// Request is one request of a client: events of one kind that are validated in order and stand in one block.
type Request struct {
	Kind    journal.Kind
	Actor   journal.Actor
	Events  []byte           // whole records of journal.RecordSize bytes, aligned to 8 bytes
	Results []journal.Result // one for each event, filled by Do

	Attachments []journal.Attachment // ascending by event

	Seq uint64 // the block that the answer depends on, set by Do

	read func(*ledger.State) // instead of events
	done chan error
	size int   // bytes that it may take in a block
	err  error // decided by the sequencer, sent when all it depends on is durable
}

// queue holds what waits for the sequencer. Urgent requests (freezes) go ahead of all others.
type queue struct {
	mu     sync.Mutex
	urgent []*Request
	items  []*Request
	events int
	limit  int
	closed bool
}

// push adds r. Freezes are never refused for want of room: they are few, and have to come through when much waits.
func (q *queue) push(r *Request) error {
	n := len(r.Events) / journal.RecordSize
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case q.closed:
		return ErrStopped
	case r.Kind == journal.KindFreeze:
		q.urgent = append(q.urgent, r)
	case q.events+n > q.limit:
		return ErrOverloaded
	default:
		q.items = append(q.items, r)
	}
	q.events += n
	return nil
}

// take moves requests to dst, as many as have at most `events` events together; at least one if there is any.
func (q *queue) take(dst []*Request, events int) []*Request {
	q.mu.Lock()
	defer q.mu.Unlock()
	left := room{events, blockRoom}
	dst, left = takeFrom(q, &q.urgent, dst, left)
	if len(q.urgent) == 0 {
		dst, _ = takeFrom(q, &q.items, dst, left)
	}
	return dst
}

// room is what is left of a block.
type room struct{ events, bytes int }

// blockRoom is how many bytes of a block its requests may take: expiries may take the rest.
const blockRoom = journal.MaxBlock - journal.HeaderSize - journal.MaxEvents*journal.ExpirySize

// blockSize is the most that the request can take in a block: its events, an outcome for each, its entry, what is
// attached to it, and what the ledger may attach.
func (r *Request) blockSize() int {
	n := len(r.Events) / journal.RecordSize
	size := n*(journal.RecordSize+journal.OutcomeSize) + journal.RequestSize
	for _, a := range r.Attachments {
		size += journal.AttachmentSize + (len(a.Data)+7)&^7
	}
	if r.Kind == journal.KindDayClose {
		size += n * (journal.AttachmentSize + journal.MaxTrial + 8)
	}
	if r.Kind == journal.KindGive {
		size += n*(journal.AttachmentSize+8) + ledger.MaxGiven
	}
	return size
}

func takeFrom(q *queue, from *[]*Request, dst []*Request, left room) ([]*Request, room) {
	k := 0
	for ; k < len(*from); k++ {
		n := len((*from)[k].Events) / journal.RecordSize
		if n > left.events || (*from)[k].size > left.bytes {
			break
		}
		left.events -= n
		left.bytes -= (*from)[k].size
		q.events -= n
		dst = append(dst, (*from)[k])
	}
	rest := copy(*from, (*from)[k:])
	clear((*from)[rest:])
	*from = (*from)[:rest]
	return dst, left
}

// putBack returns requests that were taken to the front.
func (q *queue) putBack(list []*Request) {
	if len(list) == 0 {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.items = append(append(make([]*Request, 0, len(list)+len(q.items)), list...), q.items...)
	for _, r := range list {
		q.events += len(r.Events) / journal.RecordSize
	}
}

// withdraw takes r out again, if the sequencer has not got it yet.
func (q *queue) withdraw(r *Request) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, list := range []*[]*Request{&q.urgent, &q.items} {
		for i, other := range *list {
			if other == r {
				*list = append((*list)[:i], (*list)[i+1:]...)
				q.events -= len(r.Events) / journal.RecordSize
				return true
			}
		}
	}
	return false
}

func (q *queue) waiting() (requests, events int, closed bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.urgent) + len(q.items), q.events, q.closed
}

func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
}

// Do has a request validated and journaled, and returns once everything its results rest on is durable. After an
// error, r and its buffers must not be used again: the cell may still be at work on them. Except for ErrTooLarge,
// ErrOverloaded, ErrFull and ErrClockHeld, an error means that the outcome is unknown: send the same ids again.
func (c *Cell) Do(ctx context.Context, r *Request) error {
	if err := r.check(); err != nil {
		return err
	}
	return c.submit(ctx, r)
}

func (r *Request) check() error {
	n := len(r.Events) / journal.RecordSize
	switch {
	case n > journal.MaxEvents:
		return fmt.Errorf("%w: %d, at most %d", ErrTooLarge, n, journal.MaxEvents)
	case !r.Kind.Valid() || n == 0 || n*journal.RecordSize != len(r.Events) || len(r.Results) != n:
		return fmt.Errorf("request of kind %d with %d bytes of events and %d results", r.Kind, len(r.Events), len(r.Results))
	}
	if r.size = r.blockSize(); r.size > blockRoom {
		return fmt.Errorf("%w: %d bytes with what is attached, at most %d", ErrTooLarge, r.size, blockRoom)
	}
	if r.Kind <= journal.KindLimits && len(r.Attachments) == 0 {
		return nil
	}
	return ledger.CheckRequest(r.Kind, r.Events, r.Attachments)
}

func (c *Cell) enqueue(r *Request) error {
	r.done = make(chan error, 1)
	if err := c.queue.push(r); err != nil {
		if err == ErrStopped { //nolint:errorlint // push returns it bare
			return c.errStopped()
		}
		return err
	}
	c.poke()
	return nil
}

func (c *Cell) submit(ctx context.Context, r *Request) error {
	if err := c.enqueue(r); err != nil {
		return err
	}
	select {
	case err := <-r.done:
		return err
	case <-ctx.Done():
		if c.queue.withdraw(r) {
			return ctx.Err()
		}
		return fmt.Errorf("%w: %w", ErrOutcomeUnknown, ctx.Err())
	}
}

// view runs fn on the sequencer, between requests, and returns once everything it saw is durable.
func (c *Cell) view(ctx context.Context, fn func(*ledger.State)) error {
	return c.submit(ctx, &Request{read: fn})
}
