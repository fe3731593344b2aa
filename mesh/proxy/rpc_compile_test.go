package proxy_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/sterlingrun/sterling/mesh"
	"github.com/sterlingrun/sterling/mesh/proxy"
)

// rpcMesh is a service that moves money, behind its sidecar. Its arguments: protocol, port, the sidecar's address, the
// program's, and the path of what moves money.
const rpcMesh = `
apiVersion: mesh.sterling.run/v1
kind: Cells
metadata: {name: cells}
spec: {cells: [{name: c1, buckets: ["0"]}]}
---
apiVersion: mesh.sterling.run/v1
kind: Service
metadata: {name: pay}
spec:
  protocol: %s
  port: %d
  money: {methods: ["%[5]s"], key: bizno}
  backends: [{cell: c1, address: "%[3]s", app: "%[4]s"}]
---
{apiVersion: mesh.sterling.run/v1, kind: Identity, metadata: {name: shop}, spec: {service: shop, cell: c1, unix: {uid: 0}}}
---
{apiVersion: mesh.sterling.run/v1, kind: Authorization, metadata: {name: pay}, spec: {service: pay, allow: [{from: [{service: shop}], to: ["%[5]s"]}]}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: pay}
spec:
  parentRefs: [{name: pay}]
  rules:
  - retry: {attempts: 2}
    timeouts: {request: 5s}
    backendRefs: [{name: pay}]
`

// TestCallsThroughAMesh: desired state, compiled for a caller and for the service, carries calls by mutual TLS as it says.
func TestCallsThroughAMesh(t *testing.T) {
	each(t, func(t *testing.T, g tongue) {
		app := serve(t, g, failing(g, "close"))
		port := netip.MustParseAddrPort(freePort(t)).Port()
		state, err := mesh.Parse("mesh.yaml", fmt.Appendf(nil, rpcMesh, g.name(), port, freePort(t), app.address, g.path("transfer")))
		if err != nil {
			t.Fatal(err)
		}
		snapshot, err := mesh.Compile(meshDomain, state)
		if err != nil {
			t.Fatal(err)
		}
		ca := newAuthority(t)
		for _, service := range []string{"pay", "shop"} {
			id := mesh.ID{Domain: meshDomain, Cell: "c1", Service: service}
			config := compiled(t, snapshot, service)
			if len(config.Listeners) != 1 || config.Listeners[0].Protocol != g.name() {
				t.Fatalf("%s: %+v", service, config.Listeners)
			}
			startWith(t, proxy.Options{Identity: ca.issue(hour(), id.String())}, config)
		}
		c := talk(t, g, fmt.Sprintf("127.0.0.1:%d", port))
		if m := c.ask(1, "transfer", "100", map[string]string{"bizNo": "b1"}); m.status != "ok" {
			t.Errorf("with a key: %+v", m)
		}
		if n := len(app.messages()); n != 2 {
			t.Errorf("the endpoint got %d calls, want another one after the first was not answered", n)
		}
		if m := c.ask(2, "close", "x", nil); !strings.HasPrefix(m.text, "sterling: not-sent: no authorization of pay") {
			t.Errorf("another method: %+v", m)
		}
		if m := c.ask(3, "transfer", "7", map[string]string{"x-sterling-shadow": "1"}); m.text != "sterling: not-sent: this caller may not send shadow traffic" {
			t.Errorf("marked: %+v", m)
		}
		if m := c.ask(4, "transfer", "7", nil); m.status != "ok" {
			t.Errorf("without a key: %+v", m)
		}
		last := app.messages()[len(app.messages())-1]
		if last.fields["x-sterling-peer"] != "spiffe://bank.example/cell/c1/svc/shop" || last.fields["bizNo"] != "" {
			t.Errorf("%v", last.fields)
		}
	})
}
