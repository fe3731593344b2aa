package index

import (
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/ledger"
)

// bookingRange is how many days a booking date may lie from the day of its timestamp in the index's zone, which may be a
// day off the ledger's.
const bookingRange = ledger.BookingRange + 1

// lastDay is the last one that begins within the range of timestamps, in any zone.
const lastDay = journal.Date(journal.MaxTimestamp/(86_400*1_000_000_000) - 1)

// daily reads an account by booking dates. Postings are ordered by their place: booking date, then position. Most are
// booked on the day of their timestamp, so their order is that of the account's list; the others are in its bookings.
type daily struct {
	*scan
	account AccountRef
	books   *bookings
}

// with opens the account's bookings for work.
func (d *daily) with(work func() error) error {
	books, err := d.v.bookings(d.account.Number)
	if err != nil {
		return err
	}
	d.books = books
	err = work()
	if e := books.close(); err == nil {
		err = e
	}
	return err
}

// start returns the first position of a day: all transfers from its first moment on are at or after it.
func (d *daily) start(day journal.Date) (uint64, error) {
	if day > lastDay {
		return d.v.top, nil
	}
	p, err := d.position(day.Start(d.v.zone))
	return min(p, d.v.top), err
}

// movedUpTo returns the position before which what was handed over stands before a place: it is booked on its own day.
func (d *daily) movedUpTo(p place) (uint64, error) {
	var bounds [2]uint64
	for i := range bounds {
		day := p.date + journal.Date(i)
		if bounds[i] = d.v.top; day > lastDay {
			continue
		}
		at, err := d.expiryPosition(day.Start(d.v.zone))
		if err != nil {
			return 0, err
		}
		bounds[i] = min(at, d.v.top)
	}
	return min(max(p.at, bounds[0]), bounds[1]), nil
}

// ordinaryUpTo returns the position before which the postings booked on their own day stand before a place.
func (d *daily) ordinaryUpTo(p place) (uint64, error) {
	lo, err := d.start(p.date)
	if err != nil || p.at <= lo {
		return lo, err
	}
	hi, err := d.start(p.date + 1)
	return min(max(p.at, lo), hi), err
}

// postedBefore returns what all postings before a place add up to: everything up to a position, less what is booked
// later, and what is booked before and stands after it.
func (d *daily) postedBefore(p place) (Posted, error) {
	at, err := d.ordinaryUpTo(p)
	if err != nil {
		return Posted{}, err
	}
	b, since, err := d.lastRow(d.account, at)
	if err != nil {
		return Posted{}, err
	}
	moved, err := d.movedUpTo(p)
	if err != nil {
		return Posted{}, err
	}
	lo, hi, undo := since, moved, false
	if moved < since {
		lo, hi, undo = moved, since, true
	}
	if err := d.handOver(&b, d.account, lo, hi, undo); err != nil {
		return Posted{}, err
	}
	beyond, err := d.bookedBeyond(moved)
	if err != nil {
		return Posted{}, err
	}
	earliest := journal.Date(0)
	if p.date > bookingRange+1 {
		earliest = p.date - bookingRange - 1
	}
	total := sides{b.DebitsPosted, b.CreditsPosted}
	total.add(beyond)
	for _, part := range []struct {
		first, last journal.Date
		lo, hi      uint64
		sign        func(*sides, sides)
	}{
		{p.date, p.date + bookingRange + 1, 0, at, (*sides).sub},
		{earliest, max(p.date, 1) - 1, at, d.v.top, (*sides).add},
		{p.date, p.date, 0, min(p.at, d.v.top), (*sides).add},
	} {
		sum, err := d.books.sum(part.first, part.last, part.lo, part.hi)
		if err != nil {
			return Posted{}, err
		}
		part.sign(&total, sum)
	}
	return Posted{total.debit, total.credit}, nil
}
