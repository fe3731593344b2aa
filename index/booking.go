package index

import (
	"cmp"
	"fmt"
	"slices"
	"sort"

	"github.com/cockroachdb/pebble/v2"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/ledger"
	"github.com/sterlingrun/sterling/money"
)

// A booking is a posting whose booking date is not the day of its timestamp. The index keeps them by account, date and
// position, each with the sums of those of the same account and date in the same run up to it: so what was booked on a
// date within a range of positions follows from two look-ups in each run, however many bookings there are.

// sides are sums of what debits and credits moved, modulo 2^128.
type sides struct{ debit, credit money.U128 }

func (s *sides) add(o sides) {
	s.debit, _ = s.debit.Add(o.debit)
	s.credit, _ = s.credit.Add(o.credit)
}

func (s *sides) sub(o sides) {
	s.debit, _ = s.debit.Sub(o.debit)
	s.credit, _ = s.credit.Sub(o.credit)
}

// dated are the bookings of an account on one date, in one buffer, ascending by position.
type dated struct {
	date journal.Date
	list []booking
}

type booking struct {
	at  uint64
	sum sides // of all in the list up to this one
}

// upTo returns the sum of the bookings before a position.
func (d *dated) upTo(at uint64) sides {
	n := sort.Search(len(d.list), func(i int) bool { return d.list[i].at >= at })
	if n == 0 {
		return sides{}
	}
	return d.list[n-1].sum
}

const (
	bookingKey  = 1 + 4 + 4 + 8
	bookingSize = 8 + 32 // of a value: the first position of the run's list, the sums
)

// zoneChange is a policy that sets the zone by which the ledger tells days.
type zoneChange struct {
	event  uint32
	offset int32
}

// zoneChanges returns those of a block; nearly all have none.
func zoneChanges(k *journal.Block) (list []zoneChange) {
	if !slices.ContainsFunc(k.Requests, func(r journal.RequestEntry) bool {
		return r.Kind == journal.KindPolicy || r.Kind == journal.KindDecision
	}) {
		return nil
	}
	for p := range k.Parts() {
		for i := 0; i < p.Count && p.Kind == journal.KindPolicy; i++ {
			if o := k.Outcome(p.First + i); o == nil || o.Status == journal.Created {
				policy := &journal.View[journal.Policy](k.EventBytes(p.First+i, 1))[0]
				list = append(list, zoneChange{uint32(p.First + i), policy.UTCOffset}) //nolint:gosec // ≤ MaxEvents
			}
		}
	}
	return list
}

// enterZones enters the changes before an event. The index goes on to tell days by the zone of the first transfer: after
// a change, what the ledger books on its own day may be booked on another one here.
func (b *buffer) enterZones(list *[]zoneChange, before uint32) {
	for ; len(*list) > 0 && (*list)[0].event < before; *list = (*list)[1:] {
		b.through.zone = (*list)[0].offset
		if b.through.time == 0 && !b.dated {
			b.through.base = b.through.zone
		}
	}
}

// bookedElsewhere returns the booking date of a transfer where it is not the day of its timestamp, in the index's zone;
// 0 where it is.
func (b *buffer) bookedElsewhere(k *journal.Block, event uint32, list *[]ledger.BookingEffect) (date journal.Date) {
	if len(*list) > 0 && (*list)[0].Event == event {
		date = (*list)[0].Date
		*list = (*list)[1:]
	}
	if b.through.zone == b.through.base {
		return date
	}
	ts := timestamp(k, int(event))
	if date == 0 {
		date = journal.DateOf(ts, b.through.zone)
	}
	if date == journal.DateOf(ts, b.through.base) {
		return 0
	}
	return date
}

// addBooking enters a transfer that has a booking date of its own, if it posts anything.
func (b *buffer) addBooking(k *journal.Block, e *ledger.TransferEffect, t *journal.Transfer, date journal.Date, at journal.Position) {
	if t.Flags.Has(journal.TransferPending | journal.TransferVoid) {
		return
	}
	amount := t.Amount
	if o := k.Outcome(int(e.Event)); o != nil {
		amount = o.Amount
	}
	b.book(e.Debit, date, uint64(at), sides{debit: amount})
	b.book(e.Credit, date, uint64(at), sides{credit: amount})
}

func (b *buffer) book(account uint32, date journal.Date, at uint64, moved sides) {
	if b.bookings == nil {
		b.bookings = map[uint32][]dated{}
	}
	list := b.bookings[account]
	i, found := slices.BinarySearchFunc(list, date, func(d dated, date journal.Date) int { return cmp.Compare(d.date, date) })
	if !found {
		list = slices.Insert(slices.Clone(list), i, dated{date: date}) // a reader may hold the list there was
	} else {
		list = slices.Clone(list)
	}
	d := &list[i]
	if n := len(d.list); n > 0 {
		moved.add(d.list[n-1].sum)
	}
	d.list = append(d.list, booking{at, moved})
	b.bookings[account] = list
	b.booked++
}

func (r *run) writeBookings() {
	accounts := make([]uint32, 0, len(r.b.bookings))
	for a := range r.b.bookings {
		accounts = append(accounts, a)
	}
	slices.Sort(accounts)
	var value [bookingSize]byte
	for _, account := range accounts {
		for _, d := range r.b.bookings[account] {
			for _, b := range d.list {
				v := be.AppendUint64(value[:0], d.list[0].at)
				for _, sum := range [2]money.U128{b.sum.debit, b.sum.credit} {
					v = be.AppendUint64(be.AppendUint64(v, sum.Hi), sum.Lo)
				}
				r.set(appendBooking(r.key[:0], account, d.date, b.at), v)
			}
		}
	}
}

func appendBooking(dst []byte, account uint32, date journal.Date, at uint64) []byte {
	dst = be.AppendUint32(append(dst, tagBooking), account)
	return be.AppendUint64(be.AppendUint32(dst, uint32(date)), at)
}

// bookings reads one account's bookings.
type bookings struct {
	v       *view
	account uint32
	memory  [][]dated // of each buffer, oldest first
	it      *pebble.Iterator
	key     [bookingKey]byte
	steps   int
}

func (v *view) bookings(account uint32) (*bookings, error) {
	b := &bookings{v: v, account: account}
	v.x.mu.RLock()
	for _, buf := range v.bufs {
		if list := buf.bookings[account]; len(list) > 0 {
			b.memory = append(b.memory, list)
		}
	}
	v.x.mu.RUnlock()
	it, err := v.x.db.NewIter(&pebble.IterOptions{
		LowerBound: appendBooking(nil, account, 0, 0), UpperBound: appendBooking(nil, account, journal.MaxDate+1, 0),
	})
	b.it = it
	return b, damage(err)
}

func (b *bookings) close() error { return damage(b.it.Close()) }

// stored is a booking in Pebble.
type stored struct {
	date  journal.Date
	at    uint64
	first uint64 // of its run's list
	sum   sides
}

func (b *bookings) read() (stored, error) {
	key := b.it.Key()
	value, err := b.it.ValueAndErr()
	if err != nil {
		return stored{}, damage(err)
	}
	if len(key) != bookingKey || len(value) != bookingSize {
		return stored{}, fmt.Errorf("%w: a booking of %d and %d bytes", ErrRebuild, len(key), len(value))
	}
	return stored{
		journal.Date(be.Uint32(key[5:])), be.Uint64(key[9:]), be.Uint64(value),
		sides{money.BE(value[8:]), money.BE(value[24:])},
	}, nil
}

// sum adds up what was booked on the dates from first to last (both inclusive) at positions lo ≤ p < hi.
func (b *bookings) sum(first, last journal.Date, lo, hi uint64) (total sides, err error) {
	if first > last || lo >= hi {
		return total, nil
	}
	for _, list := range b.memory {
		for i := range list {
			if d := &list[i]; d.date >= first && d.date <= last {
				total.add(d.upTo(hi))
				total.sub(d.upTo(lo))
			}
		}
	}
	hi = min(hi, b.v.bottom) // what is beyond has been counted
	for date := first; date <= last && lo < hi; date++ {
		b.steps++
		if !b.it.SeekGE(appendBooking(b.key[:0], b.account, date, 0)) {
			return total, damage(b.it.Error())
		}
		s, err := b.read()
		if err != nil {
			return total, err
		}
		if date = s.date; date > last {
			break
		}
		part, err := b.sumOf(date, lo, hi)
		if err != nil {
			return total, err
		}
		total.add(part)
	}
	return total, nil
}

// sumOf is sum for one date, in Pebble: from run to run, newest first.
func (b *bookings) sumOf(date journal.Date, lo, hi uint64) (total sides, err error) {
	for hi > lo {
		s, ok, err := b.before(date, hi)
		if err != nil || !ok || s.at < lo {
			return total, err
		}
		total.add(s.sum)
		if s.first < lo { // the run begins before the range
			rest, _, err := b.before(date, lo)
			total.sub(rest.sum)
			return total, err
		}
		hi = s.first
	}
	return total, nil
}

// before returns the last booking of a date before a position.
func (b *bookings) before(date journal.Date, at uint64) (stored, bool, error) {
	b.steps++
	if !b.it.SeekLT(appendBooking(b.key[:0], b.account, date, at)) {
		return stored{}, false, damage(b.it.Error())
	}
	s, err := b.read()
	return s, err == nil && s.date == date, err
}

// place is where a posting stands by booking date.
type place struct {
	date journal.Date
	at   uint64
}

func (p place) compare(o place) int {
	if c := cmp.Compare(p.date, o.date); c != 0 {
		return c
	}
	return cmp.Compare(p.at, o.at)
}

// list returns up to n bookings from a place on, up to a date (inclusive), ascending.
func (b *bookings) list(from place, last journal.Date, n int) ([]place, error) {
	var found []place
	for _, buf := range b.memory {
		for i := range buf {
			d := &buf[i]
			if d.date < from.date || d.date > last {
				continue
			}
			at := 0
			if d.date == from.date {
				at = sort.Search(len(d.list), func(i int) bool { return d.list[i].at >= from.at })
			}
			for ; at < len(d.list) && d.list[at].at < b.v.top; at++ {
				found = append(found, place{d.date, d.list[at].at})
			}
		}
	}
	count := 0
	for ok := b.it.SeekGE(appendBooking(b.key[:0], b.account, from.date, from.at)); ok && count < n; ok = b.it.Next() {
		b.steps++
		s, err := b.read()
		if err != nil {
			return nil, err
		}
		if s.date > last {
			break
		}
		if s.at < b.v.bottom {
			found = append(found, place{s.date, s.at})
			count++
		}
	}
	slices.SortFunc(found, place.compare)
	return found[:min(n, len(found))], damage(b.it.Error())
}
