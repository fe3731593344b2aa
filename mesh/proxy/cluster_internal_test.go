package proxy

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// testCluster has endpoints named by their zones: "a0", "a1", "b0" …
func testCluster(zone string, ejection Ejection, endpoints ...string) *cluster {
	k := Cluster{Name: "app", Ejection: ejection}
	for _, e := range endpoints {
		k.Endpoints = append(k.Endpoints, Endpoint{Address: e, Zone: e[:1]})
	}
	return newCluster(k, zone, nil, nil)
}

var ejecting = Ejection{Failures: 3, For: time.Second, MaxPercent: 50}

// spread chooses many times and counts.
func spread(c *cluster, now uint64) map[string]int {
	got := map[string]int{}
	for range 3000 {
		got[c.choose(now, nil).Address]++
	}
	return got
}

func fail(c *cluster, address string, times int, now uint64) {
	for _, e := range c.endpoints {
		for range times {
			if e.Address == address {
				c.failed(e, now)
			}
		}
	}
}

func TestTheLessLoadedIsChosen(t *testing.T) {
	c := testCluster("", ejecting, "a0", "a1", "a2")
	c.endpoints[0].active.Store(10)
	if got := spread(c, 1); got["a0"] > 0 || got["a1"] < 1000 || got["a2"] < 1000 {
		t.Errorf("%v", got)
	}
}

func TestTheOwnZoneIsPreferred(t *testing.T) {
	c := testCluster("a", ejecting, "a0", "a1", "a2", "b0", "b1")
	if got := spread(c, 1); got["b0"]+got["b1"] > 0 {
		t.Errorf("all healthy: %v", got)
	}
	fail(c, "a0", 3, 1)
	if got := spread(c, 1); got["b0"]+got["b1"]+got["a0"] > 0 {
		t.Errorf("one of three out: %v", got)
	}
	fail(c, "a1", 3, 1)
	if got := spread(c, 1); got["a0"]+got["a1"] > 0 || got["a2"] == 0 || got["b0"] == 0 || got["b1"] == 0 {
		t.Errorf("two of three out: %v", got)
	}
	second := uint64(time.Second)
	if got := spread(c, second+2); got["b0"]+got["b1"] > 0 || got["a0"] == 0 || got["a1"] == 0 {
		t.Errorf("when they are back: %v", got)
	}
}

func TestAnEjectionGrowsUntilTheEndpointSucceeds(t *testing.T) {
	c := testCluster("", ejecting, "a0", "a1", "a2", "a3")
	e, second := c.endpoints[0], uint64(time.Second)
	fail(c, "a0", 2, 0)
	c.succeeded(e)
	fail(c, "a0", 2, 0)
	if c.ejected(0) != 0 {
		t.Fatal("ejected although it succeeded in between")
	}
	fail(c, "a0", 1, 0)
	if c.ejected(second-1) != 1 || c.ejected(second) != 0 {
		t.Fatal("not out for a second")
	}
	fail(c, "a0", 1, second) // on probation
	if c.ejected(3*second-1) != 1 || c.ejected(3*second) != 0 {
		t.Fatal("not out for two seconds the second time")
	}
	c.succeeded(e)
	fail(c, "a0", 3, 4*second)
	if c.ejected(5*second-1) != 1 || c.ejected(5*second) != 0 {
		t.Fatal("not out for one second after a success")
	}
}

// TestSomeEndpointIsAlwaysChosen: whatever fails, no more than the allowed share is out, never the last one, and what
// is chosen is healthy where anything is.
func TestSomeEndpointIsAlwaysChosen(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 8).Draw(t, "endpoints")
		percent := rapid.IntRange(1, 100).Draw(t, "percent")
		var names []string
		for i := range n {
			names = append(names, fmt.Sprintf("%c%d", 'a'+rune(i%3), i))
		}
		c := testCluster("a", Ejection{Failures: 2, For: time.Second, MaxPercent: percent}, names...)
		now := uint64(1)
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			now += uint64(rapid.IntRange(0, 700).Draw(t, "ms")) * uint64(time.Millisecond)
			e := c.endpoints[rapid.IntRange(0, n-1).Draw(t, "endpoint")]
			if rapid.Bool().Draw(t, "fails") {
				c.failed(e, now)
			} else {
				c.succeeded(e)
			}
			out := c.ejected(now)
			if out >= n || out*100 > percent*n {
				t.Fatalf("%d of %d out, at most %d%%", out, n, percent)
			}
			if chosen := c.choose(now, nil); chosen == nil || chosen.until.Load() > now {
				t.Fatalf("chose %v", chosen)
			}
		}
	})
}

func TestARetryGoesElsewhere(t *testing.T) {
	c := testCluster("", ejecting, "a0", "a1", "a2")
	for range 100 {
		first := c.choose(1, nil)
		second := c.choose(1, []*endpoint{first})
		third := c.choose(1, []*endpoint{first, second})
		if first == second || second == third || first == third {
			t.Fatalf("%s, %s, %s", first.Address, second.Address, third.Address)
		}
	}
}

func TestNobodyToChoose(t *testing.T) {
	if e := testCluster("", ejecting).choose(1, nil); e != nil {
		t.Errorf("chose %v", e)
	}
}

func TestNearerEndpointsComeFirst(t *testing.T) {
	k := Cluster{Name: "app", Ejection: ejecting}
	for i, distance := range []int{0, 0, 1, 3} {
		k.Endpoints = append(k.Endpoints, Endpoint{Address: fmt.Sprint(i), Distance: distance, Weight: 1})
	}
	k.Ejection.MaxPercent = 100
	c := newCluster(k, "", nil, nil)
	for _, step := range []struct {
		fails string
		want  string // who is chosen
	}{{"", "[0 1]"}, {"0", "[1]"}, {"1", "[2]"}, {"2", "[3]"}} {
		fail(c, step.fails, 3, 1)
		got := slices.Sorted(maps.Keys(spread(c, 1)))
		if fmt.Sprint(got) != step.want {
			t.Errorf("after %q failed: %v, want %s", step.fails, got, step.want)
		}
	}
	if got := spread(c, uint64(time.Minute)); got["0"] == 0 || got["2"] > 0 {
		t.Errorf("back again: %v", got)
	}
}

func TestWeightsShareOut(t *testing.T) {
	k := Cluster{Name: "app", Ejection: ejecting, Endpoints: []Endpoint{{Address: "a", Weight: 1}, {Address: "b", Weight: 3}}}
	if got := spread(newCluster(k, "", nil, nil), 1); got["a"] < 600 || got["a"] > 900 {
		t.Errorf("want a quarter of 3000 for a: %v", got)
	}
}

func TestAShareOfFailuresEjects(t *testing.T) {
	ejection := Ejection{Failures: -1, Percent: 50, Requests: 10, Interval: time.Second, For: time.Second, MaxPercent: 50}
	c := testCluster("", ejection, "a0", "a1")
	e := c.endpoints[0]
	now := uint64(5 * time.Second)
	for range 5 { // a failure, then as many answers
		c.failed(e, now)
		c.succeeded(e)
	}
	if c.ejected(now) != 0 {
		t.Error("ejected before there were enough requests")
	}
	c.failed(e, now) // 6 of 11
	if c.ejected(now) != 1 {
		t.Error("half of the requests failed, and it is not ejected")
	}
	e = c.endpoints[1]
	now += uint64(3 * time.Second)
	for i := range 40 { // one in four
		c.succeeded(e)
		c.succeeded(e)
		c.succeeded(e)
		c.failed(e, now+uint64(i))
	}
	if c.ejected(now+40) != 0 {
		t.Error("ejected for a quarter of failures")
	}
}
