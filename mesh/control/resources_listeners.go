package control

import (
	"net/netip"
	"slices"

	cluster "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpoint "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listener "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	route "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	router "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	hcm "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	netrbac "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/rbac/v3"
	tcpproxy "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/tcp_proxy/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	upstreamhttp "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/sterlingrun/sterling/mesh"
)

// InboundListener is the name of the listener resource of a proxyless server, as its bootstrap's template makes it.
func InboundListener(address netip.AddrPort) string { return inboundPrefix + address.String() }

const inboundPrefix = "sterling/inbound/"

// loopback is where sidecars offer services to the programs beside them, and nowhere else.
const loopback = "127.0.0.1"

// outbound is a service as its callers find it.
func (b *builder) outbound(plan *mesh.Plan) {
	if plan.Protocol == mesh.TCP {
		if plan.Port != 0 {
			b.add(listenerType, plan.Name, &listener.Listener{
				Name: plan.Name, Address: socketAddress(loopback, plan.Port),
				FilterChains: []*listener.FilterChain{{Filters: []*listener.Filter{b.forward(plan.Name)}}},
			})
		}
		return
	}
	b.add(routeType, plan.Name, b.routes(plan))
	manager := b.manager(plan.Name, plan.Name, b.rules())
	switch {
	case b.kind == Proxyless:
		b.add(listenerType, plan.Name, &listener.Listener{Name: plan.Name, ApiListener: &listener.ApiListener{ApiListener: b.any(manager)}})
	case plan.Port != 0:
		b.add(listenerType, plan.Name, &listener.Listener{
			Name: plan.Name, Address: socketAddress(loopback, plan.Port),
			FilterChains: []*listener.FilterChain{{Filters: []*listener.Filter{filter("http", b.any(manager))}}},
		})
	}
}

// inbound is the node's own service as it serves: a listener for every backend in its cell. An Envoy answers only for
// backends with a program behind it, which it finds at App; a proxyless server only for those without.
func (b *builder) inbound(plan *mesh.Plan) {
	routes := "inbound/" + plan.Name
	for _, backend := range plan.Backends {
		if backend.Cell != b.id.Cell || backend.App.IsValid() != (b.kind == Envoy) {
			continue
		}
		name := InboundListener(backend.Address)
		chain := &listener.FilterChain{TransportSocket: b.downstreamTLS()}
		app := "app/" + backend.App.String()
		if b.kind == Envoy {
			b.add(clusterType, app, b.appCluster(app, plan.Protocol, backend.App))
		}
		if plan.Protocol == mesh.TCP {
			allow := &netrbac.RBAC{StatPrefix: routes, Rules: allowRules(plan.Inbound)}
			chain.Filters = []*listener.Filter{filter(authorizeFilter, b.any(allow)), b.forward(app)}
		} else {
			if b.kind == Envoy {
				routes = "inbound/" + plan.Name + "/" + backend.App.String()
			}
			b.add(routeType, routes, b.inboundRoutes(routes, app, plan))
			chain.Filters = []*listener.Filter{filter("http", b.any(b.manager(routes, routes, b.guards())))}
		}
		b.add(listenerType, name, &listener.Listener{
			Name: name, Address: socketAddress(backend.Address.Addr().String(), backend.Address.Port()),
			FilterChains: []*listener.FilterChain{chain}, TrafficDirection: core.TrafficDirection_INBOUND,
		})
	}
}

func (b *builder) inboundRoutes(name, app string, plan *mesh.Plan) *route.RouteConfiguration {
	r := &route.Route{
		Match:  &route.RouteMatch{PathSpecifier: &route.RouteMatch_Prefix{}},
		Action: &route.Route_NonForwardingAction{NonForwardingAction: &route.NonForwardingAction{}},
	}
	if b.kind == Envoy {
		r.Action = &route.Route_Route{Route: &route.RouteAction{
			ClusterSpecifier: &route.RouteAction_Cluster{Cluster: app}, Timeout: durationpb.New(0), // the caller's counts
		}}
	}
	return &route.RouteConfiguration{Name: name, VirtualHosts: []*route.VirtualHost{{
		Name: plan.Name, Domains: []string{"*"}, Routes: []*route.Route{r},
		TypedPerFilterConfig: b.policies(plan), Metadata: b.metadata(plan),
	}}}
}

func (b *builder) guards() []*hcm.HttpFilter {
	shadow, authorize := closed()
	return []*hcm.HttpFilter{httpFilter(shadowFilter, b.any(shadow)), httpFilter(authorizeFilter, b.any(authorize))}
}

func httpFilter(name string, config *anypb.Any) *hcm.HttpFilter {
	return &hcm.HttpFilter{Name: name, ConfigType: &hcm.HttpFilter_TypedConfig{TypedConfig: config}}
}

func filter(name string, config *anypb.Any) *listener.Filter {
	return &listener.Filter{Name: name, ConfigType: &listener.Filter_TypedConfig{TypedConfig: config}}
}

func (b *builder) manager(stat, routes string, filters []*hcm.HttpFilter) *hcm.HttpConnectionManager {
	m := &hcm.HttpConnectionManager{
		StatPrefix:     stat,
		RouteSpecifier: &hcm.HttpConnectionManager_Rds{Rds: &hcm.Rds{RouteConfigName: routes, ConfigSource: adsSource()}},
		HttpFilters:    append(filters, httpFilter("router", b.any(&router.Router{}))),
	}
	if b.kind == Envoy {
		// Paths are compared with policies: two spellings of one must not be two.
		m.NormalizePath, m.MergeSlashes = wrapperspb.Bool(true), true
		m.PathWithEscapedSlashesAction = hcm.HttpConnectionManager_REJECT_REQUEST
		m.CommonHttpProtocolOptions = &core.HttpProtocolOptions{HeadersWithUnderscoresAction: core.HttpProtocolOptions_REJECT_REQUEST}
		// Nobody counts as internal, whose x-envoy-* headers could ask for retries that the routes do not allow.
		m.UseRemoteAddress = wrapperspb.Bool(true)
		m.InternalAddressConfig = &hcm.HttpConnectionManager_InternalAddressConfig{}
		m.ForwardClientCertDetails = hcm.HttpConnectionManager_SANITIZE
	}
	return m
}

// forward passes bytes to a cluster.
func (b *builder) forward(to string) *listener.Filter {
	return filter("tcp", b.any(&tcpproxy.TcpProxy{StatPrefix: to, ClusterSpecifier: &tcpproxy.TcpProxy_Cluster{Cluster: to}}))
}

// appCluster is the program beside an Envoy, in plain.
func (b *builder) appCluster(name string, protocol mesh.Protocol, address netip.AddrPort) *cluster.Cluster {
	c := &cluster.Cluster{
		Name: name, ClusterDiscoveryType: &cluster.Cluster_Type{Type: cluster.Cluster_STATIC}, ConnectTimeout: durationpb.New(1e9),
		LoadAssignment: &endpoint.ClusterLoadAssignment{ClusterName: name, Endpoints: []*endpoint.LocalityLbEndpoints{{
			LbEndpoints: []*endpoint.LbEndpoint{{HostIdentifier: &endpoint.LbEndpoint_Endpoint{
				Endpoint: &endpoint.Endpoint{Address: socketAddress(address.Addr().String(), address.Port())},
			}}},
		}}},
	}
	if protocol == mesh.GRPC {
		c.TypedExtensionProtocolOptions = b.http2Upstream()
	}
	return c
}

func (b *builder) http2Upstream() map[string]*anypb.Any {
	options := &upstreamhttp.HttpProtocolOptions{
		UpstreamProtocolOptions: &upstreamhttp.HttpProtocolOptions_ExplicitHttpConfig_{
			ExplicitHttpConfig: &upstreamhttp.HttpProtocolOptions_ExplicitHttpConfig{
				ProtocolConfig: &upstreamhttp.HttpProtocolOptions_ExplicitHttpConfig_Http2ProtocolOptions{
					Http2ProtocolOptions: &core.Http2ProtocolOptions{},
				},
			},
		},
	}
	return map[string]*anypb.Any{"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": b.any(options)}
}

// upstreamTLS is how callers connect to a service: with their certificate, and to nobody but it.
func (b *builder) upstreamTLS(service string, cells []string) *core.TransportSocket {
	slices.Sort(cells)
	common := &tlsv3.CommonTlsContext{AlpnProtocols: []string{"h2"}}
	ids := make([]string, len(cells))
	for i, cell := range cells {
		ids[i] = mesh.ID{Domain: b.snapshot.Domain, Cell: cell, Service: service}.String()
	}
	if len(ids) == 0 {
		ids = []string{mesh.ID{Domain: b.snapshot.Domain, Service: service}.String()} // nobody's: no matcher would be anybody
	}
	if b.kind == Proxyless {
		validation := providerValidation()
		for _, id := range ids {
			validation.MatchSubjectAltNames = append(validation.MatchSubjectAltNames, exactly(id)) //nolint:staticcheck // gRPC knows only this
		}
		common.TlsCertificateProviderInstance = provider()
		common.ValidationContextType = &tlsv3.CommonTlsContext_ValidationContext{ValidationContext: validation}
		common.AlpnProtocols = nil // gRPC offers h2 by itself
	} else {
		validation := &tlsv3.CertificateValidationContext{}
		for _, id := range ids {
			validation.MatchTypedSubjectAltNames = append(validation.MatchTypedSubjectAltNames, &tlsv3.SubjectAltNameMatcher{
				SanType: tlsv3.SubjectAltNameMatcher_URI, Matcher: exactly(id),
			})
		}
		if b.snapshot.Plan(service).Protocol == mesh.HTTP {
			common.AlpnProtocols = []string{"http/1.1"}
		}
		envoyTLS(common, validation)
	}
	return tlsSocket(b.any(&tlsv3.UpstreamTlsContext{CommonTlsContext: common}))
}

func (b *builder) downstreamTLS() *core.TransportSocket {
	common := &tlsv3.CommonTlsContext{}
	if b.kind == Proxyless {
		common.TlsCertificateProviderInstance = provider()
		common.ValidationContextType = &tlsv3.CommonTlsContext_ValidationContext{ValidationContext: providerValidation()}
	} else {
		common.AlpnProtocols = []string{"h2", "http/1.1"}
		envoyTLS(common, &tlsv3.CertificateValidationContext{})
	}
	return tlsSocket(b.any(&tlsv3.DownstreamTlsContext{CommonTlsContext: common, RequireClientCertificate: wrapperspb.Bool(true)}))
}

func provider() *tlsv3.CertificateProviderPluginInstance {
	return &tlsv3.CertificateProviderPluginInstance{InstanceName: ProviderName, CertificateName: "default"}
}

func providerValidation() *tlsv3.CertificateValidationContext {
	return &tlsv3.CertificateValidationContext{CaCertificateProviderInstance: &tlsv3.CertificateProviderPluginInstance{
		InstanceName: ProviderName, CertificateName: "ROOT",
	}}
}

// envoyTLS refers to the secrets of SDS, and asks for TLS 1.3.
func envoyTLS(common *tlsv3.CommonTlsContext, validation *tlsv3.CertificateValidationContext) {
	common.TlsParams = &tlsv3.TlsParameters{TlsMinimumProtocolVersion: tlsv3.TlsParameters_TLSv1_3}
	common.TlsCertificateSdsSecretConfigs = []*tlsv3.SdsSecretConfig{{Name: identityName, SdsConfig: adsSource()}}
	common.ValidationContextType = &tlsv3.CommonTlsContext_CombinedValidationContext{
		CombinedValidationContext: &tlsv3.CommonTlsContext_CombinedCertificateValidationContext{
			DefaultValidationContext:         validation,
			ValidationContextSdsSecretConfig: &tlsv3.SdsSecretConfig{Name: trustName, SdsConfig: adsSource()},
		},
	}
}
