package feed

import (
	"bytes"
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/sterlingrun/sterling/clock"
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/money"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

// everyKind is a block with one request of every kind there is, with attachments, and an event that failed in each.
func everyKind(t *testing.T) *journal.Block {
	t.Helper()
	b := journal.NewBuilder()
	var attached []journal.Attachment
	for kind := journal.Kind(1); kind.Valid(); kind++ {
		events := journal.Bytes(make([]journal.Transfer, 3)) // aligned
		for i := range 3 {
			copy(events[i*journal.RecordSize:], []byte{byte(kind), byte(i), 1})
		}
		switch kind {
		case journal.KindTransaction:
			journal.View[journal.Transfer](events)[0].Flags = journal.TransferHead
		case journal.KindDecision:
			journal.View[journal.Decision](events)[0].Inner = journal.KindTransfers
		case journal.KindPrincipals:
			journal.View[journal.Principal](events)[0].Secret = journal.Hash(bytes.Repeat([]byte{0xee}, 32))
		case journal.KindProposal:
			journal.View[journal.Proposal](events)[0].Inner = journal.KindPrincipals
		}
		first, _ := b.AddRequest(kind, journal.Actor{byte(kind)}, events)
		attached = append(attached, journal.Attachment{Event: first, Data: []byte{9, byte(kind)}})
		b.AddOutcome(journal.Outcome{Event: uint32(first) + 1, Status: 5})
	}
	for _, a := range attached {
		b.Attach(a.Event, a.Data)
	}
	return b.Seal(journal.Header{Rules: 1, Kind: journal.BlockNormal, Cell: 1, Seq: 9, Epoch: 1, Time: 1000, Acked: 8})
}

// No kind of record is left out or an error, and none shows what is secret.
func TestEveryKindOfRecordIsAnEvent(t *testing.T) {
	k := everyKind(t)
	f := New(Options{Cell: 1, Clock: clock.NewSystem()})
	f.ledger = noLedger{}
	events := eventsOf(t, f, k)
	kinds := int(k.Header.Requests)
	if len(events) != 2*kinds {
		t.Fatalf("%d events, want %d", len(events), 2*kinds)
	}
	names := map[string]int{}
	catalogue := f.Catalogue()
	for i := range events {
		e := &events[i]
		kind, event := journal.Kind(i/2+1), i/2*3+i%2*2
		names[e.Name()]++
		if e.Position != (Position{1, 9, event}) || e.Timestamp != uint64(1000+event) || *e.Actor != (journal.Actor{byte(kind)}) {
			t.Errorf("kind %d: %v at %d by %v", kind, e.Position, e.Timestamp, e.Actor)
		}
		secret := kind == journal.KindProposal
		if has := len(e.Attachment) > 0; has != (i%2 == 0 && !secret) || has && e.Attachment[1] != byte(kind) {
			t.Errorf("kind %d has the attachment %v", kind, e.Attachment)
		}
		b, err := proto.Marshal(message(e, catalogue))
		if err != nil || bytes.Contains(b, []byte{0xee, 0xee}) {
			t.Errorf("kind %d shows a secret, or %v", kind, err)
		}
	}
	for _, name := range []string{"day_closed", "day_reopened", "proposed", "policy_set", "principal_set", "metadata_replaced", "subject_erased"} {
		if names[name] != 2 {
			t.Errorf("%d events are called %s", names[name], name)
		}
	}
	if names["transaction_created"] != 1 || names["decided"] != 1 || names["transfer_created"] != 4 {
		t.Errorf("heads and what follows them: %v", names)
	}
	if name := (&OtherRecord{Kind: 99}).name(); name != "record_99" {
		t.Errorf("a kind of the future is called %s", name)
	}
	for _, form := range []Form{MessageForm, PackedForm} {
		c, err := f.encode(context.Background(), &group{matcher: &matcher{all: true}, form: form}, newPage(k.Clone()), 0)
		if err != nil || c.events != len(events) || c.end != AfterBlock(1, 9) {
			t.Fatalf("%d events up to %v, %v", c.events, c.end, err)
		}
		var got ledgerv1.SubscribeResponse
		if err := proto.Unmarshal(bytes.Join(c.wire, nil), &got); err != nil {
			t.Fatal(err)
		}
		if form == PackedForm {
			if len(got.GetRuns()) == 0 || len(got.GetEvents()) == len(events) {
				t.Errorf("%d runs and %d messages", len(got.GetRuns()), len(got.GetEvents()))
			}
			continue // what is in the runs is compared in packed_internal_test.go
		}
		want := &ledgerv1.SubscribeResponse{Events: f.Messages(events)}
		if d := cmp.Diff(want, &got, protocmp.Transform()); d != "" {
			t.Error(d)
		}
	}
}

// collector keeps all events.
type collector []Event

func (c *collector) take(e *Event) (bool, error) {
	*c = append(*c, *e)
	return true, nil
}

func eventsOf(t *testing.T, f *Feed, k *journal.Block) []Event {
	t.Helper()
	var list collector
	if whole, err := f.walk(context.Background(), newPage(k.Clone()), 0, &matcher{all: true}, &list); err != nil || !whole {
		t.Fatal(whole, err)
	}
	return list
}

func TestABlockOutlivesItsBuilder(t *testing.T) {
	k := everyKind(t)
	c := k.Clone()
	if _, err := journal.Decode(bytes.Clone(c.Raw)); err != nil || c.Hash != k.Hash || !c.SameBody(k) || !bytes.Equal(c.Attachment(0), k.Attachment(0)) {
		t.Errorf("the copy differs: %v", err)
	}
	for i := range k.Raw {
		k.Raw[i] = 0xff
	}
	if c.Requests[0].Kind != journal.KindAccounts || c.Transfer(3).ID == money.Max() || len(c.Attachment(0)) != 2 {
		t.Error("the copy shares memory")
	}
}

// FuzzDecode turns whatever a block may hold into events: never a panic, positions always in order.
func FuzzDecode(f *testing.F) {
	f.Add([]byte{1, 2, 3}, uint8(7), uint8(2))
	f.Add([]byte{0xff}, uint8(11), uint8(3))
	f.Fuzz(func(t *testing.T, record []byte, kind, count uint8) {
		k := journal.Kind(kind%15 + 1)
		events := journal.Bytes(make([]journal.Transfer, int(count%8)+1)) // aligned
		for at := 0; at < len(events) && len(record) > 0; at += journal.RecordSize {
			copy(events[at:at+journal.RecordSize], record)
		}
		b := journal.NewBuilder()
		b.AddRequest(k, journal.Actor{}, events)
		block := b.Seal(journal.Header{Rules: 1, Kind: journal.BlockNormal, Cell: 1, Seq: 1, Epoch: 1})
		fd := New(Options{Cell: 1, Clock: clock.NewSystem()})
		fd.ledger = noLedger{}
		shown := eventsOf(t, fd, block)
		last := -1
		for i := range shown {
			if index := shown[i].Position.Index; index <= last {
				t.Fatalf("index %d after %d", index, last)
			}
			last = shown[i].Position.Index
		}
		samePacked(t, fd, block)
	})
}
