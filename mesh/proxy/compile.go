package proxy

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/sterlingrun/sterling/mesh"
	"github.com/sterlingrun/sterling/mesh/proxy/internal/shed"
)

// inboundPrefix begins the names of listeners for a workload's own service.
const inboundPrefix = "inbound/"

// loopback is where a workload finds the services that it may call.
const loopback = "127.0.0.1"

// inboundRequests bounds what all callers together have in flight: each of them has the service's own limit.
const inboundRequests = 10_000

// Compile is what the proxy beside the workload id does under a snapshot: it takes calls of the workload's service for
// the programs behind it, and offers on loopback the services that id may call. The error wraps [ErrConfig] and names the
// object that can't be obeyed.
func Compile(s *mesh.Snapshot, id mesh.ID) (Config, error) {
	c := &compiler{snapshot: s, id: id, clusters: map[string]bool{}}
	if own := s.Plan(id.Service); own != nil {
		if err := c.inbound(own); err != nil {
			return Config{}, err
		}
	}
	for i := range s.Services {
		plan := &s.Services[i]
		if i == 0 {
			c.out.ShadowCallers = patternsOf(plan.Inbound.Shadowed) // the same in every plan
		}
		if plan.Port == 0 || !c.mayCall(plan) {
			continue
		}
		if err := c.outbound(plan); err != nil {
			return Config{}, err
		}
	}
	c.out.setDefaults()
	return c.out, c.out.Check()
}

type compiler struct {
	snapshot *mesh.Snapshot
	id       mesh.ID
	out      Config
	clusters map[string]bool
}

func (c *compiler) mayCall(plan *mesh.Plan) bool {
	return slices.ContainsFunc(plan.Inbound.Allow, func(g mesh.Grant) bool {
		return slices.ContainsFunc(g.From, func(p mesh.Peer) bool { return p.Matches(c.id) })
	})
}

// patternsOf spells peers as this package knows them.
func patternsOf(peers []mesh.Peer) []string {
	var out []string
	for _, p := range peers {
		out = append(out, mesh.ID{Domain: p.Domain, Cell: cmp.Or(p.Cell, "*"), Service: p.Service}.String())
	}
	return out
}

// outbound offers a service on loopback.
func (c *compiler) outbound(plan *mesh.Plan) error {
	l := Listener{Name: plan.Name, Address: netip.AddrPortFrom(netip.MustParseAddr(loopback), plan.Port).String(), Caller: c.id.String()}
	if plan.Protocol == mesh.TCP {
		l.Protocol, l.Cluster = "tcp", plan.Name
		c.out.Listeners = append(c.out.Listeners, l)
		return c.target(mesh.Target{Service: plan.Name})
	}
	l.Protocol = callsOf(plan)
	c.out.Listeners = append(c.out.Listeners, l)
	for i, r := range plan.Routes {
		if slices.ContainsFunc(r.Match.Headers, func(h mesh.HeaderMatch) bool { return h.Name == mesh.HeaderShadow }) {
			continue // clusters decide on colour: they know all of its marks
		}
		route, err := c.route(plan, r)
		if err != nil {
			return err
		}
		route.Name, route.Listeners = fmt.Sprintf("%s/%s/%d", plan.Name, strings.ReplaceAll(r.Name, " line ", ":"), i), []string{plan.Name}
		c.out.Routes = append(c.out.Routes, route)
	}
	return nil
}

func (c *compiler) route(plan *mesh.Plan, r mesh.Route) (Route, error) {
	out := Route{Refuse: r.Refuse, Timeout: r.Timeout, Request: fields(r.Change)}
	if err := out.Match.from(r.Match); err != nil {
		return out, fmt.Errorf("%w: %s: %w", ErrConfig, r.Name, err)
	}
	out.Retry = Retry{Attempts: int(r.Retry.Attempts), Each: r.Try, Statuses: slices.Clone(r.Retry.Codes), Backoff: r.Retry.Backoff}
	out.policies(plan, r)
	for _, s := range r.Retry.Statuses {
		code, ok := map[string]int{"UNAVAILABLE": 503, "DEADLINE_EXCEEDED": 504, "RESOURCE_EXHAUSTED": 429}[s]
		if !ok {
			return out, fmt.Errorf("%w: %s: node proxies don't retry %s", ErrConfig, r.Name, s)
		}
		out.Retry.Statuses = append(out.Retry.Statuses, code)
	}
	var money []mesh.Path
	for _, t := range append([]mesh.Target{{Service: plan.Name}}, r.Targets...) {
		service := c.snapshot.Plan(t.Service)
		money = append(money, service.Money.Methods...)
		if service.Money.Key != "" && service.Money.Key != mesh.HeaderKey {
			out.Key = service.Money.Key
		}
	}
	if out.Money = slices.ContainsFunc(money, func(m mesh.Path) bool { return moves(m, r) }); out.Money {
		out.Retry.Statuses = nil // an answer is an answer
	} else {
		out.Key = ""
	}
	for _, t := range r.Targets {
		if err := c.target(t); err != nil {
			return out, err
		}
		out.Backends = append(out.Backends, Backend{clusterName(t), int(t.Weight)})
	}
	if len(r.Mirrors) > 1 {
		return out, fmt.Errorf("%w: %s: %d mirrors: node proxies have one", ErrConfig, r.Name, len(r.Mirrors))
	}
	for _, m := range r.Mirrors {
		if err := c.target(mesh.Target{Service: m.Service}); err != nil {
			return out, err
		}
		out.Mirror = Mirror{m.Service, int(m.Percent)}
	}
	return out, nil
}

// moves tells whether requests of a route may be for the method m, which moves money. With retries, package mesh has
// made routes of their own of those.
func moves(m mesh.Path, r mesh.Route) bool {
	p := r.Match.Path
	switch {
	case covers(m, p):
		return true
	case r.Retry.Attempts > 0:
		return false
	case p.Kind == mesh.PrefixPath:
		return strings.HasPrefix(m.Text, p.Text)
	}
	return p.Kind != mesh.ExactPath
}

// covers tells whether whatever fits p fits m, an exact path, a prefix or any.
func covers(m, p mesh.Path) bool {
	switch m.Kind {
	case mesh.AnyPath:
		return true
	case mesh.PrefixPath:
		return m.Text == "/" || (p.Kind == mesh.ExactPath || p.Kind == mesh.PrefixPath) && strings.HasPrefix(p.Text, m.Text)
	}
	return p == m
}

func (m *Match) from(of mesh.Match) error {
	m.path(of.Path)
	if of.Method != "" {
		m.Methods = []string{of.Method}
	}
	for _, h := range of.Headers {
		match := FieldMatch{Name: h.Name}
		switch h.Kind {
		case mesh.HeaderExact:
			match.Is = h.Value
		case mesh.HeaderRegex:
			match.Regex = h.Value
		case mesh.HeaderRange:
			match.Number = &Number{From: h.Range.From, To: h.Range.To}
		case mesh.HeaderPresent:
		case mesh.HeaderAbsent:
			return fmt.Errorf("header %s: node proxies do not look for what is absent", h.Name)
		}
		m.Headers = append(m.Headers, match)
	}
	return nil
}

func (m *Match) path(p mesh.Path) {
	switch p.Kind {
	case mesh.AnyPath:
	case mesh.ExactPath:
		m.Path = p.Text
	case mesh.PrefixPath:
		m.Prefix = p.Text
	case mesh.RegexPath:
		m.Regex = p.Text
	}
}

func fields(of mesh.Headers) Fields {
	out := Fields{Remove: of.Remove, Set: map[string]string{}, Add: map[string]string{}}
	for _, h := range of.Set {
		out.Set[h.Name] = h.Value
	}
	for _, h := range of.Add {
		if before, twice := out.Add[h.Name]; twice {
			h.Value = before + ", " + h.Value
		}
		out.Add[h.Name] = h.Value
	}
	return out
}

func clusterName(t mesh.Target) string {
	if t.Cell == "" {
		return t.Service
	}
	return t.Service + "@" + t.Cell
}

// callsOf is the protocol of a service's listeners, "" for HTTP's.
func callsOf(plan *mesh.Plan) string {
	if plan.Protocol.Calls() {
		return string(plan.Protocol)
	}
	return ""
}

func protocolOf(plan *mesh.Plan) string {
	if plan.Protocol.Calls() {
		return string(plan.Protocol)
	}
	if plan.Protocol == mesh.GRPC {
		return ProtocolGRPC
	}
	return ProtocolHTTP
}

func kindOf(h mesh.Holds) string {
	return cmp.Or(string(h), KindService)
}

// target makes the cluster of a service, or of a cell's part of one, and that of its shadow.
func (c *compiler) target(t mesh.Target) error {
	name := clusterName(t)
	if c.clusters[name] {
		return nil
	}
	c.clusters[name] = true
	plan := c.snapshot.Plan(t.Service)
	k := Cluster{
		Name: name, Protocol: protocolOf(plan), Kind: kindOf(plan.Holds), ShadowOnly: plan.Inbound.Shadow == mesh.ShadowOnly,
	}
	k.limits(plan)
	for _, b := range plan.Backends {
		if t.Cell != "" && b.Cell != t.Cell {
			continue
		}
		k.Endpoints = append(k.Endpoints, Endpoint{Address: b.Address.String(), Distance: c.distance(b.Cell), Weight: int(b.Weight)})
		peer := mesh.ID{Domain: c.snapshot.Domain, Cell: b.Cell, Service: plan.Name}.String()
		if !slices.Contains(k.Peers, peer) {
			k.Peers = append(k.Peers, peer)
		}
	}
	k.MTLS = len(k.Peers) > 0
	var err error
	if plan.Shadow != "" {
		shadow := mesh.Target{Service: plan.Shadow}
		if c.snapshot.Plan(plan.Shadow).Sharded {
			if shadow.Cell = t.Cell; t.Cell == "" {
				return fmt.Errorf("%w: Shadow: %s is sharded, and %s, whose shadow it is, is not", ErrConfig, plan.Shadow, plan.Name)
			}
		}
		k.Shadow, err = clusterName(shadow), c.target(shadow)
	}
	c.out.Clusters = append(c.out.Clusters, k)
	return err
}

// distance is how far a cell is from the workload's own.
func (c *compiler) distance(cell string) int {
	var own, other mesh.Cell
	for _, one := range c.snapshot.Cells.Cells {
		if one.Name == c.id.Cell {
			own = one
		}
		if one.Name == cell {
			other = one
		}
	}
	switch {
	case cell == c.id.Cell:
		return 0
	case own.Region != other.Region:
		return 3
	case own.Zone != other.Zone:
		return 2
	}
	return 1
}

// inbound takes calls of the workload's own service: a listener for every backend in its cell that has a program
// behind it. Which of them is on its machine, the node knows; see [Config.Place].
func (c *compiler) inbound(plan *mesh.Plan) error {
	if s := plan.Shedding; s != nil {
		if s.QueueWait > shed.MaxQueueWait {
			return fmt.Errorf("%w: Shedding of %s: queueWait: node proxies take at most %s", ErrConfig, plan.Name, shed.MaxQueueWait)
		}
		c.out.CriticalCallers = patternsOf(s.Critical)
	}
	for _, b := range plan.Backends {
		if b.Cell != c.id.Cell || !b.App.IsValid() {
			continue
		}
		l := Listener{Name: inboundPrefix + b.Address.String(), Address: b.Address.String(), MTLS: true}
		app := Cluster{
			Name: "app/" + b.App.String(), Protocol: protocolOf(plan), Kind: kindOf(plan.Holds), ShadowOnly: plan.Inbound.Shadow == mesh.ShadowOnly,
			Endpoints: []Endpoint{{Address: b.App.String()}}, Adaptive: plan.Shedding != nil,
			MaxRequests: inboundRequests, MaxConnections: inboundRequests, Ejection: Ejection{Failures: -1},
		}
		if plan.Shedding != nil {
			app.QueueWait = plan.Shedding.QueueWait
		}
		if plan.Protocol == mesh.TCP {
			l.Protocol, l.Cluster = "tcp", app.Name
			for _, g := range plan.Inbound.Allow {
				l.Allow = append(l.Allow, patternsOf(g.From)...)
			}
			if len(l.Allow) == 0 {
				continue // nobody may call, and a listener without a list would take anybody
			}
		} else {
			l.Protocol = callsOf(plan)
			c.guard(plan, l.Name, app.Name)
		}
		c.out.Listeners = append(c.out.Listeners, l)
		if !c.clusters[app.Name] {
			c.clusters[app.Name] = true
			c.out.Clusters = append(c.out.Clusters, app)
		}
	}
	return nil
}

// guard makes the routes of an inbound listener: for every path that a policy names, and for all others, who may call
// it and what it is worth. The most specific path comes first, and whatever fits a path is covered by the same policies.
func (c *compiler) guard(plan *mesh.Plan, listener, app string) {
	paths := append([]mesh.Path{{}}, plan.Money.Methods...)
	for _, g := range plan.Inbound.Allow {
		paths = append(paths, g.To...)
	}
	if plan.Shedding != nil {
		for _, class := range plan.Shedding.Classes {
			paths = append(paths, class.Paths...)
		}
	}
	slices.SortFunc(paths, func(a, b mesh.Path) int {
		rank := map[mesh.PathKind]int{mesh.ExactPath: 0, mesh.PrefixPath: 1, mesh.AnyPath: 2}
		return cmp.Or(cmp.Compare(rank[a.Kind], rank[b.Kind]), cmp.Compare(len(b.Text), len(a.Text)), cmp.Compare(a.Text, b.Text))
	})
	for _, p := range slices.Compact(paths) {
		r := Route{
			Name: listener + cmp.Or(p.Text, "*"), Listeners: []string{listener}, Allow: allowed(plan, p), Backends: []Backend{{app, 1}},
			MaxBody: int64(plan.Limits.BodyBytes),
			Timeout: maxTimeout, Retry: Retry{Attempts: 1}, // the caller's time counts; to a connection that was just closed, once more
			Money: slices.ContainsFunc(plan.Money.Methods, func(m mesh.Path) bool { return covers(m, p) }), Priority: priority(plan.Shedding, p),
		}
		if p.Kind == mesh.PrefixPath {
			r.Name += "*"
		}
		if r.Money && plan.Money.Key != mesh.HeaderKey {
			r.Key = plan.Money.Key
		}
		if len(r.Allow) == 0 {
			r.Backends, r.Refuse = nil, "no authorization of "+plan.Name+" lets anybody call this"
		}
		r.Match.path(p)
		c.out.Routes = append(c.out.Routes, r)
	}
}

func allowed(plan *mesh.Plan, p mesh.Path) []string {
	var out []string
	for _, g := range plan.Inbound.Allow {
		if len(g.To) == 0 || slices.ContainsFunc(g.To, func(to mesh.Path) bool { return covers(to, p) }) {
			out = append(out, patternsOf(g.From)...)
		}
	}
	return out
}

func priority(s *mesh.Shedding, p mesh.Path) string {
	if s == nil {
		return ""
	}
	for _, class := range s.Classes {
		if slices.ContainsFunc(class.Paths, func(of mesh.Path) bool { return covers(of, p) }) {
			return string(class.Priority)
		}
	}
	return string(s.Default)
}

// Place is what a configuration becomes on one machine: inbound listeners only for addresses that mine says are its own,
// and the services that the workload calls at the address offered, on loopback.
func (c *Config) Place(mine func(netip.AddrPort) bool, offered netip.Addr) {
	c.Only(func(l Listener) bool {
		address, err := netip.ParseAddrPort(l.Address)
		return !strings.HasPrefix(l.Name, inboundPrefix) || err == nil && mine(address)
	})
	for i := range c.Listeners {
		l := &c.Listeners[i]
		if address, err := netip.ParseAddrPort(l.Address); err == nil && !strings.HasPrefix(l.Name, inboundPrefix) {
			l.Address = netip.AddrPortFrom(offered, address.Port()).String()
		}
	}
}

// Only leaves out the listeners that keep does not want, and the routes of those alone.
func (c *Config) Only(keep func(Listener) bool) {
	kept := map[string]bool{}
	c.Listeners = slices.DeleteFunc(c.Listeners, func(l Listener) bool {
		kept[l.Name] = keep(l)
		return !kept[l.Name]
	})
	routes := c.Routes[:0]
	for _, r := range c.Routes {
		names := slices.DeleteFunc(slices.Clone(r.Listeners), func(name string) bool { return !kept[name] })
		if len(r.Listeners) == 0 || len(names) > 0 {
			r.Listeners = names
			routes = append(routes, r)
		}
	}
	c.Routes = routes
}
