package mesh_test

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/sterlingrun/sterling/mesh"
)

// request is what a data plane sees of one.
type request struct {
	path    string
	method  string
	headers map[string]string
}

// fits is a data plane's judgement, written once more so that the test does not believe the compiler.
func fits(m mesh.Match, r request) bool {
	switch m.Path.Kind {
	case mesh.AnyPath:
	case mesh.ExactPath:
		if r.path != m.Path.Text {
			return false
		}
	case mesh.PrefixPath:
		if !strings.HasPrefix(r.path, m.Path.Text) {
			return false
		}
	case mesh.RegexPath:
		if !regexp.MustCompile("^(?:" + m.Path.Text + ")$").MatchString(r.path) {
			return false
		}
	}
	if m.Method != "" && m.Method != r.method {
		return false
	}
	for _, h := range m.Headers {
		value, there := r.headers[h.Name]
		switch h.Kind {
		case mesh.HeaderExact:
			there = there && value == h.Value
		case mesh.HeaderRegex:
			there = there && regexp.MustCompile("^(?:"+h.Value+")$").MatchString(value)
		case mesh.HeaderPresent:
		case mesh.HeaderAbsent:
			there = !there
		case mesh.HeaderRange:
			n, err := strconv.ParseUint(value, 10, 32)
			there = there && err == nil && uint32(n) >= h.Range.From && uint32(n) <= h.Range.To
		}
		if !there {
			return false
		}
	}
	return true
}

func routed(plan *mesh.Plan, r request) *mesh.Route {
	for i := range plan.Routes {
		if fits(plan.Routes[i].Match, r) {
			return &plan.Routes[i]
		}
	}
	return nil
}

func TestGateOfMoney(t *testing.T) {
	ledger := compile(t, base+object("GRPCRoute", `
  parentRefs: [{name: ledger}]
  rules:
  - retry: {attempts: 3}
    backendRefs: [{name: ledger}]`)).Plan("ledger")
	for _, c := range []struct {
		path, key string
		attempts  uint32
	}{
		{"/bank.Ledger/Transfer", "", 0},
		{"/bank.Ledger/Transfer", "k1", 3},
		{"/bank.Admin/Grant", "", 0},
		{"/bank.Admin/Grant", "k1", 3},
		{"/bank.Ledger/Lookup", "", 3},
	} {
		r := request{path: c.path, headers: map[string]string{}}
		if c.key != "" {
			r.headers[mesh.HeaderKey] = c.key
		}
		if got := routed(ledger, r); got == nil || got.Retry.Attempts != c.attempts || len(got.Targets) != 1 {
			t.Errorf("%+v: %+v", c, got)
		}
	}
	empty := request{path: "/bank.Ledger/Transfer", headers: map[string]string{mesh.HeaderKey: ""}}
	if got := routed(ledger, empty); got.Retry.Attempts != 0 {
		t.Error("an empty key counts as one")
	}
}

func TestShadowTraffic(t *testing.T) {
	s := compile(t, base)
	marked := request{path: "/a/b", headers: map[string]string{mesh.HeaderShadow: "1", mesh.HeaderBucket: "1"}}
	if got := routed(s.Plan("ledger"), marked); len(got.Targets) != 1 || got.Targets[0].Service != "ledger-shadow" {
		t.Errorf("to the ledger: %+v", got)
	}
	if got := routed(s.Plan("books"), marked); got.Refuse == "" || got.Targets != nil {
		t.Errorf("to a database without a shadow: %+v", got)
	}
	if got := routed(s.Plan("api"), marked); len(got.Targets) != 1 || got.Targets[0].Service != "api" {
		t.Errorf("to a service that holds nothing: %+v", got)
	}
	for name, want := range map[string]mesh.ShadowRule{
		"ledger": mesh.ShadowNever, "books": mesh.ShadowNever, "ledger-shadow": mesh.ShadowOnly, "api": mesh.ShadowMarked,
	} {
		if got := s.Plan(name).Inbound.Shadow; got != want {
			t.Errorf("%s: rule %d, want %d", name, got, want)
		}
	}
}

func TestBuckets(t *testing.T) {
	books := compile(t, base).Plan("books")
	for bucket, cell := range map[string]string{"0": "c1", "3": "c1", "4": "c2", "6": "c2", "7": "c1", "8": "", "": "", "x": "", "-1": ""} {
		got := routed(books, request{path: "/a/b", headers: map[string]string{mesh.HeaderBucket: bucket}})
		switch {
		case cell == "" && got.Refuse == "":
			t.Errorf("bucket %q goes to %+v", bucket, got.Targets)
		case cell != "" && (len(got.Targets) != 1 || got.Targets[0].Cell != cell):
			t.Errorf("bucket %q: %+v, want %s", bucket, got, cell)
		}
	}
}

// TestPrecedence: the Gateway API's order, not the file's.
func TestPrecedence(t *testing.T) {
	web := compile(t, base+object("HTTPRoute", `
  parentRefs: [{name: web, kind: Service, group: mesh.sterling.run}]
  rules:
  - {matches: [{path: {value: /}}], timeouts: {request: 1s}, backendRefs: [{name: web}]}
  - {matches: [{path: {value: /a}}], timeouts: {request: 2s}, backendRefs: [{name: web}]}
  - {matches: [{path: {value: /a}, headers: [{name: X-V, value: "2"}]}], timeouts: {request: 3s}, backendRefs: [{name: web}]}
  - {matches: [{path: {type: Exact, value: /a/b}}], timeouts: {request: 4s}, backendRefs: [{name: web}]}
  - {matches: [{path: {value: /a}, method: POST}], timeouts: {request: 5s}, backendRefs: [{name: web}]}`)).Plan("web")
	for _, c := range []struct {
		r    request
		want float64
	}{
		{request{path: "/"}, 1},
		{request{path: "/ab"}, 1},
		{request{path: "/a"}, 2},
		{request{path: "/a/x"}, 2},
		{request{path: "/a/x", headers: map[string]string{"x-v": "2"}}, 3},
		{request{path: "/a/b", method: "POST", headers: map[string]string{"x-v": "2"}}, 4},
		{request{path: "/a/x", method: "POST", headers: map[string]string{"x-v": "2"}}, 5},
	} {
		if got := routed(web, c.r); got == nil || got.Timeout.Seconds() != c.want {
			t.Errorf("%+v: %+v, want rule %v", c.r, got, c.want)
		}
	}
}

// TestNoRouteBreaksAPromise: whatever people write, no request that moves money is retried without its key, no marked
// request reaches what holds money, and no request for a sharded service reaches a cell that does not own it.
func TestNoRouteBreaksAPromise(t *testing.T) {
	owner := []string{"c1", "c1", "c1", "c1", "c2", "c2", "c2", "c1"}
	paths := []string{"/bank.Ledger/Transfer", "/bank.Ledger/Lookup", "/bank.Admin/Grant", "/bank.Admin/x/y", "/other/m"}
	matches := []string{
		"{}", "{method: {service: bank.Ledger}}", "{method: {service: bank.Ledger, method: Transfer}}", "{method: {service: bank.Admin}}",
		"{method: {service: bank.Admin, method: Grant}}", `{headers: [{name: x-v, value: "1"}]}`,
		`{method: {service: bank.Ledger}, headers: [{name: x-v, value: "[0-9]", type: RegularExpression}]}`,
	}
	rapid.Check(t, func(rt *rapid.T) {
		var rules strings.Builder
		for range rapid.IntRange(1, 4).Draw(rt, "rules") {
			targets := rapid.SampledFrom([]string{
				"{name: ledger}", "{name: ledger, weight: 9}, {name: api, weight: 1}", "{name: api}", "{name: books}",
			}).Draw(rt, "targets")
			fmt.Fprintf(&rules, "\n  - matches: [%s, %s]\n    backendRefs: [%s]", rapid.SampledFrom(matches).Draw(rt, "match"),
				rapid.SampledFrom(matches).Draw(rt, "match"), targets)
			if rapid.Bool().Draw(rt, "retry") {
				rules.WriteString("\n    retry: {attempts: 2}")
			}
		}
		parent := rapid.SampledFrom([]string{"ledger", "api", "books"}).Draw(rt, "parent")
		plan := compile(t, base+object("GRPCRoute", "\n  parentRefs: [{name: "+parent+"}]\n  rules:"+rules.String())).Plan(parent)
		r := request{path: rapid.SampledFrom(paths).Draw(rt, "path"), headers: map[string]string{}}
		for name, values := range map[string][]string{
			mesh.HeaderKey: {"", "k"}, mesh.HeaderShadow: {"", "1"}, mesh.HeaderBucket: {"3", "5", "9"}, "x-v": {"1", "2"},
		} {
			if rapid.Bool().Draw(rt, name) {
				r.headers[name] = rapid.SampledFrom(values).Draw(rt, name)
			}
		}
		got := routed(plan, r)
		if got == nil {
			return // no rule fits: refused
		}
		_, marked := r.headers[mesh.HeaderShadow]
		for _, target := range got.Targets {
			money := parent == "ledger" || target.Service == "ledger" || target.Service == "ledger-shadow"
			moves := money && (r.path == "/bank.Ledger/Transfer" || strings.HasPrefix(r.path, "/bank.Admin/"))
			if moves && r.headers[mesh.HeaderKey] == "" && got.Retry.Attempts > 0 {
				rt.Fatalf("%+v is retried without a key: %+v", r, got)
			}
			if marked && (target.Service == "ledger" || target.Service == "books") || !marked && target.Service == "ledger-shadow" {
				rt.Fatalf("%+v reaches %s", r, target.Service)
			}
			if target.Service == "books" {
				if bucket, err := strconv.Atoi(r.headers[mesh.HeaderBucket]); err != nil || bucket > 7 || owner[bucket] != target.Cell {
					rt.Fatalf("%+v reaches %s", r, target.Cell)
				}
			}
		}
	})
}
