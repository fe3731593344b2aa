package ledger_test

import (
	"testing"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/ledger"
	"github.com/sterlingrun/sterling/money"
)

// TestIDsWhoseHashesCollide uses a key under which ids 19 and 47 have the same hash. The reservation 47 is open when
// Needs is asked and ended by an earlier event when the last one looks for it, which then meets 19, too.
func TestIDsWhoseHashesCollide(t *testing.T) {
	s := ledger.New(ledger.Config{HashKey: [2]uint64{205, 9}})
	b := journal.NewBuilder()
	var fx ledger.Effects
	blocks := map[uint64]*journal.Block{}
	block := func(seq uint64, kind journal.Kind, events []byte) []journal.Result {
		s.Begin(b, &fx, seq, seq*1000)
		var facts ledger.Facts
		for _, n := range s.Needs(kind, events, nil) {
			if facts.At == nil {
				facts.At = map[journal.Position]ledger.Fact{}
			}
			k, i := blocks[n.Position.Seq()], n.Position.Index()
			facts.At[n.Position] = ledger.NewFact(k.Transfer(i), k.Outcome(i), k.Attachment(i), k.Header.Time+uint64(i))
		}
		results := make([]journal.Result, len(events)/journal.RecordSize)
		s.Apply(kind, journal.Actor{}, events, facts, results)
		k := b.Seal(journal.Header{Kind: journal.BlockNormal, Seq: seq, Time: seq * 1000, Rules: ledger.Rules})
		k.Raw = append([]byte(nil), k.Raw...)
		kept, err := journal.Decode(k.Raw)
		if err != nil {
			t.Fatal(err)
		}
		blocks[seq] = kept
		s.End(kept)
		s.Release(seq)
		return results
	}
	block(1, journal.KindAccounts, journal.Bytes([]journal.Account{{ID: money.From(1), Asset: 1, Code: 1}, {ID: money.From(2), Asset: 1, Code: 1}}))
	plain := journal.Transfer{ID: money.From(19), Debit: money.From(1), Credit: money.From(2), Amount: money.From(5), Asset: 1, Code: 1}
	block(2, journal.KindTransfers, journal.Bytes([]journal.Transfer{plain}))
	pending := plain
	pending.ID, pending.Flags = money.From(47), journal.TransferPending
	block(3, journal.KindTransfers, journal.Bytes([]journal.Transfer{pending}))
	results := block(4, journal.KindTransfers, journal.Bytes([]journal.Transfer{
		{ID: money.From(100), PendingID: money.From(47), Flags: journal.TransferVoid},
		{ID: money.From(101), PendingID: money.From(47), Amount: money.Max(), Flags: journal.TransferPost},
	}))
	if results[0].Status != journal.Created || results[1].Status != journal.TransferPendingTransferAlreadyVoided {
		t.Errorf("void and post: %v", results)
	}
}
