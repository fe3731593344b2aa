package ledger_test

import (
	"bytes"
	"encoding/hex"
	"flag"
	"os"
	"testing"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/ledger"
	"github.com/sterlingrun/sterling/money"
)

var update = flag.Bool("update", false, "write the golden files anew")

// goldenState has one of everything that a snapshot holds.
func goldenState(t *testing.T) *ledger.State {
	t.Helper()
	s := ledger.New(ledger.Config{HashKey: [2]uint64{0x0123456789abcdef, 0xfedcba9876543210}})
	b := journal.NewBuilder()
	var fx ledger.Effects
	s.Begin(b, &fx, 1, 1_700_000_000_000_000_000)
	s.Expire()
	id := func(n uint64) money.U128 { return money.U128{Lo: n, Hi: n << 8} }
	apply(t, s, journal.KindAssets, 1, []journal.Asset{ledger.AssetRecord(money.Asset{Code: "CNY", Scale: 2})})
	apply(t, s, journal.KindAccounts, 1, []journal.Account{
		{ID: id(1), Asset: 1, Code: 1, UserData64: 7}, {ID: id(2), Asset: 1, Code: 2, Flags: journal.AccountHistory},
	})
	apply(t, s, journal.KindLimits, 1, []journal.Limit{{ID: id(50), Account: id(1), Side: journal.FreezeDebit, DayAmount: money.From(1000)}})
	apply(t, s, journal.KindTransfers, 1, []journal.Transfer{
		{ID: id(10), Debit: id(1), Credit: id(2), Amount: money.From(100), Asset: 1, Code: 9},
		{ID: id(11), Debit: id(1), Credit: id(2), Amount: money.From(200), Asset: 1, Code: 9, Flags: journal.TransferPending, Timeout: 60},
		{ID: id(12), Debit: id(1), Credit: id(2), Amount: money.From(300), Asset: 1, Code: 9, Flags: journal.TransferPending},
		{ID: id(13), PendingID: id(12), Amount: money.From(40), Flags: journal.TransferPost},
		{ID: id(14), Debit: id(3), Credit: id(2), Amount: money.From(1), Asset: 1, Code: 9},
	})
	apply(t, s, journal.KindFreeze, 1, []journal.Freeze{
		{ID: id(60), Account: id(1), Selector: journal.SelectAccount, Mode: journal.FreezeDebit},
		{ID: id(61), Code: 9, Selector: journal.SelectCode, Mode: journal.FreezeAll},
	})
	apply(t, s, journal.KindUnfreeze, 2, []journal.Unfreeze{{ID: id(62), FreezeID: id(61)}})
	s.End(b.Seal(journal.Header{Rules: ledger.Rules, Kind: journal.BlockNormal, Cell: 1, Seq: 1, Time: 1_700_000_000_000_000_000}))
	return s
}

func apply[T journal.Record](t *testing.T, s *ledger.State, kind journal.Kind, actor byte, events []T) {
	t.Helper()
	s.Needs(kind, journal.Bytes(events), nil)
	if !s.Apply(kind, journal.Actor{actor}, journal.Bytes(events), ledger.Facts{}, make([]journal.Result, len(events))) {
		t.Fatalf("a request of kind %d changes nothing", kind)
	}
}

// TestStateFormat: the format of a state in a snapshot is what it was, and what docs/formats.md says.
func TestStateFormat(t *testing.T) {
	s := goldenState(t)
	got, more := s.StartSnapshot(1).Next(nil, 1<<20)
	if more {
		t.Fatal("the snapshot does not fit one piece")
	}
	const path = "testdata/state-v2.hex"
	if *update {
		if err := os.WriteFile(path, []byte(hex.EncodeToString(got)+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	want, err := hex.DecodeString(string(bytes.TrimSpace(text)))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Fatal("the state is written in another way than testdata/state-v2.hex: a new format needs a new version")
	}
	// 160 fixed bytes, an asset, two freezes, a limit in force, a limit record, the books with two rows of a day, two
	// accounts, the end of their details, a reservation, five ids and the end: as in the specification.
	if size := 160 + 128 + 2*257 + 189 + 152 + (184 + 2*60) + 2*128 + 4 + 120 + 5*16 + 16 + 8; len(got) != size {
		t.Fatalf("%d bytes, the specification adds up to %d", len(got), size)
	}
	back, seq, err := ledger.Restore(ledger.Config{}, bytes.NewReader(want))
	if err != nil || seq != 1 || back.Digest() != s.Digest() || back.Counts() != s.Counts() {
		t.Fatalf("restored: block %d, %v, counts %+v, want %+v", seq, err, back.Counts(), s.Counts())
	}
}
