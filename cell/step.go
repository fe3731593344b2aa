package cell

import (
	"context"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/ledger"
	"github.com/sterlingrun/sterling/money"
)

// Stepper drives a cell without any goroutine: its holder decides which part of the cell takes its next step, so that
// a run can be replayed exactly. It calls the same code as the goroutines that Open starts. It is for simulators, and
// not safe for concurrent use.
type Stepper struct {
	c     *Cell
	hand  *batch // being appended
	tries int
	task  *snapshotTask
	ids   *settleTask
	ended bool
}

// Sizes are what a stepped cell does in smaller portions than a real one, so that short runs reach every case.
type Sizes struct {
	Eager int // events that wait and so make the next block while one is being appended
	Piece int // bytes of a snapshot that are copied between two blocks
}

// OpenStepped is Open without the goroutines. Recovery and takeover wait by opts.Clock, whose After should fire at once.
func OpenStepped(ctx context.Context, opts Options, sizes Sizes) (*Stepper, error) {
	c, err := recovered(ctx, opts)
	if err != nil {
		return nil, err
	}
	return stepped(c, sizes), nil
}

func stepped(c *Cell, sizes Sizes) *Stepper {
	s := &Stepper{c: c}
	c.eager, c.snapshot.piece = sizes.Eager, sizes.Piece
	c.snapshot.start = func(t *snapshotTask) { s.task = t }
	c.settling.start = func(t *settleTask) { s.ids = t }
	return s
}

// OpenStandbyStepped is OpenStandby without the goroutines. Until LeadStepped, WriteSnapshot is all that the stepper is
// for.
func OpenStandbyStepped(ctx context.Context, opts Options, sizes Sizes) (*Standby, *Stepper, error) {
	s, err := OpenStandby(ctx, opts)
	if err != nil {
		return nil, nil, err
	}
	return s, stepped(s.c, sizes), nil
}

// LeadStepped is Lead without the goroutines.
func (s *Standby) LeadStepped(ctx context.Context, incarnation [16]byte, believed uint64) error {
	return s.takeOver(ctx, incarnation, believed)
}

// Cell returns the cell, for its methods that do not wait: Do, Close, Sync and the look-ups would wait for ever.
func (s *Stepper) Cell() *Cell { return s.c }

// Submit queues a request, as Do does first; Answer tells when it is answered.
func (s *Stepper) Submit(r *Request) error {
	if err := r.check(); err != nil {
		return err
	}
	return s.c.enqueue(r)
}

// Answer reports whether a request or look-up that was submitted is answered, and with what error. It tells only once.
func (s *Stepper) Answer(r *Request) (answered bool, err error) {
	select {
	case err = <-r.done:
		return true, err
	default:
		return false, nil
	}
}

// Lookup is a look-up of accounts and transfers at one moment.
type Lookup struct {
	Request   Request // what Answer is asked for; its Seq is the last block that was seen
	Accounts  []journal.Account
	Transfers []ledger.Transfer

	transfers []money.U128
	places    []places
}

// Look queues a look-up, as LookupAccounts and LookupTransfers do. After the answer, Finish fills in the transfers.
func (s *Stepper) Look(accounts, transfers []money.U128) (*Lookup, error) {
	l := &Lookup{transfers: transfers}
	l.Request.read = func(st *ledger.State) {
		l.Accounts, l.places = accountsOf(st, accounts), candidates(st, transfers)
	}
	return l, s.c.enqueue(&l.Request)
}

// Finish reads the transfers of an answered look-up.
func (s *Stepper) Finish(ctx context.Context, l *Lookup) (err error) {
	l.Transfers, err = s.c.transfersAt(ctx, l.transfers, l.places)
	return err
}

// Close refuses new requests; what is queued is still done, by steps.
func (s *Stepper) Close() { s.c.queue.close() }

// Ended reports whether the cell has stopped and the sequencer has nothing left to do.
func (s *Stepper) Ended() bool { return s.ended }

// Sequence is a turn of the sequencer: one batch, or a piece of a snapshot. It reports whether it did anything.
func (s *Stepper) Sequence() bool {
	c := s.c
	if s.ended || len(c.toLog) == cap(c.toLog) || len(c.free) == 0 {
		return false
	}
	c.beginTurn()
	switch c.turn() {
	case turnEnd:
		c.endSequence()
		s.ended = true
		return true
	case turnWait:
		if c.snapshotStep() {
			return true
		}
		if d, ok := c.untilDue(); !ok || d > 0 {
			return false
		}
	case turnBlock:
	}
	b := <-c.free
	c.makeBatch(b)
	c.toLog <- b
	c.snapshotStep()
	return true
}

// Append is a step of the writer: one try to append the next batch. It reports whether it did anything.
func (s *Stepper) Append() bool {
	c := s.c
	if s.hand == nil {
		if len(c.toLog) == 0 {
			return false
		}
		s.hand, s.tries = <-c.toLog, 0
	}
	done, err := c.tryAppend(s.hand, s.tries)
	s.tries++
	if !done && c.ctx.Err() != nil {
		done, err = true, c.errStopped()
	}
	if done {
		c.settle(s.hand, err)
		s.hand = nil
	}
	return true
}

// Appending reports whether an append is outstanding: tried, and its outcome unknown.
func (s *Stepper) Appending() bool { return s.hand != nil }

// Follow hands one durable block to the follower. It reports whether there was one.
func (s *Stepper) Follow() bool {
	if len(s.c.toIndex) == 0 {
		return false
	}
	s.c.followBlock(<-s.c.toIndex)
	return true
}

// WriteIDs is a step of the writer of ids: one try to write a generation out. It reports whether it did anything.
func (s *Stepper) WriteIDs() bool {
	if s.ids == nil {
		return false
	}
	if s.ids.try() {
		s.ids = nil
	}
	return true
}

// WriteSnapshot is a step of the snapshot's writer: one piece, or its end. It reports whether it did anything.
func (s *Stepper) WriteSnapshot() bool {
	t := s.task
	if t == nil {
		return false
	}
	select {
	case b, more := <-t.in:
		if more {
			t.write(b)
			return true
		}
	default:
		return false
	}
	if t.err == nil && t.ctx.Err() == nil && !s.c.followed.reached(t.seq) {
		return false
	}
	s.task = nil
	t.finish()
	return true
}
