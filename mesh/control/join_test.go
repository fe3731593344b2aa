package control_test

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/sterlingrun/sterling/clock"
	"github.com/sterlingrun/sterling/mesh"
	"github.com/sterlingrun/sterling/mesh/control"
)

// gate is a rig that other machines reach.
type gate struct {
	*rig
	address string
	close   func()
}

func newGate(t *testing.T) *gate {
	t.Helper()
	return newGateOf(t, time.Hour)
}

// newGateOf is newGate with another lifetime of certificates.
func newGateOf(t *testing.T, lifetime time.Duration) *gate {
	t.Helper()
	g := &gate{rig: newRig(t, clock.NewSystem())}
	g.stop()
	g.lifetime = lifetime
	g.start(control.Options{Sidecar: func(_ *mesh.Snapshot, id mesh.ID) ([]byte, error) { return []byte("for " + id.Service), nil }})
	g.apply(config("127.0.0.1:1", allowAPI))
	g.open()
	return g
}

// open serves joining, with what the folder says.
func (g *gate) open() {
	g.t.Helper()
	joins, err := control.OpenJoins(g.folder, g.plane)
	if err != nil {
		g.t.Fatal(err)
	}
	streams := grpc.NewServer()
	g.plane.Register(streams)
	l := listen(g.t)
	server := &http.Server{Handler: joins.Handler(streams), TLSConfig: joins.ServerTLS(), ReadHeaderTimeout: patience}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := server.ServeTLS(l, "", ""); !errors.Is(err, http.ErrServerClosed) {
			g.t.Error(err)
		}
	}()
	g.close = func() { server.Close(); <-done }
	g.t.Cleanup(g.close)
	g.address = l.Addr().String()
}

func (g *gate) token(node string, left time.Duration, services ...string) string {
	g.t.Helper()
	now := time.Now()
	ticket := control.Ticket{Node: node, Expires: now.Add(left)}
	for _, s := range services {
		ticket.Workloads = append(ticket.Workloads, id(s))
	}
	text, err := control.NewTicket(g.folder, ticket, now)
	if err != nil {
		g.t.Fatal(err)
	}
	return text
}

func (g *gate) member(folder string) *control.Member {
	return &control.Member{Server: g.address, Folder: folder, Clock: clock.NewSystem(), Log: slog.New(slog.DiscardHandler)}
}

// keepOnce keeps a certificate until it is there once, or reports the log when it is refused.
func (g *gate) keepOnce(m *control.Member, workload *mesh.ID, folder string) string {
	g.t.Helper()
	ctx, cancel := context.WithTimeout(g.t.Context(), patience)
	defer cancel()
	said := &onceWriter{end: cancel}
	m.Log = slog.New(slog.NewTextHandler(said, nil))
	m.Keep(ctx, workload, folder, cancel)
	return said.text
}

// onceWriter keeps the first line.
type onceWriter struct {
	text string
	end  func()
}

func (w *onceWriter) Write(b []byte) (int, error) {
	if w.text == "" {
		w.text = string(b)
	}
	w.end()
	return len(b), nil
}

func TestAMachineJoinsOnce(t *testing.T) {
	g := newGate(t)
	token, folder := g.token("box", time.Minute, "api"), t.TempDir()
	m := g.member(folder)
	if joined, err := m.Join(t.Context(), token); err != nil || !joined {
		t.Fatal(joined, err)
	}
	if joined, err := m.Join(t.Context(), token); err != nil || joined {
		t.Errorf("a second start with the token: %v, %v", joined, err)
	}
	if _, err := g.member(t.TempDir()).Join(t.Context(), token); err == nil || !strings.Contains(err.Error(), "it was used") {
		t.Errorf("a second machine with the token: %v", err)
	}
	g.open() // a control plane that was started anew remembers
	if _, err := g.member(t.TempDir()).Join(t.Context(), token); err == nil || !strings.Contains(err.Error(), "it was used") {
		t.Errorf("after a restart: %v", err)
	}
	ids, err := m.Workloads()
	if err != nil || len(ids) != 1 || ids[0] != id("api") {
		t.Errorf("workloads: %v, %v", ids, err)
	}
	own := id("api")
	workload := t.TempDir()
	if said := g.keepOnce(g.member(folder), &own, workload); said != "" {
		t.Fatal(said)
	}
	for _, name := range []string{control.IdentityFile, control.KeyFile} {
		info, err := os.Stat(filepath.Join(workload, name))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
	// The workload's certificate opens its own stream of configuration, and nobody else's.
	if text, code := g.ask(workload, id("api")); text != "for api" {
		t.Errorf("its own configuration: %q, %v", text, code)
	}
	if _, code := g.ask(workload, id("ledger")); code != codes.PermissionDenied {
		t.Errorf("another workload's: %v", code)
	}
	if _, code := g.ask(folder, id("api")); code != codes.PermissionDenied {
		t.Errorf("with the node's certificate: %v", code)
	}
}

// ask asks for a node proxy's configuration with the certificate in a folder.
func (g *gate) ask(folder string, who mesh.ID) (string, codes.Code) {
	g.t.Helper()
	conn, err := grpc.NewClient("passthrough:///"+g.address, grpc.WithTransportCredentials(credentials.NewTLS(control.ClientTLS(folder))))
	if err != nil {
		g.t.Fatal(err)
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(g.t.Context(), patience)
	defer cancel()
	stream, err := discovery.NewAggregatedDiscoveryServiceClient(conn).StreamAggregatedResources(ctx)
	if err != nil {
		return "", status.Code(err)
	}
	err = stream.Send(&discovery.DiscoveryRequest{
		TypeUrl: control.SidecarType, ResourceNames: []string{who.String()}, Node: &core.Node{Id: who.String() + "#t", UserAgentName: control.SidecarAgent},
	})
	if err != nil {
		g.t.Log(err) // Recv tells why
	}
	response, err := stream.Recv()
	if err != nil {
		return "", status.Code(err)
	}
	var text wrapperspb.BytesValue
	if err := response.GetResources()[0].UnmarshalTo(&text); err != nil {
		g.t.Fatal(err)
	}
	return string(text.GetValue()), codes.OK
}

func TestTokensThatLetNobodyIn(t *testing.T) {
	g, other := newGate(t), newGate(t)
	good := g.token("box", time.Minute, "api")
	head, rest, _ := strings.Cut(good, ".")
	body, mac, _ := strings.Cut(rest, ".")
	_, otherRest, _ := strings.Cut(g.token("box", time.Minute, "ledger"), ".")
	otherBody, _, _ := strings.Cut(otherRest, ".")
	late := g.token("box", time.Second, "api")
	expired, err := control.ParseTicket(late)
	if err != nil {
		t.Fatal(err)
	}
	<-time.After(time.Until(expired.Expires)) // the token says when it is over; a fake clock could not make TLS believe
	for name, tt := range map[string]struct{ token, want string }{
		"nonsense":                 {"hello", "want one that"},
		"another workload's body":  {head + "." + otherBody + "." + mac, "not of this control plane"},
		"without its seal":         {head + "." + body + ".", "not of this control plane"},
		"cut":                      {good[:len(good)-2], "damaged"}, // one character less may still be whole bytes
		"of another control plane": {other.token("box", time.Minute, "api"), "it is not the one that made the token"},
		"expired":                  {late, "it was good until"},
	} {
		folder := t.TempDir()
		if joined, err := g.member(folder).Join(t.Context(), tt.token); joined || err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, %v", name, joined, err)
		}
		if files, err := os.ReadDir(folder); err != nil || len(files) > 0 {
			t.Errorf("%s: it leaves %v, %v", name, files, err)
		}
	}
	if _, err := g.member(t.TempDir()).Join(t.Context(), good); err != nil {
		t.Errorf("the good one, after all: %v", err)
	}
}

func TestTicketsThatCannotBeMade(t *testing.T) {
	g := newGate(t)
	now := time.Now()
	for name, ticket := range map[string]control.Ticket{
		"too long":         {Node: "box", Expires: now.Add(2 * time.Hour), Workloads: []mesh.ID{id("api")}},
		"over":             {Node: "box", Expires: now, Workloads: []mesh.ID{id("api")}},
		"no name":          {Expires: now.Add(time.Minute), Workloads: []mesh.ID{id("api")}},
		"no workload":      {Node: "box", Expires: now.Add(time.Minute)},
		"a foreign domain": {Node: "box", Expires: now.Add(time.Minute), Workloads: []mesh.ID{{Domain: "other", Cell: "c1", Service: "api"}}},
	} {
		if text, err := control.NewTicket(g.folder, ticket, now); err == nil {
			t.Errorf("%s: %s", name, text)
		}
	}
	if err := os.Chmod(filepath.Join(g.folder, "join.key"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := control.OpenJoins(g.folder, g.plane); err == nil {
		t.Error("a key that others can read is used")
	}
}

func TestANodeHasItsWorkloadsOnly(t *testing.T) {
	g := newGate(t)
	folder := t.TempDir()
	if _, err := g.member(folder).Join(t.Context(), g.token("box", time.Minute, "api", "gone")); err != nil {
		t.Fatal(err)
	}
	for service, want := range map[string]string{"api": "", "ledger": "has no workload", "gone": "has no workload"} {
		who := id(service)
		if said := g.keepOnce(g.member(folder), &who, t.TempDir()); (want == "") != (said == "") || !strings.Contains(said, want) {
			t.Errorf("%s: %s", service, said)
		}
	}
	// What a workload has is no node's certificate.
	workload, who := t.TempDir(), id("api")
	if said := g.keepOnce(g.member(folder), &who, workload); said != "" {
		t.Fatal(said)
	}
	if said := g.keepOnce(g.member(workload), &who, t.TempDir()); !strings.Contains(said, "want a node's certificate") {
		t.Errorf("renewed by itself: %s", said)
	}
}

// TestACopiedCertificateShows: a thief and the node can't both go on.
func TestACopiedCertificateShows(t *testing.T) {
	g := newGate(t)
	folder, thief := t.TempDir(), t.TempDir()
	if _, err := g.member(folder).Join(t.Context(), g.token("box", time.Minute, "api")); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(thief, os.DirFS(folder)); err != nil {
		t.Fatal(err)
	}
	renew := func(folder string) string { return g.keepOnce(g.member(folder), nil, folder) }
	if said := renew(thief); said != "" {
		t.Fatal(said)
	}
	if said := renew(folder); said != "" { // as if the answer had been lost
		t.Fatal(said)
	}
	if said := renew(thief); !strings.Contains(said, "used in two places") {
		t.Errorf("the thief renews again: %s", said)
	}
	if said := renew(folder); !strings.Contains(said, "is barred") {
		t.Errorf("the node itself, which can't be told from it: %s", said)
	}
	g.open()
	if said := renew(folder); !strings.Contains(said, "is barred") {
		t.Errorf("after a restart of the control plane: %s", said)
	}
	fresh := t.TempDir()
	if _, err := g.member(fresh).Join(t.Context(), g.token("box", time.Minute, "api")); err != nil {
		t.Fatal(err)
	}
	if said := renew(fresh); said != "" {
		t.Errorf("joined anew: %s", said)
	}
}

func TestStrangersGetNothing(t *testing.T) {
	g := newGate(t)
	strange := &tls.Config{MinVersion: tls.VersionTLS13, InsecureSkipVerify: true, NextProtos: []string{"h2"}}
	conn, err := grpc.NewClient("passthrough:///"+g.address, grpc.WithTransportCredentials(credentials.NewTLS(strange)))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	stream, err := discovery.NewAggregatedDiscoveryServiceClient(conn).StreamAggregatedResources(t.Context())
	if err == nil {
		_, err = stream.Recv()
	}
	if status.Code(err) != codes.Unauthenticated {
		t.Errorf("ADS without a certificate: %v", err)
	}
	transport := &http.Transport{TLSClientConfig: strange, ForceAttemptHTTP2: true}
	defer transport.CloseIdleConnections()
	for path, want := range map[string]int{"/mesh/certify": 401, "/": 401, "/mesh/join": 400} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://"+g.address+path, strings.NewReader("{"))
		if err != nil {
			t.Fatal(err)
		}
		response, err := transport.RoundTrip(request)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != want {
			t.Errorf("%s: %d, want %d", path, response.StatusCode, want)
		}
	}
}

// FuzzParseTicket: no text panics, and what is read can be told again.
func FuzzParseTicket(f *testing.F) {
	f.Add("sterling-join-1.e30.AA")
	f.Add("sterling-join-1." + "eyJudW1iZXIiOiJBQUFBQUFBQUFBQUFBQUFBIiwibm9kZSI6ImJveCIsIndvcmtsb2FkcyI6WyJzcGlmZmU6Ly9iYW5rLmV4YW1wbGUvY2VsbC9jMS9zdmMvYXBpIl0sImV4cGlyZXMiOjEsInJvb3QiOiJBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBPSJ9" + ".AA")
	f.Fuzz(func(t *testing.T, text string) {
		ticket, err := control.ParseTicket(text)
		if err != nil {
			if !errors.Is(err, control.ErrTicket) {
				t.Errorf("%v is no ErrTicket", err)
			}
			return
		}
		if !mesh.ValidName(ticket.Node) || len(ticket.Workloads) == 0 {
			t.Errorf("%+v", ticket)
		}
	})
}
