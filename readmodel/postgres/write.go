package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/money"
	"github.com/sterlingrun/sterling/readmodel"
)

// Apply implements readmodel.Target.
func (t *Target) Apply(ctx context.Context, c *readmodel.Change) error {
	key, err := key(c.From.Cell)
	if err != nil {
		return err
	}
	return t.with(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		w := &writer{ctx: ctx, conn: conn, cell: key, before: t.before}
		if c.From.Seq == 0 {
			w.do("claim", func() error { return w.exec(claim, key) })
		}
		var tx pgx.Tx
		w.do("begin", func() (err error) { tx, err = conn.Begin(ctx); return err })
		w.do("lock", func() error {
			at, err := scanPosition(conn.QueryRow(ctx, selectPosition+" FOR UPDATE", key), c.From.Cell)
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
		w.do("commit", func() error { return tx.Commit(ctx) })
		w.do("done", func() error { return nil })
		return w.err
	})
}

// writer is one transaction. After an error it does nothing more, and its connection is closed: that rolls it back.
type writer struct {
	ctx    context.Context
	conn   *pgx.Conn
	cell   int64
	before func(step string) error
	rows   copier
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

// classify makes an error of a row that can't be there one of the tables: a constraint (class 23), or a number out of the
// range of its column.
func classify(err error) error {
	var e *pgconn.PgError
	if errors.As(err, &e) && (len(e.Code) == 5 && e.Code[:2] == "23" || e.Code == "22003") {
		return fmt.Errorf("%w: %w", readmodel.ErrTables, err)
	}
	return err
}

func (w *writer) exec(text string, args ...any) error {
	_, err := w.conn.Exec(w.ctx, text, args...)
	return err
}

// update runs a statement that must change n rows.
func (w *writer) update(table string, n int, text string, args ...any) {
	if n == 0 {
		return
	}
	w.do(table, func() error {
		done, err := w.conn.Exec(w.ctx, text, args...)
		if err != nil {
			return err
		}
		return readmodel.CheckFound(table, done.RowsAffected(), n)
	})
}

// insert copies n rows into a table.
func (w *writer) insert(table, columns string, n int, each func(c *copier, i int)) {
	if n == 0 || w.err != nil {
		return
	}
	w.rows.reset()
	for i := range n {
		w.rows.int(w.cell)
		each(&w.rows, i)
		w.rows.end()
	}
	w.do(table, func() error { return w.rows.send(w.ctx, w.conn, table, "cell, "+columns) })
}

func (w *writer) find(ids []money.U128) (found []readmodel.Reservation, err error) {
	if len(ids) == 0 {
		return nil, nil
	}
	rows, err := w.conn.Query(w.ctx, `SELECT r.id::text, r.remaining::text, r.state, coalesce(r.expires, 0), coalesce(r.ended, 0),
		t.debit_account_id::text, t.credit_account_id::text, t.asset, t.code, t.flags, t.user_data_128::text, t.user_data_64::text, t.user_data_32
		FROM reservations r JOIN transfers t ON t.cell = r.cell AND t.id = r.id
		WHERE r.cell = $1 AND r.id = ANY ($2::text[]::numeric[])`, w.cell, texts(ids))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var r readmodel.Reservation
		var state string
		var flags uint16
		var d64 money.U128
		err := rows.Scan(number{&r.ID}, number{&r.Remaining}, &state, &r.Expires, &r.Ended, number{&r.Debit}, number{&r.Credit},
			&r.Asset, &r.Code, &flags, number{&r.UserData.D128}, number{&d64}, &r.UserData.D32)
		if err != nil {
			return nil, err
		}
		r.State, r.Flags, r.UserData.D64 = readmodel.State(state), journal.TransferFlags(flags), d64.Lo
		found = append(found, r)
	}
	return found, rows.Err()
}

// number reads the digits of an amount or an id.
type number struct{ to *money.U128 }

// ScanText implements pgtype.TextScanner.
func (n number) Scan(v any) (err error) {
	s, ok := v.(string)
	if !ok {
		return fmt.Errorf("a number is of type %T: %w", v, readmodel.ErrTables)
	}
	if *n.to, err = money.Parse(s); err != nil {
		return fmt.Errorf("%w: %w", readmodel.ErrTables, err)
	}
	return nil
}

func texts(list []money.U128) []string {
	return decimals(list, func(i int) fmt.Stringer { return list[i] })
}

func (w *writer) write(b *readmodel.Batch) {
	w.renew(&b.Renewed)
	w.insert("assets", "number, code, scale, position, timestamp", len(b.Assets), func(c *copier, i int) {
		a := &b.Assets[i]
		c.uint(uint64(a.Number))
		c.text(a.Code)
		c.uint(uint64(a.Scale))
		c.position(a.Position)
		c.uint(a.Timestamp)
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
	w.update("projected_through", 1, `UPDATE projected_through SET seq = $2, hash = $3, time = $4, head = $5, assets = $6, utc_offset = $7, rules = $8,
		version = $9, updated = now() WHERE cell = $1`,
		w.cell, int64(to.Seq), to.Hash[:], int64(to.Time), int64(to.Head), int64(to.Assets), to.UTCOffset, int32(to.Rules), int32(to.Version)) //nolint:gosec // 48 and 63 bits
}

func (w *writer) accounts(b *readmodel.Batch) {
	w.insert("accounts", "id, position, timestamp, asset, code, flags, closed, address, user_data_128, user_data_64, user_data_32, actor",
		len(b.Accounts), func(c *copier, i int) {
			a := &b.Accounts[i]
			c.u128(a.ID)
			c.position(a.Position)
			c.uint(a.Timestamp)
			c.uint(uint64(a.Asset))
			c.uint(uint64(a.Code))
			c.uint(uint64(a.Flags))
			c.bool(a.Closed)
			c.optionalText(a.Address)
			c.userData(&a.UserData)
			c.bytes(a.Actor[:])
		})
	w.insert("balances", "account_id, debits_pending, debits_posted, credits_pending, credits_posted", len(b.Accounts), func(c *copier, i int) {
		s := &b.Accounts[i].Balances
		c.u128(b.Accounts[i].ID)
		c.u128(s.DebitsPending)
		c.u128(s.DebitsPosted)
		c.u128(s.CreditsPending)
		c.u128(s.CreditsPosted)
	})
	closed := make([]bool, len(b.Closed))
	for i := range closed {
		closed[i] = b.Closed[i].Closed
	}
	w.update("accounts", len(closed), `UPDATE accounts a SET closed = d.closed FROM unnest($2::text[]::numeric[], $3::bool[]) AS d (id, closed)
		WHERE a.cell = $1 AND a.id = d.id`, w.cell, decimals(b.Closed, func(i int) fmt.Stringer { return b.Closed[i].Account }), closed)
}

func (w *writer) balances(list []readmodel.BalanceChange) {
	column := func(value func(c *readmodel.BalanceChange) fmt.Stringer) []string {
		return decimals(list, func(i int) fmt.Stringer { return value(&list[i]) })
	}
	w.update("balances", len(list), `UPDATE balances b SET debits_pending = b.debits_pending + d.debits_pending, debits_posted = b.debits_posted + d.debits_posted,
		credits_pending = b.credits_pending + d.credits_pending, credits_posted = b.credits_posted + d.credits_posted
		FROM unnest($2::text[]::numeric[], $3::text[]::numeric[], $4::text[]::numeric[], $5::text[]::numeric[], $6::text[]::numeric[])
			AS d (account_id, debits_pending, debits_posted, credits_pending, credits_posted)
		WHERE b.cell = $1 AND b.account_id = d.account_id`, w.cell,
		column(func(c *readmodel.BalanceChange) fmt.Stringer { return c.Account }),
		column(func(c *readmodel.BalanceChange) fmt.Stringer { return c.DebitsPending }),
		column(func(c *readmodel.BalanceChange) fmt.Stringer { return c.DebitsPosted }),
		column(func(c *readmodel.BalanceChange) fmt.Stringer { return c.CreditsPending }),
		column(func(c *readmodel.BalanceChange) fmt.Stringer { return c.CreditsPosted }))
}

func (w *writer) transfers(list []readmodel.Transfer) {
	w.insert("transfers", "position, id, timestamp, booking_date, kind, debit_account_id, credit_account_id, amount, released, asset, code, flags, "+
		"timeout, pending_id, transaction_id, user_data_128, user_data_64, user_data_32, actor", len(list), func(c *copier, i int) {
		t := &list[i]
		c.position(t.Position)
		c.u128(t.ID)
		c.uint(t.Timestamp)
		c.text(t.Booked.String())
		c.text(string(t.Kind))
		c.u128(t.Debit)
		c.u128(t.Credit)
		c.u128(t.Amount)
		c.u128(t.Released)
		c.uint(uint64(t.Asset))
		c.uint(uint64(t.Code))
		c.uint(uint64(t.Flags))
		c.uint(uint64(t.Timeout))
		c.optional(t.PendingID)
		c.optional(t.Transaction)
		c.userData(&t.UserData)
		c.bytes(t.Actor[:])
	})
}

func (w *writer) reservations(b *readmodel.Batch) {
	w.insert("reservations", "id, remaining, state, expires, ended", len(b.Reserved), func(c *copier, i int) {
		r := &b.Reserved[i]
		c.u128(r.ID)
		c.u128(r.Remaining)
		c.text(string(r.State))
		c.optionalNs(r.Expires)
		c.optionalNs(r.Ended)
	})
	list := b.Resolved
	states, ended := make([]string, len(list)), make([]int64, len(list))
	for i := range list {
		states[i], ended[i] = string(list[i].State), int64(list[i].Ended) //nolint:gosec // 63 bits
	}
	w.update("reservations", len(list), `UPDATE reservations r SET remaining = d.remaining, state = d.state, ended = nullif(d.ended, 0)
		FROM unnest($2::text[]::numeric[], $3::text[]::numeric[], $4::text[], $5::bigint[]) AS d (id, remaining, state, ended)
		WHERE r.cell = $1 AND r.id = d.id`, w.cell,
		decimals(list, func(i int) fmt.Stringer { return list[i].ID }),
		decimals(list, func(i int) fmt.Stringer { return list[i].Remaining }), states, ended)
}

func (w *writer) transactions(list []readmodel.Transaction) {
	w.insert("transactions", "position, id, timestamp, legs, code, user_data_128, user_data_64, user_data_32, actor", len(list), func(c *copier, i int) {
		x := &list[i]
		c.position(x.Position)
		c.u128(x.ID)
		c.uint(x.Timestamp)
		c.uint(uint64(x.Legs))
		c.uint(uint64(x.Code))
		c.userData(&x.UserData)
		c.bytes(x.Actor[:])
	})
}

func (w *writer) metadata(b *readmodel.Batch) {
	if len(b.Replaced) > 0 {
		w.do("metadata", func() error {
			return w.exec(`DELETE FROM metadata WHERE cell = $1 AND owner = 'account' AND owner_id = ANY ($2::text[]::numeric[])`, w.cell, texts(b.Replaced))
		})
	}
	w.insert("metadata", "owner, owner_id, name, type, value, data, subject", len(b.Metadata), func(c *copier, i int) {
		m := &b.Metadata[i]
		c.text(string(m.Owner))
		c.u128(m.OwnerID)
		c.text(m.Key)
		c.text(m.Type)
		if m.HasValue {
			c.text(m.Value)
		} else {
			c.null()
		}
		c.bytes(m.Data)
		c.optionalText(m.Subject)
	})
}

func (w *writer) freezes(b *readmodel.Batch) {
	w.insert("freezes", "id, position, timestamp, selector, account_id, code, mode, reason, actor",
		len(b.Freezes), func(c *copier, i int) {
			f := &b.Freezes[i]
			c.u128(f.ID)
			c.position(f.Position)
			c.uint(f.Timestamp)
			c.text(f.Selector)
			c.optional(f.Account)
			if f.Code != 0 {
				c.uint(uint64(f.Code))
			} else {
				c.null()
			}
			c.text(f.Mode)
			c.text(f.Reason)
			c.bytes(f.Actor[:])
		})
	for i := range b.Lifts {
		l := &b.Lifts[i]
		w.update("freezes", 1, `UPDATE freezes SET lifted = $3, lift_id = $4::text::numeric, lift_reason = $5, lift_actor = $6 WHERE cell = $1 AND id = $2::text::numeric`,
			w.cell, l.Freeze.String(), int64(l.Timestamp), l.ID.String(), l.Reason, l.Actor[:]) //nolint:gosec // 63 bits
	}
}

func (w *writer) closes(list []readmodel.DayClose) {
	w.insert("day_closes", "position, id, timestamp, day, reopened, reason, actor", len(list), func(c *copier, i int) {
		d := &list[i]
		c.position(d.Position)
		c.u128(d.ID)
		c.uint(d.Timestamp)
		c.text(d.Date.String())
		c.bool(d.Reopened)
		c.text(d.Reason)
		c.bytes(d.Actor[:])
	})
	for i := range list {
		lines := list[i].Lines
		w.insert("day_close_lines", "close_id, asset, code, opening_debits, opening_credits, late_debits, late_credits, period_debits, period_credits",
			len(lines), func(c *copier, n int) {
				l := &lines[n]
				c.u128(list[i].ID)
				c.uint(uint64(l.Asset))
				c.uint(uint64(l.Code))
				for _, digits := range [6]string{l.OpeningDebits, l.OpeningCredits, l.LateDebits, l.LateCredits, l.PeriodDebits, l.PeriodCredits} {
					c.text(digits)
				}
			})
	}
}
