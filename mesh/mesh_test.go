package mesh_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/sterlingrun/sterling/mesh"
)

func TestIDs(t *testing.T) {
	want := mesh.ID{Domain: "bank.example", Cell: "c1", Service: "ledger"}
	if got, err := mesh.ParseID("spiffe://bank.example/cell/c1/svc/ledger"); err != nil || got != want || got.String() != "spiffe://bank.example/cell/c1/svc/ledger" {
		t.Errorf("got %v, %v", got, err)
	}
	for _, bad := range []string{
		"", "spiffe://", "spiffe://bank.example", "https://bank.example/cell/c1/svc/ledger", "spiffe:///cell/c1/svc/ledger",
		"spiffe://Bank.example/cell/c1/svc/ledger", "spiffe://bank.example/cell/c1/svc/ledger/", "spiffe://bank.example/cell/c1/svc/Ledger",
		"spiffe://bank.example/cell//svc/ledger", "spiffe://bank.example/cell/../svc/ledger", "spiffe://bank.example:1/cell/c1/svc/ledger",
		"spiffe://bank.example/svc/c1/cell/ledger", "spiffe://bank.example/cell/c1/svc/ledger?x", "spiffe://bank.example/cell/c1/svc/led%67er",
		"spiffe://a@bank.example/cell/c1/svc/ledger", "spiffe://bank.example/cell/c1/svc/" + strings.Repeat("a", 64),
	} {
		if got, err := mesh.ParseID(bad); !errors.Is(err, mesh.ErrID) {
			t.Errorf("%q: %v, %v", bad, got, err)
		}
	}
}

func FuzzParseID(f *testing.F) {
	f.Add("spiffe://bank.example/cell/c1/svc/ledger")
	f.Add("spiffe://a/cell/b/svc/c#d")
	f.Fuzz(func(t *testing.T, s string) {
		if id, err := mesh.ParseID(s); err == nil && id.String() != s {
			t.Errorf("%q became %q", s, id)
		}
	})
}

// base is a state with two cells, a plain service, a ledger with a shadow, and a sharded one.
const base = `apiVersion: mesh.sterling.run/v1
kind: Cells
metadata: {name: all}
spec: {buckets: 8, cells: [{name: c1, region: r, zone: a, buckets: ["0-3", "7"]}, {name: c2, region: r, zone: b, buckets: ["4-6"]}]}
---
apiVersion: mesh.sterling.run/v1
kind: Service
metadata: {name: api}
spec: {backends: [{cell: c1, address: "10.0.0.1:1"}]}
---
apiVersion: mesh.sterling.run/v1
kind: Service
metadata: {name: ledger}
spec:
  holds: ledger
  money: {methods: [/bank.Ledger/Transfer, /bank.Admin/*]}
  backends: [{cell: c1, address: "10.0.0.2:1"}]
---
apiVersion: mesh.sterling.run/v1
kind: Service
metadata: {name: ledger-shadow}
spec: {holds: ledger, backends: [{cell: c1, address: "10.0.0.3:1"}]}
---
apiVersion: mesh.sterling.run/v1
kind: Service
metadata: {name: books}
spec: {sharded: true, holds: database, backends: [{cell: c1, address: "10.0.0.4:1"}, {cell: c2, address: "10.0.0.5:1"}]}
---
apiVersion: mesh.sterling.run/v1
kind: Service
metadata: {name: web}
spec: {protocol: http, backends: [{cell: c1, address: "10.0.0.6:1"}], money: {methods: [/pay/*], key: x-pay-id}}
---
apiVersion: mesh.sterling.run/v1
kind: Shadow
metadata: {name: shadow}
spec: {mark: [{service: api, cell: c1}], targets: [{service: ledger, shadow: ledger-shadow}]}
`

func object(kind, spec string) string {
	version := "mesh.sterling.run/v1"
	if strings.HasSuffix(kind, "Route") {
		version = "gateway.networking.k8s.io/v1"
	}
	return "---\napiVersion: " + version + "\nkind: " + kind + "\nmetadata: {name: x}\nspec: " + spec + "\n"
}

func compile(t *testing.T, text string) *mesh.Snapshot {
	t.Helper()
	state, err := mesh.Parse("mesh.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	snapshot, err := mesh.Compile("bank.example", state)
	if err != nil {
		t.Fatal(err)
	}
	return snapshot
}

// TestBadConfig: each is refused, with the line, the column and the reason.
func TestBadConfig(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{object("Sidecar", "{}"), `mesh.yaml:2:1: "Sidecar" of "mesh.sterling.run/v1": want HTTPRoute`},
		{"a: &x 1\nb: *x\n", `unknown field "a"`},
		{"apiVersion: [", "mesh.yaml: "},
		{strings.Repeat("#", mesh.MaxText+1), "at most 1048576"},
		{object("Service", "{bakends: []}"), `mesh.yaml:5:8: Service: unknown field "bakends"`},
		{object("Service", "{backends: [{cell: c9, address: '10.0.0.1:1'}]}"), `"c9": no such Cell`},
		{object("Service", "{backends: [{cell: c1, address: 'ledger.local:1'}]}"), "want an IP address and a port"},
		{object("Service", "{backends: [{cell: c1, address: '10.0.0.1:1'}, {cell: c1, address: '10.0.0.1:1'}]}"), "an address of its own"},
		{object("Service", "{protocol: tcp, sharded: true}"), "has only bytes"},
		{
			object("HTTPRoute", "{parentRefs: [{name: rpc}], rules: [{matches: [{method: POST}], backendRefs: [{name: rpc}]}]}") +
				strings.ReplaceAll(object("Service", "{protocol: dubbo}"), "name: x", "name: rpc"), "method POST is of HTTP, and rpc speaks dubbo",
		},
		{
			object("GRPCRoute", "{parentRefs: [{name: rpc}], rules: [{backendRefs: [{name: rpc}]}]}") +
				strings.ReplaceAll(object("Service", "{protocol: bolt}"), "name: x", "name: rpc"), "does not fit rpc, which speaks bolt",
		},
		{object("Service", "{money: {methods: [Transfer]}}"), "want /package.Service/Method"},
		{object("Service", "{money: {methods: []}}"), "want the methods that move money"},
		{object("Service", "{money: {methods: [/a/b], key: x-sterling-shadow}}"), "the mesh's or the protocol's own"},
		{object("Cells", "{cells: [{name: c3, buckets: ['0']}]}"), "a second one"},
		{object("Identity", "{service: api, cell: c1}"), "at least a uid"},
		{object("Identity", "{service: api, cell: c1, unix: {uid: -1}}"), "want a whole number"},
		{object("Authorization", "{service: nobody}"), `"nobody": no such Service`},
		{object("Authorization", "{service: api, allow: [{to: [/a/b]}]}"), "want who may call"},
		{object("Authorization", "{service: api, allow: [{from: [{service: ghost}]}]}"), `"ghost": no such Service or identity of`},
		{object("Authorization", "{service: api, allow: [{from: [{domain: other.example, service: a}]}]}"), `"other.example": no such Trust in the domain`},
		{object("Shadow", "{}"), "a second one"},
		{object("Trust", "{domain: bank.example, bundle: x}"), "the mesh's own domain"},
		{object("Trust", "{domain: Other, bundle: x}"), "Trust: domain"},
		{object("Shedding", "{service: api, classes: [{priority: gold, methods: [/a/b]}]}"), "want one of"},
		{object("HTTPRoute", "{parentRefs: [{name: web}], rules: []}"), "want parentRefs"},
		{object("HTTPRoute", "{hostnames: [a], parentRefs: [{name: web}]}"), `unknown field "hostnames"`},
		{object("HTTPRoute", "{parentRefs: [{name: ledger}], rules: [{backendRefs: [{name: ledger}]}]}"), "does not fit ledger, which speaks grpc"},
		{object("HTTPRoute", "{parentRefs: [{name: web}], rules: [{backendRefs: [{name: api}]}]}"), "api does not speak http"},
		{object("HTTPRoute", "{parentRefs: [{name: web}], rules: [{backendRefs: [{name: web, weight: 0}]}]}"), "a weight above 0"},
		{object("HTTPRoute", "{parentRefs: [{name: web}], rules: [{matches: [{path: {value: 'a'}}], backendRefs: [{name: web}]}]}"), `begins with "/"`},
		{
			object("HTTPRoute", "{parentRefs: [{name: web}], rules: [{retry: {}, matches: [{path: {type: RegularExpression, value: '/.*'}}], backendRefs: [{name: web}]}]}"),
			"where money is moved: name the paths",
		},
		{object("GRPCRoute", "{parentRefs: [{name: api}], rules: [{backendRefs: [{name: api}, {name: books}]}]}"), "some backendRefs are sharded"},
		{object("GRPCRoute", "{parentRefs: [{name: api}], rules: [{backendRefs: [{name: ledger-shadow}]}]}"), "takes shadow traffic only"},
		{
			object("GRPCRoute", "{parentRefs: [{name: api}], rules: [{backendRefs: [{name: api}], filters: [{type: RequestMirror, requestMirror: {backendRef: {name: ledger}}}]}]}"),
			"would do twice what is meant once",
		},
		{
			object("GRPCRoute", "{parentRefs: [{name: api}], rules: [{backendRefs: [{name: ledger}], filters: [{type: RequestHeaderModifier, requestHeaderModifier: {remove: [Idempotency-Key]}}]}]}"),
			"carried unchanged",
		},
		{
			object("HTTPRoute", "{parentRefs: [{name: web}], rules: [{backendRefs: [{name: web}], filters: [{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: X-Pay-Id, value: a}]}}]}]}"),
			"carried unchanged",
		},
		{object("GRPCRoute", "{parentRefs: [{name: api}], rules: [{backendRefs: [{name: api}], timeouts: {request: 1s, backendRequest: 2s}}]}"), "may not take longer"},
		{object("GRPCRoute", "{parentRefs: [{name: api}], rules: [{backendRefs: [{name: api}], retry: {codes: [NOT_FOUND]}}]}"), "want one of"},
		{"---\napiVersion: mesh.sterling.run/v1\nkind: Service\nmetadata: {name: api}\nspec: {}\n", "Service api stands twice"},
	} {
		text := c.text
		if !strings.HasPrefix(c.want, "mesh.yaml:") {
			text = base + c.text
		}
		state, err := mesh.Parse("mesh.yaml", []byte(text))
		if err == nil {
			_, err = mesh.Compile("bank.example", state)
		}
		if !errors.Is(err, mesh.ErrConfig) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%.200s\n  got %v\n  want %s", c.text, err, c.want)
		}
	}
	for _, bad := range []string{
		"{buckets: 8, cells: [{name: c1, buckets: ['0-3']}]}", "{buckets: 2, cells: [{name: c1, buckets: ['0-1', '1']}]}",
		"{buckets: 2, cells: [{name: c1, buckets: ['0-2']}]}", "{buckets: 4294967295, cells: [{name: c1, buckets: ['0']}]}", "{buckets: 2, cells: [{name: c1, buckets: ['1-0']}]}", "{}",
	} {
		if _, err := mesh.Parse("mesh.yaml", []byte(object("Cells", bad))); !errors.Is(err, mesh.ErrConfig) {
			t.Errorf("cells %s: %v", bad, err)
		}
	}
}

func TestShadowIsKeptApart(t *testing.T) {
	for _, c := range []struct{ targets, want string }{
		{"[{service: ledger, shadow: ledger}]", "has a shadow itself"},
		{"[{service: ledger, shadow: ledger-shadow}, {service: ledger-shadow, shadow: api}]", "has a shadow itself"},
		{"[{service: ledger, shadow: web}]", "does not speak grpc"},
		{"[{service: ledger, shadow: twin}]", "share the backend 10.0.0.2:1"},
	} {
		text := base[:strings.LastIndex(base, "---")] + object("Shadow", "{targets: "+c.targets+"}") +
			strings.ReplaceAll(object("Service", "{backends: [{cell: c1, address: '10.0.0.2:1'}]}"), "name: x", "name: twin")
		state, err := mesh.Parse("mesh.yaml", []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := mesh.Compile("bank.example", state); !errors.Is(err, mesh.ErrConfig) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", c.targets, err, c.want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(base))
	f.Add([]byte(base + object("GRPCRoute", "{parentRefs: [{name: ledger}], rules: [{matches: [{method: {service: bank.Ledger}}], retry: {attempts: 2}, backendRefs: [{name: ledger}]}]}")))
	f.Add([]byte(object("Shedding", "{service: x, classes: [{priority: pay, methods: [/a/*]}]}")))
	f.Add([]byte(object("Cells", "{buckets: 4000000000, cells: [{name: a, buckets: ['0']}]}")))
	f.Add([]byte(base + object("HTTPRoute", "{parentRefs: [{name: web}], rules: [{retry: {hedge: 5ms}, rate: {perSecond: 1}, fault: {abort: {}}, filters: [{type: ResponseHeaderModifier, responseHeaderModifier: {remove: [a]}}], backendRefs: [{name: web}]}]}")))
	f.Add([]byte(object("Trust", "{domain: other.example, bundle: x, endpoint: {url: 'https://o/b', id: 'spiffe://other.example/x'}}")))
	f.Add([]byte("--- \n---\n# nothing\n"))
	f.Add([]byte("a: &a [*a]"))
	f.Fuzz(func(t *testing.T, text []byte) {
		state, err := mesh.Parse("mesh.yaml", text)
		if err == nil {
			_, err = mesh.Compile("bank.example", state)
		}
		if err != nil && !errors.Is(err, mesh.ErrConfig) {
			t.Error(err)
		}
	})
}
