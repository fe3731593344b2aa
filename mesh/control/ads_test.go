package control_test

import (
	"context"
	"crypto/tls"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	cluster "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listener "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	route "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	hcm "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	secretservice "github.com/envoyproxy/go-control-plane/envoy/service/secret/v3"
	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/sterlingrun/sterling/clock"
	"github.com/sterlingrun/sterling/mesh"
	"github.com/sterlingrun/sterling/mesh/control"
)

const (
	listeners = "type.googleapis.com/envoy.config.listener.v3.Listener"
	clusters  = "type.googleapis.com/envoy.config.cluster.v3.Cluster"
	endpoints = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment"
	routes    = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration"
	secrets   = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"
)

// dataPlane is a client of ADS that answers as a test wants.
type dataPlane struct {
	t      testing.TB
	node   *core.Node
	stream interface {
		Send(*discovery.DiscoveryRequest) error
		Recv() (*discovery.DiscoveryResponse, error)
	}
	got  chan *discovery.DiscoveryResponse
	err  error // once got is closed
	last *discovery.DiscoveryResponse
}

func (r *rig) conn() *grpc.ClientConn {
	r.t.Helper()
	conn, err := grpc.NewClient("unix://"+r.socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { conn.Close() })
	return conn
}

// connect opens an ADS stream. It gives up when the test ends, or with close.
func (r *rig) connect(nodeID, agent string) (*dataPlane, context.CancelFunc) {
	r.t.Helper()
	ctx, cancel := context.WithCancel(r.t.Context())
	stream, err := discovery.NewAggregatedDiscoveryServiceClient(r.conn()).StreamAggregatedResources(ctx)
	if err != nil {
		r.t.Fatal(err)
	}
	d := &dataPlane{t: r.t, stream: stream, node: &core.Node{Id: nodeID, UserAgentName: agent}}
	d.receive()
	return d, cancel
}

func (d *dataPlane) receive() {
	d.got = make(chan *discovery.DiscoveryResponse, 256)
	go func() {
		defer close(d.got)
		for {
			response, err := d.stream.Recv()
			if err != nil {
				d.err = err
				return
			}
			d.got <- response
		}
	}()
}

func (d *dataPlane) ask(typeURL string, names ...string) {
	d.t.Helper()
	if err := d.stream.Send(&discovery.DiscoveryRequest{Node: d.node, TypeUrl: typeURL, ResourceNames: names}); err != nil {
		d.t.Fatal(err)
	}
}

// next returns the next response.
func (d *dataPlane) next() *discovery.DiscoveryResponse {
	d.t.Helper()
	d.last = await(d.t, d.got, "response")
	if d.last == nil {
		d.t.Fatalf("the stream ended: %v", d.err)
	}
	return d.last
}

// answer accepts the last response, or refuses it for a reason.
func (d *dataPlane) answer(reason string, names ...string) {
	d.t.Helper()
	request := &discovery.DiscoveryRequest{TypeUrl: d.last.TypeUrl, ResponseNonce: d.last.Nonce, VersionInfo: d.last.VersionInfo, ResourceNames: names}
	if reason != "" {
		request.VersionInfo, request.ErrorDetail = "", &rpcstatus.Status{Message: reason}
	}
	if err := d.stream.Send(request); err != nil {
		d.t.Fatal(err)
	}
}

// ended returns why the stream ended.
func (d *dataPlane) ended() codes.Code {
	d.t.Helper()
	for range d.got {
		continue // what was on its way
	}
	return status.Code(d.err)
}

func node(service, instance string) string { return id(service).String() + "#" + instance }

func TestADSFailsClosed(t *testing.T) {
	r := newRig(t, clock.NewSystem())
	early, _ := r.connect(node("api", "1"), "")
	early.ask(listeners, "ledger")
	if got := early.ended(); got != codes.Unavailable {
		t.Errorf("before there is a configuration: %s", got)
	}
	r.apply(config("127.0.0.1:1"))
	for _, c := range []struct {
		node, typeURL string
		want          codes.Code
	}{
		{"", listeners, codes.InvalidArgument},
		{id("api").String(), listeners, codes.InvalidArgument},
		{id("api").String() + "#a b", listeners, codes.InvalidArgument},
		{node("nobody", "1"), listeners, codes.PermissionDenied},
		{"spiffe://other.example/cell/c1/svc/api#1", listeners, codes.PermissionDenied},
		{node("api", "1"), "", codes.InvalidArgument},
		{node("api", "1"), "type.googleapis.com/google.protobuf.Any", codes.InvalidArgument},
	} {
		d, _ := r.connect(c.node, "")
		d.ask(c.typeURL, "ledger")
		if got := d.ended(); got != c.want {
			t.Errorf("%q asks for %q: %s, want %s", c.node, c.typeURL, got, c.want)
		}
	}
	many, _ := r.connect(node("api", "1"), "")
	many.ask(listeners, slices.Repeat([]string{"x"}, 1<<14+1)...)
	if got := many.ended(); got != codes.InvalidArgument {
		t.Errorf("too many names: %s", got)
	}

	// Who loses its identity loses its stream.
	d, _ := r.connect(node("api", "1"), "")
	d.ask(listeners, "ledger")
	d.next()
	r.apply(strings.ReplaceAll(config("127.0.0.1:1"), "uid: ", "uid: 1"))
	if got := d.ended(); got != codes.PermissionDenied {
		t.Errorf("without its identity: %s", got)
	}
}

// TestADSSends what was asked for, says what is not there, and nothing twice.
func TestADSSends(t *testing.T) {
	r := newRig(t, clock.NewSystem())
	r.apply(config("127.0.0.1:1"))
	d, _ := r.connect(node("api", "1"), "")
	d.ask(clusters, "ledger", "nothing")
	if got := d.next(); len(got.Resources) != 1 || got.TypeUrl != clusters {
		t.Errorf("%d resources of %s", len(got.Resources), got.TypeUrl)
	}
	d.answer("", "ledger")
	d.ask(endpoints, "nothing")
	if got := d.next(); got.TypeUrl != endpoints || len(got.Resources) != 0 {
		t.Errorf("%d resources of %s", len(got.Resources), got.TypeUrl)
	}
	d.answer("", "nothing")
	r.apply(config("127.0.0.1:1", allowAPI)) // nothing that it asked for changes
	r.apply(config("127.0.0.1:2") + object("Service", "other", "{backends: []}"))
	d.ask(routes, "ledger")
	if got := d.next(); got.TypeUrl != routes {
		t.Errorf("got %s, which it has", got.TypeUrl)
	}

	// An answer to what was not sent last says nothing about what was.
	d.last.Nonce = "7"
	d.answer("an old grudge", "ledger", "and-more")
	d.last.Nonce = "3"
	d.answer("", "ledger")
	d.ask(listeners, "ledger")
	if got := d.next(); got.TypeUrl != listeners {
		t.Errorf("got %s, for an answer to what was not sent last", got.TypeUrl)
	}
	if nodes, _ := r.plane.Nodes(); nodes[0].Refusal != "" {
		t.Errorf("it counts as refusing: %s", nodes[0].Refusal)
	}
}

// TestOrderAndGrace: clusters come before the routes that lead to them, and stay while routes may still do.
func TestOrderAndGrace(t *testing.T) {
	r := newRig(t, clock.NewSystem())
	base := config("127.0.0.1:1")
	to := func(service string) string {
		return object("Service", service, "{backends: [{cell: c1, address: '127.0.0.1:2'}]}") +
			object("GRPCRoute", "r", "{parentRefs: [{name: ledger}], rules: [{backendRefs: [{name: "+service+"}]}]}")
	}
	r.apply(base + to("old"))
	d, _ := r.connect(node("api", "1"), "envoy")
	d.ask(routes)
	d.next()
	d.answer("")
	d.ask(clusters)
	d.next()
	d.answer("")
	done := make(chan error, 1)
	go func() { done <- r.plane.Apply(t.Context(), "mesh.yaml", []byte(base+to("new"))) }()
	names := func(response *discovery.DiscoveryResponse) string {
		var all strings.Builder
		for _, body := range response.Resources {
			all.Write(body.Value)
		}
		return all.String()
	}
	first := d.next()
	d.answer("")
	if got := names(first); first.TypeUrl != clusters || !strings.Contains(got, "new") || !strings.Contains(got, "old") {
		t.Errorf("first came %s", first.TypeUrl)
	}
	if second := d.next(); second.TypeUrl != routes {
		t.Errorf("then came %s", second.TypeUrl)
	}
	d.answer("")
	if err := await(t, done, "end of the rollout"); err != nil {
		t.Fatal(err)
	}
	go func() { done <- r.plane.Apply(t.Context(), "mesh.yaml", []byte(base+to("new")+allowAPI)) }()
	if third := d.next(); third.TypeUrl != clusters || strings.Contains(names(third), "old") {
		t.Errorf("the old cluster is still there")
	}
	d.answer("")
	if err := await(t, done, "end of the rollout"); err != nil {
		t.Fatal(err)
	}
}

// TestSecrets: a data plane gets its own certificate and no other, renewed at half-life.
func TestSecrets(t *testing.T) {
	clk := fakeNow(-40 * time.Minute)
	r := newRig(t, clk)
	r.apply(config("127.0.0.1:1"))
	d, _ := r.connect(node("api", "1"), "envoy")
	d.ask(secrets, "identity", "trust", node("ledger", "1"))
	serial := func(response *discovery.DiscoveryResponse) string {
		t.Helper()
		if len(response.Resources) != 2 {
			t.Fatalf("%d secrets", len(response.Resources))
		}
		for _, body := range response.Resources {
			secret := &tlsv3.Secret{}
			if err := errors.Join(body.UnmarshalTo(secret), secret.ValidateAll()); err != nil {
				t.Fatal(err)
			}
			if pair := secret.GetTlsCertificate(); pair != nil {
				cert, err := tls.X509KeyPair(pair.CertificateChain.GetInlineBytes(), pair.PrivateKey.GetInlineBytes())
				if err != nil || cert.Leaf.URIs[0].String() != id("api").String() {
					t.Fatalf("%v, %v", cert.Leaf.URIs, err)
				}
				return cert.Leaf.SerialNumber.String()
			}
		}
		t.Fatal("no certificate")
		return ""
	}
	first := serial(d.next())
	d.answer("", "identity", "trust", node("ledger", "1"))
	waitTimer(t, clk)
	clk.Advance(31 * time.Minute)
	if second := serial(d.next()); second == first {
		t.Error("the same certificate again")
	}

	stream, err := secretservice.NewSecretDiscoveryServiceClient(r.conn()).StreamSecrets(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	sds := &dataPlane{t: t, stream: stream, node: d.node}
	sds.receive()
	sds.ask(secrets, "identity", "trust")
	serial(sds.next())
	sds.ask(listeners)
	if got := sds.ended(); got != codes.InvalidArgument {
		t.Errorf("listeners by SDS: %s", got)
	}
}

// TestEnvoy: a sidecar's configuration, judged by the rules of Envoy's own API and complete in itself.
func TestEnvoy(t *testing.T) {
	r := newRig(t, clock.NewSystem())
	text := config("127.0.0.1:1", allowAPI) +
		object("Service", "web", "{protocol: http, port: 8001, backends: [{cell: c1, address: '127.0.0.1:2', app: '127.0.0.1:3'}]}") +
		object("Service", "db", "{protocol: tcp, port: 8002, holds: database, backends: [{cell: c1, address: '127.0.0.1:4', app: '127.0.0.1:5'}]}") +
		object("Service", "rpc", "{protocol: bolt, port: 8003, backends: [{cell: c1, address: '127.0.0.1:6', app: '127.0.0.1:7'}]}") +
		object("Identity", "web", "{service: web, cell: c1, unix: {uid: "+uid()+"}}") +
		object("Identity", "db", "{service: db, cell: c1, unix: {uid: "+uid()+"}}") +
		object("Authorization", "db", "{service: db, allow: [{from: [{service: web}]}]}") +
		object("Shedding", "web", "{service: web, classes: [{priority: settle, methods: [/settle/*]}], critical: [{service: api}]}") +
		object("HTTPRoute", "web", `{parentRefs: [{name: web}], rules: [{matches: [{path: {value: /a}}], retry: {attempts: 2}, timeouts: {request: 1s, backendRequest: 500ms},
    filters: [{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: x-a, value: b}], remove: [x-c]}}, {type: RequestMirror, requestMirror: {backendRef: {name: web}, percent: 5}}],
    backendRefs: [{name: web}]}]}`)
	r.apply(text) // which validates everything for every identity and kind
	for _, c := range []struct {
		service string
		want    []string
	}{
		{"web", []string{"db", "sterling/inbound/127.0.0.1:2", "web"}},
		{"db", []string{"db", "sterling/inbound/127.0.0.1:4", "web"}},
		{"api", []string{"db", "web"}},
	} {
		d, _ := r.connect(node(c.service, "1"), "envoy")
		d.ask(listeners)
		var names []string
		for _, body := range d.next().Resources {
			l := &listener.Listener{}
			if err := errors.Join(body.UnmarshalTo(l), l.ValidateAll()); err != nil {
				t.Error(err)
			}
			names = append(names, l.Name)
			if l.Address == nil || !strings.HasPrefix(l.Address.GetSocketAddress().GetAddress(), "127.") {
				t.Errorf("%s listens at %v", l.Name, l.Address)
			}
			for _, m := range managers(t, l) {
				if !m.GetUseRemoteAddress().GetValue() || m.GetInternalAddressConfig() == nil || !m.GetMergeSlashes() || !m.GetNormalizePath().GetValue() {
					t.Errorf("%s heeds what a client says about retries, or two spellings of a path", l.Name)
				}
			}
			for _, chain := range l.FilterChains {
				if inbound := strings.HasPrefix(l.Name, "sterling/inbound/"); inbound != (chain.TransportSocket != nil) {
					t.Errorf("%s: mTLS %t", l.Name, chain.TransportSocket != nil)
				}
			}
		}
		if slices.Sort(names); !slices.Equal(names, c.want) {
			t.Errorf("%s listens as %q, want %q", c.service, names, c.want)
		}
	}
}

// managers are the parts of a listener that speak HTTP.
func managers(t *testing.T, l *listener.Listener) []*hcm.HttpConnectionManager {
	t.Helper()
	var out []*hcm.HttpConnectionManager
	for _, chain := range l.FilterChains {
		for _, f := range chain.Filters {
			m := &hcm.HttpConnectionManager{}
			if f.GetTypedConfig().MessageIs(m) {
				if err := f.GetTypedConfig().UnmarshalTo(m); err != nil {
					t.Fatal(err)
				}
				out = append(out, m)
			}
		}
	}
	return out
}

// TestEnvoyIsComplete: every cluster that a route of a sidecar leads to is there, with its endpoints.
func TestEnvoyIsComplete(t *testing.T) {
	r := newRig(t, clock.NewSystem())
	r.apply(config("127.0.0.1:1", allowAPI) +
		object("Service", "web", "{protocol: http, sharded: true, backends: [{cell: c1, address: '127.0.0.1:2', app: '127.0.0.1:3'}]}") +
		object("Identity", "web", "{service: web, cell: c1, unix: {uid: "+uid()+"}}"))
	d, _ := r.connect(node("web", "1"), "envoy")
	d.ask(clusters)
	there := map[string]bool{}
	var names []string
	for _, body := range d.next().Resources {
		c := &cluster.Cluster{}
		if err := errors.Join(body.UnmarshalTo(c), c.ValidateAll()); err != nil {
			t.Error(err)
		}
		there[c.Name] = true
		if c.GetType() == cluster.Cluster_EDS {
			names = append(names, c.Name)
		}
	}
	d.answer("")
	d.ask(endpoints, names...)
	if got := d.next(); len(got.Resources) != len(names) || len(names) < 2 {
		t.Errorf("endpoints of %d clusters, of %q", len(got.Resources), names)
	}
	d.answer("", names...)
	d.ask(routes)
	leads := 0
	for _, body := range d.next().Resources {
		rc := &route.RouteConfiguration{}
		if err := errors.Join(body.UnmarshalTo(rc), rc.ValidateAll()); err != nil {
			t.Error(err)
		}
		for _, one := range rc.VirtualHosts[0].Routes {
			to := []string{one.GetRoute().GetCluster()}
			for _, w := range one.GetRoute().GetWeightedClusters().GetClusters() {
				to = append(to, w.Name)
			}
			for _, name := range to {
				if name != "" && !there[name] {
					t.Errorf("%s leads to %s, which is not there", rc.Name, name)
				}
				leads += min(len(name), 1)
			}
		}
	}
	if leads < 3 {
		t.Errorf("only %d routes lead anywhere", leads)
	}
}

// TestADSByTLS: across machines the certificate says who a data plane is.
func TestADSByTLS(t *testing.T) {
	r := newRig(t, clock.NewSystem())
	r.apply(config("127.0.0.1:1"))
	l := listen(t)
	server := grpc.NewServer(grpc.Creds(credentials.NewTLS(r.authority.ServerTLS(id("ledger"), "127.0.0.1"))))
	r.plane.Register(server)
	t.Cleanup(background(t, server, l))
	stranger := newRig(t, clock.NewSystem())
	for _, c := range []struct {
		authority *control.Authority
		who       string
		node      string
		typeURL   string
		want      codes.Code
	}{
		{r.authority, "api", node("api", "1"), listeners, codes.OK},
		{r.authority, "api", node("api", "1"), secrets, codes.PermissionDenied}, // or a stolen certificate would live for ever
		{r.authority, "api", node("ledger", "1"), listeners, codes.PermissionDenied},
		{r.authority, "gone", node("gone", "1"), listeners, codes.PermissionDenied}, // a certificate that outlived its identity
		{stranger.authority, "api", node("api", "1"), listeners, codes.Unavailable},
	} {
		svid, err := c.authority.Issue(t.Context(), id(c.who))
		if err != nil {
			t.Fatal(err)
		}
		conn, err := grpc.NewClient(l.Addr().String(), grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{
			RootCAs: poolOf(r.authority.Roots()), Certificates: []tls.Certificate{svid.TLS()}, MinVersion: tls.VersionTLS13,
		})))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		stream, err := discovery.NewAggregatedDiscoveryServiceClient(conn).StreamAggregatedResources(t.Context())
		if err == nil {
			_ = stream.Send(&discovery.DiscoveryRequest{Node: &core.Node{Id: c.node}, TypeUrl: c.typeURL, ResourceNames: []string{"ledger"}})
			_, err = stream.Recv()
		}
		if got := status.Code(err); got != c.want {
			t.Errorf("as %s: %v, want %s", c.node, err, c.want)
		}
	}
}

// subscribed connects a data plane that has the first configuration.
func (r *rig) subscribed(name string) (*dataPlane, context.CancelFunc) {
	r.t.Helper()
	d, cancel := r.connect(name, "")
	d.ask(routes, "ledger", "inbound/ledger")
	d.next()
	d.answer("", "ledger", "inbound/ledger")
	eventually(r.t, "settled", func() bool {
		nodes, generation := r.plane.Nodes()
		return slices.ContainsFunc(nodes, func(n control.Node) bool { return n.Name == name && n.Generation == generation })
	})
	return d, cancel
}

func (r *rig) rollout(text string) chan error {
	done := make(chan error, 1)
	go func() { done <- r.plane.Apply(r.t.Context(), "mesh.yaml", []byte(text)) }()
	return done
}

const slow = "\n---\napiVersion: gateway.networking.k8s.io/v1\nkind: GRPCRoute\nmetadata: {name: r}\n" +
	"spec: {parentRefs: [{name: ledger}], rules: [{timeouts: {request: 7s}, backendRefs: [{name: ledger}]}]}\n"

func TestFirstNodeRefuses(t *testing.T) {
	r := newRig(t, clock.NewSystem())
	r.apply(config("127.0.0.1:1"))
	a, _ := r.subscribed(node("api", "a"))
	b, _ := r.subscribed(node("api", "b"))
	before := a.last.VersionInfo
	done := r.rollout(config("127.0.0.1:1") + slow)
	a.next()
	a.answer("routes I\x1bdo not like", "ledger", "inbound/ledger") // nothing for a terminal
	err := await(t, done, "verdict")
	if !errors.Is(err, control.ErrRolledBack) || !strings.Contains(err.Error(), "routes I do not like") || !strings.Contains(err.Error(), node("api", "a")) {
		t.Errorf("got %v", err)
	}
	if got := a.next(); got.VersionInfo != before {
		t.Error("the first node did not get its old routes back")
	}
	a.answer("", "ledger", "inbound/ledger")

	// The other one saw nothing of it: what comes next is the next configuration.
	done = r.rollout(config("127.0.0.1:1") + strings.ReplaceAll(slow, "7s", "8s"))
	a.next()
	if len(b.got) != 0 {
		t.Error("the second node got something before the first one agreed")
	}
	a.answer("", "ledger", "inbound/ledger")
	want := a.last.VersionInfo
	if got := b.next(); got.VersionInfo != want {
		t.Error("the second node got something else than the first")
	}
	b.answer("", "ledger", "inbound/ledger")
	if err := await(t, done, "verdict"); err != nil {
		t.Error(err)
	}
}

func TestSecondNodeRefuses(t *testing.T) {
	r := newRig(t, clock.NewSystem())
	r.apply(config("127.0.0.1:1"))
	a, _ := r.subscribed(node("api", "a"))
	b, _ := r.subscribed(node("api", "b"))
	before := a.last.VersionInfo
	done := r.rollout(config("127.0.0.1:1") + slow)
	a.next()
	a.answer("", "ledger", "inbound/ledger")
	b.next()
	b.answer("not I", "ledger", "inbound/ledger")
	if err := await(t, done, "verdict"); !errors.Is(err, control.ErrRolledBack) || !strings.Contains(err.Error(), "not I") {
		t.Errorf("got %v", err)
	}
	if a.next().VersionInfo != before || b.next().VersionInfo != before {
		t.Error("not everybody got the old routes back")
	}
}

// TestRefusedIsNotSentAgain: a data plane that refuses is not asked the same in a loop.
func TestRefusedIsNotSentAgain(t *testing.T) {
	r := newRig(t, clock.NewSystem())
	r.apply(config("127.0.0.1:1"))
	d, _ := r.connect(node("api", "a"), "")
	d.ask(routes, "ledger")
	d.next()
	d.answer("never", "ledger")
	d.ask(clusters, "ledger")
	if got := d.next(); got.TypeUrl != clusters {
		t.Errorf("got %s again", got.TypeUrl)
	}
	d.answer("", "ledger")
	eventually(t, "known as refusing", func() bool { nodes, _ := r.plane.Nodes(); return strings.Contains(nodes[0].Refusal, "never") })
	// That it refused an older configuration does not stop one that changes something else.
	done := r.rollout(config("127.0.0.1:2"))
	if err := await(t, done, "verdict"); err != nil {
		t.Error(err)
	}
}

func TestFirstNodeGoesAway(t *testing.T) {
	r := newRig(t, clock.NewSystem())
	r.apply(config("127.0.0.1:1"))
	a, die := r.subscribed(node("api", "a"))
	done := r.rollout(config("127.0.0.1:1") + slow)
	a.next()
	die()
	if err := await(t, done, "verdict"); !errors.Is(err, control.ErrRolledBack) || !strings.Contains(err.Error(), "went away") {
		t.Errorf("got %v", err)
	}
}

func TestSilentFirstNode(t *testing.T) {
	clk := fakeNow(0)
	r := newRig(t, clk)
	r.apply(config("127.0.0.1:1"))
	a, _ := r.subscribed(node("api", "a"))
	done := r.rollout(config("127.0.0.1:1") + slow)
	a.next()
	waitTimer(t, clk)
	clk.Advance(11 * time.Second)
	if err := await(t, done, "verdict"); !errors.Is(err, control.ErrRolledBack) {
		t.Errorf("got %v", err)
	}
}

// TestBadConfigChangesNothing: what can't be used is refused with the reason before anybody gets it.
func TestBadConfigChangesNothing(t *testing.T) {
	r := newRig(t, clock.NewSystem())
	r.apply(config("127.0.0.1:1"))
	a, _ := r.subscribed(node("api", "a"))
	_, before := r.plane.Nodes()
	for _, bad := range []string{
		"x", object("Service", "s", "{port: 0}"), object("Trust", "t", "{domain: other.example, bundle: '{}'}"),
		object("Trust", "t", "{domain: other.example, bundle: garbage}"),
	} {
		if err := r.plane.Apply(t.Context(), "mesh.yaml", []byte(config("127.0.0.1:1")+bad)); !errors.Is(err, mesh.ErrConfig) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if _, after := r.plane.Nodes(); after != before || len(a.got) != 0 {
		t.Error("something changed")
	}
}
