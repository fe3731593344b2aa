package feed_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/sterlingrun/sterling/cell"
	"github.com/sterlingrun/sterling/feed"
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/money"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

// mix records posts, voids, other assets, attachments and refusals within requests, in n blocks.
func mix(b *bank, n int) {
	b.seed(5)
	dollars := func(id uint64) journal.Account { return journal.Account{ID: money.From(id), Asset: 2, Code: 3} }
	must(b, journal.KindAccounts, 1, dollars(6), dollars(7))
	random := rand.New(rand.NewPCG(1, 2))
	next := uint64(100)
	for range n {
		var events []journal.Transfer
		for range 1 + random.IntN(40) {
			next++
			t := transfer(next, 1+random.Uint64N(5), 1+random.Uint64N(5), 1+random.Uint64N(9)) // refused where both are one
			t.Code = uint16(1 + random.IntN(3))
			switch random.IntN(6) {
			case 0:
				t.Debit, t.Credit, t.Asset = money.From(6), money.From(7), 2
			case 1:
				t.Flags = journal.TransferPending
			case 2:
				t = journal.Transfer{ID: t.ID, PendingID: money.From(next - 1 - random.Uint64N(30)), Amount: money.Max(), Flags: journal.TransferPost}
			case 3:
				t = journal.Transfer{ID: t.ID, PendingID: money.From(next - 1 - random.Uint64N(3)), Flags: journal.TransferVoid}
			}
			events = append(events, t)
		}
		booked := random.IntN(3) == 0 // the first one
		if booked {
			events[0].Flags |= journal.TransferAttached
		}
		r := &cell.Request{
			Kind: journal.KindTransfers, Events: journal.Bytes(events), Results: make([]journal.Result, len(events)), Actor: journal.Actor{byte(random.IntN(3))},
		}
		if booked {
			r.Attachments = []journal.Attachment{{Event: 0, Data: (&journal.Details{BookingDate: 20_000}).Append(nil)}}
		}
		if err := b.Do(context.Background(), r); err != nil {
			b.t.Fatal(err)
		}
		if random.IntN(4) == 0 {
			next++
			must(b, journal.KindLimits, 4, journal.Limit{ID: money.From(next), Account: money.From(1 + random.Uint64N(5)), DayAmount: money.From(1 << 40), Side: journal.FreezeDebit})
		}
	}
}

// joined is a response with its runs as messages.
func joined(t *testing.T, b feed.WireBatch) (*ledgerv1.SubscribeResponse, []*ledgerv1.FeedEvent) {
	t.Helper()
	r := &ledgerv1.SubscribeResponse{}
	if err := proto.Unmarshal(bytes.Join(b.Wire, nil), r); err != nil {
		t.Fatal(err)
	}
	list := r.GetEvents()
	for _, run := range r.GetRuns() {
		for i := range len(run.GetIndexes()) / 2 {
			list = append(list, recordEvent(run, i, r.GetResumeAfter().GetCell()))
		}
	}
	slices.SortStableFunc(list, func(a, b *ledgerv1.FeedEvent) int { return position(a).Compare(position(b)) })
	if len(list) != b.Events {
		t.Fatalf("%d events, the batch says %d", len(list), b.Events)
	}
	return r, list
}

func position(e *ledgerv1.FeedEvent) feed.Position {
	p, _ := feed.PositionOf(e.GetPosition())
	return p
}

// recordEvent reads a record as feed.proto and docs/formats.md have it.
func recordEvent(run *ledgerv1.TransferRun, i int, cellNumber uint64) *ledgerv1.FeedEvent {
	b, le := run.GetRecords()[128*i:][:128], binary.LittleEndian
	u128 := func(at int) string { return money.LE(b[at:]).String() }
	t := &ledgerv1.Transfer{
		Id: u128(0), DebitAccountId: u128(16), CreditAccountId: u128(32), Amount: proto.String(u128(48)), PendingId: u128(64), UserData_128: u128(80),
		UserData_64: le.Uint64(b[96:]), UserData_32: le.Uint32(b[104:]), Timeout: le.Uint32(b[108:]), Code: uint32(le.Uint16(b[116:])), Timestamp: le.Uint64(b[120:]),
	}
	for bit := uint16(1); bit != 0; bit <<= 1 {
		if le.Uint16(b[118:])&bit != 0 {
			t.Flags = append(t.Flags, ledgerv1.TransferFlag(bit))
		}
	}
	for _, a := range run.GetAssets() {
		if a.GetNumber() == le.Uint32(b[112:]) && a.GetScale() == 2 {
			t.Asset = a.GetName()
		}
	}
	return &ledgerv1.FeedEvent{
		Position:  &ledgerv1.FeedPosition{Cell: cellNumber, Seq: run.GetSeq(), Index: uint32(le.Uint16(run.GetIndexes()[2*i:]))},
		BlockTime: run.GetBlockTime(), Timestamp: t.GetTimestamp(), Actor: hex.EncodeToString(run.GetActor()),
		Kind: ledgerv1.EventKind_EVENT_KIND_TRANSFER_CREATED, KindName: "transfer_created", Body: &ledgerv1.FeedEvent_Transfer{Transfer: t},
	}
}

func (b *bank) stream(from feed.Start, filter feed.Filter, form feed.Form) *feed.Stream {
	b.t.Helper()
	s, err := b.feed.Stream(context.Background(), from, filter, form)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(s.Close)
	return s
}

// streamed reads a stream up to the end of block seq.
func streamed(t *testing.T, s *feed.Stream, seq uint64) (all []*ledgerv1.FeedEvent) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	for s.Position().Compare(feed.AfterBlock(cellNumber, seq)) < 0 {
		batch, err := s.NextWire(ctx)
		if err != nil {
			t.Fatal(err)
		}
		r, events := joined(t, batch)
		if at, err := feed.PositionOf(r.GetResumeAfter()); err != nil || at != s.Position() || r.GetBlockTime() == 0 || r.GetHead() == 0 {
			t.Fatalf("%v: resume after %v, the stream is at %v (%v)", r, at, s.Position(), err)
		}
		all = append(all, events...)
	}
	return all
}

// difference is empty where both are equal; telling takes long only where they are not.
func difference(want, got []*ledgerv1.FeedEvent) string {
	if slices.EqualFunc(want, got, func(a, b *ledgerv1.FeedEvent) bool { return proto.Equal(a, b) }) {
		return ""
	}
	return cmp.Diff(want, got, protocmp.Transform())
}

// Both forms have the events of the subscription, from every position on and with every filter.
func TestStreamsAreTheSubscription(t *testing.T) {
	b := newBank(t, nil)
	mix(b, 25)
	account := func(ids ...uint64) (list []money.U128) {
		for _, id := range ids {
			list = append(list, money.From(id))
		}
		return list
	}
	cny, usd := money.Asset{Code: "CNY", Scale: 2}, money.Asset{Code: "USD", Scale: 2}
	for name, filter := range map[string]feed.Filter{
		"all": {}, "account": {Accounts: account(3)}, "accounts": {Accounts: account(1, 6, 99)},
		"code": {Codes: []uint16{2}}, "asset": {Assets: []money.Asset{usd}}, "assets": {Assets: []money.Asset{cny, {Code: "EUR", Scale: 2}}},
		"unknown asset": {Assets: []money.Asset{{Code: "EUR", Scale: 2}}}, "kind": {Kinds: []feed.Kind{feed.LimitSet}},
		"mixed": {Accounts: account(1, 2), Codes: []uint16{1, 3}, Assets: []money.Asset{cny}, Kinds: []feed.Kind{feed.TransferCreated}},
	} {
		want := b.feed.Messages(b.all(feed.Beginning(), filter))
		if (len(want) == 0) != (name == "unknown asset") {
			t.Errorf("%s: %d events", name, len(want))
		}
		for _, form := range []feed.Form{feed.MessageForm, feed.PackedForm} {
			twin := b.stream(feed.Beginning(), filter, form) // from here on chunks are shared
			for i := -1; i < len(want)-1; i += 13 {
				from := feed.Beginning()
				if i >= 0 {
					from = feed.After(position(want[i]))
				}
				s := b.stream(from, filter, form)
				if d := difference(want[i+1:], streamed(t, s, b.Head())); d != "" {
					t.Fatalf("%s, form %d, after event %d: %s", name, form, i, d)
				}
				s.Close()
			}
			if len(want) == 0 { // an empty answer takes a second
				if got := streamed(t, twin, b.Head()); len(got) > 0 {
					t.Errorf("%s, form %d: %v came", name, form, got)
				}
			} else if d := difference(want, streamed(t, twin, b.Head())); d != "" {
				t.Errorf("%s, form %d, shared: %s", name, form, d)
			}
			twin.Close()
		}
	}
}

// A block of more than a response holds comes in several, and goes on in the middle.
func TestAStreamResumesInTheMiddleOfABlock(t *testing.T) {
	b := newBank(t, nil)
	b.seed(2)
	start := feed.After(feed.AfterBlock(cellNumber, b.Head()))
	events := make([]journal.Transfer, journal.MaxEvents)
	for i := range events {
		events[i] = transfer(uint64(1000+i), 1, 2, 1)
	}
	must(b, journal.KindTransfers, 2, events...)
	for _, form := range []feed.Form{feed.MessageForm, feed.PackedForm} {
		responses, next := 0, 0
		at := start
		for next < len(events) {
			s := b.stream(at, feed.Filter{}, form) // another one each time
			batch, err := s.NextWire(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			_, list := joined(t, batch)
			if size := len(bytes.Join(batch.Wire, nil)); size > 256<<10+1<<10 {
				t.Errorf("a response has %d bytes", size)
			}
			keep := len(list)
			if responses%2 == 1 { // the consumer dies in the middle of what it got
				keep = (keep + 1) / 2
			}
			for _, e := range list[:keep] {
				if want := events[next].ID.String(); e.GetTransfer().GetId() != want {
					t.Fatalf("form %d: transfer %s, want %s", form, e.GetTransfer().GetId(), want)
				}
				next++
			}
			at = feed.After(position(list[keep-1]))
			responses++
			s.Close()
		}
		if responses < 6 {
			t.Errorf("form %d: %d responses", form, responses)
		}
	}
}

// Who takes nothing for a while gets all of it later: from the journal, since nothing is kept for him but the tail.
func TestASlowReaderMissesNothing(t *testing.T) {
	b := newBank(t, nil)
	b.seed(2)
	forms := []feed.Form{feed.MessageForm, feed.PackedForm}
	var slow []*feed.Stream
	for _, form := range forms {
		slow = append(slow, b.stream(feed.Now(), feed.Filter{}, form))
		b.stream(feed.Now(), feed.Filter{}, form) // never reads at all
	}
	const size = 900 // every other has a large attachment
	var attached []journal.Attachment
	for i := 0; i < size; i += 2 {
		d := journal.Details{Metadata: []journal.Meta{
			{Key: "a", Type: journal.MetaText, Value: bytes.Repeat([]byte("x"), 1000)},
			{Key: "b", Type: journal.MetaText, Value: bytes.Repeat([]byte("y"), 1000)},
			{Key: "c", Type: journal.MetaText, Value: bytes.Repeat([]byte("z"), 1000)},
		}}
		attached = append(attached, journal.Attachment{Event: i, Data: d.Append(nil)})
	}
	paid := uint64(0)
	for range 14 { // more than the tail holds
		events := make([]journal.Transfer, size)
		for i := range events {
			events[i] = transfer(1000+paid+uint64(i), 1, 2, 1)
			if i%2 == 0 {
				events[i].Flags = journal.TransferAttached
			}
		}
		r := &cell.Request{Kind: journal.KindTransfers, Events: journal.Bytes(events), Results: make([]journal.Result, size), Attachments: attached}
		if err := b.Do(context.Background(), r); err != nil {
			t.Fatal(err)
		}
		paid += size
	}
	before := b.log.reads.Load()
	for i, form := range forms {
		next := uint64(1000)
		for _, e := range streamed(t, slow[i], b.Head()) {
			if want := money.From(next).String(); e.GetTransfer().GetId() != want {
				t.Fatalf("form %d: transfer %s, want %s", form, e.GetTransfer().GetId(), want)
			}
			next++
		}
		if next != 1000+paid {
			t.Errorf("form %d: %d transfers of %d came", form, next-1000, paid)
		}
	}
	if b.log.reads.Load() == before {
		t.Error("the tail has all of it: make it more")
	}
}

func TestTheFeedIsBoundedForStreamsToo(t *testing.T) {
	b := newBank(t, func(o *feed.Options) { o.MaxSubscriptions = 1 })
	s := b.stream(feed.Now(), feed.Filter{}, feed.PackedForm)
	if _, err := b.feed.Stream(context.Background(), feed.Now(), feed.Filter{}, feed.PackedForm); err == nil || !strings.Contains(err.Error(), "too many") {
		t.Errorf("a second stream: %v", err)
	}
	s.Close()
	s.Close()
	b.stream(feed.Now(), feed.Filter{}, feed.PackedForm)
}
