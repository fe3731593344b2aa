package control_test

import (
	"slices"
	"testing"
	"time"

	"github.com/sterlingrun/sterling/mesh"
	cellv1 "github.com/sterlingrun/sterling/proto/gen/sterling/cell/v1"
)

// TestTheTopologyHasOnlyWhoCanBe: what a data plane names becomes a line that operators read and a label of metrics.
func TestTheTopologyHasOnlyWhoCanBe(t *testing.T) {
	clk := fakeNow(0)
	r := newRig(t, clk)
	r.apply(config("127.0.0.1:1"))
	name := node("ledger", "a")
	r.subscribed(name)
	callers := []string{"", "unknown", "\x1b[2Japi", id("api").String(), "spiffe://" + domain + "/cell/c1/svc/none", "spiffe://other.example/x"}
	for n := range uint64(2) {
		in := &cellv1.ReportRequest{Node: name, Started: 1}
		for _, outbound := range []bool{false, true} {
			for _, peer := range append(callers, "ledger", "none") {
				calls := &cellv1.MeshCalls{Peer: peer, Outbound: outbound, Latency: make([]uint64, mesh.LatencyBuckets)}
				calls.Latency[0] = 10 * n
				in.Calls = append(in.Calls, calls)
			}
		}
		r.wantReport(in)
		clk.Advance(time.Second)
	}
	top := r.plane.Topology("")
	var got []string
	for _, e := range top.GetEdges() {
		got = append(got, e.GetCaller()+">"+e.GetService())
		if want := map[string]float64{"other": 60}[e.GetCaller()]; want > 0 && e.GetRequestsPerSecond() != want {
			t.Errorf("%s: %v a second, want %v", e.GetCaller(), e.GetRequestsPerSecond(), want)
		}
	}
	if want := []string{">ledger", "api>ledger", "ledger>ledger", "other>ledger"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if n := top.GetNodes()[0]; n.GetRequestsPerSecond() != 160 {
		t.Errorf("of the data plane itself: %v a second", n.GetRequestsPerSecond())
	}
}
