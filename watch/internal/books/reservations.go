package books

import (
	"fmt"

	"github.com/sterlingrun/sterling/watch/internal/block"
	"github.com/sterlingrun/sterling/watch/internal/count"
)

// reservation is an open one: 80 bytes. Its place is free where its position is 0.
type reservation struct {
	id          count.ID
	left        count.Amount
	userData128 count.ID
	position    uint64
	expires     uint64 // ns; 0: never
	userData64  uint64
	debit       uint32 // numbers of accounts
	credit      uint32
	userData32  uint32
	code        uint16
	flags       uint16
}

// reservations are the open ones, in numbered places.
type reservations struct {
	list chunks[reservation]
	free []uint32
	no   table
	due  heap
	n    int
}

// find returns the place of a reservation and where the table has it; 0: it is not open.
func (r *reservations) find(id *count.ID, key uint64) (place uint32, at int) {
	h := hashID(id, key)
	place, at = r.no.first(h)
	for place != 0 && r.list.at(place).id != *id {
		place, at = r.no.next(at, h)
	}
	return place, at
}

func (r *reservations) open(x *reservation, key uint64) (place uint32) {
	if last := len(r.free) - 1; last >= 0 {
		place, r.free = r.free[last], r.free[:last]
	} else {
		place = r.list.extend()
	}
	*r.list.at(place) = *x
	r.no.insert(hashID(&x.id, key), place)
	r.n++
	if x.expires != 0 {
		r.due.push(appointment{x.expires, x.position, place})
	}
	return place
}

func (r *reservations) close(place uint32, at int) {
	r.no.remove(at)
	*r.list.at(place) = reservation{}
	r.free = append(r.free, place)
	r.n--
}

// live reports whether an appointment still has its reservation.
func (r *reservations) live(a *appointment) bool { return r.list.at(a.place).position == a.position }

// next drops appointments that nobody keeps any more and returns the earliest one, nil where there is none.
func (r *reservations) next() *appointment {
	if len(r.due) > 4096 && len(r.due) > 4*r.n {
		kept := r.due[:0]
		for i := range r.due {
			if r.live(&r.due[i]) {
				kept = append(kept, r.due[i])
			}
		}
		r.due = kept
		for i := len(kept)/2 - 1; i >= 0; i-- {
			r.due.sink(i)
		}
	}
	for len(r.due) > 0 && !r.live(&r.due[0]) {
		r.due.pop()
	}
	if len(r.due) == 0 {
		return nil
	}
	return &r.due[0]
}

// reserve opens a reservation for the movement at hand.
func (m *Model) reserve(t *block.Transfer, flags uint16, s pair, at uint64) (place uint32) {
	id := t.ID()
	r := reservation{
		id: id, left: m.move.Amount, userData128: t.UserData128(), position: m.seq<<14 | uint64(m.now.index), //nolint:gosec // not negative
		userData64: t.UserData64(), debit: s.debit, credit: s.credit, userData32: t.UserData32(), code: t.Code(), flags: flags,
	}
	if n := t.Timeout(); n != 0 {
		r.expires = at + uint64(n)*second
	}
	place = m.openHeld(&r)
	m.setClosed(&r, true)
	return place
}

// setClosed closes the accounts that a closing reservation closes, or opens them again.
func (m *Model) setClosed(r *reservation, closed bool) {
	set := func(n uint32) {
		a := m.accounts.at(n)
		a.flags &^= block.Closed
		if closed {
			a.flags |= block.Closed
		}
	}
	if r.flags&block.ClosingDebit != 0 {
		set(r.debit)
	}
	if r.flags&block.ClosingCredit != 0 {
		set(r.credit)
	}
}

// resolve applies a post or a void.
func (m *Model) resolve(t *block.Transfer, flags uint16, o *block.Outcome, at uint64) {
	x := &m.move
	x.Reservation, x.Phase, x.Amount = t.PendingID(), Capture, t.Amount()
	x.Debit, x.Credit, x.Asset, x.Code = t.Debit(), t.Credit(), t.Asset(), t.Code()
	if flags&block.Void != 0 {
		x.Phase = Release
	}
	if o == nil {
		m.wrong(lostUpdate, "resolves a reservation, and its outcome is not recorded")
	} else {
		x.Amount = o.Amount
	}
	place, slot := m.held.find(&x.Reservation, m.o.HashKey)
	if place == 0 {
		m.wrong(lostUpdate, fmt.Sprintf("resolves reservation %v, which is not open", x.Reservation))
		return
	}
	r := *m.held.list.at(place)
	m.inherit(&r)
	m.checkResolution(t, flags, o, &r, at)
	if m.buckets.unsettled > 0 {
		m.checkBuckets(m.endsTransit(flags), m.accounts.at(r.debit), m.accounts.at(r.credit))
	}
	if x.Phase == Release {
		m.totalOf(m.accounts.at(r.debit).group).transfers++
		m.release(&r, r.left)
		m.setClosed(&r, false)
		m.closeHeld(&r, place, slot)
		m.uncross(&r, flags)
		return
	}
	debit, credit := m.accounts.at(r.debit), m.accounts.at(r.credit)
	m.totalOf(debit.group).transfers++
	if r.flags&block.Hold == 0 { // what is decided elsewhere goes on
		m.checkOpen(debit, credit, r.code)
	}
	freed := r.left
	if flags&block.KeepRemainder != 0 && x.Amount.Less(r.left) {
		freed = x.Amount
		x.Left, _ = r.left.Sub(freed)
		m.held.list.at(place).left = x.Left
	} else {
		x.Freed = r.left.SubSat(x.Amount)
		m.closeHeld(&r, place, slot)
	}
	m.release(&r, freed)
	m.add(&debit.debitsPosted, &m.totalOf(m.accounts.at(r.debit).group).sums.DebitsPosted)
	m.add(&credit.creditsPosted, &m.totalOf(m.accounts.at(r.credit).group).sums.CreditsPosted)
	m.book(debit, credit)
	m.uncross(&r, flags)
}

// inherit fills in what the movement at hand leaves out with what its reservation has.
func (m *Model) inherit(r *reservation) {
	x := &m.move
	x.Debit, x.Credit, x.Asset, x.Code = m.accounts.at(r.debit).id, m.accounts.at(r.credit).id, m.asset(r.debit), r.code
	if x.UserData128.IsZero() {
		x.UserData128 = r.userData128
	}
	if x.UserData64 == 0 {
		x.UserData64 = r.userData64
	}
	if x.UserData32 == 0 {
		x.UserData32 = r.userData32
	}
}

// checkResolution holds a post or a void against its reservation.
func (m *Model) checkResolution(t *block.Transfer, flags uint16, o *block.Outcome, r *reservation, at uint64) {
	x := &m.move
	want := t.Amount()
	if x.Phase == Release || want == count.Max() {
		want = r.left
	}
	asked := t.Amount()
	switch {
	case r.left.Less(x.Amount):
		m.wrong(lostUpdate, "resolves more than is left of its reservation", Field{"amount", x.Amount.String(), "at most " + r.left.String()})
	case x.Amount != want, x.Phase == Release && !asked.IsZero() && asked != r.left:
		m.wrong(lostUpdate, "resolved another amount than it asked for", Field{"amount", x.Amount.String(), want.String()})
	}
	if o != nil && o.PendingPosition != r.position {
		m.wrong(lostUpdate, "names another place for its reservation", Field{"pending_position", fmt.Sprint(o.PendingPosition), fmt.Sprint(r.position)})
	}
	if r.expires != 0 && r.expires <= m.now.time {
		m.wrong(lostUpdate, "resolves a reservation that expired", Field{"time", fmt.Sprint(m.now.time), fmt.Sprintf("before %d", r.expires)})
	}
	differs := !t.Debit().IsZero() && t.Debit() != x.Debit || !t.Credit().IsZero() && t.Credit() != x.Credit ||
		t.Asset() != 0 && t.Asset() != x.Asset || t.Code() != 0 && t.Code() != r.code
	if differs {
		m.wrong(lostUpdate, "has other accounts, another asset or another code than its reservation")
	}
}

// release takes an amount off the pending balances of a reservation's accounts.
func (m *Model) release(r *reservation, amount count.Amount) {
	m.sub(&m.accounts.at(r.debit).debitsPending, &m.totalOf(m.accounts.at(r.debit).group).sums.DebitsPending, amount)
	m.sub(&m.accounts.at(r.credit).creditsPending, &m.totalOf(m.accounts.at(r.credit).group).sums.CreditsPending, amount)
}

// expire applies the block's expiries.
func (m *Model) expire(k *block.Block) {
	for i := range int(k.Expiries) {
		id, amount := k.Expiry(i)
		m.now.index, m.now.time = i, k.Time+uint64(i)
		m.move = Movement{Seq: m.seq, Index: i, Time: m.now.time, Reservation: id, Amount: amount, Phase: Expire}
		place, slot := m.held.find(&id, m.o.HashKey)
		if place == 0 {
			m.wrongExpiry(lostUpdate, "is not open")
			continue
		}
		r := *m.held.list.at(place)
		m.inherit(&r)
		if r.left != amount {
			m.wrongExpiry(lostUpdate, "has another amount left", Field{"amount", amount.String(), r.left.String()})
		}
		if r.expires == 0 || r.expires > k.Time {
			m.wrongExpiry(lostUpdate, "is not due", Field{"time", fmt.Sprint(k.Time), fmt.Sprint(r.expires)})
		}
		m.release(&r, r.left)
		m.setClosed(&r, false)
		m.closeHeld(&r, place, slot)
		m.uncross(&r, r.flags)
		if m.visit != nil {
			m.visit(&m.move)
		}
	}
	m.checkOverdue(k)
}

func (m *Model) wrongExpiry(class, summary string, fields ...Field) {
	m.fault(class, fmt.Sprintf("the reservation %v expires in block %d, and %s", m.move.Reservation, m.seq, summary), func(f *Finding) {
		f.Transfer, f.Amount, f.Asset, f.Fields = m.move.Reservation, m.move.Amount, m.move.Asset, fields
	})
}

// checkOverdue tells of reservations that the block should have ended, once for each.
func (m *Model) checkOverdue(k *block.Block) {
	if k.Expiries == block.MaxEvents {
		return // the rest follows in the next block
	}
	m.now.index, m.now.time = -1, k.Time
	for {
		a := m.held.next()
		if a == nil || a.at > k.Time {
			return
		}
		r := m.held.list.at(a.place)
		m.move = Movement{Reservation: r.id, Amount: r.left, Asset: m.asset(r.debit)}
		m.fault(lostUpdate, fmt.Sprintf("the reservation %v was due at %d, and block %d does not end it", r.id, r.expires, k.Seq), func(f *Finding) {
			f.Transfer, f.Amount, f.Asset = r.id, r.left, m.move.Asset
			f.Accounts = []count.ID{m.accounts.at(r.debit).id, m.accounts.at(r.credit).id}
		})
		m.held.due.pop()
	}
}
