package ledger_test

import (
	"fmt"
	"testing"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/ledger"
)

// BenchmarkApplyAfter applies requests of 100 transfers once 20 million ids are known, with all of them in memory (0)
// and with generations. What passes a filter is answered at once: the read of a page is not in it. One op is one
// transfer.
func BenchmarkApplyAfter(b *testing.B) {
	const before, size = 20_000_000, 100
	for _, generation := range []int{0, ledger.DefaultGeneration} {
		b.Run(fmt.Sprintf("generation=%d", generation), func(b *testing.B) {
			k := newBankOf(b, ledger.Config{Alloc: arena(), Generation: generation})
			records := make([]journal.Transfer, journal.MaxEvents)
			passed := 0
			apply := func(events []byte) {
				k.needs = k.s.Needs(journal.KindTransfers, events, k.needs[:0])
				var facts ledger.Facts
				for i := range k.needs {
					if facts.IDs == nil {
						facts.IDs = map[uint64][]uint64{}
					}
					facts.IDs[k.needs[i].Hash] = nil // all ids are new
					passed++
				}
				k.s.Apply(journal.KindTransfers, journal.Actor{}, events, facts, k.results[:len(events)/journal.RecordSize])
			}
			settle := func() {
				for g := k.s.NextSealed(); g != nil; g = k.s.NextSealed() {
					k.s.Settle(g.Ref(), g.Filter())
				}
			}
			for n := 0; n < before; n += len(records) {
				k.plain(records)
				k.block(func() { apply(journal.Bytes(records)) })
				settle()
			}
			passed = 0
			b.ResetTimer()
			for done := 0; done < b.N; {
				n := min(len(records), b.N-done)
				b.StopTimer()
				k.plain(records[:n])
				k.begin()
				b.StartTimer()
				for from := 0; from < n; from += size {
					apply(journal.Bytes(records[from:min(from+size, n)]))
				}
				b.StopTimer()
				k.end()
				settle()
				done += n
				b.StartTimer()
			}
			b.ReportMetric(float64(passed)/float64(b.N), "looked-up/op")
		})
	}
}
