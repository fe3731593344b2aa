package books

import (
	"fmt"

	"github.com/sterlingrun/sterling/watch/internal/block"
	"github.com/sterlingrun/sterling/watch/internal/count"
)

// handed is a record by which an open reservation is handed over.
type handed struct {
	event   int
	t       *block.Transfer
	c       block.Carried
	transit block.Transit // Step 0: it is none of a transfer across cells
}

// groupAt returns the records, from event on, that hand over one reservation: it alone; a hold; a marker and its transfer;
// or, of one that is split, all three, of two standings.
func (m *Model) groupAt(event, end int) (g []handed) {
	read := func(at int) (h handed, ok bool) {
		if at >= end {
			return h, false
		}
		data := m.block.Attachment(at)
		h = handed{event: at, t: m.block.Transfer(at)}
		h.c, _ = block.CarriedOf(data)
		h.transit, _ = block.TransitOf(data)
		return h, h.c.Standing >= block.Arrives
	}
	first, _ := read(event)
	if g = append(g, first); first.transit.Step != block.StepMarker {
		return g
	}
	t, ok := read(event + 1)
	if !ok || t.transit.Step != block.StepTransfer {
		return g
	}
	g = append(g, t)
	hold, ok := read(event + 2)
	if ok && hold.transit.Step == block.StepHold && hold.transit.Reserve == first.transit.Reserve && hold.c.Standing != first.c.Standing {
		g = append(g, hold)
	}
	return g
}

// wholeGroup checks that all of a group was made, and is what a group can be.
func (m *Model) wholeGroup(g []handed) bool {
	first := m.now
	for i := range g {
		if status, _ := m.look(g[i].event); status != block.Created {
			m.fault(lostUpdate, fmt.Sprintf("of a reservation that is handed over, event %d was made and event %d was not", first.event, g[i].event), nil)
			return false
		}
	}
	m.now.event, m.now.index, m.now.time = first.event, first.index, first.time
	m.buckets.through = lately{seq: m.seq, event: g[0].event + len(g)}
	a, last := &g[0], &g[len(g)-1]
	ok := a.c.Standing != block.Stays || len(g) == 3
	switch len(g) {
	case 1:
		ok = ok && (a.transit.Step == 0 || a.transit.Step == block.StepHold)
	case 2:
		ok = ok && a.c.Standing == last.c.Standing && a.transit.Reserve == last.transit.Reserve
	case 3:
		ok = a.c.Standing == g[1].c.Standing && a.c.Standing+last.c.Standing == block.Leaves+block.Stays &&
			a.transit.Reserve == g[1].transit.Reserve && a.transit.Transfer == last.transit.Transfer
	}
	if !ok {
		m.fault(lostUpdate, fmt.Sprintf("reservation %v is handed over in part", a.t.ID()), func(f *Finding) {
			f.Transfer, f.Amount, f.Asset = a.t.ID(), a.c.Remaining, a.t.Asset()
		})
	}
	return ok
}

// counted is the record that a handover is counted by: what leaves of the reservation, or arrives.
func counted(g []handed) *handed {
	switch {
	case len(g) == 3 && g[2].c.Standing == block.Leaves:
		return &g[2]
	case len(g) > 1:
		return &g[1]
	}
	return &g[0]
}

// handOver follows a reservation that leaves, arrives, or is split.
func (m *Model) handOver(g []handed) {
	h := counted(g)
	home, id := h.t.Debit(), h.t.ID()
	if h.transit.Step == block.StepHold {
		home = h.transit.Credit
	}
	phase := Closing
	if h.c.Standing == block.Arrives {
		phase = Arriving
	}
	remaining := count.IDOf(h.c.Remaining)
	m.handover(Leave)
	m.move.Amount = h.c.Remaining
	m.checkHanded(&home, nil, phase, block.HandoverDigest('r', id, remaining[:]), 0, 1)
	if len(g) == 3 {
		m.takeAway(&g[1], true)
	}
	for i := range g {
		r := &g[i]
		_, _ = m.look(r.event)
		switch {
		case r.c.Standing != block.Leaves:
			m.open(r)
		case len(g) < 3:
			m.takeAway(r, false)
		}
	}
}

// takeAway ends a reservation here that is open in another cell from here on: it, or the whole of one that is split.
func (m *Model) takeAway(h *handed, split bool) {
	m.handover(Leave)
	x := &m.move
	x.Reservation, x.Amount = h.t.ID(), h.c.Remaining
	place, slot := m.held.find(&x.Reservation, m.o.HashKey)
	if place == 0 {
		m.wrongReservation(lostUpdate, "is given, and is not open")
		return
	}
	r := *m.held.list.at(place)
	m.inherit(&r)
	if r.left != h.c.Remaining {
		m.wrongReservation(lostUpdate, fmt.Sprintf("is given with another amount than is left of it, %v", r.left))
	}
	if want := h.t.Flags() & (block.Across | block.Hold); !split && r.flags&(block.Across|block.Hold) != want || split && r.flags&(block.Across|block.Hold) != 0 {
		m.wrongReservation(lostUpdate, "is given as what it is not")
	}
	m.release(&r, r.left)
	m.closeHeld(&r, place, slot)
	if o := m.across.open[r.id]; o != nil {
		m.across.remove(o)
	}
	if h.transit.Step != 0 && !split {
		m.across.now = h.transit
		x.Transit = &m.across.now
	}
	if !split || h.c.Standing == block.Leaves {
		m.show()
	}
}

// open opens a reservation at this place of the journal: it arrives, or is the half that stays of one that is split.
func (m *Model) open(h *handed) {
	m.handover(Arrive)
	x, t, flags := &m.move, h.t, h.t.Flags()
	x.Transfer, x.Reservation, x.Debit, x.Credit, x.Asset, x.Code, x.Amount = t.ID(), t.ID(), t.Debit(), t.Credit(), t.Asset(), t.Code(), h.c.Remaining
	x.UserData128, x.UserData64, x.UserData32 = t.UserData128(), t.UserData64(), t.UserData32()
	s := pair{m.number(&x.Debit), m.number(&x.Credit)}
	place, _ := m.held.find(&x.Reservation, m.o.HashKey)
	switch {
	case s.debit == 0 || s.credit == 0 || m.asset(s.debit) != x.Asset || m.asset(s.credit) != x.Asset:
		m.wrongReservation(lostUpdate, "arrives, and its accounts are not here")
		return
	case place != 0:
		m.wrongReservation(duplicateID, "arrives, and is open here")
		return
	}
	debit, credit := m.accounts.at(s.debit), m.accounts.at(s.credit)
	across := crosses(flags, debit, credit) && m.cross(t, flags, debit, credit)
	r := reservation{
		id: x.Reservation, left: h.c.Remaining, userData128: x.UserData128, position: m.seq<<14 | uint64(m.now.index), //nolint:gosec // not negative
		userData64: x.UserData64, debit: s.debit, credit: s.credit, userData32: x.UserData32, code: x.Code, flags: flags,
	}
	if n := t.Timeout(); n != 0 {
		r.expires = h.c.Time + uint64(n)*second
	}
	place = m.openHeld(&r)
	m.add(&debit.debitsPending, &m.totalOf(debit.group).sums.DebitsPending)
	m.add(&credit.creditsPending, &m.totalOf(credit.group).sums.CreditsPending)
	if across && x.Transit.Step != block.StepTransfer {
		m.openCrossing(h, place)
	}
	if h.c.Standing == block.Arrives {
		m.show()
	}
}

// openCrossing keeps a hold, or the marker of a transfer that is pending.
func (m *Model) openCrossing(h *handed, place uint32) {
	x := &m.move
	o := &Open{Transit: h.transit, ID: x.Reservation, Amount: x.Amount, Whole: x.Amount, Asset: x.Asset, Seq: x.Seq, Index: x.Index, Time: h.c.Time, place: place}
	o.created = o.Step == block.StepMarker
	m.across.add(o)
	if o.created {
		m.since(o, 0)
	} else {
		m.since(o, waits(o))
	}
}
