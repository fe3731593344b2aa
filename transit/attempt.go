package transit

import (
	"errors"
	"fmt"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/money"
)

// ErrCrossing is a transfer that can't cross cells: its events must be decided in one cell. Nothing was done.
var ErrCrossing = errors.New("not possible across cells")

// amountBits bounds the amounts that can cross cells. All of them pass through the same two accounts, whose sums only
// grow: one transfer of 2^128-1 would fill these for ever, for everybody; of these it takes 2^32.
const amountBits = 96

// CheckTransfer tells why a transfer between accounts of two cells can't be made, or nil.
func CheckTransfer(t *journal.Transfer) error {
	err := checkFlags(t, journal.TransferPending)
	if err == nil && t.Amount.Hi>>(amountBits-64) != 0 {
		err = fmt.Errorf("%w: an amount of 2^%d or more", ErrCrossing, amountBits)
	}
	return err
}

// CheckEnd tells why a post or void of a transfer across cells can't be made, or nil.
func CheckEnd(t *journal.Transfer) error {
	return checkFlags(t, journal.TransferPost|journal.TransferVoid|journal.TransferFence)
}

func checkFlags(t *journal.Transfer, allowed journal.TransferFlags) error {
	for _, f := range []struct {
		flag journal.TransferFlags
		name string
	}{
		{journal.TransferLinked, "a linked transfer"},
		{journal.TransferBalancingDebit | journal.TransferBalancingCredit, "a balancing transfer"},
		{journal.TransferClosingDebit | journal.TransferClosingCredit, "a closing transfer"},
		{journal.TransferImported, "an imported transfer"},
		{journal.TransferKeepRemainder, "a post that keeps the remainder"},
	} {
		if t.Flags.Has(f.flag) {
			return fmt.Errorf("%w: %s", ErrCrossing, f.name)
		}
	}
	if t.Flags&^(allowed|journal.TransferAttached) != 0 {
		return fmt.Errorf("%w: flags %#x", ErrCrossing, uint16(t.Flags))
	}
	return nil
}

// Attempt is one attempt at a transfer across cells. Its methods build the events of each step, always the same bytes:
// so any of them may be sent again.
type Attempt struct {
	Asked    journal.Transfer // as the caller asked for it; Asset is its number at home
	Date     journal.Date     // what the caller attached
	Metadata []journal.Meta
	Asset    money.Asset
	Home     uint64 // this cell
	Peer     uint64 // that of the credit account
	Reserve  money.U128
}

// Event is an event and what is attached to it. Its flags say so already.
type Event struct {
	Transfer journal.Transfer
	Attached []byte
}

// event completes an event of a step.
func (a *Attempt) event(step journal.TransitStep, t journal.Transfer, d journal.Details) Event {
	x := journal.Transit{
		Transfer: a.Asked.ID, Reserve: a.Reserve, Debit: a.Asked.Debit, Credit: a.Asked.Credit, Peer: a.Peer,
		Timeout: a.Asked.Timeout, Flags: a.Asked.Flags & journal.TransferPending, Step: step,
	}
	if step == journal.TransitHold || step == journal.TransitConfirm {
		x.Peer = a.Home
	}
	if d.Transit != nil {
		x.Status = d.Transit.Status
	}
	d.Transit = &x
	if t.ID.IsZero() {
		t.ID = ID(a.Reserve, step)
	}
	t.Flags |= journal.TransferTransit | journal.TransferAttached
	return Event{t, d.Append(nil)}
}

// MarkerID is the id of the marker, once the attempt is decided.
func (a *Attempt) MarkerID() money.U128 { return ID(a.Reserve, journal.TransitMarker) }

// moving is the transfer as asked for, with other accounts.
func (a *Attempt) moving(debit, credit money.U128) journal.Transfer {
	t := a.Asked
	t.Debit, t.Credit, t.Flags = debit, credit, t.Flags&journal.TransferPending
	return t
}

// holding is a reservation of a step.
func (a *Attempt) holding(debit, credit money.U128) journal.Transfer {
	t := a.moving(debit, credit)
	t.ID, t.PendingID, t.Timeout = money.U128{}, a.Asked.ID, 0
	t.Flags = journal.TransferPending | journal.TransferHold
	return t
}

func (a *Attempt) details() journal.Details {
	return journal.Details{BookingDate: a.Date, Metadata: a.Metadata}
}

// Reserved is the first step, at home. If it is refused, that is the transfer's status, and all is over.
func (a *Attempt) Reserved() Event {
	return a.event(journal.TransitReserve, a.holding(a.Asked.Debit, InTransit(a.Asset)), a.details())
}

// Hold is the second step, at the peer, where the asset has that number. Created and exists mean that the peer holds it.
func (a *Attempt) Hold(number uint32) Event {
	t := a.holding(Clearing(a.Asset, a.Home), a.Asked.Credit)
	t.Asset = number
	return a.event(journal.TransitHold, t, a.details())
}

// Commit is the decision for the transfer, at home: three events that are sent together. Decided reads their results.
func (a *Attempt) Commit() []Event {
	marker := a.holding(InTransit(a.Asset), Clearing(a.Asset, a.Peer))
	marker.Flags |= journal.TransferLinked
	return []Event{a.decide(), a.event(journal.TransitMarker, marker, a.marker(journal.Created)), a.Transfer()}
}

// Abort is the decision against the transfer, at home: two events that are sent together. Status is what refused it; if
// that burns the transfer's id, so does the abort. 0: it is refused for now.
func (a *Attempt) Abort(status journal.Status) []Event {
	marker := a.holding(InTransit(a.Asset), Clearing(a.Asset, a.Peer))
	marker.Amount = money.U128{} // so nothing can refuse it
	return []Event{a.decide(), a.event(journal.TransitMarker, marker, a.marker(status))}
}

func (a *Attempt) decide() Event {
	return a.event(journal.TransitDecide, journal.Transfer{PendingID: a.Reserve, Flags: journal.TransferVoid | journal.TransferLinked}, journal.Details{})
}

func (a *Attempt) marker(status journal.Status) journal.Details {
	d := journal.Details{Transit: &journal.Transit{Status: status}}
	if status == journal.Created {
		d.BookingDate = a.Date // for the confirmation
	}
	return d
}

// Transfer is the transfer itself, as the home keeps it. Sent alone it is only answered: that it exists, or how it differs
// from the one that does. For that the attempt's Reserve and Peer must be those of the transfer that exists.
func (a *Attempt) Transfer() Event {
	return a.event(journal.TransitTransfer, a.moving(a.Asked.Debit, InTransit(a.Asset)), a.details())
}

// Confirm tells the peer how the transfer ended: with posted, or, if that is zero, with nothing. Dated gives it the
// transfer's booking date. Confirmed reads its result.
func (a *Attempt) Confirm(posted money.U128, dated bool) Event {
	t := resolving(a.hold(), posted)
	var d journal.Details
	if posted.IsZero() {
		t.Flags |= journal.TransferFence
	} else if dated && !a.Asked.Flags.Has(journal.TransferPending) { // a later post has a date of its own
		d.BookingDate = a.Date
	}
	return a.event(journal.TransitConfirm, t, d)
}

func (a *Attempt) hold() money.U128 { return ID(a.Reserve, journal.TransitHold) }

// Settle is the last step, at home, once the peer has confirmed.
func (a *Attempt) Settle(posted money.U128) Event {
	return a.event(journal.TransitSettle, resolving(a.MarkerID(), posted), journal.Details{})
}

func resolving(id, posted money.U128) journal.Transfer {
	if posted.IsZero() {
		return journal.Transfer{PendingID: id, Flags: journal.TransferVoid}
	}
	return journal.Transfer{PendingID: id, Amount: posted, Flags: journal.TransferPost}
}

// End is a caller's post or void of the transfer that x says, where that is pending at home: p with the details d.
func End(p *journal.Transfer, d journal.Details, x journal.Transit, a money.Asset) Event {
	t := *p
	if t.Credit == x.Credit {
		t.Credit = InTransit(a)
	}
	t.Flags |= journal.TransferTransit | journal.TransferAttached
	x.Step, x.Status = journal.TransitEnd, 0
	d.Transit = &x
	return Event{t, d.Append(nil)}
}
