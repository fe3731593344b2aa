package watch

import (
	"runtime"
	"testing"

	"github.com/sterlingrun/sterling/watch/internal/books"
)

// BenchmarkStories is the demo's mix as movements and observations, without the decoding of blocks, which package books
// measures: card payments (reserved, captured, with a fee and a receipt) and payments between customers. An iteration is
// one event.
func BenchmarkStories(b *testing.B) {
	for _, kept := range []struct {
		name string
		past bool
	}{{"closing", true}, {"keeping", false}} {
		b.Run(kept.name, func(b *testing.B) {
			r := newRig(b, Options{})
			if !kept.past {
				r.e.past = nil
			}
			const stories = 500
			events := 0
			var effects []Effect
			b.ReportAllocs()
			b.ResetTimer()
			for n := uint64(0); events < b.N; n++ {
				events += r.mix(n*stories, stories)
				effects = r.e.Effects(effects[:0])
			}
			b.ReportMetric(float64(events)/b.Elapsed().Seconds(), "events/s")
		})
	}
}

// mix plays many stories and returns how many events that were.
func (r *rig) mix(from, stories uint64) int {
	var orders, receipts []Observation
	var first, second []Movement
	for k := from + 1; k <= from+stories; k++ {
		if k%3 == 0 {
			orders = append(orders, order("payment", k, 10_000, alice, bob))
			first = append(first, move(5, 1, k, 10_000, alice, bob))
			continue
		}
		orders = append(orders, order("card-payment", k, 10_000, alice, shop))
		hold := phase(move(3, 1, k, 10_000, alice, shop), books.Reserve, ID{})
		hold.Transfer = key(k<<20 + 7)
		first = append(first, hold)
		second = append(second, phase(move(3, 1, k, 10_000, alice, shop), books.Capture, hold.Transfer), move(3, 2, k, 60, shop, feesAccount))
		receipts = append(receipts, receipt("card-payment", k, 10_000, Settled))
	}
	for _, list := range [][]Observation{orders, receipts} {
		for n := range list {
			list[n].ID = r.id()
		}
	}
	for _, list := range [][]Movement{first, second} {
		for n := range list {
			if list[n].Transfer.IsZero() {
				list[n].Transfer = r.id()
			}
			list[n].Asset = 1
			if list[n].Phase == 0 {
				list[n].Phase = books.Single
			}
		}
	}
	r.feed("orders", orders)
	r.play(first)
	r.play(second)
	r.feed("card-scheme", receipts)
	r.now += second1
	r.e.Tick(r.now, r.books.seq, r.now)
	return len(orders) + len(first) + len(second) + len(receipts)
}

const second1 = second / 10

func (r *rig) feed(source string, list []Observation) {
	for n := range list {
		o := &list[n]
		r.seqs[source]++
		o.Seq, o.Time, o.Through, o.Asset = r.seqs[source], r.now, r.now, "CNY/2"
	}
	r.e.Observe(source, list)
}

func (r *rig) play(list []Movement) {
	r.books.next, r.books.time = list, max(r.now, r.books.time+1)
	r.e.Block(nil)
}

// TestMemoryOfOpenKeys bounds what an open key costs.
func TestMemoryOfOpenKeys(t *testing.T) {
	const keys = 50_000
	r := newRig(t, Options{})
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for k := uint64(0); k < keys; k += 500 {
		var orders []Observation
		var holds []Movement
		for n := k + 1; n <= k+500; n++ {
			o := order("card-payment", n, 10_000, alice, shop)
			o.ID = r.id()
			orders = append(orders, o)
			hold := phase(move(3, 1, n, 10_000, alice, shop), books.Reserve, ID{})
			hold.Transfer, hold.Asset = r.id(), 1
			holds = append(holds, hold)
		}
		r.feed("orders", orders)
		r.play(holds)
	}
	r.tick(0)
	runtime.GC()
	runtime.ReadMemStats(&after)
	if p := r.e.Proof(); p.Keys != keys || p.Open != 0 {
		t.Fatalf("%d keys, %d breaks", p.Keys, p.Open)
	}
	each := (after.HeapAlloc - before.HeapAlloc) / keys
	t.Logf("%d bytes for each key with an order and a reservation", each)
	if each > 700 {
		t.Errorf("%d bytes for each open key", each)
	}
	runtime.KeepAlive(r)
}
