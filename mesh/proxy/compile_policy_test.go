package proxy_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"gopkg.in/yaml.v3"

	"github.com/sterlingrun/sterling/mesh"
	"github.com/sterlingrun/sterling/mesh/proxy"
)

// rulesOfPay are an HTTPRoute of the service pay.
func rulesOfPay(rules string) string {
	return `{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {name: r}, spec: {parentRefs: [{name: pay}], rules: [` + rules + `]}}`
}

// shopOf runs the proxy beside the shop under a desired state. Where the world has a service's address, the plain
// program of a test is: addresses are replaced as in strings.NewReplacer.
func shopOf(t *testing.T, s *mesh.Snapshot, replaced ...string) *client {
	t.Helper()
	c := compiled(t, s, "shop")
	for i := range c.Listeners {
		c.Listeners[i].Address = "127.0.0.1:0"
	}
	for i := range c.Clusters {
		c.Clusters[i].MTLS, c.Clusters[i].Peers = false, nil
	}
	text, err := yaml.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	p := start(t, proxy.Options{}, "%s", strings.NewReplacer(replaced...).Replace(string(text)))
	return dialAddress(t, p.Addr("pay").String())
}

func TestPoliciesOfRules(t *testing.T) {
	s := snapshotOf(t, "", shopMayPay, rulesOfPay(`
  {matches: [{path: {type: Exact, value: /abort}}], fault: {abort: {percent: 100, status: 500}}, backendRefs: [{name: pay}]},
  {matches: [{path: {type: Exact, value: /slow}}], timeouts: {request: 20ms}, fault: {delay: {percent: 100, time: 1s}}, backendRefs: [{name: pay}]},
  {matches: [{path: {value: /rate}}], rate: {perSecond: 1, burst: 3}, backendRefs: [{name: pay}]},
  {matches: [{path: {type: Exact, value: /fields}}], filters: [{type: ResponseHeaderModifier, responseHeaderModifier: {remove: [Server], set: [{name: X-A, value: b}], add: [{name: X-B, value: c}]}}], backendRefs: [{name: pay}]}`))
	app := backend(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Server", "secret")
		w.Header().Set("X-B", "a")
	})
	c := shopOf(t, s, "10.0.0.1:7000", app)
	if resp, _ := c.send(get("/abort")).answer("GET"); resp.StatusCode != http.StatusInternalServerError || resp.Header.Get("X-Sterling-Outcome") != "not-sent" {
		t.Errorf("abort: %d %v", resp.StatusCode, resp.Header)
	}
	if resp, _ := c.send(get("/slow")).answer("GET"); resp.StatusCode != http.StatusGatewayTimeout {
		t.Errorf("delay: %d", resp.StatusCode)
	}
	// /rate and what is below it are two routes with one rate.
	var answers []int
	for _, path := range []string{"/rate", "/rate/a", "/rate/b", "/rate", "/rate/a"} {
		resp, _ := c.send(get(path)).answer("GET")
		answers = append(answers, resp.StatusCode)
	}
	if fmt.Sprint(answers) != "[200 200 200 429 429]" {
		t.Errorf("rate: %v", answers)
	}
	resp, _ := c.send(get("/fields")).answer("GET")
	if h := resp.Header; h.Get("Server") != "" || h.Get("X-A") != "b" || fmt.Sprint(h["X-B"]) != "[a c]" {
		t.Errorf("fields: %v", h)
	}
}

func TestLimitsOfAService(t *testing.T) {
	s := snapshotOf(t, `ejection: {failures: 2, time: 1h, maxPercent: 100}`, shopMayPay)
	k := clusterOf(t, compiled(t, s, "shop"), "pay")
	if e := k.Ejection; e.Failures != 2 || e.Percent != 0 || e.For != time.Hour || e.MaxPercent != 100 {
		t.Errorf("%+v", e)
	}
	var sizes atomic.Int64
	app := backend(t, func(_ http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		sizes.Add(n)
	})
	const bodies = `limits: {requests: 77, connect: 250ms, connections: 7, retryPercent: 9, bodyBytes: 10}`
	text := strings.Replace(world, "limits: {requests: 77, connect: 250ms}", bodies, 1)
	state, err := mesh.Parse("mesh.yaml", fmt.Appendf(nil, text, "", shopMayPay))
	if err != nil {
		t.Fatal(err)
	}
	if s, err = mesh.Compile(meshDomain, state); err != nil {
		t.Fatal(err)
	}
	if k := clusterOf(t, compiled(t, s, "shop"), "pay"); k.MaxRequests != 77 || k.MaxConnections != 7 || k.RetryPercent != 9 {
		t.Errorf("%+v", k)
	}
	if r := compiled(t, s, "pay").Routes[0]; r.MaxBody != 10 {
		t.Errorf("at the service: %d bytes", r.MaxBody)
	}
	c := shopOf(t, s, "10.0.0.1:7000", app)
	if resp, _ := c.send(request("POST", "/", "0123456789")).answer("POST"); resp.StatusCode != http.StatusOK {
		t.Errorf("10 bytes: %d", resp.StatusCode)
	}
	if resp, _ := c.send(request("POST", "/", "0123456789a")).answer("POST"); resp.StatusCode != http.StatusRequestEntityTooLarge || sizes.Load() != 10 {
		t.Errorf("11 bytes: %d, and %d arrived in all", resp.StatusCode, sizes.Load())
	}
}

// TestFarCellsTakeOver: requests go to the workload's own cell, to another one of its zone when that fails, and to the
// other region only when both do. Failures in a row are what ejects.
func TestFarCellsTakeOver(t *testing.T) {
	named := func(name string, fail *atomic.Bool) string {
		return backend(t, func(w http.ResponseWriter, _ *http.Request) {
			if fail.Load() {
				w.WriteHeader(http.StatusInternalServerError)
			}
			_, _ = fmt.Fprint(w, name)
		})
	}
	var fails [3]atomic.Bool
	s := snapshotOf(t, `ejection: {failures: 2, time: 1h, maxPercent: 100}`, shopMayPay)
	c := shopOf(t, s, "10.0.0.1:7000", named("own", &fails[0]), "10.0.0.2:7000", named("near", &fails[1]), "10.0.0.3:7000", named("far", &fails[2]))
	for i, want := range []string{"own", "near", "far"} {
		for range 10 {
			if resp, body := c.send(get("/")).answer("GET"); resp.StatusCode != http.StatusOK || body != want {
				t.Errorf("%d cells fail: %d from %s, want %s", i, resp.StatusCode, body, want)
			}
		}
		fails[i].Store(true)
		for range 2 { // failures in a row
			c.send(get("/")).answer("GET")
		}
	}
}

// TestADeadCellIsLeft without a word about ejection: nobody answers in the workload's own cell, and after a few failures
// nobody is sent there.
func TestADeadCellIsLeft(t *testing.T) {
	s := snapshotOf(t, "", shopMayPay)
	app := backend(t, func(http.ResponseWriter, *http.Request) {})
	c := shopOf(t, s, "10.0.0.1:7000", freePort(t), "10.0.0.2:7000", app, "10.0.0.3:7000", app[:strings.LastIndexByte(app, ':')]+":1")
	failed := 0
	for range 20 {
		if resp, _ := c.send(request("POST", "/", "x")).answer("POST"); resp.StatusCode != http.StatusOK {
			failed++
		}
	}
	if failed != 5 {
		t.Errorf("%d of 20 failed", failed)
	}
	if k := clusterOf(t, compiled(t, snapshotOf(t, `ejection: {failures: 0}`, shopMayPay), "shop"), "pay"); k.Ejection.Failures != -1 {
		t.Errorf("never to be ejected: %+v", k.Ejection)
	}
}

// TestCanaryOfDesiredState: a share of the requests goes to another service, and none where its weight is 0.
func TestCanaryOfDesiredState(t *testing.T) {
	canary := `{apiVersion: mesh.sterling.run/v1, kind: Service, metadata: {name: next}, spec: {protocol: http, backends: [{cell: c1, address: "10.0.0.8:7000"}]}}`
	s := snapshotOf(t, "", shopMayPay, canary, rulesOfPay(`
  {matches: [{path: {type: Exact, value: /some}}], backendRefs: [{name: pay, weight: 90}, {name: next, weight: 10}]},
  {matches: [{path: {type: Exact, value: /none}}], backendRefs: [{name: pay}, {name: next, weight: 0}]}`))
	var now, next atomic.Int64
	count := func(n *atomic.Int64) string {
		return backend(t, func(http.ResponseWriter, *http.Request) { n.Add(1) })
	}
	c := shopOf(t, s, "10.0.0.1:7000", count(&now), "10.0.0.8:7000", count(&next))
	for range 500 {
		c.send(get("/some")).answer("GET")
	}
	if share := next.Load(); now.Load()+share != 500 || share < 15 || share > 100 {
		t.Errorf("%d of 500 to the canary, %d to the others", share, now.Load())
	}
	before := next.Load()
	for range 100 {
		c.send(get("/none")).answer("GET")
	}
	if next.Load() != before {
		t.Errorf("%d requests for a weight of 0", next.Load()-before)
	}
}

// TestHedgesOfDesiredState: what is a retry's condition is a hedge's. The path moves money; only with a key two copies of
// a request are made.
func TestHedgesOfDesiredState(t *testing.T) {
	s := snapshotOf(t, `money: {methods: [/pay]}`, shopMayPay, rulesOfPay(`{retry: {hedge: 20ms}, timeouts: {request: 10s}, backendRefs: [{name: pay}]}`))
	for _, r := range compiled(t, s, "shop").Routes {
		if r.Match.Path == "/pay" && (r.Retry.Hedge > 0) != (len(r.Match.Headers) == 1) || r.Match.Path == "" && r.Retry.Hedge != 20*time.Millisecond {
			t.Errorf("%+v", r)
		}
	}
	// One cell has two backends here: hedges go to one that is as near.
	app := &copies{ended: make(chan int64, 8), serve: func(n int64, w http.ResponseWriter, r *http.Request) {
		if n == 1 {
			untilTakenBack(w, r)
		}
		_, _ = fmt.Fprint(w, "paid")
	}}
	one, two := backend(t, app.ServeHTTP), backend(t, app.ServeHTTP)
	c := shopOf(t, s, "10.0.0.1:7000", one, "10.0.0.2:7000", two, "distance: 1", "distance: 0", "10.0.0.3:7000", freePort(t))
	if resp, body := c.send(request("POST", "/pay", "100", "Idempotency-Key: k")).answer("POST"); resp.StatusCode != http.StatusOK || body != "paid" || app.n.Load() != 2 {
		t.Errorf("%d %s, sent %d times", resp.StatusCode, body, app.n.Load())
	}
}

// TestSheddingOfDesiredState: priorities, critical callers and the wait are the limiter's at the service's own proxy.
func TestSheddingOfDesiredState(t *testing.T) {
	shedding := `{apiVersion: mesh.sterling.run/v1, kind: Shedding, metadata: {name: s}, spec: {service: pay, queueWait: 50ms, default: query, critical: [{service: shop}], classes: [{priority: settle, methods: [/settle/*]}, {priority: pay, methods: [/pay]}]}}`
	c := compiled(t, snapshotOf(t, "", shopMayPay, shedding), "pay")
	if k := clusterOf(t, c, "app/127.0.0.1:8001"); !k.Adaptive || k.QueueWait != 50*time.Millisecond {
		t.Errorf("%+v", k)
	}
	if fmt.Sprint(c.CriticalCallers) != "[spiffe://bank.example/cell/*/svc/shop]" {
		t.Errorf("critical: %v", c.CriticalCallers)
	}
	var got []string
	for _, r := range c.Routes {
		got = append(got, r.Match.Path+r.Match.Prefix+" "+r.Priority)
	}
	if fmt.Sprint(got) != "[/pay pay /settle/ settle  query]" {
		t.Errorf("%q", got)
	}
	if k := clusterOf(t, compiled(t, snapshotOf(t, "", shopMayPay, strings.Replace(shedding, "queueWait: 50ms, ", "", 1)), "pay"), "app/127.0.0.1:8001"); k.QueueWait != 20*time.Millisecond {
		t.Errorf("without a wait of its own: %s", k.QueueWait)
	}
}
