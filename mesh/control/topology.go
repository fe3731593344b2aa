package control

import (
	"cmp"
	"slices"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/sterlingrun/sterling/mesh"
	cellv1 "github.com/sterlingrun/sterling/proto/gen/sterling/cell/v1"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

// Topology tells who calls whom and how the data planes are, as they reported last; of the one named detailed, with all
// its clusters and routes. The caller owns it.
func (p *Plane) Topology(detailed string) *ledgerv1.GetTopologyResponse {
	out := &ledgerv1.GetTopologyResponse{Domain: p.Authority.domain, Timestamp: p.Clock.Wall()}
	p.mu.Lock()
	current := p.current
	p.mu.Unlock()
	if current != nil {
		out.Generation = current.number
		out.Services = servicesOf(current.snapshot)
	}
	nodes, _ := p.Nodes()
	p.reports.mu.Lock()
	defer p.reports.mu.Unlock()
	now := p.Clock.Mono()
	edges := edges{}
	for i, n := range nodes {
		if i > 0 && nodes[i-1].Name == n.Name { // another channel of the same program
			last := out.Nodes[len(out.Nodes)-1]
			last.Generation, last.Refusal = min(last.Generation, n.Generation), cmp.Or(last.Refusal, n.Refusal)
			continue
		}
		one := &ledgerv1.MeshNode{Name: n.Name, Kind: n.Kind.String(), Generation: n.Generation, Refusal: n.Refusal}
		if r := p.reports.nodes[n.Name]; r != nil && !r.silent(now) {
			one.Reports, one.CertificateUntil = true, r.last.GetCertificateUntil()
			one.Clusters = clustersOf(r.last, n.Name == detailed)
			if n.Name == detailed {
				one.Routes = routesOf(r.last)
			}
			if current != nil {
				edges.add(current.snapshot, r, one)
			}
		}
		out.Nodes = append(out.Nodes, one)
	}
	out.Edges = edges.told()
	return out
}

func servicesOf(s *mesh.Snapshot) []*ledgerv1.MeshServiceState {
	var out []*ledgerv1.MeshServiceState
	for i := range s.Services {
		plan := &s.Services[i]
		one := &ledgerv1.MeshServiceState{Name: plan.Name, Protocol: string(plan.Protocol), Holds: string(plan.Holds), Backends: uint32(len(plan.Backends))} //nolint:gosec // small
		for _, b := range plan.Backends {
			one.Cells = append(one.Cells, b.Cell)
		}
		slices.Sort(one.Cells)
		one.Cells = slices.Compact(one.Cells)
		out = append(out, one)
	}
	return out
}

func clustersOf(r *cellv1.ReportRequest, all bool) []*ledgerv1.MeshClusterState {
	var out []*ledgerv1.MeshClusterState
	for _, k := range r.GetClusters() {
		if !all && k.GetEjected() == 0 {
			continue
		}
		out = append(out, &ledgerv1.MeshClusterState{
			Name: printable(k.GetName()), Endpoints: k.GetEndpoints(), Ejected: k.GetEjected(), InFlight: k.GetInFlight(), Most: k.GetMost(), Refused: k.GetRefused(), Shed: k.GetShed(),
		})
	}
	return out
}

func routesOf(r *cellv1.ReportRequest) []*ledgerv1.MeshRouteState {
	var out []*ledgerv1.MeshRouteState
	for _, one := range r.GetRoutes() {
		out = append(out, &ledgerv1.MeshRouteState{Name: printable(one.GetName()), Requests: one.GetRequests(), Failures: one.GetFailures(), Retries: one.GetRetries()})
	}
	return out
}

// edges are the calls by who called whom.
type edges map[edge]*edgeCalls

type edge struct{ caller, service string }

// edgeCalls are the same calls as seen from both ends.
type edgeCalls struct{ caller, service rated }

// rated are calls, with how many of them there are in a second. Data planes' windows differ in length, so what each of
// them tells becomes a rate by itself.
type rated struct {
	calls    mesh.Calls // for quantiles
	requests float64
	failed   float64
	failures [mesh.Failures]float64
}

func (r *rated) add(c *mesh.Calls, seconds float64) {
	r.calls.Add(c)
	r.requests += float64(c.Requests()) / seconds
	r.failed += float64(c.Failed()) / seconds
	for i := range c.Failures {
		r.failures[i] += float64(c.Failures[i]) / seconds
	}
}

// add takes a data plane's calls over, and their sums into its own state. Services that are no longer there have no edges.
func (e edges) add(s *mesh.Snapshot, r *nodeReport, state *ledgerv1.MeshNode) {
	seconds := r.seconds()
	if seconds == 0 {
		return
	}
	id, err := parseNode(state.GetName())
	if err != nil {
		return // it could not have reported
	}
	for end, w := range r.windows {
		calls := w.lately()
		state.RequestsPerSecond += float64(calls.Requests()) / seconds
		state.FailuresPerSecond += float64(calls.Failed()) / seconds
		at := edge{callerOf(s, end.name), id.Service}
		if end.outbound {
			if s.Plan(end.name) == nil {
				continue
			}
			at = edge{id.Service, end.name}
		}
		if e[at] == nil {
			e[at] = &edgeCalls{}
		}
		side := &e[at].service
		if end.outbound {
			side = &e[at].caller
		}
		side.add(&calls, seconds)
	}
}

// otherCaller is who called of whom there is no more to tell, as data planes call those that are too many.
const otherCaller = "other"

// callerOf is how people call a caller: by its service, or its SPIFFE id where it is of another trust domain; "" is
// nobody. A data plane may name whom it likes, and these names are read by people and label metrics: who can't be is other.
func callerOf(s *mesh.Snapshot, spiffe string) string {
	if spiffe == "" {
		return ""
	}
	id, err := spiffeid.FromString(spiffe)
	if err != nil {
		return otherCaller
	}
	own := func(i mesh.Identity) bool {
		return spiffe == mesh.ID{Domain: s.Domain, Cell: i.Cell, Service: i.Service}.String()
	}
	if i := slices.IndexFunc(s.Identities, own); i >= 0 {
		return s.Identities[i].Service
	}
	if slices.ContainsFunc(s.Trust, func(t mesh.Trust) bool { return t.Domain == id.TrustDomain().Name() }) {
		return spiffe
	}
	return otherCaller
}

func (e edges) told() []*ledgerv1.MeshEdge {
	var out []*ledgerv1.MeshEdge
	for at, both := range e {
		side := both.caller
		if side.requests == 0 {
			side = both.service
		}
		// What the service's data plane refuses is an answer to the caller's.
		side.failures[mesh.Refused] = max(side.failures[mesh.Refused], both.service.failures[mesh.Refused])
		one := &ledgerv1.MeshEdge{
			Caller: at.caller, Service: at.service, RequestsPerSecond: side.requests, FailuresPerSecond: side.failed,
			P50Seconds: side.calls.Quantile(0.5).Seconds(), P99Seconds: side.calls.Quantile(0.99).Seconds(),
		}
		for kind, rate := range side.failures {
			if rate > 0 {
				one.Failures = append(one.Failures, &ledgerv1.MeshFailures{Kind: ledgerv1.MeshFailure(kind + 1), PerSecond: rate})
			}
		}
		out = append(out, one)
	}
	slices.SortFunc(out, func(a, b *ledgerv1.MeshEdge) int {
		return cmp.Or(cmp.Compare(a.GetCaller(), b.GetCaller()), cmp.Compare(a.GetService(), b.GetService()))
	})
	return out
}
