package control

import (
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"

	cluster "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpoint "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	matcher "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/sterlingrun/sterling/mesh"
)

// The types of resources, as xDS names them.
const (
	typePrefix   = "type.googleapis.com/"
	secretType   = typePrefix + "envoy.extensions.transport_sockets.tls.v3.Secret"
	clusterType  = typePrefix + "envoy.config.cluster.v3.Cluster"
	endpointType = typePrefix + "envoy.config.endpoint.v3.ClusterLoadAssignment"
	listenerType = typePrefix + "envoy.config.listener.v3.Listener"
	routeType    = typePrefix + "envoy.config.route.v3.RouteConfiguration"
)

// SidecarType is what a node proxy asks for by ADS: one resource, its whole configuration (google.protobuf.BytesValue).
const SidecarType = typePrefix + "google.protobuf.BytesValue"

// pushOrder makes before it breaks: what is referred to comes before what refers to it.
var pushOrder = [...]string{secretType, clusterType, endpointType, listenerType, routeType, SidecarType}

// Kind is what a data plane understands.
type Kind uint8

// The kinds of data planes.
const (
	Proxyless Kind = iota // grpc-go: certificates from its bootstrap's provider
	Envoy                 // listeners and SDS
	Sidecar               // our node proxy: SidecarType; certificates from the Workload API, or by its node's join
)

// String is how people call the kind.
func (k Kind) String() string { return [...]string{"proxyless", "envoy", "sidecar"}[k] }

// resource is an encoded resource and the hash of its bytes.
type resource struct {
	body *anypb.Any
	hash [sha256.Size]byte
}

// resources are all resources of one node, by type and name. Nobody changes them once they are built.
type resources map[string]map[string]resource

// message is a message of Envoy's API, which knows its own rules.
type message interface {
	proto.Message
	ValidateAll() error
}

// builder makes the resources of one identity from a snapshot. The first error stays.
type builder struct {
	snapshot *mesh.Snapshot
	id       mesh.ID
	kind     Kind
	out      resources
	err      error
}

// buildOutbound returns how the services are reached from a cell: the same for all of its nodes of a kind. Errors name the
// resource that breaks a rule of Envoy's API.
func buildOutbound(snapshot *mesh.Snapshot, cell string, kind Kind) (resources, error) {
	b := &builder{snapshot: snapshot, id: mesh.ID{Cell: cell}, kind: kind, out: resources{}}
	for i := range snapshot.Services {
		plan := &snapshot.Services[i]
		if !carries(kind, plan.Protocol) {
			continue
		}
		b.clusters(plan)
		b.outbound(plan)
	}
	return b.out, b.err
}

// carries tells whether data planes of a kind can be told about a service of a protocol: gRPC has no bytes without
// requests, and calls by Bolt and Dubbo are for our own proxy alone.
func carries(kind Kind, p mesh.Protocol) bool {
	return !p.Calls() && (p != mesh.TCP || kind != Proxyless)
}

// buildInbound returns how a node serves its own service.
func buildInbound(snapshot *mesh.Snapshot, id mesh.ID, kind Kind) (resources, error) {
	b := &builder{snapshot: snapshot, id: id, kind: kind, out: resources{}}
	if plan := snapshot.Plan(id.Service); plan != nil && carries(kind, plan.Protocol) {
		b.inbound(plan)
	}
	return b.out, b.err
}

// addMissing adds those of other, of the types named, that are not there.
func (r resources) addMissing(other resources, types ...string) {
	for _, typeURL := range types {
		if r[typeURL] == nil {
			r[typeURL] = make(map[string]resource, len(other[typeURL]))
		}
		for name, one := range other[typeURL] {
			if _, there := r[typeURL][name]; !there {
				r[typeURL][name] = one
			}
		}
	}
}

// any packs a message that is part of another one.
func (b *builder) any(m message) *anypb.Any {
	if err := m.ValidateAll(); err != nil {
		b.err = errors.Join(b.err, err)
	}
	out, err := anypb.New(m)
	b.err = errors.Join(b.err, err)
	return out
}

func (b *builder) add(typeURL, name string, m message) {
	if err := m.ValidateAll(); err != nil {
		b.err = errors.Join(b.err, fmt.Errorf("%s %s: %w", typeURL[strings.LastIndexByte(typeURL, '.')+1:], name, err))
		return
	}
	body, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		b.err = errors.Join(b.err, err)
		return
	}
	if b.out[typeURL] == nil {
		b.out[typeURL] = map[string]resource{}
	}
	b.out[typeURL][name] = resource{&anypb.Any{TypeUrl: typeURL, Value: body}, sha256.Sum256(body)}
}

// clusterName is how routes name a service, or a cell's part of a sharded one.
func clusterName(service, cell string) string {
	if cell == "" {
		return service
	}
	return service + "@" + cell
}

func (b *builder) clusters(plan *mesh.Plan) {
	if !plan.Sharded {
		b.cluster(plan, "", plan.Backends)
		return
	}
	for _, cell := range b.snapshot.Cells.Cells {
		var own []mesh.Backend
		for _, backend := range plan.Backends {
			if backend.Cell == cell.Name {
				own = append(own, backend)
			}
		}
		b.cluster(plan, cell.Name, own)
	}
}

func (b *builder) cluster(plan *mesh.Plan, cell string, backends []mesh.Backend) {
	name := clusterName(plan.Name, cell)
	c := &cluster.Cluster{
		Name:                 name,
		ClusterDiscoveryType: &cluster.Cluster_Type{Type: cluster.Cluster_EDS},
		EdsClusterConfig:     &cluster.Cluster_EdsClusterConfig{EdsConfig: adsSource(), ServiceName: name},
		LbPolicy:             cluster.Cluster_LEAST_REQUEST,
		ConnectTimeout:       durationpb.New(plan.Limits.Connect),
		CircuitBreakers:      breakers(plan.Limits),
		OutlierDetection:     outliers(plan.Ejection),
	}
	if b.kind == Envoy && plan.Protocol == mesh.GRPC {
		c.TypedExtensionProtocolOptions = b.http2Upstream()
	}
	var cells []string
	for _, backend := range backends {
		if !slices.Contains(cells, backend.Cell) {
			cells = append(cells, backend.Cell)
		}
	}
	c.TransportSocket = b.upstreamTLS(plan.Name, cells)
	b.add(clusterType, name, c)
	b.add(endpointType, name, b.endpoints(name, backends))
}

// endpoints groups backends by cell. Those of the caller's own cell come first, then those of its zone, of its region,
// and then the others: a farther group gets requests only while the nearer ones can't take them.
func (b *builder) endpoints(name string, backends []mesh.Backend) *endpoint.ClusterLoadAssignment {
	var own mesh.Cell
	for _, cell := range b.snapshot.Cells.Cells {
		if cell.Name == b.id.Cell {
			own = cell
		}
	}
	out := &endpoint.ClusterLoadAssignment{ClusterName: name}
	for _, cell := range b.snapshot.Cells.Cells {
		group := &endpoint.LocalityLbEndpoints{
			Locality: &core.Locality{Region: cell.Region, Zone: cell.Zone, SubZone: cell.Name}, Priority: distance(own, cell),
		}
		var weight uint32
		for _, backend := range backends {
			if backend.Cell != cell.Name {
				continue
			}
			weight += backend.Weight
			group.LbEndpoints = append(group.LbEndpoints, &endpoint.LbEndpoint{
				HostIdentifier: &endpoint.LbEndpoint_Endpoint{Endpoint: &endpoint.Endpoint{
					Address: socketAddress(backend.Address.Addr().String(), backend.Address.Port()),
				}},
				LoadBalancingWeight: wrapperspb.UInt32(backend.Weight),
			})
		}
		if weight > 0 {
			group.LoadBalancingWeight = wrapperspb.UInt32(weight)
			out.Endpoints = append(out.Endpoints, group)
		}
	}
	// Priorities count from 0 without gaps.
	slices.SortStableFunc(out.Endpoints, func(a, b *endpoint.LocalityLbEndpoints) int { return cmp.Compare(a.Priority, b.Priority) })
	var last, rank uint32
	for i, group := range out.Endpoints {
		if i > 0 && group.Priority != last {
			rank++
		}
		last, group.Priority = group.Priority, rank
	}
	return out
}

func distance(from, to mesh.Cell) uint32 {
	switch {
	case from.Name == to.Name:
		return 0
	case from.Region != to.Region:
		return 3
	case from.Zone != to.Zone:
		return 2
	}
	return 1
}

func adsSource() *core.ConfigSource {
	return &core.ConfigSource{
		ResourceApiVersion:    core.ApiVersion_V3,
		ConfigSourceSpecifier: &core.ConfigSource_Ads{Ads: &core.AggregatedConfigSource{}},
	}
}

func socketAddress(host string, port uint16) *core.Address {
	return &core.Address{Address: &core.Address_SocketAddress{SocketAddress: &core.SocketAddress{
		Address: host, PortSpecifier: &core.SocketAddress_PortValue{PortValue: uint32(port)},
	}}}
}

func exactly(s string) *matcher.StringMatcher {
	return &matcher.StringMatcher{MatchPattern: &matcher.StringMatcher_Exact{Exact: s}}
}

func matching(re string) *matcher.StringMatcher {
	return &matcher.StringMatcher{MatchPattern: &matcher.StringMatcher_SafeRegex{SafeRegex: &matcher.RegexMatcher{Regex: re}}}
}

func percent(n uint32) *core.RuntimeFractionalPercent {
	return &core.RuntimeFractionalPercent{DefaultValue: share(n)}
}
