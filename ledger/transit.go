package ledger

import (
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/money"
)

const (
	transitFlags = journal.TransferTransit | journal.TransferHold

	// transitRules is the version of the rules that brought transfers across cells. Before, their flags were reserved.
	transitRules = 3
)

// transits is what the state knows of transfers across cells beyond their reservations.
type transits struct {
	// ended has the markers whose transfers have ended, by position, with what was posted. A marker that commits stands
	// right before its transfer, and stays until the peer knows.
	ended map[journal.Position]money.U128

	// held counts the open holds and reserves of callers' accounts, by number.
	held map[uint32]int
}

func (x *transits) init() {
	x.ended, x.held = map[journal.Position]money.U128{}, map[uint32]int{}
}

// end notes how the transfer at position p ended.
func (x *transits) end(p journal.Position, posted money.U128) { x.ended[p-1] = posted }

// beginTransit reads what event i says of a transfer across cells, and reports whether its record is one of its step.
func (s *State) beginTransit(t *journal.Transfer, i int) bool {
	if s.rules < transitRules || s.approved {
		return false
	}
	x, ok := journal.TransitOf(s.builder.Attachment(s.first + i))
	if !ok || !t.Flags.Has(journal.TransferTransit) || !shaped(t, &x) {
		return false
	}
	s.transit = x
	return true
}

// shaped reports whether t has the flags and the ids of its step.
func shaped(t *journal.Transfer, x *journal.Transit) bool {
	const (
		post, void = journal.TransferPost, journal.TransferVoid
		linked     = journal.TransferLinked
		reserves   = journal.TransferPending | journal.TransferHold
	)
	flags := t.Flags &^ (journal.TransferTransit | journal.TransferAttached)
	held := t.PendingID == x.Transfer && t.Timeout == 0
	switch x.Step {
	case journal.TransitReserve:
		return flags == reserves && held && t.ID == x.Reserve && t.Debit == x.Debit
	case journal.TransitHold:
		return flags == reserves && held && t.Credit == x.Credit
	case journal.TransitDecide:
		return flags == void|linked && t.PendingID == x.Reserve
	case journal.TransitMarker:
		if x.Status == journal.Created {
			return flags == reserves|linked && held
		}
		return flags == reserves && held && t.Amount.IsZero() // so that nothing can refuse it
	case journal.TransitTransfer:
		return flags == x.Flags && t.ID == x.Transfer && t.Timeout == x.Timeout && t.Debit == x.Debit
	case journal.TransitConfirm:
		return flags == post || flags == void|journal.TransferFence
	case journal.TransitSettle:
		return flags == post || flags == void
	case journal.TransitEnd:
		return (flags == post || flags&^journal.TransferFence == void) && t.PendingID == x.Transfer
	}
	return false
}

// checkTransit checks that a decision is whole, in its order and of one attempt: decide, marker and, to commit, the
// transfer. The chain that they are does the rest: a decision is made whole or not at all, and needs the reserve. So an
// attempt is decided once.
func (s *State) checkTransit(t *journal.Transfer, i int) journal.Status {
	x := &s.transit
	ok := true
	switch x.Step {
	case journal.TransitReserve:
		if e, found := s.lookUp(x.Transfer, s.hasher.hash(x.Transfer)); found && (e.Status != journal.Created || e.Asked.ID != x.Transfer) {
			return journal.TransferIdAlreadyFailed
		}
	case journal.TransitDecide:
		ok = s.sameAttempt(i+1, journal.TransitMarker)
	case journal.TransitMarker:
		ok = s.sameAttempt(i-1, journal.TransitDecide) && (x.Status != journal.Created || s.sameAttempt(i+1, journal.TransitTransfer))
	case journal.TransitTransfer:
		ok = s.sameAttempt(i-1, journal.TransitMarker)
		if ok {
			marker := s.builder.Transfer(s.first + i - 1)
			ok = marker.Flags.Has(journal.TransferLinked) && marker.Debit == t.Credit && marker.Amount == t.Amount && marker.Asset == t.Asset
		}
	}
	return pick(ok, journal.Created, journal.TransferReservedFlag)
}

// sameAttempt reports whether event i of the request is this step of the attempt that the event being applied is of.
func (s *State) sameAttempt(i int, step journal.TransitStep) bool {
	if i < 0 || i >= len(s.results) {
		return false
	}
	x, ok := journal.TransitOf(s.builder.Attachment(s.first + i))
	return ok && x.Step == step && x.Reserve == s.transit.Reserve && x.Transfer == s.transit.Transfer
}

// checkTransitAccounts keeps the cell's own accounts to the steps that they are for, and the steps to them.
func (s *State) checkTransitAccounts(debit, credit *journal.Account) journal.Status {
	var ownDebit, ownCredit bool // which sides the step wants to be the cell's own
	switch s.transit.Step {
	case journal.TransitReserve, journal.TransitTransfer:
		ownCredit = true
	case journal.TransitHold:
		ownDebit = true
	case journal.TransitMarker:
		ownDebit, ownCredit = true, true
	}
	d, c := debit.Flags.Has(journal.AccountTransit), credit.Flags.Has(journal.AccountTransit)
	switch {
	case d && !ownDebit:
		return journal.TransferDebitAccountNotFound
	case c && !ownCredit:
		return journal.TransferCreditAccountNotFound
	case d != ownDebit || c != ownCredit:
		return journal.TransferReservedFlag
	}
	return journal.Created
}

// burnTransit burns ids for a step of a transfer across cells: the transfer's where its reserve was refused or it was
// aborted, with a status that burns. A step's own id is not burned, so that it can be sent again: only what a caller
// sent is, and what a confirmation fences.
func (s *State) burnTransit(hash uint64, status journal.Status) {
	x := &s.transit
	switch {
	case x.Step == journal.TransitReserve && status.Transient(), x.Step == journal.TransitMarker && status == journal.Created && x.Status.Transient():
		hash = s.hasher.hash(x.Transfer)
		if _, known := s.lookUp(x.Transfer, hash); !known {
			s.burns = append(s.burns, hash)
		}
	case (x.Step == journal.TransitTransfer || x.Step == journal.TransitEnd) && status.Transient():
		s.burns = append(s.burns, hash)
	}
}

// burnedTransfer reports whether the event, whose pending id is that of a transfer across cells, burned that id.
func (f *Fact) burnedTransfer() bool {
	if !f.Asked.Flags.Has(journal.TransferHold) || f.Status != journal.Created {
		return f.Asked.Flags.Has(journal.TransferHold) && f.Status.Transient()
	}
	x, ok := journal.TransitOf(f.Attachment)
	return ok && x.Status.Transient()
}

// creditAsked is the account that the caller wants the event being applied to credit, in whichever cell.
func (s *State) creditAsked(t *journal.Transfer) money.U128 {
	if s.transit.Step == journal.TransitTransfer || s.transit.Step == journal.TransitEnd {
		return s.transit.Credit
	}
	return t.Credit
}

// creditOf is the account that a transfer credits, in whichever cell.
func creditOf(e *Fact) money.U128 {
	if x, ok := journal.TransitOf(e.Attachment); ok && x.Step == journal.TransitTransfer {
		return x.Credit
	}
	return e.Asked.Credit
}

// creditMeant is the account that a post or void names as its credit account, in whichever cell.
func (s *State) creditMeant(t *journal.Transfer) money.U128 {
	if s.transit.Step == journal.TransitEnd && s.isOwn(t.Credit) {
		return s.transit.Credit
	}
	return t.Credit
}

// mayResolve reports whether the event being applied is one that a reservation can be posted or voided by. One that has
// ended may have been split before it did.
func (s *State) mayResolve(p *pending, how uint64) bool {
	if !p.flags.Has(journal.TransferTransit) {
		return s.transit.Step == 0 || s.transit.Step == journal.TransitEnd && how != stillOpen
	}
	want := journal.TransitEnd
	if p.flags.Has(journal.TransferHold) {
		switch d, c := s.own(p.debit), s.own(p.credit); {
		case d && c:
			want = journal.TransitSettle
		case d:
			want = journal.TransitConfirm
		default:
			want = journal.TransitDecide
		}
	}
	return s.transit.Step == want
}

// own reports whether account n is the cell's own; 0 is one of another cell.
func (s *State) own(n uint32) bool {
	return n != 0 && s.accounts.at(n).Flags.Has(journal.AccountTransit)
}

// passesFreezes reports whether the event being applied posts what was promised already.
func (s *State) passesFreezes() bool {
	return s.transit.Step == journal.TransitConfirm || s.transit.Step == journal.TransitSettle
}

// checkSettled checks that marker p is settled as its transfer ended: so what is in transit returns to zero.
func (s *State) checkSettled(t *journal.Transfer, p *pending, amount money.U128) journal.Status {
	var posted money.U128
	if p.flags.Has(journal.TransferLinked) { // it committed
		var ended bool
		if posted, ended = s.transits.ended[p.position]; !ended {
			return journal.TransferPendingTransferNotPending
		}
	}
	if post := t.Flags.Has(journal.TransferPost); post == posted.IsZero() || post && amount != posted {
		return journal.TransferPendingTransferHasDifferentAmount
	}
	return journal.Created
}

// resolveTransit notes that reservation p ended, where it is a transfer across cells or the marker of one.
func (s *State) resolveTransit(p *pending, posted money.U128) {
	switch {
	case !p.flags.Has(journal.TransferTransit):
	case !p.flags.Has(journal.TransferHold):
		s.transits.end(p.position, posted)
	default:
		delete(s.transits.ended, p.position)
	}
}

// countHold keeps the count of the holds and reserves of callers' accounts.
func (s *State) countHold(p *pending, by int) {
	if !p.flags.Has(journal.TransferHold) {
		return
	}
	for _, n := range [2]uint32{p.debit, p.credit} {
		if s.own(n) {
			continue
		}
		if s.transits.held[n] += by; s.transits.held[n] == 0 {
			delete(s.transits.held, n)
		}
	}
}

// ClosesHeld reports whether a request has a transfer that closes an account on which a transfer across cells is open:
// it has to wait.
func (s *State) ClosesHeld(kind journal.Kind, events []byte) bool {
	if len(s.transits.held) == 0 || kind != journal.KindTransfers && kind != journal.KindTransaction && kind != journal.KindDecision {
		return false
	}
	for _, p := range journal.Parts(kind, events) {
		if p.Kind != journal.KindTransfers {
			continue
		}
		list := journal.View[journal.Transfer](events[p.First*journal.RecordSize:][:p.Count*journal.RecordSize])
		for i := range list {
			t := &list[i]
			if t.Flags.Has(journal.TransferClosingDebit) && s.transits.held[s.number(t.Debit)] > 0 ||
				t.Flags.Has(journal.TransferClosingCredit) && s.transits.held[s.number(t.Credit)] > 0 {
				return true
			}
		}
	}
	return false
}
