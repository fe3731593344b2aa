package router

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// TestExpiries: the next one is first, whatever comes and goes.
func TestExpiries(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var e expiries
		var in []*attempt
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			if len(in) > 0 && rapid.Bool().Draw(t, "drop") {
				k := rapid.IntRange(0, len(in)-1).Draw(t, "which")
				e.drop(in[k])
				e.drop(in[k])
				in = slices.Delete(in, k, k+1)
			} else {
				a := &attempt{expires: rapid.Uint64Range(0, 9).Draw(t, "expires")}
				if e.add(a); a.expires != 0 {
					in = append(in, a)
				}
			}
			var next uint64
			for _, a := range in {
				if next == 0 || a.expires < next {
					next = a.expires
				}
			}
			if e.next() != next || len(e) != len(in) {
				t.Fatalf("the next of %d is at %d; want %d of %d", len(e), e.next(), next, len(in))
			}
		}
	})
}
