package feed_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sterlingrun/sterling/cell"
	"github.com/sterlingrun/sterling/cell/celltest"
	"github.com/sterlingrun/sterling/clock"
	"github.com/sterlingrun/sterling/feed"
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/ledger"
	"github.com/sterlingrun/sterling/money"
)

// bank is a cell with a feed, over a journal in memory that survives both.
type bank struct {
	t     *testing.T
	log   *counting
	clock *clock.Fake
	feed  *feed.Feed
	opts  feed.Options
	*cell.Cell
}

// counting is a log that counts reads of whole blocks.
type counting struct {
	celltest.Memory
	reads atomic.Int64
}

func (c *counting) Read(ctx context.Context, seq uint64, dst []byte) ([]byte, error) {
	c.reads.Add(1)
	return c.Memory.Read(ctx, seq, dst)
}

const cellNumber = 7

func newBank(t *testing.T, change func(*feed.Options)) *bank {
	t.Helper()
	b := &bank{t: t, log: &counting{}, clock: clock.NewFake(1_700_000_000_000_000_000)}
	b.opts = feed.Options{Cell: cellNumber, Log: b.log, Clock: clock.NewSystem()}
	if change != nil {
		change(&b.opts)
	}
	b.open()
	t.Cleanup(b.close)
	return b
}

func (b *bank) open() {
	b.t.Helper()
	b.feed = feed.New(b.opts)
	var err error
	b.Cell, err = cell.Open(context.Background(), cell.Options{
		ID: cellNumber, Log: b.log, Clock: b.clock, Incarnation: [16]byte{1}, HashKey: [2]uint64{3, 5}, OnBlock: b.feed.OnBlock,
	})
	if err != nil {
		b.t.Fatal(err)
	}
	b.feed.Start(b.Cell)
}

func (b *bank) close() {
	b.feed.Close()
	if err := b.Close(); err != nil {
		b.t.Error(err)
	}
}

func (b *bank) reopen() {
	b.t.Helper()
	b.close()
	b.open()
}

func do[T journal.Record](b *bank, kind journal.Kind, actor byte, events ...T) []journal.Result {
	b.t.Helper()
	r := &cell.Request{Kind: kind, Events: journal.Bytes(events), Results: make([]journal.Result, len(events)), Actor: journal.Actor{actor}}
	if err := b.Do(context.Background(), r); err != nil {
		b.t.Fatal(err)
	}
	return r.Results
}

// must is do, where every event has to be created.
func must[T journal.Record](b *bank, kind journal.Kind, actor byte, events ...T) {
	b.t.Helper()
	for i, r := range do(b, kind, actor, events...) {
		if r.Status != journal.Created {
			b.t.Fatalf("event %d of kind %d: %s", i, kind, r.Status.Name(kind))
		}
	}
}

func account(id uint64) journal.Account {
	return journal.Account{ID: money.From(id), Asset: 1, Code: 1}
}

func transfer(id, debit, credit, amount uint64) journal.Transfer {
	return journal.Transfer{ID: money.From(id), Debit: money.From(debit), Credit: money.From(credit), Amount: money.From(amount), Asset: 1, Code: 1}
}

// seed registers CNY/2 and USD/2 and opens accounts 1 to n; odd ones in CNY/2.
func (b *bank) seed(n uint64) {
	b.t.Helper()
	must(b, journal.KindAssets, 1, ledger.AssetRecord(money.Asset{Code: "CNY", Scale: 2}), ledger.AssetRecord(money.Asset{Code: "USD", Scale: 2}))
	for id := uint64(1); id <= n; id++ {
		must(b, journal.KindAccounts, 1, account(id))
	}
}

func (b *bank) subscribe(from feed.Start, filter feed.Filter) *feed.Subscription {
	b.t.Helper()
	s, err := b.feed.Subscribe(context.Background(), from, filter)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(s.Close)
	return s
}

// through reads until the position is at the end of block seq.
func through(t *testing.T, s *feed.Subscription, seq uint64) []feed.Event {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	var events []feed.Event
	for s.Position().Compare(feed.AfterBlock(cellNumber, seq)) < 0 {
		b, err := s.Next(ctx)
		if err != nil {
			t.Fatalf("after %v: %v", s.Position(), err)
		}
		events = append(events, b.Events...)
		if b.Resume != s.Position() {
			t.Fatalf("the batch says to resume after %v, the subscription is at %v", b.Resume, s.Position())
		}
	}
	return events
}

// all reads what the journal has up to now.
func (b *bank) all(from feed.Start, filter feed.Filter) []feed.Event {
	b.t.Helper()
	s := b.subscribe(from, filter)
	defer s.Close()
	return through(b.t, s, b.Head())
}
