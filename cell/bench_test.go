package cell_test

import (
	"context"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/sterlingrun/sterling/cell"
	"github.com/sterlingrun/sterling/clock"
	"github.com/sterlingrun/sterling/index"
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/money"
	"github.com/sterlingrun/sterling/store/local"
)

// benchCell is a cell on the real disk with accounts 1 to n, their ids spread like random ones.
func benchCell(b *testing.B, accounts int, indexed bool) *cell.Cell {
	b.Helper()
	dir := b.TempDir()
	store, err := local.Open(dir, local.Options{Cell: 1})
	if err != nil {
		b.Fatal(err)
	}
	o := cell.Options{ID: 1, Log: store, Snapshots: store.Snapshots(), Clock: clock.NewSystem(), HashKey: [2]uint64{9, 11}, SnapshotEvents: 1 << 40}
	if indexed {
		x, err := index.Open(filepath.Join(dir, "index"), index.Options{})
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = x.Close() })
		o.Follower = x
	}
	c, err := cell.Open(context.Background(), o)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = c.Close(); _ = store.Close() })
	for at := 0; at < accounts; at += journal.MaxEvents {
		list := make([]journal.Account, min(journal.MaxEvents, accounts-at))
		for i := range list {
			list[i] = journal.Account{ID: spread(uint64(at + i + 1)), Asset: 1, Code: 1}
		}
		r := &cell.Request{Kind: journal.KindAccounts, Events: journal.Bytes(list), Results: make([]journal.Result, len(list))}
		if err := c.Do(context.Background(), r); err != nil {
			b.Fatal(err)
		}
	}
	return c
}

func spread(n uint64) money.U128 {
	return money.U128{Lo: n * 0x9E3779B97F4A7C15, Hi: n * 0xD6E8FEB86659FD93 >> 1}
}

func benchTransfers(b *testing.B, accounts, clients, size int, indexed bool) {
	c := benchCell(b, accounts, indexed)
	var next atomic.Uint64
	var wg sync.WaitGroup
	b.ResetTimer()
	for range clients {
		wg.Add(1)
		go func() {
			defer wg.Done()
			rng := rand.New(rand.NewPCG(1, next.Add(1)))
			for {
				from := next.Add(uint64(size))
				if from > uint64(b.N) {
					return
				}
				list := make([]journal.Transfer, size)
				for i := range list {
					debit := uint64(rng.IntN(accounts)) + 1
					list[i] = journal.Transfer{
						ID: spread(from + uint64(i) + 1<<40), Debit: spread(debit), Credit: spread(debit%uint64(accounts) + 1),
						Amount: money.From(1), Asset: 1, Code: 1,
					}
				}
				r := &cell.Request{Kind: journal.KindTransfers, Events: journal.Bytes(list), Results: make([]journal.Result, size)}
				if err := c.Do(context.Background(), r); err != nil {
					b.Error(err)
					return
				}
				if r.Results[0].Status != journal.Created {
					b.Errorf("status %s", r.Results[0].Status.Name(r.Kind))
					return
				}
			}
		}()
	}
	wg.Wait()
	if _, err := c.Sync(context.Background()); err != nil {
		b.Error(err)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "transfers/s")
}

func BenchmarkBulk(b *testing.B)        { benchTransfers(b, 1_000_000, 4, 8000, true) }
func BenchmarkBulkNoIndex(b *testing.B) { benchTransfers(b, 1_000_000, 4, 8000, false) }
func BenchmarkBatch100(b *testing.B)    { benchTransfers(b, 1_000_000, 16, 100, true) }
func BenchmarkSingle(b *testing.B)      { benchTransfers(b, 100_000, 128, 1, true) }
