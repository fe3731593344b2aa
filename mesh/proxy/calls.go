package proxy

import (
	"maps"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sterlingrun/sterling/mesh"
)

// bounds of the histograms of durations.
var bounds = func() (b [mesh.LatencyBuckets - 1]time.Duration) {
	for i := range b {
		b[i] = mesh.LatencyBound(i)
	}
	return b
}()

// maxParties bounds for whom a listener counts apart: callers, each with the clusters that it calls. Those that come
// later are counted together, as OtherParty.
const maxParties = 512

// OtherParty is the caller and the cluster of the calls of those that are too many to count apart.
const OtherParty = "other"

// Stats are the counts of calls of one workload. Proxies that follow each other share them, so that they only rise. Make
// them with NewStats.
type Stats struct {
	mu        sync.Mutex
	listeners map[string]*callStats
}

// NewStats returns counts of nothing.
func NewStats() *Stats { return &Stats{listeners: map[string]*callStats{}} }

func (s *Stats) listener(name string) *callStats {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.listeners[name]
	if l == nil {
		l = &callStats{}
		l.parties.Store(&map[party]*partyCalls{})
		s.listeners[name] = l
	}
	return l
}

// callStats are those of a listener. The map is replaced as a whole, so that requests find their counts without a lock.
type callStats struct {
	parties atomic.Pointer[map[party]*partyCalls]
	mu      sync.Mutex
}

// party is who called, and the cluster that was chosen; none: the request did not come that far.
type party struct{ caller, cluster string }

// countedAt is where the last call of a connection was counted: most often the next one's place.
type countedAt struct {
	cluster *cluster
	calls   *partyCalls
}

type partyCalls struct {
	latency  [mesh.LatencyBuckets]atomic.Uint64
	failures [mesh.Failures]atomic.Uint64
}

func (s *callStats) of(p party) *partyCalls {
	if c := (*s.parties.Load())[p]; c != nil {
		return c
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	was := *s.parties.Load()
	if len(was) >= maxParties {
		p = party{OtherParty, OtherParty}
	}
	if c := was[p]; c != nil {
		return c
	}
	next, c := maps.Clone(was), &partyCalls{}
	next[p] = c
	s.parties.Store(&next)
	return c
}

func (c *partyCalls) observe(took time.Duration) {
	i := 0
	for i < len(bounds) && took > bounds[i] {
		i++
	}
	c.latency[i].Add(1)
}

// observe counts an exchange that has ended.
func (s *callStats) observe(x *exchange, status int, took time.Duration) {
	last := x.c.counted.Load()
	if last == nil || last.cluster != x.cluster {
		p := party{caller: x.c.peer}
		if x.cluster != nil {
			p.cluster = x.cluster.Name
		}
		last = &countedAt{x.cluster, s.of(p)}
		x.c.counted.Store(last)
	}
	c := last.calls
	c.observe(took)
	if kind, failed := failureOf(x.failed, status); failed {
		c.failures[kind].Add(1)
	}
}

// reasonInjected is the reason of failures on purpose.
const reasonInjected = "fault injected"

// failureOf tells why a request failed, by the proxy's own answer (nil: the endpoint's) and its status.
func failureOf(f *failure, status int) (kind mesh.Failure, failed bool) {
	if f == nil {
		return mesh.Upstream, status >= 500
	}
	switch {
	case f.reason == reasonInjected:
		return mesh.Injected, true
	case f == errBreaker, f == errShed, f == errFull503, f.status == 429:
		return mesh.Overload, true
	}
	switch f.status {
	case 403, 404, 405:
		return mesh.Refused, true
	case 502:
		return mesh.Broken, true
	case 503:
		return mesh.Unreachable, true
	case 504:
		return mesh.Timeout, true
	}
	return mesh.Invalid, true
}

// connected counts a connection of a tcp listener by whether it found an endpoint; took is the time until then.
func (s *callStats) connected(caller, cluster string, took time.Duration, f *failure) {
	c := s.of(party{caller, cluster})
	c.observe(took)
	if kind, failed := failureOf(f, 0); failed {
		c.failures[kind].Add(1)
	}
}

// PartyCalls are the calls of one caller by one listener to one cluster.
type PartyCalls struct {
	Listener string
	Caller   string // SPIFFE id; empty: unknown
	Cluster  string // empty: none was chosen
	mesh.Calls
}

// Inbound tells whether the workload itself was called.
func (c *PartyCalls) Inbound() bool { return strings.HasPrefix(c.Listener, inboundPrefix) }

// Calls returns what was counted, in no order.
func (s *Stats) Calls() []PartyCalls {
	s.mu.Lock()
	listeners := maps.Clone(s.listeners)
	s.mu.Unlock()
	var out []PartyCalls
	for name, l := range listeners {
		for p, c := range *l.parties.Load() {
			one := PartyCalls{Listener: name, Caller: p.caller, Cluster: p.cluster}
			for i := range c.latency {
				one.Latency[i] = c.latency[i].Load()
			}
			for i := range c.failures {
				one.Failures[i] = c.failures[i].Load()
			}
			out = append(out, one)
		}
	}
	return out
}

// RouteState is how a route has been doing since it came.
type RouteState struct {
	Name                        string
	Requests, Failures, Retries uint64 // failures: 5xx, or what means the same
}

// ClusterState is how a cluster is.
type ClusterState struct {
	Name                 string
	Endpoints, Ejected   int
	InFlight, Most       int
	BreakerRefused, Shed uint64
}

// State returns how routes, in their order, and clusters, in no order, are now.
func (p *Proxy) State() (routes []RouteState, clusters []ClusterState) {
	s := p.snap.Load()
	for _, r := range s.routes {
		one := RouteState{Name: r.Name, Failures: r.stats.answers[5].Load(), Retries: r.stats.retries.Load()}
		for i := range r.stats.answers {
			one.Requests += r.stats.answers[i].Load()
		}
		routes = append(routes, one)
	}
	now := p.clock.Mono()
	for _, k := range s.clusters {
		one := ClusterState{
			Name: k.Name, Endpoints: len(k.endpoints), Ejected: k.ejected(now),
			InFlight: int(k.load.inFlight.Load()), Most: k.MaxRequests, BreakerRefused: k.load.rejected.Load(),
		}
		if k.limiter != nil {
			state := k.limiter.State()
			one.Shed = state.Shed + state.Overdue
		}
		clusters = append(clusters, one)
	}
	return routes, clusters
}
