package router

import (
	"sync/atomic"
	"time"

	"github.com/sterlingrun/sterling/money"
)

// Stats is what a driver has to do, and what it did since the process began.
type Stats struct {
	Open      int           // transfers between reserve and settle
	Undecided int           // of those: reserved, and nothing was decided
	Waiting   int           // of those: two-phase ones that are pending
	Oldest    time.Duration // how long the oldest has been open that is not waiting for its caller; 0: there is none
	Committed uint64
	Aborted   uint64
	Settled   uint64 // came to their end, one way or the other
}

type driverStats struct {
	undecided                   atomic.Int64
	committed, aborted, settled atomic.Uint64
}

// Stats tells how much there is to do; nothing where the node does not lead.
func (d *Driver) Stats() Stats {
	s := Stats{Committed: d.stats.committed.Load(), Aborted: d.stats.aborted.Load(), Settled: d.stats.settled.Load()}
	t := d.term.Load()
	if t == nil {
		return s
	}
	s.Undecided = int(d.stats.undecided.Load())
	now := d.opts.Clock.Wall()
	t.mu.Lock()
	defer t.mu.Unlock()
	s.Open, s.Waiting = len(t.open), len(t.waiting)
	patient := make(map[money.U128]bool, len(t.waiting))
	for _, a := range t.waiting {
		patient[a.Reserve] = true
	}
	oldest := now
	for reserve, began := range t.open {
		if !patient[reserve] {
			oldest = min(oldest, began)
		}
	}
	s.Oldest = time.Duration(now - oldest) //nolint:gosec // shorter than the ledger is old
	return s
}

// begun counts an attempt that was reserved.
func (t *term) begun(a *attempt) {
	t.stats.undecided.Add(1)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.open[a.Reserve] = t.opts.Clock.Wall()
}

// ended counts an attempt that was settled.
func (t *term) ended(a *attempt) {
	t.stats.settled.Add(1)
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.open, a.Reserve)
}
