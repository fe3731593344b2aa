package proxy_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sterlingrun/sterling/mesh"
	"github.com/sterlingrun/sterling/mesh/proxy"
)

// counted waits until so many calls have been counted, which happens after their answers.
func counted(t *testing.T, s *proxy.Stats, want uint64) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); ; {
		var n uint64
		for _, c := range s.Calls() {
			n += c.Requests()
		}
		if n >= want {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%d calls were counted, want %d", n, want)
		}
		runtime.Gosched()
	}
}

// callsOf are the calls of a caller to a cluster.
func callsOf(s *proxy.Stats, caller, cluster string) (out mesh.Calls) {
	for _, c := range s.Calls() {
		if c.Caller == caller && c.Cluster == cluster {
			out.Add(&c.Calls)
		}
	}
	return out
}

// TestCallsAreCountedByWhyTheyFailed: one request for each reason there is.
func TestCallsAreCountedByWhyTheyFailed(t *testing.T) {
	app := backend(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/5xx":
			w.WriteHeader(500)
		case "/4xx":
			w.WriteHeader(404)
		case "/slow":
			<-r.Context().Done()
		case "/cut":
			panic(http.ErrAbortHandler)
		}
	})
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone.Close()
	stats := proxy.NewStats()
	p := start(t, proxy.Options{Stats: stats}, `
listeners: [{name: in, address: "127.0.0.1:0", caller: "%s"}]
clusters:
- {name: app, endpoints: [{address: "%s"}]}
- {name: gone, endpoints: [{address: "%s"}]}
routes:
- {name: gone, match: {path: /gone}, backends: [{cluster: gone}]}
- {name: refused, match: {path: /refused}, refuse: "no"}
- {name: fault, match: {path: /fault}, backends: [{cluster: app}], fault: {abort_percent: 100, abort_status: 503}}
- {name: rate, match: {path: /rate}, backends: [{cluster: app}], rate: {per_second: 1}}
- {name: slow, match: {path: /slow}, backends: [{cluster: app}], timeout: 50ms}
- {name: large, match: {path: /large}, backends: [{cluster: app}], max_body: 1}
- {name: rest, match: {prefix: /}, backends: [{cluster: app}]}
`, idShop, app, gone.Addr())
	ask := func(method, path, body string, status int) {
		t.Helper()
		c := dialProxy(t, p)
		if resp, _ := c.send(request(method, path, body)).answer(method); resp.StatusCode != status {
			t.Errorf("%s: %d, want %d", path, resp.StatusCode, status)
		}
	}
	for _, path := range []string{"/", "/rate"} {
		ask("GET", path, "", 200)
	}
	ask("GET", "/4xx", "", 404) // the service's own word, and no failure
	ask("GET", "/5xx", "", 500)
	ask("GET", "/rate", "", 429)
	ask("GET", "/fault", "", 503)
	ask("GET", "/refused", "", 403)
	ask("GET", "/gone", "", 503)
	ask("GET", "/slow", "", 504)
	ask("POST", "/cut", "x", 502)
	ask("POST", "/large", "xx", 413)
	counted(t, stats, 11)
	var all mesh.Calls
	for _, cluster := range []string{"", "app", "gone"} {
		c := callsOf(stats, idShop, cluster)
		all.Add(&c)
	}
	want := [mesh.Failures]uint64{
		mesh.Refused: 1, mesh.Overload: 1, mesh.Unreachable: 1, mesh.Timeout: 1, mesh.Broken: 1, mesh.Upstream: 1, mesh.Injected: 1, mesh.Invalid: 1,
	}
	if all.Failures != want || all.Requests() != 11 || all.Failed() != 5 {
		t.Errorf("%d calls, of which failed %v; want 11, %v", all.Requests(), all.Failures, want)
	}
	if c := callsOf(stats, idShop, "gone"); c.Requests() != 1 || c.Failures[mesh.Unreachable] != 1 {
		t.Errorf("of the cluster that nobody serves: %v", c)
	}
	routes, clusters := p.State()
	if len(routes) != 7 || routes[0].Name != "gone" || routes[0].Requests != 1 || routes[0].Failures != 1 || len(clusters) != 2 {
		t.Errorf("%+v %+v", routes, clusters)
	}
	registry := prometheus.NewRegistry()
	if err := registry.Register(stats); err != nil {
		t.Fatal(err)
	}
	families, err := registry.Gather()
	if err != nil || !strings.Contains(fmt.Sprint(families), "timeout") {
		t.Errorf("metrics: %v, %v", families, err)
	}
}

// TestCallsOutliveAProxy: the next proxy of a workload counts on, and calls are told apart by who certificates say calls.
func TestCallsOutliveAProxy(t *testing.T) {
	ca := newAuthority(t)
	app := backend(t, func(http.ResponseWriter, *http.Request) {})
	stats := proxy.NewStats()
	for i := range 2 {
		inner := start(t, proxy.Options{Identity: ca.issue(hour(), idPay), Stats: stats}, `
listeners: [{name: inbound/pay, address: "127.0.0.1:0", mtls: true}]
clusters: [{name: app, endpoints: [{address: "%s"}]}]
routes: [{name: all, backends: [{cluster: app}]}]
`, app)
		outer := start(t, proxy.Options{Identity: ca.issue(hour(), idShop)}, `
listeners: [{name: in, address: "127.0.0.1:0"}]
clusters: [{name: pay, mtls: true, peers: ["%s"], endpoints: [{address: "%s"}]}]
routes: [{name: all, backends: [{cluster: pay}]}]
`, idPay, inner.Addr("inbound/pay"))
		if resp, _ := dialProxy(t, outer).send(get("/")).answer("GET"); resp.StatusCode != 200 {
			t.Fatal(resp.StatusCode)
		}
		counted(t, stats, uint64(i+1))
		if c := callsOf(stats, idShop, "app"); c.Requests() != uint64(i+1) || c.Failed() != 0 {
			t.Errorf("after %d requests: %v", i+1, c)
		}
	}
	if list := stats.Calls(); len(list) != 1 || !list[0].Inbound() {
		t.Errorf("%v", list)
	}
}

// TestConnectionsAreCounted: those that are passed through, by whether they found an endpoint.
func TestConnectionsAreCounted(t *testing.T) {
	app, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	stats := proxy.NewStats()
	p := start(t, proxy.Options{Stats: stats}, `
listeners: [{name: db, address: "127.0.0.1:0", protocol: tcp, cluster: db, caller: "%s"}]
clusters: [{name: db, endpoints: [{address: "%s"}]}]
`, idShop, app.Addr())
	through := func() {
		t.Helper()
		c, err := net.Dial("tcp", p.Addr("db").String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if s, err := app.Accept(); err == nil {
			s.Close()
		}
		_, _ = io.ReadAll(c) // it ends by itself, well or not
	}
	through()
	app.Close()
	through()
	counted(t, stats, 2)
	if c := callsOf(stats, idShop, "db"); c.Requests() != 2 || c.Failures[mesh.Unreachable] != 1 {
		t.Errorf("%v", c)
	}
}
