package readmodeltest

import (
	"fmt"
	"testing"

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
