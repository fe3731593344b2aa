package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	driver "modernc.org/sqlite"

	"github.com/sterlingrun/sterling/money"
	"github.com/sterlingrun/sterling/readmodel"
)

// Apply implements readmodel.Target.
func (t *Target) Apply(ctx context.Context, c *readmodel.Change) error {
	key, err := key(c.From.Cell)
	if err != nil {
		return err
	}
	tx, err := t.db.BeginTx(ctx, nil) // immediate: nobody else writes until it ends
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	defer tx.Rollback() //nolint:errcheck // after a commit there is nothing to roll back
	w := &writer{ctx: ctx, tx: tx, cell: key, before: t.before}
	w.do("lock", func() error {
		at, err := scanPosition(tx.QueryRowContext(ctx, selectPosition, key), c.From.Cell)
		if err == nil && !at.Same(&c.From) {
			return fmt.Errorf("the tables of cell %d stand at block %d, not at %d: %w", at.Cell, at.Seq, c.From.Seq, readmodel.ErrMoved)
		}
		return err
	})
	var found []readmodel.Reservation
	w.do("find", func() (err error) { found, err = w.find(c.Pending); return err })
	if w.err != nil {
		return w.err
	}
	b, err := c.Complete(found)
	if err != nil {
		return err
	}
	w.write(b)
	w.do("commit", tx.Commit)
	w.do("done", func() error { return nil })
	return w.err
}

// writer is one transaction. After an error it does nothing more.
type writer struct {
	ctx    context.Context
	tx     *sql.Tx
	cell   int64
	before func(step string) error
	err    error
}

func (w *writer) do(step string, fn func() error) {
	if w.err != nil {
		return
	}
	err := w.before(step)
	if err == nil {
		err = fn()
	}
	if err != nil {
		w.err = fmt.Errorf("%s: %w", step, classify(err))
	}
}

// constraint is SQLite's result code of rows that break the rules of their table.
const constraint = 19

// classify makes an error of a row that can't be there one of the tables.
func classify(err error) error {
	var e *driver.Error
	if errors.As(err, &e) && e.Code()&0xFF == constraint {
		return fmt.Errorf("%w: %w", readmodel.ErrTables, err)
	}
	return err
}

// findChunk is how many reservations one statement looks up.
const findChunk = 500

func (w *writer) find(ids []money.U128) (found []readmodel.Reservation, err error) {
	for len(ids) > 0 {
		n := min(findChunk, len(ids))
		if found, err = w.findSome(ids[:n], found); err != nil {
			return nil, err
		}
		ids = ids[n:]
	}
	return found, nil
}

func (w *writer) findSome(ids []money.U128, found []readmodel.Reservation) ([]readmodel.Reservation, error) {
	args := make([]any, 0, len(ids)+1)
	args = append(args, w.cell)
	for _, v := range ids {
		args = append(args, id(v))
	}
	const find = `SELECT r.id, r.remaining, r.state, r.expires, r.ended,
		t.debit_account_id, t.credit_account_id, t.asset, t.code, t.flags, t.user_data_128, t.user_data_64, t.user_data_32
		FROM reservations r JOIN transfers t ON t.cell = r.cell AND t.id = r.id
		WHERE r.cell = ? AND r.id IN (?`
	rows, err := w.tx.QueryContext(w.ctx, find+strings.Repeat(", ?", len(ids)-1)+")", args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close() //nolint:errcheck // it was only read
	for rows.Next() {
		var r readmodel.Reservation
		var expires, ended sql.NullInt64
		var d64 money.U128
		err := rows.Scan(number{&r.ID}, number{&r.Remaining}, &r.State, &expires, &ended, number{&r.Debit}, number{&r.Credit},
			&r.Asset, &r.Code, &r.Flags, number{&r.UserData.D128}, number{&d64}, &r.UserData.D32)
		if err != nil {
			return nil, err
		}
		r.UserData.D64 = d64.Lo
		r.Expires, r.Ended = uint64(expires.Int64), uint64(ended.Int64) //nolint:gosec // as they were written
		found = append(found, r)
	}
	return found, rows.Err()
}

// each runs a statement for every one of n rows. With once, each must change exactly one row.
func (w *writer) each(table, text string, n int, once bool, args func(i int) []any) {
	if n == 0 {
		return
	}
	w.do(table, func() error {
		stmt, err := w.tx.PrepareContext(w.ctx, text)
		if err != nil {
			return err
		}
		defer stmt.Close() //nolint:errcheck // it ends with the transaction
		for i := range n {
			done, err := stmt.ExecContext(w.ctx, args(i)...)
			if err != nil {
				return err
			}
			if !once {
				continue
			}
			changed, err := done.RowsAffected()
			if err == nil {
				err = readmodel.CheckFound(table, changed, 1)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

func (w *writer) write(b *readmodel.Batch) {
	w.renew(&b.Renewed)
	w.assets(b.Assets)
	w.accounts(b)
	w.balances(b.Balances)
	w.transfers(b.Transfers)
	w.reservations(b)
	w.transactions(b.Transactions)
	w.metadata(b)
	w.freezes(b)
	w.closes(b.Closes)
	w.moves(b)
	to := &b.To
	w.each("projected_through", `INSERT INTO projected_through (seq, hash, time, head, assets, utc_offset, rules, version, cell, state, updated)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 'live', datetime())
		ON CONFLICT (cell) DO UPDATE SET seq = excluded.seq, hash = excluded.hash, time = excluded.time, head = excluded.head, assets = excluded.assets,
		utc_offset = excluded.utc_offset, rules = excluded.rules, version = excluded.version, state = excluded.state, updated = excluded.updated`,
		1, true, func(int) []any {
			return []any{int64(to.Seq), to.Hash[:], ns(to.Time), int64(to.Head), to.Assets, to.UTCOffset, to.Rules, to.Version, w.cell} //nolint:gosec // 48 bits
		})
}

func (w *writer) assets(list []readmodel.Asset) {
	w.each("assets", `INSERT INTO assets (cell, number, code, scale, position, timestamp) VALUES (?, ?, ?, ?, ?, ?)`, len(list), false, func(i int) []any {
		a := &list[i]
		return []any{w.cell, a.Number, a.Code, a.Scale, position(a.Position), ns(a.Timestamp)}
	})
}

func (w *writer) accounts(b *readmodel.Batch) {
	w.each("accounts", `INSERT INTO accounts (cell, id, position, timestamp, asset, code, flags, closed, address, user_data_128, user_data_64,
		user_data_32, actor) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`, len(b.Accounts), false, func(i int) []any {
		a := &b.Accounts[i]
		d128, d64, d32 := userData(&a.UserData)
		return []any{
			w.cell, id(a.ID), position(a.Position), ns(a.Timestamp), a.Asset, a.Code, uint16(a.Flags), a.Closed, optionalText(a.Address),
			d128, d64, d32, actor(&a.Actor),
		}
	})
	w.each("balances", `INSERT INTO balances (cell, account_id, debits_pending, debits_posted, credits_pending, credits_posted)
		VALUES (?, ?, ?, ?, ?, ?)`, len(b.Accounts), false, func(i int) []any {
		s := &b.Accounts[i].Balances
		return []any{w.cell, id(b.Accounts[i].ID), amount(s.DebitsPending), amount(s.DebitsPosted), amount(s.CreditsPending), amount(s.CreditsPosted)}
	})
	w.each("accounts", `UPDATE accounts SET closed = ? WHERE cell = ? AND id = ?`, len(b.Closed), true, func(i int) []any {
		return []any{b.Closed[i].Closed, w.cell, id(b.Closed[i].Account)}
	})
}

// balances reads the sums of every account that changes, and writes what they become.
func (w *writer) balances(list []readmodel.BalanceChange) {
	if len(list) == 0 {
		return
	}
	var read *sql.Stmt
	w.do("balances", func() (err error) {
		read, err = w.tx.PrepareContext(w.ctx, `SELECT debits_pending, debits_posted, credits_pending, credits_posted FROM balances WHERE cell = ? AND account_id = ?`)
		return err
	})
	if read == nil {
		return
	}
	defer read.Close() //nolint:errcheck // it ends with the transaction
	sums := make([][4]money.U128, len(list))
	w.do("balances", func() error {
		for i := range list {
			if err := w.change(read, &list[i], &sums[i]); err != nil {
				return err
			}
		}
		return nil
	})
	w.each("balances", `UPDATE balances SET debits_pending = ?, debits_posted = ?, credits_pending = ?, credits_posted = ? WHERE cell = ? AND account_id = ?`,
		len(list), true, func(i int) []any {
			s := &sums[i]
			return []any{amount(s[0]), amount(s[1]), amount(s[2]), amount(s[3]), w.cell, id(list[i].Account)}
		})
}

func (w *writer) change(read *sql.Stmt, c *readmodel.BalanceChange, s *[4]money.U128) error {
	err := read.QueryRowContext(w.ctx, w.cell, id(c.Account)).Scan(number{&s[0]}, number{&s[1]}, number{&s[2]}, number{&s[3]})
	if errors.Is(err, sql.ErrNoRows) {
		return fmt.Errorf("account %v has no balances: %w", c.Account, readmodel.ErrTables)
	}
	if err != nil {
		return err
	}
	for i, d := range [4]readmodel.Delta{c.DebitsPending, c.DebitsPosted, c.CreditsPending, c.CreditsPosted} {
		sum, ok := d.To(s[i])
		if !ok {
			return fmt.Errorf("the balances of account %v do not allow a change of %v: %w", c.Account, d, readmodel.ErrTables)
		}
		s[i] = sum
	}
	return nil
}

func (w *writer) transfers(list []readmodel.Transfer) {
	w.each("transfers", `INSERT INTO transfers (cell, position, id, timestamp, booking_date, kind, debit_account_id, credit_account_id, amount, released,
		asset, code, flags, timeout, pending_id, transaction_id, user_data_128, user_data_64, user_data_32, actor)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`, len(list), false, func(i int) []any {
		t := &list[i]
		d128, d64, d32 := userData(&t.UserData)
		return []any{
			w.cell, position(t.Position), id(t.ID), ns(t.Timestamp), t.Booked.String(), string(t.Kind), id(t.Debit), id(t.Credit), amount(t.Amount),
			amount(t.Released), t.Asset, t.Code, uint16(t.Flags), t.Timeout, optional(t.PendingID), optional(t.Transaction), d128, d64, d32, actor(&t.Actor),
		}
	})
}

func (w *writer) reservations(b *readmodel.Batch) {
	w.each("reservations", `INSERT INTO reservations (cell, id, remaining, state, expires, ended) VALUES (?, ?, ?, ?, ?, ?)`, len(b.Reserved), false, func(i int) []any {
		r := &b.Reserved[i]
		return []any{w.cell, id(r.ID), amount(r.Remaining), string(r.State), optionalNs(r.Expires), optionalNs(r.Ended)}
	})
	w.each("reservations", `UPDATE reservations SET remaining = ?, state = ?, ended = ? WHERE cell = ? AND id = ?`, len(b.Resolved), true, func(i int) []any {
		r := &b.Resolved[i]
		return []any{amount(r.Remaining), string(r.State), optionalNs(r.Ended), w.cell, id(r.ID)}
	})
}

func (w *writer) transactions(list []readmodel.Transaction) {
	w.each("transactions", `INSERT INTO transactions (cell, position, id, timestamp, legs, code, user_data_128, user_data_64, user_data_32, actor)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`, len(list), false, func(i int) []any {
		x := &list[i]
		d128, d64, d32 := userData(&x.UserData)
		return []any{w.cell, position(x.Position), id(x.ID), ns(x.Timestamp), x.Legs, x.Code, d128, d64, d32, actor(&x.Actor)}
	})
}

func (w *writer) metadata(b *readmodel.Batch) {
	w.each("metadata", `DELETE FROM metadata WHERE cell = ? AND owner = 'account' AND owner_id = ?`, len(b.Replaced), false, func(i int) []any {
		return []any{w.cell, id(b.Replaced[i])}
	})
	w.each("metadata", `INSERT INTO metadata (cell, owner, owner_id, name, type, value, data, subject) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`, len(b.Metadata), false, func(i int) []any {
		m := &b.Metadata[i]
		var value any
		if m.HasValue {
			value = m.Value
		}
		return []any{w.cell, string(m.Owner), id(m.OwnerID), m.Key, m.Type, value, optionalBytes(m.Data), optionalText(m.Subject)}
	})
}

func (w *writer) freezes(b *readmodel.Batch) {
	w.each("freezes", `INSERT INTO freezes (cell, id, position, timestamp, selector, account_id, code, mode, reason, actor)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`, len(b.Freezes), false, func(i int) []any {
		f := &b.Freezes[i]
		var code any
		if f.Code != 0 {
			code = f.Code
		}
		return []any{w.cell, id(f.ID), position(f.Position), ns(f.Timestamp), f.Selector, optional(f.Account), code, f.Mode, f.Reason, actor(&f.Actor)}
	})
	w.each("freezes", `UPDATE freezes SET lifted = ?, lift_id = ?, lift_reason = ?, lift_actor = ? WHERE cell = ? AND id = ?`, len(b.Lifts), true, func(i int) []any {
		l := &b.Lifts[i]
		return []any{ns(l.Timestamp), id(l.ID), l.Reason, actor(&l.Actor), w.cell, id(l.Freeze)}
	})
}

func (w *writer) closes(list []readmodel.DayClose) {
	w.each("day_closes", `INSERT INTO day_closes (cell, position, id, timestamp, day, reopened, reason, actor) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`, len(list), false, func(i int) []any {
		c := &list[i]
		return []any{w.cell, position(c.Position), id(c.ID), ns(c.Timestamp), c.Date.String(), c.Reopened, c.Reason, actor(&c.Actor)}
	})
	for i := range list {
		lines := list[i].Lines
		w.each("day_close_lines", `INSERT INTO day_close_lines (cell, close_id, asset, code, opening_debits, opening_credits, late_debits, late_credits,
			period_debits, period_credits) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`, len(lines), false, func(n int) []any {
			l := &lines[n]
			return []any{
				w.cell, id(list[i].ID), l.Asset, l.Code, pad(l.OpeningDebits, sumDigits), pad(l.OpeningCredits, sumDigits),
				pad(l.LateDebits, sumDigits), pad(l.LateCredits, sumDigits), pad(l.PeriodDebits, sumDigits), pad(l.PeriodCredits, sumDigits),
			}
		})
	}
}
