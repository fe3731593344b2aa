package ledger

import (
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/must"
)

// transferExists compares a transfer, which is event number event, with the one e that has its id, in the published
// order; what is attached comes last.
func (s *State) transferExists(t *journal.Transfer, event int, e *Fact) journal.Status {
	if status := s.recordExists(t, e); status != journal.TransferExists {
		return status
	}
	return s.transferDetailsExist(event, e)
}

func (s *State) recordExists(t *journal.Transfer, e *Fact) journal.Status {
	was := &e.Asked
	switch {
	case (t.Flags^was.Flags)&^(journal.TransferAttached|journal.TransferTransit) != 0:
		return journal.TransferExistsWithDifferentFlags
	case t.PendingID != was.PendingID:
		return journal.TransferExistsWithDifferentPendingId
	case t.Timeout != was.Timeout:
		return journal.TransferExistsWithDifferentTimeout
	}
	if t.Flags.Has(journal.TransferPost | journal.TransferVoid) {
		return s.resolutionExists(t, e)
	}
	switch {
	case t.Debit != was.Debit:
		return journal.TransferExistsWithDifferentDebitAccountId
	case s.creditAsked(t) != creditOf(e): // whichever of its accounts were in another cell then, or are now
		return journal.TransferExistsWithDifferentCreditAccountId
	case t.Flags.Has(journal.TransferBalancingDebit | journal.TransferBalancingCredit):
		if t.Amount.Less(e.Amount) {
			return journal.TransferExistsWithDifferentAmount
		}
	case t.Amount != e.Amount:
		return journal.TransferExistsWithDifferentAmount
	}
	switch {
	case t.UserData128 != was.UserData128:
		return journal.TransferExistsWithDifferentUserData128
	case t.UserData64 != was.UserData64:
		return journal.TransferExistsWithDifferentUserData64
	case t.UserData32 != was.UserData32:
		return journal.TransferExistsWithDifferentUserData32
	case t.Asset != was.Asset:
		return journal.TransferExistsWithDifferentLedger
	case t.Code != was.Code:
		return journal.TransferExistsWithDifferentCode
	}
	return journal.TransferExists
}

// resolutionExists compares posts and voids: fields left out mean the reservation's.
func (s *State) resolutionExists(t *journal.Transfer, e *Fact) journal.Status {
	p := s.pendingAt(e)
	whole := p.Amount
	if e.Asked.Amount == t.Amount { // the same request; with earlier partial posts the whole is not the first amount
		whole = e.Amount
	}
	amount := t.Amount
	if t.Flags.Has(journal.TransferVoid) && amount.IsZero() || t.Flags.Has(journal.TransferPost) && amount.IsMax() {
		amount = whole
	}
	kept := e.Resolve(0, &p)
	switch {
	case !t.Debit.IsZero() && t.Debit != kept.Debit:
		return journal.TransferExistsWithDifferentDebitAccountId
	case !t.Credit.IsZero() && t.Credit != kept.Credit && s.creditMeant(t) != creditOf(&p):
		return journal.TransferExistsWithDifferentCreditAccountId
	case amount != e.Amount:
		return journal.TransferExistsWithDifferentAmount
	}
	again := Fact{Asked: *t, PendingPosition: e.PendingPosition}
	asked := again.Resolve(0, &p)
	switch {
	case asked.UserData128 != kept.UserData128:
		return journal.TransferExistsWithDifferentUserData128
	case asked.UserData64 != kept.UserData64:
		return journal.TransferExistsWithDifferentUserData64
	case asked.UserData32 != kept.UserData32:
		return journal.TransferExistsWithDifferentUserData32
	case t.Asset != 0 && t.Asset != kept.Asset:
		return journal.TransferExistsWithDifferentLedger
	case t.Code != 0 && t.Code != kept.Code:
		return journal.TransferExistsWithDifferentCode
	}
	return journal.TransferExists
}

// pendingAt returns the reservation that a created post or void refers to, open or not, as far as Resolve needs it, and
// its first amount.
func (s *State) pendingAt(e *Fact) Fact {
	id, pos := e.Asked.PendingID, e.PendingPosition
	if n := s.pendings.find(id, s.hasher.hash(id)); n != 0 {
		return *s.factOf(s.pendings.slab.at(n))
	}
	if c, ok := s.closed[pos]; ok {
		return *s.factOf(&c.pending)
	}
	f := s.fact(pos)
	must.True(f.Asked.ID == id, "position %d holds transfer %v, not %v", pos, f.Asked.ID, id)
	return f
}

// factOf is the fact that made a reservation, as far as Resolve needs it.
func (s *State) factOf(p *pending) *Fact {
	return &Fact{Amount: p.amount, Asked: journal.Transfer{
		Debit: s.accounts.at(p.debit).ID, Credit: s.accounts.at(p.credit).ID, Asset: p.asset, Code: p.code,
		UserData128: p.userData128, UserData64: p.userData64, UserData32: p.userData32,
	}}
}

// factOrClosed is fact, but answers from the reservations that ended in memory where it must: an id's event may be a
// reservation whose record nobody fetched, because it was still open when Needs was asked. Then nobody asks for what was
// attached to it either.
func (s *State) factOrClosed(p journal.Position) Fact {
	c, ok := s.closed[p]
	if _, told := s.facts.At[p]; !ok || told || s.inMemory(p) {
		return s.fact(p)
	}
	return s.factOfClosed(&c)
}

func (s *State) factOfClosed(c *closedPending) Fact {
	f := *s.factOf(&c.pending)
	f.Asked.ID, f.Asked.Flags = c.id, c.flags
	f.Status, f.Timestamp, f.Amount = journal.Created, c.timestamp, c.amount
	f.Asked.Amount = c.amount
	if c.expires != 0 {
		f.Asked.Timeout = uint32((c.expires - c.timestamp) / second) //nolint:gosec // it was a uint32
	}
	return f
}
