package mesh_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/sterlingrun/sterling/mesh"
)

// TestBadPolicies: each is refused, with the reason.
func TestBadPolicies(t *testing.T) {
	rule := func(more string) string {
		return object("HTTPRoute", "{parentRefs: [{name: web}], rules: [{backendRefs: [{name: web}], "+more+"}]}")
	}
	for _, c := range []struct{ text, want string }{
		{rule("fault: {}"), "want abort, delay or both"},
		{rule("fault: {abort: {status: 200}}"), "want a whole number, 400 to 599"},
		{rule("fault: {abort: {percent: 101}}"), "0 to 100"},
		{rule("fault: {delay: {percent: 1}}"), "delay: want a time"},
		{rule("fault: {delay: {time: 2m}}"), "delay: want a time, at most 1m0s"},
		{rule("rate: {burst: 5}"), "want perSecond"},
		{rule("rate: {perSecond: 0}"), "1 to 1000000"},
		{rule("retry: {hedge: 1s}, timeouts: {request: 1s}"), "want less than the timeouts"},
		{rule("retry: {hedge: 1s}, timeouts: {backendRequest: 500ms}"), "want less than the timeouts"},
		{rule("retry: {hedge: 0s}"), "want a duration"},
		{rule("filters: [{type: ResponseHeaderModifier}]"), "want responseHeaderModifier"},
		{rule("filters: [{type: ResponseHeaderModifier, requestHeaderModifier: {remove: [a]}}]"), "want responseHeaderModifier"},
		{rule("filters: [{type: RequestMirror, requestMirror: {backendRef: {name: web}}, requestHeaderModifier: {remove: [a]}}]"), "want one, of its type"},
		{rule("filters: [{type: ResponseHeaderModifier, responseHeaderModifier: {set: [{name: X-Sterling-Outcome, value: not-sent}]}}]"), "the mesh's own"},
		{object("Service", "{limits: {bodyBytes: 1073741825}}"), "1 to 1073741824"},
		{object("Service", "{limits: {retryPercent: 0}}"), "1 to 100"},
		{object("Service", "{ejection: {failures: 1001}}"), "0 to 1000"},
		{object("Trust", "{domain: other.example}"), "or the endpoint that has it"},
		{object("Trust", "{domain: other.example, endpoint: {url: 'http://other.example/b'}}"), "https://HOST/PATH"},
		{object("Trust", "{domain: other.example, endpoint: {url: 'https://u:p@other.example/b'}}"), "https://HOST/PATH"},
		{object("Trust", "{domain: other.example, endpoint: {url: 'https://o/b', id: 'spiffe://other.example/x'}}"), "by what else"},
		{object("Trust", "{domain: other.example, bundle: x, endpoint: {url: 'https://o/b', id: 'spiffe://bank.example/x'}}"), "want a SPIFFE id of other.example"},
	} {
		_, err := mesh.Parse("mesh.yaml", []byte(base+c.text))
		if !errors.Is(err, mesh.ErrConfig) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%.200s\n  got %v\n  want %s", c.text, err, c.want)
		}
	}
}

func TestPolicies(t *testing.T) {
	s := compile(t, base+`---
apiVersion: mesh.sterling.run/v1
kind: Service
metadata: {name: shop}
spec:
  protocol: http
  limits: {requests: 9, retryPercent: 5, bodyBytes: 1000}
  ejection: {failures: 3}
`+object("HTTPRoute", `
  parentRefs: [{name: shop}]
  rules:
  - fault: {abort: {percent: 1, status: 500}, delay: {time: 20ms}}
    rate: {perSecond: 10}
    filters: [{type: ResponseHeaderModifier, responseHeaderModifier: {remove: [Server], set: [{name: X-A, value: b}]}}]
    backendRefs: [{name: shop}]`))
	shop := s.Plan("shop")
	if shop.Limits != (mesh.Limits{Requests: 9, Connections: 9, Connect: time.Second, RetryPercent: 5, BodyBytes: 1000}) || shop.Ejection.Failures != 3 {
		t.Errorf("%+v %+v", shop.Limits, shop.Ejection)
	}
	r := shop.Routes[0]
	if r.Fault != (mesh.Fault{AbortPercent: 1, AbortStatus: 500, DelayPercent: 100, Delay: 20 * time.Millisecond}) || r.Rate != (mesh.Rate{PerSecond: 10, Burst: 10}) {
		t.Errorf("%+v %+v", r.Fault, r.Rate)
	}
	if len(r.Answer.Set) != 1 || r.Answer.Set[0] != (mesh.Header{Name: "x-a", Value: "b"}) || len(r.Answer.Remove) != 1 || r.Answer.Remove[0] != "server" {
		t.Errorf("%+v", r.Answer)
	}
	if l := s.Plan("web").Limits; l.RetryPercent != 20 || l.BodyBytes != 64<<20 || l.Connections != 1024 {
		t.Errorf("without limits: %+v", l)
	}
}

// TestHedgesWantAKey: a request that moves money has two copies under way only where the receiver can tell.
func TestHedgesWantAKey(t *testing.T) {
	ledger := compile(t, base+object("GRPCRoute", `
  parentRefs: [{name: ledger}]
  rules:
  - retry: {hedge: 50ms}
    backendRefs: [{name: ledger}]`)).Plan("ledger")
	for _, c := range []struct {
		path, key string
		hedge     time.Duration
	}{
		{"/bank.Ledger/Transfer", "", 0},
		{"/bank.Ledger/Transfer", "k1", 50 * time.Millisecond},
		{"/bank.Ledger/Lookup", "", 50 * time.Millisecond},
	} {
		r := request{path: c.path, headers: map[string]string{}}
		if c.key != "" {
			r.headers[mesh.HeaderKey] = c.key
		}
		if got := routed(ledger, r); got == nil || got.Retry.Hedge != c.hedge {
			t.Errorf("%+v: %+v", c, got)
		}
	}
}
