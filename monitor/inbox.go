package monitor

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/sterlingrun/sterling/watch"
)

// maxWaiting is how many observations may wait for the loop, and maxControls how many decisions and the like.
const (
	maxWaiting  = 4 * MaxObservations
	maxControls = 1024
)

// batch is a call of Observe on its way.
type batch struct {
	source string
	first  uint64
	list   []watch.Observation
	answer chan answer

	through uint64 // what the loop found, told once it is durable
	fault   error
}

// reply answers the caller. failed is why nothing was stored.
func (x *batch) reply(failed error) {
	if failed != nil {
		x.answer <- answer{err: failed}
		return
	}
	x.answer <- answer{x.through, x.fault}
}

type answer struct {
	through uint64
	err     error
}

// control is a decision, or a note about a break, on its way.
type control struct {
	decision *watch.Decision
	proposal *proposal
	answer   chan answer
	fault    error
}

// reply answers the caller. failed is why nothing was stored.
func (x *control) reply(failed error) {
	if failed == nil {
		failed = x.fault
	}
	x.answer <- answer{err: failed}
}

type proposal struct {
	breakID, id watch.ID
	who, why    string
}

// verdictOfFreeze is what became of a freeze.
type verdictOfFreeze struct {
	id      watch.ID
	failure string
	at      uint64 // ns
}

// inbox is what waits for the loop. Its senders never hold up each other: where it is full they wait, or give up.
type inbox struct {
	poke func()

	mu       sync.Mutex
	closed   error // why nothing is taken; nil: it is
	batches  []*batch
	waiting  int // observations
	controls []*control
	freezes  []verdictOfFreeze
	moment   *moment
	freed    chan struct{} // closed when there is room again
}

func (b *inbox) init(poke func()) {
	b.poke, b.freed, b.closed = poke, make(chan struct{}), watch.ErrStarting
}

// open begins to take what is sent.
func (b *inbox) open() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed, b.freezes, b.moment = nil, nil, nil
}

// refuse answers all that waits, and what comes until open, with ErrDown and why.
func (b *inbox) refuse(why error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = b.why(why)
	for _, x := range b.batches {
		x.answer <- answer{err: b.closed}
	}
	for _, x := range b.controls {
		x.answer <- answer{err: b.closed}
	}
	b.batches, b.controls, b.freezes, b.moment, b.waiting = nil, nil, nil, nil, 0
	b.announce()
}

// why makes an error what callers are told.
func (b *inbox) why(err error) error {
	return fmt.Errorf("%w: %w", watch.ErrDown, err)
}

// announce wakes those who wait for room. mu is held.
func (b *inbox) announce() {
	close(b.freed)
	b.freed = make(chan struct{})
}

// fullPause is how long a caller waits for room before it is sent away.
const fullPause = 5 * time.Second

// sendBatch waits for room, then for the answer. After ctx ended, the observations may have been taken all the same.
func (m *Monitor) sendBatch(ctx context.Context, x *batch) (uint64, error) {
	b := &m.inbox
	var late <-chan time.Time
	for {
		b.mu.Lock()
		if b.closed != nil {
			defer b.mu.Unlock()
			return 0, b.closed
		}
		if b.waiting == 0 || b.waiting+len(x.list) <= maxWaiting {
			b.batches, b.waiting = append(b.batches, x), b.waiting+len(x.list)
			b.mu.Unlock()
			b.poke()
			return m.await(ctx, x.answer)
		}
		freed := b.freed
		b.mu.Unlock()
		if late == nil {
			fired, stop := m.opts.Clock.After(fullPause)
			defer stop()
			late = fired
		}
		select {
		case <-freed:
		case <-late:
			return 0, fmt.Errorf("%w: %d observations wait", watch.ErrBehind, maxWaiting)
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}

func (m *Monitor) sendControl(ctx context.Context, x *control) error {
	b := &m.inbox
	b.mu.Lock()
	switch {
	case b.closed != nil:
		defer b.mu.Unlock()
		return b.closed
	case len(b.controls) >= maxControls:
		b.mu.Unlock()
		return watch.ErrBehind
	}
	b.controls = append(b.controls, x)
	b.mu.Unlock()
	b.poke()
	_, err := m.await(ctx, x.answer)
	return err
}

func (m *Monitor) await(ctx context.Context, got <-chan answer) (uint64, error) {
	select {
	case a := <-got:
		return a.through, a.err
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

// takeBatch returns the batch that waits longest; nil: none does.
func (b *inbox) takeBatch() *batch {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.batches) == 0 {
		return nil
	}
	x := b.batches[0]
	b.batches[0] = nil
	b.batches = b.batches[1:]
	b.waiting -= len(x.list)
	b.announce()
	return x
}

func (b *inbox) takeControls() ([]*control, []verdictOfFreeze) {
	b.mu.Lock()
	defer b.mu.Unlock()
	controls, freezes := b.controls, b.freezes
	b.controls, b.freezes = nil, nil
	return controls, freezes
}

func (b *inbox) frozen(v verdictOfFreeze) {
	b.mu.Lock()
	b.freezes = append(b.freezes, v)
	b.mu.Unlock()
	b.poke()
}

// setMoment brings the newest moment; one with a comparison is never replaced before it was taken.
func (b *inbox) setMoment(t *moment) {
	b.mu.Lock()
	b.moment = t
	b.mu.Unlock()
	b.poke()
}

func (b *inbox) takeMoment() *moment {
	b.mu.Lock()
	defer b.mu.Unlock()
	t := b.moment
	b.moment = nil
	return t
}
