package feed

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"pgregory.net/rapid"

	"github.com/sterlingrun/sterling/clock"
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/ledger"
	"github.com/sterlingrun/sterling/money"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

// opened is a response with its runs as messages, written from the definition in feed.proto and docs/formats.md alone.
func opened(t *testing.T, wire []byte, cell uint64) []*ledgerv1.FeedEvent {
	t.Helper()
	var r ledgerv1.SubscribeResponse
	if err := proto.Unmarshal(wire, &r); err != nil {
		t.Fatal(err)
	}
	var transfers, all []*ledgerv1.FeedEvent
	for _, run := range r.GetRuns() {
		if len(run.GetIndexes()) == 0 || len(run.GetRecords()) != 64*len(run.GetIndexes()) {
			t.Fatalf("%d bytes of records, %d of indexes", len(run.GetRecords()), len(run.GetIndexes()))
		}
		for i := range len(run.GetIndexes()) / 2 {
			record := journal.View[journal.Transfer](journal.Aligned(run.GetRecords()[128*i:][:128]))[0]
			m := transferMessage(&record, record.Timestamp, &ledger.Catalogue{})
			for _, a := range run.GetAssets() {
				if a.GetNumber() == record.Asset {
					m.Asset = a.GetName()
				}
			}
			transfers = append(transfers, &ledgerv1.FeedEvent{
				Position:  &ledgerv1.FeedPosition{Cell: cell, Seq: run.GetSeq(), Index: uint32(binary.LittleEndian.Uint16(run.GetIndexes()[2*i:]))},
				BlockTime: run.GetBlockTime(), Timestamp: record.Timestamp, Actor: hex.EncodeToString(run.GetActor()),
				Kind: ledgerv1.EventKind_EVENT_KIND_TRANSFER_CREATED, KindName: "transfer_created", Body: &ledgerv1.FeedEvent_Transfer{Transfer: m},
			})
		}
	}
	for messages := r.GetEvents(); len(messages)+len(transfers) > 0; {
		if len(transfers) == 0 || len(messages) > 0 && messages[0].GetPosition().GetIndex() < transfers[0].GetPosition().GetIndex() {
			all, messages = append(all, messages[0]), messages[1:]
		} else {
			all, transfers = append(all, transfers[0]), transfers[1:]
		}
	}
	return all
}

// samePacked compares both forms of a block, chunk by chunk.
func samePacked(t *testing.T, f *Feed, k *journal.Block) {
	t.Helper()
	all := &matcher{all: true}
	var events collector
	if _, err := f.walk(context.Background(), newPage(k.Clone()), 0, all, &events); err != nil {
		t.Fatal(err)
	}
	want := f.Messages(events)
	for _, form := range []Form{MessageForm, PackedForm} {
		var got []*ledgerv1.FeedEvent
		g, at := &group{matcher: all, form: form}, Position{Cell: k.Header.Cell, Seq: k.Header.Seq, Index: -1}
		for at.Index < Whole {
			c, err := f.encode(context.Background(), g, newPage(k.Clone()), at.Index+1)
			if err != nil {
				t.Fatal(err)
			}
			part := opened(t, bytes.Join(c.wire, nil), k.Header.Cell)
			if len(part) != c.events || c.end.Compare(at) <= 0 || len(part) == 0 && c.end.Index != Whole {
				t.Fatalf("a chunk of %d events has %d, after %v up to %v", c.events, len(part), at, c.end)
			}
			if c.bytes > chunkBytes+1<<10 && len(part) > 1 {
				t.Fatalf("a chunk has %d bytes", len(c.wire))
			}
			got = append(got, part...)
			at = c.end
		}
		if !slices.EqualFunc(want, got, func(a, b *ledgerv1.FeedEvent) bool { return proto.Equal(a, b) }) {
			t.Fatalf("form %d: %s", form, cmp.Diff(want, got, protocmp.Transform()))
		}
	}
}

// Whatever a block holds, both forms say the same, chunk by chunk.
func TestPackedIsMessages(t *testing.T) {
	f := New(Options{Cell: 1, Clock: clock.NewSystem()})
	f.ledger = noLedger{} // names of assets are compared in stream_test.go
	samePacked(t, f, everyKind(t))
	rapid.Check(t, func(r *rapid.T) {
		b := journal.NewBuilder()
		for range rapid.IntRange(1, 12).Draw(r, "requests") {
			n := rapid.SampledFrom([]int{1, 2, 50, 600}).Draw(r, "events")
			seed := rapid.Uint64().Draw(r, "seed")
			records := make([]journal.Transfer, n)
			for i := range records {
				x := seed + uint64(i)*0x9e3779b97f4a7c15
				records[i] = journal.Transfer{
					ID: money.U128{Hi: x, Lo: x * 3}, Debit: money.From(x % 7), Credit: money.U128{Hi: x}, Amount: money.U128{Hi: x % 2, Lo: x >> 9},
					UserData64: x % 5, Asset: uint32(x % 5), Code: uint16(x), Flags: journal.TransferFlags(x>>7) &^ journal.TransferAttached,
					Timestamp: x >> 1,
				}
			}
			first, _ := b.AddRequest(journal.KindTransfers, journal.Actor{byte(seed % 3)}, journal.Bytes(records))
			for i := range n {
				switch seed >> (i % 60) % 16 {
				case 0:
					b.AddOutcome(journal.Outcome{Event: uint32(first + i), Status: 5})
				case 1:
					b.AddOutcome(journal.Outcome{Event: uint32(first + i), Status: journal.Created, Timestamp: 4711, Amount: money.From(9)})
				case 2:
					b.Attach(first+i, []byte{1, 4, 0, 0, 0, byte(i), 0, 0, 0})
				}
			}
		}
		samePacked(t, f, b.Seal(journal.Header{Rules: 1, Kind: journal.BlockNormal, Cell: 1, Seq: 9, Epoch: 1, Time: 1000, Acked: 8}))
	})
}

// Streams with equal filters get the same memory; nothing of it is counted once they are gone.
func TestEqualFiltersAreEncodedOnce(t *testing.T) {
	f := New(Options{Cell: 1, Clock: clock.NewSystem(), Log: noLog{}})
	f.Start(noLedger{})
	defer f.Close()
	ctx := context.Background()
	open := func(form Form, accounts ...uint64) *Stream {
		var filter Filter
		for _, id := range accounts {
			filter.Accounts = append(filter.Accounts, money.From(id))
		}
		s, err := f.Stream(ctx, After(AfterBlock(1, 0)), filter, form)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	streams := []*Stream{
		open(PackedForm), open(PackedForm), open(MessageForm), open(MessageForm), open(PackedForm, 1, 2), open(PackedForm, 2, 1, 2), open(PackedForm, 7),
	}
	b := journal.NewBuilder()
	records := make([]journal.Transfer, journal.MaxEvents)
	for i := range records {
		records[i] = journal.Transfer{ID: money.From(uint64(i)), Debit: money.From(1), Credit: money.From(3), Asset: 1}
	}
	b.AddRequest(journal.KindTransfers, journal.Actor{1}, journal.Bytes(records))
	f.OnBlock(b.Seal(journal.Header{Rules: 1, Kind: journal.BlockNormal, Cell: 1, Seq: 1, Epoch: 1, Time: 1000}), 0)
	var first []*byte
	for i, s := range streams[:6] {
		batch, err := s.NextWire(ctx)
		if err != nil || batch.Events == 0 {
			t.Fatalf("stream %d: %d events, %v", i, batch.Events, err)
		}
		first = append(first, &batch.Wire[0][0])
	}
	for i := 0; i < len(first); i += 2 {
		if first[i] != first[i+1] {
			t.Errorf("streams %d and %d were encoded apart", i, i+1)
		}
	}
	if first[0] == first[2] || first[0] == first[4] {
		t.Error("streams that differ got the same")
	}
	kept := f.groups.bytes.Load()
	if kept < 3*chunkBytes/2 || kept > sharedBytes {
		t.Errorf("%d bytes are kept", kept)
	}
	for _, s := range streams {
		s.Close()
	}
	if n := f.groups.bytes.Load(); n != 0 || len(f.groups.open) != 0 {
		t.Errorf("%d bytes and %d groups are left", n, len(f.groups.open))
	}
}

// What is kept for several streams has a bound: beyond it each encodes for itself.
func TestSharedChunksAreBounded(t *testing.T) {
	f := New(Options{Cell: 1, Clock: clock.NewSystem()})
	f.ledger = noLedger{}
	k := everyKind(t)
	g := &group{matcher: &matcher{all: true}, form: MessageForm}
	g.members.Store(2)
	f.groups.bytes.Store(sharedBytes)
	p := newPage(k)
	one, err := f.chunk(context.Background(), g, p, 0)
	if err != nil {
		t.Fatal(err)
	}
	two, err := f.chunk(context.Background(), g, p, 0)
	if err != nil || one == two || !bytes.Equal(bytes.Join(one.wire, nil), bytes.Join(two.wire, nil)) || len(p.shared.slots) != 0 {
		t.Errorf("kept beyond the bound: %d slots (%v)", len(p.shared.slots), err)
	}
	f.groups.bytes.Store(0)
	if one, err = f.chunk(context.Background(), g, p, 0); err != nil {
		t.Fatal(err)
	}
	if two, err = f.chunk(context.Background(), g, p, 0); err != nil || one != two {
		t.Errorf("not kept within the bound (%v)", err)
	}
	p.shared.drop()
	if _, err = f.chunk(context.Background(), g, p, 0); err != nil || f.groups.bytes.Load() != 0 {
		t.Errorf("%d bytes are counted of a page that is gone (%v)", f.groups.bytes.Load(), err)
	}
}

// A filter of accounts answers alike with and without a block's summary.
func TestSummariesHideNothing(t *testing.T) {
	f := New(Options{Cell: 1, Clock: clock.NewSystem()})
	f.ledger = noLedger{}
	rapid.Check(t, func(r *rapid.T) {
		ids := rapid.SliceOfN(rapid.Uint64Range(1, 300), 1, 60)
		b := journal.NewBuilder()
		var records []journal.Transfer
		for i, id := range ids.Draw(r, "accounts of the block") {
			records = append(records, journal.Transfer{ID: money.From(uint64(i)), Debit: money.From(id), Credit: money.U128{Hi: id}})
		}
		b.AddRequest(journal.KindTransfers, journal.Actor{}, journal.Bytes(records))
		p := newPage(b.Seal(journal.Header{Rules: 1, Kind: journal.BlockNormal, Cell: 1, Seq: 1, Epoch: 1}))
		filter := Filter{}
		for _, id := range ids.Draw(r, "accounts of the filter") {
			filter.Accounts = append(filter.Accounts, money.From(id))
		}
		want := 0
		for i := range records {
			for _, id := range filter.Accounts {
				if records[i].Debit == id {
					want++
					break
				}
			}
		}
		g := &group{matcher: newMatcher(&filter, f.Catalogue), form: PackedForm}
		for range 3 { // the second makes the summary
			c, err := f.encode(context.Background(), g, p, 0)
			if err != nil || c.events != want {
				r.Fatalf("%d events, want %d (%v)", c.events, want, err)
			}
		}
	})
}

// noLog is never read.
type noLog struct{ Log }
