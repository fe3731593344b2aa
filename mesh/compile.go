package mesh

import (
	"cmp"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"
)

// maxRoutes bounds what one service's rules may become.
const maxRoutes = 8192

// Snapshot is a whole, consistent configuration of a mesh, ready for data planes. Nobody changes it.
type Snapshot struct {
	Domain     string
	Cells      Cells
	Services   []Plan // by name
	Identities []Identity
	Trust      []Trust
}

// Plan is one service for its callers (Routes) and for itself (Inbound).
type Plan struct {
	Service
	// Routes are tried in order; what none fits is refused.
	Routes  []Route
	Inbound Inbound
	// Shadow is the service that gets its marked requests; empty: none.
	Shadow string
	// Shedding is nil where the service sheds nothing.
	Shedding *Shedding
}

// Route is one decision about requests. Its conditions need no further thought: what must not be retried is a route of
// its own without Retry.
type Route struct {
	Name    string // the object and line it comes from
	Match   Match
	Refuse  string // why such requests are refused; then there are no targets
	Targets []Target
	Change  Headers
	Answer  Headers
	Mirrors []Mirror
	Timeout time.Duration
	Try     time.Duration
	Retry   Retry
	Fault   Fault
	Rate    Rate // what comes from the same rule (Name) has one rate together
}

// Inbound is what a service accepts. No grant, no caller.
type Inbound struct {
	Allow  []Grant
	Shadow ShadowRule
	// Shadowed are those who may send marked requests, where Shadow is ShadowMarked or ShadowOnly.
	Shadowed []Peer
}

// ShadowRule says what a service does with marked requests.
type ShadowRule uint8

// The rules.
const (
	ShadowMarked ShadowRule = iota // takes them from those who may send them
	ShadowNever                    // refuses them
	ShadowOnly                     // refuses all others
)

// Plan returns a service's plan, or nil.
func (s *Snapshot) Plan(service string) *Plan {
	i, ok := slices.BinarySearchFunc(s.Services, service, func(p Plan, name string) int { return cmp.Compare(p.Name, name) })
	if !ok {
		return nil
	}
	return &s.Services[i]
}

// Compile decides what a State means for the data planes of trust domain domain. The State must come from Parse. The
// error wraps ErrConfig and names the object.
func Compile(domain string, state *State) (*Snapshot, error) {
	if !ValidDomain(domain) {
		return nil, fmt.Errorf("%w: trust domain %.100q: want lower-case letters, digits, \".\", \"-\" and \"_\"", ErrConfig, domain)
	}
	c := &compiler{domain: domain, state: state, services: map[string]*Service{}}
	for i := range state.Services {
		c.services[state.Services[i].Name] = &state.Services[i]
	}
	for _, trust := range state.Trust {
		if trust.Domain == domain {
			return nil, fmt.Errorf("%w: Trust/%s: %s is the mesh's own domain, whose bundle is its authority's", ErrConfig, trust.Name, domain)
		}
	}
	if err := c.checkShadow(); err != nil {
		return nil, err
	}
	out := &Snapshot{Domain: domain, Cells: state.Cells, Identities: state.Identities, Trust: state.Trust}
	for _, name := range slices.Sorted(maps.Keys(c.services)) {
		plan, err := c.plan(c.services[name])
		if err != nil {
			return nil, err
		}
		out.Services = append(out.Services, plan)
	}
	return out, nil
}

type compiler struct {
	domain   string
	state    *State
	services map[string]*Service
}

// checkShadow makes sure that shadow traffic and real traffic can't meet in one store.
func (c *compiler) checkShadow() error {
	for service, target := range c.state.Shadow.Targets {
		switch {
		case service == target || c.state.Shadow.Targets[target] != "":
			return fmt.Errorf("%w: Shadow: %s, the shadow of %s, has a shadow itself", ErrConfig, target, service)
		case c.services[target].Protocol != c.services[service].Protocol:
			return fmt.Errorf("%w: Shadow: %s does not speak %s as %s does", ErrConfig, target, c.services[service].Protocol, service)
		case c.services[target].Protocol == TCP:
			return fmt.Errorf("%w: Shadow: %s has only bytes: no mark can be seen in them", ErrConfig, service)
		}
		for _, a := range c.services[service].Backends {
			for _, b := range c.services[target].Backends {
				if a.Address == b.Address || a.App.IsValid() && a.App == b.App && a.App != SupervisedApp() {
					return fmt.Errorf("%w: Shadow: %s and its shadow %s share the backend %s", ErrConfig, service, target, b.Address)
				}
			}
		}
	}
	return nil
}

func (c *compiler) peers(in []Peer) []Peer {
	out := slices.Clone(in)
	for i := range out {
		out[i].Domain = cmp.Or(out[i].Domain, c.domain)
	}
	return out
}

func (c *compiler) plan(s *Service) (Plan, error) {
	plan := Plan{Service: *s, Inbound: Inbound{Shadowed: c.peers(slices.Concat(c.state.Shadow.Mark, c.state.Shadow.Carry))}}
	for _, a := range c.state.Authorizations {
		if a.Service != s.Name {
			continue
		}
		for _, g := range a.Allow {
			if s.Protocol == TCP && len(g.To) > 0 {
				return plan, fmt.Errorf("%w: Authorization of %s: it has only bytes: no methods can be told apart", ErrConfig, s.Name)
			}
			plan.Inbound.Allow = append(plan.Inbound.Allow, Grant{c.peers(g.From), g.To})
		}
	}
	plan.Shadow = c.state.Shadow.Targets[s.Name]
	switch {
	case c.isShadow(s.Name):
		plan.Inbound.Shadow = ShadowOnly
	case s.Holds != HoldsNothing:
		plan.Inbound.Shadow = ShadowNever
	}
	for _, shed := range c.state.Shedding {
		if shed.Service == s.Name {
			shed.Critical = c.peers(shed.Critical)
			plan.Shedding = &shed
		}
	}
	err := c.routes(&plan)
	return plan, err
}

func (c *compiler) isShadow(service string) bool {
	for _, target := range c.state.Shadow.Targets {
		if target == service {
			return true
		}
	}
	return false
}

// routes compiles the rules attached to a service, the most specific first as the Gateway API wants it.
func (c *compiler) routes(plan *Plan) error {
	var base []Route
	attached := false
	for _, rules := range c.state.Routes {
		if !slices.Contains(rules.Parents, plan.Name) {
			continue
		}
		attached = true
		if plan.Protocol == TCP || rules.GRPC != (plan.Protocol == GRPC) {
			return fmt.Errorf("%w: %s does not fit %s, which speaks %s", ErrConfig, rules.Name, plan.Name, plan.Protocol)
		}
		for _, rule := range rules.Rules {
			if err := c.checkRule(plan, rules.Name, rule); err != nil {
				return err
			}
			for _, m := range rule.Matches {
				if m.Method != "" && plan.Protocol.Calls() {
					return fmt.Errorf("%w: %s line %d: method %s is of HTTP, and %s speaks %s", ErrConfig, rules.Name, rule.Line, m.Method, plan.Name, plan.Protocol)
				}
				base = append(base, Route{
					Name: fmt.Sprintf("%s line %d", rules.Name, rule.Line), Match: m, Targets: rule.Targets, Change: rule.Change, Answer: rule.Answer,
					Mirrors: rule.Mirrors, Timeout: rule.Timeout, Try: rule.Try, Retry: rule.Retry, Fault: rule.Fault, Rate: rule.Rate,
				})
			}
		}
	}
	if !attached {
		base = []Route{{Name: "default", Targets: []Target{{Service: plan.Name, Weight: 1}}}}
	}
	slices.SortStableFunc(base, func(a, b Route) int { return precedence(a.Match, b.Match) })
	for _, route := range base {
		gated, err := c.gateRetries(plan, route)
		if err != nil {
			return err
		}
		for _, r := range gated {
			for _, s := range c.splitShadow(r) {
				plan.Routes = append(plan.Routes, c.splitCells(s)...)
			}
		}
		if len(plan.Routes) > maxRoutes {
			return fmt.Errorf("%w: the rules of %s become more than %d routes", ErrConfig, plan.Name, maxRoutes)
		}
	}
	return nil
}

func (c *compiler) checkRule(plan *Plan, name string, rule Rule) error {
	sharded := 0
	changed := map[string]bool{}
	for _, h := range slices.Concat(rule.Change.Set, rule.Change.Add) {
		changed[h.Name] = true
	}
	for _, name := range rule.Change.Remove {
		changed[name] = true
	}
	for _, t := range append([]Target{{Service: plan.Name}}, rule.Targets...) {
		if key := c.services[t.Service].Money.Key; changed[key] {
			return fmt.Errorf("%w: %s line %d: %s has the idempotency key of %s, which is carried unchanged", ErrConfig, name, rule.Line, key, t.Service)
		}
	}
	for _, t := range rule.Targets {
		switch target := c.services[t.Service]; {
		case target.Protocol != plan.Protocol:
			return fmt.Errorf("%w: %s line %d: %s does not speak %s as %s does", ErrConfig, name, rule.Line, t.Service, plan.Protocol, plan.Name)
		case target.Sharded:
			sharded++
		}
		if plan.Name != t.Service && c.isShadow(t.Service) {
			return fmt.Errorf("%w: %s line %d: %s takes shadow traffic only", ErrConfig, name, rule.Line, t.Service)
		}
	}
	if sharded != 0 && sharded != len(rule.Targets) {
		return fmt.Errorf("%w: %s line %d: some backendRefs are sharded and some are not", ErrConfig, name, rule.Line)
	}
	for _, m := range rule.Mirrors {
		if target := c.services[m.Service]; target.Holds != HoldsNothing || target.Sharded || c.isShadow(m.Service) {
			return fmt.Errorf("%w: %s line %d: a mirror to %s would do twice what is meant once: it holds money, is sharded or is a shadow",
				ErrConfig, name, rule.Line, m.Service)
		}
	}
	return nil
}

// precedence orders matches as the Gateway API does: exact paths, then regular expressions, then prefixes, longer ones
// first; then those with a method, then those with more headers.
func precedence(a, b Match) int {
	rank := map[PathKind]int{ExactPath: 0, RegexPath: 1, PrefixPath: 2, AnyPath: 3}
	methods := func(m Match) int { return min(len(m.Method), 1) }
	return cmp.Or(
		cmp.Compare(rank[a.Path.Kind], rank[b.Path.Kind]),
		cmp.Compare(len(b.Path.Text), len(a.Path.Text)),
		cmp.Compare(methods(b), methods(a)),
		cmp.Compare(len(b.Headers), len(a.Headers)),
	)
}

func (m Match) with(h HeaderMatch) Match {
	m.Headers = append(slices.Clip(m.Headers), h)
	return m
}

// gateRetries is the idempotency gate: of a route with retries, requests that move money are routes of their own, with
// retries only where a key is there. A target's money counts as well as the service's own.
func (c *compiler) gateRetries(plan *Plan, route Route) ([]Route, error) {
	if route.Retry.Attempts == 0 {
		return []Route{route}, nil
	}
	var methods []Path
	key := ""
	for _, s := range append([]Target{{Service: plan.Name}}, route.Targets...) {
		money := c.services[s.Service].Money
		if len(money.Methods) > 0 && key != "" && money.Key != key {
			return nil, fmt.Errorf("%w: %s: its services keep idempotency keys in %s and in %s: no retry is safe for both",
				ErrConfig, route.Name, key, money.Key)
		}
		methods, key = append(methods, money.Methods...), cmp.Or(money.Key, key)
	}
	var out []Route
	for _, method := range methods {
		path, overlap, err := intersect(route.Match.Path, method)
		if err != nil {
			return nil, fmt.Errorf("%w: %s: %w", ErrConfig, route.Name, err)
		}
		if !overlap || slices.ContainsFunc(out, func(r Route) bool { return r.Match.Path == path }) {
			continue
		}
		keyed, bare := route, route
		keyed.Match.Path, bare.Match.Path = path, path
		keyed.Match = keyed.Match.with(HeaderMatch{Name: key, Kind: HeaderRegex, Value: ".+"})
		bare.Retry = Retry{}
		out = append(out, keyed, bare)
		if path == route.Match.Path {
			return out, nil
		}
	}
	return append(out, route), nil
}

// intersect returns the paths that fit both a route's path and one that moves money (exact or prefix).
func intersect(route, money Path) (Path, bool, error) {
	switch {
	case route.Kind == AnyPath:
		return money, true, nil
	case route.Kind == RegexPath && money.Kind == ExactPath:
		re, err := regexp.Compile("^(?:" + route.Text + ")$")
		return money, err == nil && re.MatchString(money.Text), err
	case route.Kind == RegexPath:
		return Path{}, false, fmt.Errorf("retries on a regular expression, which may fit %s*, where money is moved: name the paths", money.Text)
	case route.Kind == ExactPath && money.Kind == ExactPath:
		return route, route.Text == money.Text, nil
	case route.Kind == ExactPath:
		return route, strings.HasPrefix(route.Text, money.Text), nil
	case money.Kind == ExactPath:
		return money, strings.HasPrefix(money.Text, route.Text), nil
	case strings.HasPrefix(route.Text, money.Text):
		return route, true, nil
	}
	return money, strings.HasPrefix(money.Text, route.Text), nil
}

// splitShadow sends marked requests where they may go: to the shadow of a target, to the target itself if it holds
// nothing, and nowhere if any target of the rule holds money and has no shadow.
func (c *compiler) splitShadow(route Route) []Route {
	marked := route
	marked.Targets = slices.Clone(route.Targets)
	marked.Mirrors = nil
	differs := false
	for i, t := range route.Targets {
		target, mapped := c.state.Shadow.Targets[t.Service]
		switch {
		case mapped:
			marked.Targets[i].Service, differs = target, true
		case c.isShadow(t.Service):
			// The only way in is the mark, whoever calls it by name.
		case c.services[t.Service].Holds != HoldsNothing:
			marked.Refuse = t.Service + " holds money or its records and has no shadow"
		}
	}
	switch {
	case marked.Refuse != "":
		marked.Targets, marked.Retry = nil, Retry{}
	case !differs:
		return []Route{route}
	}
	marked.Match = marked.Match.with(HeaderMatch{Name: HeaderShadow, Kind: HeaderPresent})
	return []Route{marked, route}
}

// splitCells sends requests for sharded targets to the cell that owns their bucket.
func (c *compiler) splitCells(route Route) []Route {
	if len(route.Targets) == 0 || !c.services[route.Targets[0].Service].Sharded {
		return []Route{route}
	}
	var out []Route
	for _, cell := range c.state.Cells.Cells {
		for _, bounds := range cell.Buckets {
			r := route
			r.Match = r.Match.with(HeaderMatch{Name: HeaderBucket, Kind: HeaderRange, Range: bounds})
			r.Targets = slices.Clone(route.Targets)
			for i := range r.Targets {
				r.Targets[i].Cell = cell.Name
			}
			out = append(out, r)
		}
	}
	lost := route
	lost.Targets, lost.Mirrors, lost.Retry = nil, nil, Retry{}
	lost.Refuse = "no account bucket in " + HeaderBucket
	return append(out, lost)
}
