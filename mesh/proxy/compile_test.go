package proxy_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
	"pgregory.net/rapid"

	"github.com/sterlingrun/sterling/mesh"
	"github.com/sterlingrun/sterling/mesh/proxy"
)

const meshDomain = "bank.example"

// world is a mesh of three cells: two of one zone, one farther away. Its arguments: more of the service pay, and more
// objects.
const world = `
apiVersion: mesh.sterling.run/v1
kind: Cells
metadata: {name: cells}
spec:
  buckets: 8
  cells:
  - {name: c1, region: r1, zone: z1, buckets: ["0-3"]}
  - {name: c2, region: r1, zone: z1, buckets: ["4-5"]}
  - {name: c3, region: r2, zone: z9, buckets: ["6-7"]}
---
apiVersion: mesh.sterling.run/v1
kind: Service
metadata: {name: pay}
spec:
  protocol: http
  port: 9001
  limits: {requests: 77, connect: 250ms}
  backends:
  - {cell: c1, address: "10.0.0.1:7000", app: "127.0.0.1:8001"}
  - {cell: c2, address: "10.0.0.2:7000", app: "127.0.0.1:8001", weight: 3}
  - {cell: c3, address: "10.0.0.3:7000", app: "127.0.0.1:8001"}
  %s
---
apiVersion: mesh.sterling.run/v1
kind: Identity
metadata: {name: shop}
spec: {service: shop, cell: c1, unix: {uid: 0}}
---
apiVersion: mesh.sterling.run/v1
kind: Identity
metadata: {name: audit}
spec: {service: audit, cell: c2, unix: {uid: 0}}
---
%s
`

func snapshotOf(t rapid.TB, more string, objects ...string) *mesh.Snapshot {
	t.Helper()
	state, err := mesh.Parse("mesh.yaml", []byte(fmt.Sprintf(world, more, strings.Join(objects, "\n---\n"))))
	if err != nil {
		t.Fatal(err)
	}
	s, err := mesh.Compile(meshDomain, state)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func compiled(t rapid.TB, s *mesh.Snapshot, service string) proxy.Config {
	t.Helper()
	c, err := proxy.Compile(s, mesh.ID{Domain: meshDomain, Cell: "c1", Service: service})
	if err != nil {
		t.Fatal(err)
	}
	// It arrives as text.
	text, err := yaml.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	if c, err = proxy.ParseConfig(text); err != nil {
		t.Fatal(err)
	}
	return c
}

const shopMayPay = `{apiVersion: mesh.sterling.run/v1, kind: Authorization, metadata: {name: pay}, spec: {service: pay, allow: [{from: [{service: shop}]}]}}`

func clusterOf(t *testing.T, c proxy.Config, name string) proxy.Cluster {
	t.Helper()
	i := slices.IndexFunc(c.Clusters, func(k proxy.Cluster) bool { return k.Name == name })
	if i < 0 {
		t.Fatalf("no cluster %s in %v", name, c.Clusters)
	}
	return c.Clusters[i]
}

func TestServicesAreOfferedToTheirCallersOnly(t *testing.T) {
	s := snapshotOf(t, "", shopMayPay)
	c := compiled(t, s, "shop")
	if len(c.Listeners) != 1 || c.Listeners[0].Address != "127.0.0.1:9001" || c.Listeners[0].Caller != "spiffe://bank.example/cell/c1/svc/shop" || c.Listeners[0].MTLS {
		t.Errorf("shop: %+v", c.Listeners)
	}
	k := clusterOf(t, c, "pay")
	if !k.MTLS || k.MaxRequests != 77 || k.ConnectTimeout.Milliseconds() != 250 || len(k.Peers) != 3 || k.Ejection.Failures != 5 {
		t.Errorf("the cluster: %+v", k)
	}
	var places []string
	for _, e := range k.Endpoints {
		places = append(places, fmt.Sprint(e.Address, " ", e.Distance, " ", e.Weight))
	}
	if got, want := strings.Join(places, ", "), "10.0.0.1:7000 0 1, 10.0.0.2:7000 1 3, 10.0.0.3:7000 3 1"; got != want {
		t.Errorf("endpoints: %s, want %s", got, want)
	}
	if c := compiled(t, s, "audit"); len(c.Listeners)+len(c.Routes)+len(c.Clusters) != 0 {
		t.Errorf("audit may call nothing, and gets %+v", c)
	}
}

func TestTheOwnServiceIsServedInItsCellOnly(t *testing.T) {
	c := compiled(t, snapshotOf(t, "", shopMayPay), "pay")
	if len(c.Listeners) != 1 || c.Listeners[0].Address != "10.0.0.1:7000" || !c.Listeners[0].MTLS {
		t.Fatalf("%+v", c.Listeners)
	}
	k := clusterOf(t, c, "app/127.0.0.1:8001")
	if k.MTLS || k.Adaptive || k.Kind != "service" || len(k.Endpoints) != 1 {
		t.Errorf("%+v", k)
	}
	c.Place(func(a netip.AddrPort) bool { return a.Port() != 7000 }, netip.MustParseAddr("127.0.0.2"))
	if len(c.Listeners)+len(c.Routes) != 0 {
		t.Errorf("on another machine: %+v", c)
	}
}

func TestAServiceThatNobodyMayCallRefusesAll(t *testing.T) {
	c := compiled(t, snapshotOf(t, ""), "pay")
	for _, r := range c.Routes {
		if r.Refuse == "" {
			t.Errorf("%+v", r)
		}
	}
	if len(c.Routes) == 0 {
		t.Error("no routes: refusals would not say why")
	}
	tcp := `{apiVersion: mesh.sterling.run/v1, kind: Service, metadata: {name: db}, spec: {protocol: tcp, port: 5432, backends: [{cell: c1, address: "10.0.0.1:9", app: "127.0.0.1:5433"}]}}`
	if c := compiled(t, snapshotOf(t, "", tcp), "db"); len(c.Listeners) != 0 {
		t.Errorf("bytes that nobody may send are listened for: %+v", c.Listeners)
	}
	allow := `{apiVersion: mesh.sterling.run/v1, kind: Authorization, metadata: {name: db}, spec: {service: db, allow: [{from: [{service: pay, cell: c1}]}]}}`
	if c := compiled(t, snapshotOf(t, "", tcp, allow), "db"); len(c.Listeners) != 1 || fmt.Sprint(c.Listeners[0].Allow) != "[spiffe://bank.example/cell/c1/svc/pay]" {
		t.Errorf("%+v", c.Listeners)
	}
}

func TestPromisesForMoney(t *testing.T) {
	route := `
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: pay}
spec:
  parentRefs: [{name: pay}]
  rules:
  - {retry: {attempts: 2, codes: [500, 503], backoff: 10ms}, timeouts: {request: 3s, backendRequest: 1s}, backendRefs: [{name: pay}]}
`
	c := compiled(t, snapshotOf(t, `money: {methods: [/pay, /settle/*], key: x-operation}`, shopMayPay, route), "shop")
	byPath := map[string][]proxy.Route{}
	for _, r := range c.Routes {
		byPath[r.Match.Path+r.Match.Prefix] = append(byPath[r.Match.Path+r.Match.Prefix], r)
	}
	for _, path := range []string{"/pay", "/settle/"} {
		list := byPath[path]
		if len(list) != 2 || list[0].Retry.Attempts != 2 || list[1].Retry.Attempts != 0 || len(list[0].Match.Headers) != 1 || list[0].Match.Headers[0].Name != "x-operation" {
			t.Fatalf("%s: %+v", path, list)
		}
		for _, r := range list {
			if !r.Money || r.Key != "x-operation" || len(r.Retry.Statuses) != 0 {
				t.Errorf("%s: %+v", path, r)
			}
		}
	}
	if r := byPath[""][0]; r.Money || r.Key != "" || len(r.Retry.Statuses) != 2 || r.Retry.Each.Seconds() != 1 || r.Timeout.Seconds() != 3 || r.Retry.Backoff.Milliseconds() != 10 {
		t.Errorf("what moves no money: %+v", r)
	}
	// Without retries there is one route, and it may move money.
	if c := compiled(t, snapshotOf(t, `money: {methods: [/pay]}`, shopMayPay), "shop"); len(c.Routes) != 1 || !c.Routes[0].Money || c.Routes[0].Key != "" {
		t.Errorf("%+v", c.Routes)
	}
	inbound := compiled(t, snapshotOf(t, `money: {methods: [/pay]}`, shopMayPay), "pay")
	if len(inbound.Routes) != 2 || inbound.Routes[0].Match.Path != "/pay" || !inbound.Routes[0].Money || inbound.Routes[1].Money {
		t.Errorf("at the service: %+v", inbound.Routes)
	}
}

func TestShadowTrafficNeverReachesWhatHolds(t *testing.T) {
	dark := `{apiVersion: mesh.sterling.run/v1, kind: Service, metadata: {name: dark}, spec: {protocol: http, backends: [{cell: c1, address: "10.0.0.9:7000", app: "127.0.0.1:8009"}]}}`
	shadow := `{apiVersion: mesh.sterling.run/v1, kind: Shadow, metadata: {name: s}, spec: {mark: [{service: shop}], targets: [{service: pay, shadow: dark}]}}`
	s := snapshotOf(t, `holds: ledger`, shopMayPay, dark, shadow)
	c := compiled(t, s, "shop")
	if k := clusterOf(t, c, "pay"); k.Kind != "ledger" || k.Shadow != "dark" {
		t.Errorf("%+v", k)
	}
	if k := clusterOf(t, c, "dark"); !k.ShadowOnly {
		t.Errorf("%+v", k)
	}
	if fmt.Sprint(c.ShadowCallers) != "[spiffe://bank.example/cell/*/svc/shop]" {
		t.Errorf("may mark: %v", c.ShadowCallers)
	}
	if k := clusterOf(t, compiled(t, s, "pay"), "app/127.0.0.1:8001"); k.Kind != "ledger" || k.ShadowOnly {
		t.Errorf("at the ledger: %+v", k)
	}
	if k := clusterOf(t, compiled(t, s, "dark"), "app/127.0.0.1:8009"); !k.ShadowOnly {
		t.Errorf("at its shadow: %+v", k)
	}
}

func TestBucketsGoToTheirCells(t *testing.T) {
	c := compiled(t, snapshotOf(t, `sharded: true`, shopMayPay), "shop")
	var got []string
	for _, r := range c.Routes {
		if r.Refuse != "" {
			got = append(got, "refused")
			continue
		}
		n := r.Match.Headers[0].Number
		got = append(got, fmt.Sprintf("%d-%d %s", n.From, n.To, r.Backends[0].Cluster))
	}
	if want := "0-3 pay@c1, 4-5 pay@c2, 6-7 pay@c3, refused"; strings.Join(got, ", ") != want {
		t.Errorf("%v, want %s", got, want)
	}
	if k := clusterOf(t, c, "pay@c3"); len(k.Endpoints) != 1 || fmt.Sprint(k.Peers) != "[spiffe://bank.example/cell/c3/svc/pay]" {
		t.Errorf("%+v", k)
	}
}

func TestWhatCannotBeObeyedIsRefused(t *testing.T) {
	for want, object := range map[string]string{
		"2 mirrors": `{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {name: r}, spec: {parentRefs: [{name: pay}], rules: [{backendRefs: [{name: pay}], filters: [
			{type: RequestMirror, requestMirror: {backendRef: {name: pay}}}, {type: RequestMirror, requestMirror: {backendRef: {name: pay}}}]}]}}`,
		"queueWait": `{apiVersion: mesh.sterling.run/v1, kind: Shedding, metadata: {name: s}, spec: {service: pay, queueWait: 500ms}}`,
		"the proxy's own business": `{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {name: r}, spec: {parentRefs: [{name: pay}], rules: [{backendRefs: [{name: pay}], filters: [
			{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: traceparent, value: x}]}}]}]}}`,
	} {
		s := snapshotOf(t, "", shopMayPay, object)
		var err error
		for _, service := range []string{"shop", "pay"} {
			_, one := proxy.Compile(s, mesh.ID{Domain: meshDomain, Cell: "c1", Service: service})
			err = errors.Join(err, one)
		}
		if !errors.Is(err, proxy.ErrConfig) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}

// TestGrantsMeanTheSame judges requests by the routes that a service gets, and by the grants that they come from.
func TestGrantsMeanTheSame(t *testing.T) {
	paths := []string{"/a", "/a/b", "/a/b/c", "/ab", "/x"}
	patterns := []string{"/a", "/a/*", "/a/b", "/a/b/*", "/x", "/*"}
	callers := []string{"shop", "audit", "pay"}
	rapid.Check(t, func(t *rapid.T) {
		var allow []string
		for range rapid.IntRange(0, 4).Draw(t, "grants") {
			from := rapid.SampledFrom(callers).Draw(t, "from")
			to := rapid.SliceOfN(rapid.SampledFrom(patterns), 0, 3).Draw(t, "to")
			grant := fmt.Sprintf("{from: [{service: %s}]", from)
			if len(to) > 0 {
				grant += ", to: [" + strings.Join(to, ", ") + "]"
			}
			allow = append(allow, grant+"}")
		}
		s := snapshotOf(t, `money: {methods: [/a/b, /x]}`,
			`{apiVersion: mesh.sterling.run/v1, kind: Authorization, metadata: {name: pay}, spec: {service: pay, allow: [`+strings.Join(allow, ", ")+`]}}`,
			`{apiVersion: mesh.sterling.run/v1, kind: Shedding, metadata: {name: s}, spec: {service: pay, default: query, classes: [{priority: settle, methods: [/a/*]}, {priority: pay, methods: [/a/b, /*]}]}}`)
		config, plan := compiled(t, s, "pay"), s.Plan("pay")
		for _, path := range paths {
			r := config.Routes[slices.IndexFunc(config.Routes, func(r proxy.Route) bool { return fits(r.Match.Path, r.Match.Prefix, path) })]
			for _, caller := range callers {
				allowed := slices.Contains(r.Allow, "spiffe://bank.example/cell/*/svc/"+caller) && r.Refuse == ""
				want := slices.ContainsFunc(plan.Inbound.Allow, func(g mesh.Grant) bool {
					return g.From[0].Service == caller && (len(g.To) == 0 || slices.ContainsFunc(g.To, func(p mesh.Path) bool { return fitsPath(p, path) }))
				})
				if allowed != want {
					t.Errorf("%s calls %s: %v by the routes, %v by the grants %v", caller, path, allowed, want, allow)
				}
			}
			if want := path == "/a/b" || path == "/x"; r.Money != want {
				t.Errorf("%s moves money: %v, want %v", path, r.Money, want)
			}
			priority := "pay"
			if strings.HasPrefix(path, "/a/") {
				priority = "settle"
			}
			if r.Priority != priority {
				t.Errorf("%s has the priority %s, want %s", path, r.Priority, priority)
			}
		}
	})
}

func fitsPath(p mesh.Path, path string) bool {
	if p.Kind == mesh.ExactPath {
		return p.Text == path
	}
	return strings.HasPrefix(path, p.Text)
}

func fits(exact, prefix, path string) bool {
	return (exact == "" || exact == path) && (prefix == "" || strings.HasPrefix(path, prefix))
}

// TestTwoCompiledSidecars sends requests from one workload's proxy to the other's.
func TestTwoCompiledSidecars(t *testing.T) {
	ca := newAuthority(t)
	app := backend(t, sawPeer)
	address := freePort(t)
	text := strings.NewReplacer("10.0.0.1:7000", address, `app: "127.0.0.1:8001"`, `app: "`+app+`"`, "port: 9001", "port: 1", "APP", app).Replace(
		fmt.Sprintf(world, "", `{apiVersion: mesh.sterling.run/v1, kind: Authorization, metadata: {name: pay}, spec: {service: pay, allow: [{from: [{service: shop}], to: [/v1/*]}]}}`))
	state, err := mesh.Parse("mesh.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	s, err := mesh.Compile(meshDomain, state)
	if err != nil {
		t.Fatal(err)
	}
	run := func(service string) *proxy.Proxy {
		c := compiled(t, s, service)
		for i := range c.Listeners {
			c.Listeners[i].Address = strings.Replace(c.Listeners[i].Address, "127.0.0.1:1", "127.0.0.1:0", 1)
		}
		for i := range c.Clusters { // the other cells are not there
			c.Clusters[i].Endpoints = c.Clusters[i].Endpoints[:1]
		}
		y, err := yaml.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		id := mesh.ID{Domain: meshDomain, Cell: "c1", Service: service}.String()
		return start(t, proxy.Options{Identity: ca.issue(hour(), id)}, "%s", y)
	}
	run("pay")
	shop := run("shop").Addr("pay").String()
	c := dialAddress(t, shop)
	if resp, body := c.send(get("/v1/x")).answer("GET"); resp.StatusCode != http.StatusOK || body != "[spiffe://bank.example/cell/c1/svc/shop]" {
		t.Errorf("allowed: %d %s", resp.StatusCode, body)
	}
	for _, path := range []string{"/v1", "/v2/x", "/"} {
		if resp, body := c.send(get(path)).answer("GET"); resp.StatusCode != http.StatusForbidden {
			t.Errorf("%s: %d %s", path, resp.StatusCode, body)
		}
	}
}
