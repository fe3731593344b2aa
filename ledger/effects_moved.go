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

// Move adds an effect of an event, which is none before the last one.
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

// Opens adds the effects of a reservation between two accounts that is open from event on, Ends those of one that is no more.
func (e *Effects) Opens(event int, debit, credit uint32, remaining money.U128) {
	e.Move(event, debit, Balances{DebitsPending: remaining})
	e.Move(event, credit, Balances{CreditsPending: remaining})
}

// Ends is the reverse of Opens.
func (e *Effects) Ends(event int, debit, credit uint32, remaining money.U128) {
	by := Balances{DebitsPending: remaining}
	e.Move(event, debit, by.Negative())
	by = Balances{CreditsPending: remaining}
	e.Move(event, credit, by.Negative())
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

// Handed reads what is attached to the handover of an account: the account as it is handed over, and its details. What
// it returns shares the attachment's memory.
func Handed(attachment []byte) (a journal.Account, d journal.Details, err error) {
	if d, err = journal.DecodeDetails(attachment); err != nil {
		return a, d, fmt.Errorf("handover of an account: %w", err)
	}
	g, err := readBelongings(d.Payload)
	return g.head.Account, d, err
}
