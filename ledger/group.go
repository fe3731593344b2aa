package ledger

import (
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/money"
)

// group is the records of a request that hand over one open reservation: made whole or not at all. Of a transfer across
// cells its hold goes with the credit account, the transfer and its marker with the debit account. A reservation of which
// only one account goes becomes a transfer across cells: it has all three then, two of one standing and one of another.
type group struct {
	transfer, marker, hold *handed // nil: it is not in the group
	events                 int
}

// handed is one record of a group.
type handed struct {
	journal.Carried
	f Fact
	x journal.Transit
	i int // event of the request
}

// main is the record that the handover is counted by: what leaves of the reservation, or arrives.
func (g *group) main() *handed {
	if g.transfer == nil || g.split() && g.hold.Standing == journal.StandingLeaves {
		return g.hold
	}
	return g.transfer
}

func (g *group) split() bool { return g.events == 3 }

// staying is the half of a reservation that is split which stays, its marker first.
func (g *group) staying() []*handed {
	if g.hold.Standing == journal.StandingStays {
		return []*handed{g.hold}
	}
	return []*handed{g.marker, g.transfer}
}

// all are the records in their order.
func (g *group) all() (list []*handed) {
	for _, h := range [3]*handed{g.marker, g.transfer, g.hold} {
		if h != nil {
			list = append(list, h)
		}
	}
	return list
}

// groupAt reads the group that begins at event i of the request, and tells what is wrong with it by itself.
func (s *State) groupAt(events []journal.Transfer, i int) (g group, status journal.Status) {
	first := s.handedAt(events, i)
	switch first.x.Step {
	case 0:
		g = group{transfer: first, events: 1}
	case journal.TransitHold:
		g = group{hold: first, events: 1}
	case journal.TransitMarker:
		g = group{marker: first, transfer: s.handedAt(events, i+1), events: 2}
		if g.transfer == nil {
			return group{events: 1}, journal.ControlMoveInvalid
		}
		if h := s.handedAt(events, i+2); h != nil && h.x.Step == journal.TransitHold && h.x.Reserve == first.x.Reserve && h.Standing != first.Standing {
			g.hold, g.events = h, 3
		}
	default:
		return group{events: 1}, journal.ControlMoveInvalid
	}
	return g, pick(g.whole(), journal.Created, journal.ControlMoveInvalid)
}

// handedAt reads event i of the request; nil where there is none, or it hands over nothing.
func (s *State) handedAt(events []journal.Transfer, i int) *handed {
	if i >= len(events) {
		return nil
	}
	data := s.builder.Attachment(s.first + i)
	c, _, _ := journal.CarriedOf(data)
	if c.Standing < journal.StandingArrives {
		return nil
	}
	h := &handed{Carried: c, f: NewFact(&events[i], nil, data, 0), i: i}
	h.x, _ = journal.TransitOf(h.f.Attachment)
	return h
}

// whole reports whether the records are what they say they are, and of one reservation.
func (g *group) whole() bool {
	m, t, h := g.marker, g.transfer, g.hold
	for _, r := range g.all() {
		if !r.shaped() {
			return false
		}
	}
	const leaves, stays = journal.StandingLeaves, journal.StandingStays
	switch {
	case g.events == 1:
		return g.main().Standing != stays
	case t.x.Step != journal.TransitTransfer || m.Standing != t.Standing || t.x.Reserve != m.x.Reserve || t.x.Transfer != m.x.Transfer ||
		m.f.Asked.Debit != t.f.Asked.Credit || m.f.Asked.Asset != t.f.Asked.Asset || m.Remaining != t.Remaining:
		return false
	case g.events == 2:
		return t.Standing != stays
	}
	return (t.Standing == leaves && h.Standing == stays || t.Standing == stays && h.Standing == leaves) && h.x.Transfer == t.x.Transfer &&
		h.x.Debit == t.x.Debit && h.x.Credit == t.x.Credit && h.f.Asked.Asset == t.f.Asked.Asset && h.Remaining == t.Remaining
}

// shaped reports whether a record is a reservation of its step.
func (h *handed) shaped() bool {
	t, x := &h.f.Asked, &h.x
	const closing = journal.TransferClosingDebit | journal.TransferClosingCredit
	if !reserved(&h.f) || t.ID.IsZero() || t.ID.IsMax() || t.Debit == t.Credit || t.Code == 0 ||
		uint64(t.Timeout)*second > journal.MaxTimestamp-h.Timestamp {
		return false
	}
	whole := h.Amount == t.Amount && h.Remaining == t.Amount
	switch x.Step {
	case 0:
		return t.PendingID.IsZero() && !t.Flags.Has(transitFlags)
	case journal.TransitTransfer: // its flags are those that it was once asked with, in one cell perhaps
		return t.PendingID.IsZero() && t.Flags&transitFlags == journal.TransferTransit && t.ID == x.Transfer && t.Debit == x.Debit && x.Flags == journal.TransferPending
	case journal.TransitMarker:
		return whole && x.Status == journal.Created && t.Flags.Has(journal.TransferTransit) && shaped(t, x)
	case journal.TransitHold:
		held := *t
		held.Flags &^= closing // of a reservation that closes its account
		return whole && t.Flags.Has(journal.TransferTransit) && !t.Flags.Has(journal.TransferClosingDebit) && shaped(&held, x)
	}
	return false
}

// handOver applies a group.
func (s *State) handOver(g *group) journal.Status {
	for _, h := range g.all() {
		if known, found := s.lookUp(h.f.Asked.ID, s.prep[h.i].hash); found && !sameEvent(&known, &h.f) {
			return journal.ControlExistsWithDifferentFields
		}
	}
	var status journal.Status
	switch {
	case g.split():
		status = s.split(g)
	case g.main().Standing == journal.StandingArrives:
		status = s.arrive(g)
	default:
		status = s.depart(g)
	}
	if status == journal.Created {
		s.changed = true
		for _, h := range g.all() {
			s.special = append(s.special, special{event: s.first + h.i, amount: h.f.Amount})
		}
	}
	return status
}

// home is the account that the group goes with.
func (h *handed) home() money.U128 {
	if h.x.Step == journal.TransitHold {
		return h.x.Credit
	}
	return h.f.Asked.Debit
}

// inPhase returns the bucket of the account that the group goes with, if it is in that phase.
func (s *State) inPhase(h *handed, phase Phase) *BucketState {
	if b := s.moves.buckets[journal.Bucket(h.home())]; b != nil && b.Phase == phase {
		return b
	}
	return nil
}

// depart takes a reservation away that goes with its bucket.
func (s *State) depart(g *group) journal.Status {
	h := g.main()
	b, n := s.inPhase(h, Closing), s.pendings.find(h.f.Asked.ID, s.prep[h.i].hash)
	switch {
	case b == nil:
		return journal.ControlMoveNotOpen
	case n == 0:
		return journal.ControlReservationNotFound
	}
	p := s.pendings.slab.at(n)
	var marker uint32
	switch {
	case p.flags&transitFlags != h.f.Asked.Flags&transitFlags || p.remaining != h.Remaining:
		return journal.ControlMoveDiffers
	case h.x.Step == 0 && p.from != p.to:
		return journal.ControlReservationCrosses // it has to be split
	case g.marker != nil:
		marker = s.pendings.find(g.marker.f.Asked.ID, s.prep[g.marker.i].hash)
		if marker == 0 || s.pendings.slab.at(marker).position+1 != p.position {
			return journal.ControlMoveDiffers
		}
	}
	at := s.first + h.i
	s.takeAway(n, at, at)
	if marker != 0 {
		at = s.first + g.marker.i
		s.takeAway(marker, at, at)
	}
	b.count(reservationDigest(h.f.Asked.ID, h.Remaining), 0, 1)
	return journal.Created
}

// takeAway closes the place of a reservation that is open elsewhere from here on: its entry among the ids stays open. Its
// accounts are named by these events.
func (s *State) takeAway(n uint32, debit, credit int) {
	p := *s.editPending(n)
	s.fx.TakenAway(debit, credit, p.debit, p.credit, p.remaining)
	s.release(&p)
	s.countOpen(&p, -1)
	s.pendings.byID.remove(s.hasher.hash(p.id), uint64(n))
	s.pendings.give(n)
	s.mix(p.debit, s.accounts.at(p.debit))
	s.mix(p.credit, s.accounts.at(p.credit))
}

// split makes a reservation, of which one account goes, one across cells: one half of it leaves.
func (s *State) split(g *group) journal.Status {
	h, t := g.main(), g.transfer
	taker := t.x.Peer
	if h == t {
		taker = g.hold.x.Peer
	}
	b := s.inPhase(h, Closing)
	if b == nil || b.Peer != taker || journal.Bucket(t.x.Debit) == journal.Bucket(t.x.Credit) {
		return journal.ControlMoveNotOpen
	}
	stay := g.staying()
	if _, made := s.lookUp(stay[0].f.Asked.ID, s.prep[stay[0].i].hash); made {
		return journal.ControlExists
	}
	n := s.pendings.find(t.f.Asked.ID, s.prep[t.i].hash)
	if n == 0 {
		return journal.ControlReservationNotFound
	}
	p := s.pendings.slab.at(n)
	if p.flags.Has(transitFlags) || p.remaining != t.Remaining || p.code != g.hold.f.Asked.Code ||
		p.flags&journal.TransferClosingCredit != g.hold.f.Asked.Flags&journal.TransferClosingCredit {
		return journal.ControlMoveDiffers
	}
	for _, r := range stay {
		if status := s.fits(r, true); status != journal.Created {
			return status
		}
	}
	s.takeAway(n, s.first+t.i, s.first+g.hold.i)
	for _, r := range stay {
		s.openHanded(r)
	}
	b.count(reservationDigest(h.f.Asked.ID, h.Remaining), 0, 1)
	return journal.Created
}

// arrive opens a reservation that comes with its bucket, at this place of the journal.
func (s *State) arrive(g *group) journal.Status {
	h := g.main()
	b := s.inPhase(h, Arriving)
	if b == nil || h.x.Step == 0 && journal.Bucket(h.f.Asked.Credit) != b.Bucket {
		return journal.ControlMoveNotOpen
	}
	hash := s.prep[h.i].hash
	if n := s.pendings.find(h.f.Asked.ID, hash); n != 0 {
		return pick(s.pendings.slab.at(n).remaining == h.Remaining, journal.ControlExists, journal.ControlExistsWithDifferentFields)
	}
	if s.endOf(h.f.Asked.ID, hash) != stillOpen { // it arrived and expired; if it did not, BucketTaken misses it
		return journal.ControlExists
	}
	for _, r := range g.all() {
		if s.pendings.find(r.f.Asked.ID, s.prep[r.i].hash) != 0 {
			return journal.ControlMoveDiffers
		}
		if status := s.fits(r, false); status != journal.Created {
			return status
		}
	}
	for _, r := range g.all() {
		s.openHanded(r)
	}
	b.count(reservationDigest(h.f.Asked.ID, h.Remaining), 0, 1)
	return journal.Created
}

// fits checks the accounts of a reservation that is to be opened. Of one that is split here already, only those that are
// the cell's own get more than they have.
func (s *State) fits(h *handed, split bool) journal.Status {
	t, p := &h.f.Asked, &s.prep[h.i]
	if p.debit == 0 || p.credit == 0 {
		return journal.ControlAccountNotFound
	}
	debit, credit := s.accounts.at(p.debit), s.accounts.at(p.credit)
	ownDebit := h.x.Step == journal.TransitMarker || h.x.Step == journal.TransitHold
	ownCredit := h.x.Step == journal.TransitMarker || h.x.Step == journal.TransitTransfer
	switch {
	case stays(debit) != ownDebit || stays(credit) != ownCredit || debit.Asset != t.Asset || credit.Asset != t.Asset:
		return journal.ControlMoveDiffers
	case (ownDebit || !split) && overflows(h.Remaining, debit.DebitsPending, debit.DebitsPosted),
		(ownCredit || !split) && overflows(h.Remaining, credit.CreditsPending, credit.CreditsPosted):
		return journal.ControlOverflows
	}
	return journal.Created
}

// openHanded opens a reservation, and enters its id at this place of the journal.
func (s *State) openHanded(h *handed) {
	p, event := &s.prep[h.i], s.first+h.i
	s.enterCarried(&h.f, p.hash, stillOpen, event)
	debit, credit := s.edit(p.debit), s.edit(p.credit)
	debit.DebitsPending, credit.CreditsPending = add(debit.DebitsPending, h.Remaining), add(credit.CreditsPending, h.Remaining)
	open := s.pendingOf(&h.f, s.position(event))
	open.remaining, open.flags = h.Remaining, open.flags|journal.TransferAttached // as its record here
	s.addPending(&open, p.hash)
	s.fx.Opened(event, p.debit, p.credit, h.Remaining)
	s.mix(p.debit, debit)
	s.mix(p.credit, credit)
}

func overflows(a, b, c money.U128) bool {
	sum, over := a.Add(b)
	_, more := sum.Add(c)
	return over || more
}
