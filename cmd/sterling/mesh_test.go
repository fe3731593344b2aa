package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
)

// meshProcess is a running `sterling mesh …`.
type meshProcess struct {
	t     *testing.T
	cmd   *exec.Cmd
	ended chan struct{}
	err   error
}

func startMesh(t *testing.T, dir string, args ...string) *meshProcess {
	t.Helper()
	p := &meshProcess{t: t, cmd: exec.Command("sterling", append([]string{"mesh"}, args...)...), ended: make(chan struct{})}
	p.cmd.Dir, p.cmd.Stderr = dir, t.Output()
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	first := make(chan string, 1)
	go func() {
		lines := bufio.NewReader(out)
		line, _ := lines.ReadString('\n')
		first <- line
		_, _ = io.Copy(io.Discard, lines)
		p.err = p.cmd.Wait()
		close(p.ended)
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill() // unless it has ended
		<-p.ended
	})
	select {
	case line := <-first:
		if !strings.HasPrefix(line, "Sterling is ready") {
			t.Fatalf("sterling mesh %s: %q", args[0], line)
		}
	case <-time.After(startTime):
		t.Fatalf("sterling mesh %s was not ready within %v", args[0], startTime)
	}
	return p
}

// wantEnd waits until the process ends well.
func (p *meshProcess) wantEnd() {
	p.t.Helper()
	select {
	case <-p.ended:
		if p.err != nil {
			p.t.Errorf("it ended with %v", p.err)
		}
	case <-time.After(startTime):
		p.t.Errorf("it did not end within %v", startTime)
	}
}

const meshDesired = `
apiVersion: mesh.sterling.run/v1
kind: Cells
metadata: {name: cells}
spec: {buckets: 1, cells: [{name: c1, region: r1, zone: z1, buckets: ["0"]}]}
---
apiVersion: mesh.sterling.run/v1
kind: Service
metadata: {name: orders}
spec: {protocol: http, port: %[1]s, backends: [{cell: c1, address: "%[2]s", app: "%[3]s"}]}
---
apiVersion: mesh.sterling.run/v1
kind: Service
metadata: {name: rates}
spec: {protocol: grpc, port: %[4]s, backends: [{cell: c1, address: "%[5]s", app: "%[6]s"}]}
---
apiVersion: mesh.sterling.run/v1
kind: Identity
metadata: {name: orders}
spec: {service: orders, cell: c1, unix: {uid: %[7]d}}
---
apiVersion: mesh.sterling.run/v1
kind: Identity
metadata: {name: rates}
spec: {service: rates, cell: c1, unix: {uid: %[7]d}}
---
apiVersion: mesh.sterling.run/v1
kind: Identity
metadata: {name: shop}
spec: {service: shop, cell: c1, unix: {uid: %[7]d}}
---
apiVersion: mesh.sterling.run/v1
kind: Authorization
metadata: {name: orders}
spec: {service: orders, allow: [{from: [{service: shop}]}]}
---
apiVersion: mesh.sterling.run/v1
kind: Authorization
metadata: {name: rates}
spec: {service: rates, allow: [{from: [{service: shop}]}]}
`

// TestMeshUpgradesUnderLoad replaces the processes of both data planes between a caller and its services, HTTP and gRPC,
// while requests are sent that nobody sends twice. Not one may fail.
func TestMeshUpgradesUnderLoad(t *testing.T) {
	dir, err := os.MkdirTemp("", "mesh") // a socket's path is at most 107 bytes long, which t.TempDir can be past
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.Header.Get("X-Sterling-Peer"))
	}))
	defer app.Close()
	rates, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	healthpb.RegisterHealthServer(server, health.NewServer())
	go func() { _ = server.Serve(rates) }()
	defer server.Stop()
	orders, ratesAt := freeAddress(t), freeAddress(t)
	desired := fmt.Sprintf(meshDesired, orders[len("127.0.0.1:"):], freeAddress(t), app.Listener.Addr(), ratesAt[len("127.0.0.1:"):], freeAddress(t), rates.Addr(), os.Getuid())
	if err := os.WriteFile(filepath.Join(dir, "mesh.yaml"), []byte(desired), 0o600); err != nil {
		t.Fatal(err)
	}
	startMesh(t, dir, "control", "--state", "mesh.yaml", "--domain", "bank.example")
	node := func(folder string, services ...string) *meshProcess {
		args := []string{"node", "--data", folder, "--name", folder}
		for _, s := range services {
			args = append(args, "--identity", "spiffe://bank.example/cell/c1/svc/"+s)
		}
		return startMesh(t, dir, args...)
	}
	serving, calling := node("serving", "orders", "rates"), node("calling", "shop")
	l := startMeshLoad(t, "http://"+orders, ratesAt)
	l.progress()
	for range 2 {
		next := node("serving", "orders", "rates")
		l.progress()
		nextCaller := node("calling", "shop")
		l.progress()
		calling.wantEnd() // its callers' connections ended with the answers to their next requests
		serving.wantEnd()
		serving, calling = next, nextCaller
	}
	l.stop()
	for _, p := range []*meshProcess{calling, serving} {
		_ = p.cmd.Process.Signal(syscall.SIGTERM) // wantEnd tells
		p.wantEnd()
	}
}

// meshLoad sends requests without a pause, and counts those that failed.
type meshLoad struct {
	t        *testing.T
	stopping atomic.Bool
	sent     [2]atomic.Int64 // by HTTP and by gRPC
	running  sync.WaitGroup
	mu       sync.Mutex
	failed   []error
}

func startMeshLoad(t *testing.T, url, rates string) *meshLoad {
	t.Helper()
	l := &meshLoad{t: t}
	conn, err := grpc.NewClient("passthrough:///"+rates, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDisableRetry())
	if err != nil {
		t.Fatal(err)
	}
	client := healthpb.NewHealthClient(conn)
	for range 6 {
		transport := &http.Transport{}
		l.run(&l.sent[0], func() error { return postOnce(transport, url) })
	}
	for range 2 {
		l.run(&l.sent[1], func() error {
			ctx, cancel := context.WithTimeout(context.Background(), startTime)
			defer cancel()
			_, err := client.Check(ctx, &healthpb.HealthCheckRequest{})
			return err
		})
	}
	t.Cleanup(func() { l.stop(); conn.Close() })
	return l
}

func (l *meshLoad) run(sent *atomic.Int64, send func() error) {
	l.running.Go(func() {
		for !l.stopping.Load() {
			if err := send(); err != nil {
				l.mu.Lock()
				l.failed = append(l.failed, err)
				l.mu.Unlock()
			}
			sent.Add(1)
		}
	})
}

// postOnce sends a request that no library sends again by itself: its body can't be read twice, and it has no key.
func postOnce(transport *http.Transport, url string) error {
	response, err := (&http.Client{Transport: transport, Timeout: startTime}).Post(url, "text/plain", io.MultiReader(strings.NewReader("1"))) //nolint:noctx // it has a time
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err == nil && (response.StatusCode != 200 || string(body) != "spiffe://bank.example/cell/c1/svc/shop") {
		err = errors.New(response.Status + ": " + string(body))
	}
	return err
}

// progress waits for more requests of both kinds.
func (l *meshLoad) progress() {
	l.t.Helper()
	deadline := time.After(startTime)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for i := range l.sent {
		for target := l.sent[i].Load() + 100; l.sent[i].Load() < target; {
			select {
			case <-tick.C:
			case <-deadline:
				l.t.Fatalf("no progress within %v", startTime)
			}
		}
	}
}

func (l *meshLoad) stop() {
	l.t.Helper()
	if l.stopping.Swap(true) {
		return
	}
	l.running.Wait()
	l.t.Logf("%d requests by HTTP, %d by gRPC, %d failed", l.sent[0].Load(), l.sent[1].Load(), len(l.failed))
	for i, err := range l.failed {
		if i < 5 {
			l.t.Error(err)
		}
	}
}
