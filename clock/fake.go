package clock

import (
	"sync"
	"time"
)

// Fake is a clock that moves only when told, for tests and the simulator. Safe for concurrent use.
type Fake struct {
	mu     sync.Mutex
	wall   uint64
	mono   uint64
	timers []*fakeTimer
}

type fakeTimer struct {
	at uint64 // in Mono's time
	ch chan time.Time
}

// NewFake returns a clock that stands at wall (nanoseconds since 1970).
func NewFake(wall uint64) *Fake { return &Fake{wall: wall, mono: 1} }

// Wall implements Clock.
func (f *Fake) Wall() uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.wall
}

// Mono implements Clock.
func (f *Fake) Mono() uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.mono
}

// After implements Clock.
func (f *Fake) After(d time.Duration) (<-chan time.Time, func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	t := &fakeTimer{at: f.mono + uint64(max(0, d)), ch: make(chan time.Time, 1)}
	f.timers = append(f.timers, t)
	f.fire()
	return t.ch, func() { f.forget(t) }
}

// Advance moves both clocks forward by d and fires the timers that are due.
func (f *Fake) Advance(d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.wall += uint64(d) //nolint:gosec // callers pass positive durations
	f.mono += uint64(d) //nolint:gosec // callers pass positive durations
	f.fire()
}

// Jump moves only the wall clock, forward or back: a clock that was set.
func (f *Fake) Jump(d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.wall = uint64(int64(f.wall) + int64(d)) //nolint:gosec // wraps only for tests that ask for it
}

// Waiting is the number of timers not yet fired.
func (f *Fake) Waiting() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.timers)
}

func (f *Fake) fire() {
	rest := f.timers[:0]
	for _, t := range f.timers {
		if t.at <= f.mono {
			t.ch <- time.Unix(0, int64(f.wall)) //nolint:gosec // a test's time fits
			continue
		}
		rest = append(rest, t)
	}
	f.timers = rest
}

func (f *Fake) forget(gone *fakeTimer) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, t := range f.timers {
		if t == gone {
			f.timers = append(f.timers[:i], f.timers[i+1:]...)
			return
		}
	}
}
