package ledger

import (
	"encoding/binary"
	"math/big"
	"math/bits"
	"slices"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/money"
)

// BookingRange is how many days a booking date may lie before or after the day of its transfer's timestamp.
const BookingRange = 366

// maxGroups is how many pairs of asset and code a trial balance has room for.
const maxGroups = journal.MaxTrial / trialRowSize

// Group is a line of a trial balance: all accounts of one asset and code.
type Group struct {
	Asset uint32 // number in the catalogue
	Code  uint16
}

// Total is a sum of amounts that can't overflow: 192 bits.
type Total struct {
	Lo money.U128
	Hi uint64
}

// Add adds an amount.
func (t *Total) Add(v money.U128) {
	var c uint64
	t.Lo.Lo, c = bits.Add64(t.Lo.Lo, v.Lo, 0)
	t.Lo.Hi, c = bits.Add64(t.Lo.Hi, v.Hi, c)
	t.Hi += c
}

func (t *Total) sub(v money.U128) {
	var b uint64
	t.Lo.Lo, b = bits.Sub64(t.Lo.Lo, v.Lo, 0)
	t.Lo.Hi, b = bits.Sub64(t.Lo.Hi, v.Hi, b)
	t.Hi -= b
}

func (t *Total) addTotal(o Total) {
	t.Add(o.Lo)
	t.Hi += o.Hi
}

// Sides are the sums of posted debits and credits.
type Sides struct{ Debits, Credits Total }

// books are the postings of every day, by group, and what is closed.
type books struct {
	groups  []Group
	groupNo map[Group]uint32
	days    map[journal.Date]*daySums // by group
	late    map[journal.Date]*daySums // what of days was booked after they were closed, since the last close
	through journal.Date              // the last day that is closed; 0: none
	closes  []Close
	byID    map[money.U128]int // of closes

	date journal.Date // of the event being applied
	from uint64       // timestamps from here to before to have the day today
	to   uint64
	now  journal.Date
}

// Close is a day close, or a reopening, as it is kept.
type Close struct {
	ID        money.U128
	Date      journal.Date
	Reopened  bool // Date and all days after it were opened again
	Actor     journal.Actor
	Timestamp uint64 // ns
	Position  journal.Position
	Reason    [64]byte
}

// TrialRow is a line of a trial balance, of posted amounts. Closing sums are opening plus period.
type TrialRow struct {
	Group
	Opening Sides // of all days before the period
	Late    Sides // what of it was booked after its day had been closed, since the close before
	Period  Sides
}

const trialRowSize = 8 + 6*24

func (b *books) init() {
	b.groupNo, b.byID = map[Group]uint32{}, map[money.U128]int{}
	b.days, b.late = map[journal.Date]*daySums{}, map[journal.Date]*daySums{}
}

// closed reports whether a day's books are closed.
func (b *books) closed(d journal.Date) bool { return b.through != 0 && d <= b.through }

// firstOpen is the first day that is not closed.
func (b *books) firstOpen() journal.Date {
	if b.through == 0 {
		return 0
	}
	return b.through + 1
}

// The group of an account stands in the upper half of its Reserved field; groups beyond its range are looked up.
const (
	groupShift = 16
	groupFar   = 1<<16 - 1
)

func (s *State) joinGroup(a *journal.Account) {
	g := Group{a.Asset, a.Code}
	n, ok := s.books.groupNo[g]
	if !ok {
		n = uint32(len(s.books.groups)) //nolint:gosec // at most 2^32 pairs
		s.books.groups = append(s.books.groups, g)
		s.books.groupNo[g] = n
	}
	a.Reserved = a.Reserved&(1<<groupShift-1) | min(n, groupFar)<<groupShift
}

func (s *State) groupOf(a *journal.Account) uint32 {
	if n := a.Reserved >> groupShift; n != groupFar {
		return n
	}
	return s.books.groupNo[Group{a.Asset, a.Code}]
}

// dayOf returns the day of a timestamp in the ledger's zone.
func (s *State) dayOf(ns uint64) journal.Date {
	b := &s.books
	if ns < b.from || ns >= b.to {
		b.now = journal.DateOf(ns, s.policy.UTCOffset)
		b.from, b.to = b.now.Start(s.policy.UTCOffset), (b.now + 1).Start(s.policy.UTCOffset)
	}
	return b.now
}

// chooseDate decides on which day event i of the request is booked, and whether it may be.
func (s *State) chooseDate(t *journal.Transfer, event int, at uint64) journal.Status {
	if t.Flags.Has(journal.TransferImported) {
		at = t.Timestamp
	}
	day := s.dayOf(at)
	s.books.date = day
	if t.Flags.Has(journal.TransferAttached) {
		if asked := journal.BookingDate(s.builder.Attachment(event)); asked != 0 {
			if asked+BookingRange < day || asked > day+BookingRange {
				return journal.TransferBookingDateOutOfRange
			}
			s.books.date = asked
		}
	}
	if s.books.closed(s.books.date) && !s.approved {
		return journal.TransferBookingDayClosed
	}
	return journal.Created
}

// booking is what a chain takes back when it breaks.
type booking struct {
	date          journal.Date
	debit, credit uint32 // groups
	amount        money.U128
	late          bool
}

// book enters a posted amount into the books of the day that chooseDate chose.
func (s *State) book(debit, credit *journal.Account, amount money.U128) {
	b := &s.books
	k := booking{b.date, s.groupOf(debit), s.groupOf(credit), amount, b.closed(b.date)}
	if s.chain.open {
		s.chain.bookings = append(s.chain.bookings, k)
	}
	k.in(b.days).add(&k)
	if k.late {
		k.in(b.late).add(&k)
	}
}

// daySums are the sums of one day, by group.
type daySums []Sides

func (k *booking) in(days map[journal.Date]*daySums) *daySums {
	day := days[k.date]
	if day == nil {
		day = new(daySums)
		days[k.date] = day
	}
	return day
}

func (d *daySums) add(k *booking) {
	d.group(k.debit).Debits.Add(k.amount)
	d.group(k.credit).Credits.Add(k.amount)
}

func (d *daySums) sub(k *booking) {
	d.group(k.debit).Debits.sub(k.amount)
	d.group(k.credit).Credits.sub(k.amount)
}

// group returns the sums of a group, making room for it.
func (d *daySums) group(n uint32) *Sides {
	for int(n) >= len(*d) {
		*d = append(*d, make([]Sides, int(n)+1-len(*d))...)
	}
	return &(*d)[n]
}

func (s *State) undoBooking(k *booking) {
	k.in(s.books.days).sub(k)
	if k.late {
		k.in(s.books.late).sub(k)
	}
}

// TrialBalance returns the sums of all groups, ascending by asset and code: the opening ones of all days before from,
// and those of the days from from through through. Rows of nothing but zeros are left out.
func (s *State) TrialBalance(from, through journal.Date) []TrialRow {
	b := &s.books
	rows := make([]TrialRow, len(b.groups))
	for i, g := range b.groups {
		rows[i].Group = g
	}
	for date, day := range b.late {
		for i, v := range *day {
			if date < from {
				rows[i].Late.add(v)
			}
		}
	}
	for date, day := range b.days { // addition has no order
		for i, v := range *day {
			switch {
			case date < from:
				rows[i].Opening.add(v)
			case date <= through:
				rows[i].Period.add(v)
			}
		}
	}
	rows = slices.DeleteFunc(rows, func(r TrialRow) bool { return r.Opening == Sides{} && r.Period == Sides{} && r.Late == Sides{} })
	slices.SortFunc(rows, func(x, y TrialRow) int { return compareGroups(x.Group, y.Group) })
	return rows
}

func compareGroups(x, y Group) int {
	if x.Asset != y.Asset {
		return int(int64(x.Asset) - int64(y.Asset))
	}
	return int(x.Code) - int(y.Code)
}

func (x *Sides) add(y Sides) {
	x.Debits.addTotal(y.Debits)
	x.Credits.addTotal(y.Credits)
}

// Closing returns the row's sums at the end of its period.
func (r *TrialRow) Closing() Sides {
	c := r.Opening
	c.add(r.Period)
	return c
}

// appendTrial encodes rows as docs/formats.md has them.
func appendTrial(dst []byte, rows []TrialRow) []byte {
	le := binary.LittleEndian
	for i := range rows {
		r := &rows[i]
		dst = le.AppendUint32(dst, r.Asset)
		dst = le.AppendUint32(dst, uint32(r.Code))
		for _, v := range [6]Total{r.Opening.Debits, r.Opening.Credits, r.Late.Debits, r.Late.Credits, r.Period.Debits, r.Period.Credits} {
			dst = le.AppendUint64(le.AppendUint64(le.AppendUint64(dst, v.Lo.Lo), v.Lo.Hi), v.Hi)
		}
	}
	return dst
}

// ReadTrial reads the trial balance that is attached to a day close.
func ReadTrial(attachment []byte) ([]TrialRow, error) {
	d, err := journal.DecodeDetails(attachment)
	if err != nil {
		return nil, err
	}
	if len(d.Payload)%trialRowSize != 0 {
		return nil, journal.ErrDetails
	}
	le := binary.LittleEndian
	var rows []TrialRow
	for b := d.Payload; len(b) > 0; b = b[trialRowSize:] {
		r := TrialRow{Group: Group{le.Uint32(b), le.Uint16(b[4:])}}
		for i, v := range [6]*Total{&r.Opening.Debits, &r.Opening.Credits, &r.Late.Debits, &r.Late.Credits, &r.Period.Debits, &r.Period.Credits} {
			at := b[8+24*i:]
			*v = Total{money.U128{Lo: le.Uint64(at), Hi: le.Uint64(at[8:])}, le.Uint64(at[16:])}
		}
		rows = append(rows, r)
	}
	return rows, nil
}

// Closes returns all day closes and reopenings, in order.
func (s *State) Closes() []Close { return slices.Clone(s.books.closes) }

// ClosedThrough is the last day whose books are closed, 0 where none is.
func (s *State) ClosedThrough() journal.Date { return s.books.through }

func (s *State) closeDays(events []journal.DayClose, first int, results []journal.Result) {
	for i := range events {
		results[i].Status, results[i].Timestamp = s.closeDay(&events[i], first+i)
	}
}

func (s *State) closeDay(c *journal.DayClose, event int) (journal.Status, uint64) {
	at := s.eventTime(event)
	kept := Close{ID: c.ID, Date: c.Date, Actor: s.actor, Timestamp: at, Position: s.position(event), Reason: c.Reason}
	if status, at, done := s.closeExists(&kept); done {
		return status, at
	}
	b := &s.books
	switch {
	case c.Date == 0 || c.Date > journal.MaxDate:
		return journal.ControlDateInvalid, at
	case c.Date >= s.dayOf(at):
		return journal.ControlDayNotOver, at
	case c.Date <= b.through:
		return journal.ControlDayAlreadyClosed, at
	case reasonUnterminated(c.Reason[:]):
		return journal.ControlReasonTooLong, at
	}
	rows := s.TrialBalance(b.firstOpen(), c.Date)
	if len(rows) > maxGroups {
		return journal.ControlTooManyGroups, at
	}
	d := journal.Details{Payload: appendTrial(nil, rows)}
	if !d.Empty() {
		s.builder.Attach(event, d.Append(nil))
	}
	b.through = c.Date
	clear(b.late)
	s.keepClose(kept)
	return journal.ControlCreated, at
}

func (s *State) reopenDays(events []journal.Reopen, first int, results []journal.Result) {
	for i := range events {
		results[i].Status, results[i].Timestamp = s.reopenDay(&events[i], first+i)
	}
}

func (s *State) reopenDay(r *journal.Reopen, event int) (journal.Status, uint64) {
	at := s.eventTime(event)
	kept := Close{ID: r.ID, Date: r.Date, Reopened: true, Actor: s.actor, Timestamp: at, Position: s.position(event), Reason: r.Reason}
	if status, at, done := s.closeExists(&kept); done {
		return status, at
	}
	switch {
	case !s.approved:
		return journal.ControlApprovalRequired, at
	case r.Date == 0 || r.Date > journal.MaxDate:
		return journal.ControlDateInvalid, at
	case r.Date > s.books.through:
		return journal.ControlDayNotClosed, at
	case reasonUnterminated(r.Reason[:]):
		return journal.ControlReasonTooLong, at
	}
	s.books.through = r.Date - 1
	s.keepClose(kept)
	return journal.ControlCreated, at
}

// closeExists decides what a close's or a reopening's id tells.
func (s *State) closeExists(c *Close) (journal.Status, uint64, bool) {
	if status := checkControlID(c.ID); status != journal.Created {
		return status, c.Timestamp, true
	}
	k, ok := s.books.byID[c.ID]
	if !ok {
		return 0, 0, false
	}
	e := &s.books.closes[k]
	if e.Date != c.Date || e.Reopened != c.Reopened || e.Actor != c.Actor || e.Reason != c.Reason {
		return journal.ControlExistsWithDifferentFields, e.Timestamp, true
	}
	return journal.ControlExists, e.Timestamp, true
}

func (s *State) keepClose(c Close) {
	s.books.byID[c.ID] = len(s.books.closes)
	s.books.closes = append(s.books.closes, c)
	s.changed = true
}

// String returns the sum as a decimal number.
func (t Total) String() string {
	if t.Hi == 0 {
		return t.Lo.String()
	}
	b := binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, t.Hi), t.Lo.Hi), t.Lo.Lo)
	return new(big.Int).SetBytes(b).String()
}
