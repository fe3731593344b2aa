package mesh_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/sterlingrun/sterling/mesh"
)

func TestQuantiles(t *testing.T) {
	var c mesh.Calls
	if c.Quantile(0.99) != 0 {
		t.Error("a quantile of nothing")
	}
	c.Latency[0], c.Latency[2], c.Latency[mesh.LatencyBuckets-1] = 50, 49, 1
	for q, want := range map[float64]time.Duration{0.25: 125 * time.Microsecond, 0.5: 250 * time.Microsecond, 0.99: time.Millisecond, 1: 10 * time.Second} {
		if got := c.Quantile(q); got != want {
			t.Errorf("%v: %s, want %s", q, got, want)
		}
	}
}

func TestWhatCountsAsFailed(t *testing.T) {
	for kind, counts := range map[mesh.Failure]uint64{
		mesh.Refused: 0, mesh.Overload: 1, mesh.Unreachable: 1, mesh.Timeout: 1, mesh.Broken: 1, mesh.Upstream: 1, mesh.Injected: 0, mesh.Invalid: 0,
	} {
		var c mesh.Calls
		c.Failures[kind] = 1
		if c.Failed() != counts {
			t.Errorf("kind %d: %d, want %d", kind, c.Failed(), counts)
		}
	}
}

// TestCallsAddUp: what came since is what was added, quantiles rise with the share, and counts that went back are none.
func TestCallsAddUp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		counts := func(name string) (c mesh.Calls) {
			for i := range c.Latency {
				c.Latency[i] = uint64(rapid.IntRange(0, 1000).Draw(t, name))
			}
			for i := range c.Failures {
				c.Failures[i] = uint64(rapid.IntRange(0, 1000).Draw(t, name))
			}
			return c
		}
		before, more := counts("before"), counts("more")
		now := before
		now.Add(&more)
		if now.Since(&before) != more || now.Requests() != before.Requests()+more.Requests() {
			t.Fatal("what was added is not what came since")
		}
		if before.Since(&now) != (mesh.Calls{}) {
			t.Fatal("counts that went back are some")
		}
		for last, i := time.Duration(0), 0; i <= 100; i++ {
			q := now.Quantile(float64(i) / 100)
			if q < last {
				t.Fatalf("the quantile %d%% is %s, a lower one %s", i, q, last)
			}
			last = q
		}
	})
}
