package router

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
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
	s.Open, s.Waiting = len(t.open)+len(t.waiting), len(t.waiting)
	oldest := now
	for _, began := range t.open {
		oldest = min(oldest, began)
	}
	s.Oldest = time.Duration(now - oldest) //nolint:gosec // shorter than the ledger is old
	return s
}

// begun counts an attempt that was reserved.
func (t *term) begun(a *attempt) {
	t.stats.undecided.Add(1)
	t.mu.Lock()
	defer t.mu.Unlock()
	a.began = t.opts.Clock.Wall()
	t.open[a.Reserve] = a.began
}

// ended counts an attempt that was settled.
func (t *term) ended(a *attempt) {
	t.stats.settled.Add(1)
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.open, a.Reserve)
}

// NewCollector returns the metrics of a driver, for a registry.
func NewCollector(d *Driver) prometheus.Collector {
	describe := func(name, help string) *prometheus.Desc {
		return prometheus.NewDesc("sterling_transit_"+name, help, nil, nil)
	}
	return &collector{
		driver:    d,
		open:      describe("open", "Transfers to other cells between reserve and settle; of the node that leads."),
		undecided: describe("undecided", "Transfers to other cells that are reserved and not decided."),
		waiting:   describe("waiting", "Two-phase transfers to other cells that are pending."),
		oldest:    describe("oldest_seconds", "How long the oldest transfer to another cell has been open that does not wait for its caller."),
		committed: describe("committed_total", "Transfers to other cells that were made."),
		aborted:   describe("aborted_total", "Transfers to other cells that were given up after they were reserved."),
		settled:   describe("settled_total", "Transfers to other cells that came to their end."),
	}
}

type collector struct {
	driver                                                        *Driver
	open, undecided, waiting, oldest, committed, aborted, settled *prometheus.Desc
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(ch chan<- *prometheus.Desc) { prometheus.DescribeByCollect(c, ch) }

// Collect implements prometheus.Collector.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	s := c.driver.Stats()
	for _, m := range []struct {
		desc *prometheus.Desc
		kind prometheus.ValueType
		v    float64
	}{
		{c.open, prometheus.GaugeValue, float64(s.Open)},
		{c.undecided, prometheus.GaugeValue, float64(s.Undecided)},
		{c.waiting, prometheus.GaugeValue, float64(s.Waiting)},
		{c.oldest, prometheus.GaugeValue, s.Oldest.Seconds()},
		{c.committed, prometheus.CounterValue, float64(s.Committed)},
		{c.aborted, prometheus.CounterValue, float64(s.Aborted)},
		{c.settled, prometheus.CounterValue, float64(s.Settled)},
	} {
		ch <- prometheus.MustNewConstMetric(m.desc, m.kind, m.v)
	}
}
