package node

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/sterlingrun/sterling/clock"
	"github.com/sterlingrun/sterling/mesh"
	"github.com/sterlingrun/sterling/mesh/control"
	"github.com/sterlingrun/sterling/mesh/proxy"
	cellv1 "github.com/sterlingrun/sterling/proto/gen/sterling/cell/v1"
)

const (
	// reportEvery is how often a data plane tells how it is, and reportTime how long that may take: a report that does not
	// arrive is made up for by the next.
	reportEvery = time.Second
	reportTime  = 5 * time.Second
)

// report tells the control plane of the workload's calls, as long as the connection lasts. Requests never wait for it.
func (s *sidecar) report(ctx context.Context, conn *grpc.ClientConn) {
	client := cellv1.NewMeshReportServiceClient(conn)
	for clock.Sleep(ctx, s.node.clock, reportEvery) == nil {
		one, cancel := context.WithTimeout(ctx, reportTime)
		_, err := client.Report(one, s.tell())
		cancel()
		if status.Code(err) == codes.Unimplemented {
			return // an older control plane
		}
		if err != nil {
			s.log.Debug("a report did not arrive", "error", err)
		}
	}
}

// tell makes a report of what was counted so far.
func (s *sidecar) tell() *cellv1.ReportRequest {
	out := &cellv1.ReportRequest{Node: s.name(), Started: uint64(s.started.UnixNano())}
	if m := s.identity.current.Load(); m != nil {
		out.CertificateUntil = uint64(max(m.told.NotAfter.UnixNano(), 0))
	}
	out.Calls = s.tellCalls()
	s.mu.Lock()
	p := s.proxy
	s.mu.Unlock()
	if p == nil {
		return out
	}
	routes, clusters := p.State()
	for _, r := range routes {
		if r.Requests > 0 && len(out.Routes) < control.MaxReported {
			out.Routes = append(out.Routes, &cellv1.MeshRoute{Name: r.Name, Requests: r.Requests, Failures: r.Failures, Retries: r.Retries})
		}
	}
	slices.SortFunc(clusters, func(a, b proxy.ClusterState) int { return strings.Compare(a.Name, b.Name) })
	for _, k := range clusters[:min(len(clusters), control.MaxReported)] {
		out.Clusters = append(out.Clusters, &cellv1.MeshCluster{
			Name: k.Name, Endpoints: small(k.Endpoints), Ejected: small(k.Ejected), InFlight: small(k.InFlight), Most: small(k.Most), Refused: k.BreakerRefused, Shed: k.Shed,
		})
	}
	return out
}

func small(n int) uint32 { return uint32(max(n, 0)) } //nolint:gosec // counts of what a configuration bounds

// tellCalls adds calls up by who is at the other end.
func (s *sidecar) tellCalls() []*cellv1.MeshCalls {
	type end struct {
		peer     string
		outbound bool
	}
	sums := map[end]*mesh.Calls{}
	for _, c := range s.stats.Calls() {
		at := end{c.Caller, !c.Inbound()}
		if at.outbound {
			at.peer, _, _ = strings.Cut(c.Cluster, "@") // a cluster is a service, or a cell's part of one
			if at.peer == "" || at.peer == proxy.OtherParty {
				at.peer = c.Listener
			}
		}
		if sums[at] == nil {
			sums[at] = &mesh.Calls{}
		}
		sums[at].Add(&c.Calls)
	}
	ends := slices.SortedFunc(maps.Keys(sums), func(a, b end) int { // the same ones each time, where they are too many
		return cmp.Or(cmp.Compare(sums[b].Requests(), sums[a].Requests()), cmp.Compare(a.peer, b.peer))
	})
	var out []*cellv1.MeshCalls
	for _, at := range ends[:min(len(ends), control.MaxReported)] {
		out = append(out, &cellv1.MeshCalls{Peer: at.peer, Outbound: at.outbound, Latency: sums[at].Latency[:], Failures: sums[at].Failures[:]})
	}
	return out
}
