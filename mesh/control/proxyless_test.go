package control_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/sterlingrun/sterling/clock"
	"github.com/sterlingrun/sterling/mesh"
)

// object is an object of ours, or a route, as a document of its own.
func object(kind, name, spec string) string {
	version := "mesh.sterling.run/v1"
	if strings.HasSuffix(kind, "Route") {
		version = "gateway.networking.k8s.io/v1"
	}
	return fmt.Sprintf("\n---\napiVersion: %s\nkind: %s\nmetadata: {name: %s}\nspec: %s\n", version, kind, name, spec)
}

func TestProxylessClientAndServer(t *testing.T) {
	r := newRig(t, clock.NewSystem())
	l := listen(t)
	r.apply(config(l.Addr().String(), allowAPI))
	r.serve("ledger", l, accepted)
	if got := check(t, r.dial("api", "ledger")); got != codes.OK {
		t.Errorf("the api: %s", got)
	}
	if got := check(t, r.dial("intruder", "ledger")); got != codes.PermissionDenied {
		t.Errorf("the intruder: %s", got)
	}
}

// TestNobodyMayCallUnlessAllowed: a service without an authorization, and methods that none names.
func TestNobodyMayCallUnlessAllowed(t *testing.T) {
	r := newRig(t, clock.NewSystem())
	l := listen(t)
	r.apply(config(l.Addr().String()))
	r.serve("ledger", l, accepted)
	client := r.dial("api", "ledger")
	if got := check(t, client); got != codes.PermissionDenied {
		t.Errorf("without an authorization: %s", got)
	}
	for to, want := range map[string]codes.Code{
		"/grpc.health.v1.Health/Check": codes.OK, "/grpc.health.v1.Health/Watch": codes.PermissionDenied, "/grpc.health.v1.Health/*": codes.OK,
	} {
		r.apply(config(l.Addr().String(), object("Authorization", "a", "{service: ledger, allow: [{from: [{service: api, cell: c1}], to: ["+to+"]}]}")))
		eventually(t, "to "+to, func() bool { return check(t, client) == want })
	}
}

// TestServerMustBeWhoItIsTakenFor: a workload of the mesh that answers at the ledger's address is not the ledger.
func TestServerMustBeWhoItIsTakenFor(t *testing.T) {
	r := newRig(t, clock.NewSystem())
	l := listen(t)
	mallory := strings.Replace(config(l.Addr().String()), "metadata: {name: ledger}", "metadata: {name: intruder}", 1) +
		object("Authorization", "a", "{service: intruder, allow: [{from: [{service: api}]}]}")
	r.apply(mallory)
	r.serve("intruder", l, accepted)
	if got := check(t, r.dial("api", "intruder")); got != codes.OK {
		t.Fatalf("by its own name: %s", got)
	}
	r.apply(mallory + object("Service", "ledger", "{backends: [{cell: c1, address: '"+l.Addr().String()+"'}]}"))
	if got := check(t, r.dial("api", "ledger")); got != codes.Unavailable {
		t.Errorf("as the ledger: %s", got)
	}
}

// TestPolicyReachesOpenConnections: with the next call, and without a new connection.
func TestPolicyReachesOpenConnections(t *testing.T) {
	r := newRig(t, clock.NewSystem())
	l := listen(t)
	var from atomic.Value
	r.apply(config(l.Addr().String(), allowAPI))
	r.serve("ledger", l, func(ctx context.Context) error {
		p, _ := peer.FromContext(ctx)
		from.Store(p.Addr.String())
		return nil
	})
	client := r.dial("api", "ledger")
	if got := check(t, client); got != codes.OK {
		t.Fatal(got)
	}
	connection := from.Load()
	r.apply(config(l.Addr().String()))
	eventually(t, "refused", func() bool { return check(t, client) == codes.PermissionDenied })
	r.apply(config(l.Addr().String(), allowAPI))
	eventually(t, "allowed", func() bool { return check(t, client) == codes.OK })
	if from.Load() != connection {
		t.Errorf("by %v, before by %v", from.Load(), connection)
	}
}

func eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !is(); {
		if time.Now().After(end) {
			t.Fatalf("not %s within %s", what, patience)
		}
	}
}

// TestRetriesAreSafeForMoney: the same failing server, the same route; only the call with a key comes again, with the key.
func TestRetriesAreSafeForMoney(t *testing.T) {
	r := newRig(t, clock.NewSystem())
	l := listen(t)
	route := object("GRPCRoute", "r", "{parentRefs: [{name: ledger}], rules: [{retry: {attempts: 2, backoff: 1ms}, backendRefs: [{name: ledger}]}]}")
	r.apply(config(l.Addr().String(), allowAPI, route))
	var calls atomic.Int32
	keys := make(chan []string, 16)
	r.serve("ledger", l, func(ctx context.Context) error {
		keys <- metadata.ValueFromIncomingContext(ctx, mesh.HeaderKey)
		if calls.Add(1) < 3 {
			return status.Error(codes.Unavailable, "not now")
		}
		return nil
	})
	client := r.dial("api", "ledger")
	if got := check(t, client); got != codes.Unavailable || calls.Load() != 1 {
		t.Errorf("without a key: %s after %d calls", got, calls.Load())
	}
	<-keys
	calls.Store(0)
	if got := check(t, client, mesh.HeaderKey, "k-1"); got != codes.OK || calls.Load() != 3 {
		t.Errorf("with a key: %s after %d calls", got, calls.Load())
	}
	for range 3 {
		if got := <-keys; !slices.Equal(got, []string{"k-1"}) {
			t.Errorf("the key became %q", got)
		}
	}
}

// TestShadowStaysOutOfTheLedger: marked calls go to the shadow; the ledger refuses them even from a client that asks it
// directly, and the shadow refuses all others.
func TestShadowStaysOutOfTheLedger(t *testing.T) {
	r := newRig(t, clock.NewSystem())
	l, s := listen(t), listen(t)
	twin := object("Service", "twin", "{holds: ledger, backends: [{cell: c1, address: '"+s.Addr().String()+"'}]}") +
		object("Identity", "twin", strings.Replace("{service: twin, cell: c1, unix: {uid: UID}}", "UID", uid(), 1)) +
		object("Authorization", "twin", "{service: twin, allow: [{from: [{service: api}, {service: intruder}]}]}") +
		object("Authorization", "ledger", "{service: ledger, allow: [{from: [{service: api}, {service: intruder}]}]}")
	shadow := object("Shadow", "s", "{mark: [{service: api}], targets: [{service: ledger, shadow: twin}]}")
	r.apply(config(l.Addr().String(), twin, shadow))
	var real, shadowed atomic.Int32
	r.serve("ledger", l, func(context.Context) error { real.Add(1); return nil })
	r.serve("twin", s, func(context.Context) error { shadowed.Add(1); return nil })
	api, intruder, direct := r.dial("api", "ledger"), r.dial("intruder", "ledger"), r.dial("api", "twin")
	if got := check(t, api, mesh.HeaderShadow, "1"); got != codes.OK || real.Load() != 0 || shadowed.Load() != 1 {
		t.Errorf("marked: %s, %d real and %d shadowed", got, real.Load(), shadowed.Load())
	}
	if got := check(t, api); got != codes.OK || real.Load() != 1 {
		t.Errorf("not marked: %s", got)
	}
	if got := check(t, intruder, mesh.HeaderShadow, "1"); got != codes.PermissionDenied {
		t.Errorf("marked by one who may not: %s", got)
	}
	if got := check(t, direct); got != codes.PermissionDenied {
		t.Errorf("a real call to the shadow: %s", got)
	}

	// The ledger itself refuses what a client's routes would never have sent to it, even from one who may mark.
	bare := r.bypass("api", l.Addr().String())
	if got := check(t, bare, mesh.HeaderShadow, "1"); got != codes.PermissionDenied {
		t.Errorf("marked, past the mesh: %s", got)
	}
	if got := check(t, bare); got != codes.OK {
		t.Errorf("not marked, past the mesh: %s", got)
	}

	// Without a shadow, the client refuses.
	r.apply(config(l.Addr().String(), twin))
	eventually(t, "refused by the client", func() bool { return check(t, api, mesh.HeaderShadow, "1") == codes.Unavailable })
	if got := check(t, bare, mesh.HeaderShadow, "1"); got != codes.PermissionDenied {
		t.Errorf("marked, past the mesh, without a shadow: %s", got)
	}
	if real.Load() != 2 || shadowed.Load() != 1 {
		t.Errorf("%d real and %d shadowed", real.Load(), shadowed.Load())
	}
}

func TestBucketsGoToTheirCell(t *testing.T) {
	r := newRig(t, clock.NewSystem())
	l, s := listen(t), listen(t)
	text := strings.ReplaceAll(config(l.Addr().String(), allowAPI), `buckets: ["0-7"]}`, `buckets: ["0-3"]}, {name: c2, region: r1, zone: z2, buckets: ["4-7"]}`)
	text = strings.Replace(text, "  holds: ledger", "  sharded: true\n  holds: ledger", 1)
	text = strings.Replace(text, "  backends: [", "  backends: [{cell: c2, address: '"+s.Addr().String()+"'}, ", 1)
	text += object("Identity", "ledger2", "{service: ledger, cell: c2, unix: {uid: "+uid()+"}}")
	r.apply(text)
	cells := make(chan string, 16)
	r.serve("ledger", l, func(context.Context) error { cells <- "c1"; return nil })
	r.serveAs(mesh.ID{Domain: domain, Cell: "c2", Service: "ledger"}, s, func(context.Context) error { cells <- "c2"; return nil })
	client := r.dial("api", "ledger")
	for bucket, want := range map[string]string{"0": "c1", "3": "c1", "4": "c2", "7": "c2"} {
		if got := check(t, client, mesh.HeaderBucket, bucket); got != codes.OK {
			t.Fatalf("bucket %s: %s", bucket, got)
		}
		if got := <-cells; got != want {
			t.Errorf("bucket %s went to %s", bucket, got)
		}
	}
	if got := check(t, client); got != codes.Unavailable {
		t.Errorf("without a bucket: %s", got)
	}
}

// TestOutlierIsEjected: of two backends one fails always; soon no call meets it.
func TestOutlierIsEjected(t *testing.T) {
	r := newRig(t, clock.NewSystem())
	good, bad := listen(t), listen(t)
	text := strings.Replace(config(good.Addr().String(), allowAPI), "  backends: [",
		"  ejection: {failurePercent: 50, requests: 5, interval: 50ms, time: 1h, maxPercent: 50}\n  backends: [{cell: c1, address: '"+bad.Addr().String()+"'}, ", 1)
	r.apply(text)
	r.serve("ledger", good, accepted)
	r.serve("ledger", bad, func(context.Context) error { return status.Error(codes.Internal, "broken") })
	client := r.dial("api", "ledger")
	failed := false
	row := 0
	eventually(t, "ejected", func() bool {
		_, err := client.Check(t.Context(), &healthpb.HealthCheckRequest{})
		failed = failed || err != nil
		if row++; err != nil {
			row = 0
		}
		return failed && row >= 100
	})
}

// TestDataPlanesOutliveTheControlPlane: it is dead for longer than a rotation; calls and new connections go on. Then it
// comes back with the same root, and certificates rotate without a failed call.
func TestDataPlanesOutliveTheControlPlane(t *testing.T) {
	clk := fakeNow(-35 * time.Minute) // certificates end in 25 minutes
	r := newRig(t, clk)
	l := &cutter{Listener: listen(t)}
	text := config(l.Addr().String(), allowAPI)
	r.apply(text)
	r.serve("ledger", l, accepted)
	client := r.dial("api", "ledger")
	if got := check(t, client); got != codes.OK {
		t.Fatal(got)
	}
	_, updates := r.certificates("api")
	r.stop()
	clk.Advance(35 * time.Minute) // a rotation was due 5 minutes ago
	if got := check(t, client); got != codes.OK {
		t.Errorf("an open connection: %s", got)
	}
	l.cut()
	eventually(t, "connected again", func() bool { return check(t, client) == codes.OK })
	r.restart()
	r.apply(text)
	await(t, updates, "a rotation after the restart")
	eventually(t, "called after the restart", func() bool { return check(t, r.dial("api", "ledger")) == codes.OK })
	if got := check(t, client); got != codes.OK {
		t.Errorf("the old connection: %s", got)
	}
}

// TestRotationDropsNothing: certificates rotate under calls; none fails, the connection stays, and the next one shows a
// new certificate.
func TestRotationDropsNothing(t *testing.T) {
	clk := fakeNow(-35 * time.Minute)
	r := newRig(t, clk)
	l := &cutter{Listener: listen(t)}
	r.apply(config(l.Addr().String(), allowAPI))
	type caller struct{ address, serial string }
	var last atomic.Value
	r.serve("ledger", l, func(ctx context.Context) error {
		p, _ := peer.FromContext(ctx)
		last.Store(caller{p.Addr.String(), p.AuthInfo.(credentials.TLSInfo).State.PeerCertificates[0].SerialNumber.String()})
		return nil
	})
	client := r.dial("api", "ledger")
	if got := check(t, client); got != codes.OK {
		t.Fatal(got)
	}
	first := last.Load().(caller)
	_, updates := r.certificates("api")
	waitTimer(t, clk)
	clk.Advance(31 * time.Minute)
	for rotated := false; !rotated; {
		select {
		case <-updates:
			rotated = true
		default:
		}
		if got := check(t, client); got != codes.OK {
			t.Fatalf("while certificates rotate: %s", got)
		}
	}
	if got := last.Load().(caller); got != first {
		t.Errorf("the connection was %v and is %v", first, got)
	}
	eventually(t, "connected with a new certificate", func() bool {
		if check(t, client) != codes.OK {
			return false // between two connections
		}
		if last.Load().(caller).serial != first.serial {
			return true
		}
		l.cut()
		return false
	})
}

// cutter is a listener whose connections can be cut.
type cutter struct {
	net.Listener
	mu    sync.Mutex
	conns []net.Conn
}

func (c *cutter) Accept() (net.Conn, error) {
	conn, err := c.Listener.Accept()
	if err == nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.conns = append(c.conns, conn)
	}
	return conn, err
}

func (c *cutter) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, conn := range c.conns {
		conn.Close()
	}
}

// bypass returns a client that has a workload's certificate and does not heed the mesh's routes.
func (r *rig) bypass(caller, address string) healthpb.HealthClient {
	r.t.Helper()
	svid, err := r.authority.Issue(r.t.Context(), id(caller))
	if err != nil {
		r.t.Fatal(err)
	}
	creds := credentials.NewTLS(&tls.Config{Certificates: []tls.Certificate{svid.TLS()}, InsecureSkipVerify: true})
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(creds))
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { conn.Close() })
	return healthpb.NewHealthClient(conn)
}
