package ledger_test

import (
	"testing"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/ledger"
	"github.com/sterlingrun/sterling/money"
)

func TestSmoke(t *testing.T) {
	s := ledger.New(ledger.Config{HashKey: [2]uint64{1, 2}})
	b := journal.NewBuilder()
	var fx ledger.Effects
	s.Begin(b, &fx, 1, 1000)
	s.Expire()
	acc := []journal.Account{{ID: money.From(1), Asset: 1, Code: 1}, {ID: money.From(2), Asset: 1, Code: 1, Flags: journal.AccountHistory}}
	res := make([]journal.Result, 2)
	t.Log(s.Apply(journal.KindAccounts, journal.Actor{}, journal.Bytes(acc), ledger.Facts{}, res), res)
	tr := []journal.Transfer{
		{ID: money.From(10), Debit: money.From(1), Credit: money.From(2), Amount: money.From(100), Asset: 1, Code: 1, Flags: journal.TransferPending, Timeout: 10},
		{ID: money.From(11), PendingID: money.From(10), Amount: money.Max(), Flags: journal.TransferPost},
		{ID: money.From(11), PendingID: money.From(10), Amount: money.Max(), Flags: journal.TransferPost},
		{ID: money.From(12), PendingID: money.From(10), Amount: money.Max(), Flags: journal.TransferPost},
		{ID: money.From(13), PendingID: money.From(99), Flags: journal.TransferVoid | journal.TransferFence},
		{ID: money.From(99), Debit: money.From(1), Credit: money.From(2), Amount: money.From(100), Asset: 1, Code: 1},
	}
	res = make([]journal.Result, len(tr))
	s.Needs(journal.KindTransfers, journal.Bytes(tr), nil)
	s.Apply(journal.KindTransfers, journal.Actor{}, journal.Bytes(tr), ledger.Facts{}, res)
	for i, want := range []string{"created", "created", "exists", "pending_transfer_already_posted", "pending_transfer_not_found", "id_already_failed"} {
		if got := res[i].Status.Name(journal.KindTransfers); got != want {
			t.Errorf("event %d: %s, want %s", i, got, want)
		}
	}
	k := b.Seal(journal.Header{Kind: journal.BlockNormal, Seq: 1, Time: 1000, Rules: ledger.Rules})
	s.End(k)
	s2 := ledger.New(ledger.Config{HashKey: [2]uint64{3, 2}})
	if err := s2.Replay(k, journal.NewBuilder(), &fx, nil); err != nil {
		t.Fatal(err)
	}
	if s.Digest() != s2.Digest() {
		t.Error("digest")
	}
}
