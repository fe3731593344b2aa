package readmodeltest

import (
	"context"
	"database/sql"
	"fmt"
	"math/big"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/ledger"
)

// movesBetweenCells moves a bucket there and back between two cells that are projected into one database, in batches of
// one block or of all, and compares the tables with both ledgers.
func movesBetweenCells(t *testing.T, h Harness) {
	target := h.Open(t)
	defer func() { _ = target.Close() }() // what it did was looked at
	m := NewMoves()
	at := [2]int{}
	follow := func(all bool) {
		t.Helper()
		for i, w := range m.Cells {
			for at[i] < len(w.Blocks) {
				part := *w
				if at[i]++; all {
					at[i] = len(w.Blocks)
				}
				part.Blocks = w.Blocks[:at[i]]
				project(t, target, &part, w.Cell, at[i], nil)
			}
			if err := m.check(t.Context(), h.DB, w); err != nil {
				t.Fatalf("cell %d: %v", w.Cell, err)
			}
		}
		alone(t, h.DB)
	}
	follow(true)
	m.Move(0, 1)
	follow(false)
	m.End(1, 501, PendingWithin, 60)
	m.Cells[1].Advance(2 * hourNs)
	m.Pay(1, 502, m.Dora, m.Alice, 40)
	m.Move(1, 0)
	m.Pay(0, 503, m.Bob, m.Carol, 5)
	follow(false)
	m.Move(0, 1)
	m.Move(1, 0)
	follow(true)
}

// alone checks that each account, but for the cells' own, is in one cell.
func alone(t *testing.T, db *sql.DB) {
	t.Helper()
	rows, err := query(t.Context(), db, "SELECT id, count(*) FROM accounts WHERE flags < 8192 GROUP BY id HAVING count(*) <> 1")
	if err != nil || len(rows) > 0 {
		t.Fatalf("accounts in more than one cell: %q, %v", rows, err)
	}
}

// check compares accounts, balances, open reservations and metadata with a cell's ledger, and the postings with its
// trial balance.
func (m *Moves) check(ctx context.Context, db *sql.DB, w *World) error {
	var accounts, metadata, open [][]string
	for n := range w.State.Counts().Accounts {
		a, address := w.State.AccountByNumber(uint32(n+1)), ""
		if !a.Flags.Has(journal.AccountMoved) {
			address = w.State.Address(uint32(n + 1))
		} else if a.ID == m.Alice {
			address = "customer:alice" // it had
		}
		accounts = append(accounts, row(a.ID, a.Flags.Has(journal.AccountMoved), address, a.UserData64, a.DebitsPending, a.DebitsPosted, a.CreditsPending, a.CreditsPosted))
		if a.ID == m.Alice && !a.Flags.Has(journal.AccountMoved) {
			metadata = append(metadata, row(a.ID, "name", "Alice"))
		}
	}
	list, _ := w.State.OpenPendings(0, 1000, nil)
	for i := range list {
		p := &list[i]
		open = append(open, row(p.ID, p.Remaining, p.Expires, p.Debit, p.Credit))
	}
	for _, c := range []struct {
		text string
		want [][]string
	}{
		{`SELECT a.id, CASE WHEN a.flags & 8192 <> 0 THEN 1 ELSE 0 END, a.address, a.user_data_64, b.debits_pending, b.debits_posted, b.credits_pending, b.credits_posted
			FROM accounts a JOIN balances b ON b.cell = a.cell AND b.account_id = a.id WHERE a.cell = `, accounts},
		{`SELECT r.id, r.remaining, coalesce(r.expires, 0), t.debit_account_id, t.credit_account_id
			FROM reservations r JOIN transfers t ON t.cell = r.cell AND t.id = r.id WHERE r.state = 'open' AND r.cell = `, open},
		{`SELECT owner_id, name, value FROM metadata WHERE owner = 'account' AND cell = `, metadata},
	} {
		got, err := query(ctx, db, c.text+fmt.Sprint(w.Cell))
		if err != nil {
			return err
		}
		sortRows(got)
		sortRows(c.want)
		if diff := cmp.Diff(c.want, got); diff != "" {
			return fmt.Errorf("%s: want -, got +\n%s", strings.Fields(c.text)[1], diff)
		}
	}
	return w.checkPostings(ctx, db)
}

// checkPostings adds up, code by code, what is booked, and holds it against the trial balance of all days.
func (w *World) checkPostings(ctx context.Context, db *sql.DB) error {
	got := map[string]*big.Int{}
	for _, of := range []string{"transfers t WHERE t.kind IN ('transfer', 'post') AND", "handovers t WHERE"} {
		for side, column := range map[string]string{"debits": "debit_account_id", "credits": "credit_account_id"} {
			rows, err := query(ctx, db, "SELECT (SELECT a.code FROM accounts a WHERE a.cell = t.cell AND a.id = t."+column+"), t.amount FROM "+of+" t.cell = "+fmt.Sprint(w.Cell))
			if err != nil {
				return err
			}
			for _, r := range rows {
				v, _ := new(big.Int).SetString(r[1], 10)
				key := r[0] + " " + side
				if got[key] == nil {
					got[key] = new(big.Int)
				}
				got[key].Add(got[key], v)
			}
		}
	}
	want := map[string]string{}
	for _, r := range w.State.TrialBalance(0, journal.MaxDate) {
		for side, sum := range map[string]ledger.Total{"debits": r.Period.Debits, "credits": r.Period.Credits} {
			want[fmt.Sprint(r.Code)+" "+side] = sum.String()
		}
	}
	have := map[string]string{}
	for key, v := range got {
		have[key] = v.String()
	}
	for key, v := range want {
		if v == "0" && have[key] == "" {
			have[key] = "0"
		}
	}
	if diff := cmp.Diff(want, have); diff != "" {
		return fmt.Errorf("trial balance -, postings +\n%s", diff)
	}
	return nil
}
