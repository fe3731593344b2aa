package bench_test

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/sterlingrun/sterling/bench"
)

func TestHistogramAgreesWithSorting(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		values := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) time.Duration {
			return time.Duration(rapid.Uint64().Draw(t, "v") >> rapid.IntRange(1, 63).Draw(t, "shift"))
		}), 1, 300).Draw(t, "values")
		var h, first bench.Histogram
		for i, v := range values {
			if i%2 == 0 {
				first.Record(v)
			} else {
				h.Record(v)
			}
		}
		h.Merge(&first)
		slices.Sort(values)
		if h.Count() != uint64(len(values)) || h.Max() != values[len(values)-1] {
			t.Fatalf("%d values, the longest %d; want %d and %d", h.Count(), h.Max(), len(values), values[len(values)-1])
		}
		for _, q := range []float64{0, 0.5, 0.99, 0.999, 1} {
			rank := min(max(int(q*float64(len(values))+0.999999), 1), len(values))
			exact, got := values[rank-1], h.Quantile(q)
			if got < exact || float64(got-exact) > float64(exact)/64 {
				t.Fatalf("quantile %v is %d, want %d to 1/64 above", q, got, exact)
			}
		}
	})
}

func TestHistogramWithoutValues(t *testing.T) {
	var h bench.Histogram
	if h.Quantile(0.99) != 0 || h.Max() != 0 || h.Count() != 0 {
		t.Errorf("an empty histogram has p99 %v, max %v, count %d", h.Quantile(0.99), h.Max(), h.Count())
	}
	h.Record(-time.Second)
	if h.Quantile(1) != 0 || h.Count() != 1 {
		t.Errorf("a negative duration counts as %v", h.Quantile(1))
	}
}

func BenchmarkHistogramRecord(b *testing.B) {
	var h bench.Histogram
	for b.Loop() {
		h.Record(time.Duration(rand.Uint32()))
	}
}
