package cell

import (
	"sync/atomic"

	"github.com/sterlingrun/sterling/ledger"
)

// stats counts what the cell does, for metrics.
type stats struct {
	blocks, events, appends, appendNs, bytes atomic.Uint64
	counts                                   atomic.Pointer[ledger.Counts]
	snapshotDone                             atomic.Bool
}

func (s *stats) countBlock(events int) {
	s.blocks.Add(1)
	s.events.Add(uint64(events)) //nolint:gosec // ≥ 0
}

func (s *stats) countAppend(ns uint64, bytes int) {
	s.appends.Add(1)
	s.appendNs.Add(ns)
	s.bytes.Add(uint64(bytes)) //nolint:gosec // ≥ 0
}

// Stats are counts since the start, and the state's totals.
type Stats struct {
	ledger.Counts
	Blocks, Events    uint64
	Appends, Bytes    uint64
	AppendNs          uint64 // time spent in appends
	Head, Followed    uint64 // last durable block; last one that the index has
	Epoch             uint64
	WaitingRequests   int
	WaitingEvents     int
	ClockHeld, NoRoom bool
}

// Stats returns the counts.
func (c *Cell) Stats() Stats {
	requests, events, _ := c.queue.waiting()
	s := Stats{
		Blocks: c.stats.blocks.Load(), Events: c.stats.events.Load(), Appends: c.stats.appends.Load(), Bytes: c.stats.bytes.Load(),
		AppendNs: c.stats.appendNs.Load(), Head: c.Head(), Followed: c.Head(), Epoch: c.epoch.Load(), WaitingRequests: requests,
		WaitingEvents: events, ClockHeld: c.ClockHeld(), NoRoom: c.room() != nil,
	}
	if counts := c.stats.counts.Load(); counts != nil {
		s.Counts = *counts
	}
	if c.opts.Follower != nil {
		s.Followed = c.opts.Follower.Applied()
	}
	return s
}
