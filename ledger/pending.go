package ledger

import (
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/money"
	"github.com/sterlingrun/sterling/must"
)

// How a reservation ended; the two lowest bits of its entry among the ids.
const (
	stillOpen = iota
	endedPosted
	endedVoided
	endedExpired
)

// pending is an open reservation.
type pending struct {
	id          money.U128
	amount      money.U128 // reserved at first
	remaining   money.U128 // still reserved
	userData128 money.U128
	timestamp   uint64
	expires     uint64 // 0: never
	position    journal.Position
	userData64  uint64
	debit       uint32 // account numbers
	credit      uint32
	asset       uint32
	userData32  uint32
	code        uint16
	flags       journal.TransferFlags
	from, to    uint16 // buckets of the accounts, from 1; 0 for one of the cell's own: see placed
}

// closedPending is a reservation that ended in a block which the log can't give back yet.
type closedPending struct {
	pending
	endedIn uint64 // sequence number
}

// pendings holds the open reservations in numbered places, from 1.
type pendings struct {
	slab chunked[pending]
	top  uint32
	free []uint32
	byID *table
	n    int
}

func (p *pendings) init(alloc Alloc) {
	p.slab.alloc = alloc
	p.byID = newTable(alloc, 0)
}

func (p *pendings) find(id money.U128, hash uint64) uint32 {
	seg := p.byID.segment(hash)
	for at, v := seg.find(hash, 0); at >= 0; at, v = seg.find(hash, at+1) {
		if n := uint32(v); p.slab.at(n).id == id { //nolint:gosec // places are 32 bits
			return n
		}
	}
	return 0
}

func (p *pendings) take() uint32 {
	p.n++
	if last := len(p.free) - 1; last >= 0 {
		n := p.free[last]
		p.free = p.free[:last]
		return n
	}
	must.True(p.top < 1<<32-2, "places for open reservations are used up")
	p.top++
	p.slab.grow(p.top)
	return p.top
}

func (p *pendings) give(n uint32) {
	*p.slab.at(n) = pending{}
	p.free = append(p.free, n)
	p.n--
}

type pendingBefore struct {
	n     uint32
	value pending // position 0: the place was free
	ended uint64  // how it ended, or stillOpen
}

// editPending returns place n for writing.
func (s *State) editPending(n uint32) *pending {
	p := s.pendings.slab.at(n)
	if s.watchEdits {
		if s.chain.open {
			s.chain.pendings = append(s.chain.pendings, pendingBefore{n: n, value: *p})
		}
		if s.snapshot != nil {
			s.snapshot.keepPending(n, p)
		}
	}
	return p
}

// undoPending puts back what a broken chain did to a reservation.
func (s *State) undoPending(b *pendingBefore) {
	now := s.pendings.slab.at(b.n)
	switch {
	case b.value.position == 0: // it was opened
		s.countOpen(now, -1)
		s.pendings.byID.remove(s.hasher.hash(now.id), uint64(b.n))
		s.pendings.give(b.n)
	case now.position == 0: // it was ended
		last := len(s.pendings.free) - 1
		must.True(s.pendings.free[last] == b.n, "place %d is not the last one given back", b.n)
		s.pendings.free = s.pendings.free[:last]
		s.pendings.n++
		*now = b.value
		s.countOpen(now, 1)
		hash := s.hasher.hash(now.id)
		s.pendings.byID.insert(hash, uint64(b.n))
		s.undoEnd(hash, now.position, b.ended)
		delete(s.closed, now.position)
	default: // part of it was posted
		*now = b.value
	}
}

func (s *State) openPending(t *journal.Transfer, i int, at uint64, amount money.U128) {
	p := pending{
		id: t.ID, amount: amount, remaining: amount, userData128: t.UserData128, timestamp: at,
		position: s.position(s.first + i), userData64: t.UserData64, debit: s.prep[i].debit, credit: s.prep[i].credit,
		asset: t.Asset, userData32: t.UserData32, code: t.Code, flags: t.Flags,
	}
	if t.Timeout != 0 {
		p.expires = at + uint64(t.Timeout)*second
	}
	s.addPending(&p, s.prep[i].hash)
}

// addPending enters an open reservation.
func (s *State) addPending(p *pending, hash uint64) {
	n := s.pendings.take()
	s.placed(p)
	*s.editPending(n) = *p
	s.pendings.byID.insert(hash, uint64(n))
	s.countOpen(p, 1)
	if p.expires != 0 {
		s.expiries.push(expiry{p.expires, p.position, n})
	}
}

// endPending takes the reservation away and remembers how it ended.
func (s *State) endPending(n uint32, how uint64) {
	p := s.editPending(n)
	s.countOpen(p, -1)
	hash := s.hasher.hash(p.id)
	s.endEntry(hash, p.position, how)
	s.pendings.byID.remove(hash, uint64(n))
	ended := closedPending{*p, s.seq}
	ended.remaining = p.amount // as a fact of the journal would tell it
	s.closed[p.position] = ended
	if s.chain.open {
		s.chain.pendings[len(s.chain.pendings)-1].ended = how
	}
	s.pendings.give(n)
}

// release takes the rest of a reservation off both accounts.
func (s *State) release(p *pending) {
	debit, credit := s.edit(p.debit), s.edit(p.credit)
	debit.DebitsPending = sub(debit.DebitsPending, p.remaining)
	credit.CreditsPending = sub(credit.CreditsPending, p.remaining)
}

// reopen undoes what closing transfers do, when they are voided or expire.
func (s *State) reopen(p *pending) {
	if p.flags.Has(journal.TransferClosingDebit) {
		s.edit(p.debit).Flags &^= journal.AccountClosed
	}
	if p.flags.Has(journal.TransferClosingCredit) {
		s.edit(p.credit).Flags &^= journal.AccountClosed
	}
}

// resolvePending applies a post or void.
func (s *State) resolvePending(t *journal.Transfer, i int, at uint64) (journal.Status, uint64) {
	hash := s.hasher.hash(t.PendingID)
	n := s.pendings.find(t.PendingID, hash)
	var p pending
	var of parties
	how := uint64(stillOpen)
	if n != 0 {
		p = *s.pendings.slab.at(n)
		of = s.partiesOf(&p)
	} else {
		var found, isPending bool
		if p, of, how, found, isPending = s.endedPending(t.PendingID, hash); !found {
			s.fence(t, hash)
			return journal.TransferPendingTransferNotFound, at
		} else if !isPending {
			return journal.TransferPendingTransferNotPending, at
		}
	}
	if !s.mayResolve(&p, how) || n == 0 && how == stillOpen { // it is open in another cell: see Refused
		return journal.TransferPendingTransferNotFound, at
	}
	amount, status := s.checkResolution(t, &p, of, how)
	if status == journal.Created && s.transit.Step == journal.TransitSettle {
		status = s.checkSettled(t, &p, amount)
	}
	if status == journal.Created && p.expires != 0 && p.expires <= at {
		status = journal.TransferPendingTransferExpired
	}
	if status == journal.Created && t.Flags.Has(journal.TransferImported) {
		if t.Timestamp <= s.lastXfer || s.accountAt(t.Timestamp) {
			return journal.TransferImportedEventTimestampMustNotRegress, at
		}
		at = t.Timestamp
		if s.needsApproval(journal.PolicyImportsApproved) {
			return journal.TransferApprovalRequired, s.eventTime(s.first + i)
		}
	}
	if status == journal.Created && !t.Flags.Has(journal.TransferVoid) && !s.passesFreezes() {
		if debit := s.accounts.at(p.debit); p.closesElsewhere() && !debit.Flags.Has(journal.AccountClosed) {
			status = journal.TransferCreditAccountAlreadyClosed
		} else {
			status = s.checkOpen(p.code, debit, s.accounts.at(p.credit))
		}
	}
	if status != journal.Created {
		return status, s.eventTime(s.first + i)
	}
	s.applyResolution(t, i, at, n, amount)
	return journal.Created, at
}

// closesElsewhere reports whether the reservation closed its credit account, which is in another cell since it was split.
func (p *pending) closesElsewhere() bool {
	return p.flags&(transitFlags|journal.TransferClosingCredit) == journal.TransferTransit|journal.TransferClosingCredit
}

// parties are the ids of a reservation's accounts. Those of one that ended need not be in this cell.
type parties struct{ debit, credit money.U128 }

func (s *State) partiesOf(p *pending) parties {
	return parties{s.accounts.at(p.debit).ID, s.accounts.at(p.credit).ID}
}

// endedPending finds a transfer that is no open reservation. A transfer that was burned does not count as found. One
// that was in another cell for a while may stand at several places: it is told from the first, how it ended from any.
func (s *State) endedPending(id money.U128, hash uint64) (p pending, of parties, how uint64, found, isPending bool) {
	for _, v := range s.entries(hash) {
		pos := journal.Position(v >> 2)
		c, closed := s.closed[pos]
		switch {
		case closed && c.id != id:
			continue
		case closed && (!found || pos < p.position):
			p, of = c.pending, s.partiesOf(&c.pending)
		case !closed:
			f := s.fact(pos)
			if f.Asked.ID != id || f.Status != journal.Created {
				continue
			}
			if !f.Asked.Flags.Has(journal.TransferPending) {
				return pending{}, of, 0, true, false
			}
			if !found || pos < p.position {
				p, of = s.pendingOf(&f, pos), parties{f.Asked.Debit, creditOf(&f)}
			}
		}
		how, found, isPending = how|v&3, true, true
	}
	return p, of, how, found, isPending
}

// pendingOf is the reservation that a fact of the journal made.
func (s *State) pendingOf(f *Fact, pos journal.Position) pending {
	t := &f.Asked
	p := pending{
		id: t.ID, amount: f.Amount, remaining: f.Amount, userData128: t.UserData128, timestamp: f.Timestamp, position: pos,
		userData64: t.UserData64, debit: s.number(t.Debit), credit: s.number(t.Credit), asset: t.Asset,
		userData32: t.UserData32, code: t.Code, flags: t.Flags,
	}
	if t.Timeout != 0 {
		p.expires = f.Timestamp + uint64(t.Timeout)*second
	}
	return p
}

// fence burns the unknown pending id of a void that asks for it, so that a late reservation can't appear afterwards.
func (s *State) fence(t *journal.Transfer, hash uint64) {
	if t.Flags.Has(journal.TransferFence) {
		if _, known := s.lookUp(t.PendingID, hash); !known {
			s.burns = append(s.burns, hash)
		}
	}
}

// checkResolution compares a post or void with its reservation and returns the amount that it moves or releases.
func (s *State) checkResolution(t *journal.Transfer, p *pending, of parties, how uint64) (money.U128, journal.Status) {
	void := t.Flags.Has(journal.TransferVoid)
	amount := t.Amount
	whole := p.remaining // of an ended one: its first amount, the only one that can still be compared
	if void && amount.IsZero() || !void && amount.IsMax() {
		amount = whole
	}
	switch {
	case !t.Debit.IsZero() && t.Debit != of.debit:
		return amount, journal.TransferPendingTransferHasDifferentDebitAccountId
	case !t.Credit.IsZero() && t.Credit != of.credit && s.creditMeant(t) != of.credit:
		return amount, journal.TransferPendingTransferHasDifferentCreditAccountId
	case t.Asset != 0 && t.Asset != p.asset:
		return amount, journal.TransferPendingTransferHasDifferentLedger
	case t.Code != 0 && t.Code != p.code:
		return amount, journal.TransferPendingTransferHasDifferentCode
	case whole.Less(amount):
		return amount, journal.TransferExceedsPendingTransferAmount
	case void && amount != whole:
		return amount, journal.TransferPendingTransferHasDifferentAmount
	}
	switch how {
	case endedPosted:
		return amount, journal.TransferPendingTransferAlreadyPosted
	case endedVoided:
		return amount, journal.TransferPendingTransferAlreadyVoided
	case endedExpired:
		return amount, journal.TransferPendingTransferExpired
	}
	return amount, journal.Created
}

// applyResolution posts or voids the reservation in place n: from here on, nothing can fail.
func (s *State) applyResolution(t *journal.Transfer, i int, at uint64, n uint32, amount money.U128) {
	p := *s.pendings.slab.at(n)
	post := t.Flags.Has(journal.TransferPost)
	kept := post && t.Flags.Has(journal.TransferKeepRemainder)
	if kept && amount != p.remaining {
		debit, credit := s.edit(p.debit), s.edit(p.credit)
		debit.DebitsPending = sub(debit.DebitsPending, amount)
		credit.CreditsPending = sub(credit.CreditsPending, amount)
		rest := s.editPending(n)
		rest.remaining = sub(rest.remaining, amount)
	} else {
		s.release(&p)
		if !post {
			s.reopen(&p)
		}
		s.endPending(n, pickEnd(post))
		s.resolveTransit(&p, pickPosted(post, amount))
	}
	if post {
		debit, credit := s.edit(p.debit), s.edit(p.credit)
		debit.DebitsPosted = add(debit.DebitsPosted, amount)
		credit.CreditsPosted = add(credit.CreditsPosted, amount)
		s.book(debit, credit, amount)
	}
	s.special = append(s.special, special{event: s.first + i, amount: amount, pending: p.position})
	s.inherit(t, i, &p)
	s.record(i, at, p.debit, p.credit, post && !kept && amount != p.remaining)
}

func pickEnd(post bool) uint64 {
	if post {
		return endedPosted
	}
	return endedVoided
}

// pickPosted is how much of a reservation a post or void moved.
func pickPosted(post bool, amount money.U128) money.U128 {
	if post {
		return amount
	}
	return money.U128{}
}

func (s *State) inherit(t *journal.Transfer, i int, p *pending) {
	in := Inherited{Event: uint32(s.first + i)} //nolint:gosec // ≤ MaxEvents
	if t.UserData128.IsZero() {
		in.UserData128 = p.userData128
	}
	if t.UserData64 == 0 {
		in.UserData64 = p.userData64
	}
	if t.UserData32 == 0 {
		in.UserData32 = p.userData32
	}
	if in != (Inherited{Event: in.Event}) {
		s.fx.Inherited = append(s.fx.Inherited, in)
	}
}
