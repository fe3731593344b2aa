package proxy

import (
	"bytes"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/sterlingrun/sterling/mesh/proxy/internal/h1"
	"github.com/sterlingrun/sterling/mesh/proxy/internal/shed"
)

// route is a Route at work.
type route struct {
	Route
	order    int // in the configuration
	allow    patterns
	backends []backend
	total    int // of the weights
	mirror   *cluster
	limit    *rate // nil: none
	class    shed.Class
	request  rules
	response rules
	stats    *routeStats
	more     conditions
}

type backend struct {
	*cluster
	upTo int // its share is the numbers below, from those of the backend before
}

// pick takes a backend by weight.
func (r *route) pick() *cluster {
	if len(r.backends) == 1 {
		return r.backends[0].cluster
	}
	n := rand.IntN(r.total) //nolint:gosec // balance, not secrecy
	for _, b := range r.backends {
		if n < b.upTo {
			return b.cluster
		}
	}
	return r.backends[len(r.backends)-1].cluster
}

// rules are changes to header fields, ready to apply.
type rules struct {
	drop []string // names in lower case
	add  []h1.Field
}

func compileRules(f Fields) rules {
	var r rules
	for _, n := range f.Remove {
		r.drop = append(r.drop, strings.ToLower(n))
	}
	for _, n := range slices.Sorted(maps.Keys(f.Set)) {
		r.drop = append(r.drop, strings.ToLower(n))
		r.add = append(r.add, h1.Field{Name: []byte(n), Value: []byte(f.Set[n])})
	}
	for _, n := range slices.Sorted(maps.Keys(f.Add)) {
		r.add = append(r.add, h1.Field{Name: []byte(n), Value: []byte(f.Add[n])})
	}
	return r
}

func (r *rules) drops(name []byte) bool {
	for _, d := range r.drop {
		if len(d) == len(name) && strings.EqualFold(d, string(name)) {
			return true
		}
	}
	return false
}

// table has the routes of one listener.
type table struct {
	hosts map[string][]*route // those that name this very host, in order
	rest  []*route            // those for any host, or for all below a name, in order
}

func newTable(listener *Listener, routes []*route) *table {
	t := &table{hosts: map[string][]*route{}}
	for _, r := range routes {
		if len(r.Listeners) > 0 && !slices.Contains(r.Listeners, listener.Name) || len(r.Listeners) == 0 && listener.Protocol != "http" {
			continue
		}
		wide := len(r.Match.Hosts) == 0
		for _, h := range r.Match.Hosts {
			if strings.HasPrefix(h, "*.") {
				wide = true
			} else {
				t.hosts[h] = append(t.hosts[h], r)
			}
		}
		if wide {
			t.rest = append(t.rest, r)
		}
	}
	return t
}

// find returns the first route that matches, nil if none does. host is in lower case, without port.
func (t *table) find(host []byte, req *h1.Request) *route {
	named, rest := t.hosts[string(host)], t.rest
	for len(named) > 0 || len(rest) > 0 {
		var r *route
		if len(rest) == 0 || len(named) > 0 && named[0].order <= rest[0].order {
			r, named = named[0], named[1:]
		} else {
			r, rest = rest[0], rest[1:]
		}
		if hostMatches(r.Match.Hosts, host) && r.Match.matches(req) && r.more.match(req) {
			return r
		}
	}
	return nil
}

func hostMatches(hosts []string, host []byte) bool {
	for _, h := range hosts {
		if suffix, below := strings.CutPrefix(h, "*"); below && len(host) > len(suffix) && string(host[len(host)-len(suffix):]) == suffix || h == string(host) {
			return true
		}
	}
	return len(hosts) == 0
}

// matches judges all but the host.
func (m *Match) matches(req *h1.Request) bool {
	if m.Path != "" && m.Path != string(req.Path) || m.Prefix != "" && !below(req.Path, m.Prefix) {
		return false
	}
	if len(m.Methods) > 0 && !slices.Contains(m.Methods, string(req.Method)) {
		return false
	}
	for i := range m.Headers {
		if !m.Headers[i].matches(req) {
			return false
		}
	}
	return true
}

// below tells whether path is prefix or has it as its first segments; a prefix with a final slash is no path itself.
func below(path []byte, prefix string) bool {
	if len(path) < len(prefix) || string(path[:len(prefix)]) != prefix {
		return false
	}
	return len(path) == len(prefix) || prefix[len(prefix)-1] == '/' || path[len(prefix)] == '/'
}

func (m *FieldMatch) matches(req *h1.Request) bool {
	for i := range req.Fields {
		f := &req.Fields[i]
		if len(f.Name) != len(m.Name) || !strings.EqualFold(string(f.Name), m.Name) {
			continue
		}
		if m.Is == "" && m.Prefix == "" || m.Is != "" && string(f.Value) == m.Is || m.Prefix != "" && bytes.HasPrefix(f.Value, []byte(m.Prefix)) {
			return true
		}
	}
	return false
}

// lowerHost writes a host in lower case and without its port to buf.
func lowerHost(buf, host []byte) []byte {
	if i := bytes.LastIndexByte(host, ':'); i >= 0 && bytes.IndexByte(host[i:], ']') < 0 {
		host = host[:i]
	}
	buf = append(buf[:0], host...)
	for i, c := range buf {
		if c >= 'A' && c <= 'Z' {
			buf[i] = c + 0x20
		}
	}
	return buf
}

// snapshot is a configuration at work. Requests keep the one that they began with.
type snapshot struct {
	clusters map[string]*cluster
	routes   []*route
	tables   map[string]*table // by listener
	shadow   patterns          // callers that may mark shadow traffic
	critical patterns
	rates    map[string]*rate
}

// compile makes a checked configuration ready. What counts in was lives on: load, ejections, connections, statistics.
func compile(c *Config, id Identity, was *snapshot) *snapshot {
	s := &snapshot{
		clusters: make(map[string]*cluster, len(c.Clusters)), tables: map[string]*table{}, rates: map[string]*rate{},
		shadow: compilePatterns(c.ShadowCallers), critical: compilePatterns(c.CriticalCallers),
	}
	for i := range c.Clusters {
		k := c.Clusters[i]
		s.clusters[k.Name] = newCluster(k, c.Zone, id, was.clusters[k.Name])
	}
	for _, k := range s.clusters {
		k.isShadow = k.isShadow || k.ShadowOnly
		if k.shadow = s.clusters[k.Shadow]; k.shadow != nil {
			k.shadow.isShadow = true
		}
	}
	stats := map[string]*routeStats{}
	for _, r := range was.routes {
		stats[r.Name] = r.stats
	}
	for i := range c.Routes {
		r := &route{
			Route: c.Routes[i], order: i, allow: compilePatterns(c.Routes[i].Allow), limit: s.rateOf(&c.Routes[i], was), stats: stats[c.Routes[i].Name],
			request: compileRules(c.Routes[i].Request), response: compileRules(c.Routes[i].Response), class: classOf(c.Routes[i].Priority),
			mirror: s.clusters[c.Routes[i].Mirror.Cluster], more: compileConditions(&c.Routes[i].Match),
		}
		if r.stats == nil {
			r.stats = &routeStats{}
		}
		for _, b := range r.Backends {
			r.total += b.Weight
			r.backends = append(r.backends, backend{s.clusters[b.Cluster], r.total})
		}
		s.routes = append(s.routes, r)
	}
	for i := range c.Listeners {
		s.tables[c.Listeners[i].Name] = newTable(&c.Listeners[i], s.routes)
	}
	return s
}

func classOf(priority string) shed.Class {
	switch priority {
	case PrioritySettle:
		return shed.Settle
	case PriorityPay:
		return shed.Pay
	}
	return shed.Query
}

func newCluster(k Cluster, zone string, id Identity, was *cluster) *cluster {
	c := &cluster{Cluster: k, zone: zone, load: &clusterLoad{}}
	c.load.budget.balance.Store(retryStart)
	if k.MTLS {
		peers := compilePatterns(k.Peers)
		c.tls = clientTLS(id, peers, []string{"http/1.1"})
		switch k.Protocol {
		case ProtocolGRPC:
			c.tls = clientTLS(id, peers, []string{"h2"})
		case ProtocolBolt, ProtocolDubbo:
			c.tls = clientTLS(id, peers, nil)
		}
		// gRPC drops a connection that did not agree on h2.
		c.tunnelTLS = clientTLS(id, peers, []string{"h2", "http/1.1"})
	}
	kept := map[string]*endpoint{}
	if was != nil {
		c.load = was.load
		// Connections whose peer was checked by other rules are not used under the new ones.
		if was.MTLS == k.MTLS && was.Protocol == k.Protocol && slices.Equal(was.Peers, k.Peers) {
			for _, e := range was.endpoints {
				kept[e.Address] = e
			}
		}
	}
	for _, e := range k.Endpoints {
		at := kept[e.Address]
		if at == nil || at.Endpoint != e {
			at = &endpoint{Endpoint: e}
		}
		c.endpoints = append(c.endpoints, at)
	}
	switch {
	case !k.Adaptive:
	case was != nil && was.limiter != nil && was.MaxRequests == k.MaxRequests && was.QueueWait == k.QueueWait:
		c.limiter = was.limiter
	default:
		c.limiter = shed.New(k.MaxRequests, k.QueueWait)
	}
	return c
}
