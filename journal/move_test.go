package journal_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/money"
)

const vectorFileMoves = "testdata/moves-v3.json"

// goldenMoves have every kind of request that the move of a bucket makes, as the giver writes them, then the taker.
func goldenMoves() (names []string, blocks []*journal.Block) {
	var prev journal.Hash
	add := func(name string, fill func(b *journal.Builder)) {
		b := journal.NewBuilder()
		fill(b)
		h := journal.Header{Kind: journal.BlockNormal, Cell: 7, Rules: 3, Epoch: 3, Seq: uint64(len(blocks)) + 1, Prev: prev}
		h.Acked, h.Time = h.Seq-1, 1_700_000_000_000_000_000+h.Seq*1000
		k := b.Seal(h)
		names, blocks, prev = append(names, name), append(blocks, k), k.Hash
	}
	move := journal.BucketMove{ID: money.U128{Hi: 2, Lo: 900}, Peer: 9, Version: 12, Bucket: 346, Step: journal.BucketClose}
	belongings := (&journal.Details{Address: "customer:1", Metadata: []journal.Meta{journal.Text("name", "x")}, Payload: []byte("its belongings")}).Append(nil)
	reservation := journal.Transfer{ID: money.From(11), Debit: money.From(1), Credit: money.From(3), Amount: money.From(7), Asset: 1, Code: 5, Flags: journal.TransferPending | journal.TransferAttached}
	original := (&journal.Details{BookingDate: 19_700}).Append(nil)
	handed := journal.Carried{Status: journal.Created, Standing: journal.StandingLeaves, Timestamp: 1_600_000_000_000_000_000, Amount: money.From(7), Remaining: money.From(5)}
	add("a bucket closes, and an account and a reservation leave", func(b *journal.Builder) {
		b.AddRequest(journal.KindBuckets, journal.Actor{1}, journal.Bytes([]journal.BucketMove{move}))
		first, _ := b.AddRequest(journal.KindCarry, journal.Actor{1}, journal.Bytes([]journal.Transfer{reservation}))
		b.AddOutcome(journal.Outcome{Event: uint32(first), Status: journal.Created, Timestamp: 1_700_000_000_000_001_001, Amount: money.From(7)})
		b.Attach(first, journal.AppendCarried(original, handed))
		first, _ = b.AddRequest(journal.KindGive, journal.Actor{1}, journal.Bytes([]journal.Handover{
			{Move: move.ID, Account: money.From(1), Clearing: money.From(92)},
		}))
		b.Attach(first, belongings)
		given := move
		given.Step, given.Accounts, given.Reservations, given.Digest = journal.BucketGiven, 1, 1, money.U128{Hi: 3, Lo: 4}
		b.AddRequest(journal.KindBuckets, journal.Actor{1}, journal.Bytes([]journal.BucketMove{given}))
	})
	add("they arrive, with an id that was burned", func(b *journal.Builder) {
		first, _ := b.AddRequest(journal.KindTake, journal.Actor{1}, journal.Bytes([]journal.Handover{
			{Move: move.ID, Account: money.From(1), Clearing: money.From(93), Flags: journal.TransferAttached},
		}))
		b.Attach(first, belongings)
		first, _ = b.AddRequest(journal.KindCarry, journal.Actor{1}, journal.Bytes([]journal.Transfer{
			reservation,
			{ID: money.From(12), Debit: money.From(1), Credit: money.From(4), Amount: money.From(7), Asset: 1, Code: 5, Flags: journal.TransferAttached},
		}))
		handed.Standing = journal.StandingArrives
		b.Attach(first, journal.AppendCarried(original, handed))
		b.Attach(first+1, journal.AppendCarried(nil, journal.Carried{Status: journal.TransferExceedsCredits, Timestamp: 1_600_000_000_000_000_001}))
	})
	return names, blocks
}

// TestGoldenMoves binds encoder and decoder to the vectors, as TestGoldenBlocks does for version 1.
func TestGoldenMoves(t *testing.T) {
	names, blocks := goldenMoves()
	var made []vector2
	for i, k := range blocks {
		made = append(made, describe2(t, names[i], k))
	}
	if *update {
		writeJSON(t, vectorFileMoves, made)
	}
	b, err := os.ReadFile(vectorFileMoves)
	if err != nil {
		t.Fatal(err)
	}
	var want []vector2
	if err := json.Unmarshal(b, &want); err != nil || len(want) != len(made) {
		t.Fatalf("%s has %d vectors, want %d: %v", vectorFileMoves, len(want), len(made), err)
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

func goldenCarried() journal.Carried {
	return journal.Carried{Status: journal.Created, Standing: journal.StandingArrives, Timestamp: 5, Amount: money.From(7), Remaining: money.From(3)}
}

func TestCarriedOfSplitsWhatTheDetailsSay(t *testing.T) {
	want := goldenCarried()
	d := goldenTransit(journal.TransitTransfer)
	d.Metadata = []journal.Meta{{Key: "like one", Type: journal.MetaBytes, Value: journal.AppendCarried(nil, want)}}
	original := d.Append(nil)
	data := journal.AppendCarried(original, want)
	if len(data) != len(original)+journal.CarriedField {
		t.Errorf("%d bytes more", len(data)-len(original))
	}
	got, rest, ok := journal.CarriedOf(data)
	if !ok || got != want || !bytes.Equal(rest, original) {
		t.Errorf("got %+v, %x, %v", got, rest, ok)
	}
	if asked := journal.AskedOf(data); !bytes.Equal(asked, (&journal.Details{Metadata: d.Metadata}).Append(nil)) || len(journal.AskedOf(goldenTransit(1).Append(nil))) != 0 {
		t.Errorf("the caller's part is %x", asked)
	}
	if _, rest, ok := journal.CarriedOf(original); ok || !bytes.Equal(rest, original) {
		t.Errorf("without one: got %x, %v", rest, ok)
	}
	if _, rest, ok := journal.CarriedOf(journal.AppendCarried(nil, want)); !ok || rest != nil {
		t.Errorf("alone: got %x, %v", rest, ok)
	}
	for n := range data[:len(data)-1] {
		if got, _, ok := journal.CarriedOf(data[:n]); ok {
			t.Errorf("of %d bytes: got %+v", n, got)
		}
	}
	d = &journal.Details{Carried: &want}
	read, err := journal.DecodeDetails(d.Append(nil))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(d, &read); diff != "" {
		t.Error(diff)
	}
}

func TestCarriedIsBounded(t *testing.T) {
	for name, change := range map[string]func(*journal.Carried){
		"a failure that burns nothing": func(c *journal.Carried) { c.Status = journal.TransferLinkedEventFailed },
		"a failure with an amount": func(c *journal.Carried) {
			c.Status, c.Standing, c.Remaining = journal.TransferExceedsCredits, 0, money.U128{}
		},
		"an unknown standing":              func(c *journal.Carried) { c.Standing = 7 },
		"no time":                          func(c *journal.Carried) { c.Timestamp = 0 },
		"a time beyond all":                func(c *journal.Carried) { c.Timestamp = journal.MaxTimestamp + 1 },
		"more left than was reserved":      func(c *journal.Carried) { c.Remaining = money.From(8) },
		"something left of one that ended": func(c *journal.Carried) { c.Standing = journal.StandingPosted },
	} {
		c := goldenCarried()
		change(&c)
		if _, err := journal.DecodeDetails(journal.AppendCarried(nil, c)); !errors.Is(err, journal.ErrDetails) {
			t.Errorf("%s: got error %v, want ErrDetails", name, err)
		}
	}
}
