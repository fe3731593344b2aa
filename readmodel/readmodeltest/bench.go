package readmodeltest

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/sterlingrun/sterling/clock"
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/ledger"
	"github.com/sterlingrun/sterling/money"
	"github.com/sterlingrun/sterling/readmodel"
)

// Sizes of the journal of a benchmark: full blocks, ids without order, and one in four transfers reserves and one posts.
const (
	benchAccounts = 10_000
	benchBlocks   = 24
)

// Bench projects a journal of 196,560 transfers into an empty database, in the batches of a projector that catches up,
// and reports rows and transfers a second.
func Bench(b *testing.B, open func(t testing.TB) Harness) {
	w := busyWorld()
	for b.Loop() {
		b.StopTimer()
		h := open(b)
		target := h.Open(b)
		b.StartTimer()
		p := project(b, target, w, w.Cell, len(w.Blocks), nil)
		b.StopTimer()
		s := p.Status().Stats
		b.ReportMetric(float64(s.Rows)/s.Time.Seconds(), "rows/s")
		b.ReportMetric(float64(s.Transfers)/s.Time.Seconds(), "transfers/s")
		closed(b, target)
		b.StartTimer()
	}
}

// busyWorld is a ledger that was at work.
func busyWorld() *World {
	w := NewWorld(1, 99)
	w.Do(journal.KindAssets, 1, journal.Bytes([]journal.Asset{ledger.AssetRecord(assets()[0])}))
	for first := 0; first < benchAccounts; first += 5_000 {
		list := make([]journal.Account, 5_000)
		for i := range list {
			list[i] = journal.Account{ID: money.From(uint64(first+i) + 1), Asset: 1, Code: uint16(1 + i%5)}
		}
		w.Do(journal.KindAccounts, 1, journal.Bytes(list))
		w.Seal()
	}
	random := func() money.U128 { return money.U128{Hi: w.rng.Uint64() >> 1, Lo: w.rng.Uint64()} }
	for range benchBlocks {
		list := make([]journal.Transfer, journal.MaxEvents)
		var pending []money.U128
		for i := range list {
			t := &list[i]
			t.ID = random()
			if i%4 == 3 && len(pending) > 0 {
				t.PendingID, t.Flags, t.Amount = pending[0], journal.TransferPost, money.Max()
				pending = pending[1:]
				continue
			}
			debit := w.rng.Uint64N(benchAccounts)
			t.Debit, t.Credit = money.From(debit+1), money.From((debit+1+w.rng.Uint64N(benchAccounts-1))%benchAccounts+1)
			t.Amount, t.Asset, t.Code = money.From(w.rng.Uint64N(1_000_000)), 1, 1
			if i%4 == 1 {
				t.Flags, t.Timeout = journal.TransferPending, 3600
				pending = append(pending, t.ID)
			}
		}
		for i, r := range w.Do(journal.KindTransfers, 1, journal.Bytes(list)) {
			if r.Status != journal.Created {
				panic(fmt.Sprintf("transfer %d has status %s", i, r.Status.Name(journal.KindTransfers)))
			}
		}
		w.Seal()
	}
	return w
}

var _ readmodel.Source = (*World)(nil)

// BenchLive measures how long a block of 100 transfers takes from its acknowledgement until it can be read in the tables.
func BenchLive(b *testing.B, open func(t testing.TB) Harness) {
	w := NewWorld(1, 98)
	accounts := []journal.Account{{ID: money.From(1), Asset: 1, Code: 1}, {ID: money.From(2), Asset: 1, Code: 1}}
	w.Do(journal.KindAccounts, 1, journal.Bytes(accounts))
	w.Seal()
	next := uint64(10)
	for range 2_000 {
		list := make([]journal.Transfer, 100)
		for i := range list {
			next++
			list[i] = journal.Transfer{ID: money.From(next), Debit: money.From(1), Credit: money.From(2), Amount: money.From(1), Asset: 1, Code: 1}
		}
		w.Do(journal.KindTransfers, 1, journal.Bytes(list))
		w.Seal()
	}
	target := open(b).Open(b)
	defer closed(b, target)
	s := &released{World: w}
	s.head.Store(1)
	p := readmodel.New(readmodel.Options{Cell: w.Cell, Source: s, Open: opened(target), Clock: clock.NewSystem()})
	ctx, cancel := context.WithCancel(b.Context())
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx) }()
	for b.Loop() {
		seq := s.head.Add(1)
		if seq > uint64(len(w.Blocks)) {
			b.Fatal("the journal is at its end")
		}
		p.Notify()
		if err := p.Await(ctx, seq); err != nil {
			b.Fatal(err)
		}
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		b.Error(err)
	}
}

// released is a world whose blocks are acknowledged one by one.
type released struct {
	*World
	head atomic.Uint64
}

// Head implements readmodel.Source.
func (r *released) Head(context.Context) (uint64, error) { return r.head.Load(), nil }
