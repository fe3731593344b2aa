package watch_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/money"
	"github.com/sterlingrun/sterling/watch"
)

// sealed returns blocks of one request each, in a chain.
func sealed(t *testing.T, requests ...any) (raws [][]byte) {
	t.Helper()
	h := journal.Header{Kind: journal.BlockEpoch, Rules: 2, Cell: 7, Epoch: 1, Time: 1_700_000_000_000_000_000}
	for _, r := range requests {
		b := journal.NewBuilder()
		switch events := r.(type) {
		case []journal.Asset:
			b.AddRequest(journal.KindAssets, journal.Actor{1}, journal.Bytes(events))
		case []journal.Account:
			b.AddRequest(journal.KindAccounts, journal.Actor{1}, journal.Bytes(events))
		case []journal.Transfer:
			b.AddRequest(journal.KindTransfers, journal.Actor{1}, journal.Bytes(events))
		default:
			t.Fatalf("%T", r)
		}
		h.Seq++
		h.Time += 1_000_000
		k := b.Seal(h)
		h.Kind, h.Prev = journal.BlockNormal, k.Hash
		raws = append(raws, bytes.Clone(k.Raw))
	}
	return raws
}

func bank() []any {
	asset := journal.Asset{Scale: 2}
	copy(asset.Code[:], "CNY")
	return []any{
		[]journal.Asset{asset},
		[]journal.Account{{ID: money.From(1), Asset: 1, Code: 1}, {ID: money.U128{Lo: 1, Hi: 9}, Asset: 1, Code: 1}},
		[]journal.Transfer{
			{ID: money.From(10), Debit: money.From(1), Credit: money.U128{Lo: 1, Hi: 9}, Amount: money.From(25), Asset: 1, Code: 1},
			{ID: money.From(11), Debit: money.From(1), Credit: money.U128{Lo: 1, Hi: 9}, Amount: money.U128{Lo: 5, Hi: 3}, Asset: 1, Code: 1, Flags: journal.TransferPending},
		},
	}
}

func TestVerifier(t *testing.T) {
	v := watch.NewVerifier(7)
	raws := sealed(t, bank()...)
	for i, raw := range raws {
		if err := v.Block(raw); err != nil {
			t.Fatalf("block %d: %v", i+1, err)
		}
	}
	asset, sums, ok := v.Balances([2]uint64{1, 9})
	if want := [4][2]uint64{{}, {25, 0}, {}, {5, 3}}; !ok || asset != 1 || sums != want {
		t.Errorf("account 9<<64+1 has asset %d and %v", asset, sums)
	}
	if _, _, ok := v.Balances([2]uint64{9, 1}); ok {
		t.Error("account 1<<64+9 is known")
	}
	if v.Accounts() != 2 || v.Transfers() != 2 || v.Pending() != 1 || v.Events() != 5 || v.Seq() != 3 || v.Hash() == [32]byte{} {
		t.Errorf("%d accounts, %d transfers, %d pending, %d events, block %d", v.Accounts(), v.Transfers(), v.Pending(), v.Events(), v.Seq())
	}
	totals := v.Totals()
	if len(totals) != 1 || totals[0].DebitsPosted != (watch.Amount{Lo: 25}) || totals[0].CreditsPending != (watch.Amount{Lo: 5, Hi: 3}) || totals[0].Transfers != 2 {
		t.Errorf("totals %+v", totals)
	}
}

func TestVerifierFinds(t *testing.T) {
	requests := bank()
	requests = append(requests, []journal.Transfer{
		{ID: money.From(10), Debit: money.From(1), Credit: money.From(2), Amount: money.From(25), Asset: 1, Code: 1},
	}, []journal.Transfer{{ID: money.From(12), Debit: money.From(1), Credit: money.U128{Lo: 1, Hi: 9}, Asset: 1, Code: 1}})
	v := watch.NewVerifier(7)
	raws := sealed(t, requests...)
	for _, raw := range raws[:3] {
		if err := v.Block(raw); err != nil {
			t.Fatal(err)
		}
	}
	err := v.Block(raws[3])
	if !errors.Is(err, watch.ErrFound) || !strings.Contains(err.Error(), "unbalanced: transfer 10 debits an account") || !strings.Contains(err.Error(), "and 1 more in block 4") {
		t.Errorf("a transfer to nobody with an id that was there: %v", err)
	}
	bent := bytes.Clone(raws[4])
	bent[journal.HeaderSize]++
	if err := v.Block(bent); !errors.Is(err, watch.ErrFound) || !strings.Contains(err.Error(), "tampered_history") {
		t.Errorf("altered bytes: %v", err)
	}
	if err := v.Block(raws[4]); err == nil {
		t.Error("it goes on behind a block that was altered")
	}
}
