package proxy

import (
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/sterlingrun/sterling/mesh/proxy/internal/h1"
	"github.com/sterlingrun/sterling/mesh/proxy/internal/shed"
)

// Bounds of a configuration.
const (
	maxListeners = 256
	maxClusters  = 10_000
	maxEndpoints = 10_000 // of one cluster
	maxRoutes    = 10_000
	maxDistance  = 7
	maxTimeout   = time.Hour

	maxSocketPath = 107 // bytes, of Linux
)

// faults collects what is wrong, each with the key it is at.
type faults struct{ found []error }

func (f *faults) add(format string, args ...any) {
	f.found = append(f.found, fmt.Errorf(format, args...))
}

func (f *faults) within(key string, v, low, high int64) {
	if v < low || v > high {
		f.add("%s: want %d to %d, not %d", key, low, high, v)
	}
}

func (f *faults) duration(key string, v, low, high time.Duration) {
	if v < low || v > high {
		f.add("%s: want %s to %s, not %s", key, low, high, v)
	}
}

func (f *faults) oneOf(key, v string, want ...string) {
	if !slices.Contains(want, v) {
		f.add("%s: want %s, not %q", key, strings.Join(want, ", "), v)
	}
}

func (f *faults) address(key, v string) {
	if path, ok := UnixAddress(v); ok {
		if !filepath.IsAbs(path) || path != filepath.Clean(path) || len(path) > maxSocketPath { // one spelling: checkShadows compares
			f.add("%s: want an absolute path without detours, of at most %d bytes, not %q", key, maxSocketPath, v)
		}
		return
	}
	if _, port, err := net.SplitHostPort(v); err != nil || port == "" {
		f.add("%s: want host:port, not %q", key, v)
	}
}

func (f *faults) patterns(key string, list []string) {
	for i, p := range list {
		if _, err := parsePattern(p); err != nil {
			f.add("%s[%d]: %w", key, i, err)
		}
	}
}

// names wants unique, non-empty names.
func names[T any](f *faults, key string, list []T, limit int, name func(T) string) map[string]int {
	f.within(key, int64(len(list)), 0, int64(limit))
	seen := make(map[string]int, len(list))
	for i, v := range list {
		n := name(v)
		if n == "" || len(n) > 253 || strings.ContainsFunc(n, func(r rune) bool { return r <= ' ' || r > '~' || r == '"' || r == '\\' }) {
			f.add("%s[%d].name: want 1 to 253 visible ASCII characters without quotes, not %q", key, i, n)
		} else if _, twice := seen[n]; twice {
			f.add("%s[%d].name: %q is there twice", key, i, n)
		}
		seen[n] = i
	}
	return seen
}

// Check says all that is wrong with c, or nil. It expects the defaults to be filled in, as ParseConfig does. An error
// wraps [ErrConfig].
func (c *Config) Check() error {
	f := &faults{}
	f.patterns("shadow_callers", c.ShadowCallers)
	f.patterns("critical_callers", c.CriticalCallers)
	listeners := names(f, "listeners", c.Listeners, maxListeners, func(l Listener) string { return l.Name })
	clusters := names(f, "clusters", c.Clusters, maxClusters, func(k Cluster) string { return k.Name })
	names(f, "routes", c.Routes, maxRoutes, func(r Route) string { return r.Name })
	for i := range c.Listeners {
		c.Listeners[i].check(f, fmt.Sprintf("listeners[%d]", i), clusters)
	}
	for i := range c.Clusters {
		c.Clusters[i].check(f, fmt.Sprintf("clusters[%d]", i), c, clusters)
	}
	c.checkShadows(f, clusters)
	c.checkRates(f)
	for i := range c.Routes {
		key := fmt.Sprintf("routes[%d]", i)
		c.Routes[i].check(f, key, clusters)
		c.checkFamily(f, key, &c.Routes[i], listeners, clusters)
		for j, name := range c.Routes[i].Listeners {
			if at, ok := listeners[name]; !ok || c.Listeners[at].Protocol == "tcp" {
				f.add("%s.listeners[%d]: no listener %q that takes requests", key, j, name)
			}
		}
	}
	if len(f.found) == 0 {
		return nil
	}
	return fmt.Errorf("%w: %w", ErrConfig, errors.Join(f.found...))
}

func (l *Listener) check(f *faults, key string, clusters map[string]int) {
	f.address(key+".address", l.Address)
	f.oneOf(key+".protocol", l.Protocol, "http", "tcp", ProtocolBolt, ProtocolDubbo)
	f.patterns(key+".allow", l.Allow)
	f.within(key+".max_connections", int64(l.MaxConnections), 1, 1_000_000)
	f.duration(key+".idle", l.Idle, 10*time.Millisecond, 24*time.Hour)
	if l.Caller != "" {
		if err := checkID(l.Caller); err != nil {
			f.add("%s.caller: %w", key, err)
		}
		if l.MTLS {
			f.add("%s.caller: with mtls, the certificate says who calls", key)
		}
	}
	_, known := clusters[l.Cluster]
	if l.Protocol == "tcp" && !known {
		f.add("%s.cluster: no cluster %q", key, l.Cluster)
	} else if l.Protocol != "tcp" && l.Cluster != "" {
		f.add("%s.cluster: for tcp only; http has routes", key)
	}
}

// checkShadows wants shadow targets to have endpoints of their own: one that is a real database under another name would
// defeat their purpose.
func (c *Config) checkShadows(f *faults, clusters map[string]int) {
	targets := map[string]bool{}
	for _, k := range c.Clusters {
		targets[k.Shadow] = true
	}
	real := map[string]string{} // endpoints that keep state, with their cluster
	for _, k := range c.Clusters {
		for _, e := range k.Endpoints {
			if !targets[k.Name] && k.Kind != KindService {
				real[e.Address] = k.Name
			}
		}
	}
	for name := range targets {
		at, ok := clusters[name]
		if !ok {
			continue
		}
		for i, e := range c.Clusters[at].Endpoints {
			if of := real[e.Address]; of != "" {
				f.add("clusters[%d].endpoints[%d].address: %q is a shadow target, and this is an endpoint of %q", at, i, name, of)
			}
		}
	}
}

func (k *Cluster) check(f *faults, key string, c *Config, clusters map[string]int) {
	f.oneOf(key+".protocol", k.Protocol, ProtocolHTTP, ProtocolGRPC, ProtocolBolt, ProtocolDubbo)
	f.oneOf(key+".kind", k.Kind, KindService, KindDatabase, KindLedger)
	if k.Shadow != "" {
		// A target that sends shadow traffic on would hide where it ends up, and could send it in circles.
		if at, ok := clusters[k.Shadow]; !ok {
			f.add("%s.shadow: no cluster %q", key, k.Shadow)
		} else if k.Shadow == k.Name || c.Clusters[at].Shadow != "" {
			f.add("%s.shadow: %q must be another cluster, one without a shadow", key, k.Shadow)
		}
	}
	f.within(key+".endpoints", int64(len(k.Endpoints)), 0, maxEndpoints)
	seen := map[string]bool{}
	for i, e := range k.Endpoints {
		f.address(fmt.Sprintf("%s.endpoints[%d].address", key, i), e.Address)
		if seen[e.Address] {
			f.add("%s.endpoints[%d].address: %q is there twice", key, i, e.Address)
		}
		seen[e.Address] = true
		f.within(fmt.Sprintf("%s.endpoints[%d].distance", key, i), int64(e.Distance), 0, maxDistance)
		f.within(fmt.Sprintf("%s.endpoints[%d].weight", key, i), int64(e.Weight), 1, 1<<16)
	}
	f.patterns(key+".peers", k.Peers)
	if k.MTLS != (len(k.Peers) > 0) {
		f.add("%s.peers: mtls needs the identities that endpoints may have, and only mtls can check them", key)
	}
	f.duration(key+".connect_timeout", k.ConnectTimeout, time.Millisecond, time.Minute)
	f.within(key+".max_connections", int64(k.MaxConnections), 1, 1_000_000)
	f.within(key+".max_requests", int64(k.MaxRequests), 1, 1_000_000)
	f.within(key+".retry_percent", int64(k.RetryPercent), -1, 100)
	f.duration(key+".queue_wait", k.QueueWait, time.Millisecond, shed.MaxQueueWait)
	f.within(key+".ejection.failures", int64(k.Ejection.Failures), -1, 1000)
	f.duration(key+".ejection.for", k.Ejection.For, time.Millisecond, time.Hour)
	f.within(key+".ejection.max_percent", int64(k.Ejection.MaxPercent), 1, 100)
	f.within(key+".ejection.percent", int64(k.Ejection.Percent), 0, 100)
	f.within(key+".ejection.requests", int64(k.Ejection.Requests), 1, 1<<20)
	f.duration(key+".ejection.interval", k.Ejection.Interval, time.Millisecond, time.Hour)
}

func (r *Route) check(f *faults, key string, clusters map[string]int) {
	r.Match.check(f, key+".match")
	f.patterns(key+".allow", r.Allow)
	total := 0
	for i, b := range r.Backends {
		if _, ok := clusters[b.Cluster]; !ok {
			f.add("%s.backends[%d].cluster: no cluster %q", key, i, b.Cluster)
		}
		f.within(fmt.Sprintf("%s.backends[%d].weight", key, i), int64(b.Weight), 0, 1_000_000)
		total += b.Weight
	}
	if total == 0 && r.Refuse == "" {
		f.add("%s.backends: want at least one with a weight", key)
	}
	f.duration(key+".timeout", r.Timeout, time.Millisecond, maxTimeout)
	f.within(key+".max_body", r.MaxBody, 0, 1<<40)
	f.oneOf(key+".priority", r.Priority, PrioritySettle, PriorityPay, PriorityQuery)
	f.within(key+".retry.attempts", int64(r.Retry.Attempts), 0, 5)
	f.duration(key+".retry.each", r.Retry.Each, 0, maxTimeout)
	for i, s := range r.Retry.Statuses {
		if s != 429 && (s < 500 || s > 599) {
			f.add("%s.retry.statuses[%d]: want 429, or 500 to 599, not %d", key, i, s)
		}
	}
	if r.Money && len(r.Retry.Statuses) > 0 {
		f.add("%s.retry.statuses: a request that moves money is never sent again after an answer", key)
	}
	f.duration(key+".retry.backoff", r.Retry.Backoff, 0, time.Minute)
	if f.duration(key+".retry.hedge", r.Retry.Hedge, 0, maxTimeout); r.Retry.Hedge > 0 && r.Retry.Attempts == 0 {
		f.add("%s.retry.hedge: it is an attempt, and attempts is 0", key)
	}
	r.checkKey(f, key)
	r.Request.check(f, key+".request")
	r.Response.check(f, key+".response")
	r.Fault.check(f, key+".fault")
	f.within(key+".mirror.percent", int64(r.Mirror.Percent), 0, 100)
	if _, ok := clusters[r.Mirror.Cluster]; r.Mirror.Cluster != "" && !ok {
		f.add("%s.mirror.cluster: no cluster %q", key, r.Mirror.Cluster)
	}
	f.within(key+".rate.per_second", int64(r.Rate.PerSecond), 0, 1_000_000)
	f.within(key+".rate.burst", int64(r.Rate.Burst), 0, 1_000_000)
	for i, p := range r.Upgrade {
		if !isToken(p) || strings.EqualFold(p, "h2c") {
			f.add("%s.upgrade[%d]: want a protocol such as websocket, not %q", key, i, p)
		}
	}
}

func (m *Match) check(f *faults, key string) {
	for i, h := range m.Hosts {
		name := strings.TrimPrefix(h, "*.")
		if name == "" || strings.ContainsAny(name, "*/: ") || name != strings.ToLower(name) {
			f.add("%s.hosts[%d]: want a name in lower case without port, or *.NAME, not %q", key, i, h)
		}
	}
	for k, p := range map[string]string{"path": m.Path, "prefix": m.Prefix} {
		if p != "" && !strings.HasPrefix(p, "/") {
			f.add("%s.%s: want / first, not %q", key, k, p)
		}
	}
	if m.Path != "" && m.Prefix != "" {
		f.add("%s.prefix: not beside path", key)
	}
	f.regex(key+".regex", m.Regex)
	for i, name := range m.Methods {
		if !isToken(name) {
			f.add("%s.methods[%d]: want a method such as POST, not %q", key, i, name)
		}
	}
	for i, h := range m.Headers {
		if !isToken(h.Name) || h.Is != "" && h.Prefix != "" {
			f.add("%s.headers[%d]: want a name, and at most one of is and prefix", key, i)
		}
		f.regex(fmt.Sprintf("%s.headers[%d].regex", key, i), h.Regex)
	}
}

func (c *Fields) check(f *faults, key string) {
	name := func(at, n string) {
		switch k := h1.Lookup([]byte(n)); {
		case !isToken(n):
			f.add("%s: want a header field's name, not %q", at, n)
		case k != h1.Other && k != h1.Authorization && k != h1.Cookie:
			f.add("%s: %s is the proxy's own business", at, n)
		}
	}
	for i, n := range c.Remove {
		name(fmt.Sprintf("%s.remove[%d]", key, i), n)
	}
	for at, values := range map[string]map[string]string{key + ".set": c.Set, key + ".add": c.Add} {
		for n, v := range values {
			name(at, n)
			if strings.ContainsFunc(v, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) || v != strings.TrimSpace(v) {
				f.add("%s: %s: control characters or outer spaces in the value", at, n)
			}
		}
	}
}

func (t *Fault) check(f *faults, key string) {
	f.within(key+".abort_percent", int64(t.AbortPercent), 0, 100)
	f.within(key+".delay_percent", int64(t.DelayPercent), 0, 100)
	f.duration(key+".delay", t.Delay, 0, time.Minute)
	if t.AbortPercent > 0 {
		f.within(key+".abort_status", int64(t.AbortStatus), 400, 599)
	}
}

// isToken tells whether s is a token as RFC 9110 defines it.
func isToken(s string) bool {
	for i := range len(s) {
		c := s[i]
		if (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && !strings.ContainsRune("!#$%&'*+-.^_`|~", rune(c)) {
			return false
		}
	}
	return s != ""
}
