package feed_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/sterlingrun/sterling/feed"
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/money"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

// story makes an event of every kind, and some that fail.
func story(b *bank) {
	b.seed(3)
	must(b, journal.KindTransfers, 2, transfer(10, 1, 2, 500))
	pending := transfer(11, 1, 2, 90)
	pending.Flags, pending.UserData64, pending.Code = journal.TransferPending, 77, 9
	late := transfer(12, 1, 3, 40)
	late.Flags, late.Timeout = journal.TransferPending, 60
	must(b, journal.KindTransfers, 2, pending, late)
	do(b, journal.KindTransfers, 2, transfer(13, 1, 1, 5), transfer(14, 1, 99, 5)) // refused
	must(b, journal.KindTransfers, 3, journal.Transfer{ID: money.From(15), PendingID: money.From(11), Amount: money.From(60), Flags: journal.TransferPost})
	limit := journal.Limit{ID: money.From(20), Account: money.From(1), DayAmount: money.From(5000), Side: journal.FreezeDebit}
	must(b, journal.KindLimits, 4, limit)
	must(b, journal.KindFreeze, 4, journal.Freeze{ID: money.From(30), Account: money.From(2), Selector: journal.SelectAccount, Mode: journal.FreezeAll, Reason: [64]byte{'w', 'h', 'y'}})
	must(b, journal.KindUnfreeze, 5, journal.Unfreeze{ID: money.From(31), FreezeID: money.From(30)})
	b.clock.Advance(2 * time.Second)
	b.clock.Advance(8 * time.Second)
	for range 12 {
		b.clock.Advance(5 * time.Second)
	}
	do(b, journal.KindTransfers, 2, transfer(16, 1, 2, 1)) // a block, whose expiries come first
}

func TestEveryKindBecomesAnEventInOrder(t *testing.T) {
	b := newBank(t, nil)
	story(b)
	var got []string
	last := feed.Position{Cell: cellNumber}
	for _, e := range b.all(feed.Beginning(), feed.Filter{}) {
		if e.Position.Compare(last) <= 0 {
			t.Errorf("event at %v comes after %v", e.Position, last)
		}
		last = e.Position
		m := b.feed.Messages([]feed.Event{e})[0]
		got = append(got, m.GetKindName()+" "+feed.EventKey(m))
		if expired := m.GetExpired(); expired != nil {
			want := &ledgerv1.ReservationExpired{PendingId: "12", Amount: "40", DebitAccountId: "1", CreditAccountId: "3", Asset: "CNY/2", Code: 1}
			if d := cmp.Diff(want, expired, protocmp.Transform()); d != "" {
				t.Error(d)
			}
		}
		if posted := m.GetTransfer(); posted.GetId() == "15" {
			want := &ledgerv1.Transfer{
				Id: "15", DebitAccountId: "1", CreditAccountId: "2", Amount: proto.String("60"), PendingId: "11", UserData_128: "0", UserData_64: 77,
				Asset: "CNY/2", Code: 9, Flags: []ledgerv1.TransferFlag{ledgerv1.TransferFlag_TRANSFER_FLAG_POST_PENDING_TRANSFER}, Timestamp: m.GetTimestamp(),
			}
			if d := cmp.Diff(want, posted, protocmp.Transform()); d != "" {
				t.Error(d)
			}
			if m.GetActor() != "03000000000000000000000000000000" {
				t.Errorf("the post was sent by %s", m.GetActor())
			}
		}
	}
	want := []string{
		"asset_registered CNY/2", "asset_registered USD/2", "account_created 1", "account_created 2", "account_created 3", "transfer_created 10",
		"transfer_created 11", "transfer_created 12", "transfer_created 11", "limit_set 1", "frozen 30", "unfrozen 30",
		"reservation_expired 12", "transfer_created 16",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func ids(events []feed.Event) (list []uint64) {
	for i := range events {
		if r, ok := events[i].Record.(*journal.Transfer); ok {
			list = append(list, r.ID.Lo)
		}
	}
	return list
}

// Readers that come and go under load, each resuming where it was, see every transfer once and in order.
func TestSubscribersUnderLoadSeeEverythingOnceInOrder(t *testing.T) {
	b := newBank(t, nil)
	b.seed(2)
	start := feed.AfterBlock(cellNumber, b.Head())
	const requests, size, readers = 120, 300, 6
	var writers, reading sync.WaitGroup
	for w := range 3 {
		writers.Go(func() {
			for i := range requests / 3 {
				events := make([]journal.Transfer, size)
				for k := range events {
					events[k] = transfer(uint64(1000+((i*3+w)*size)+k), 1, 2, 1)
				}
				must(b, journal.KindTransfers, 2, events...)
			}
		})
	}
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	seen := make([][]uint64, readers)
	for r := range readers {
		reading.Go(func() {
			random := rand.New(rand.NewPCG(uint64(r), 1))
			at := start
			for len(seen[r]) < requests*size {
				s, err := b.feed.Subscribe(ctx, feed.After(at), feed.Filter{})
				if err != nil {
					t.Error(err)
					return
				}
				for range random.IntN(8) {
					batch, err := s.Next(ctx)
					if err != nil {
						t.Error(err)
						s.Close()
						return
					}
					keep := len(batch.Events)
					at = batch.Resume
					if keep > 0 && random.IntN(3) == 0 { // stop in the middle of a batch
						keep = 1 + random.IntN(keep)
						at = batch.Events[keep-1].Position
					}
					seen[r] = append(seen[r], ids(batch.Events[:keep])...)
					if keep < len(batch.Events) {
						break
					}
				}
				s.Close()
			}
		})
	}
	writers.Wait()
	reading.Wait()
	var want []uint64
	for seq := start.Seq + 1; seq <= b.Head(); seq++ {
		list, err := b.BlockTransfers(ctx, seq)
		if err != nil {
			t.Fatal(err)
		}
		for i := range list {
			want = append(want, list[i].ID.Lo)
		}
	}
	for r := range seen {
		if !slices.Equal(seen[r], want) {
			t.Errorf("reader %d saw %d transfers, or another order; the journal has %d", r, len(seen[r]), len(want))
		}
	}
}

func TestAFilteredFeedIsTheFilteredFeed(t *testing.T) {
	b := newBank(t, nil)
	story(b)
	all := b.all(feed.Beginning(), feed.Filter{})
	for name, c := range map[string]struct {
		filter feed.Filter
		want   []string
	}{
		"account":       {feed.Filter{Accounts: []money.U128{money.From(3)}}, []string{"account_created 3", "transfer_created 12", "reservation_expired 12"}},
		"frozen":        {feed.Filter{Accounts: []money.U128{money.From(2)}, Kinds: []feed.Kind{feed.Frozen, feed.AccountCreated}}, []string{"account_created 2", "frozen 30"}},
		"code":          {feed.Filter{Codes: []uint16{9}}, []string{"transfer_created 11", "transfer_created 11"}},
		"asset":         {feed.Filter{Assets: []money.Asset{{Code: "USD", Scale: 2}}}, []string{"asset_registered USD/2"}},
		"unknown asset": {feed.Filter{Assets: []money.Asset{{Code: "EUR", Scale: 2}}}, nil},
		"kind":          {feed.Filter{Kinds: []feed.Kind{feed.LimitSet, feed.Unfrozen}}, []string{"limit_set 1", "unfrozen 30"}},
		"account, code": {feed.Filter{Accounts: []money.U128{money.From(2), money.From(55)}, Codes: []uint16{1}}, []string{"transfer_created 10", "transfer_created 16"}},
	} {
		var got []string
		for _, m := range b.feed.Messages(b.all(feed.Beginning(), c.filter)) {
			got = append(got, m.GetKindName()+" "+feed.EventKey(m))
		}
		if d := cmp.Diff(c.want, got); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
	if len(all) != 14 {
		t.Errorf("%d events in all", len(all))
	}
}

func TestStartsAndPositions(t *testing.T) {
	b := newBank(t, nil)
	story(b)
	all := b.all(feed.Beginning(), feed.Filter{})
	for i, e := range all { // from every event on
		if got := b.all(feed.After(e.Position), feed.Filter{}); len(got) != len(all)-i-1 {
			t.Errorf("after %v come %d events, want %d", e.Position, len(got), len(all)-i-1)
		}
		if got := b.all(feed.Since(e.Timestamp), feed.Filter{}); len(got) != len(all)-i {
			t.Errorf("from time %d on come %d events, want %d", e.Timestamp, len(got), len(all)-i)
		}
		if got := b.all(feed.Since(e.Timestamp+1), feed.Filter{}); len(got) != len(all)-i-1 {
			t.Errorf("after time %d come %d events, want %d", e.Timestamp, len(got), len(all)-i-1)
		}
	}
	s := b.subscribe(feed.Now(), feed.Filter{})
	must(b, journal.KindTransfers, 2, transfer(50, 1, 2, 1))
	if got := through(t, s, b.Head()); len(got) != 1 {
		t.Errorf("from now on came %d events, want 1", len(got))
	}
	head := b.Head()
	for text, want := range map[string]error{
		"7:0:16383": nil, "7:0:0": nil, "8:1:0": feed.ErrWrongCell, "7:281474976710655:0": feed.ErrAhead,
	} {
		p, err := feed.ParsePosition(text)
		if err != nil {
			t.Fatal(err)
		}
		s, err := b.feed.Subscribe(context.Background(), feed.After(p), feed.Filter{})
		if !errors.Is(err, want) {
			t.Errorf("after %v: %v, want %v", p, err, want)
		}
		if err == nil {
			if got := through(t, s, head); len(got) != len(all)+1 {
				t.Errorf("after %v come %d events, want %d", p, len(got), len(all)+1)
			}
			s.Close()
		}
	}
	if _, err := b.feed.Subscribe(context.Background(), feed.Start{}, feed.Filter{}); !errors.Is(err, feed.ErrPosition) {
		t.Errorf("a start that says nothing: %v", err)
	}
	many := make([]uint16, feed.MaxFilter+1)
	if _, err := b.feed.Subscribe(context.Background(), feed.Now(), feed.Filter{Codes: many}); !errors.Is(err, feed.ErrFilter) {
		t.Errorf("a filter without end: %v", err)
	}
}

func TestWithoutEventsThePositionMovesOn(t *testing.T) {
	b := newBank(t, nil)
	b.seed(2)
	s := b.subscribe(feed.Now(), feed.Filter{Codes: []uint16{999}})
	must(b, journal.KindTransfers, 2, transfer(50, 1, 2, 1))
	began := time.Now()
	batch, err := s.Next(context.Background())
	if err != nil || len(batch.Events) > 0 || batch.Resume != feed.AfterBlock(cellNumber, b.Head()) || batch.BlockTime == 0 {
		t.Errorf("%+v, %v; want no events, and the position after block %d", batch, err, b.Head())
	}
	if waited := time.Since(began); waited < feed.Heartbeat/2 || waited > 10*feed.Heartbeat {
		t.Errorf("that took %v", waited)
	}
}

func TestSubscribersAtTheHeadNeverReadTheJournal(t *testing.T) {
	b := newBank(t, nil)
	b.seed(2)
	var list []*feed.Subscription
	for range 50 {
		list = append(list, b.subscribe(feed.Now(), feed.Filter{}))
	}
	before := b.log.reads.Load()
	for i := range uint64(20) {
		must(b, journal.KindTransfers, 2, transfer(100+i, 1, 2, 1))
	}
	for _, s := range list {
		if got := through(t, s, b.Head()); len(got) != 20 {
			t.Fatalf("%d events", len(got))
		}
	}
	if n := b.log.reads.Load() - before; n != 0 {
		t.Errorf("%d blocks were read from the journal", n)
	}
}

func TestSubscriptionsAreBounded(t *testing.T) {
	b := newBank(t, func(o *feed.Options) { o.MaxSubscriptions = 2 })
	one := b.subscribe(feed.Now(), feed.Filter{})
	b.subscribe(feed.Now(), feed.Filter{})
	if _, err := b.feed.Subscribe(context.Background(), feed.Now(), feed.Filter{}); !errors.Is(err, feed.ErrTooMany) {
		t.Errorf("a third subscription: %v", err)
	}
	one.Close()
	one.Close()
	b.subscribe(feed.Now(), feed.Filter{})
	if _, err := b.feed.Subscribe(context.Background(), feed.Now(), feed.Filter{}); !errors.Is(err, feed.ErrTooMany) {
		t.Errorf("a third subscription after one ended: %v", err)
	}
}

func TestClosingEndsSubscriptions(t *testing.T) {
	b := newBank(t, nil)
	s := b.subscribe(feed.Now(), feed.Filter{})
	ended := make(chan error)
	go func() {
		_, err := s.Next(context.Background())
		ended <- err
	}()
	b.feed.Close()
	if err := <-ended; !errors.Is(err, feed.ErrClosed) {
		t.Errorf("the subscription ended with %v", err)
	}
	if _, err := b.feed.Subscribe(context.Background(), feed.Now(), feed.Filter{}); !errors.Is(err, feed.ErrClosed) {
		t.Errorf("subscribe after the end: %v", err)
	}
}

func FuzzParsePosition(f *testing.F) {
	for _, s := range []string{"7:1:2", "1:5", "", "1", "0:1:1", "1:2:16384", "1:2:-1", "18446744073709551615:281474976710655:16383", "1:281474976710656:0"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, err := feed.ParsePosition(s)
		if err != nil {
			return
		}
		if q, err := feed.ParsePosition(p.String()); err != nil || q != p {
			t.Errorf("%q is %v, and that is %v (%v)", s, p, q, err)
		}
		if p.Cell == 0 || p.Index < 0 || p.Index > feed.Whole || p.Seq > journal.MaxSeq {
			t.Errorf("%q is %+v", s, p)
		}
	})
}
