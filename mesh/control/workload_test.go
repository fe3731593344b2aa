package control_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/spiffebundle"
	"github.com/spiffe/go-spiffe/v2/proto/spiffe/workload"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"
	"github.com/spiffe/go-spiffe/v2/workloadapi"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/sterlingrun/sterling/clock"
	"github.com/sterlingrun/sterling/mesh/control"
)

// watcher takes what go-spiffe's client gets.
type watcher struct {
	got  chan *workloadapi.X509Context
	errs chan error
}

func (w watcher) OnX509ContextUpdate(x *workloadapi.X509Context) { w.got <- x }

func (w watcher) OnX509ContextWatchError(err error) {
	select {
	case w.errs <- err:
	default:
	}
}

func (r *rig) watch() watcher {
	w := watcher{make(chan *workloadapi.X509Context, 64), make(chan error, 64)}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = workloadapi.WatchX509Context(ctx, w, workloadapi.WithAddr("unix://"+r.socket)) // the watcher has its errors
	}()
	r.t.Cleanup(func() { cancel(); <-done })
	return w
}

func TestWorkloadAPI(t *testing.T) {
	clk := fakeNow(-40 * time.Minute)
	r := newRig(t, clk)
	other := newRig(t, clk)
	other.apply(config("127.0.0.1:1"))
	foreign := spiffebundle.FromX509Authorities(spiffeid.RequireTrustDomainFromString("other.example"), other.authority.Roots())
	bundle, err := foreign.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	trust := "\n---\napiVersion: mesh.sterling.run/v1\nkind: Trust\nmetadata: {name: other}\n" +
		"spec: {domain: other.example, bundle: '" + string(bundle) + "'}\n"
	r.apply(config("127.0.0.1:1") + trust)
	w := r.watch()
	first := await(t, w.got, "identities")
	if len(first.SVIDs) != 3 || first.SVIDs[0].ID.String() != id("api").String() {
		t.Fatalf("got %v", first.SVIDs)
	}
	if _, _, err := x509svid.Verify(first.SVIDs[0].Certificates, first.Bundles); err != nil {
		t.Errorf("a peer can't verify it: %v", err)
	}
	if b, ok := first.Bundles.Get(foreign.TrustDomain()); !ok || !b.HasX509Authority(other.authority.Roots()[0]) {
		t.Error("the foreign trust domain's roots are missing")
	}

	// A rotation: at half-life, with a new key.
	waitTimer(t, clk)
	clk.Advance(29 * time.Minute)
	select {
	case <-w.got:
		t.Error("rotated before half-life")
	default:
	}
	clk.Advance(2 * time.Minute)
	second := await(t, w.got, "a rotation")
	if second.SVIDs[0].Certificates[0].Equal(first.SVIDs[0].Certificates[0]) || second.SVIDs[0].ID != first.SVIDs[0].ID {
		t.Error("the same certificate again")
	}
	if _, _, err := x509svid.Verify(second.SVIDs[0].Certificates, first.Bundles); err != nil {
		t.Errorf("a peer that has not rotated can't verify it: %v", err)
	}

	// An identity that is taken away ends the stream; another configuration with the same identities does not.
	r.apply(config("127.0.0.1:2") + trust)
	r.apply(strings.ReplaceAll(config("127.0.0.1:2"), "uid: ", "uid: 1"))
	if err := await(t, w.errs, "refusal"); status.Code(err) != codes.PermissionDenied {
		t.Errorf("without an identity: %v", err)
	}
	if len(w.got) != 0 {
		t.Error("a change of routes brought new certificates")
	}
}

// waitTimer waits until somebody waits for a fake clock.
func waitTimer(t *testing.T, clk *clock.Fake) {
	t.Helper()
	for end := time.Now().Add(patience); clk.Waiting() == 0; {
		if time.Now().After(end) {
			t.Fatal("nobody waits for the clock")
		}
	}
}

// call makes a bare call of the Workload API.
func call(t testing.TB, target string, creds credentials.TransportCredentials, header ...string) codes.Code {
	t.Helper()
	conn, err := grpc.NewClient(target, grpc.WithTransportCredentials(creds))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(metadata.AppendToOutgoingContext(t.Context(), header...), patience)
	defer cancel()
	stream, err := workload.NewSpiffeWorkloadAPIClient(conn).FetchX509SVID(ctx, &workload.X509SVIDRequest{})
	if err == nil {
		_, err = stream.Recv()
	}
	return status.Code(err)
}

// TestWorkloadAPIFailsClosed: whoever the kernel does not vouch for gets nothing.
func TestWorkloadAPIFailsClosed(t *testing.T) {
	r := newRig(t, clock.NewSystem())
	header := []string{"workload.spiffe.io", "true"}
	unix := "unix://" + r.socket
	if got := call(t, unix, insecure.NewCredentials(), header...); got != codes.Unavailable {
		t.Errorf("before there is a configuration: %s", got)
	}
	for what, change := range map[string]func(string) string{
		"another user":    func(s string) string { return strings.ReplaceAll(s, "uid: ", "uid: 1") },
		"another group":   func(s string) string { return strings.ReplaceAll(s, "unix: {", "unix: {gid: 54321, ") },
		"another process": func(s string) string { return strings.ReplaceAll(s, "unix: {", "unix: {pid: 1, ") },
	} {
		r.apply(change(config("127.0.0.1:1")))
		if got := call(t, unix, insecure.NewCredentials(), header...); got != codes.PermissionDenied {
			t.Errorf("%s: %s", what, got)
		}
	}
	r.apply(config("127.0.0.1:1"))
	if got := call(t, unix, insecure.NewCredentials()); got != codes.InvalidArgument {
		t.Errorf("without the header, which keeps confused proxies out: %s", got)
	}
	if got := call(t, unix, insecure.NewCredentials(), header...); got != codes.OK {
		t.Errorf("who may: %s", got)
	}

	// A certificate of the mesh is no way to another one.
	l := listen(t)
	server := grpc.NewServer(grpc.Creds(credentials.NewTLS(r.authority.ServerTLS(id("ledger"), "127.0.0.1"))))
	r.plane.Register(server)
	t.Cleanup(background(t, server, l))
	svid, err := r.authority.Issue(t.Context(), id("api"))
	if err != nil {
		t.Fatal(err)
	}
	pool := poolOf(r.authority.Roots())
	withCert := credentials.NewTLS(&tls.Config{RootCAs: pool, Certificates: []tls.Certificate{svid.TLS()}, MinVersion: tls.VersionTLS13})
	if got := call(t, l.Addr().String(), withCert, header...); got != codes.PermissionDenied {
		t.Errorf("with a certificate: %s", got)
	}
	if got := call(t, l.Addr().String(), credentials.NewTLS(&tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS13}), header...); got != codes.Unavailable {
		t.Errorf("without a certificate: %s", got)
	}

	// Credentials for Unix sockets on a TCP one: no connection.
	tcp := listen(t)
	plain := grpc.NewServer(grpc.Creds(control.UnixCredentials()))
	r.plane.Register(plain)
	t.Cleanup(background(t, plain, tcp))
	if got := call(t, tcp.Addr().String(), insecure.NewCredentials(), header...); got != codes.Unavailable {
		t.Errorf("by TCP: %s", got)
	}
}

func TestKeptFilesAreTheOwnersOnly(t *testing.T) {
	r := newRig(t, clock.NewSystem())
	r.apply(config("127.0.0.1:1"))
	folder, _ := r.certificates("api")
	for _, name := range []string{control.CertificateFile, control.KeyFile, control.RootsFile, control.BundlesFile} {
		if info, err := os.Stat(folder + "/" + name); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func poolOf(roots []*x509.Certificate) *x509.CertPool {
	pool := x509.NewCertPool()
	for _, root := range roots {
		pool.AddCert(root)
	}
	return pool
}
