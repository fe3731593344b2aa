package control

import (
	"cmp"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	secretservice "github.com/envoyproxy/go-control-plane/envoy/service/secret/v3"
	"github.com/spiffe/go-spiffe/v2/bundle/spiffebundle"
	"github.com/spiffe/go-spiffe/v2/proto/spiffe/workload"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/sterlingrun/sterling/clock"
	"github.com/sterlingrun/sterling/mesh"
	cellv1 "github.com/sterlingrun/sterling/proto/gen/sterling/cell/v1"
)

// Options are what a Plane needs.
type Options struct {
	Authority *Authority
	Clock     clock.Clock
	Log       *slog.Logger
	// Watch is how long the first node that gets a configuration is watched for a rise in failures before the others get
	// it, where it reports any calls. 0: only its own word (ACK or NACK) counts.
	Watch time.Duration
	// Sidecar compiles what the node proxy beside a workload does; nil: there are none. What it refuses is in no
	// configuration.
	Sidecar func(snapshot *mesh.Snapshot, id mesh.ID) ([]byte, error)
}

// Plane is a control plane. Its methods are safe for concurrent use.
type Plane struct {
	discovery.UnimplementedAggregatedDiscoveryServiceServer
	Options

	applying sync.Mutex // held through a rollout; taken before mu

	mu        sync.Mutex
	current   *generation // nil before the first Apply
	candidate *generation // for the node canary only
	canary    string
	dismissed bool   // the canary has no identity in the candidate
	number    uint64 // of the newest generation
	fetched   map[mesh.Trust]*spiffebundle.Bundle
	streams   map[*stream]bool
	present   map[string]int // streams of each node

	changed  signal // there may be something new to send
	progress signal // a stream came, went or settled
	reports  reports
}

// New returns a control plane without a configuration: it answers nobody until the first Apply, so that data planes
// which have one keep it.
func New(o Options) *Plane {
	return &Plane{Options: o, streams: map[*stream]bool{}, present: map[string]int{}, fetched: map[mesh.Trust]*spiffebundle.Bundle{}}
}

// Register offers the plane's services on a gRPC server: ADS, SDS, reports and the SPIFFE Workload API. The server's credentials
// must be UnixCredentials or TLS with Authority.ServerTLS; over TLS, whatever has a key in it is refused.
func (p *Plane) Register(s grpc.ServiceRegistrar) {
	discovery.RegisterAggregatedDiscoveryServiceServer(s, p)
	secretservice.RegisterSecretDiscoveryServiceServer(s, secrets{plane: p})
	workload.RegisterSpiffeWorkloadAPIServer(s, workloadAPI{source: planeSource{p}, clock: p.Clock, again: p.Authority.lifetime / 2})
	cellv1.RegisterMeshReportServiceServer(s, reporting{plane: p})
}

// generation is a configuration with what was derived from it.
type generation struct {
	number   uint64
	snapshot *mesh.Snapshot
	foreign  map[string]*spiffebundle.Bundle
	before   *generation // whose clusters stay, for requests that are on their way; nil for the first
	sidecar  func(snapshot *mesh.Snapshot, id mesh.ID) ([]byte, error)

	mu    sync.Mutex
	built map[view]resources
}

type view struct {
	id   mesh.ID
	kind Kind
}

func newGeneration(number uint64, snapshot *mesh.Snapshot, before *generation) (*generation, error) {
	g := &generation{number: number, snapshot: snapshot, built: map[view]resources{}, foreign: map[string]*spiffebundle.Bundle{}}
	if before != nil {
		g.before = &generation{snapshot: before.snapshot, built: map[view]resources{}}
	}
	for _, t := range snapshot.Trust {
		if _, err := spiffeid.FromString(t.Endpoint.ID); t.Endpoint.ID != "" && err != nil {
			return nil, fmt.Errorf("%w: Trust/%s: endpoint: %w", mesh.ErrConfig, t.Name, err)
		}
		if t.Bundle == "" {
			continue // until one is fetched
		}
		domain, err := spiffeid.TrustDomainFromString(t.Domain)
		if err != nil {
			return nil, fmt.Errorf("%w: Trust/%s: %w", mesh.ErrConfig, t.Name, err)
		}
		bundle, err := spiffebundle.Parse(domain, []byte(t.Bundle))
		if err != nil {
			return nil, fmt.Errorf("%w: Trust/%s: %w", mesh.ErrConfig, t.Name, err)
		}
		if len(bundle.X509Authorities()) == 0 {
			return nil, fmt.Errorf("%w: Trust/%s: no X.509 roots in the bundle", mesh.ErrConfig, t.Name)
		}
		g.foreign[t.Domain] = bundle
	}
	return g, nil
}

// check builds all that anybody would get, so that what breaks Envoy's rules is refused before anybody has it.
func (g *generation) check() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, kind := range []Kind{Proxyless, Envoy} {
		for _, cell := range g.snapshot.Cells.Cells {
			if _, err := g.outbound(cell.Name, kind); err != nil {
				return fmt.Errorf("%w: %w", mesh.ErrConfig, err)
			}
		}
		for _, i := range g.snapshot.Identities {
			id := mesh.ID{Domain: g.snapshot.Domain, Cell: i.Cell, Service: i.Service}
			if _, err := buildInbound(g.snapshot, id, kind); err != nil {
				return fmt.Errorf("%w: %s: %w", mesh.ErrConfig, id, err)
			}
		}
	}
	if g.sidecar == nil {
		return nil
	}
	for _, i := range g.snapshot.Identities {
		id := mesh.ID{Domain: g.snapshot.Domain, Cell: i.Cell, Service: i.Service}
		if _, err := g.sidecar(g.snapshot, id); err != nil {
			return fmt.Errorf("%w: %s: %w", mesh.ErrConfig, id, err)
		}
	}
	return nil
}

// sidecarResources are the configuration of a node proxy. It needs no clusters of the generation before: requests on
// their way keep what they began with.
func (g *generation) sidecarResources(id mesh.ID) (resources, error) {
	if g.sidecar == nil {
		return resources{}, nil
	}
	config, err := g.sidecar(g.snapshot, id)
	if err != nil {
		return nil, err
	}
	body, err := anypb.New(wrapperspb.Bytes(config))
	if err != nil {
		return nil, fmt.Errorf("encode the configuration of %s: %w", id, err)
	}
	return resources{SidecarType: {id.String(): {body, sha256.Sum256(body.GetValue())}}}, nil
}

// outbound returns what all nodes of a kind in a cell have in common. The caller holds g.mu.
func (g *generation) outbound(cell string, kind Kind) (resources, error) {
	common := view{mesh.ID{Cell: cell}, kind}
	if out, ok := g.built[common]; ok {
		return out, nil
	}
	out, err := buildOutbound(g.snapshot, cell, kind)
	if err != nil {
		return nil, err
	}
	g.built[common] = out
	return out, nil
}

// resources returns what a node gets, with the clusters of the generation before that are gone: routes that are still
// in use must find them.
func (g *generation) resources(id mesh.ID, kind Kind) (resources, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if out, ok := g.built[view{id, kind}]; ok {
		return out, nil
	}
	if kind == Sidecar {
		out, err := g.sidecarResources(id)
		if err == nil {
			g.built[view{id, kind}] = out
		}
		return out, err
	}
	common, err := g.outbound(id.Cell, kind)
	if err != nil {
		return nil, err
	}
	out, err := buildInbound(g.snapshot, id, kind)
	if err != nil {
		return nil, err
	}
	out.addMissing(common, clusterType, endpointType, listenerType, routeType)
	if g.before != nil {
		old, err := g.before.resources(id, kind)
		if err != nil {
			return nil, err
		}
		out.addMissing(old, clusterType, endpointType)
	}
	g.built[view{id, kind}] = out
	return out, nil
}

// errNoConfig is before the first Apply.
var errNoConfig = errors.New("no configuration yet")

// view returns the configuration that a node is to have.
func (p *Plane) view(node string) (*generation, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.candidate != nil && node == p.canary && node != "":
		return p.candidate, nil
	case p.current == nil:
		return nil, errNoConfig
	}
	return p.current, nil
}

// trust returns the roots of every trusted domain, the mesh's own among them.
func (p *Plane) trust(g *generation) map[string][]*x509.Certificate {
	out := map[string][]*x509.Certificate{g.snapshot.Domain: p.Authority.Roots()}
	for _, t := range g.snapshot.Trust {
		bundle := p.fetchedOf(t)
		if bundle == nil {
			bundle = g.foreign[t.Domain]
		}
		if bundle != nil { // otherwise nobody of the domain is believed yet
			out[t.Domain] = bundle.X509Authorities()
		}
	}
	return out
}

// Bundle returns the mesh's own trust bundle in SPIFFE's JSON, for others to trust it by.
func (p *Plane) Bundle() ([]byte, error) {
	domain, err := spiffeid.TrustDomainFromString(p.Authority.domain)
	if err != nil {
		return nil, fmt.Errorf("encode the trust bundle: %w", err)
	}
	bundle := spiffebundle.FromX509Authorities(domain, p.Authority.Roots())
	bundle.SetRefreshHint(bundleRefresh)
	return bundle.Marshal()
}

// Node is a data plane's connection to the control plane.
type Node struct {
	Name       string // its identity, "#" and its own name
	Kind       Kind
	Generation uint64 // the newest that it took or refused
	Refusal    string // why it refused; empty if it took it
}

// Nodes returns the connections, by name, and the number of the newest generation that everybody is to have.
func (p *Plane) Nodes() (nodes []Node, generation uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for s := range p.streams {
		nodes = append(nodes, Node{s.node, s.kind, s.settled, s.refusal})
	}
	slices.SortFunc(nodes, func(a, b Node) int { return cmp.Compare(a.Name, b.Name) })
	if p.current != nil {
		generation = p.current.number
	}
	return nodes, generation
}
