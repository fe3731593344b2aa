package cell

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sterlingrun/sterling/clock"
	"github.com/sterlingrun/sterling/ledger"
)

// MemberOptions are those of a cell that several nodes serve, of which one leads.
type MemberOptions struct {
	Options // Shared is set, Incarnation and Fatal are the member's own

	Leases         Leases
	Address        string          // where clients reach this node's API, host:port
	TTL            time.Duration   // of the lease: after so long without a word of the leader, another takes over; 0: 2 s
	Poll           time.Duration   // how often a standby looks at journal and lease; 0: 25 ms
	NewIncarnation func() [16]byte // random

	// Leading is called when this node has taken over, before it answers calls; an error makes it stand down. Standing
	// is called when it leads no more. Either may be nil.
	Leading  func(ctx context.Context, c *Cell) error
	Standing func()
	// Followed is told of the state that a standby has, whenever that has changed, and may only read it. It is called by
	// one goroutine at a time, never while this node leads. It may be nil.
	Followed func(*ledger.State)
	// Failed is called once, with a fault that no other node's writing explains: the process should end.
	Failed func(error)
}

const (
	defaultTTL  = 2 * time.Second
	defaultPoll = 25 * time.Millisecond
	restAfter   = 5 * time.Second // a node that was drained does not lead again before, unless nobody else does
)

// Member is a node's part in a cell: it follows the journal, and leads when the lease is its own. Its methods are safe
// for concurrent use.
type Member struct {
	opts    MemberOptions
	leader  atomic.Pointer[Cell]  // nil: it does not lead
	follows atomic.Pointer[Cell]  // the state behind Head and Assets while it does not lead
	lease   atomic.Pointer[Lease] // as it was seen last
	stats   memberStats

	drains  chan chan error
	rest    resting
	yielded bool // to a node with a better clock; owned by run, like the next one
	failed  int  // takeovers that did not succeed, one after the other
	ctx     context.Context
	cancel  context.CancelFunc
	running sync.WaitGroup
}

// resting keeps a node that was drained from leading again at once, unless another has led meanwhile. Owned by run.
type resting struct {
	until uint64 // clock.Mono
	epoch uint64 // that it led in; with a higher one, somebody else has led meanwhile
}

type memberStats struct{ takeovers, stoodDown, rebuilt atomic.Uint64 }

// Join recovers the state as a standby does, within ctx, and then follows or leads until Close.
func Join(ctx context.Context, opts MemberOptions) (*Member, error) {
	opts.Shared, opts.Fatal = true, nil
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	if opts.TTL == 0 {
		opts.TTL = defaultTTL
	}
	if opts.Poll == 0 {
		opts.Poll = defaultPoll
	}
	m := &Member{opts: opts, drains: make(chan chan error)}
	s, err := OpenStandby(ctx, opts.Options)
	if err != nil {
		return nil, err
	}
	m.recovered(s)
	m.ctx, m.cancel = context.WithCancel(context.Background())
	m.running.Go(func() { m.run(s) })
	return m, nil
}

// Close stands down, if it leads as Drain does, and stops.
func (m *Member) Close() error {
	m.cancel()
	m.running.Wait()
	return nil
}

// Leader returns the cell while this node leads; else an error that is ErrNotLeader and says who does.
func (m *Member) Leader() (*Cell, error) {
	if c := m.leader.Load(); c != nil {
		return c, nil
	}
	return nil, m.notLeader()
}

func (m *Member) notLeader() error {
	err := &NotLeaderError{}
	if l := m.lease.Load(); l != nil && !l.Held {
		err.Leader = l.Address
	}
	return err
}

// run follows and leads by turns, until the context ends.
func (m *Member) run(s *Standby) {
	for m.ctx.Err() == nil {
		if c := m.follow(s); c != nil {
			m.lead(c)
		} else {
			s.Close()
		}
		s = m.again()
		if s == nil {
			return
		}
	}
}

// recovered has calls that need no leader answered from what a standby has just recovered.
func (m *Member) recovered(s *Standby) {
	m.follows.Store(s.c)
	if m.opts.Followed != nil {
		m.opts.Followed(s.c.state)
	}
}

// again recovers a standby after a failed takeover, or after it led: what was in memory was perhaps never written.
func (m *Member) again() *Standby {
	for try := 0; m.ctx.Err() == nil; try++ {
		s, err := OpenStandby(m.ctx, m.opts.Options)
		if err == nil {
			m.recovered(s)
			return s
		}
		if contradicts(err) {
			m.opts.Failed(err)
			m.cancel() // nobody is left to answer Drain
			return nil
		}
		m.opts.Logger.Warn("the journal can't be read; it is tried again", "cell", m.opts.ID, "error", err)
		_ = clock.Sleep(m.ctx, m.opts.Clock, backoff(try)) // the loop ends with the context
	}
	return nil
}

// contradicts tells whether what a node has and what the journal says can't both be right.
func contradicts(err error) bool {
	return errors.Is(err, ErrDamaged) || errors.Is(err, ledger.ErrDiverged)
}

// follow follows the journal until this node leads it. It returns nil where the standby is of no more use.
func (m *Member) follow(s *Standby) *Cell {
	told, toldOfLease := "", ""
	for {
		blocks, err := s.Follow(m.ctx)
		if blocks > 0 && m.opts.Followed != nil {
			m.opts.Followed(s.c.state)
		}
		if err == nil {
			err = m.look()
		}
		switch {
		case m.ctx.Err() != nil:
			return nil
		case errors.Is(err, ErrHalfway) && !contradicts(err):
			m.opts.Logger.Warn("the journal went away in the middle of a block; the standby's state is built anew", "cell", m.opts.ID, "error", err)
			return nil
		case contradicts(err):
			m.stats.rebuilt.Add(1)
			m.opts.Logger.Error("the journal contradicts what this standby had followed; its state is built anew", "cell", m.opts.ID, "error", err)
			return nil
		case err != nil:
			if text := err.Error(); text != told {
				told = text
				m.opts.Logger.Warn("the standby does not follow", "cell", m.opts.ID, "error", err)
			}
		default:
			told = ""
			rests := m.opts.Clock.Mono() < m.rest.until && s.Epoch() <= m.rest.epoch
			if m.lease.Load().Remaining == 0 && !rests {
				c, tried, err := m.tryToLead(s)
				if tried {
					return c
				}
				if err != nil && err.Error() != toldOfLease {
					toldOfLease = err.Error()
					m.opts.Logger.Warn("nobody leads, and this node can't", "cell", m.opts.ID, "error", err)
				}
			}
		}
		if !m.pause() {
			return nil
		}
	}
}

// pause waits for the next look; a call to drain is answered: there is nothing to do. It is false when the member ends.
func (m *Member) pause() bool {
	fired, stop := m.opts.Clock.After(m.opts.Poll)
	defer stop()
	for {
		select {
		case <-fired:
			return true
		case done := <-m.drains:
			done <- m.notLeader()
		case <-m.ctx.Done():
			return false
		}
	}
}

// look sees who has the lease.
func (m *Member) look() error {
	ctx, cancel := context.WithTimeout(m.ctx, m.opts.TTL)
	defer cancel()
	l, err := m.opts.Leases.Leader(ctx)
	if err != nil {
		return fmt.Errorf("see who leads: %w", err)
	}
	m.lease.Store(&l)
	return nil
}

// tryToLead takes the lease and then the journal. It reports whether the standby was used up by that.
func (m *Member) tryToLead(s *Standby) (c *Cell, tried bool, err error) {
	began := m.opts.Clock.Mono()
	holder := m.opts.NewIncarnation()
	l, err := m.take(holder)
	if err != nil || !l.Held {
		return nil, false, err
	}
	if ahead := time.Duration(m.opts.Clock.Wall() - uint64(max(0, l.Now.UnixNano()))); ahead > MaxClockStep && !m.yielded { //nolint:gosec // behind is negative
		m.opts.Logger.Error("this machine's clock is ahead of the database's: it would hold all writes, and leaves it to another node to lead", "cell", m.opts.ID, "ahead", ahead)
		m.release(holder)
		m.yielded, m.rest = true, resting{m.opts.Clock.Mono() + uint64(restAfter), s.Epoch()}
		return nil, false, nil
	}
	m.yielded = false
	c, err = s.Lead(m.ctx, holder, uint64(max(0, l.Now.UnixNano())))
	if err != nil {
		m.opts.Logger.Warn("the takeover did not succeed", "cell", m.opts.ID, "error", err)
		m.release(holder)
		m.rest = resting{m.opts.Clock.Mono() + uint64(backoff(m.failed)), math.MaxUint64} //nolint:gosec // each try recovers all of the state
		m.failed++
		return nil, true, nil
	}
	m.failed = 0
	m.stats.takeovers.Add(1)
	m.opts.Logger.Info("this node leads", "cell", m.opts.ID, "epoch", c.Epoch(), "block", c.Head(), "took", time.Duration(m.opts.Clock.Mono()-began)) //nolint:gosec // short
	return c, true, nil
}

// take takes or renews the lease.
func (m *Member) take(holder [16]byte) (Lease, error) {
	ctx, cancel := context.WithTimeout(m.ctx, m.opts.TTL)
	defer cancel()
	l, err := m.opts.Leases.Lease(ctx, LeaseRequest{Holder: holder, Address: m.opts.Address, TTL: m.opts.TTL})
	if err != nil {
		return l, fmt.Errorf("take the lease: %w", err)
	}
	m.lease.Store(&l)
	return l, nil
}

func (m *Member) release(holder [16]byte) {
	ctx, cancel := context.WithTimeout(context.Background(), m.opts.TTL)
	defer cancel()
	if err := m.opts.Leases.Release(ctx, holder); err != nil {
		m.opts.Logger.Warn("the lease is not given up; it ends by itself", "cell", m.opts.ID, "error", err)
	}
	m.lease.Store(&Lease{})
}

// lead answers calls with c until it has to stand down.
func (m *Member) lead(c *Cell) {
	m.follows.Store(c)
	holder := c.opts.Incarnation
	if m.opts.Leading != nil {
		err := m.whileKept(holder, func() error { return m.opts.Leading(m.ctx, c) })
		if err != nil && m.ctx.Err() == nil {
			m.opts.Logger.Error("this node can't lead", "cell", m.opts.ID, "error", err)
			c.fail(err)
		}
	}
	if c.Err() == nil {
		m.leader.Store(c)
	}
	done := m.hold(c, holder)
	m.leader.Store(nil)
	m.lease.Store(&Lease{})
	err := m.end(c, holder)
	if m.opts.Standing != nil {
		m.opts.Standing()
	}
	m.stats.stoodDown.Add(1)
	m.release(holder)
	switch {
	case err == nil:
		m.opts.Logger.Info("this node leads no more", "cell", m.opts.ID, "block", c.Head())
	case errors.Is(err, ErrConflict), errors.Is(err, ErrDeposed), errors.Is(err, ErrUnsure):
		m.opts.Logger.Warn("this node leads no more", "cell", m.opts.ID, "block", c.Head(), "error", err)
	default:
		m.opts.Failed(err)
		m.cancel()
	}
	if done != nil {
		m.rest = resting{m.opts.Clock.Mono() + uint64(restAfter), c.Epoch()}
		done <- err
	}
}

// end has the cell finish what it was asked for, as long as the journal takes blocks: so long it keeps the lease. Where
// the journal takes none, waiting is of no use to anybody: who waits is told that the outcome is unknown.
func (m *Member) end(c *Cell, holder [16]byte) error {
	ended := make(chan struct{})
	var watching sync.WaitGroup
	watching.Go(func() {
		stalled := 0
		for before := c.stats.appends.Load(); ; {
			fired, stop := m.opts.Clock.After(m.opts.TTL / 4)
			select {
			case <-fired:
			case <-ended:
				stop()
				return
			}
			now := c.stats.appends.Load()
			if stalled++; now != before {
				before, stalled = now, 0
				m.keep(holder)
			}
			if stalled == 8 {
				c.fail(fmt.Errorf("%w: no block was appended for %v, and this node is to lead no more", ErrUnsure, 2*m.opts.TTL))
			}
		}
	})
	err := c.Close()
	close(ended)
	watching.Wait()
	return err
}

// whileKept keeps the lease while f gets the node ready to lead.
func (m *Member) whileKept(holder [16]byte, f func() error) error {
	ended := make(chan struct{})
	var keeping sync.WaitGroup
	keeping.Go(func() {
		for {
			fired, stop := m.opts.Clock.After(m.opts.TTL / 4)
			select {
			case <-fired:
				m.keep(holder)
			case <-ended:
				stop()
				return
			}
		}
	})
	err := f()
	close(ended)
	keeping.Wait()
	return err
}

// keep renews the lease of a node that is not ready yet, or is being closed. Where it can't, another node's epoch block
// tells.
func (m *Member) keep(holder [16]byte) {
	ctx, cancel := context.WithTimeout(context.Background(), m.opts.TTL)
	defer cancel()
	if _, err := m.opts.Leases.Lease(ctx, LeaseRequest{Holder: holder, Address: m.opts.Address, TTL: m.opts.TTL}); err != nil {
		m.opts.Logger.Warn("the lease is not renewed while the node gets ready or finishes", "cell", m.opts.ID, "error", err)
	}
}

// hold renews the lease until the cell stops, the lease is lost, or somebody drains the node, who is to be told.
func (m *Member) hold(c *Cell, holder [16]byte) (drained chan error) {
	heard := m.opts.Clock.Mono()
	for {
		fired, stop := m.opts.Clock.After(m.opts.TTL / 4)
		select {
		case <-fired:
		case <-c.ctx.Done():
		case <-m.ctx.Done():
		case drained = <-m.drains:
		}
		stop()
		if c.Err() != nil || m.ctx.Err() != nil || drained != nil {
			return drained
		}
		l, err := m.take(holder)
		now := m.opts.Clock.Mono()
		switch {
		case err == nil && l.Held && now-heard > uint64(m.opts.TTL): //nolint:gosec // positive
			// It was nobody's for a while, because this node slept or the database did: another may have led since.
			if err := m.prove(c); err != nil {
				c.fail(fmt.Errorf("%w: the lease had run out, and nothing can be appended: %w", ErrDeposed, err))
				return nil
			}
			heard = m.opts.Clock.Mono()
		case err == nil && l.Held:
			heard = now
		case err == nil:
			c.fail(fmt.Errorf("%w: %s has the lease", ErrDeposed, l.Address))
		case now-heard > 2*uint64(m.opts.TTL): //nolint:gosec // positive
			c.fail(fmt.Errorf("%w: the lease could not be renewed for %v: %w", ErrDeposed, time.Duration(now-heard).Round(time.Millisecond), err)) //nolint:gosec // short
		default:
			m.opts.Logger.Warn("the lease is not renewed; it is tried again", "cell", m.opts.ID, "error", err)
		}
	}
}

// prove appends a block: that it can says that no other node has led.
func (m *Member) prove(c *Cell) error {
	ctx, cancel := context.WithTimeout(m.ctx, m.opts.TTL)
	defer cancel()
	_, err := c.Sync(ctx)
	return err
}

// Drain makes a node that leads finish what it was asked for, and stand down for another. It returns once the lease is
// free; ErrNotLeader where it does not lead.
func (m *Member) Drain(ctx context.Context) error {
	if m.leader.Load() == nil { // also while it recovers, or takes over, which may take long
		return m.notLeader()
	}
	done := make(chan error, 1)
	select {
	case m.drains <- done:
	case <-m.ctx.Done():
		return ErrStopped
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Membership is where a node stands in its cell.
type Membership struct {
	Leads     bool
	Leader    string // address of who leads; empty: nobody is known to
	Takeovers uint64 // by this node, since it started
	StoodDown uint64
	Rebuilt   uint64 // times that the journal contradicted what this node had followed
}

// Membership tells where the node stands.
func (m *Member) Membership() Membership {
	s := Membership{Leads: m.leader.Load() != nil, Takeovers: m.stats.takeovers.Load(), StoodDown: m.stats.stoodDown.Load(), Rebuilt: m.stats.rebuilt.Load()}
	if l := m.lease.Load(); l != nil && l.Remaining > 0 {
		s.Leader = l.Address
	}
	return s
}
