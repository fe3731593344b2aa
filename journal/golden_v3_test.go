package journal_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"testing"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/money"
)

const (
	vectorFile3  = "testdata/blocks-v3.json"
	refusedFile3 = "testdata/refused-v3.json"
)

// goldenTransit is transfer 100 of account 1 to account 2, which lies in cell 9; the reserve of the attempt is 200.
func goldenTransit(step journal.TransitStep) *journal.Details {
	return &journal.Details{Transit: &journal.Transit{
		Transfer: money.From(100), Reserve: money.U128{Hi: 1, Lo: 200}, Debit: money.From(1), Credit: money.From(2), Peer: 9,
		Timeout: 60, Flags: journal.TransferPending, Step: step,
	}}
}

// goldenBlocks3 have every step of a transfer across cells, and an account of the cell's own.
func goldenBlocks3() (names []string, blocks []*journal.Block) {
	var prev journal.Hash
	add := func(name string, fill func(b *journal.Builder)) {
		b := journal.NewBuilder()
		fill(b)
		h := journal.Header{Kind: journal.BlockNormal, Cell: 7, Rules: 3, Epoch: 3, Seq: uint64(len(blocks)) + 1, Prev: prev}
		h.Acked, h.Time = h.Seq-1, 1_700_000_000_000_000_000+h.Seq*1000
		k := b.Seal(h)
		names, blocks, prev = append(names, name), append(blocks, k), k.Hash
	}
	const transit, hold = journal.TransferTransit | journal.TransferAttached, journal.TransferHold | journal.TransferPending
	step := func(b *journal.Builder, list ...journal.Transfer) (first int) {
		for i := range list {
			list[i].Asset, list[i].Code = 1, 5
			list[i].Flags |= transit
		}
		first, _ = b.AddRequest(journal.KindTransfers, journal.Actor{1}, journal.Bytes(list))
		return first
	}
	reserve := money.U128{Hi: 1, Lo: 200}
	add("the first step of a transfer across cells, and an account of the cell's own", func(b *journal.Builder) {
		b.AddRequest(journal.KindAccounts, journal.Actor{1}, journal.Bytes([]journal.Account{{ID: money.From(90), Asset: 1, Code: 65535, Flags: journal.AccountTransit}}))
		first := step(b, journal.Transfer{ID: reserve, Debit: money.From(1), Credit: money.From(90), Amount: money.From(5), PendingID: money.From(100), Flags: hold})
		d := goldenTransit(journal.TransitReserve)
		d.BookingDate, d.Metadata = 19_700, []journal.Meta{journal.Text("order", "17")}
		b.Attach(first, d.Append(nil))
	})
	add("a commit", func(b *journal.Builder) {
		first := step(b,
			journal.Transfer{ID: money.From(201), PendingID: reserve, Flags: journal.TransferVoid | journal.TransferLinked},
			journal.Transfer{ID: money.From(202), Debit: money.From(90), Credit: money.From(91), Amount: money.From(5), PendingID: money.From(100), Flags: hold | journal.TransferLinked},
			journal.Transfer{ID: money.From(100), Debit: money.From(1), Credit: money.From(90), Amount: money.From(5), Timeout: 60, Flags: journal.TransferPending})
		b.Attach(first, goldenTransit(journal.TransitDecide).Append(nil))
		marker := goldenTransit(journal.TransitMarker)
		marker.Transit.Status = journal.Created
		b.Attach(first+1, marker.Append(nil))
		b.Attach(first+2, goldenTransit(journal.TransitTransfer).Append(nil))
		b.AddOutcome(journal.Outcome{Event: uint32(first), Status: journal.Created, Timestamp: 1_700_000_000_000_002_000, Amount: money.From(5), PendingPosition: journal.At(1, 1)})
	})
	add("what the other cell has of it, and the end", func(b *journal.Builder) {
		first := step(b,
			journal.Transfer{ID: money.From(203), Debit: money.From(92), Credit: money.From(2), Amount: money.From(5), PendingID: money.From(100), Flags: hold},
			journal.Transfer{ID: money.From(204), PendingID: money.From(203), Flags: journal.TransferVoid | journal.TransferFence},
			journal.Transfer{ID: money.From(205), Amount: money.From(5), PendingID: money.From(202), Flags: journal.TransferPost})
		for i, s := range []journal.TransitStep{journal.TransitHold, journal.TransitConfirm, journal.TransitSettle} {
			b.Attach(first+i, goldenTransit(s).Append(nil))
		}
	})
	return names, blocks
}

// TestGoldenBlocksOfVersion3 binds encoder and decoder to the vectors, as TestGoldenBlocks does for version 1.
func TestGoldenBlocksOfVersion3(t *testing.T) {
	names, blocks := goldenBlocks3()
	var made []vector2
	for i, k := range blocks {
		made = append(made, describe2(t, names[i], k))
	}
	if *update {
		writeJSON(t, vectorFile3, made)
		writeJSON(t, refusedFile3, refusals3(blocks[0]))
	}
	b, err := os.ReadFile(vectorFile3)
	if err != nil {
		t.Fatal(err)
	}
	var want []vector2
	if err := json.Unmarshal(b, &want); err != nil || len(want) != len(made) {
		t.Fatalf("%s has %d vectors, want %d: %v", vectorFile3, len(want), len(made), err)
	}
	for i := range want {
		k, err := journal.Decode(want[i].raw(t))
		if err != nil || k.Header.Version != 3 {
			t.Fatalf("%s: version %d, %v", want[i].Name, k.Header.Version, err)
		}
		for what, got := range map[string]vector2{"encoded": made[i], "decoded": describe2(t, want[i].Name, k)} {
			if a, b := toJSON(t, got), toJSON(t, want[i]); !bytes.Equal(a, b) {
				t.Errorf("%s, %s: got\n%s\nwant\n%s", want[i].Name, what, a, b)
			}
		}
	}
}

// refusals3 are made from a good block.
func refusals3(good *journal.Block) (list []refusal) {
	h := &good.Header
	alter := func(name string, at int, to byte) {
		b := bytes.Clone(good.Raw)
		b[at] = to
		rehash(b)
		list = append(list, refusal{Name: name, Block: hex.EncodeToString(b)})
	}
	alter("version 2", 8, 2)
	alter("version 4", 8, 4)
	_, offset, length := h.AttachmentAt(good.Raw[h.AttachmentEntries() : h.AttachmentEntries()+journal.AttachmentSize])
	alter("version 3 without a transit field", offset+length-81-5, 9)
	return list
}

// TestRefusedBlocksOfVersion3: every decoder must refuse them.
func TestRefusedBlocksOfVersion3(t *testing.T) {
	b, err := os.ReadFile(refusedFile3)
	if err != nil {
		t.Fatal(err)
	}
	var list []refusal
	if err := json.Unmarshal(b, &list); err != nil {
		t.Fatal(err)
	}
	_, blocks := goldenBlocks3()
	if want := refusals3(blocks[0]); !bytes.Equal(toJSON(t, list), toJSON(t, want)) {
		t.Fatalf("%s is not what the vectors give", refusedFile3)
	}
	for _, r := range list {
		raw, err := hex.DecodeString(r.Block)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := journal.Decode(raw); !errors.Is(err, journal.ErrFormat) {
			t.Errorf("%s: got error %v, want ErrFormat", r.Name, err)
		}
	}
}
