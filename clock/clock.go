// Package clock is the only door to time. Parts that need the time take a Clock; pure packages take times as
// arguments and never a Clock. Start reading at Clock.
package clock

import (
	"context"
	"time"
)

// Clock tells the wall time and waits. Wall may jump in either direction; Mono never does.
type Clock interface {
	// Wall is the time of day in nanoseconds since 1970 (UTC).
	Wall() uint64
	// Mono is a count of nanoseconds that only grows, from an arbitrary beginning.
	Mono() uint64
	// After returns a channel that delivers once after d, and a function that gives it up.
	After(d time.Duration) (fired <-chan time.Time, stop func())
}

// System is the machine's clock.
type System struct{ start time.Time }

// NewSystem returns the machine's clock.
func NewSystem() *System { return &System{start: time.Now()} }

// Wall implements Clock. A machine whose clock is before 1970 counts as 1970.
func (*System) Wall() uint64 { return uint64(max(0, time.Now().UnixNano())) }

// Mono implements Clock.
func (s *System) Mono() uint64 { return uint64(time.Since(s.start)) } //nolint:gosec // monotonic: never negative

// After implements Clock.
func (*System) After(d time.Duration) (<-chan time.Time, func()) {
	t := time.NewTimer(d)
	return t.C, func() { t.Stop() }
}

// Now is the wall time of a clock, in UTC.
func Now(c Clock) time.Time {
	return time.Unix(0, int64(c.Wall())).UTC() //nolint:gosec // until the year 2262
}

// Sleep waits for d or until ctx ends, and then returns ctx's error.
func Sleep(ctx context.Context, c Clock, d time.Duration) error {
	fired, stop := c.After(d)
	defer stop()
	select {
	case <-fired:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Within is ctx, which ends after d by c at the latest. Whoever calls it calls the returned function in the end.
func Within(ctx context.Context, c Clock, d time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	fired, stop := c.After(d)
	context.AfterFunc(ctx, stop)
	go func() { // ends with ctx at the latest
		select {
		case <-fired:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}
