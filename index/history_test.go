package index_test

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"pgregory.net/rapid"

	"github.com/sterlingrun/sterling/index"
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/ledger"
	"github.com/sterlingrun/sterling/money"
)

// past is an index beside the books it was built from.
type past struct {
	*books
	x *index.Index
	q *index.Queries
}

// TestHistoryModel builds random books into an index whose runs are tiny, so that memory and tables mix, and compares
// every answer about the past with sums over the plain lines.
func TestHistoryModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		fs := vfs.NewMem()
		offset := rapid.SampledFrom([]int32{0, 480, -300}).Draw(t, "zone")
		run := rapid.SampledFrom([]int{1, 20, 90, 100_000}).Draw(t, "entries of a run")
		b := newBooks(rapid.Uint64().Draw(t, "seed"), offset)
		b.moving = rapid.IntRange(0, 3).Draw(t, "zone changes") == 0
		x, err := index.Open("idx", index.Options{FS: fs, RunEntries: run})
		if err != nil {
			t.Fatal(err)
		}
		defer x.Close()
		p := &past{b, x, index.NewQueries(x, b)}
		for range rapid.IntRange(1, 25).Draw(t, "blocks") {
			if err := b.addBlock(b.rng.IntN(5)); err != nil {
				t.Fatal(err)
			}
			if err := x.Add(b.blocks[len(b.blocks)-1], b.effects[len(b.effects)-1]); err != nil {
				t.Fatal(err)
			}
			if b.maybe(10) {
				if err := x.Flush(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
		}
		p.compare(t)
	})
}

// tester is a testing.T or a rapid.T.
type tester interface {
	Fatal(args ...any)
	Fatalf(format string, args ...any)
	Context() context.Context
}

func (p *past) compare(t tester) {
	for i := range p.accounts {
		a := &p.accounts[i]
		if ref, asset, err := p.q.Account(t.Context(), a.ref.ID); err != nil || ref != a.ref || asset != 1 {
			t.Fatalf("account %v: %+v of asset %d, %v", a.ref.ID, ref, asset, err)
		}
		p.balances(t, a.ref)
		p.days(t, a.ref)
		p.byTime(t, a.ref)
		p.byDate(t, a.ref)
	}
	if ref, _, err := p.q.Account(t.Context(), money.From(7)); err != nil || ref.Number != 0 {
		t.Fatalf("an account that nobody created: %+v, %v", ref, err)
	}
	p.addresses(t)
	p.metadata(t)
}

// balances compares as-of balances right before, at and after every line of any account.
func (p *past) balances(t tester, a index.AccountRef) {
	moments := []uint64{0, 1, firstMoment, p.time + 1, 1 << 62, 1<<64 - 1}
	for i := range p.lines {
		moments = append(moments, p.lines[i].at-1, p.lines[i].at, p.lines[i].at+1)
	}
	slices.Sort(moments)
	for _, at := range slices.Compact(moments) {
		got, err := p.q.BalanceAt(t.Context(), a, at)
		want := p.sum(a.Number, func(l *line) bool { return l.at <= at })
		if err != nil || got != want {
			t.Fatalf("account %d at %d: %+v, %v, want %+v", a.Number, at, got, err, want)
		}
	}
}

func (p *past) days(t tester, a index.AccountRef) {
	first, last := journal.DateOf(firstMoment, 0)-8, journal.DateOf(p.time, p.offset)+8
	for day := first; day <= last; day++ {
		got, err := p.q.BalanceOn(t.Context(), a, day)
		sum := p.sum(a.Number, func(l *line) bool { return !l.expired && l.date <= day })
		if want := (index.Posted{Debits: sum.DebitsPosted, Credits: sum.CreditsPosted}); err != nil || got != want {
			t.Fatalf("account %d on %v: %+v, %v, want %+v", a.Number, day, got, err, want)
		}
	}
}

// read reads all pages of a statement and checks that each row's balances follow from the ones before.
func (p *past) read(t tester, f index.StatementQuery) (rows []index.StatementRow, opening, closing ledger.Balances) {
	p.q.SetScan([]int{200, index.MaxScan}[p.rng.IntN(2)])
	defer p.q.SetScan(index.MaxScan)
	var now ledger.Balances
	for pages := 0; ; pages++ {
		page, err := p.q.Statement(t.Context(), f)
		if err != nil {
			t.Fatalf("%+v: %v", f, err)
		}
		if pages == 0 {
			opening, closing = page.Opening, page.Closing
		} else if page.Opening != now || page.Closing != closing {
			t.Fatalf("page %d opens with %+v after %+v and closes with %+v", pages, page.Opening, now, page.Closing)
		}
		if len(page.Rows) > f.Limit || pages > 10_000 {
			t.Fatalf("page %d has %d rows, limit %d", pages, len(page.Rows), f.Limit)
		}
		now = page.Opening
		for i := range page.Rows {
			now = after(now, &page.Rows[i].Delta)
			if page.Rows[i].After != now {
				t.Fatalf("row %d: %+v, its delta makes %+v", i, page.Rows[i], now)
			}
		}
		rows = append(rows, page.Rows...)
		if page.Next == nil {
			break
		}
		f.Resume = page.Next
	}
	if now != closing {
		t.Fatalf("the rows end with %+v, the statement with %+v", now, closing)
	}
	return rows, opening, closing
}

func after(b ledger.Balances, d *index.Delta) ledger.Balances {
	posted, pending := &b.DebitsPosted, &b.DebitsPending
	if d.Credit {
		posted, pending = &b.CreditsPosted, &b.CreditsPending
	}
	*posted, _ = posted.Add(d.Posted)
	*pending, _ = pending.Add(d.Reserved)
	*pending, _ = pending.Sub(d.Released)
	return b
}

func (p *past) compareRows(t tester, rows []index.StatementRow, want []line, byDate bool) {
	if len(rows) != len(want) {
		t.Fatalf("%d rows, want %d", len(rows), len(want))
	}
	for i := range rows {
		r, l := &rows[i], &want[i]
		pending := int64(r.Delta.Reserved.Lo) - int64(r.Delta.Released.Lo)
		if byDate {
			pending = l.pending
		}
		if r.At != l.at || r.Position != l.position || r.Expired != l.expired || r.Delta.Credit != l.credit ||
			r.Delta.Posted != money.From(uint64(l.posted)) || pending != l.pending || r.Transfer.Position != l.transfer || byDate && r.Date != l.date {
			t.Fatalf("row %d is %+v, want %+v", i, *r, *l)
		}
	}
}

func (p *past) byTime(t tester, a index.AccountRef) {
	f := index.StatementQuery{Account: a, Limit: []int{1, 3, 1000}[p.rng.IntN(3)]}
	if len(p.lines) > 0 && p.maybe(50) {
		f.From = p.lines[p.rng.IntN(len(p.lines))].at - p.rng.Uint64N(2)
		f.To = max(f.From, p.lines[p.rng.IntN(len(p.lines))].at)
	}
	rows, opening, closing := p.read(t, f)
	to := f.To
	if to == 0 {
		to = 1<<64 - 1
	}
	within := func(l *line) bool { return l.at >= f.From && l.at <= to }
	p.compareRows(t, rows, p.chosen(a.Number, within, func(x, y line) int { return cmp.Compare(x.at, y.at) }), false)
	if want := p.sum(a.Number, func(l *line) bool { return l.at < f.From }); opening != want {
		t.Fatalf("opening %+v, want %+v", opening, want)
	}
	if want := p.sum(a.Number, func(l *line) bool { return l.at <= to }); closing != want {
		t.Fatalf("closing %+v, want %+v", closing, want)
	}
}

func (p *past) byDate(t tester, a index.AccountRef) {
	first, last := journal.DateOf(firstMoment, 0)-8, journal.DateOf(p.time, p.offset)+8
	f := index.StatementQuery{
		Account: a, ByDate: true, Limit: []int{1, 3, 1000}[p.rng.IntN(3)],
		FirstDay: first + journal.Date(p.rng.Uint32N(uint32(last-first)+1)),
	}
	f.LastDay = f.FirstDay + journal.Date(p.rng.Uint32N(uint32(last-f.FirstDay)+1))
	rows, opening, closing := p.read(t, f)
	within := func(l *line) bool { return l.posts && l.date >= f.FirstDay && l.date <= f.LastDay }
	p.compareRows(t, rows, p.chosen(a.Number, within, func(x, y line) int {
		return cmp.Or(cmp.Compare(x.date, y.date), cmp.Compare(x.position, y.position))
	}), true)
	posted := func(choose func(*line) bool) ledger.Balances {
		s := p.sum(a.Number, choose)
		return ledger.Balances{DebitsPosted: s.DebitsPosted, CreditsPosted: s.CreditsPosted}
	}
	if want := posted(func(l *line) bool { return l.posts && l.date < f.FirstDay }); opening != want {
		t.Fatalf("opening %+v, want %+v", opening, want)
	}
	if want := posted(func(l *line) bool { return l.posts && l.date <= f.LastDay }); closing != want {
		t.Fatalf("closing %+v, want %+v", closing, want)
	}
}

func (p *past) addresses(t tester) {
	for _, prefix := range []string{"", "merchant", "merchant:", "user:", "nobody"} {
		var got, want []string
		for after := ""; ; {
			list, err := p.q.Addresses(t.Context(), prefix, after, 2)
			if err != nil {
				t.Fatal(err)
			}
			for _, a := range list {
				got, after = append(got, fmt.Sprint(a.Address, a.Number)), a.Address
			}
			if len(list) < 2 {
				break
			}
		}
		for i := range p.accounts {
			if a := &p.accounts[i]; a.address != "" && strings.HasPrefix(a.address, prefix) {
				want = append(want, fmt.Sprint(a.address, a.ref.Number))
			}
		}
		slices.SortFunc(want, func(a, b string) int { return strings.Compare(a, b) })
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Fatalf("addresses from %q: %v, want %v", prefix, got, want)
		}
	}
}

func (p *past) metadata(t tester) {
	for _, conditions := range [][]index.MetaCondition{
		{{Key: "channel"}},
		{index.MetaCondition(journal.Text("channel", "app"))},
		{index.MetaCondition(journal.Int("order", 1)), {Key: "vip"}},
		{index.MetaCondition(journal.Bool("vip", true)), index.MetaCondition(journal.Text("channel", "shop"))},
		{{Key: "unknown"}},
	} {
		matches := func(m []journal.Meta) bool {
			for _, c := range conditions {
				if !slices.ContainsFunc(m, func(m journal.Meta) bool {
					return m.Key == c.Key && (c.Type == 0 || m.Type == c.Type && string(m.Value) == string(c.Value))
				}) {
					return false
				}
			}
			return true
		}
		var got, want []uint32
		for f := (index.MetaQuery{Conditions: conditions, Limit: 2}); ; {
			rows, next, err := p.q.AccountsByMetadata(t.Context(), f)
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range rows {
				if p.accounts[r.Number-1].metaAt == r.Position {
					got = append(got, r.Number)
				}
			}
			if f.From = next; next == 0 {
				break
			}
		}
		for i := range p.accounts {
			if a := &p.accounts[i]; matches(a.meta) {
				want = append(want, a.ref.Number)
			}
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Fatalf("accounts with %v: %v, want %v", conditions, got, want)
		}
		p.transfersWith(t, conditions, matches)
	}
}

func (p *past) transfersWith(t tester, conditions []index.MetaCondition, matches func([]journal.Meta) bool) {
	var got, want []journal.Position
	for f := (index.MetaQuery{Conditions: conditions, Limit: 3}); ; {
		rows, next, err := p.q.TransfersByMetadata(t.Context(), f)
		if err != nil {
			t.Fatal(err)
		}
		for i := range rows {
			got = append(got, rows[i].Position)
		}
		if f.From = next; next == 0 {
			break
		}
	}
	for _, at := range p.ordered {
		k := p.blocks[at.Seq()-1]
		d, err := journal.DecodeDetails(k.Attachment(at.Index() - len(k.Expiries)))
		if err != nil {
			t.Fatal(err)
		}
		if matches(d.Metadata) {
			want = append(want, at)
		}
	}
	if !slices.Equal(got, want) {
		t.Fatalf("transfers with %v: %v, want %v", conditions, got, want)
	}
}
