package transit

import (
	"crypto/sha256"
	"encoding/binary"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/money"
)

// Reservation is an open reservation that goes to another cell with the bucket of one of its accounts, or of both.
type Reservation struct {
	Record    journal.Transfer // as it stands in the journal
	Attached  []byte
	Timestamp uint64     // ns
	Amount    money.U128 // reserved at first, minor units
	Remaining money.U128 // still reserved
}

// Leaves is the event of the giver by which a reservation leaves: one whose accounts are both in the bucket, or a hold.
func (r *Reservation) Leaves() Event { return r.handed(journal.StandingLeaves) }

// PairLeaves are the events by which a transfer across cells leaves that is pending, with its marker: together.
func PairLeaves(marker, transfer *Reservation) []Event {
	return []Event{marker.Leaves(), transfer.Leaves()}
}

func (r *Reservation) handed(standing journal.Standing) Event {
	t := r.Record
	t.Flags |= journal.TransferAttached
	return Event{t, journal.AppendCarried(r.Attached, journal.Carried{
		Status: journal.Created, Standing: standing, Timestamp: r.Timestamp, Amount: r.Amount, Remaining: r.Remaining,
	})}
}

// Split is a reservation in one cell of which one account leaves: it becomes a transfer across cells that is pending, of
// the cell that its debit account is in from then on.
type Split struct {
	Reservation
	Asset       money.Asset
	Move        money.U128 // id of the move
	Giver       uint64
	Taker       uint64
	DebitLeaves bool // the debit account does; otherwise the credit account
}

// SplitReserve is the id that the steps of a reservation that was split derive theirs from, as if it had been reserved
// with it: SHA-256("sterling split" ‖ id of the move ‖ id of the transfer).
func SplitReserve(move, transfer money.U128) money.U128 {
	b := []byte("sterling split")
	for _, id := range [2]money.U128{move, transfer} {
		b = binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(b, id.Lo), id.Hi)
	}
	sum := sha256.Sum256(b)
	return journal.MakeOwn(money.LE(sum[:16]))
}

// Events are those of the giver by which one half of the reservation leaves and the other stays: marker, transfer and
// hold, which are sent together.
func (s *Split) Events() []Event {
	home, peer, debit, credit := s.Giver, s.Taker, journal.StandingStays, journal.StandingLeaves
	if s.DebitLeaves {
		home, peer, debit, credit = peer, home, credit, debit
	}
	t := &s.Record
	x := journal.Transit{
		Transfer: t.ID, Reserve: SplitReserve(s.Move, t.ID), Debit: t.Debit, Credit: t.Credit, Peer: peer, Timeout: t.Timeout,
		Flags: journal.TransferPending,
	}
	part := func(step journal.TransitStep, debit, credit money.U128, flags journal.TransferFlags) Reservation {
		p := s.Reservation
		p.Record.ID, p.Record.PendingID = ID(x.Reserve, step), t.ID
		p.Record.Debit, p.Record.Credit, p.Record.Timeout, p.Record.Timestamp = debit, credit, 0, 0
		p.Record.Amount, p.Amount = s.Remaining, s.Remaining
		p.Record.Flags = journal.TransferPending | journal.TransferHold | journal.TransferTransit | flags
		x := x
		x.Step = step
		switch step {
		case journal.TransitMarker:
			x.Status, p.Attached = journal.Created, nil // like that of a transfer that is pending: its post has a date of its own
		case journal.TransitHold:
			x.Peer = home
		}
		p.Attached = journal.AppendTransit(p.Attached, &x)
		return p
	}
	inTransit := InTransit(s.Asset)
	marker := part(journal.TransitMarker, inTransit, Clearing(s.Asset, peer), journal.TransferLinked)
	hold := part(journal.TransitHold, Clearing(s.Asset, home), t.Credit, t.Flags&journal.TransferClosingCredit)
	transfer := s.Reservation
	x.Step = journal.TransitTransfer
	transfer.Record.Credit, transfer.Attached = inTransit, journal.AppendTransit(s.Attached, &x)
	transfer.Record.Flags |= journal.TransferTransit
	return []Event{marker.handed(debit), transfer.handed(debit), hold.handed(credit)}
}

// Arrives returns the event of the taker for one of the giver's, as it stands in the giver's journal; ok is false where
// nothing leaves with it. Those that were sent together arrive together.
func Arrives(e Event) (arrives Event, ok bool) {
	c, original, ok := journal.CarriedOf(e.Attached)
	if !ok || c.Standing != journal.StandingLeaves {
		return Event{}, false
	}
	c.Standing = journal.StandingArrives
	return Event{e.Transfer, journal.AppendCarried(original, c)}, true
}
