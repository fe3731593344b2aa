package node

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/sterlingrun/sterling/cell"
	"github.com/sterlingrun/sterling/index"
)

type sample struct {
	cell.Stats
	index index.Stats
	build index.BuildStatus

	membership cell.Membership
	leads      bool

	mapVersion uint64
}

// collector turns the cell's and the index's counts into metrics when they are asked for.
type collector struct {
	n       *Node
	metrics []metric
}

type metric struct {
	desc  *prometheus.Desc
	kind  prometheus.ValueType
	value func(*sample) float64
}

func newCollector(n *Node) *collector {
	c := &collector{n: n}
	add := func(kind prometheus.ValueType, name, help string, value func(*sample) float64) {
		c.metrics = append(c.metrics, metric{prometheus.NewDesc("sterling_"+name, help, nil, nil), kind, value})
	}
	counter, gauge := prometheus.CounterValue, prometheus.GaugeValue
	add(counter, "blocks_total", "Blocks made since the start.", func(s *sample) float64 { return float64(s.Blocks) })
	add(counter, "events_total", "Events journaled since the start.", func(s *sample) float64 { return float64(s.Events) })
	add(counter, "journal_bytes_total", "Bytes of blocks appended since the start.", func(s *sample) float64 { return float64(s.Bytes) })
	add(counter, "journal_append_seconds_total", "Time spent in appends since the start.", func(s *sample) float64 { return float64(s.AppendNs) / 1e9 })
	add(gauge, "accounts", "Accounts of the ledger.", func(s *sample) float64 { return float64(s.Accounts) })
	add(gauge, "transfers", "Transfers of the ledger.", func(s *sample) float64 { return float64(s.Transfers) })
	add(gauge, "pending_transfers", "Reservations that are open.", func(s *sample) float64 { return float64(s.Pending) })
	add(gauge, "journal_head", "Sequence number of the last durable block.", func(s *sample) float64 { return float64(s.Head) })
	add(gauge, "index_lag_blocks", "Durable blocks that the index has not seen yet.", func(s *sample) float64 { return float64(s.Head) - float64(min(s.Followed, s.Head)) })
	add(gauge, "index_durable", "Last block whose index entries survive a crash.", func(s *sample) float64 { return float64(s.index.Durable) })
	add(gauge, "index_sublevels", "Tables a query may have to look into before compaction has merged them.", func(s *sample) float64 { return float64(s.index.Sublevels) })
	add(gauge, "index_runs_in_flight", "Full buffers of the index that are not on disk yet.", func(s *sample) float64 { return float64(s.index.InFlight) })
	add(gauge, "index_building", "1 while an index is being built from the journal.", func(s *sample) float64 { return boolean(s.build.Running) })
	add(gauge, "index_build_blocks", "Blocks that the index being built has read; all, where none is.", func(s *sample) float64 { return float64(s.build.Done) })
	add(gauge, "queue_events", "Events that wait to be sequenced.", func(s *sample) float64 { return float64(s.WaitingEvents) })
	add(gauge, "clock_held", "1 while writes are held because the clock jumped.", func(s *sample) float64 { return boolean(s.ClockHeld) })
	add(gauge, "disk_full", "1 while writes are refused because the disk is full.", func(s *sample) float64 { return boolean(s.NoRoom) })
	add(gauge, "leads", "1 while this node leads its cell, as the only one always does.", func(s *sample) float64 { return boolean(s.leads) })
	add(counter, "takeovers_total", "Times that this node took its cell over since the start.", func(s *sample) float64 { return float64(s.membership.Takeovers) })
	add(counter, "stood_down_total", "Times that this node led and stood down since the start.", func(s *sample) float64 { return float64(s.membership.StoodDown) })
	if n.cells != nil {
		add(gauge, "map_version", "Version of the map of cells that this node goes by.", func(s *sample) float64 { return float64(s.mapVersion) })
	}
	add(counter, "rebuilt_total", "Times that the journal contradicted what this node had followed.", func(s *sample) float64 { return float64(s.membership.Rebuilt) })
	return c
}

func boolean(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, m := range c.metrics {
		ch <- m.desc
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	s := &sample{Stats: c.n.cell.Stats(), index: c.n.index.Stats(), build: c.n.index.Building(), leads: true}
	if m := c.n.member; m != nil {
		s.membership = m.Membership()
		s.leads = s.membership.Leads
	}
	if cells := c.n.cells; cells != nil {
		s.mapVersion = cells.router.Map().Version
	}
	for _, m := range c.metrics {
		ch <- prometheus.MustNewConstMetric(m.desc, m.kind, m.value(s))
	}
}
