package client

import (
	"container/list"
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/semaphore"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

// Bounds of the queue between callers and the server.
const (
	defaultQueue = 64 << 10 // events that wait or are under way
	requestBytes = 2 << 20  // of one request, so that the server's bound is never met
	// slotsPerConnection is how many requests are under way at once. While they are,
	// the next ones fill: more slots make smaller requests, fewer leave the server
	// waiting.
	slotsPerConnection = 3
)

// event is a message that a request is made of.
type event interface {
	*Transfer | *Account
	proto.Message
}

// outcome is what the server says of one event.
type outcome struct {
	status    int32
	timestamp uint64
}

// group is what one caller wants recorded together: one event, or a linked chain.
// The queue and then one flight own it; its caller reads the answer after done.
type group[E event] struct {
	events     []E
	bytes      int
	element    *list.Element // in the queue; nil once it has left
	flight     *flight
	generation *generation

	outcomes []outcome
	position *Position
	unsure   bool // it may have been recorded, in spite of err
	err      error
	done     chan struct{}
}

// flight is a request under way. It goes on while someone waits for it.
type flight struct {
	waiting atomic.Int64
	cancel  context.CancelFunc
}

// leave is called by a caller that waits no longer.
func (f *flight) leave() {
	if f.waiting.Add(-1) == 0 {
		f.cancel()
	}
}

// createFunc sends one request, repeats it, and returns one outcome per event.
type createFunc[E event] func(ctx context.Context, t *trail, events []E) ([]outcome, *Position, error)

// lane makes requests of what its callers submit: no caller waits for a batch to
// fill, only for one of the slots. Callers beyond the queue's bound wait until
// there is room.
type lane[E event] struct {
	create createFunc[E]
	base   context.Context // ends when the client is closed
	slots  int
	bound  int64
	room   *semaphore.Weighted // events

	mu      sync.Mutex
	queue   list.List // of *group[E]
	sending int       // slots in use
	closed  bool
	current *generation   // of what is submitted now
	older   []*generation // sealed, with groups left

	senders sync.WaitGroup
}

func newLane[E event](base context.Context, slots int, queue int64, create createFunc[E]) *lane[E] {
	return &lane[E]{
		base: base, create: create, slots: slots, bound: queue,
		room: semaphore.NewWeighted(queue), current: newGeneration(),
	}
}

// do has the events of g recorded and returns when that is known, or ctx ended.
// With an error, unsure tells whether they may have been recorded all the same.
func (l *lane[E]) do(ctx context.Context, g *group[E]) (unsure bool, err error) {
	n := int64(len(g.events))
	if n > min(l.bound, MaxEvents) {
		return false, fmt.Errorf("%w: %d events together, at most %d", ErrNotSent, n, min(l.bound, MaxEvents))
	}
	if err := l.room.Acquire(ctx, n); err != nil {
		return false, fmt.Errorf("%w: wait for room in the queue: %w", ErrNotSent, err)
	}
	g.done = make(chan struct{})
	if err := l.submit(g); err != nil {
		l.room.Release(n)
		return false, err
	}
	select {
	case <-g.done:
		return g.unsure, g.err
	case <-ctx.Done():
	}
	if l.withdraw(g) {
		l.room.Release(n)
		return false, fmt.Errorf("%w: wait in the queue: %w", ErrNotSent, ctx.Err())
	}
	select {
	case <-g.done: // the answer came at the same time
		return g.unsure, g.err
	default:
	}
	g.flight.leave()
	return true, fmt.Errorf("wait for the answer: %w", ctx.Err())
}

func (l *lane[E]) submit(g *group[E]) error {
	for _, e := range g.events {
		g.bytes += proto.Size(e) + 4 // and its tag and length
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return fmt.Errorf("%w: %w", ErrNotSent, ErrClosed)
	}
	g.element, g.generation = l.queue.PushBack(g), l.current
	g.generation.left++
	if l.sending < l.slots {
		l.sending++
		l.senders.Go(l.run)
	}
	return nil
}

// withdraw takes g out of the queue. It is false if g was taken to be sent.
func (l *lane[E]) withdraw(g *group[E]) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if g.element == nil {
		return false
	}
	l.queue.Remove(g.element)
	g.element = nil
	l.settle(g)
	return true
}

// run is one slot: it sends until the queue is empty.
func (l *lane[E]) run() {
	for {
		runtime.Gosched() // callers that are ready to submit do so first
		ctx, groups := l.take()
		if groups == nil {
			return
		}
		l.fly(ctx, groups)
		groups[0].flight.cancel()
		events := 0
		l.mu.Lock()
		for _, g := range groups {
			events += len(g.events)
			l.settle(g)
			close(g.done)
		}
		l.mu.Unlock()
		l.room.Release(int64(events))
	}
}

// take returns the next request's groups. None: the slot is given back.
func (l *lane[E]) take() (context.Context, []*group[E]) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.queue.Len() == 0 {
		l.sending--
		return nil, nil
	}
	ctx, cancel := context.WithCancel(l.base)
	f := &flight{cancel: cancel}
	groups := make([]*group[E], 0, min(l.queue.Len(), MaxEvents))
	events, bytes := 0, 0
	for e := l.queue.Front(); e != nil; e = l.queue.Front() {
		g := e.Value.(*group[E])
		events, bytes = events+len(g.events), bytes+g.bytes
		if len(groups) > 0 && (events > MaxEvents || bytes > requestBytes) {
			break
		}
		l.queue.Remove(e)
		g.element, g.flight = nil, f
		groups = append(groups, g)
	}
	f.waiting.Store(int64(len(groups)))
	return ctx, groups
}

// fly sends groups as one request and gives each its outcomes. What the server
// refuses as a whole is sent in halves, so that one caller's fault is not that of
// all: they have nothing to do with each other.
func (l *lane[E]) fly(ctx context.Context, groups []*group[E]) {
	events := make([]E, 0, len(groups))
	var t trail
	for _, g := range groups {
		events = append(events, g.events...)
		t.unsure = t.unsure || g.unsure
	}
	outcomes, position, err := l.create(ctx, &t, events)
	for _, g := range groups {
		g.unsure = t.unsure
	}
	if err != nil && len(groups) > 1 && someonesFault(err) {
		l.fly(ctx, groups[:len(groups)/2])
		l.fly(ctx, groups[len(groups)/2:])
		return
	}
	for _, g := range groups {
		if g.err = err; err != nil {
			continue
		}
		g.outcomes, outcomes = outcomes[:len(g.events)], outcomes[len(g.events):]
		g.position = position
	}
}

// someonesFault tells whether a request was refused for what is in it.
func someonesFault(err error) bool {
	switch status.Code(err) { //nolint:exhaustive // the others are not about the content
	case codes.InvalidArgument, codes.PermissionDenied, codes.NotFound, codes.FailedPrecondition:
		r := Reason(err)
		return r != ledgerv1.ErrorReason_ERROR_REASON_CLOCK_HELD && r != ledgerv1.ErrorReason_ERROR_REASON_SHADOW_REFUSED
	default:
		switch Reason(err) { //nolint:exhaustive // the others are not about the content
		case ledgerv1.ErrorReason_ERROR_REASON_TOO_LARGE:
			return true
		case ledgerv1.ErrorReason_ERROR_REASON_RATE_LIMITED:
			return !passing(err) // together they are more than the rate ever allows
		}
		return false
	}
}

// flush waits until everything submitted before the call has been answered.
func (l *lane[E]) flush(ctx context.Context) error {
	l.mu.Lock()
	l.current.sealed = true
	if l.current.left > 0 {
		l.older = append(l.older, l.current)
	}
	l.current = newGeneration()
	wait := slices.Clone(l.older)
	l.mu.Unlock()
	for _, g := range wait {
		select {
		case <-g.done:
		case <-ctx.Done():
			return fmt.Errorf("wait for answers: %w", ctx.Err())
		}
	}
	return nil
}

// generation is the groups submitted between two flushes.
type generation struct {
	left   int  // groups without an answer
	sealed bool // no further ones come
	done   chan struct{}
}

func newGeneration() *generation { return &generation{done: make(chan struct{})} }

// settle counts g as answered. The caller holds the lock.
func (l *lane[E]) settle(g *group[E]) {
	g.generation.left--
	if g.generation.left == 0 && g.generation.sealed {
		l.retire(g.generation)
	}
}

// retire tells those who flush. The caller holds the lock.
func (l *lane[E]) retire(g *generation) {
	close(g.done)
	l.older = slices.DeleteFunc(l.older, func(o *generation) bool { return o == g })
}

// close refuses further events and gives back those that were not sent.
func (l *lane[E]) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	for e := l.queue.Front(); e != nil; e = l.queue.Front() {
		g := e.Value.(*group[E])
		l.queue.Remove(e)
		g.element = nil
		l.settle(g)
		g.err = fmt.Errorf("%w: %w", ErrNotSent, ErrClosed)
		close(g.done)
		l.room.Release(int64(len(g.events)))
	}
}
