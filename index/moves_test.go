package index_test

import (
	"context"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/go-cmp/cmp"

	"github.com/sterlingrun/sterling/index"
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/ledger"
	"github.com/sterlingrun/sterling/money"
	"github.com/sterlingrun/sterling/readmodel/readmodeltest"
)

// movedCell is a cell's index beside the ledger that is replayed from its journal.
type movedCell struct {
	*testing.T
	*readmodeltest.World
	x     *index.Index
	q     *index.Queries
	state *ledger.State
	seen  int // blocks
}

func (c *movedCell) fact(p journal.Position) ledger.Fact {
	k := c.Blocks[p.Seq()-1]
	i := p.Index() - len(k.Expiries)
	return ledger.NewFact(k.Transfer(i), k.Outcome(i), k.Attachment(i), k.Header.Time+uint64(p.Index()))
}

// Transfer and BlockTransfers are the Records of queries.
func (c *movedCell) Transfer(_ context.Context, p journal.Position) (ledger.Transfer, error) {
	f := c.fact(p)
	var pending ledger.Fact
	if f.PendingPosition != 0 {
		pending = c.fact(f.PendingPosition)
	}
	return f.Resolve(p, &pending), nil
}

func (c *movedCell) BlockTransfers(context.Context, uint64) ([]ledger.Transfer, error) {
	return nil, nil
}

func (c *movedCell) fetch(needs []ledger.Need) (ledger.Facts, error) {
	facts := ledger.Facts{At: map[journal.Position]ledger.Fact{}}
	for _, n := range needs {
		for p := n.Position; p != 0; p = facts.At[p].PendingPosition {
			facts.At[p] = c.fact(p)
		}
	}
	return facts, nil
}

// follow adds the blocks that are new, and holds the balances right after each against the ledger's.
func (c *movedCell) follow(accounts ...money.U128) {
	c.Helper()
	for ; c.seen < len(c.Blocks); c.seen++ {
		k := c.Blocks[c.seen]
		fx := new(ledger.Effects)
		if err := c.state.Replay(k, journal.NewBuilder(), fx, c.fetch); err != nil {
			c.Fatal(err)
		}
		if err := c.x.Add(k, fx); err != nil {
			c.Fatal(err)
		}
		for _, id := range accounts {
			a, n := c.state.Account(id)
			if n == 0 {
				continue
			}
			got, err := c.q.BalanceAt(c.Context(), index.AccountRef{Number: n, ID: id}, k.Header.End())
			if want := ledger.BalancesOf(&a); err != nil || got != want {
				c.Fatalf("cell %d, account %v after block %d: %+v, %v, want %+v", c.Cell, id, k.Header.Seq, got, err, want)
			}
		}
	}
}

// statement reads an account's statement and checks that its rows lead from the opening to the closing balances.
func (c *movedCell) statement(f index.StatementQuery) (rows []index.StatementRow, closing ledger.Balances) {
	c.Helper()
	f.Limit = 2
	var now ledger.Balances
	for first := true; ; first = false {
		page, err := c.q.Statement(c.Context(), f)
		if err != nil {
			c.Fatal(err)
		}
		if !first && page.Opening != now {
			c.Fatalf("a page opens with %+v after %+v", page.Opening, now)
		}
		for i := range page.Rows {
			r := &page.Rows[i]
			if r.Transfer.Debit != f.Account.ID && r.Transfer.Credit != f.Account.ID {
				c.Fatalf("row %+v is not of account %v", r, f.Account.ID)
			}
			now = r.After
		}
		rows, closing = append(rows, page.Rows...), page.Closing
		if f.Resume = page.Next; f.Resume == nil {
			return rows, closing
		}
	}
}

// ref is how the index finds an account.
func (c *movedCell) ref(id money.U128) index.AccountRef {
	c.Helper()
	a, asset, err := c.q.Account(c.Context(), id)
	if err != nil || a.Number == 0 || asset != 1 {
		c.Fatalf("cell %d, account %v: %+v of asset %d, %v", c.Cell, id, a, asset, err)
	}
	return a
}

// checkBooks holds the days of all accounts against the ledger's trial balance, code by code, and statements by booking
// date against both.
func (c *movedCell) checkBooks() {
	c.Helper()
	last := journal.DateOf(c.Blocks[len(c.Blocks)-1].Header.Time, 0)
	for day := last - 2; day <= last; day++ {
		want := map[uint16]index.Posted{}
		for _, r := range c.state.TrialBalance(0, day) {
			want[r.Code] = index.Posted{Debits: r.Period.Debits.Lo, Credits: r.Period.Credits.Lo}
		}
		got := map[uint16]index.Posted{}
		for n := range c.state.Counts().Accounts {
			a := c.state.AccountByNumber(uint32(n + 1))
			ref := index.AccountRef{Number: uint32(n + 1), ID: a.ID}
			p, err := c.q.BalanceOn(c.Context(), ref, day)
			if err != nil {
				c.Fatal(err)
			}
			sum := got[a.Code]
			sum.Debits, _ = sum.Debits.Add(p.Debits)
			sum.Credits, _ = sum.Credits.Add(p.Credits)
			if sum != (index.Posted{}) {
				got[a.Code] = sum
			}
			rows, closing := c.statement(index.StatementQuery{Account: ref, ByDate: true, LastDay: day})
			if closing.DebitsPosted != p.Debits || closing.CreditsPosted != p.Credits || len(rows) > 0 && rows[len(rows)-1].After != closing {
				c.Fatalf("cell %d, account %v through %v: %+v, the statement closes with %+v", c.Cell, a.ID, day, p, closing)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			c.Errorf("cell %d through %v: trial balance -, accounts +\n%s", c.Cell, day, diff)
		}
	}
}

// TestMoves: a bucket goes to another cell and comes back. In both cells balances as of any block, statements, days, and
// what finds accounts are right on both sides of it, from memory and from tables.
func TestMoves(t *testing.T) {
	for name, run := range map[string]int{"in memory": 1 << 20, "in tables": 1} {
		t.Run(name, func(t *testing.T) {
			m := readmodeltest.NewMoves()
			var cells [2]*movedCell
			for i, w := range m.Cells {
				x, err := index.Open("idx", index.Options{FS: vfs.NewMem(), RunEntries: run})
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { x.Close() })
				c := &movedCell{T: t, World: w, x: x, state: ledger.New(ledger.Config{})}
				c.q, cells[i] = index.NewQueries(x, c), c
			}
			follow := func() {
				for _, c := range cells {
					c.follow(m.Alice, m.Bob, m.Carol, m.Dora, m.Clearing(1), m.Clearing(2), m.InTransit())
					c.checkBooks()
				}
			}
			follow()
			m.Move(0, 1)
			follow()
			checkMoved(t, m, cells)
			m.End(1, 501, readmodeltest.PendingWithin, 60)
			m.Pay(1, 502, m.Dora, m.Alice, 40)
			m.Cells[1].Advance(2 * 3600 * 1_000_000_000) // what Alice had reserved for Carol expires
			m.Pay(1, 503, m.Alice, m.Bob, 1)
			follow()
			m.Move(1, 0)
			m.Pay(0, 504, m.Bob, m.Carol, 5)
			follow()
			found, err := cells[1].q.Addresses(t.Context(), "customer:", "", 10)
			if err != nil || len(found) != 1 {
				t.Errorf("addresses %+v, %v", found, err)
			}
		})
	}
}

// checkMoved looks at the two cells after the first move.
func checkMoved(t *testing.T, m *readmodeltest.Moves, cells [2]*movedCell) {
	t.Helper()
	a, b := cells[0], cells[1]
	rows, closing := a.statement(index.StatementQuery{Account: a.ref(m.Alice)})
	last := &rows[len(rows)-1]
	if closing != (ledger.Balances{}) || last.Moved == nil || !last.Moved.Left || last.Moved.Balances.DebitsPosted != money.From(1000) || last.Transfer.Debit != m.Alice {
		t.Errorf("the giver's statement ends with %+v and %+v", last, closing)
	}
	rows, closing = b.statement(index.StatementQuery{Account: b.ref(m.Alice)})
	want := ledger.Balances{DebitsPosted: money.From(1000), CreditsPosted: money.From(300), DebitsPending: money.From(170)}
	first := &rows[0]
	if closing != want || first.Moved == nil || first.Moved.Left || first.After != (ledger.Balances{DebitsPosted: money.From(1000), CreditsPosted: money.From(300)}) {
		t.Errorf("the taker's statement begins with %+v, and closes with %+v", first, closing)
	}
	page, err := b.q.AccountTransfers(t.Context(), b.ref(m.Alice).Number, index.AccountFilter{AccountID: m.Alice, Limit: 10})
	if err != nil || len(page.Rows) != 0 {
		t.Errorf("the taker lists %+v, %v: what happened in the giver stays there", page.Rows, err)
	}
	if found, err := b.q.Addresses(t.Context(), "customer:", "", 10); err != nil || len(found) != 1 || found[0].Number != b.ref(m.Alice).Number {
		t.Errorf("addresses %+v, %v", found, err)
	}
	numbers, ok, err := b.q.AccountNumbers(t.Context(), index.QueryFilter{UserData64: 7, Limit: 10}, func(uint32) bool { return true })
	if err != nil || !ok || len(numbers) != 1 {
		t.Errorf("by user data: %v, %v", numbers, err)
	}
	meta, _, err := b.q.AccountsByMetadata(t.Context(), index.MetaQuery{Conditions: []index.MetaCondition{index.MetaCondition(journal.Text("name", "Alice"))}, Limit: 10})
	if err != nil || len(meta) != 1 || meta[0].Position != b.state.Metadata(meta[0].Number) {
		t.Errorf("by metadata: %+v, %v", meta, err)
	}
}
