package proxy

import (
	"strconv"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sterlingrun/sterling/mesh"
)

// TestTooManyCallers: what is counted apart is bounded, and no call is lost.
func TestTooManyCallers(t *testing.T) {
	s := NewStats()
	const callers = 2 * maxParties
	for i := range callers {
		s.listener("in").connected(strconv.Itoa(i), "app", time.Millisecond, nil)
	}
	var all mesh.Calls
	list := s.Calls()
	for _, c := range list {
		all.Add(&c.Calls)
		if c.Caller == OtherParty && c.Requests() != callers-maxParties {
			t.Errorf("%d counted together, want %d", c.Requests(), callers-maxParties)
		}
	}
	if len(list) != maxParties+1 || all.Requests() != callers {
		t.Errorf("%d counted apart, %d in all", len(list), all.Requests())
	}
}

// TestAServiceNamedNone does not collide with calls for which none was chosen: one double fails a whole scrape.
func TestAServiceNamedNone(t *testing.T) {
	s := NewStats()
	for _, cluster := range []string{"", "none"} {
		s.listener("in").connected("spiffe://bank.example/cell/c1/svc/shop", cluster, time.Millisecond, errCaller)
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(s)
	if _, err := registry.Gather(); err != nil {
		t.Error(err)
	}
}

// BenchmarkCountCall is what counting by caller costs a request.
func BenchmarkCountCall(b *testing.B) {
	s := NewStats().listener("in")
	x := &exchange{c: &conn{peer: "spiffe://bank.example/cell/c1/svc/shop"}, cluster: &cluster{Cluster: Cluster{Name: "app/127.0.0.1:9380"}}}
	for i := range 20 {
		s.connected(strconv.Itoa(i), "app/127.0.0.1:9380", 0, nil)
	}
	b.ReportAllocs()
	for b.Loop() {
		s.observe(x, 200, 700*time.Microsecond)
	}
}
