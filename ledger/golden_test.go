package ledger_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/ledger"
	"github.com/sterlingrun/sterling/money"
)

var update = flag.Bool("update", false, "write the golden files anew")

// goldenState has one of everything that a snapshot holds: a settled generation, and what events of the next block leave.
func goldenState(t *testing.T, ids *idFiles, events func(s *ledger.State, answer func([]ledger.Need) ledger.Facts)) *ledger.State {
	t.Helper()
	s := ledger.New(ids.config([2]uint64{0x0123456789abcdef, 0xfedcba9876543210}, 5))
	b := firstGoldenBlock(t, s)
	s.End(b.Seal(journal.Header{Rules: ledger.Rules, Kind: journal.BlockNormal, Cell: 1, Seq: 1, Time: 1_700_000_000_000_000_000}))
	s.Release(1)
	ids.settle(s)
	var fx ledger.Effects
	s.Begin(b, &fx, 2, 1_700_000_001_000_000_000)
	s.Expire()
	events(s, func(needs []ledger.Need) ledger.Facts {
		facts := ledger.Facts{IDs: map[uint64][]uint64{}}
		for _, n := range needs {
			ids.answer(n, &facts)
		}
		return facts
	})
	s.End(b.Seal(journal.Header{Rules: ledger.Rules, Kind: journal.BlockNormal, Cell: 1, Seq: 2, Time: 1_700_000_001_000_000_000}))
	return s
}

// goldenVoid voids a reservation of the settled generation: all that version 2 of the format can hold.
func goldenVoid(t *testing.T) func(*ledger.State, func([]ledger.Need) ledger.Facts) {
	return func(s *ledger.State, answer func([]ledger.Need) ledger.Facts) {
		events := journal.Bytes([]journal.Transfer{{ID: goldenID(20), PendingID: goldenID(11), Flags: journal.TransferVoid}})
		facts := answer(s.Needs(journal.KindTransfers, events, nil))
		if !s.Apply(journal.KindTransfers, journal.Actor{1}, events, facts, make([]journal.Result, 1)) {
			t.Fatal("the void changes nothing")
		}
	}
}

// goldenTransits commits a transfer across cells, whose marker stays open.
func goldenTransits(t *testing.T) func(*ledger.State, func([]ledger.Need) ledger.Facts) {
	return func(s *ledger.State, answer func([]ledger.Need) ledger.Facts) {
		apply(t, s, journal.KindAccounts, 1, []journal.Account{
			{ID: goldenID(90), Asset: 1, Code: 65535, Flags: journal.AccountTransit}, {ID: goldenID(91), Asset: 1, Code: 65534, Flags: journal.AccountTransit},
		})
		reserve := func(n, of uint64) crossEvent {
			return crossEvent{journal.TransitReserve, 0, journal.Transfer{ID: goldenID(n), Debit: goldenID(2), Credit: goldenID(90), Amount: money.From(5), Flags: journal.TransferPending | journal.TransferHold}, n, of}
		}
		events, attached := crossEvents(
			reserve(100, 30),
			crossEvent{journal.TransitDecide, 0, journal.Transfer{ID: goldenID(101), PendingID: goldenID(100), Flags: journal.TransferVoid | journal.TransferLinked}, 100, 30},
			crossEvent{journal.TransitMarker, journal.Created, journal.Transfer{ID: goldenID(102), Debit: goldenID(90), Credit: goldenID(91), Amount: money.From(5), Flags: journal.TransferPending | journal.TransferHold | journal.TransferLinked}, 100, 30},
			crossEvent{journal.TransitTransfer, 0, journal.Transfer{ID: goldenID(30), Debit: goldenID(2), Credit: goldenID(90), Amount: money.From(5)}, 100, 30},
		)
		apply(t, s, journal.KindBuckets, 1, []journal.BucketMove{{ID: goldenID(900), Peer: 9, Version: 2, Bucket: 5, Step: journal.BucketArrive}})
		s.Attach(attached)
		if !s.Apply(journal.KindTransfers, journal.Actor{1}, journal.Bytes(events), answer(s.Needs(journal.KindTransfers, journal.Bytes(events), nil)), make([]journal.Result, len(events))) {
			t.Fatal("the commit changes nothing")
		}
	}
}

// crossEvent is a step of transfer of from account 2 to account 7 of cell 9, in the attempt whose reserve is n.
type crossEvent struct {
	step   journal.TransitStep
	status journal.Status
	record journal.Transfer
	n, of  uint64
}

func crossEvents(list ...crossEvent) (events []journal.Transfer, attached []journal.Attachment) {
	for i, e := range list {
		t := e.record
		t.Flags |= journal.TransferTransit | journal.TransferAttached
		if t.Flags.Has(journal.TransferHold) {
			t.PendingID = goldenID(e.of)
		}
		if !t.Flags.Has(journal.TransferVoid | journal.TransferPost) {
			t.Asset, t.Code = 1, 9
		}
		x := &journal.Transit{Step: e.step, Status: e.status, Transfer: goldenID(e.of), Reserve: goldenID(e.n), Debit: goldenID(2), Credit: goldenID(7), Peer: 9}
		events = append(events, t)
		attached = append(attached, journal.Attachment{Event: i, Data: (&journal.Details{Transit: x}).Append(nil)})
	}
	return events, attached
}

func goldenID(n uint64) money.U128 { return money.U128{Lo: n, Hi: n << 8} }

// firstGoldenBlock is all that testdata/state-v1.hex has.
func firstGoldenBlock(t *testing.T, s *ledger.State) *journal.Builder {
	b := journal.NewBuilder()
	var fx ledger.Effects
	s.Begin(b, &fx, 1, 1_700_000_000_000_000_000)
	s.Expire()
	id := goldenID
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
	return b
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
	ids := newIDFiles()
	s := goldenState(t, ids, goldenTransits(t))
	got, more := s.StartSnapshot(2).Next(nil, 1<<20)
	if more {
		t.Fatal("the snapshot does not fit one piece")
	}
	const path = "testdata/state-v3.hex"
	if *update {
		if err := os.WriteFile(path, []byte(hex.EncodeToString(got)+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want := readHex(t, path)
	if !bytes.Equal(got, want) {
		t.Fatal("the state is written in another way than testdata/state-v3.hex: a new format needs a new version")
	}
	// 160 fixed bytes, the generations and one of them, an asset, two freezes, a limit in force, a limit record, the books
	// with three rows of a day, how one transfer ended and a bucket, four accounts, the end of their details, two reservations, four
	// ids and the end: as in the specification.
	if size := 160 + 16 + 64 + 128 + 2*257 + 189 + 152 + (184 + 3*60 + 4 + 24 + 8 + 75) + 4*128 + 4 + 2*120 + 4*16 + 16 + 8; len(got) != size {
		t.Fatalf("%d bytes, the specification adds up to %d", len(got), size)
	}
	back, seq, err := ledger.Restore(ids.config([2]uint64{}, 5), bytes.NewReader(want))
	if err != nil || seq != 2 {
		t.Fatalf("restored: block %d, %v", seq, err)
	}
	if err := equalStates(s, back); err != nil {
		t.Fatal(err)
	}
}

func readHex(t *testing.T, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b, err := hex.DecodeString(string(bytes.TrimSpace(text)))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestIDsOfAnotherSize: a snapshot with more ids than a generation takes, such as one of a cell that kept all of them in
// memory, makes several generations at once.
func TestIDsOfAnotherSize(t *testing.T) {
	want := ledger.New(ledger.Config{HashKey: [2]uint64{0x0123456789abcdef, 0xfedcba9876543210}})
	b := firstGoldenBlock(t, want)
	want.End(b.Seal(journal.Header{Rules: ledger.Rules, Kind: journal.BlockNormal, Cell: 1, Seq: 1, Time: 1_700_000_000_000_000_000}))
	image := takeSnapshot(want, 1)
	for size, unsettled := range map[int]int{0: 0, 10: 0, 3: 0, 2: 3, 1: 5} {
		ids := newIDFiles()
		s, seq, err := ledger.Restore(ids.config([2]uint64{}, size), bytes.NewReader(image))
		if err != nil || seq != 1 {
			t.Fatalf("restored: block %d, %v", seq, err)
		}
		if err := equalStates(want, s); err != nil {
			t.Fatal(err)
		}
		if s.Unsettled() != unsettled {
			t.Errorf("with generations of %d ids: %d were made, want %d", size, s.Unsettled(), unsettled)
		}
		ids.settle(s)
		for _, n := range []uint64{10, 11, 12, 13, 14} {
			places := s.Candidates(goldenID(n), nil)
			if need, ok := s.SettledCandidates(goldenID(n)); ok {
				places = append(places, ids.answer(need, &ledger.Facts{})...)
			}
			if len(places) != 1 {
				t.Errorf("with generations of %d ids: id %d may stand at %v", size, n, places)
			}
		}
		again, _, err := ledger.Restore(ids.config([2]uint64{}, size), bytes.NewReader(takeSnapshot(s, 1)))
		if err != nil {
			t.Fatalf("a snapshot of what was restored: %v", err)
		}
		if err := equalStates(want, again); err != nil {
			t.Fatal(err)
		}
	}
}

// TestSecondStateFormat: a state of before transfers across cells is read as it was.
func TestSecondStateFormat(t *testing.T) {
	ids := newIDFiles()
	s := goldenState(t, ids, goldenVoid(t))
	back, seq, err := ledger.Restore(ids.config([2]uint64{}, 5), bytes.NewReader(readHex(t, "testdata/state-v2.hex")))
	if err != nil || seq != 2 {
		t.Fatalf("restored: block %d, %v", seq, err)
	}
	if err := equalStates(s, back); err != nil {
		t.Fatal(err)
	}
}

// TestFirstStateFormat: a state of before is refused as one, so that the journal is replayed.
func TestFirstStateFormat(t *testing.T) {
	_, _, err := ledger.Restore(ledger.Config{}, bytes.NewReader(readHex(t, "testdata/state-v1.hex")))
	if !errors.Is(err, ledger.ErrSnapshot) || !strings.Contains(err.Error(), "format version 1") {
		t.Errorf("got %v", err)
	}
}
