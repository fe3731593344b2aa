package index_test

import (
	"context"
	"math/rand/v2"
	"os"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/sterlingrun/sterling/index"
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/ledger"
	"github.com/sterlingrun/sterling/money"
)

const benchAccounts = 1_000_000

// feed makes full blocks of transfers between random accounts, chained but not hashed: only the index is measured.
type feed struct {
	block *journal.Block
	fx    ledger.Effects
	rng   *rand.Rand
}

func newFeed() *feed {
	b := journal.NewBuilder()
	b.AddRequest(journal.KindTransfers, journal.Actor{}, make([]byte, journal.MaxEvents*journal.RecordSize))
	f := &feed{block: b.Seal(journal.Header{Kind: journal.BlockNormal, Seq: 1}), rng: rand.New(rand.NewPCG(1, 2))}
	f.block.Header.Seq, f.block.Hash = 0, journal.Hash{}
	f.fx.Transfers = make([]ledger.TransferEffect, journal.MaxEvents)
	return f
}

func (f *feed) next() (*journal.Block, *ledger.Effects) {
	h := &f.block.Header
	h.Seq++
	h.Time = h.Seq * 1e7
	h.Prev, f.block.Hash = f.block.Hash, journal.Hash{byte(h.Seq), byte(h.Seq >> 8), byte(h.Seq >> 16), 1}
	f.fx.History = f.fx.History[:0]
	for i := range f.fx.Transfers {
		debit, credit := uint32(f.rng.IntN(benchAccounts)), uint32(f.rng.IntN(benchAccounts-1))
		if credit >= debit {
			credit++
		}
		f.fx.Transfers[i] = ledger.TransferEffect{Event: uint32(i), Debit: debit + 1, Credit: credit + 1}
		if at := journal.At(h.Seq, i); ledger.Sampled(at) {
			b := ledger.Balances{DebitsPosted: money.From(h.Seq * 123_456), CreditsPosted: money.From(uint64(i) * 7_654_321)}
			f.fx.History = append(f.fx.History,
				ledger.HistoryRow{Account: debit + 1, Sampled: true, Position: at, Balances: b},
				ledger.HistoryRow{Account: credit + 1, Sampled: true, Position: at, Balances: b})
		}
	}
	return f.block, &f.fx
}

func cpuTime() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// zeroRecords are records that only have an account's id: the cost of the journal is not the index's.
type zeroRecords struct{}

func (zeroRecords) Transfer(_ context.Context, p journal.Position) (ledger.Transfer, error) {
	return ledger.Transfer{Transfer: journal.Transfer{Debit: money.From(1)}, Position: p}, nil
}

func (zeroRecords) BlockTransfers(context.Context, uint64) ([]ledger.Transfer, error) {
	return nil, nil
}

// BenchmarkIngest adds b.N transfers in full blocks and waits until they are durable and compaction is done:
//
//	go test ./index -run - -bench Ingest -benchtime 10000000x
//
// CPU time is the whole process's, with compaction and without the making of the blocks (gen-ns/transfer).
func BenchmarkIngest(b *testing.B) {
	x, err := index.Open(b.TempDir(), index.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer x.Close()
	f := newFeed()
	var gen time.Duration
	start, cpu, worst := time.Now(), cpuTime(), 0
	for done := 0; done < b.N; done += journal.MaxEvents {
		g := time.Now()
		k, fx := f.next()
		gen += time.Since(g)
		if err := x.Add(k, fx); err != nil {
			b.Fatal(err)
		}
		worst = max(worst, x.Stats().Sublevels)
	}
	ingested := time.Since(start)
	if err := x.Flush(context.Background()); err != nil {
		b.Fatal(err)
	}
	x.AwaitQuiet()
	n := float64(b.N)
	b.ReportMetric(n/ingested.Seconds()/1e3, "k/s")
	b.ReportMetric(n/(time.Since(start)-gen).Seconds()/1e3, "k/s-to-quiet")
	b.ReportMetric(float64((cpuTime()-cpu-gen).Nanoseconds())/n/1e3, "cpu-µs/transfer")
	b.ReportMetric(float64(gen.Nanoseconds())/n, "gen-ns/transfer")
	b.ReportMetric(float64(worst), "sublevels-max")
	b.ReportMetric(float64(x.DiskBytes())/n, "disk-B/transfer")
}

// fed opens an index and adds INDEX_BENCH_TRANSFERS (default 2 million) to it.
func fed(b *testing.B) (*index.Index, *feed) {
	transfers := 2_000_000
	if n, err := strconv.Atoi(os.Getenv("INDEX_BENCH_TRANSFERS")); err == nil {
		transfers = n
	}
	x, err := index.Open(b.TempDir(), index.Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = x.Close() })
	f := newFeed()
	for done := 0; done < transfers; done += journal.MaxEvents {
		if err := x.Add(f.next()); err != nil {
			b.Fatal(err)
		}
	}
	return x, f
}

// BenchmarkLastTen lists the ten latest transfers of a random account.
func BenchmarkLastTen(b *testing.B) {
	x, _ := fed(b)
	q := index.NewQueries(x, zeroRecords{})
	rng := rand.New(rand.NewPCG(3, 4))
	rows := 0
	for b.Loop() {
		page, err := q.AccountTransfers(context.Background(), rng.Uint32N(benchAccounts)+1,
			index.AccountFilter{AccountID: money.From(1), Limit: 10, Reversed: true})
		if err != nil {
			b.Fatal(err)
		}
		rows += len(page.Rows)
	}
	b.ReportMetric(float64(rows)/float64(b.N), "rows/op")
	b.ReportMetric(float64(x.Stats().Sublevels), "sublevels")
}

// BenchmarkBalanceAt asks for the balances of a random account at a random moment.
func BenchmarkBalanceAt(b *testing.B) {
	x, f := fed(b)
	x.AwaitQuiet()
	q := index.NewQueries(x, zeroRecords{})
	rng := rand.New(rand.NewPCG(3, 4))
	cpu := cpuTime()
	for b.Loop() {
		a := index.AccountRef{Number: rng.Uint32N(benchAccounts) + 1, ID: money.From(1)}
		if _, err := q.BalanceAt(context.Background(), a, rng.Uint64N(f.block.Header.Time)+1); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64((cpuTime()-cpu).Nanoseconds())/float64(b.N), "cpu-ns/op")
	b.ReportMetric(float64(x.Stats().Sublevels), "sublevels")
}
