package node_test

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protojson"

	"github.com/sterlingrun/sterling/node"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

// edge waits until the topology has calls of shop to orders for which good is true.
func (r *meshRig) edge(what string, good func(*ledgerv1.MeshEdge) bool) {
	r.t.Helper()
	r.until(what, func() bool {
		for _, e := range r.control.Topology("").GetEdges() {
			if e.GetCaller() == "shop" && e.GetService() == "orders" && good(e) {
				return true
			}
		}
		return false
	})
}

// failing is a route that only fails: to a service whose backends nobody serves.
func failing(t *testing.T) string {
	t.Helper()
	return `
---
{apiVersion: mesh.sterling.run/v1, kind: Service, metadata: {name: gone}, spec: {protocol: http, backends: [{cell: c1, address: "127.0.0.1:` + freePort(t) + `"}]}}
---
{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {name: orders}, spec: {parentRefs: [{name: orders}], rules: [{backendRefs: [{name: gone}]}]}}`
}

// TestARiseInFailuresIsRolledBack: of two callers' proxies, the first gets a route that fails. It is taken back by
// itself, the second one never has it, and status says why.
func TestARiseInFailuresIsRolledBack(t *testing.T) {
	t.Parallel()
	r := newMeshRig(t, time.Hour)
	r.control.Close()
	r.config.Watch = time.Minute // a rollback does not wait for its end
	r.startControl()
	r.startNode("orders")
	r.startNode("shop")
	r.startNode("shop", func(c *node.MeshNodeConfig) {
		c.Data, c.Name, c.Offer = c.Data+"-2", "test2", "127.0.0.2"
	})
	first, second := startLoad("http://127.0.0.1:"+r.port+"/orders/1"), startLoad("http://127.0.0.2:"+r.port+"/orders/1")
	t.Cleanup(func() { first.stopping.Store(true); first.running.Wait() })
	r.edge("calls are reported", func(e *ledgerv1.MeshEdge) bool { return e.GetRequestsPerSecond() > 1 && e.GetFailuresPerSecond() == 0 })
	before := r.sidecar("shop").Version
	r.write(r.desired("/orders/*", failing(t)))
	r.until("the first one has it", func() bool { return r.sidecar("shop").Version != before })
	r.until("it is rolled back", func() bool { return strings.Contains(r.refusal(), "rolled back") })
	if s := r.refusal(); !strings.Contains(s, "svc/shop#test:") || !strings.Contains(s, "calls failed") {
		t.Errorf("status says: %s", s)
	}
	r.until("the first one has what it had", func() bool { return r.sidecar("shop").Version == before })
	r.wantCall("/orders/1", 200)
	if s := r.control.Topology("").GetRefusal(); !strings.Contains(s, "rolled back") {
		t.Errorf("the topology says: %q", s)
	}
	if v := r.sidecar("shop-2").Version; v != before {
		t.Errorf("the second one has %s, not %s", v, before)
	}
	second.stop(t) // which fails the test if any of its requests did
	first.stopping.Store(true)
	first.running.Wait()
	if len(first.failures) == 0 {
		t.Error("no request failed: nothing was shown")
	}
}

// TestAGoodChangeGoesToAll: but to the others only after the first one has been watched.
func TestAGoodChangeGoesToAll(t *testing.T) {
	t.Parallel()
	r := newMeshRig(t, time.Hour)
	r.control.Close()
	r.config.Watch = 2 * time.Second
	r.startControl()
	r.startNode("orders")
	r.startNode("shop")
	r.startNode("shop", func(c *node.MeshNodeConfig) {
		c.Data, c.Name, c.Offer = c.Data+"-2", "test2", "127.0.0.2"
	})
	l := startLoad("http://127.0.0.1:" + r.port + "/orders/1")
	r.edge("calls are reported", func(e *ledgerv1.MeshEdge) bool { return e.GetRequestsPerSecond() > 1 })
	before, changed := r.sidecar("shop-2"), time.Now()
	r.write(r.desired("/orders/*", "\n---\n{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {name: orders}, spec: {parentRefs: [{name: orders}], rules: [{timeouts: {request: 7s}, backendRefs: [{name: orders}]}]}}"))
	r.until("the second one has it", func() bool { return r.sidecar("shop-2").Version != before.Version })
	if took := time.Since(changed); took < r.config.Watch {
		t.Errorf("the second one had it after %s: the first one was not watched", took)
	}
	l.stop(t)
}

func TestTopologyAndMetricsOfRealProxies(t *testing.T) {
	t.Parallel()
	r := newMeshRig(t, time.Hour)
	r.startNode("orders")
	shop := r.startNode("shop", func(c *node.MeshNodeConfig) { c.Metrics = "127.0.0.1:0" })
	r.until("rates, and a refusal, are told", func() bool {
		r.wantCall("/orders/1", 200)
		r.wantCall("/secret", 403)
		for _, e := range r.control.Topology("").GetEdges() {
			for _, f := range e.GetFailures() {
				if e.GetCaller() == "shop" && e.GetService() == "orders" && f.GetKind() == ledgerv1.MeshFailure_MESH_FAILURE_REFUSED && e.GetP99Seconds() > 0 {
					return true
				}
			}
		}
		return false
	})
	var text json.RawMessage
	r.ask("c", "/topology", &text)
	var told ledgerv1.GetTopologyResponse
	if err := protojson.Unmarshal(text, &told); err != nil {
		t.Fatal(err)
	}
	if len(told.GetNodes()) != 2 || told.GetNodes()[0].GetKind() != "sidecar" || !told.GetNodes()[0].GetReports() || told.GetNodes()[0].GetCertificateUntil() < uint64(time.Now().UnixNano()) {
		t.Errorf("nodes: %v", told.GetNodes())
	}
	response, err := http.Get("http://" + shop.MetricsAddress().String() + "/metrics") //nolint:noctx // on loopback
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	metrics, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`sterling_mesh_calls_total{caller="spiffe://bank.example/cell/c1/svc/shop",cluster="orders",listener="orders",workload="spiffe://bank.example/cell/c1/svc/shop"}`,
		`sterling_mesh_requests_total{class="2xx",route="orders/`, "go_goroutines",
	} {
		if !strings.Contains(string(metrics), want) {
			t.Errorf("no %s in:\n%s", want, metrics)
		}
	}
}
