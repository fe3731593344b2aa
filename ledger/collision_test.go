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
	w := newBlockWriter(t, ledger.Config{HashKey: [2]uint64{205, 9}})
	w.block(journal.KindAccounts, journal.Bytes([]journal.Account{{ID: money.From(1), Asset: 1, Code: 1}, {ID: money.From(2), Asset: 1, Code: 1}}))
	plain := journal.Transfer{ID: money.From(19), Debit: money.From(1), Credit: money.From(2), Amount: money.From(5), Asset: 1, Code: 1}
	w.block(journal.KindTransfers, journal.Bytes([]journal.Transfer{plain}))
	pending := plain
	pending.ID, pending.Flags = money.From(47), journal.TransferPending
	w.block(journal.KindTransfers, journal.Bytes([]journal.Transfer{pending}))
	results := w.block(journal.KindTransfers, journal.Bytes([]journal.Transfer{
		{ID: money.From(100), PendingID: money.From(47), Flags: journal.TransferVoid},
		{ID: money.From(101), PendingID: money.From(47), Amount: money.Max(), Flags: journal.TransferPost},
	}))
	if results[0].Status != journal.Created || results[1].Status != journal.TransferPendingTransferAlreadyVoided {
		t.Errorf("void and post: %v", results)
	}
}

// TestFenceOfABurnedID uses a key under which all ids of one low half have the same hash. An id burns; a fence finds it
// burned, and burns only its own id. Whoever asks for the first must be told of the first, though the second's event
// names it, too, and stands in a younger generation.
func TestFenceOfABurnedID(t *testing.T) {
	w := newBlockWriter(t, ledger.Config{HashKey: [2]uint64{5, 9}, Generation: 2})
	w.block(journal.KindAccounts, journal.Bytes([]journal.Account{{ID: money.From(1), Asset: 1, Code: 1}}))
	burned, fence := money.U128{Lo: 5, Hi: 1}, money.U128{Lo: 5, Hi: 2}
	results := w.block(journal.KindTransfers, journal.Bytes([]journal.Transfer{
		{ID: burned, Debit: money.From(1), Credit: money.From(404), Amount: money.From(5), Asset: 1, Code: 1},
		{ID: money.From(77), Debit: money.From(1), Credit: money.From(404), Amount: money.From(5), Asset: 1, Code: 1},
	}))
	if results[0].Status != journal.TransferCreditAccountNotFound {
		t.Fatalf("to nobody: %v", results)
	}
	first := results[0].Timestamp
	results = w.block(journal.KindTransfers, journal.Bytes([]journal.Transfer{{ID: fence, PendingID: burned, Flags: journal.TransferVoid | journal.TransferFence}}))
	if results[0].Status != journal.TransferPendingTransferNotFound {
		t.Fatalf("fence: %v", results)
	}
	change := journal.MetadataChange{ID: burned, Account: money.From(1), Flags: journal.TransferHead}
	results = w.block(journal.KindMetadata, journal.Bytes([]journal.MetadataChange{change}))
	if results[0].Status != journal.ControlExistsWithDifferentFields || results[0].Timestamp != first {
		t.Errorf("a burned id used again: %v, want that it burned at %d", results, first)
	}
}

// blockWriter applies one request after the other, each in a block of its own.
type blockWriter struct {
	*testing.T
	state   *ledger.State
	builder *journal.Builder
	fx      ledger.Effects
	blocks  []*journal.Block
}

func newBlockWriter(t *testing.T, c ledger.Config) *blockWriter {
	t.Helper()
	return &blockWriter{T: t, state: ledger.New(c), builder: journal.NewBuilder()}
}

func (w *blockWriter) block(kind journal.Kind, events []byte) []journal.Result {
	w.Helper()
	seq := uint64(len(w.blocks) + 1)
	w.state.Begin(w.builder, &w.fx, seq, seq*1000)
	var facts ledger.Facts
	for _, n := range w.state.Needs(kind, events, nil) {
		if facts.At == nil {
			facts.At = map[journal.Position]ledger.Fact{}
		}
		k, i := w.blocks[n.Position.Seq()-1], n.Position.Index()
		facts.At[n.Position] = ledger.NewFact(k.Transfer(i), k.Outcome(i), k.Attachment(i), k.Header.Time+uint64(i))
	}
	results := make([]journal.Result, len(events)/journal.RecordSize)
	w.state.Apply(kind, journal.Actor{}, events, facts, results)
	k := w.builder.Seal(journal.Header{Kind: journal.BlockNormal, Seq: seq, Time: seq * 1000, Rules: ledger.Rules})
	kept, err := journal.Decode(append([]byte(nil), k.Raw...))
	if err != nil {
		w.Fatal(err)
	}
	w.blocks = append(w.blocks, kept)
	w.state.End(kept)
	w.state.Release(seq)
	return results
}
