package cell

import (
	"fmt"
	"sync"
	"time"

	"github.com/sterlingrun/sterling/clock"
)

// MaxClockStep is how far the wall clock may run ahead of the monotonic one before writes are held.
const MaxClockStep = 10 * time.Second

// clockGuard notices a clock that was set forward. Clocks that go back change nothing: block times only grow.
type clockGuard struct {
	clock clock.Clock

	mu         sync.Mutex
	started    bool
	wall, mono uint64 // when both were last believed
	held       uint64 // the wall time that is not believed; 0: none
}

// check compares both clocks and returns ErrClockHeld while the wall clock is not to be believed.
func (g *clockGuard) check() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	wall, mono := g.clock.Wall(), g.clock.Mono()
	if !g.started {
		g.started, g.wall, g.mono = true, wall, mono
		return nil
	}
	expected := g.wall + (mono - g.mono)
	if wall > expected+uint64(MaxClockStep) {
		g.held = wall
		return fmt.Errorf("%w: it says %s, expected %s; check it, then `sterling ledger accept-clock`", ErrClockHeld, stamp(wall), stamp(expected))
	}
	g.held = 0
	if wall >= expected { // a clock that went back is believed again once it has caught up
		g.wall, g.mono = wall, mono
	}
	return nil
}

// now is the time to give to a block: what is believed, never the time that is held.
func (g *clockGuard) now() uint64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.held != 0 {
		return g.wall
	}
	return g.clock.Wall()
}

// believe takes another clock's time for the wall time: this machine's is held against it from now on.
func (g *clockGuard) believe(wall uint64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.wall, g.mono, g.held, g.started = wall, g.clock.Mono(), 0, true
}

// accept believes the wall clock from now on.
func (g *clockGuard) accept() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.wall, g.mono, g.held, g.started = g.clock.Wall(), g.clock.Mono(), 0, true
}

func stamp(ns uint64) string {
	return time.Unix(0, int64(min(ns, 1<<63-1))).UTC().Format(time.RFC3339)
}

// AcceptClock lets writes go on after the clock jumped forward: an operator has looked at it.
func (c *Cell) AcceptClock() {
	c.guard.accept()
	c.poke()
}

// ClockHeld reports whether writes are held because the clock jumped.
func (c *Cell) ClockHeld() bool { return c.guard.check() != nil }
