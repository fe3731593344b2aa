package watch

import (
	"fmt"
	"time"

	"github.com/sterlingrun/sterling/watch/internal/block"
	"github.com/sterlingrun/sterling/watch/internal/books"
	"github.com/sterlingrun/sterling/watch/internal/count"
)

// defaultTransit is how long money may be in transit between cells.
const defaultTransit = uint64(30 * time.Second)

// stuckID is the id of the break that a reservation of a transfer across cells is open for too long.
func stuckID(transfer, reservation ID) ID {
	return breakID(StuckInTransit, "", transfer, "reservation "+hexOf(reservation))
}

// ordinary returns a movement as flows see it: of a transfer across cells only the transfer itself, at home, between its
// own accounts. Its other steps are followed by the books. ok is false for these.
func (e *Engine) ordinary(m *Movement) (seen *Movement, ok bool) {
	if m.Phase == books.Hand {
		return nil, false // nobody orders it
	}
	if m.Transit == nil {
		return m, true
	}
	if m.Phase == books.Leave {
		e.mend(stuckID(m.Transit.Transfer, m.Reservation), "it is another cell's now")
	}
	switch m.Transit.Step {
	case block.StepDecide, block.StepConfirm, block.StepSettle:
		e.mend(stuckID(m.Transit.Transfer, m.Reservation), "both cells have done their part")
	case block.StepTransfer, block.StepEnd:
		own := *m
		own.Debit, own.Credit = m.Transit.Debit, m.Transit.Credit
		return &own, true
	}
	return nil, false
}

// settleTransit finds what is in transit between cells beyond the deadline, by the journal's word.
func (e *Engine) settleTransit() {
	if through := e.sources[0].through; through > e.transit {
		e.books.Overdue(through-e.transit, e.stuck)
		e.books.Stuck(through-e.transit, e.stuckBucket, func(b *books.Bucket) { e.mend(stuckBucketID(b), "the move went on") })
	}
}

func (e *Engine) stuck(o *books.Open) {
	asset := e.assets[e.assetOf(o.Asset)]
	amount := money(o.Whole, asset)
	summary := ""
	switch {
	case o.Step == block.StepHold:
		summary = fmt.Sprintf("cell %d has neither confirmed nor given up %s that are held for account %s", o.Peer, amount, textOf(o.Credit))
	case o.Step == block.StepReserve:
		summary = fmt.Sprintf("%s of account %s are reserved for a transfer to cell %d that is not decided", amount, textOf(o.Debit), o.Peer)
	case o.Status == block.Created:
		summary = fmt.Sprintf("%s are in transit to cell %d, which has not confirmed them", amount, o.Peer)
	default:
		summary = fmt.Sprintf("cell %d has not given up %s of a transfer that was refused", o.Peer, amount)
	}
	e.report(breakOf{
		class: StuckInTransit, key: o.Transfer, cause: "reservation " + hexOf(o.ID), happened: max(o.Since, 1), risk: o.Whole, asset: asset,
		summary: fmt.Sprintf("transfer %s: %s for more than %v", textOf(o.Transfer), summary, time.Duration(e.transit)), //nolint:gosec // G115: below 2^63
		evidence: []Evidence{{What: "transfer", Source: "journal", Seq: o.Seq, Index: o.Index, Time: o.Time, Fields: []Field{
			{Name: "id", Value: textOf(o.ID)},
			{Name: "step", Value: stepName(o.Step)},
			{Name: "amount", Value: amount},
			{Name: "debit", Value: textOf(o.Debit)},
			{Name: "credit", Value: textOf(o.Credit)},
			{Name: "peer", Value: fmt.Sprintf("cell %d", o.Peer)},
			{Name: "open since", Value: stamp(o.Since), Wrong: true},
		}}},
	})
}

func stepName(s block.Step) string {
	return map[block.Step]string{block.StepReserve: "reserve", block.StepHold: "hold", block.StepMarker: "marker"}[s]
}

func bucketKey(b *books.Bucket) ID { return count.IDOf(count.Of(uint64(b.Bucket))) }

// stuckBucketID is the id of the break that a bucket stays in a phase of a move for too long.
func stuckBucketID(b *books.Bucket) ID {
	return breakID(StuckInTransit, "", bucketKey(b), fmt.Sprintf("bucket %s %s", hexOf(b.Move), b.Phase))
}

// stuckBucket reports a bucket whose accounts nobody can use, because its move to another cell, or from there, stands.
func (e *Engine) stuckBucket(b *books.Bucket) {
	what := map[books.BucketPhase]string{
		books.Closing:  "is closing, to be given to cell %d",
		books.Given:    "was given to cell %d, and the map of cells does not say so",
		books.Arriving: "is arriving from cell %d",
	}[b.Phase]
	e.report(breakOf{
		class: StuckInTransit, key: bucketKey(b), cause: fmt.Sprintf("bucket %s %s", hexOf(b.Move), b.Phase), happened: max(b.Since, 1),
		summary: fmt.Sprintf("bucket %d "+what+", for more than %v", b.Bucket, b.Peer, time.Duration(e.transit)), //nolint:gosec // G115: below 2^63
		evidence: []Evidence{{What: "bucket", Source: "journal", Seq: e.books.Seq(), Time: b.Since, Fields: []Field{
			{Name: "move", Value: textOf(b.Move)},
			{Name: "phase", Value: b.Phase.String()},
			{Name: "peer", Value: fmt.Sprintf("cell %d", b.Peer)},
			{Name: "accounts", Value: fmt.Sprint(b.Accounts)},
			{Name: "reservations", Value: fmt.Sprint(b.Reservations)},
			{Name: "since", Value: stamp(b.Since), Wrong: true},
		}}},
	})
}
