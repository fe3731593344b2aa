package readmodel

import (
	"context"
	"fmt"
	"time"
)

// RunState is what a projector is doing.
type RunState string

// What a projector is doing.
const (
	Starting   RunState = "starting"
	Live       RunState = "live"        // the tables have all that is acknowledged
	CatchingUp RunState = "catching up" // there are more blocks than one batch takes
	Waiting    RunState = "waiting"     // the source is behind the tables
	Emptying   RunState = "emptying"    // the tables are built anew: see Why
	Failing    RunState = "failing"     // it is tried again: see Failure
	Stopped    RunState = "stopped"     // Run has returned: see Failure
)

// Status says how a projector is doing.
type Status struct {
	State    RunState
	Position Position // where the tables stand, as far as is known
	Head     uint64   // the highest acknowledged block, when it was last asked for
	Failure  string   // of the last attempt; "" where it went well
	Why      string   // why the tables are being built anew
	Stats    Stats
}

// Behind is how many acknowledged blocks the tables lack.
func (s *Status) Behind() uint64 { return max(s.Head, s.Position.Seq) - s.Position.Seq }

// Stats count since the start, for metrics.
type Stats struct {
	Batches   uint64 // transactions
	Blocks    uint64
	Rows      uint64 // written, of all tables
	Transfers uint64
	Time      time.Duration // in transactions, looking up and deriving included
	Failures  uint64        // attempts that failed and were repeated
	Moved     uint64        // attempts that found somebody else at work
	Rebuilds  uint64        // times that the tables were emptied
}

func (s *Stats) count(b *Batch, blocks int, took time.Duration) {
	s.Batches++
	s.Blocks += uint64(blocks) //nolint:gosec // not negative
	s.Rows += uint64(b.Rows()) //nolint:gosec // not negative
	s.Transfers += uint64(len(b.Transfers))
	s.Time += took
}

// Status returns how the projector is doing at this moment.
func (p *Projector) Status() Status {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.status
}

// Await returns nil once the tables have block seq, or an error if ctx ends or Run has returned before.
func (p *Projector) Await(ctx context.Context, seq uint64) error {
	for {
		p.mu.Lock()
		s, changed := p.status, p.changed
		p.mu.Unlock()
		if s.Position.Seq >= seq && s.State != Emptying {
			return nil
		}
		if s.State == Stopped {
			return fmt.Errorf("wait for block %d in the tables: the projector has stopped at block %d: %s", seq, s.Position.Seq, s.Failure)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("wait for block %d in the tables, which are at %d: %w", seq, s.Position.Seq, ctx.Err())
		}
	}
}

func (p *Projector) set(change func(s *Status)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change(&p.status)
	close(p.changed)
	p.changed = make(chan struct{})
}
