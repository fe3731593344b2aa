package control_test

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	cluster "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	route "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	fault "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/fault/v3"
	ratelimit "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/local_ratelimit/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/sterlingrun/sterling/clock"
)

// validated judges a message and every message that is packed in it by the rules of Envoy's API, and counts them.
func validated(t *testing.T, m proto.Message) (n int) {
	t.Helper()
	rules, ok := m.(interface{ ValidateAll() error })
	if !ok {
		t.Errorf("%T has no rules", m)
	} else if err := rules.ValidateAll(); err != nil {
		t.Errorf("%T: %v", m, err)
	}
	n = 1
	var walk func(m protoreflect.Message)
	value := func(v protoreflect.Value) {
		inner := v.Message()
		packed, ok := inner.Interface().(*anypb.Any)
		if !ok {
			walk(inner)
			return
		}
		one, err := packed.UnmarshalNew()
		if err != nil {
			t.Errorf("%s: %v", packed.GetTypeUrl(), err)
			return
		}
		n += validated(t, one)
	}
	walk = func(m protoreflect.Message) {
		m.Range(func(field protoreflect.FieldDescriptor, v protoreflect.Value) bool {
			switch {
			case field.IsMap() && field.MapValue().Message() != nil:
				v.Map().Range(func(_ protoreflect.MapKey, v protoreflect.Value) bool { value(v); return true })
			case field.IsList() && field.Message() != nil:
				for i := range v.List().Len() {
					value(v.List().Get(i))
				}
			case !field.IsMap() && !field.IsList() && field.Message() != nil:
				value(v)
			}
			return true
		})
	}
	walk(m.ProtoReflect())
	return n
}

// everything is a mesh that says all that desired state can say of HTTP, TCP and gRPC.
func everything() string {
	limits := "limits: {requests: 9, connections: 8, connect: 1s, retryPercent: 5, bodyBytes: 100}, ejection: {failures: 3, failurePercent: 50, requests: 5, interval: 1s, time: 1s, maxPercent: 30}"
	return config("127.0.0.1:1", allowAPI) +
		object("Service", "web", "{protocol: http, port: 8001, "+limits+", money: {methods: [/pay/*]}, backends: [{cell: c1, address: '127.0.0.1:2', app: '127.0.0.1:3', weight: 7}]}") +
		object("Service", "next", "{protocol: http, sharded: true, holds: database, backends: [{cell: c1, address: '127.0.0.1:6'}]}") +
		object("Service", "dark", "{protocol: http, sharded: true, backends: [{cell: c1, address: '127.0.0.1:7'}]}") +
		object("Service", "db", "{protocol: tcp, port: 8002, holds: database, backends: [{cell: c1, address: '127.0.0.1:4', app: '127.0.0.1:5'}]}") +
		object("Identity", "web", "{service: web, cell: c1, unix: {uid: "+uid()+"}}") +
		object("Authorization", "web", "{service: web, allow: [{from: [{service: api, cell: c1}, {domain: other.example, service: a}], to: [/a/b, /c/*]}]}") +
		object("Authorization", "db", "{service: db, allow: [{from: [{service: web}]}]}") +
		object("Shedding", "web", "{service: web, classes: [{priority: settle, methods: [/settle/*]}], critical: [{service: api}]}") +
		object("Shadow", "s", "{mark: [{service: api}], carry: [{service: web}], targets: [{service: next, shadow: dark}]}") +
		object("Trust", "other", `{domain: other.example, endpoint: {url: "https://other.example/bundle"}}`) +
		object("GRPCRoute", "ledger", `{parentRefs: [{name: ledger}], rules: [{retry: {attempts: 2, hedge: 10ms, backoff: 5ms}, timeouts: {request: 1s},
    fault: {abort: {percent: 0}}, rate: {perSecond: 5}, backendRefs: [{name: ledger}]}]}`) +
		object("HTTPRoute", "web", `{parentRefs: [{name: web}], rules: [
    {matches: [{path: {value: /a}, method: GET, headers: [{name: x-v, value: "1"}, {name: x-w, value: "[0-9]", type: RegularExpression}]}],
     retry: {attempts: 2, hedge: 50ms, codes: [503]}, timeouts: {request: 1s, backendRequest: 500ms},
     fault: {abort: {percent: 1, status: 500}, delay: {percent: 2, time: 3ms}}, rate: {perSecond: 10, burst: 20},
     filters: [{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: x-a, value: b}], add: [{name: x-b, value: c}], remove: [x-c]}},
      {type: ResponseHeaderModifier, responseHeaderModifier: {set: [{name: x-a, value: b}], add: [{name: x-b, value: c}], remove: [x-c]}},
      {type: RequestMirror, requestMirror: {backendRef: {name: web}, percent: 5}}],
     backendRefs: [{name: web}]},
    {matches: [{path: {type: RegularExpression, value: "/b/.*"}}], backendRefs: [{name: web}]}]}`) +
		object("HTTPRoute", "next", "{parentRefs: [{name: next}], rules: [{backendRefs: [{name: next, weight: 3}]}]}")
}

// resourcesOf asks as a kind of data plane for everything of a type.
func (r *rig) resourcesOf(service, agent, typeURL string) (out []proto.Message) {
	r.t.Helper()
	d, stop := r.connect(node(service, "1"), agent)
	defer stop()
	d.ask(typeURL, "*")
	for _, body := range d.next().Resources {
		m, err := body.UnmarshalNew()
		if err != nil {
			r.t.Fatal(err)
		}
		out = append(out, m)
	}
	return out
}

// TestEnvoysRules: whatever desired state can say becomes resources that keep the rules of Envoy's API, for every kind
// of data plane, in every message that another one carries.
func TestEnvoysRules(t *testing.T) {
	r := newRig(t, clock.NewSystem())
	r.apply(everything())
	for _, agent := range []string{"", "envoy"} {
		n := 0
		for _, service := range []string{"api", "web", "ledger"} {
			for _, typeURL := range []string{clusters, endpoints, listeners, routes} {
				for _, m := range r.resourcesOf(service, agent, typeURL) {
					n += validated(t, m)
				}
			}
		}
		if n < 50 {
			t.Errorf("only %d messages for %q", n, agent)
		}
	}
	for _, m := range r.resourcesOf("api", "envoy", secrets) {
		validated(t, m)
	}
}

func TestEnvoyGetsPolicies(t *testing.T) {
	r := newRig(t, clock.NewSystem())
	r.apply(everything())
	for _, m := range r.resourcesOf("api", "envoy", clusters) {
		c := m.(*cluster.Cluster)
		if c.Name != "web" {
			continue
		}
		o, b := c.GetOutlierDetection(), c.GetCircuitBreakers()
		if o.GetConsecutive_5Xx().GetValue() != 3 || o.GetEnforcingConsecutive_5Xx().GetValue() != 100 || o.GetFailurePercentageThreshold().GetValue() != 50 || o.GetMaxEjectionPercent().GetValue() != 30 {
			t.Errorf("%v", o)
		}
		if b.Thresholds[0].GetRetryBudget().GetBudgetPercent().GetValue() != 5 || b.Thresholds[0].GetMaxRequests().GetValue() != 9 || b.PerHostThresholds[0].GetMaxConnections().GetValue() != 8 {
			t.Errorf("%v", b)
		}
	}
	hedged := map[bool]int{}
	for _, m := range r.resourcesOf("api", "envoy", routes) {
		rc := m.(*route.RouteConfiguration)
		if rc.Name != "web" {
			continue
		}
		for _, one := range rc.VirtualHosts[0].Routes {
			if one.GetMatch().GetSafeRegex() != nil {
				continue // the other rule
			}
			f, l := &fault.HTTPFault{}, &ratelimit.LocalRateLimit{}
			err := errors.Join(one.TypedPerFilterConfig["envoy.filters.http.fault"].UnmarshalTo(f), one.TypedPerFilterConfig["envoy.filters.http.local_ratelimit"].UnmarshalTo(l))
			if err != nil || f.GetAbort().GetHttpStatus() != 500 || f.GetDelay().GetFixedDelay().AsDuration() != 3*time.Millisecond ||
				l.GetTokenBucket().GetMaxTokens() != 20 || l.GetTokenBucket().GetTokensPerFill().GetValue() != 10 {
				t.Errorf("%v: %v, %v", err, f, l)
			}
			if len(one.ResponseHeadersToAdd) != 2 || !slices.Equal(one.ResponseHeadersToRemove, []string{"x-c"}) {
				t.Errorf("%v %v", one.ResponseHeadersToAdd, one.ResponseHeadersToRemove)
			}
			hedged[one.GetRoute().GetHedgePolicy().GetHedgeOnPerTryTimeout() && one.GetRoute().GetRetryPolicy().GetPerTryTimeout().AsDuration() == 50*time.Millisecond]++
		}
	}
	if hedged[true] == 0 || hedged[false] != 0 { // /a is not where money is moved
		t.Errorf("hedged: %v", hedged)
	}
}

// TestFaultsReachProxylessClients: they fail calls before a server sees them, on open connections, and end.
func TestFaultsReachProxylessClients(t *testing.T) {
	r := newRig(t, clock.NewSystem())
	l := listen(t)
	rule := func(more string) string {
		return config(l.Addr().String(), allowAPI, object("GRPCRoute", "r", "{parentRefs: [{name: ledger}], rules: [{"+more+"backendRefs: [{name: ledger}]}]}"))
	}
	r.apply(rule(""))
	var calls atomic.Int32
	r.serve("ledger", l, func(context.Context) error { calls.Add(1); return nil })
	client := r.dial("api", "ledger")
	if got := check(t, client); got != codes.OK {
		t.Fatal(got)
	}
	// A rate and a hedge are nothing that gRPC's clients refuse, though they know neither.
	r.apply(rule("rate: {perSecond: 1}, retry: {hedge: 20ms}, fault: {abort: {status: 504}}, "))
	eventually(t, "failing", func() bool { return check(t, client) == codes.Unavailable })
	seen := calls.Load()
	for range 20 {
		if got := check(t, client); got != codes.Unavailable {
			t.Errorf("with a fault: %s", got)
		}
	}
	if calls.Load() != seen {
		t.Error("the server saw calls that were to fail")
	}
	r.apply(rule(""))
	eventually(t, "fine again", func() bool { return check(t, client) == codes.OK })
}

// TestPolicyEnforced tells how long it takes from the text of a new policy to the first call that a real client and server of
// gRPC judge by it. It reports; BenchmarkPolicyEnforced has the numbers under load.
func TestPolicyEnforced(t *testing.T) {
	r := newRig(t, clock.NewSystem())
	l := listen(t)
	texts := []string{config(l.Addr().String(), allowAPI), config(l.Addr().String())}
	r.apply(texts[0])
	r.serve("ledger", l, accepted)
	client := r.dial("api", "ledger")
	if got := check(t, client); got != codes.OK {
		t.Fatal(got)
	}
	var took []time.Duration
	for i := 1; i <= 20; i++ {
		start := time.Now()
		done := r.rollout(texts[i%2])
		eventually(t, "enforced", func() bool { return (check(t, client) == codes.OK) == (i%2 == 0) })
		took = append(took, time.Since(start))
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	slices.Sort(took)
	t.Logf("policy to enforcement, proxyless: median %s, slowest of %d %s", took[len(took)/2], len(took), took[len(took)-1])
}
