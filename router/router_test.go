package router_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/money"
	"github.com/sterlingrun/sterling/router"
)

// places of accounts: a and b are of cell 1, c and d of cell 2, e of cell 3.
func accounts(t *testing.T, m *router.Map) (a, b, c, d, e money.U128) {
	t.Helper()
	next := uint64(0)
	in := func(cell uint64) money.U128 {
		for next++; m.Buckets[journal.Bucket(money.From(next))] != cell; next++ {
		}
		return money.From(next)
	}
	return in(1), in(1), in(2), in(2), in(3)
}

func threeCells() *router.Map {
	return router.Even([]router.Cell{{ID: 1, Nodes: []string{"a:1"}}, {ID: 2, Nodes: []string{"b:1"}}, {ID: 3, Nodes: []string{"c:1"}}})
}

func TestSplit(t *testing.T) {
	m := threeCells()
	a, b, c, d, e := accounts(t, m)
	r := router.NewRouter(1, m)
	local, there, far := money.From(901), money.From(902), money.From(903) // what is known: in cell 1, in 2, from 1 to 2
	find := func(_ context.Context, ids []money.U128) (map[money.U128]router.Found, error) {
		found := map[money.U128]router.Found{}
		for _, id := range ids {
			switch id {
			case local:
				found[id] = router.Found{Cell: 1}
			case there:
				found[id] = router.Found{Cell: 2}
			case far:
				found[id] = router.Found{Cell: 1, Transit: &journal.Transit{Transfer: far}}
			}
		}
		return found, nil
	}
	id := uint64(0)
	tr := func(debit, credit money.U128, flags journal.TransferFlags) journal.Transfer {
		id++
		return journal.Transfer{ID: money.From(id), Debit: debit, Credit: credit, Amount: money.From(1), Asset: 1, Code: 1, Flags: flags}
	}
	end := func(of money.U128, flags journal.TransferFlags) journal.Transfer {
		id++
		return journal.Transfer{ID: money.From(id), PendingID: of, Flags: flags}
	}
	none := money.U128{}
	const pending, post, void, linked = journal.TransferPending, journal.TransferPost, journal.TransferVoid, journal.TransferLinked
	crossing := tr(a, c, pending)
	toThere := tr(c, d, pending)
	broken := tr(a, c, 0)
	broken.Code = 0
	withDebit := end(far, post)
	withDebit.Debit = a
	elsewhere := end(money.From(999), post)
	elsewhere.Debit = e
	p, err := r.Split(context.Background(), []journal.Transfer{
		tr(a, b, 0), tr(a, c, 0), tr(c, a, 0), tr(c, d, linked), tr(d, c, 0), tr(e, a, 0), // 0…5
		end(local, post), end(there, void), end(far, post), end(money.From(999), post), // 6…9
		crossing, end(crossing.ID, post), toThere, end(toThere.ID, void), // 10…13
		broken, tr(none, c, 0), withDebit, elsewhere, // 14…17
		tr(a, c, 1<<13), // 18
	}, find)
	if err != nil {
		t.Fatal(err)
	}
	for name, part := range map[string][2][]int{
		"here": {p.Here, {0, 6, 9, 14, 15, 18}}, "cross": {p.Cross, {1, 10}}, "endings": {p.Endings, {8, 16}}, "late": {p.Late, {11}},
		"in cell 2": {p.There[2], {2, 3, 4, 7, 12, 13}}, "in cell 3": {p.There[3], {5, 17}},
	} {
		if !slices.Equal(part[0], part[1]) {
			t.Errorf("%s: %v, want %v", name, part[0], part[1])
		}
	}
	for name, list := range map[string][]journal.Transfer{
		"linked": {tr(a, c, linked), tr(a, b, 0)}, "the end of a chain": {tr(a, b, linked), tr(a, c, 0)}, "a chain of two cells": {tr(a, b, linked), tr(c, d, 0)},
		"balancing": {tr(a, c, journal.TransferBalancingDebit)}, "closing": {tr(a, c, pending|journal.TransferClosingCredit)},
		"imported": {tr(a, c, journal.TransferImported)}, "imported ones of two cells": {tr(a, b, journal.TransferImported), tr(c, d, journal.TransferImported)},
		"a part of it": {end(far, post|journal.TransferKeepRemainder)}, "a linked post": {end(far, post|linked), tr(a, b, 0)},
		"too much": {tr(a, b, 0), huge(tr(a, c, 0))}, "too much of another cell": {huge(tr(c, a, pending))},
		"a fence of nobody's": {end(money.From(999), void|journal.TransferFence)},
	} {
		refused := (*router.RefusedError)(nil)
		if p, err := r.Split(context.Background(), list, find); !errors.As(err, &refused) || refused.Reason == "" {
			t.Errorf("%s: %+v, %v", name, p, err)
		}
	}
	failing := func(context.Context, []money.U128) (map[money.U128]router.Found, error) { return nil, errBurned }
	if _, err := r.Split(context.Background(), []journal.Transfer{end(far, post)}, failing); !errors.Is(err, errBurned) {
		t.Errorf("nobody knows where it is: %v", err)
	}
	for _, one := range []struct {
		list []journal.Transfer
		want uint64
	}{{[]journal.Transfer{tr(a, b, 0), tr(b, a, 0)}, 1}, {[]journal.Transfer{tr(c, d, 0), end(there, post)}, 2}, {[]journal.Transfer{tr(a, b, 0), tr(c, d, 0)}, 0}, {[]journal.Transfer{tr(a, c, 0)}, 0}} {
		got, err := r.OneCell(context.Background(), one.list, find)
		if got != one.want || (err == nil) != (one.want != 0) {
			t.Errorf("%+v: cell %d, %v; want %d", one.list, got, err, one.want)
		}
	}
}

// huge is t with the least amount that can't cross cells.
func huge(t journal.Transfer) journal.Transfer {
	t.Amount = money.U128{Hi: 1 << 32}
	return t
}

func TestHere(t *testing.T) {
	m := threeCells()
	a, b, c, _, _ := accounts(t, m)
	r := router.NewRouter(1, m)
	post := journal.Transfer{Debit: a, Credit: b, Flags: journal.TransferPost}
	blind := journal.Transfer{Debit: a, Flags: journal.TransferVoid}
	for name, one := range map[string]struct {
		list []journal.Transfer
		want bool
	}{
		"none": {nil, true}, "own": {[]journal.Transfer{{Debit: a, Credit: b}, post}, true}, "credit elsewhere": {[]journal.Transfer{{Debit: a, Credit: b}, {Debit: a, Credit: c}}, false},
		"debit elsewhere": {[]journal.Transfer{{Debit: c, Credit: b}}, false}, "a post that names one account": {[]journal.Transfer{blind}, false},
	} {
		if got := r.Here(one.list); got != one.want {
			t.Errorf("%s: %v", name, got)
		}
	}
	newer := threeCells()
	newer.Version = 2
	for i := range newer.Buckets {
		newer.Buckets[i] = 1
	}
	r.SetMap(newer)
	r.SetMap(m) // older: it is not taken
	if !r.Here([]journal.Transfer{{Debit: a, Credit: c}}) || r.Home(c) != 1 || r.Map() != newer {
		t.Error("the newest map does not count")
	}
	if !r.AccountsHere([]journal.Account{{ID: c}}) || router.NewRouter(1, m).AccountsHere([]journal.Account{{ID: a}, {ID: c}}) {
		t.Error("accounts are elsewhere")
	}
}

// BenchmarkHere is what a full request costs more where there are other cells, and none of it is for them.
func BenchmarkHere(b *testing.B) {
	m := threeCells()
	for i := range m.Buckets {
		m.Buckets[i] = 1
	}
	r := router.NewRouter(1, m)
	list := make([]journal.Transfer, journal.MaxEvents)
	for i := range list {
		list[i] = journal.Transfer{Debit: money.From(uint64(i) + 1), Credit: money.From(uint64(i) + 7)}
	}
	for b.Loop() {
		if !r.Here(list) {
			b.Fatal("it is here")
		}
	}
}
