package index

import (
	"context"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/ledger"
)

// TestViewWhileIngested: what was in memory when a query began reaches Pebble, with more, before the query looks
// there. It must see each value once, and nothing newer than its view.
func TestViewWhileIngested(t *testing.T) {
	x, err := Open("idx", Options{FS: vfs.NewMem()})
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	var hash journal.Hash
	add := func(seq uint64) {
		t.Helper()
		b := journal.NewBuilder()
		b.AddRequest(journal.KindAccounts, journal.Actor{}, journal.Bytes([]journal.Account{{UserData32: 9}}))
		b.AddRequest(journal.KindTransfers, journal.Actor{}, make([]byte, journal.RecordSize))
		k := b.Seal(journal.Header{Kind: journal.BlockNormal, Seq: seq, Time: seq * 1000, Prev: hash})
		hash = k.Hash
		fx := &ledger.Effects{
			Accounts:  []ledger.AccountEffect{{Event: 0, Number: uint32(seq)}},
			Transfers: []ledger.TransferEffect{{Event: 1, Debit: 1, Credit: 2}},
		}
		if err := x.Add(k, fx); err != nil {
			t.Fatal(err)
		}
	}
	flush := func() {
		t.Helper()
		if err := x.Flush(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	add(1)
	flush()
	add(2)
	inMemory := x.view()
	defer func() { _ = inMemory.close() }() // it was only read
	flush()
	add(3)
	flush()
	nothingInMemory := x.view()
	defer func() { _ = nothingInMemory.close() }() // it was only read
	add(4)
	flush()
	for _, c := range []struct {
		name string
		v    *view
		want []uint64
	}{{"part in memory", inMemory, []uint64{1, 2}}, {"nothing in memory", nothingInMemory, []uint64{1, 2, 3}}} {
		for _, descending := range []bool{false, true} {
			for _, k := range []listKey{accountList(1), {tag: tagAccountData32, lo: 9}} {
				want := slices.Clone(c.want)
				if descending {
					slices.Reverse(want)
				}
				if got := walk(t, c.v, k, descending); !slices.Equal(got, want) {
					t.Errorf("%s, list %q, descending %v: blocks %v, want %v", c.name, k.tag, descending, got, want)
				}
			}
		}
		if got := marks(t, c.v); !slices.Equal(got, c.want) {
			t.Errorf("%s, marks: blocks %v, want %v", c.name, got, c.want)
		}
	}
}

// walk returns the blocks of a list's values.
func walk(t *testing.T, v *view, k listKey, descending bool) []uint64 {
	t.Helper()
	hi := v.top
	if k.numbers() {
		hi = v.numbers
	}
	l := v.open(k, 0, hi, descending)
	var found []uint64
	for j := newJoin([]*list{l}, 0, hi, descending); !j.ended; {
		p, common, err := j.step()
		if err != nil {
			t.Fatal(err)
		}
		if !common {
			continue
		}
		if k.numbers() {
			found = append(found, p)
		} else {
			found = append(found, journal.Position(p).Seq())
		}
	}
	return found
}

// marks returns the blocks of all marks.
func marks(t *testing.T, v *view) []uint64 {
	t.Helper()
	var found []uint64
	m, ok, err := v.times.atLeast(0)
	for ; ok && err == nil; m, ok, err = v.times.atLeast(m.first + 1) {
		found = append(found, m.seq)
	}
	if err != nil {
		t.Fatal(err)
	}
	return found
}
