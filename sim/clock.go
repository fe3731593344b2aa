package sim

import (
	"time"
)

// Clock is the machines' clock and the truth about time. The truth only grows; what the machines see is the truth plus
// an offset that jumps. Who waits by it waits no time at all: the truth moves instead.
type Clock struct {
	now    uint64 // ns since 1970, the truth
	offset int64  // ns, of the wall clock
	hidden bool   // planted: the monotonic clock jumps along, so that nobody can notice

	trusted int64  // ns, the largest offset that a cell may go by
	bound   uint64 // ns, no block may have a later time
}

// believed is how far the wall clock may run ahead before a cell must hold writes (cell.MaxClockStep), and a little.
const believed = int64(10*time.Second + time.Millisecond)

func newClock() *Clock { return &Clock{now: 1_700_000_000_000_000_000} }

// Wall implements clock.Clock.
func (c *Clock) Wall() uint64 { return uint64(int64(c.now) + c.offset) } //nolint:gosec // far from the limits

// Mono implements clock.Clock.
func (c *Clock) Mono() uint64 {
	if c.hidden {
		return c.Wall()
	}
	return c.now
}

// After implements clock.Clock: it fires at once, because the time passes.
func (c *Clock) After(d time.Duration) (<-chan time.Time, func()) {
	c.advance(d)
	ch := make(chan time.Time, 1)
	ch <- time.Unix(0, int64(c.now)) //nolint:gosec // far from the limits
	return ch, func() {}
}

func (c *Clock) advance(d time.Duration) {
	c.now += uint64(max(0, d))
	c.settle()
}

// jump sets the wall clock. Small steps go unnoticed, large ones must not be believed.
func (c *Clock) jump(d time.Duration) {
	c.offset += int64(d)
	if d < 5*time.Second && c.offset < c.trusted+int64(5*time.Second) {
		c.trusted = max(c.trusted, c.offset)
	}
	c.settle()
}

// accept is what an operator does, and what a start does: there is nothing to compare the clock with.
func (c *Clock) accept() {
	c.trusted = max(c.trusted, c.offset)
	c.settle()
}

func (c *Clock) settle() {
	c.bound = max(c.bound, uint64(int64(c.now)+c.trusted+believed)) //nolint:gosec // far from the limits
}
