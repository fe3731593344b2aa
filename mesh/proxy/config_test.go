package proxy_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sterlingrun/sterling/mesh/proxy"
)

func TestConfigurationsThatAreRefused(t *testing.T) {
	const cluster = `clusters: [{name: app, endpoints: [{address: "a:1"}]}]` + "\n"
	const route = cluster + `routes: [{name: r, backends: [{cluster: app}], `
	for _, tt := range []struct{ text, want string }{
		{"listener: []", "field listener not found"},
		{"listeners: [{name: a, addr: x}]", "field addr not found"},
		{"zone: a\n---\nzone: b", "one document"},
		{`listeners: [{name: a, address: nowhere}]`, `listeners[0].address: want host:port`},
		{`listeners: [{name: a, address: "h:1"}, {name: a, address: "h:2"}]`, `"a" is there twice`},
		{`listeners: [{name: "a\nb", address: "h:1"}]`, `listeners[0].name: want`},
		{`listeners: [{name: a, address: "h:1", protocol: udp}]`, "want http, tcp"},
		{`listeners: [{name: a, address: "h:1", protocol: tcp}]`, `listeners[0].cluster: no cluster ""`},
		{cluster + `listeners: [{name: a, address: "h:1", cluster: app}]`, "for tcp only"},
		{`listeners: [{name: a, address: "h:1", caller: bob}]`, "listeners[0].caller: want a SPIFFE id"},
		{`listeners: [{name: a, address: "h:1", mtls: true, caller: "spiffe://a/b"}]`, "the certificate says who calls"},
		{`listeners: [{name: a, address: "h:1", allow: ["spiffe://a/b/../c"]}]`, "listeners[0].allow[0]: want a SPIFFE id"},
		{`shadow_callers: ["*"]`, "shadow_callers[0]: want a SPIFFE id"},
		{`critical_callers: ["spiffe://A/b"]`, "critical_callers[0]: want a SPIFFE id"},
		{`clusters: [{name: app, kind: cache}]`, "want service, database, ledger"},
		{`clusters: [{name: app, mtls: true}]`, "clusters[0].peers: mtls needs the identities"},
		{`clusters: [{name: app, peers: ["spiffe://a/b"]}]`, "only mtls can check them"},
		{`clusters: [{name: app, shadow: none}]`, `no cluster "none"`},
		{`clusters: [{name: app, shadow: app}]`, "must be another cluster"},
		{`clusters: [{name: a, shadow: b}, {name: b, shadow: c}, {name: c}]`, "one without a shadow"},
		{`clusters: [{name: db, kind: database, shadow: s, endpoints: [{address: "h:1"}]}, {name: s, endpoints: [{address: "h:1"}]}]`, `this is an endpoint of "db"`},
		{`clusters: [{name: app, endpoints: [{address: "a:1"}, {address: "a:1"}]}]`, `endpoints[1].address: "a:1" is there twice`},
		{`clusters: [{name: app, retry_percent: 200}]`, "want -1 to 100, not 200"},
		{`clusters: [{name: app, connect_timeout: 2h}]`, "clusters[0].connect_timeout: want 1ms to 1m0s"},
		{`routes: [{name: r, backends: [{cluster: app}]}]`, `no cluster "app"`},
		{`routes: [{name: r}]`, "want at least one with a weight"},
		{cluster + `routes: [{name: r, backends: [{cluster: app}, {cluster: app}]}]`, "want at least one with a weight"},
		{route + `match: {regex: "("}}]`, "match.regex: want a regular expression"},
		{route + `match: {headers: [{name: a, regex: "("}]}}]`, "headers[0].regex: want a regular expression"},
		{route + `key: X-Op}]`, "key: for money routes"},
		{route + `money: true, key: X-Op, request: {remove: [x-op]}}]`, "carried unchanged"},
		{route + `money: true, key: Content-Length}]`, "want the name of a field"},
		{route + `retry: {backoff: 2m}}]`, "retry.backoff: want 0s to 1m0s"},
		{`clusters: [{name: app, endpoints: [{address: "a:1", distance: 9}]}]`, "distance: want 0 to 7"},
		{`clusters: [{name: app, ejection: {percent: 101}}]`, "percent: want 0 to 100"},
		{route + `listeners: [x]}]`, `no listener "x"`},
		{route + `timeout: 2h}]`, "routes[0].timeout: want 1ms to 1h0m0s"},
		{route + `priority: high}]`, "want settle, pay, query"},
		{route + `retry: {attempts: 6}}]`, "want 0 to 5, not 6"},
		{route + `retry: {statuses: [404]}}]`, "want 429, or 500 to 599, not 404"},
		{route + `money: true, retry: {statuses: [503]}}]`, "never sent again after an answer"},
		{route + `match: {hosts: ["App"]}}]`, "name in lower case"},
		{route + `match: {path: a}}]`, "match.path: want / first"},
		{route + `match: {path: /a, prefix: /a}}]`, "not beside path"},
		{route + `match: {methods: ["GE T"]}}]`, "want a method"},
		{route + `match: {headers: [{name: "a b"}]}}]`, "want a name"},
		{route + `request: {set: {Content-Length: "1"}}}]`, "the proxy's own business"},
		{route + `request: {remove: [Idempotency-Key]}}]`, "the proxy's own business"},
		{route + `response: {set: {X-A: "a\r\nb"}}}]`, "control characters"},
		{route + `fault: {abort_percent: 1}}]`, "abort_status: want 400 to 599"},
		{route + `mirror: {cluster: none}}]`, `mirror.cluster: no cluster "none"`},
		{route + `upgrade: [h2c]}]`, "want a protocol such as websocket"},
		{route + `rate: {per_second: -1}}]`, "rate.per_second: want 0 to 1000000"},
	} {
		_, err := proxy.ParseConfig([]byte(tt.text))
		if !errors.Is(err, proxy.ErrConfig) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s\n got %v\nwant %s", tt.text, err, tt.want)
		}
	}
}

func TestTheExampleIsGood(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("testdata", "example.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := proxy.ParseConfig(text); err != nil {
		t.Error(err)
	}
}

// FuzzParseConfig: no text makes the parser or the compiler panic.
func FuzzParseConfig(f *testing.F) {
	text, err := os.ReadFile(filepath.Join("testdata", "example.yaml"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add([]byte("zone: a\nlisteners: [{name: a}]"))
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := proxy.ParseConfig(text)
		if err != nil {
			return
		}
		if _, err := proxy.New(c, proxy.Options{Identity: &identity{}}); err != nil {
			t.Errorf("a configuration that was taken makes no proxy: %v", err)
		}
	})
}
