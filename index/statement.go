package index

import (
	"context"
	"fmt"
	"math"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/ledger"
	"github.com/sterlingrun/sterling/money"
)

// MaxStatement is how many rows a page of a statement has at most.
const MaxStatement = 1000

// StatementQuery is a period of an account, by timestamps or by booking dates.
type StatementQuery struct {
	Account AccountRef
	// From and To bound timestamps (ns since 1970), both inclusive; To 0 means no bound.
	From, To uint64
	// ByDate chooses booking dates instead: FirstDay to LastDay, both inclusive.
	ByDate            bool
	FirstDay, LastDay journal.Date
	Limit             int     // rows at most, 1 to MaxStatement
	Resume            *Resume // where the page before ended; nil: the first page
}

// Resume is where a statement goes on.
type Resume struct {
	Transfers uint64       // next position, of transfers by timestamp, or of postings on Date
	Expiries  uint64       // next position of expiries; by timestamp
	Date      journal.Date // by booking date
}

// StatementRow is one transfer or expiry, or something that was handed over between cells.
type StatementRow struct {
	ledger.Transfer        // of an expiry: the transfer that had reserved
	Expired         bool   // the reservation expired
	At              uint64 // when, ns since 1970
	Position        journal.Position
	Date            journal.Date // booking date
	Delta           Delta
	// Moved is set where the row is no transfer: the account, or the reservation, left for another cell or came from
	// there, and Delta is zero. By booking date the row is a posting against the account for clearing.
	Moved *Moved
	After ledger.Balances // by booking date: of the posted sums only, in the order of the rows
}

// Statement is a page of a statement: Opening and the rows' deltas give each row's After. Closing are the balances at
// the end of the whole period. By booking date there are posted sums only, and rows only of what was posted.
type Statement struct {
	Opening, Closing ledger.Balances
	Rows             []StatementRow
	Next             *Resume // nil: this was the last page
}

func (f *StatementQuery) check() error {
	switch {
	case f.Limit < 1 || f.Limit > MaxStatement:
		return fmt.Errorf("%w: limit %d is not within 1 to %d", ErrFilter, f.Limit, MaxStatement)
	case f.ByDate && (f.FirstDay > f.LastDay || f.LastDay > journal.MaxDate):
		return fmt.Errorf("%w: from %v to %v", ErrFilter, f.FirstDay, f.LastDay)
	case !f.ByDate && f.To != 0 && f.From > f.To:
		return fmt.Errorf("%w: from timestamp %d to %d", ErrFilter, f.From, f.To)
	}
	return nil
}

// Statement returns a page of an account's statement.
func (q *Queries) Statement(ctx context.Context, f StatementQuery) (page Statement, err error) {
	if err := f.check(); err != nil {
		return page, err
	}
	err = q.run(ctx, false, func(s *scan) error {
		if f.ByDate {
			d := daily{scan: s, account: f.Account}
			return d.with(func() error { return d.statement(&f, &page) })
		}
		return s.statement(&f, &page)
	})
	if err != nil {
		return Statement{}, fmt.Errorf("statement of account %v: %w", f.Account.ID, err)
	}
	return page, nil
}

// statement reads a page by timestamps: transfers and expiries, merged.
func (s *scan) statement(f *StatementQuery, page *Statement) error {
	from, err := s.momentBefore(f.From)
	if err != nil {
		return err
	}
	to := moment{s.v.top, s.v.top}
	if f.To != 0 {
		if to, err = s.momentAfter(f.To); err != nil {
			return err
		}
	}
	if r := f.Resume; r != nil {
		from = moment{min(max(from.transfers, r.Transfers), to.transfers), min(max(from.expiries, r.Expiries), to.expiries)}
	}
	if page.Opening, err = s.balances(f.Account, from); err != nil {
		return err
	}
	m := merge{scan: s, account: f.Account, now: page.Opening, done: from, end: to, noExpiry: s.v.expired.empty()}
	m.transfers = s.v.open(accountList(f.Account.Number), from.transfers, to.transfers, false)
	m.expiries = s.v.open(expiryList(f.Account.Number), from.expiries, to.expiries, false)
	m.handovers = s.v.open(movedList(f.Account.Number), from.expiries, to.expiries, false)
	page.Rows = make([]StatementRow, 0, min(f.Limit, 100))
	for len(page.Rows) < f.Limit {
		row, ok, err := m.next()
		if err != nil {
			return err
		}
		if !ok {
			break
		}
		page.Rows = append(page.Rows, row)
	}
	more, err := m.more()
	if err != nil {
		return err
	}
	if page.Closing = m.now; more {
		page.Next = &Resume{Transfers: m.done.transfers, Expiries: m.done.expiries}
		page.Closing, err = s.balances(f.Account, to)
	}
	return err
}

// merge goes through an account's transfers and expiries in the order of time.
type merge struct {
	*scan
	account             AccountRef
	transfers, expiries *list
	handovers           *list
	done, end           moment // what has happened, and the end of the period; expiries and what was handed over are one
	now                 ledger.Balances

	transfer   *ledger.Transfer // the next one, nil: not looked at
	row        readBeside
	expiry     *expired // the next one, or, nil, what was handed over next
	handed     *moved
	expiryAt   uint64
	noTransfer bool
	noExpiry   bool
}

// look finds the next transfer and the next expiry.
func (m *merge) look() error {
	if m.transfer == nil && !m.noTransfer {
		v, ok, err := m.seek(m.transfers, m.done.transfers, m.end.transfers)
		if err != nil {
			return err
		}
		if m.noTransfer = !ok; ok {
			beside, err := m.transfers.beside()
			if err != nil {
				return err
			}
			if m.row, err = readAside(beside); err != nil {
				return err
			}
			t, err := m.transferOf(m.account, journal.Position(v))
			if err != nil {
				return err
			}
			m.transfer = &t
		}
	}
	if m.expiry == nil && m.handed == nil && !m.noExpiry {
		return m.lookAside()
	}
	return nil
}

// lookAside finds the next expiry, or what was handed over next, whichever comes first.
func (m *merge) lookAside() error {
	at, expires, err := m.seek(m.expiries, m.done.expiries, m.end.expiries)
	if err != nil {
		return err
	}
	v, moves, err := m.seek(m.handovers, m.done.expiries, m.end.expiries)
	switch {
	case err != nil:
		return err
	case expires && (!moves || at < v):
		e, err := m.expiries.expired()
		m.expiry, m.expiryAt = &e, at
		return err
	case moves:
		h, err := m.handovers.moved()
		m.handed, m.expiryAt = &h, v
		return err
	}
	m.noExpiry = true
	return nil
}

func (m *merge) seek(l *list, from, end uint64) (uint64, bool, error) {
	if from >= end {
		return 0, false, nil
	}
	return l.seek(from)
}

// more reports whether there is another row.
func (m *merge) more() (bool, error) {
	err := m.look()
	return m.transfer != nil || m.expiry != nil || m.handed != nil, err
}

// next returns the next row; ok is false where there is none.
func (m *merge) next() (row StatementRow, ok bool, err error) {
	if err := m.look(); err != nil {
		return row, false, err
	}
	switch {
	case m.transfer == nil && m.expiry == nil && m.handed == nil:
		return row, false, nil
	case m.handed != nil && (m.transfer == nil || m.handed.timestamp < m.transfer.Timestamp):
		row, err = m.takeHandover()
	case m.expiry != nil && (m.transfer == nil || m.expiry.timestamp < m.transfer.Timestamp):
		row, err = m.takeExpiry()
	default:
		row, err = m.takeTransfer()
	}
	return row, err == nil, err
}

func (m *merge) takeExpiry() (StatementRow, error) {
	e := m.expiry
	t, err := m.transferOf(m.account, e.pending)
	if err != nil {
		return StatementRow{}, err
	}
	d := e.delta()
	d.apply(&m.now)
	m.done.expiries, m.expiry = m.expiryAt+1, nil
	return StatementRow{
		Transfer: t, Expired: true, At: e.timestamp, Position: journal.Position(m.expiryAt), Delta: d, After: m.now,
	}, nil
}

func (m *merge) takeHandover() (StatementRow, error) {
	row, err := m.movedRow(m.account, m.handed, m.expiryAt)
	if err != nil {
		return row, err
	}
	by := m.handed.by()
	m.now.Add(&by)
	m.done.expiries, m.handed = m.expiryAt+1, nil
	row.After = m.now
	return row, nil
}

func (m *merge) takeTransfer() (StatementRow, error) {
	t := m.transfer
	d := deltaOf(t, m.account.ID)
	at := uint64(t.Position)
	if m.row.kind != rowNone {
		if err := m.fromRow(&d, at); err != nil {
			return StatementRow{}, err
		}
	}
	d.apply(&m.now)
	m.done.transfers, m.transfer = at+1, nil
	return StatementRow{Transfer: *t, At: t.Timestamp, Position: t.Position, Delta: d, After: m.now}, nil
}

// fromRow corrects what a post released by the balances that are kept with it, and holds the two against each other.
func (m *merge) fromRow(d *Delta, at uint64) error {
	before := m.now // by position, in which order the rows are: the expiries before at
	var err error
	switch {
	case (m.expiry != nil || m.handed != nil) && at >= m.done.expiries && at <= m.expiryAt, m.noExpiry && at >= m.done.expiries && at <= m.end.expiries:
		// None lies in between: look has looked.
	default:
		err = m.happen(&before, m.account, m.done.expiries, at)
	}
	if err != nil {
		return err
	}
	row := &m.row.row.Balances
	if m.transfer.Flags.Has(journal.TransferPost) {
		was, is := before.DebitsPending, row.DebitsPending
		if d.Credit {
			was, is = before.CreditsPending, row.CreditsPending
		}
		d.Released, _ = was.Sub(is)
	}
	if d.apply(&before); before != *row {
		return fmt.Errorf("%w: the transfer at position %d leaves %+v, the index has %+v", ErrRebuild, at, before, *row)
	}
	return nil
}

// statement reads a page by booking dates.
func (d *daily) statement(f *StatementQuery, page *Statement) error {
	from, end := place{date: f.FirstDay}, place{date: f.LastDay + 1}
	if r := f.Resume; r != nil {
		if p := (place{r.Date, r.Transfers}); p.compare(from) > 0 && p.compare(end) < 0 {
			from = p
		}
	}
	opening, err := d.postedBefore(from)
	if err != nil {
		return err
	}
	closing, err := d.postedBefore(end)
	if err != nil {
		return err
	}
	page.Opening = ledger.Balances{DebitsPosted: opening.Debits, CreditsPosted: opening.Credits}
	page.Closing = ledger.Balances{DebitsPosted: closing.Debits, CreditsPosted: closing.Credits}
	page.Rows, page.Next, err = d.rows(f, from, end)
	now := page.Opening
	for i := range page.Rows {
		row := &page.Rows[i]
		row.Delta.apply(&now)
		if row.Moved != nil {
			booked := row.Moved.booked()
			now.Add(&ledger.Balances{DebitsPosted: booked.debit, CreditsPosted: booked.credit})
		}
		row.After = now
	}
	return err
}

// rows merges what is booked on its own day with what is not.
func (d *daily) rows(f *StatementQuery, from, end place) (rows []StatementRow, next *Resume, err error) {
	lo, err := d.ordinaryUpTo(from)
	if err != nil {
		return nil, nil, err
	}
	hi, err := d.ordinaryUpTo(end)
	if err != nil {
		return nil, nil, err
	}
	booked, err := d.books.list(from, f.LastDay, f.Limit+1)
	if err != nil {
		return nil, nil, err
	}
	o := ordinary{daily: d, list: d.v.open(accountList(d.account.Number), lo, hi, false), at: lo, end: hi}
	if err := o.openHandovers(from, end); err != nil {
		return nil, nil, err
	}
	var held *StatementRow // the next ordinary posting
	for {
		if held == nil {
			if held, err = o.next(); err != nil {
				return nil, nil, err
			}
		}
		var row *StatementRow
		switch {
		case len(booked) > 0 && (held == nil || booked[0].compare(held.place()) < 0):
			if row, err = d.row(booked[0].at, booked[0].date); err != nil {
				return nil, nil, err
			}
			booked = booked[1:]
		case held != nil:
			row, held = held, nil
		default:
			return rows, nil, nil
		}
		if len(rows) == f.Limit || o.stopped && row.place() == o.stop {
			return rows, &Resume{Transfers: uint64(row.Position), Date: row.Date}, nil
		}
		rows = append(rows, *row)
	}
}

// ordinary goes through an account's postings that are booked on the day of their timestamp.
type ordinary struct {
	*daily
	list      *list
	at, end   uint64
	handovers *list // nil: there are none
	movedAt   uint64
	stopped   bool // enough was looked at: the page ends at stop
	stop      place
}

// next returns the next posting, nil where there is none. Where enough was looked at it returns the transfer it has come
// to, whatever that is, and stops.
func (o *ordinary) next() (*StatementRow, error) {
	for steps := 0; ; steps++ {
		v, ok, err := uint64(math.MaxUint64), false, error(nil)
		if o.at < o.end {
			if v, ok, err = o.list.seek(o.at); err != nil {
				return nil, err
			}
		}
		if !ok {
			v, o.at = math.MaxUint64, o.end
		}
		if row, err := o.handover(v); row != nil || err != nil || !ok {
			return row, err
		}
		beside, err := o.list.beside()
		if err != nil {
			return nil, err
		}
		aside, err := readAside(beside)
		if err != nil {
			return nil, err
		}
		enough := steps > 0 && o.reads+steps > o.q.scan
		if !aside.booked || enough {
			row, err := o.row(v, 0)
			if err != nil {
				return nil, err
			}
			if enough {
				o.stopped, o.stop = true, row.place()
			}
			if enough || row.posts() {
				o.at = v + 1
				return row, nil
			}
		}
		o.at = v + 1
	}
}

// openHandovers finds what was handed over between two places.
func (o *ordinary) openHandovers(from, end place) error {
	if o.v.expired.empty() {
		return nil
	}
	lo, err := o.movedUpTo(from)
	if err != nil {
		return err
	}
	hi, err := o.movedUpTo(end)
	if err != nil || lo >= hi {
		return err
	}
	o.handovers, o.movedAt = o.v.open(movedList(o.account.Number), lo, hi, false), lo
	return nil
}

// handover returns what was handed over next before a position and posted something, nil where nothing was.
func (o *ordinary) handover(before uint64) (*StatementRow, error) {
	for o.handovers != nil {
		v, ok, err := o.handovers.seek(o.movedAt)
		if err != nil || !ok || v >= before {
			return nil, err
		}
		m, err := o.handovers.moved()
		if err != nil {
			return nil, err
		}
		o.movedAt = v + 1
		if m.booked() == (sides{}) {
			continue // a reservation
		}
		row, err := o.movedRow(o.account, &m, v)
		row.Date = journal.DateOf(m.timestamp, o.v.zone)
		return &row, err
	}
	return nil, nil
}

// row reads a posting; date 0 stands for the day of its timestamp.
func (d *daily) row(at uint64, date journal.Date) (*StatementRow, error) {
	t, err := d.transferOf(d.account, journal.Position(at))
	if err != nil {
		return nil, err
	}
	if date == 0 {
		date = journal.DateOf(t.Timestamp, d.v.zone)
	}
	delta := deltaOf(&t, d.account.ID)
	delta.Reserved, delta.Released = money.U128{}, money.U128{}
	return &StatementRow{Transfer: t, At: t.Timestamp, Position: t.Position, Date: date, Delta: delta}, nil
}

func (r *StatementRow) place() place { return place{r.Date, uint64(r.Position)} }

// posts reports whether the transfer is one that moves money for good.
func (r *StatementRow) posts() bool {
	return !r.Flags.Has(journal.TransferPending | journal.TransferVoid)
}
