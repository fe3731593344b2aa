package books

import (
	"fmt"

	"github.com/sterlingrun/sterling/watch/internal/block"
	"github.com/sterlingrun/sterling/watch/internal/count"
)

// BucketPhase is where a bucket of accounts stands in its newest move between cells.
type BucketPhase uint8

// The phases.
const (
	Settled  BucketPhase = iota // it is this cell's
	Closing                     // and only what ends transfers across cells happens in it
	Given                       // it is the peer's, and the map of cells does not say so yet
	Arriving                    // it is being taken from the peer
	Gone                        // it is the peer's
)

// String returns the phase in a word.
func (p BucketPhase) String() string {
	return [...]string{"settled", "closing", "given", "arriving", "gone"}[p]
}

// Bucket is a bucket that took part in a move.
type Bucket struct {
	Bucket                 uint16
	Phase                  BucketPhase
	Move                   count.ID // the newest
	Peer, Version          uint64   // the other cell; of the map of cells that comes of the move
	Since                  uint64   // of the phase, ns
	Accounts, Reservations uint64   // handed over in the move so far

	digest    count.Amount // of what was handed over
	stuck     BucketPhase  // told of this phase, and not that it ended; Settled: no
	stuckMove count.ID
}

// buckets is what is known of buckets.
type buckets struct {
	moved     map[uint16]*Bucket         // those that ever moved
	phases    [block.Buckets]BucketPhase // of all
	unsettled int                        // buckets that are not settled
	present   [block.Buckets]struct{ accounts, reservations uint64 }
	through   lately // events before this one have handed over what they do
}

// own marks an account of the cell's own, which is in no bucket.
const own = 1 << 4

func (b *buckets) countAccount(a *account, by uint64) {
	if a.marks&own == 0 {
		b.present[block.Bucket(&a.id)].accounts += by
	}
}

// countReservation counts a reservation in the buckets of its accounts; by is 1, or -1 as it wraps around.
func (m *Model) countReservation(r *reservation, by uint64) {
	debit, credit := m.accounts.at(r.debit), m.accounts.at(r.credit)
	from, to := block.Bucket(&debit.id), block.Bucket(&credit.id)
	if debit.marks&own == 0 {
		m.buckets.present[from].reservations += by
	}
	if credit.marks&own == 0 && (to != from || debit.marks&own != 0) {
		m.buckets.present[to].reservations += by
	}
}

const oneLess = ^uint64(0)

// checkBuckets tells of a change of an account whose bucket is not the cell's alone. While a bucket closes, what ends a
// transfer across cells may still happen.
func (m *Model) checkBuckets(ends bool, accounts ...*account) {
	if m.buckets.unsettled == 0 {
		return
	}
	for _, a := range accounts {
		n := block.Bucket(&a.id)
		if p := m.buckets.phases[n]; p != Settled && a.marks&own == 0 && (p != Closing || !ends) {
			m.fault(lostUpdate, fmt.Sprintf("account %v is changed, and its bucket %d is %v", a.id, n, p), func(f *Finding) {
				f.Accounts, f.Transfer, f.Amount, f.Asset = []count.ID{a.id}, m.move.Transfer, m.move.Amount, m.groups[a.group].asset
			})
		}
	}
}

// endsTransit reports whether the event at hand is a step that ends what is in transit already.
func (m *Model) endsTransit(flags uint16) bool {
	if flags&block.Across == 0 {
		return false
	}
	d, ok := block.TransitOf(m.block.Attachment(m.now.event))
	switch d.Step {
	case block.StepDecide, block.StepMarker, block.StepTransfer, block.StepConfirm, block.StepSettle:
		return ok
	}
	return false
}

// moveBucket follows a step of a move: each comes once, in its order, and what it says was handed over is what was.
func (m *Model) moveBucket(x block.Move) {
	if x.Bucket >= block.Buckets {
		m.fault(lostUpdate, fmt.Sprintf("bucket %d is moved, and there is none", x.Bucket), nil)
		return
	}
	b := m.buckets.moved[x.Bucket]
	if b == nil {
		b = &Bucket{Bucket: x.Bucket}
		m.buckets.moved[x.Bucket] = b
	}
	wrong := func(what string, args ...any) {
		m.fault(lostUpdate, fmt.Sprintf("step %d of the move of bucket %d %s", x.Step, x.Bucket, fmt.Sprintf(what, args...)), nil)
	}
	from, to, known := phasesOf(x.Step)
	if x.Step == block.MoveCancel && b.Phase == Arriving { // the giver has called it off, and keeps it
		from, to = Arriving, Gone
	}
	begins := x.Step == block.MoveClose || x.Step == block.MoveArrive
	present := m.buckets.present[x.Bucket]
	switch {
	case !known:
		wrong("is none")
		return
	case b.Phase != from && (x.Step != block.MoveArrive || b.Phase != Gone):
		wrong("comes while the bucket is %v", b.Phase)
	case begins && x.Version <= b.Version:
		wrong("is for version %d of the map, and version %d came of the move before", x.Version, b.Version)
	case !begins && (x.ID != b.Move || x.Peer != b.Peer || x.Version != b.Version):
		wrong("is of move %v, under way is %v", x.ID, b.Move)
	case x.Step == block.MoveCancel && b.Accounts+b.Reservations > 0:
		wrong("calls it off, and %d accounts and %d reservations are given", b.Accounts, b.Reservations)
	case (x.Step == block.MoveGiven || x.Step == block.MoveArrive) && present.accounts+present.reservations > 0:
		wrong("comes while %d accounts and %d reservations are there", present.accounts, present.reservations)
	case (x.Step == block.MoveGiven || x.Step == block.MoveTaken) &&
		(x.Accounts != b.Accounts || x.Reservations != b.Reservations || x.Digest != b.digest):
		wrong("says %d accounts and %d reservations with digest %v, handed over were %d and %d with %v",
			x.Accounts, x.Reservations, x.Digest, b.Accounts, b.Reservations, b.digest)
	}
	if begins {
		*b = Bucket{Bucket: x.Bucket, Phase: b.Phase, Move: x.ID, Peer: x.Peer, Version: x.Version, stuck: b.stuck, stuckMove: b.stuckMove}
	}
	m.setPhase(b, to)
}

// phasesOf is what a step leads from and to.
func phasesOf(s block.MoveStep) (from, to BucketPhase, ok bool) {
	switch s {
	case block.MoveClose:
		return Settled, Closing, true
	case block.MoveCancel:
		return Closing, Settled, true
	case block.MoveGiven:
		return Closing, Given, true
	case block.MoveArrive:
		return Settled, Arriving, true
	case block.MoveTaken:
		return Arriving, Settled, true
	case block.MoveGone:
		return Given, Gone, true
	}
	return 0, 0, false
}

func (m *Model) setPhase(b *Bucket, p BucketPhase) {
	if b.Phase != Settled {
		m.buckets.unsettled--
	}
	if p != Settled {
		m.buckets.unsettled++
	}
	b.Phase, b.Since = p, m.now.time
	m.buckets.phases[b.Bucket] = p
}

// handed counts what was handed over in the move of an account's bucket; ok is false where that is not in this phase.
func (m *Model) handed(id, move *count.ID, p BucketPhase, digest count.Amount, accounts, reservations uint64) (b *Bucket, ok bool) {
	b = m.buckets.moved[block.Bucket(id)]
	if b == nil || b.Phase != p || move != nil && b.Move != *move {
		return b, false
	}
	b.Accounts, b.Reservations = b.Accounts+accounts, b.Reservations+reservations
	b.digest, _ = b.digest.Add(digest) // modulo 2^128
	return b, true
}

// Stuck calls ended with the buckets of which stuck was told before, and whose phase of then has ended, and stuck with
// those that have been closing, given or arriving since before, ns, or longer: once for each phase.
func (m *Model) Stuck(before uint64, stuck, ended func(*Bucket)) {
	if len(m.buckets.moved) == 0 {
		return
	}
	for n := range uint16(block.Buckets) {
		b := m.buckets.moved[n]
		if b == nil {
			continue
		}
		if b.stuck != Settled && (b.stuck != b.Phase || b.stuckMove != b.Move) {
			was := *b
			was.Phase, was.Move = b.stuck, b.stuckMove
			ended(&was)
			b.stuck = Settled
		}
		if b.Phase != Settled && b.Phase != Gone && b.stuck == Settled && b.Since <= before {
			b.stuck, b.stuckMove = b.Phase, b.Move
			stuck(b)
		}
	}
}

// carry follows an event of another cell: its id is used from here on. It moves nothing, unless it hands over a
// reservation. The events of its request end before end.
func (m *Model) carry(t *block.Transfer, event, end int) {
	c, ok := block.CarriedOf(m.block.Attachment(event))
	if !ok {
		m.fault(tamperedHistory, fmt.Sprintf("event %d of block %d was carried, and does not say what became of it", event, m.seq), nil)
		return
	}
	d, transit := block.TransitOf(m.block.Attachment(event))
	if id := t.ID(); c.Status == block.Created || !transit || d.Step == block.StepTransfer || d.Step == block.StepEnd {
		m.seen.add(&id, m.o.HashKey) // it may be known: it was carried before, or comes back
	}
	if c.Standing < block.Arrives || m.buckets.through.seq == m.seq && event < m.buckets.through.event {
		return
	}
	if g := m.groupAt(event, end); m.wholeGroup(g) {
		m.handOver(g)
	}
}
