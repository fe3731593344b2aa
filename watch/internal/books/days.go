package books

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/sterlingrun/sterling/watch/internal/block"
	"github.com/sterlingrun/sterling/watch/internal/count"
)

// sides are the posted debits and credits of a group.
type sides struct{ debits, credits count.Sum }

// daybook is what was posted on each booking day, by group, and which days are closed. Days count from 1970-01-01.
type daybook struct {
	sums    map[uint32]*[]sides
	late    map[uint32]*[]sides // of days that were closed by then, since the last close
	through uint32              // the last closed day; 0: none
	zone    int32               // minutes ahead of UTC

	from, to uint64 // timestamps from here to before have the day today
	today    uint32
	last     uint32 // the day that was booked on last, and its sums
	lastSums *[]sides
}

func (b *daybook) init() { b.sums, b.late = map[uint32]*[]sides{}, map[uint32]*[]sides{} }

func (b *daybook) setZone(minutes int32) { b.zone, b.from, b.to = minutes, 0, 0 }

func (b *daybook) reopen(date uint32) { b.through = date - min(1, date) }

func (b *daybook) closed(date uint32) bool { return b.through != 0 && date <= b.through }

// dayOf is the day of a timestamp in the ledger's zone.
func (b *daybook) dayOf(ns uint64) uint32 {
	if ns < b.from || ns >= b.to {
		offset := int64(b.zone) * 60 * second
		local := max(0, int64(ns)+offset) //nolint:gosec // ns < 2^63
		b.today = uint32(local / day)     //nolint:gosec // 63 bits of ns
		b.from = uint64(max(0, int64(b.today)*day-offset))
		b.to = uint64(max(0, (int64(b.today)+1)*day-offset))
	}
	return b.today
}

// book enters the movement at hand, which is posted, on its booking day.
func (m *Model) book(debit, credit *account) {
	b, t := &m.days, m.block.Transfer(m.now.event)
	at := m.now.time
	if t.Flags()&block.Imported != 0 {
		at = t.Timestamp()
	}
	date := b.dayOf(at)
	if t.Flags()&block.Attached != 0 {
		if asked := block.BookingDate(m.block.Attachment(m.now.event)); asked != 0 {
			date = asked
		}
	}
	if b.lastSums == nil || b.last != date {
		b.last, b.lastSums = date, dayIn(b.sums, date)
	}
	add(b.lastSums, debit.group, credit.group, m.move.Amount)
	if b.closed(date) {
		if !m.now.approved {
			m.wrong(lostUpdate, "is booked on a day that is closed", Field{"booking_date", fmt.Sprint(date), fmt.Sprintf("after %d", b.through)})
		}
		add(dayIn(b.late, date), debit.group, credit.group, m.move.Amount)
	}
}

func dayIn(days map[uint32]*[]sides, date uint32) *[]sides {
	d := days[date]
	if d == nil {
		d = new([]sides)
		days[date] = d
	}
	return d
}

func add(d *[]sides, debit, credit uint32, amount count.Amount) {
	if most := int(max(debit, credit)); most >= len(*d) {
		*d = append(*d, make([]sides, most+1-len(*d))...)
	}
	(*d)[debit].debits.Add(amount)
	(*d)[credit].credits.Add(amount)
}

// row is a line of a trial balance.
type row struct {
	groupKey
	opening, late, period sides
}

// trial is the trial balance of the days from from through through, ascending by asset and code, without empty rows.
func (m *Model) trial(from, through uint32) []row {
	rows := make([]row, len(m.groups))
	for i := range rows {
		rows[i].groupKey = m.groups[i].groupKey
	}
	sum := func(x *sides, y *sides) {
		x.debits.AddSum(y.debits)
		x.credits.AddSum(y.credits)
	}
	for date, d := range m.days.late { // addition has no order
		for i := range *d {
			if date < from {
				sum(&rows[i].late, &(*d)[i])
			}
		}
	}
	for date, d := range m.days.sums {
		for i := range *d {
			switch {
			case date < from:
				sum(&rows[i].opening, &(*d)[i])
			case date <= through:
				sum(&rows[i].period, &(*d)[i])
			}
		}
	}
	rows = slices.DeleteFunc(rows, func(r row) bool { return r.opening == sides{} && r.late == sides{} && r.period == sides{} })
	slices.SortFunc(rows, func(x, y row) int {
		if x.asset != y.asset {
			return int(int64(x.asset) - int64(y.asset))
		}
		return int(x.code) - int(y.code)
	})
	return rows
}

const rowSize = 152

// readRows reads a recorded trial balance; ok is false where it is not one.
func readRows(b []byte) (rows []row, ok bool) {
	if len(b)%rowSize != 0 {
		return nil, false
	}
	le := binary.LittleEndian
	for ; len(b) > 0; b = b[rowSize:] {
		r := row{groupKey: groupKey{le.Uint32(b), le.Uint16(b[4:])}}
		for i, s := range [6]*count.Sum{&r.opening.debits, &r.opening.credits, &r.late.debits, &r.late.credits, &r.period.debits, &r.period.credits} {
			at := b[8+24*i:]
			*s = count.Sum{le.Uint64(at), le.Uint64(at[8:]), le.Uint64(at[16:])}
		}
		rows = append(rows, r)
	}
	return rows, true
}

// closeDay holds the trial balance that a close recorded against the own sums.
func (m *Model) closeDay(r *block.Record, attached []byte) {
	date := r.U32(16)
	from := uint32(0)
	if m.days.through != 0 {
		from = m.days.through + 1
	}
	got, ok := readRows(block.Payload(attached))
	if want := m.trial(from, date); !ok || !slices.Equal(got, want) {
		m.wrongTrial(date, got, want)
	}
	m.checkTrial(date, got)
	m.days.through = date
	clear(m.days.late)
}

// wrongTrial tells of the first line that differs.
func (m *Model) wrongTrial(date uint32, got, want []row) {
	i := 0
	for i < len(got) && i < len(want) && got[i] == want[i] {
		i++
	}
	show := func(rows []row) (string, uint32) {
		if i >= len(rows) {
			return "no line", 0
		}
		r := &rows[i]
		return fmt.Sprintf("%s, code %d: opening %v %v, late %v %v, period %v %v", m.AssetName(r.asset), r.code, &r.opening.debits, &r.opening.credits,
			&r.late.debits, &r.late.credits, &r.period.debits, &r.period.credits), r.asset
	}
	is, _ := show(got)
	should, asset := show(want)
	m.fault(lostUpdate, fmt.Sprintf("the trial balance through day %d is not what was posted", date), func(f *Finding) {
		f.Asset, f.Fields = asset, []Field{{fmt.Sprintf("line %d", i), is, should}}
	})
}

// checkTrial holds the debits of a recorded trial balance against its credits, asset by asset.
func (m *Model) checkTrial(date uint32, rows []row) {
	for i := 0; i < len(rows); {
		asset := rows[i].asset
		var s [3]sides
		for ; i < len(rows) && rows[i].asset == asset; i++ {
			for k, x := range [3]*sides{&rows[i].opening, &rows[i].late, &rows[i].period} {
				s[k].debits.AddSum(x.debits)
				s[k].credits.AddSum(x.credits)
			}
		}
		for k, column := range [3]string{"opening", "late", "period"} {
			if s[k].debits != s[k].credits {
				m.fault(unbalanced, fmt.Sprintf("the trial balance of %s through day %d has debits that are not its credits", m.AssetName(asset), date), func(f *Finding) {
					f.Asset, f.Fields = asset, []Field{{column + " debits", s[k].debits.String(), s[k].credits.String()}}
				})
			}
		}
	}
}
