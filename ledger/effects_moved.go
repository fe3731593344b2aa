package ledger

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/money"
)

// MovedEffect is by how much the balances of an account change because accounts or reservations are handed over between
// cells: of an account that leaves or arrives, of the one for clearing with the other cell, of those of a reservation. The
// account is one that the event's record names. Sums are modulo 2^128. There is one for each event and account, in this
// order, and none where nothing changes.
type MovedEffect struct {
	Event, Account uint32
	By             Balances
}

// Move adds an effect of an event.
func (e *Effects) Move(event int, account uint32, by Balances) {
	m := MovedEffect{Event: uint32(event), Account: account, By: by} //nolint:gosec // ≤ MaxEvents
	at, found := slices.BinarySearchFunc(e.Moved, m, func(a, b MovedEffect) int {
		return cmp.Or(cmp.Compare(a.Event, b.Event), cmp.Compare(a.Account, b.Account))
	})
	if !found {
		e.Moved = slices.Insert(e.Moved, at, MovedEffect{Event: m.Event, Account: account})
	}
	sum := &e.Moved[at].By
	sum.Add(&by)
	if *sum == (Balances{}) {
		e.Moved = slices.Delete(e.Moved, at, at+1)
	}
}

// Add adds o, modulo 2^128.
func (b *Balances) Add(o *Balances) {
	b.DebitsPending, _ = b.DebitsPending.Add(o.DebitsPending)
	b.DebitsPosted, _ = b.DebitsPosted.Add(o.DebitsPosted)
	b.CreditsPending, _ = b.CreditsPending.Add(o.CreditsPending)
	b.CreditsPosted, _ = b.CreditsPosted.Add(o.CreditsPosted)
}

// Negative returns what takes b off again, modulo 2^128.
func (b *Balances) Negative() (n Balances) {
	n.DebitsPending, _ = money.U128{}.Sub(b.DebitsPending)
	n.DebitsPosted, _ = money.U128{}.Sub(b.DebitsPosted)
	n.CreditsPending, _ = money.U128{}.Sub(b.CreditsPending)
	n.CreditsPosted, _ = money.U128{}.Sub(b.CreditsPosted)
	return n
}

// Opened adds the effects of a reservation that is open here from an event on.
func (e *Effects) Opened(event int, debit, credit uint32, remaining money.U128) {
	e.Move(event, debit, Balances{DebitsPending: remaining})
	e.Move(event, credit, Balances{CreditsPending: remaining})
}

// TakenAway adds the effects of a reservation that is open here no more. The events name its accounts: one, or, of a
// reservation that is split, one for each.
func (e *Effects) TakenAway(debitEvent, creditEvent int, debit, credit uint32, remaining money.U128) {
	by := Balances{DebitsPending: remaining}
	e.Move(debitEvent, debit, by.Negative())
	by = Balances{CreditsPending: remaining}
	e.Move(creditEvent, credit, by.Negative())
}

// HandedOver adds the effects of an account that leaves against a clearing account, or arrives.
func (e *Effects) HandedOver(event int, account, clearing uint32, debits, credits money.U128, arrives bool) {
	own, other := Balances{DebitsPosted: debits, CreditsPosted: credits}, Balances{DebitsPosted: credits, CreditsPosted: debits}
	if !arrives {
		own, other = own.Negative(), own
	}
	e.Move(event, account, own)
	e.Move(event, clearing, other)
}

// HandedRecord is a record by which an open reservation is handed over: see journal.Standing.
type HandedRecord struct {
	Event    int // of the block
	Transfer *journal.Transfer
	Carried  journal.Carried
	Transit  journal.Transit // Step 0: it is none of a transfer across cells
}

// HandedGroup returns the records that hand over a reservation, of which the one at an event is the first; nil where that
// hands over nothing. The events of its request end before end. There are three where a reservation is split: the marker,
// the transfer, whose id is that of the whole reservation, and the hold. It shares the block's memory.
func HandedGroup(k *journal.Block, event, end int) (group []HandedRecord) {
	add := func(at int, step journal.TransitStep) bool {
		if at >= end {
			return false
		}
		data := k.Attachment(at)
		r := HandedRecord{Event: at, Transfer: k.Transfer(at)}
		r.Carried, _, _ = journal.CarriedOf(data)
		r.Transit, _ = journal.TransitOf(data)
		if r.Carried.Standing < journal.StandingArrives || at > event && r.Transit.Step != step {
			return false
		}
		if first := at == event; !first && step == journal.TransitHold &&
			(r.Transit.Reserve != group[0].Transit.Reserve || r.Carried.Standing == group[0].Carried.Standing) {
			return false
		}
		group = append(group, r)
		return true
	}
	if add(event, 0) && group[0].Transit.Step == journal.TransitMarker && add(event+1, journal.TransitTransfer) {
		add(event+2, journal.TransitHold)
	}
	return group
}

// HandedAccount is what an account takes along.
type HandedAccount struct {
	journal.Account
	Details journal.Details // address and metadata
	Freezes []Freeze        // of the account, all there ever were
}

// Handed reads what is attached to the handover of an account. What it returns shares the attachment's memory.
func Handed(attachment []byte) (h HandedAccount, err error) {
	if h.Details, err = journal.DecodeDetails(attachment); err != nil {
		return h, fmt.Errorf("handover of an account: %w", err)
	}
	g, err := readBelongings(h.Details.Payload)
	h.Account, h.Freezes = g.head.Account, g.freezes
	return h, err
}
