package ledger

import (
	"bytes"
	"fmt"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/money"
)

// checkCarry checks the envelope of a request that carries events: each says what became of it.
func checkCarry(events []byte, attached []journal.Attachment) error {
	list := journal.View[journal.Transfer](events)
	if len(attached) != len(list) {
		return fmt.Errorf("%w: %d events carried with %d attachments", ErrRequest, len(list), len(attached))
	}
	for i := range list {
		if _, _, ok := journal.CarriedOf(attached[i].Data); !ok || !list[i].Flags.Has(journal.TransferAttached) {
			return fmt.Errorf("%w: event %d does not say what became of it", ErrRequest, i)
		}
	}
	return nil
}

// Home returns the bucket whose cell has to know the id of an event; with everywhere set, all cells have to, because the
// event does not tell: it failed, and names a reservation that nobody knew. Of is the reservation of a post or void that
// was created, or the first leg of a transaction's head; it is not used otherwise, and may be nil.
func Home(f, of *Fact) (bucket uint16, everywhere bool) {
	t := &f.Asked
	if x, ok := journal.TransitOf(f.Attachment); ok {
		return journal.Bucket(homeOf(&x)), false
	}
	head := t.Flags.Has(journal.TransferHead) && t.Timeout > 0 // a change of metadata has its account where a debit account is
	switch {
	case !head && !t.Flags.Has(journal.TransferPost|journal.TransferVoid):
		return journal.Bucket(t.Debit), false
	case of == nil || !head && f.Status != journal.Created:
		return 0, true
	}
	return journal.Bucket(of.Asked.Debit), false
}

// CarryOf returns the event, with its attachment, that tells another cell of f: a request of journal.KindCarry is made of
// them. Standing is what has become of it where it is a reservation, remaining what is still reserved of one that arrives.
func CarryOf(f *Fact, standing journal.Standing, remaining money.U128) (journal.Transfer, []byte) {
	t := f.Asked
	t.Flags |= journal.TransferAttached
	c := journal.Carried{Status: f.Status, Standing: standing, Timestamp: f.Timestamp, Amount: f.Amount, Remaining: remaining}
	if f.Status != journal.Created {
		c.Amount = money.U128{}
	}
	return t, journal.AppendCarried(f.Attachment, c)
}

// Standing returns what the state knows of a reservation that the journal has at position p: whether and how it ended.
// Settled are the values that settled generations have of its id: see SettledCandidates.
func (s *State) Standing(id money.U128, p journal.Position, settled []uint64) journal.Standing {
	hash := s.hasher.hash(id)
	list := append(s.ids.entries(hash, nil), settled...)
	for _, g := range s.gens.sealed {
		list = g.table.entries(hash, list)
	}
	for _, v := range mergeEnds(list) {
		if journal.Position(v>>2) == p {
			return journal.Standing(v & 3)
		}
	}
	return journal.StandingOpen
}

// carry enters what happened in another cell: it moves no money, and makes the ids known, so that sending one again is
// answered here as it was there. Carried again, nothing changes.
func (s *State) carry(events []journal.Transfer, first int, results []journal.Result) {
	for i := 0; i < len(events); {
		n := 1
		var status journal.Status
		if s.handedAt(events, i) == nil {
			status = s.carryOne(&events[i], first+i, i)
		} else {
			var g group
			if g, status = s.groupAt(events, i); status == journal.Created {
				status = s.handOver(&g)
			}
			n = g.events
		}
		for range n {
			results[i] = journal.Result{Status: status, Timestamp: s.eventTime(first + i)}
			i++
		}
	}
}

func (s *State) carryOne(t *journal.Transfer, event, i int) journal.Status {
	if status := checkControlID(t.ID); status != journal.Created {
		return status
	}
	c, _, _ := journal.CarriedOf(s.builder.Attachment(event))
	f := NewFact(t, nil, s.builder.Attachment(event), 0)
	reserves := reserved(&f)
	if c.Standing != journal.StandingOpen && !reserves {
		return journal.ControlMoveDiffers
	}
	hash := s.prep[i].hash
	known, found := s.lookUp(t.ID, hash)
	switch {
	case found && known.Asked.ID != t.ID && f.Status != journal.Created:
		return journal.ControlExists // another event burned it: that is all there is to know
	case found && !sameEvent(&known, &f):
		if _, everywhere := Home(&f, nil); everywhere && f.Status != journal.Created && !f.fenced() {
			return journal.ControlExists // it came to this cell, too, which has answered it itself
		}
		return journal.ControlExistsWithDifferentFields
	case found && c.Standing == journal.StandingOpen:
		return journal.ControlExists
	case found: // a reservation of which more is known now
		if s.pendings.find(t.ID, hash) != 0 {
			return journal.ControlExistsWithDifferentFields
		}
		if how := s.endOf(t.ID, hash); how != stillOpen {
			return pick(how == uint64(c.Standing), journal.ControlExists, journal.ControlExistsWithDifferentFields)
		}
	}
	var of journal.Position
	if t.Flags.Has(journal.TransferPost|journal.TransferVoid) && f.Status == journal.Created {
		if of = s.reservationAt(t.PendingID); of == 0 {
			return journal.ControlReservationNotFound
		}
	}
	if !s.enterCarried(&f, hash, uint64(c.Standing), event) {
		return journal.ControlExists
	}
	s.special = append(s.special, special{event: event, amount: f.Amount, pending: of})
	return journal.ControlCreated
}

// reserved reports whether the event made a reservation.
func reserved(f *Fact) bool {
	return f.Status == journal.Created && f.Asked.Flags&(journal.TransferPending|journal.TransferHead) == journal.TransferPending
}

// sameEvent reports whether two records of an event, each from its own journal, tell the same. A reservation that was
// split is the one it was before.
func sameEvent(a, b *Fact) bool {
	if crosses(a) != crosses(b) {
		a, b = asAsked(a), asAsked(b)
	}
	x, y := a.Asked, b.Asked
	x.Flags, y.Flags = x.Flags|journal.TransferAttached, y.Flags|journal.TransferAttached
	return x == y && a.Status == b.Status && a.Timestamp == b.Timestamp &&
		(a.Amount == b.Amount || a.Status != journal.Created) && bytes.Equal(a.Attachment, b.Attachment)
}

// crosses reports whether the event is a transfer across cells itself.
func crosses(f *Fact) bool {
	x, _ := journal.TransitOf(f.Attachment)
	return x.Step == journal.TransitTransfer
}

// asAsked is the event as it was asked for, by accounts in whichever cell.
func asAsked(f *Fact) *Fact {
	asked := *f
	asked.Asked.Credit, asked.Asked.Flags = creditOf(f), f.Asked.Flags&^journal.TransferTransit
	if asked.Attachment = journal.AskedOf(f.Attachment); len(asked.Attachment) == 0 {
		asked.Attachment = nil
	}
	return &asked
}

// usesID reports whether the event made its own id known, rather than leave it free to be sent again: see burnTransit.
func (f *Fact) usesID() bool {
	x, transit := journal.TransitOf(f.Attachment)
	return f.Status == journal.Created || !transit || x.Step == journal.TransitTransfer || x.Step == journal.TransitEnd
}

// enterCarried enters the ids that the event used or burned, at its place in this journal: an entry that stands there
// already never changes, so a snapshot that is being taken can't see what came after it. It reports whether it entered
// any.
func (s *State) enterCarried(f *Fact, hash, how uint64, event int) (entered bool) {
	at := s.position(event)
	if f.usesID() {
		s.ids.insert(hash, uint64(at)<<2|how)
		entered = true
	}
	if f.fenced() || f.Asked.Flags.Has(journal.TransferHold) && f.burnedTransfer() {
		other := s.hasher.hash(f.Asked.PendingID)
		if _, known := s.lookUp(f.Asked.PendingID, other); !known && other != hash {
			s.ids.insert(other, uint64(at)<<2)
			entered = true
		}
	}
	if !entered {
		return false
	}
	s.changed = true
	s.digest[1] = (s.digest[1] ^ uint64(at)) * 0x9E3779B97F4A7C15
	return true
}

// endOf returns how a reservation ended, by all that is known of it.
func (s *State) endOf(id money.U128, hash uint64) (how uint64) {
	for _, v := range s.entries(hash) {
		if f := s.factOrClosed(journal.Position(v >> 2)); f.Asked.ID == id && reserved(&f) {
			how |= v & 3
		}
	}
	return how
}

// reservationAt returns where the reservation of this id stands first, 0 where none does.
func (s *State) reservationAt(id money.U128) (at journal.Position) {
	for _, v := range s.entries(s.hasher.hash(id)) {
		p := journal.Position(v >> 2)
		if at != 0 && p > at {
			continue
		}
		if s.isOpenAt(id, p) {
			at = p
			continue
		}
		if f := s.factOrClosed(p); f.Asked.ID == id && reserved(&f) {
			at = p
		}
	}
	return at
}

// isOpenAt reports whether the open reservation of this id is the one that stands at p: then nobody need tell of it.
func (s *State) isOpenAt(id money.U128, p journal.Position) bool {
	n := s.pendings.find(id, s.hasher.hash(id))
	return n != 0 && s.pendings.slab.at(n).position == p
}
