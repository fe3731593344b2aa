package readmodeltest

import (
	"context"
	"database/sql"
	"fmt"
	"math/big"
	"slices"
	"strconv"
	"time"
)

// query returns all rows as texts: NULL and an empty text are "", truth values 0 and 1, days 2006-01-02.
func query(ctx context.Context, db *sql.DB, text string) ([][]string, error) {
	rows, err := db.QueryContext(ctx, text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", text, err)
	}
	defer rows.Close() //nolint:errcheck // it was only read
	columns, err := rows.Columns()
	if err != nil {
		return nil, err
	}
	var list [][]string
	for rows.Next() {
		values, pointers := make([]any, len(columns)), make([]any, len(columns))
		for i := range values {
			pointers[i] = &values[i]
		}
		if err := rows.Scan(pointers...); err != nil {
			return nil, err
		}
		list = append(list, texts(values))
	}
	return list, rows.Err()
}

func texts(values []any) []string {
	list := make([]string, len(values))
	for i, v := range values {
		switch v := v.(type) {
		case nil:
		case []byte:
			list[i] = string(v)
		case time.Time:
			list[i] = v.Format(time.DateOnly)
		case bool:
			list[i] = "0"
			if v {
				list[i] = "1"
			}
		default:
			list[i] = fmt.Sprint(v)
		}
		list[i] = canonical(list[i])
	}
	return list
}

// Check compares all tables of the world's cell with its ledger, and says what differs. Where the world is still at
// another block than the tables, they differ.
func (w *World) Check(ctx context.Context, db *sql.DB) error {
	where := " WHERE cell = " + strconv.FormatUint(w.Cell, 10)
	for _, t := range w.tables() {
		got, err := query(ctx, db, "SELECT "+t.columns+" FROM "+t.name+where)
		if err != nil {
			return err
		}
		sortRows(got)
		sortRows(t.rows)
		for i := range max(len(got), len(t.rows)) {
			switch {
			case i >= len(got):
				return fmt.Errorf("%s has %d rows, not %d: it lacks (%s) = %q", t.name, len(got), len(t.rows), t.columns, t.rows[i])
			case i >= len(t.rows):
				return fmt.Errorf("%s has %d rows, not %d: there should be no (%s) = %q", t.name, len(got), len(t.rows), t.columns, got[i])
			case !slices.Equal(got[i], t.rows[i]):
				return fmt.Errorf("%s has (%s) = %q, it should be %q", t.name, t.columns, got[i], t.rows[i])
			}
		}
	}
	if err := w.checkPosition(ctx, db, where); err != nil {
		return err
	}
	return checkSums(ctx, db, where)
}

func (w *World) checkPosition(ctx context.Context, db *sql.DB, where string) error {
	got, err := query(ctx, db, "SELECT seq, hash, time, head, state FROM projected_through"+where)
	if err != nil {
		return err
	}
	n := len(w.Blocks)
	want := row(n, string(w.Blocks[n-1].Hash[:]), w.Blocks[n-1].Header.Time, n, "live")
	if len(got) != 1 || !slices.Equal(got[0], want) {
		return fmt.Errorf("projected_through has %q, it should be %q", got, want)
	}
	return nil
}

// checkSums adds up all transfers, and holds what comes of it against the balances: an opinion of its own.
func checkSums(ctx context.Context, db *sql.DB, where string) error {
	transfers, err := query(ctx, db, "SELECT id, kind, debit_account_id, credit_account_id, amount, released, pending_id FROM transfers"+where)
	if err != nil {
		return err
	}
	reservations, err := query(ctx, db, "SELECT id, state FROM reservations"+where)
	if err != nil {
		return err
	}
	balances, err := query(ctx, db, "SELECT account_id, debits_pending, debits_posted, credits_pending, credits_posted FROM balances"+where)
	if err != nil {
		return err
	}
	state := map[string]string{}
	for _, r := range reservations {
		state[r[0]] = r[1]
	}
	sums := map[string]*[4]big.Int{} // debits pending, posted, credits pending, posted
	add := func(account string, i, sign int, amount string) {
		if sums[account] == nil {
			sums[account] = new([4]big.Int)
		}
		v, _ := new(big.Int).SetString(amount, 10)
		sums[account][i].Add(&sums[account][i], v.Mul(v, big.NewInt(int64(sign))))
	}
	for _, t := range transfers {
		id, kind, debit, credit, amount, released, pending := t[0], t[1], t[2], t[3], t[4], t[5], t[6]
		if kind == "transfer" || kind == "post" {
			add(debit, 1, 1, amount)
			add(credit, 3, 1, amount)
		}
		if kind == "pending" && state[id] != "expired" { // an expired one holds nothing, whatever was posted of it
			add(debit, 0, 1, amount)
			add(credit, 2, 1, amount)
		}
		if (kind == "post" || kind == "void") && state[pending] != "expired" {
			add(debit, 0, -1, released)
			add(credit, 2, -1, released)
		}
	}
	for _, b := range balances {
		sum := sums[b[0]]
		if sum == nil {
			sum = new([4]big.Int)
		}
		for i := range sum {
			if b[i+1] != sum[i].String() {
				return fmt.Errorf("account %s has balances %q, its transfers add up to %v for number %d", b[0], b[1:], &sum[i], i)
			}
		}
	}
	return nil
}
