// Package feedtest is a small ledger with a change feed, for the tests of sinks: a real cell over a journal in memory.
// It is never part of the product. Start reading at [New].
package feedtest

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/sterlingrun/sterling/cell"
	"github.com/sterlingrun/sterling/cell/celltest"
	"github.com/sterlingrun/sterling/clock"
	"github.com/sterlingrun/sterling/feed"
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/ledger"
	"github.com/sterlingrun/sterling/money"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

// Bank is a ledger with accounts 1 and 2 in CNY/2.
type Bank struct {
	t    testing.TB
	cell *cell.Cell
	feed *feed.Feed
	dir  string
	next uint64
}

// New opens a bank that ends with the test.
func New(t testing.TB) *Bank {
	t.Helper()
	b := &Bank{t: t, dir: t.TempDir()}
	log := &celltest.Memory{}
	b.feed = feed.New(feed.Options{Cell: 1, Log: log, Clock: clock.NewSystem()})
	var err error
	b.cell, err = cell.Open(context.Background(), cell.Options{
		ID: 1, Log: log, Clock: clock.NewSystem(), Incarnation: [16]byte{1}, HashKey: [2]uint64{3, 5}, OnBlock: b.feed.OnBlock,
	})
	if err != nil {
		t.Fatal(err)
	}
	b.feed.Start(b.cell)
	t.Cleanup(func() {
		b.feed.Close()
		if err := b.cell.Close(); err != nil {
			t.Error(err)
		}
	})
	record(b, journal.KindAssets, ledger.AssetRecord(money.Asset{Code: "CNY", Scale: 2}))
	record(b, journal.KindAccounts, journal.Account{ID: money.From(1), Asset: 1, Code: 1}, journal.Account{ID: money.From(2), Asset: 1, Code: 1})
	return b
}

func record[T journal.Record](b *Bank, kind journal.Kind, events ...T) {
	b.t.Helper()
	r := &cell.Request{Kind: kind, Events: journal.Bytes(events), Results: make([]journal.Result, len(events))}
	if err := b.cell.Do(context.Background(), r); err != nil {
		b.t.Fatal(err)
	}
	for i, result := range r.Results {
		if result.Status != journal.Created {
			b.t.Fatalf("event %d of kind %d: status %d", i, kind, result.Status)
		}
	}
}

// Pay records n transfers in one request; their ids go on from 1.
func (b *Bank) Pay(n int) {
	b.t.Helper()
	events := make([]journal.Transfer, n)
	for i := range events {
		b.next++
		events[i] = journal.Transfer{ID: money.From(b.next), Debit: money.From(1), Credit: money.From(2), Amount: money.From(1), Asset: 1, Code: 1}
	}
	record(b, journal.KindTransfers, events...)
}

// Paid is how many transfers were recorded.
func (b *Bank) Paid() int { return int(b.next) } //nolint:gosec // small

// Run serves a sink with the transfers from where it was; what it returns ends it.
func (b *Bank) Run(s feed.Sink) (status func() *ledgerv1.Sink, stop func()) {
	b.t.Helper()
	rs, err := b.feed.NewSinks(feed.RunnerOptions{
		Shelf: feed.Folder(b.dir), Clock: clock.NewSystem(), Logger: slog.New(slog.DiscardHandler), Jitter: func() float64 { return 0.5 },
	}, []feed.SinkOptions{{
		Name: "sink", Kind: "test", Sink: s, FirstPause: 10 * time.Millisecond, LastPause: 50 * time.Millisecond, Timeout: 5 * time.Second,
		Filter: feed.Filter{Kinds: []feed.Kind{feed.TransferCreated}},
	}})
	if err != nil {
		b.t.Fatal(err)
	}
	rs.Serve()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		if err := rs.Close(); err != nil {
			b.t.Error(err)
		}
	}
	b.t.Cleanup(stop)
	return func() *ledgerv1.Sink { return rs.Status()[0] }, stop
}

// Eventually waits until a condition holds, for 20 seconds at most.
func Eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(20 * time.Second)
	for !holds() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("not within 20 s: %s", what)
		}
	}
}
