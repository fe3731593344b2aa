package auth

import (
	"fmt"
	"math"
	"time"

	"golang.org/x/time/rate"
)

// maxRate is the largest rate that can be asked for, per second.
const maxRate = 1e9

// Limiter bounds how fast one caller may call: two token buckets, each filled at
// its rate and holding one second's worth, at least one. It is safe for
// concurrent use. A nil *Limiter bounds nothing.
type Limiter struct {
	callRate, eventRate float64
	calls, events       *rate.Limiter // nil: not bounded
}

// NewLimiter returns a limiter of calls and of events (accounts, transfers and
// ids) per second; 0 is no bound, and both 0 are no limiter.
func NewLimiter(calls, events float64) *Limiter {
	if calls <= 0 && events <= 0 {
		return nil
	}
	return &Limiter{callRate: calls, eventRate: events, calls: bucket(calls), events: bucket(events)}
}

func bucket(perSecond float64) *rate.Limiter {
	if perSecond <= 0 {
		return nil
	}
	return rate.NewLimiter(rate.Limit(perSecond), max(1, int(math.Ceil(min(perSecond, maxRate)))))
}

func checkRate(field string, perSecond float64) error {
	if perSecond != 0 && !(perSecond >= 0.001 && perSecond <= maxRate) { // also refuses what is no number
		return fmt.Errorf("%s: want 0.001 to %.0f, or 0 for no limit, not %v", field, maxRate, perSecond)
	}
	return nil
}

// Call takes one call. Where there is none left it takes nothing and returns how
// long to wait.
func (l *Limiter) Call(now time.Time) (wait time.Duration, ok bool) {
	if l == nil {
		return 0, true
	}
	return take(l.calls, 1, now)
}

// Events takes n events, all or none. Where they are not to be had it returns how
// long to wait; zero means for ever: n is more than a second's worth.
func (l *Limiter) Events(n int, now time.Time) (wait time.Duration, ok bool) {
	if l == nil || n == 0 {
		return 0, true
	}
	return take(l.events, n, now)
}

// EventsAtOnce is the largest number of events that Events ever grants.
func (l *Limiter) EventsAtOnce() int {
	if l == nil || l.events == nil {
		return math.MaxInt
	}
	return l.events.Burst()
}

func take(b *rate.Limiter, n int, now time.Time) (wait time.Duration, ok bool) {
	if b == nil {
		return 0, true
	}
	r := b.ReserveN(now, n)
	if !r.OK() {
		return 0, false
	}
	if wait = r.DelayFrom(now); wait == 0 {
		return 0, true
	}
	r.CancelAt(now)
	return wait, false
}
