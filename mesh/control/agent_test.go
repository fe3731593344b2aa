package control_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/svid/x509svid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/sterlingrun/sterling/clock"
	"github.com/sterlingrun/sterling/mesh/control"
)

// box is a machine that joined, with the Workload API for its programs. Its rig has the socket.
type box struct {
	*rig
	member *control.Member
}

// join makes a machine whose token names services, and whose agent runs until the test ends.
func (g *gate) join(services ...string) *box {
	g.t.Helper()
	folder, err := os.MkdirTemp("", "box") // a socket's path is at most 107 bytes long, which t.TempDir can be past
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() {
		if err := os.RemoveAll(folder); err != nil {
			g.t.Error(err)
		}
	})
	b := &box{&rig{t: g.t, clock: clock.NewSystem(), socket: filepath.Join(folder, "w")}, g.member(g.t.TempDir())}
	if _, err := b.member.Join(g.t.Context(), g.token("box", time.Minute, services...)); err != nil {
		g.t.Fatal(err)
	}
	b.run()
	return b
}

// run starts the agent, anew if it was stopped.
func (b *box) run() {
	b.t.Helper()
	agent, err := control.NewAgent(b.member)
	if err != nil {
		b.t.Fatal(err)
	}
	server := grpc.NewServer(grpc.Creds(control.UnixCredentials()))
	agent.Register(server)
	l, err := net.Listen("unix", b.socket)
	if err != nil {
		b.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { agent.Run(ctx) })
	running.Go(func() { b.member.Keep(ctx, nil, b.member.Folder, func() {}) })
	stop := background(b.t, server, l)
	b.stop = func() { cancel(); running.Wait(); stop() }
	b.t.Cleanup(func() { b.stop() })
}

func (b *box) call(header ...string) codes.Code {
	b.t.Helper()
	return call(b.t, "unix://"+b.socket, insecure.NewCredentials(), header...)
}

var spiffeHeader = []string{"workload.spiffe.io", "true"}

// TestWorkloadAPIOnAJoinedMachine: a go-spiffe client gets what the token and the Identity objects both allow, by
// certificates that the rest of the mesh believes, and new ones in time.
func TestWorkloadAPIOnAJoinedMachine(t *testing.T) {
	g := newGateOf(t, control.MinLifetime)
	b := g.join("api", "gone")
	w := b.watch()
	first := await(t, w.got, "identities")
	if len(first.SVIDs) != 1 || first.SVIDs[0].ID.String() != id("api").String() {
		t.Fatalf("got %v: the process may be three by its user, and one by the token", first.SVIDs)
	}
	if _, _, err := x509svid.Verify(first.SVIDs[0].Certificates, first.Bundles); err != nil {
		t.Errorf("a peer can't verify it: %v", err)
	}
	second := await(t, w.got, "a rotation")
	if second.SVIDs[0].Certificates[0].Equal(first.SVIDs[0].Certificates[0]) || second.SVIDs[0].ID != first.SVIDs[0].ID {
		t.Error("no new certificate")
	}
	if _, _, err := x509svid.Verify(second.SVIDs[0].Certificates, first.Bundles); err != nil {
		t.Errorf("a peer that has not rotated can't verify it: %v", err)
	}
	// An identity that is taken away ends the stream.
	g.apply(strings.ReplaceAll(config("127.0.0.1:1"), "uid: ", "uid: 1"))
	eventually(t, "refusal", func() bool {
		err := await(t, w.errs, "refusal") // the first ones may be from before the control plane's first word
		return status.Code(err) == codes.PermissionDenied
	})
}

func TestWorkloadAPIOnAJoinedMachineFailsClosed(t *testing.T) {
	g := newGate(t)
	b := g.join("api")
	eventually(t, "the control plane's word", func() bool { return b.call(spiffeHeader...) == codes.OK })
	if got := b.call(); got != codes.InvalidArgument {
		t.Errorf("without the header, which keeps confused proxies out: %s", got)
	}
	for what, change := range map[string]func(string) string{
		"another user":    func(s string) string { return strings.ReplaceAll(s, "uid: ", "uid: 1") },
		"another group":   func(s string) string { return strings.ReplaceAll(s, "unix: {", "unix: {gid: 54321, ") },
		"another process": func(s string) string { return strings.ReplaceAll(s, "unix: {", "unix: {pid: 1, ") },
		// The process may be who the machine's token does not name.
		"another service": func(s string) string { return strings.ReplaceAll(s, "service: api", "service: stock") },
	} {
		g.apply(change(config("127.0.0.1:1")))
		eventually(t, what, func() bool { return b.call(spiffeHeader...) == codes.PermissionDenied })
		g.apply(strings.ReplaceAll(config("127.0.0.1:1"), "unix: {", fmt.Sprintf("unix: {gid: %d, pid: %d, ", os.Getgid(), os.Getpid())))
		eventually(t, "who may, after "+what, func() bool { return b.call(spiffeHeader...) == codes.OK })
	}

	// By TCP nobody can be told from anybody.
	agent, err := control.NewAgent(b.member)
	if err != nil {
		t.Fatal(err)
	}
	tcp := listen(t)
	plain := grpc.NewServer(grpc.Creds(control.UnixCredentials()))
	agent.Register(plain)
	t.Cleanup(background(t, plain, tcp))
	if got := call(t, tcp.Addr().String(), insecure.NewCredentials(), spiffeHeader...); got != codes.Unavailable {
		t.Errorf("by TCP: %s", got)
	}

	// A machine whose certificate was used in two places gets nothing, and gives nothing out.
	thief := t.TempDir()
	if err := os.CopyFS(thief, os.DirFS(b.member.Folder)); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if said := g.keepOnce(g.member(thief), nil, thief); said != "" {
			t.Fatal(said)
		}
	}
	if said := g.keepOnce(g.member(b.member.Folder), nil, b.member.Folder); !strings.Contains(said, "used in two places") {
		t.Fatal(said)
	}
	g.apply(config("127.0.0.1:1", allowAPI)) // any news: a node that waits for some learns it then
	eventually(t, "a barred machine", func() bool { return b.call(spiffeHeader...) == codes.Unavailable })
}

// TestWorkloadAPIWithoutTheControlPlane: what was said counts on for a while, and without a word nobody gets anything.
func TestWorkloadAPIWithoutTheControlPlane(t *testing.T) {
	g := newGate(t)
	b := g.join("api")
	eventually(t, "the control plane's word", func() bool { return b.call(spiffeHeader...) == codes.OK })
	g.close()
	if got := b.call(spiffeHeader...); got != codes.OK {
		t.Errorf("right after its last word: %s", got)
	}
	b.stop()
	b.run()
	if got := b.call(spiffeHeader...); got != codes.Unavailable {
		t.Errorf("started without it: %s", got)
	}
}
