package proxy

import (
	"slices"
	"strings"
)

// family is which protocols the proxy can carry from one to another: HTTP's, or one of the others with itself.
func family(protocol string) string {
	if protocol == ProtocolGRPC {
		return ProtocolHTTP
	}
	return protocol
}

// checkFamily wants the whole way of a route's requests in one family, and of calls nothing that their messages have no
// place for.
func (c *Config) checkFamily(f *faults, key string, r *Route, listeners, clusters map[string]int) {
	way := ProtocolHTTP
	for i, name := range r.Listeners {
		at, ok := listeners[name]
		if !ok {
			continue
		}
		if other := family(c.Listeners[at].Protocol); i > 0 && other != way {
			f.add("%s.listeners[%d]: %q speaks %s, another one %s", key, i, name, other, way)
		} else {
			way = other
		}
	}
	targets := []string{r.Mirror.Cluster}
	for _, b := range r.Backends {
		targets = append(targets, b.Cluster)
	}
	for _, name := range targets {
		at, ok := clusters[name]
		if !ok {
			continue
		}
		k := &c.Clusters[at]
		if family(k.Protocol) != way {
			f.add("%s: %q speaks %s, and the route's listeners %s", key, name, k.Protocol, way)
		}
		if at, ok := clusters[k.Shadow]; ok && family(c.Clusters[at].Protocol) != way {
			f.add("%s: %q, the shadow of %q, speaks %s, and the route's listeners %s", key, k.Shadow, name, c.Clusters[at].Protocol, way)
		}
	}
	if rpcProtocolOf(way) != nil {
		r.checkCalls(f, key)
	}
}

func (r *Route) checkCalls(f *faults, key string) {
	if len(r.Response.Remove)+len(r.Response.Set)+len(r.Response.Add) > 0 {
		f.add("%s.response: answers to calls are passed on as they are", key)
	}
	if len(r.Upgrade) > 0 || r.Connect || len(r.Match.Hosts) > 0 {
		f.add("%s: upgrade, connect and match.hosts are HTTP's", key)
	}
	names := append([]string{}, r.Request.Remove...)
	for _, values := range []map[string]string{r.Request.Set, r.Request.Add} {
		for n := range values {
			names = append(names, n)
		}
	}
	slices.Sort(names)
	for _, n := range names {
		switch low := strings.ToLower(n); {
		case strings.HasPrefix(low, "sofa_head_"), slices.Contains([]string{"service", "path", "interface", "version", "group", "timeout", "_to"}, low):
			f.add("%s.request: %s says where a call goes and how long it may take", key, n)
		}
	}
}
