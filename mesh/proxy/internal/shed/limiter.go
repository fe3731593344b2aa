package shed

import (
	"math"
	"sync"
	"sync/atomic"
	"time"
)

// Class is how important a request is; a lower one is more important.
type Class uint8

// The classes.
const (
	Settle Class = iota
	Pay
	Query
	classes
)

// Users is how many shares of users each class is shed in: all requests of one share go together.
const Users = 128

// Level is a class and a share of its users; the lowest is refused last.
type Level uint16

const levels = Level(classes) * Users

// At is the level of a class and a share of users, 0 to Users-1.
func At(class Class, user uint8) Level { return Level(class)*Users + Level(user%Users) }

func (l Level) class() Class { return Class(l / Users) } //nolint:gosec // below classes

// How the limiter behaves. Times are nanoseconds.
const (
	QueueWait    = 20 * time.Millisecond  // average wait that counts as overload, where nothing else is said
	MaxQueueWait = 200 * time.Millisecond // that can: more than maxWait would never be reached
	maxWait      = 250 * time.Millisecond // of one request
	windowTime   = uint64(250 * time.Millisecond)
	windowMost   = 2000 // requests after which a window ends early
	windowLeast  = 10   // answers that say something about the response time
	minLimit     = 4
	startLimit   = 64
	tolerance    = 1.5 // times the response time without load that does not yet count as more,
	jitter       = 5e6 // and nanoseconds: a busy machine is not an overloaded service
	smoothing    = 0.2
	enoughCut    = 0.75 // of a limit: such a cut has to make answers faster,
	noSooner     = 0.9  // that is, to less than this part of the time; a window later than the cut they follow it
	mostGrace    = 1e8  // nanoseconds: what is later is overloaded, whoever makes it so
	queuePerSlot = 4    // requests that may wait, for each that may be in flight
	queueLeast   = 256  // that may wait in any case: a small limit of a fast service clears them in no time
)

// Limiter is the limit and queue of one service. Safe for concurrent use.
type Limiter struct {
	ceiling   int64
	queueWait int64 // nanoseconds
	limit     atomic.Int64
	inFlight  atomic.Int64
	threshold atomic.Int64 // levels above are refused at once

	window             atomic.Uint64 // when it began
	arrived            [levels]atomic.Uint32
	asked, answered    atomic.Int64 // requests that came through the threshold; answers with a response time
	took, waited       atomic.Int64 // nanoseconds
	unsettled          atomic.Int64 // settle requests that waited in vain
	rolling            sync.Mutex
	unloaded           float64 // response time without load, nanoseconds; 0: unknown
	grace              float64 // nanoseconds beyond it that no smaller limit has made less
	cutFrom, cutTook   float64 // the limit that is being cut, and the longest response time since; 0: none is
	shedCount, overdue atomic.Uint64

	waiting atomic.Int64
	mu      sync.Mutex
	queues  [classes][]*waiter
}

type waiter struct {
	granted chan struct{} // closed under mu
	state   waiterState
}

type waiterState uint8

const (
	inQueue waiterState = iota
	admitted
	evicted
)

// Ticket is a place among the requests in flight.
type Ticket struct{ since uint64 }

// New returns a limiter that never lets more than ceiling requests through at once, and sheds when they wait for longer
// than queueWait on average.
func New(ceiling int, queueWait time.Duration) *Limiter {
	l := &Limiter{ceiling: int64(max(ceiling, minLimit)), queueWait: int64(queueWait)}
	l.limit.Store(min(startLimit, l.ceiling))
	l.threshold.Store(int64(levels))
	return l
}

// Acquire takes a place for a request of the given level, and waits for it up to maxWait. now is in nanoseconds, after
// starts a timer. Where ok is true, the ticket must be released.
func (l *Limiter) Acquire(level Level, now func() uint64, after func(time.Duration) (<-chan time.Time, func())) (t Ticket, ok bool) {
	began := now()
	l.arrived[level].Add(1)
	l.roll(began)
	if int64(level) > l.threshold.Load() {
		l.shedCount.Add(1)
		return Ticket{}, false
	}
	l.asked.Add(1)
	if l.waiting.Load() == 0 && l.enter() {
		return Ticket{began}, true
	}
	w := l.enqueue(level)
	if w == nil {
		l.waited.Add(int64(maxWait)) // it would have waited for longer than any does
		l.vain(level)
		return Ticket{}, false
	}
	fired, stop := after(maxWait)
	defer stop()
	select {
	case <-w.granted:
	case <-fired:
	}
	ended := now()
	l.waited.Add(int64(ended - began)) //nolint:gosec // a wait is short
	if !l.leaveQueue(w, level) {
		l.vain(level)
		return Ticket{}, false
	}
	return Ticket{ended}, true
}

// vain counts a request for which there was no place in time.
func (l *Limiter) vain(level Level) {
	l.overdue.Add(1)
	if level.class() == Settle {
		l.unsettled.Add(1)
	}
}

// Release gives the place back. valid: the request was answered, or should have been, so that the time it took says
// how loaded the service is.
func (l *Limiter) Release(t Ticket, now uint64, valid bool) {
	l.inFlight.Add(-1)
	if valid {
		l.took.Add(int64(now - t.since)) //nolint:gosec // a request is short
		l.answered.Add(1)
	}
	if l.waiting.Load() > 0 {
		l.wake()
	}
}

// enter takes a place if there is one.
func (l *Limiter) enter() bool {
	for {
		n := l.inFlight.Load()
		if n >= l.limit.Load() {
			return false
		}
		if l.inFlight.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// enqueue lets a request wait. A full queue gives up the newest of its least important requests, perhaps this one.
func (l *Limiter) enqueue(level Level) *waiter {
	class := level.class()
	l.mu.Lock()
	if l.waiting.Load() >= max(queueLeast, l.limit.Load()*queuePerSlot) && !l.evict(class) {
		l.mu.Unlock()
		return nil
	}
	w := &waiter{granted: make(chan struct{})}
	l.queues[class] = append(l.queues[class], w)
	l.waiting.Add(1)
	l.grant() // a place may have come free before this request was seen to wait
	l.mu.Unlock()
	return w
}

// evict makes room by refusing a waiter of a class below class.
func (l *Limiter) evict(class Class) bool {
	for c := classes - 1; c > class; c-- {
		if q := l.queues[c]; len(q) > 0 {
			w := q[len(q)-1]
			l.queues[c] = q[:len(q)-1]
			l.waiting.Add(-1)
			w.state = evicted
			close(w.granted)
			return true
		}
	}
	return false
}

func (l *Limiter) wake() {
	l.mu.Lock()
	l.grant()
	l.mu.Unlock()
}

// grant gives free places to the most important waiters, the oldest first.
func (l *Limiter) grant() {
	for c := range l.queues {
		for len(l.queues[c]) > 0 && l.enter() {
			w := l.queues[c][0]
			l.queues[c][0] = nil
			l.queues[c] = l.queues[c][1:]
			l.waiting.Add(-1)
			w.state = admitted
			close(w.granted)
		}
	}
}

// leaveQueue tells whether w was admitted, and takes it out if it still waits.
func (l *Limiter) leaveQueue(w *waiter, level Level) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if w.state != inQueue {
		return w.state == admitted
	}
	class := level.class()
	for i, other := range l.queues[class] {
		if other == w {
			l.queues[class] = append(l.queues[class][:i], l.queues[class][i+1:]...)
			l.waiting.Add(-1)
			break
		}
	}
	return false
}

// roll ends the window when its time or its requests are over, and draws the conclusions.
func (l *Limiter) roll(now uint64) {
	began := l.window.Load()
	if now-began < windowTime && l.asked.Load() < windowMost || !l.rolling.TryLock() {
		return
	}
	if l.window.CompareAndSwap(began, now) {
		asked, answered := l.asked.Swap(0), l.answered.Swap(0)
		took, waited := l.took.Swap(0), l.waited.Swap(0)
		l.follow(answered, took, waited)
		l.moveThreshold(asked, answered, waited, l.unsettled.Swap(0) > 0)
	}
	l.rolling.Unlock()
	if l.waiting.Load() > 0 {
		l.wake()
	}
}

// follow moves the limit by the response times of the window: the gradient is how many times longer than without load
// they are, and the square root of the limit is the room to find out whether there is more.
func (l *Limiter) follow(answered, took, waited int64) {
	if answered < windowLeast {
		return
	}
	limit, now := float64(l.limit.Load()), float64(took)/float64(answered)
	busy := waited > 0 || float64(l.inFlight.Load())*2 >= limit
	switch {
	case l.unloaded == 0 || now < l.unloaded:
		l.unloaded = now
	case !busy:
		l.unloaded += (now - l.unloaded) * 0.1
	default:
		l.unloaded += (now - l.unloaded) * 0.0005 // the service may have become slower for good
	}
	timely := tolerance*l.unloaded + jitter
	if now <= timely {
		l.grace = 0
	}
	gradient := min(1, max(0.5, (timely+l.grace)/now))
	if !busy && (gradient < 1 || limit >= startLimit) {
		return // answers are not late for what is in flight, and nobody needs more than there is in the beginning
	}
	if l.inVain(limit, now, gradient) && now-timely <= mostGrace {
		l.grace = now - timely // or it would be cut again at once
		l.limit.Store(int64(l.cutFrom))
		l.cutFrom = 0
		return
	}
	next := limit*gradient + math.Sqrt(limit)
	next = limit*(1-smoothing) + next*smoothing
	if next > limit {
		next = math.Ceil(next)
	}
	l.limit.Store(min(l.ceiling, max(minLimit, int64(next))))
}

// inVain tells whether a cut of the limit was of no use: fewer in flight are answered sooner by a service that is
// overloaded, and as late as before where whoever passes the answers on is starved; or where others send what this one
// holds back, who is not told apart, and for that there is mostGrace.
func (l *Limiter) inVain(limit, now, gradient float64) bool {
	enough := limit <= l.cutFrom*enoughCut
	switch {
	case gradient == 1:
		l.cutFrom = 0
	case l.cutFrom < limit || enough && now < l.cutTook*noSooner:
		l.cutFrom, l.cutTook = limit, now // a cut begins, or the next part of one that was of use
	case enough:
		return true
	default:
		l.cutTook = max(l.cutTook, now)
	}
	return false
}

// moveThreshold refuses more levels when requests have waited too long, down to what was answered; otherwise it takes
// a sixteenth more, or one level. Settle requests wait rather than that they are refused: it goes down to their levels
// only where some of them have waited in vain.
func (l *Limiter) moveThreshold(asked, answered, waited int64, unsettled bool) {
	was := l.threshold.Load()
	overloaded := asked > 0 && waited/asked > l.queueWait
	if !overloaded && was >= int64(levels) {
		for i := range l.arrived {
			l.arrived[i].Store(0)
		}
		return
	}
	target := asked + asked/16 + 1
	if overloaded {
		target = min(asked-asked/20, answered)
	}
	next, sum := int64(levels), int64(0)
	for i := range l.arrived {
		sum += int64(l.arrived[i].Swap(0))
		if sum > target && next == int64(levels) {
			next = int64(i) - 1
		}
	}
	if overloaded {
		if next = min(next, was-1); !unsettled {
			next = max(next, min(was, Users-1))
		}
	} else {
		next = min(max(next, was+1), int64(levels)) // a level that has more than a sixteenth must come back, too
	}
	l.threshold.Store(max(0, next))
}

// State is what a limiter does now.
type State struct {
	Limit, InFlight, Waiting int64
	// Threshold is the least important level that is taken; Shed are the requests refused because of it, Overdue those
	// refused because the queue was full or the wait too long.
	Threshold     int64
	Shed, Overdue uint64
}

// State tells what the limiter does now.
func (l *Limiter) State() State {
	return State{l.limit.Load(), l.inFlight.Load(), l.waiting.Load(), l.threshold.Load(), l.shedCount.Load(), l.overdue.Load()}
}
