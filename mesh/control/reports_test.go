package control_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/sterlingrun/sterling/clock"
	"github.com/sterlingrun/sterling/mesh"
	"github.com/sterlingrun/sterling/mesh/control"
	cellv1 "github.com/sterlingrun/sterling/proto/gen/sterling/cell/v1"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

// counted is a report of calls to the ledger: so many of 1 to 2.5 ms, of which so many timed out.
func counted(name string, started, all, failed uint64) *cellv1.ReportRequest {
	calls := &cellv1.MeshCalls{Peer: "ledger", Outbound: true, Latency: make([]uint64, mesh.LatencyBuckets), Failures: make([]uint64, mesh.Failures)}
	calls.Latency[3], calls.Failures[mesh.Timeout] = all, failed
	return &cellv1.ReportRequest{Node: name, Started: started, Calls: []*cellv1.MeshCalls{calls}}
}

func (r *rig) report(in *cellv1.ReportRequest) codes.Code {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), patience)
	defer cancel()
	_, err := cellv1.NewMeshReportServiceClient(r.conn()).Report(ctx, in)
	return status.Code(err)
}

func (r *rig) wantReport(in *cellv1.ReportRequest) {
	r.t.Helper()
	if got := r.report(in); got != codes.OK {
		r.t.Fatalf("the report of %s: %s", in.GetNode(), got)
	}
}

// TestRiseInFailures: the first node takes the configuration, and then its calls fail.
func TestRiseInFailures(t *testing.T) {
	for _, c := range []struct {
		before, after [3]uint64 // started, all, failed
		back          bool
	}{
		{[3]uint64{1, 1000, 10}, [3]uint64{1, 1100, 11}, false},
		{[3]uint64{1, 1000, 10}, [3]uint64{1, 1100, 14}, false}, // too few to tell
		{[3]uint64{1, 1000, 10}, [3]uint64{1, 1100, 30}, true},
		{[3]uint64{1, 0, 0}, [3]uint64{1, 10, 9}, true},
		{[3]uint64{1, 1000, 900}, [3]uint64{1, 1100, 990}, false}, // as bad as before
		{[3]uint64{1, 1000, 10}, [3]uint64{2, 10, 9}, true},       // it was started anew, and fails
		{[3]uint64{2, 1000, 10}, [3]uint64{1, 2000, 999}, false},  // what the process before it says counts no more
	} {
		t.Run(fmt.Sprint(c), func(t *testing.T) {
			clk := fakeNow(0)
			r := newRig(t, clk)
			r.stop()
			r.start(control.Options{Watch: time.Second})
			r.apply(config("127.0.0.1:1"))
			name := node("api", "a")
			a, _ := r.subscribed(name)
			r.wantReport(counted(name, c.before[0], c.before[1], c.before[2]))
			done := r.rollout(config("127.0.0.1:1") + slow)
			a.next()
			a.answer("", "ledger", "inbound/ledger")
			waitTimer(t, clk)
			r.wantReport(counted(name, c.after[0], c.after[1], c.after[2]))
			if !c.back { // a rollback does not wait for the end of the watch
				advanceUntil(t, clk, done)
			}
			err := await(t, done, "verdict")
			if errors.Is(err, control.ErrRolledBack) != c.back {
				t.Errorf("got %v", err)
			}
			if c.back && !strings.Contains(err.Error(), name) {
				t.Errorf("it does not say which node: %v", err)
			}
		})
	}
}

// advanceUntil moves the clock on by the second until a verdict is there, which it leaves there.
func advanceUntil(t *testing.T, clk *clock.Fake, done chan error) {
	t.Helper()
	for end := time.Now().Add(patience); len(done) == 0; {
		if time.Now().After(end) {
			t.Fatal("no verdict")
		}
		clk.Advance(time.Second)
		select {
		case err := <-done:
			done <- err
		case <-time.After(time.Millisecond):
		}
	}
}

// TestWhoMayCallIsNotWatched: a caller that is to be kept out is, at once.
func TestWhoMayCallIsNotWatched(t *testing.T) {
	r := newRig(t, clock.NewSystem())
	r.stop()
	r.start(control.Options{Watch: time.Hour})
	r.apply(config("127.0.0.1:1", allowAPI))
	name := node("api", "a")
	r.subscribed(name)
	r.wantReport(counted(name, 1, 1000, 0))
	if err := await(t, r.rollout(config("127.0.0.1:1")), "verdict"); err != nil {
		t.Error(err)
	}
}

// TestTheFirstNodeIsOneThatCanTell: not the first by name, but the first that has calls.
func TestTheFirstNodeIsOneThatCanTell(t *testing.T) {
	r := newRig(t, clock.NewSystem())
	r.apply(config("127.0.0.1:1"))
	a, _ := r.subscribed(node("api", "a"))
	b, _ := r.subscribed(node("api", "b"))
	r.wantReport(counted(node("api", "b"), 1, 0, 0))
	r.wantReport(counted(node("api", "b"), 1, 10, 0))
	done := r.rollout(config("127.0.0.1:1") + slow)
	b.next()
	if len(a.got) != 0 {
		t.Error("the idle node has it as well")
	}
	b.answer("", "ledger", "inbound/ledger")
	a.next()
	a.answer("", "ledger", "inbound/ledger")
	if err := await(t, done, "verdict"); err != nil {
		t.Error(err)
	}
}

func TestReportsFailClosed(t *testing.T) {
	r := newRig(t, clock.NewSystem())
	name := node("api", "a")
	if got := r.report(counted(name, 1, 1, 0)); got != codes.Unavailable {
		t.Errorf("before there is a configuration: %s", got)
	}
	r.apply(config("127.0.0.1:1"))
	if got := r.report(counted(name, 1, 1, 0)); got != codes.FailedPrecondition {
		t.Errorf("of a node that is not connected: %s", got)
	}
	_, leave := r.subscribed(name)
	many := counted(name, 1, 1, 0)
	for range control.MaxReported {
		many.Calls = append(many.Calls, &cellv1.MeshCalls{Peer: "x"})
	}
	for what, c := range map[string]struct {
		in   *cellv1.ReportRequest
		want codes.Code
	}{
		"itself":           {counted(name, 1, 1, 0), codes.OK},
		"nobody":           {counted("", 1, 1, 0), codes.InvalidArgument},
		"no workload":      {counted("spiffe://"+domain+"/node/box#a", 1, 1, 0), codes.InvalidArgument},
		"another domain":   {counted("spiffe://other.example/cell/c1/svc/api#a", 1, 1, 0), codes.PermissionDenied},
		"no identity":      {counted(node("stock", "a"), 1, 1, 0), codes.PermissionDenied},
		"no beginning":     {counted(name, 0, 1, 0), codes.InvalidArgument},
		"too many":         {many, codes.InvalidArgument},
		"too long a name":  {&cellv1.ReportRequest{Node: name, Started: 1, Calls: []*cellv1.MeshCalls{{Peer: strings.Repeat("x", 2049)}}}, codes.InvalidArgument},
		"a long cluster":   {&cellv1.ReportRequest{Node: name, Started: 1, Clusters: []*cellv1.MeshCluster{{Name: strings.Repeat("x", 2049)}}}, codes.InvalidArgument},
		"a long route":     {&cellv1.ReportRequest{Node: name, Started: 1, Routes: []*cellv1.MeshRoute{{Name: strings.Repeat("x", 2049)}}}, codes.InvalidArgument},
		"too many buckets": {&cellv1.ReportRequest{Node: name, Started: 1, Calls: []*cellv1.MeshCalls{{Latency: make([]uint64, 99)}}}, codes.InvalidArgument},
	} {
		if got := r.report(c.in); got != c.want {
			t.Errorf("%s: %s, want %s", what, got, c.want)
		}
	}
	leave()
	eventually(t, "forgotten", func() bool { return r.report(counted(name, 1, 1, 0)) == codes.FailedPrecondition })
	if nodes := r.plane.Topology("").GetNodes(); len(nodes) != 0 {
		t.Errorf("it left, and is still told: %v", nodes)
	}
}

func TestTopology(t *testing.T) {
	clk := fakeNow(0)
	r := newRig(t, clk)
	if top := r.plane.Topology(""); top.GetGeneration() != 0 || top.GetDomain() != domain || len(top.GetServices()) != 0 {
		t.Errorf("before there is a configuration: %v", top)
	}
	r.apply(config("127.0.0.1:1"))
	name, other := node("api", "a"), node("ledger", "a")
	r.subscribed(name)
	r.subscribed(other)
	told := func(n *cellv1.ReportRequest) *cellv1.ReportRequest {
		n.CertificateUntil = 7
		n.Clusters = []*cellv1.MeshCluster{{Name: "ledger", Endpoints: 3, Ejected: 1, InFlight: 2, Most: 9, Refused: 4, Shed: 5}, {Name: "other"}}
		n.Routes = []*cellv1.MeshRoute{{Name: "ledger/0", Requests: 3, Failures: 2, Retries: 1}}
		return n
	}
	r.wantReport(told(counted(name, 1, 500, 300))) // what was before, nobody knows the time of
	received := counted(other, 1, 10, 0)
	received.Calls[0].Peer, received.Calls[0].Outbound = id("api").String(), false
	received.Calls[0].Failures[mesh.Refused] = 0
	r.wantReport(received)
	clk.Advance(2 * time.Second)
	r.wantReport(told(counted(name, 1, 540, 310)))
	received.Calls[0].Latency[3], received.Calls[0].Failures[mesh.Refused] = 50, 6
	r.wantReport(received)
	top := r.plane.Topology(name)
	if len(top.GetServices()) != 1 || top.GetServices()[0].GetName() != "ledger" || top.GetServices()[0].GetHolds() != "ledger" || top.GetServices()[0].GetBackends() != 1 {
		t.Errorf("services: %v", top.GetServices())
	}
	if len(top.GetEdges()) != 1 {
		t.Fatalf("edges: %v", top.GetEdges())
	}
	e := top.GetEdges()[0]
	if e.GetCaller() != "api" || e.GetService() != "ledger" || e.GetRequestsPerSecond() != 20 || e.GetFailuresPerSecond() != 5 {
		t.Errorf("edge: %v", e)
	}
	if p50, p99 := e.GetP50Seconds(), e.GetP99Seconds(); p50 <= 0.001 || p50 >= p99 || p99 > 0.0025 {
		t.Errorf("quantiles: %v %v", p50, p99)
	}
	kinds := map[ledgerv1.MeshFailure]float64{}
	for _, f := range e.GetFailures() {
		kinds[f.GetKind()] = f.GetPerSecond()
	}
	if len(kinds) != 2 || kinds[ledgerv1.MeshFailure_MESH_FAILURE_TIMEOUT] != 5 || kinds[ledgerv1.MeshFailure_MESH_FAILURE_REFUSED] != 3 {
		t.Errorf("failures: %v", kinds)
	}
	n := top.GetNodes()[0]
	if len(top.GetNodes()) != 2 || n.GetName() != name || !n.GetReports() || n.GetKind() != "proxyless" || n.GetGeneration() != 1 || n.GetCertificateUntil() != 7 || n.GetRequestsPerSecond() != 20 {
		t.Errorf("nodes: %v", top.GetNodes())
	}
	if k := n.GetClusters(); len(k) != 2 || k[0].GetEjected() != 1 || k[0].GetMost() != 9 || k[0].GetRefused() != 4 || k[0].GetShed() != 5 {
		t.Errorf("clusters: %v", k)
	}
	if k := n.GetRoutes(); len(k) != 1 || k[0].GetFailures() != 2 || k[0].GetRetries() != 1 {
		t.Errorf("routes: %v", k)
	}

	if n := r.plane.Topology(other).GetNodes()[0]; len(n.GetClusters()) != 1 || len(n.GetRoutes()) != 0 {
		t.Errorf("of a node that was not asked for: %v", n)
	}

	// Rates are of the last 10 to 20 seconds, and a silent node has none.
	for i := range uint64(30) {
		clk.Advance(time.Second)
		r.wantReport(told(counted(name, 1, 540+i, 310)))
	}
	if e := r.plane.Topology("").GetEdges()[0]; e.GetRequestsPerSecond() < 0.9 || e.GetRequestsPerSecond() > 1.1 || e.GetFailuresPerSecond() != 0 {
		t.Errorf("30 s later: %v", e)
	}
	clk.Advance(11 * time.Second)
	if top := r.plane.Topology(""); len(top.GetEdges()) != 0 || top.GetNodes()[0].GetReports() {
		t.Errorf("after 11 s of silence: %v", top)
	}
}
