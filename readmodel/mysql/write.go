package mysql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	driver "github.com/go-sql-driver/mysql"

	"github.com/sterlingrun/sterling/money"
	"github.com/sterlingrun/sterling/readmodel"
)

// Bounds of one statement: servers take packets of 16 MiB or more, and parse small ones faster.
const (
	statementBytes = 1 << 20
	insertRows     = 2_000
	updateRows     = 500
	findRows       = 1_000
)

// Apply implements readmodel.Target.
func (t *Target) Apply(ctx context.Context, c *readmodel.Change) error {
	key, err := key(c.From.Cell)
	if err != nil {
		return err
	}
	return t.with(ctx, func(conn *sql.Conn) error {
		return t.apply(ctx, c, conn, &writer{ctx: ctx, cell: key, before: t.before})
	})
}

func (t *Target) apply(ctx context.Context, c *readmodel.Change, conn *sql.Conn, w *writer) error {
	if c.From.Seq == 0 {
		w.do("claim", func() error {
			_, err := conn.ExecContext(ctx, claim, w.cell)
			return err
		})
	}
	w.do("begin", func() (err error) { w.tx, err = conn.BeginTx(ctx, nil); return err })
	if w.err != nil {
		return w.err
	}
	defer w.tx.Rollback() //nolint:errcheck // after a commit there is nothing to roll back
	w.do("lock", func() error {
		at, err := scanPosition(w.tx.QueryRowContext(ctx, selectPosition+" FOR UPDATE", w.cell), c.From.Cell)
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
	w.do("commit", w.tx.Commit)
	w.do("done", func() error { return nil })
	return w.err
}

// writer is one transaction. After an error it does nothing more.
type writer struct {
	ctx    context.Context
	tx     *sql.Tx
	cell   int64
	before func(step string) error
	sql    literals
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

// classify makes an error of a row that can't be there one of the tables: a duplicate, a NULL, a value beyond its column, a
// check.
func classify(err error) error {
	var e *driver.MySQLError
	if errors.As(err, &e) && slices.Contains([]uint16{1048, 1062, 1264, 1366, 1406, 1690, 3819, 4025}, e.Number) {
		return fmt.Errorf("%w: %w", readmodel.ErrTables, err)
	}
	return err
}

// exec runs what has been written, and checks how many rows it found where want is not negative.
func (w *writer) exec(table string, want int) error {
	done, err := w.tx.ExecContext(w.ctx, string(w.sql.buf))
	if err != nil || want < 0 {
		return err
	}
	n, err := done.RowsAffected()
	if err != nil {
		return err
	}
	return readmodel.CheckFound(table, n, want)
}

// insert puts n rows into a table, some at a time.
func (w *writer) insert(table, columns string, n int, each func(l *literals, i int)) {
	for at := 0; at < n && w.err == nil; {
		from := at
		w.sql.buf = w.sql.buf[:0]
		w.sql.raw("INSERT INTO " + table + " (cell, " + columns + ") VALUES ")
		for ; at < n && at-from < insertRows && len(w.sql.buf) < statementBytes; at++ {
			if at > from {
				w.sql.raw(",")
			}
			w.sql.begin()
			w.sql.int(w.cell)
			each(&w.sql, at)
			w.sql.end()
		}
		w.do(table, func() error { return w.exec(table, at-from) })
	}
}

// update changes n rows of a table, some at a time: those of a list of literals, joined as d. The first columns of the list
// is the row's key, which the table has as key.
func (w *writer) update(table, key, columns, set string, n int, each func(l *literals, i int)) {
	for at := 0; at < n && w.err == nil; {
		from := at
		w.sql.buf = w.sql.buf[:0]
		w.sql.raw("UPDATE " + table + " b JOIN (SELECT CAST(0 AS DECIMAL(39,0)) AS `key`, " + columns + " FROM DUAL WHERE FALSE")
		for ; at < n && at-from < updateRows; at++ {
			w.sql.raw(" UNION ALL SELECT ")
			w.sql.field = false
			each(&w.sql, at)
		}
		w.sql.raw(") d ON b." + key + " = d.`key` SET " + set + " WHERE b.cell = ")
		w.sql.field = false
		w.sql.int(w.cell)
		w.do(table, func() error { return w.exec(table, at-from) })
	}
}

// find looks reservations up. It locks them, because some engines read what was there when the transaction began
// otherwise, and not what is there since the position was locked.
func (w *writer) find(ids []money.U128) (found []readmodel.Reservation, err error) {
	for chunk := range slices.Chunk(ids, findRows) {
		if found, err = w.findSome(chunk, found); err != nil {
			return nil, err
		}
	}
	return found, nil
}

func (w *writer) findSome(ids []money.U128, found []readmodel.Reservation) ([]readmodel.Reservation, error) {
	w.sql.buf, w.sql.field = w.sql.buf[:0], false
	w.sql.raw(`SELECT r.id, r.remaining, r.state, COALESCE(r.expires, 0), COALESCE(r.ended, 0), t.debit_account_id, t.credit_account_id, t.asset, t.code,
		t.flags, t.user_data_128, t.user_data_64, t.user_data_32 FROM reservations r JOIN transfers t ON t.cell = r.cell AND t.id = r.id WHERE r.cell = `)
	w.sql.int(w.cell)
	w.sql.raw(" AND r.id IN ")
	w.sql.begin()
	for _, id := range ids {
		w.sql.u128(id)
	}
	w.sql.end()
	w.sql.raw(" FOR UPDATE")
	rows, err := w.tx.QueryContext(w.ctx, string(w.sql.buf))
	if err != nil {
		return nil, err
	}
	defer rows.Close() //nolint:errcheck // it was only read
	for rows.Next() {
		var r readmodel.Reservation
		err := rows.Scan(number{&r.ID}, number{&r.Remaining}, &r.State, &r.Expires, &r.Ended, number{&r.Debit}, number{&r.Credit},
			&r.Asset, &r.Code, &r.Flags, number{&r.UserData.D128}, &r.UserData.D64, &r.UserData.D32)
		if err != nil {
			return nil, err
		}
		found = append(found, r)
	}
	return found, rows.Err()
}

// number reads the digits of an amount or an id.
type number struct{ to *money.U128 }

// Scan implements sql.Scanner.
func (n number) Scan(v any) (err error) {
	b, ok := v.([]byte)
	if !ok {
		return fmt.Errorf("a number is of type %T: %w", v, readmodel.ErrTables)
	}
	if *n.to, err = money.ParseBytes(b); err != nil {
		return fmt.Errorf("%w: %w", readmodel.ErrTables, err)
	}
	return nil
}

func (w *writer) write(b *readmodel.Batch) {
	w.renew(&b.Renewed)
	w.insert("assets", "number, code, scale, position, timestamp", len(b.Assets), func(l *literals, i int) {
		a := &b.Assets[i]
		l.uint(uint64(a.Number))
		l.text(a.Code)
		l.uint(uint64(a.Scale))
		l.position(a.Position)
		l.uint(a.Timestamp)
	})
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
	w.do("projected_through", func() error {
		done, err := w.tx.ExecContext(w.ctx, `UPDATE projected_through SET seq = ?, hash = ?, time = ?, head = ?, assets = ?, utc_offset = ?, rules = ?,
			version = ?, updated = UTC_TIMESTAMP(6) WHERE cell = ?`, to.Seq, to.Hash[:], to.Time, to.Head, to.Assets, to.UTCOffset, to.Rules, to.Version, w.cell)
		if err != nil {
			return err
		}
		n, err := done.RowsAffected()
		if err != nil {
			return err
		}
		return readmodel.CheckFound("projected_through", n, 1)
	})
}

func (w *writer) accounts(b *readmodel.Batch) {
	w.insert("accounts", "id, position, timestamp, asset, code, flags, closed, address, user_data_128, user_data_64, user_data_32, actor",
		len(b.Accounts), func(l *literals, i int) {
			a := &b.Accounts[i]
			l.u128(a.ID)
			l.position(a.Position)
			l.uint(a.Timestamp)
			l.uint(uint64(a.Asset))
			l.uint(uint64(a.Code))
			l.uint(uint64(a.Flags))
			l.bool(a.Closed)
			l.optionalText(a.Address)
			l.userData(&a.UserData)
			l.bytes(a.Actor[:])
		})
	w.insert("balances", "account_id, debits_pending, debits_posted, credits_pending, credits_posted", len(b.Accounts), func(l *literals, i int) {
		s := &b.Accounts[i].Balances
		l.u128(b.Accounts[i].ID)
		l.u128(s.DebitsPending)
		l.u128(s.DebitsPosted)
		l.u128(s.CreditsPending)
		l.u128(s.CreditsPosted)
	})
	w.update("accounts", "id", "0 AS closed", "b.closed = d.closed", len(b.Closed), func(l *literals, i int) {
		l.u128(b.Closed[i].Account)
		l.bool(b.Closed[i].Closed)
	})
}

func (w *writer) balances(list []readmodel.BalanceChange) {
	const zero = "CAST(0 AS DECIMAL(39,0)) AS "
	w.update("balances", "account_id", zero+"dp, "+zero+"dd, "+zero+"cp, "+zero+"cc",
		"b.debits_pending = b.debits_pending + d.dp, b.debits_posted = b.debits_posted + d.dd, "+
			"b.credits_pending = b.credits_pending + d.cp, b.credits_posted = b.credits_posted + d.cc", len(list), func(l *literals, i int) {
			c := &list[i]
			l.u128(c.Account)
			l.delta(c.DebitsPending)
			l.delta(c.DebitsPosted)
			l.delta(c.CreditsPending)
			l.delta(c.CreditsPosted)
		})
}

func (w *writer) transfers(list []readmodel.Transfer) {
	w.insert("transfers", "position, id, timestamp, booking_date, kind, debit_account_id, credit_account_id, amount, released, asset, code, flags, "+
		"timeout, pending_id, transaction_id, user_data_128, user_data_64, user_data_32, actor", len(list), func(l *literals, i int) {
		t := &list[i]
		l.position(t.Position)
		l.u128(t.ID)
		l.uint(t.Timestamp)
		l.text(t.Booked.String())
		l.text(string(t.Kind))
		l.u128(t.Debit)
		l.u128(t.Credit)
		l.u128(t.Amount)
		l.u128(t.Released)
		l.uint(uint64(t.Asset))
		l.uint(uint64(t.Code))
		l.uint(uint64(t.Flags))
		l.uint(uint64(t.Timeout))
		l.optional(t.PendingID)
		l.optional(t.Transaction)
		l.userData(&t.UserData)
		l.bytes(t.Actor[:])
	})
}

func (w *writer) reservations(b *readmodel.Batch) {
	w.insert("reservations", "id, remaining, state, expires, ended", len(b.Reserved), func(l *literals, i int) {
		r := &b.Reserved[i]
		l.u128(r.ID)
		l.u128(r.Remaining)
		l.text(string(r.State))
		l.optionalNs(r.Expires)
		l.optionalNs(r.Ended)
	})
	w.update("reservations", "id", "CAST(0 AS DECIMAL(39,0)) AS remaining, _utf8mb4'' AS state, 0 AS ended",
		"b.remaining = d.remaining, b.state = d.state, b.ended = d.ended", len(b.Resolved), func(l *literals, i int) {
			r := &b.Resolved[i]
			l.u128(r.ID)
			l.u128(r.Remaining)
			l.text(string(r.State))
			l.optionalNs(r.Ended)
		})
}

func (w *writer) transactions(list []readmodel.Transaction) {
	w.insert("transactions", "position, id, timestamp, legs, code, user_data_128, user_data_64, user_data_32, actor", len(list), func(l *literals, i int) {
		x := &list[i]
		l.position(x.Position)
		l.u128(x.ID)
		l.uint(x.Timestamp)
		l.uint(uint64(x.Legs))
		l.uint(uint64(x.Code))
		l.userData(&x.UserData)
		l.bytes(x.Actor[:])
	})
}

func (w *writer) metadata(b *readmodel.Batch) {
	for ids := range slices.Chunk(b.Replaced, findRows) {
		w.do("metadata", func() error {
			w.sql.buf, w.sql.field = w.sql.buf[:0], false
			w.sql.raw("DELETE FROM metadata WHERE cell = ")
			w.sql.int(w.cell)
			w.sql.raw(" AND owner = 'account' AND owner_id IN ")
			w.sql.begin()
			for _, id := range ids {
				w.sql.u128(id)
			}
			w.sql.end()
			return w.exec("metadata", -1)
		})
	}
	w.insert("metadata", "owner, owner_id, name, type, value, data, subject", len(b.Metadata), func(l *literals, i int) {
		m := &b.Metadata[i]
		l.text(string(m.Owner))
		l.u128(m.OwnerID)
		l.text(m.Key)
		l.text(m.Type)
		if m.HasValue {
			l.text(m.Value)
		} else {
			l.null()
		}
		l.bytes(m.Data)
		l.optionalText(m.Subject)
	})
}

func (w *writer) freezes(b *readmodel.Batch) {
	w.insert("freezes", "id, position, timestamp, selector, account_id, code, mode, reason, actor",
		len(b.Freezes), func(l *literals, i int) {
			f := &b.Freezes[i]
			l.u128(f.ID)
			l.position(f.Position)
			l.uint(f.Timestamp)
			l.text(f.Selector)
			l.optional(f.Account)
			if f.Code != 0 {
				l.uint(uint64(f.Code))
			} else {
				l.null()
			}
			l.text(f.Mode)
			l.text(f.Reason)
			l.bytes(f.Actor[:])
		})
	w.update("freezes", "id", "0 AS lifted, CAST(0 AS DECIMAL(39,0)) AS lift_id, _utf8mb4'' AS reason, X'00' AS actor",
		"b.lifted = d.lifted, b.lift_id = d.lift_id, b.lift_reason = d.reason, b.lift_actor = d.actor", len(b.Lifts), func(l *literals, i int) {
			x := &b.Lifts[i]
			l.u128(x.Freeze)
			l.uint(x.Timestamp)
			l.u128(x.ID)
			l.text(x.Reason)
			l.bytes(x.Actor[:])
		})
}

func (w *writer) closes(list []readmodel.DayClose) {
	w.insert("day_closes", "position, id, timestamp, day, reopened, reason, actor", len(list), func(l *literals, i int) {
		d := &list[i]
		l.position(d.Position)
		l.u128(d.ID)
		l.uint(d.Timestamp)
		l.text(d.Date.String())
		l.bool(d.Reopened)
		l.text(d.Reason)
		l.bytes(d.Actor[:])
	})
	for i := range list {
		lines := list[i].Lines
		w.insert("day_close_lines", "close_id, asset, code, opening_debits, opening_credits, late_debits, late_credits, period_debits, period_credits",
			len(lines), func(l *literals, n int) {
				x := &lines[n]
				l.u128(list[i].ID)
				l.uint(uint64(x.Asset))
				l.uint(uint64(x.Code))
				for _, s := range [6]string{x.OpeningDebits, x.OpeningCredits, x.LateDebits, x.LateCredits, x.PeriodDebits, x.PeriodCredits} {
					l.digits(s)
				}
			})
	}
}
