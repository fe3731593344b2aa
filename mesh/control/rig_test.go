package control_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials/insecure"
	xdscreds "google.golang.org/grpc/credentials/xds"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/xds"

	"github.com/sterlingrun/sterling/clock"
	"github.com/sterlingrun/sterling/mesh"
	"github.com/sterlingrun/sterling/mesh/control"
)

const domain = "bank.example"

// patience is how long a test waits for what takes milliseconds.
const patience = 20 * time.Second

func id(service string) mesh.ID { return mesh.ID{Domain: domain, Cell: "c1", Service: service} }

// rig is a control plane on a Unix socket.
type rig struct {
	t         testing.TB
	clock     clock.Clock
	lifetime  time.Duration // of certificates; 0: an hour
	socket    string
	folder    string // of the root
	authority *control.Authority
	plane     *control.Plane
	upstream  control.Upstream // nil: a root in folder
	stop      func()
}

func newRig(t testing.TB, clk clock.Clock) *rig {
	t.Helper()
	dir, err := os.MkdirTemp("", "mesh") // a socket's path is at most 107 bytes long, which t.TempDir can be past
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	r := &rig{t: t, clock: clk, socket: filepath.Join(dir, "s"), folder: t.TempDir()}
	r.start(control.Options{})
	t.Cleanup(func() { r.stop() })
	return r
}

// start starts a control plane on the rig's folder and socket.
func (r *rig) start(o control.Options) {
	r.t.Helper()
	upstream, err := r.upstream, error(nil)
	if upstream == nil {
		upstream, err = control.OpenRoot(r.folder, domain, r.clock)
	}
	if err != nil {
		r.t.Fatal(err)
	}
	if r.authority, err = control.NewAuthority(r.t.Context(), domain, cmp.Or(r.lifetime, time.Hour), upstream, r.clock); err != nil {
		r.t.Fatal(err)
	}
	o.Authority, o.Clock, o.Log = r.authority, r.clock, slog.New(slog.DiscardHandler)
	r.plane = control.New(o)
	server := grpc.NewServer(grpc.Creds(control.UnixCredentials()))
	r.plane.Register(server)
	l, err := net.Listen("unix", r.socket)
	if err != nil {
		r.t.Fatal(err)
	}
	r.stop = background(r.t, server, l)
}

// background serves until the function it returns is called.
func background(t testing.TB, server *grpc.Server, l net.Listener) func() {
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := server.Serve(l); err != nil && !errors.Is(err, grpc.ErrServerStopped) {
			t.Error(err)
		}
	}()
	return func() { server.Stop(); <-done }
}

func (r *rig) apply(text string) {
	r.t.Helper()
	if err := r.plane.Apply(r.t.Context(), "mesh.yaml", []byte(text)); err != nil {
		r.t.Fatal(err)
	}
}

// restart starts a control plane anew, after stop.
func (r *rig) restart() {
	r.t.Helper()
	r.start(control.Options{})
}

func uid() string { return strconv.Itoa(os.Getuid()) }

// certificates keeps the certificates of a service of this process in a folder, which it returns with a channel that
// tells of each update.
func (r *rig) certificates(service string) (string, <-chan struct{}) {
	return r.certificatesOf(id(service))
}

func (r *rig) certificatesOf(who mesh.ID) (string, <-chan struct{}) {
	r.t.Helper()
	folder := r.t.TempDir()
	updates := make(chan struct{}, 64)
	done := make(chan struct{})
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		defer close(done)
		err := control.KeepFiles(ctx, r.socket, folder, who, slog.New(slog.DiscardHandler), func() { updates <- struct{}{} })
		if err != nil {
			r.t.Error(err)
		}
	}()
	r.t.Cleanup(func() { cancel(); <-done })
	await(r.t, updates, "certificates of "+who.String())
	return folder, updates
}

func (r *rig) bootstrap(who mesh.ID, instance string) []byte {
	r.t.Helper()
	folder, _ := r.certificatesOf(who)
	text, err := control.Bootstrap(r.socket, folder, who.String()+"#"+instance)
	if err != nil {
		r.t.Fatal(err)
	}
	return text
}

// backend is a grpc-go server that gets all its security from the control plane.
type backend struct {
	healthpb.UnimplementedHealthServer
	seen    func(ctx context.Context) error
	serving chan struct{}
}

func (b *backend) Check(ctx context.Context, _ *healthpb.HealthCheckRequest) (*healthpb.HealthCheckResponse, error) {
	return &healthpb.HealthCheckResponse{Status: healthpb.HealthCheckResponse_SERVING}, b.seen(ctx)
}

// serve starts a server of a service at an address that the configuration knows.
func (r *rig) serve(service string, l net.Listener, seen func(ctx context.Context) error) {
	r.t.Helper()
	r.serveAs(id(service), l, seen)
}

func (r *rig) serveAs(who mesh.ID, l net.Listener, seen func(ctx context.Context) error) {
	r.t.Helper()
	creds, err := xdscreds.NewServerCredentials(xdscreds.ServerOptions{FallbackCreds: insecure.NewCredentials()})
	if err != nil {
		r.t.Fatal(err)
	}
	b := &backend{seen: seen, serving: make(chan struct{}, 64)}
	server, err := xds.NewGRPCServer(grpc.Creds(creds), xds.BootstrapContentsForTesting(r.bootstrap(who, "server-"+l.Addr().String()[10:])),
		xds.ServingModeCallback(func(_ net.Addr, args xds.ServingModeChangeArgs) {
			if args.Mode == connectivity.ServingModeServing {
				b.serving <- struct{}{}
			}
		}))
	if err != nil {
		r.t.Fatal(err)
	}
	healthpb.RegisterHealthServer(server, b)
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := server.Serve(l); err != nil && !errors.Is(err, grpc.ErrServerStopped) {
			r.t.Error(err)
		}
	}()
	r.t.Cleanup(func() { server.Stop(); <-done })
	await(r.t, b.serving, "the server of "+who.String())
}

// dial returns a grpc-go client of a service with a caller's identity.
func (r *rig) dial(caller, service string) healthpb.HealthClient {
	r.t.Helper()
	builder, err := xds.NewXDSResolverWithConfigForTesting(r.bootstrap(id(caller), "client"))
	if err != nil {
		r.t.Fatal(err)
	}
	return healthpb.NewHealthClient(r.channel(builder, service))
}

func (r *rig) channel(builder resolver.Builder, service string) *grpc.ClientConn {
	r.t.Helper()
	creds, err := xdscreds.NewClientCredentials(xdscreds.ClientOptions{FallbackCreds: insecure.NewCredentials()})
	if err != nil {
		r.t.Fatal(err)
	}
	conn, err := grpc.NewClient("xds:///"+service, grpc.WithResolvers(builder), grpc.WithTransportCredentials(creds))
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { conn.Close() })
	return conn
}

// check calls and returns the status.
func check(t testing.TB, c healthpb.HealthClient, headers ...string) codes.Code {
	t.Helper()
	ctx, cancel := context.WithTimeout(metadata.AppendToOutgoingContext(t.Context(), headers...), patience)
	defer cancel()
	_, err := c.Check(ctx, &healthpb.HealthCheckRequest{})
	return status.Code(err)
}

func await[T any](t testing.TB, ch <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(patience):
		t.Fatalf("no %s within %s", what, patience)
		panic("unreachable")
	}
}

func listen(t testing.TB) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func accepted(context.Context) error { return nil }

// config is a mesh with a ledger at an address, which the api may call unless deny is set.
func config(address string, more ...string) string {
	text := fmt.Sprintf(`
apiVersion: mesh.sterling.run/v1
kind: Cells
metadata: {name: cells}
spec: {buckets: 8, cells: [{name: c1, region: r1, zone: z1, buckets: ["0-7"]}]}
---
apiVersion: mesh.sterling.run/v1
kind: Service
metadata: {name: ledger}
spec:
  holds: ledger
  money: {methods: [/grpc.health.v1.Health/Check]}
  backends: [{cell: c1, address: "%s"}]
`, address)
	for _, service := range []string{"api", "intruder", "ledger"} {
		text += fmt.Sprintf(`
---
apiVersion: mesh.sterling.run/v1
kind: Identity
metadata: {name: %s}
spec: {service: %s, cell: c1, unix: {uid: %d}}
`, service, service, os.Getuid())
	}
	return text + strings.Join(more, "")
}

const allowAPI = `
---
apiVersion: mesh.sterling.run/v1
kind: Authorization
metadata: {name: ledger}
spec: {service: ledger, allow: [{from: [{service: api}]}]}
`
