package readmodel

import (
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/money"
)

const second = 1_000_000_000 // ns

// transfer takes a transfer that was created.
func (d *deriver) transfer(p *journal.Part, event int, o *journal.Outcome) error {
	t := d.block.Transfer(event)
	details, err := d.details(event, t.Flags.Has(journal.TransferAttached))
	if err != nil {
		return err
	}
	row := Transfer{
		ID: t.ID, Kind: KindTransfer, Debit: t.Debit, Credit: t.Credit, Amount: t.Amount, Asset: t.Asset, Code: t.Code,
		Flags: t.Flags & TransferFlags, Timeout: t.Timeout, PendingID: t.PendingID,
		UserData: UserData{t.UserData128, t.UserData64, t.UserData32}, Actor: p.Request.Actor,
	}
	row.Position, row.Timestamp = d.at(event)
	switch {
	case o != nil:
		row.Amount, row.Timestamp = o.Amount, o.Timestamp
	case t.Flags.Has(journal.TransferImported):
		row.Timestamp = t.Timestamp
	}
	if p.Request == d.request {
		row.Transaction = d.transaction
	}
	if row.Booked = details.BookingDate; row.Booked == 0 {
		row.Booked = journal.DateOf(row.Timestamp, d.batch.To.UTCOffset)
	}
	switch {
	case t.Flags.Has(journal.TransferPending):
		err = d.reserve(event, &row)
	case t.Flags.Has(journal.TransferPost | journal.TransferVoid):
		err = d.resolve(event, &row)
	default:
		err = d.move(event, &row, row.Amount, money.U128{}, money.U128{})
	}
	if err != nil {
		return err
	}
	d.batch.Transfers = append(d.batch.Transfers, row)
	d.batch.Metadata = append(d.batch.Metadata, metadataOf(OwnerTransfer, t.ID, details.Metadata)...)
	return nil
}

func (d *deriver) reserve(event int, row *Transfer) error {
	row.Kind = KindPending
	e := &entry{created: true, Reservation: Reservation{
		ID: row.ID, Remaining: row.Amount, State: StateOpen, Debit: row.Debit, Credit: row.Credit, Asset: row.Asset, Code: row.Code,
		Flags: row.Flags, UserData: row.UserData,
	}}
	if row.Timeout != 0 {
		e.Expires = row.Timestamp + uint64(row.Timeout)*second
	}
	d.reserved[row.ID] = e
	if row.Flags.Has(journal.TransferClosingDebit) {
		d.closed[row.Debit] = true
	}
	if row.Flags.Has(journal.TransferClosingCredit) {
		d.closed[row.Credit] = true
	}
	return d.move(event, row, money.U128{}, row.Amount, money.U128{})
}

// resolve takes a post or void.
func (d *deriver) resolve(event int, row *Transfer) error {
	e := d.reserved[row.PendingID]
	if e == nil || e.State != StateOpen {
		return d.fault(ErrTables, event, "resolves transfer %v, which the tables don't have as an open reservation", row.PendingID)
	}
	e.fill(row)
	post := row.Flags.Has(journal.TransferPost)
	row.Kind, row.Released = KindVoid, e.Remaining
	posted := money.U128{}
	if post {
		row.Kind, posted = KindPost, row.Amount
		if row.Flags.Has(journal.TransferKeepRemainder) {
			row.Released = row.Amount
		}
	}
	rest, under := e.Remaining.Sub(row.Released)
	if under || row.Released.Less(posted) {
		return d.fault(ErrTables, event, "takes %v of the %v that are left of transfer %v", row.Amount, e.Remaining, row.PendingID)
	}
	if e.Remaining, e.changed = rest, true; rest.IsZero() {
		e.State, e.Ended = StateVoided, row.Timestamp
		if post {
			e.State = StatePosted
		}
	}
	if !post {
		d.reopen(&e.Reservation)
	}
	return d.move(event, row, posted, money.U128{}, row.Released)
}

// fill gives a post or void what it took over from its reservation.
func (e *entry) fill(row *Transfer) {
	row.Debit, row.Credit, row.Asset, row.Code = e.Debit, e.Credit, e.Asset, e.Code
	if row.UserData.D128.IsZero() {
		row.UserData.D128 = e.UserData.D128
	}
	if row.UserData.D64 == 0 {
		row.UserData.D64 = e.UserData.D64
	}
	if row.UserData.D32 == 0 {
		row.UserData.D32 = e.UserData.D32
	}
}

// reopen opens the accounts that a closing reservation had closed.
func (d *deriver) reopen(r *Reservation) {
	if r.Flags.Has(journal.TransferClosingDebit) {
		d.closed[r.Debit] = false
	}
	if r.Flags.Has(journal.TransferClosingCredit) {
		d.closed[r.Credit] = false
	}
}

// expire takes expiry i of the block.
func (d *deriver) expire(i int, x *journal.Expiry) error {
	e := d.reserved[x.Pending]
	if e == nil || e.State != StateOpen || e.Remaining != x.Amount {
		return d.fault(ErrTables, i, "(an expiry) releases %v of transfer %v, which the tables don't have as open", x.Amount, x.Pending)
	}
	e.State, e.Remaining, e.Ended, e.changed = StateExpired, money.U128{}, d.block.Header.Time+uint64(i), true //nolint:gosec // not negative
	d.reopen(&e.Reservation)
	return d.move(i, &Transfer{Debit: e.Debit, Credit: e.Credit}, money.U128{}, money.U128{}, x.Amount)
}

// move changes the sums of both accounts of a transfer by what was posted, reserved and released.
func (d *deriver) move(event int, t *Transfer, posted, reserved, released money.U128) error {
	debit, credit := d.change(t.Debit), d.change(t.Credit)
	good := apply(&debit.DebitsPosted, posted, money.U128{}) && apply(&credit.CreditsPosted, posted, money.U128{}) &&
		apply(&debit.DebitsPending, reserved, released) && apply(&credit.CreditsPending, reserved, released)
	for _, c := range [2]*BalanceChange{debit, credit} {
		if i, here := d.accounts[c.Account]; here && good {
			good = d.batch.Accounts[i].Balances.set(c)
		}
	}
	if !good {
		return d.fault(ErrJournal, event, "takes a balance of account %v or %v beyond its range", t.Debit, t.Credit)
	}
	return nil
}

func (d *deriver) change(account money.U128) *BalanceChange {
	c := d.changes[account]
	if c == nil {
		c = &BalanceChange{Account: account}
		d.changes[account] = c
	}
	return c
}

func apply(d *Delta, plus, minus money.U128) bool {
	v, ok := d.plus(plus)
	if ok {
		v, ok = v.minus(minus)
	}
	*d = v
	return ok
}

// set makes the balances of a new account what has changed since there was nothing.
func (b *Balances) set(c *BalanceChange) bool {
	good := true
	for _, v := range []struct {
		sum   *money.U128
		delta Delta
	}{
		{&b.DebitsPending, c.DebitsPending},
		{&b.DebitsPosted, c.DebitsPosted},
		{&b.CreditsPending, c.CreditsPending},
		{&b.CreditsPosted, c.CreditsPosted},
	} {
		good = good && !v.delta.Negative
		*v.sum = v.delta.Size
	}
	return good
}
