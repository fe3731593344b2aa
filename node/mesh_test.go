package node_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sterlingrun/sterling/clock"
	"github.com/sterlingrun/sterling/node"
)

const meshPatience = 20 * time.Second

// meshRig is a control plane, and two workloads of this process: shop calls orders.
type meshRig struct {
	t       *testing.T
	dir     string // short: sockets are in it
	state   string
	config  node.Mesh
	control *node.MeshControl
	app     *httptest.Server
	port    string // where shop finds orders
	inbound string // where orders takes calls
}

func newMeshRig(t *testing.T, certificates time.Duration) *meshRig {
	t.Helper()
	dir, err := os.MkdirTemp("", "mesh") // a socket's path is at most 107 bytes long, which t.TempDir can be past
	if err != nil {
		t.Fatal(err)
	}
	r := &meshRig{t: t, dir: dir, state: filepath.Join(dir, "mesh.yaml"), port: freePort(t), inbound: "127.0.0.1:" + freePort(t)}
	t.Cleanup(func() {
		r.control.Close()
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	r.app = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		_, _ = io.WriteString(w, req.Method+" "+req.URL.Path+" of "+req.Header.Get("X-Sterling-Peer"))
	}))
	t.Cleanup(r.app.Close)
	r.config = node.DefaultMesh()
	r.config.State, r.config.Domain, r.config.Certificates = r.state, "bank.example", certificates
	r.write(r.desired("/orders/*"))
	r.startControl()
	return r
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// desired lets shop call these methods of orders.
func (r *meshRig) desired(methods string, more ...string) string {
	return fmt.Sprintf(`
apiVersion: mesh.sterling.run/v1
kind: Cells
metadata: {name: cells}
spec: {buckets: 1, cells: [{name: c1, region: r1, zone: z1, buckets: ["0"]}]}
---
apiVersion: mesh.sterling.run/v1
kind: Service
metadata: {name: orders}
spec:
  protocol: http
  port: %[1]s
  backends: [{cell: c1, address: "%[2]s", app: "%[3]s"}]
---
apiVersion: mesh.sterling.run/v1
kind: Identity
metadata: {name: orders}
spec: {service: orders, cell: c1, unix: {uid: %[4]d}}
---
apiVersion: mesh.sterling.run/v1
kind: Identity
metadata: {name: shop}
spec: {service: shop, cell: c1, unix: {uid: %[4]d}}
---
apiVersion: mesh.sterling.run/v1
kind: Authorization
metadata: {name: orders}
spec: {service: orders, allow: [{from: [{service: shop}], to: [%[5]s]}]}
%[6]s`, r.port, r.inbound, r.app.Listener.Addr(), os.Getuid(), methods, strings.Join(more, ""))
}

func (r *meshRig) write(text string) {
	r.t.Helper()
	next := r.state + ".new"
	if err := os.WriteFile(next, []byte(text), 0o600); err != nil {
		r.t.Fatal(err)
	}
	if err := os.Rename(next, r.state); err != nil {
		r.t.Fatal(err)
	}
}

func (r *meshRig) startControl() {
	r.t.Helper()
	var err error
	r.control, err = node.StartMeshControl(r.t.Context(), filepath.Join(r.dir, "c"), r.config, clock.NewSystem(), slog.New(slog.DiscardHandler))
	if err != nil {
		r.t.Fatal(err)
	}
}

// startNode starts a workload's data plane in its folder.
func (r *meshRig) startNode(service string, change ...func(*node.MeshNodeConfig)) *node.MeshNode {
	r.t.Helper()
	config := node.MeshNodeConfig{
		Data: filepath.Join(r.dir, service), Control: "unix:" + filepath.Join(r.dir, "c", node.MeshControlSocket),
		Identities: []string{"spiffe://bank.example/cell/c1/svc/" + service}, Offer: "127.0.0.1", Name: "test",
	}
	for _, f := range change {
		f(&config)
	}
	ctx, cancel := context.WithTimeout(r.t.Context(), meshPatience)
	defer cancel()
	n, err := node.StartMeshNode(ctx, config, clock.NewSystem(), slog.New(slog.NewTextHandler(r.t.Output(), nil)))
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { n.Close(context.Background()) })
	return n
}

// call sends a request on a connection of its own.
func (r *meshRig) call(path string) (int, string) {
	r.t.Helper()
	transport := &http.Transport{DisableKeepAlives: true}
	response, err := (&http.Client{Transport: transport, Timeout: meshPatience}).Get("http://127.0.0.1:" + r.port + path) //nolint:noctx // it has a time
	if err != nil {
		return 0, err.Error()
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, err.Error()
	}
	return response.StatusCode, string(body)
}

func (r *meshRig) wantCall(path string, status int) {
	r.t.Helper()
	if got, body := r.call(path); got != status {
		r.t.Errorf("%s: %d %s, want %d", path, got, body, status)
	}
}

// status asks a folder's socket, as the command does.
func (r *meshRig) ask(folder, path string, v any) {
	r.t.Helper()
	socket := filepath.Join(r.dir, folder, node.MeshAdminSocket)
	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}}
	response, err := (&http.Client{Transport: transport, Timeout: meshPatience}).Get("http://node" + path) //nolint:noctx // it has a time
	if err != nil {
		r.t.Fatal(err)
	}
	defer response.Body.Close()
	if err := json.NewDecoder(response.Body).Decode(v); err != nil {
		r.t.Fatal(err)
	}
}

// until looks again and again until what is looked for is there.
func (r *meshRig) until(what string, there func() bool) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), meshPatience)
	defer cancel()
	for !there() {
		if err := clock.Sleep(ctx, clock.NewSystem(), 10*time.Millisecond); err != nil {
			r.t.Fatalf("%s: not within %s", what, meshPatience)
		}
	}
}

func (r *meshRig) refusal() string {
	var s node.MeshStatus
	r.ask("c", "/status", &s)
	return s.Control.Refusal
}

func (r *meshRig) sidecar(folder string) node.SidecarStatus {
	var s node.MeshStatus
	r.ask(folder, "/status", &s)
	return s.Node.Workloads[0]
}

func TestTheDesiredStateIsFollowed(t *testing.T) {
	r := newMeshRig(t, time.Hour)
	r.startNode("orders")
	r.startNode("shop")
	if code, body := r.call("/orders/1"); code != 200 || body != "GET /orders/1 of spiffe://bank.example/cell/c1/svc/shop" {
		t.Errorf("%d %s", code, body)
	}
	r.wantCall("/secret", 403)
	for want, bad := range map[string]string{
		"unknown field":     strings.Replace(r.desired("/orders/*"), "protocol: http", "protocol: http\n  retries: 3", 1),
		"no such":           r.desired("/secret", "\n---\n{apiVersion: mesh.sterling.run/v1, kind: Authorization, metadata: {name: x}, spec: {service: none}}"),
		"node proxies take": r.desired("/secret", "\n---\n{apiVersion: mesh.sterling.run/v1, kind: Shedding, metadata: {name: x}, spec: {service: orders, queueWait: 1s}}"),
	} {
		r.write(bad)
		r.until(want, func() bool { return strings.Contains(r.refusal(), want) })
		r.wantCall("/orders/1", 200)
		r.wantCall("/secret", 403)
	}
	// A control plane that starts with a bad file goes on with the last good one.
	r.control.Close()
	r.startControl()
	r.until("connected again", func() bool { return r.sidecar("shop").Connected && r.sidecar("orders").Connected })
	if r.refusal() == "" {
		t.Error("the bad file is not told after a restart")
	}
	r.wantCall("/orders/1", 200)
	r.write(r.desired("/secret"))
	r.until("the change is enforced", func() bool { code, _ := r.call("/secret"); return code == 200 })
	r.wantCall("/orders/1", 403)
	r.until("nothing is refused any more", func() bool { return r.refusal() == "" }) // told after all have answered
}

// TestTheControlPlaneIsAwayForLongerThanARotation: what is running goes on, what is started goes on with what was kept.
func TestTheControlPlaneIsAwayForLongerThanARotation(t *testing.T) {
	t.Parallel()
	const lifetime = 12 * time.Second // a rotation after 6 s; certificates are over after 9
	r := newMeshRig(t, lifetime)
	orders := r.startNode("orders")
	r.startNode("shop")
	r.wantCall("/orders/1", 200)
	serial := func() string {
		var certs []node.MeshCerts
		r.ask("shop", "/certs", &certs)
		return certs[0].Serial
	}
	before, away := serial(), time.Now()
	r.control.Close()
	orders.Close(t.Context())
	r.startNode("orders")
	r.wantCall("/orders/1", 200)
	r.until("a rotation passes", func() bool { return time.Since(away) > lifetime/2+time.Second })
	r.wantCall("/orders/1", 200)
	if s := r.sidecar("shop"); s.Connected || s.Reason == "" || serial() != before {
		t.Errorf("while the control plane is away: %+v", s)
	}
	r.startControl()
	r.until("certificates are renewed", func() bool { return serial() != before && r.sidecar("orders").Version != "kept" })
	r.wantCall("/orders/1", 200)
}

// load sends requests without a pause on connections that are kept, until stop; it counts those that failed.
type load struct {
	stopping atomic.Bool
	sent     atomic.Int64
	running  sync.WaitGroup
	mu       sync.Mutex
	failures []string
}

func startLoad(url string) *load {
	l := &load{}
	for range 8 {
		transport := &http.Transport{}
		l.running.Go(func() {
			defer transport.CloseIdleConnections()
			for !l.stopping.Load() {
				if err := l.once(transport, url); err != nil {
					l.mu.Lock()
					l.failures = append(l.failures, err.Error())
					l.mu.Unlock()
				}
				l.sent.Add(1)
			}
		})
	}
	return l
}

// once sends a request that no library sends again by itself: a POST without a key.
func (l *load) once(transport *http.Transport, url string) error {
	response, err := (&http.Client{Transport: transport, Timeout: meshPatience}).Post(url, "text/plain", io.MultiReader(strings.NewReader("1"))) //nolint:noctx // it has a time
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != 200 {
		err = fmt.Errorf("%s: %s", response.Status, body)
	}
	return err
}

func (l *load) stop(t *testing.T) {
	t.Helper()
	l.stopping.Store(true)
	l.running.Wait()
	t.Logf("%d requests, %d failed", l.sent.Load(), len(l.failures))
	for i, f := range l.failures {
		if i < 5 {
			t.Error(f)
		}
	}
}

// progress waits for more requests.
func (l *load) progress(r *meshRig) {
	target := l.sent.Load() + 200
	r.until("requests go on", func() bool { return l.sent.Load() > target })
}

func TestListenersChangeUnderLoad(t *testing.T) {
	r := newMeshRig(t, time.Hour)
	r.startNode("orders")
	r.startNode("shop")
	l := startLoad("http://127.0.0.1:" + r.port + "/orders/1")
	l.progress(r)
	other := freePort(t)
	more := fmt.Sprintf(`
---
{apiVersion: mesh.sterling.run/v1, kind: Service, metadata: {name: stock}, spec: {protocol: http, port: %s, backends: [{cell: c1, address: "127.0.0.1:%s"}]}}
---
{apiVersion: mesh.sterling.run/v1, kind: Authorization, metadata: {name: stock}, spec: {service: stock, allow: [{from: [{service: shop}]}]}}`, other, freePort(t))
	r.write(r.desired("/orders/*", more))
	r.until("another service is offered", func() bool { return r.sidecar("shop").Listeners["stock"] != "" })
	l.progress(r)
	if c, err := net.Dial("tcp", "127.0.0.1:"+other); err != nil {
		t.Error(err)
	} else {
		c.Close()
	}
	r.write(r.desired("/orders/*"))
	r.until("it is gone", func() bool { return r.sidecar("shop").Listeners["stock"] == "" })
	l.progress(r)
	l.stop(t)
}

// TestAHandoverThatIsNotFinished: a new process that dies before it serves changes nothing.
func TestAHandoverThatIsNotFinished(t *testing.T) {
	r := newMeshRig(t, time.Hour)
	r.startNode("orders")
	old := r.startNode("shop")
	path := filepath.Join(r.dir, "shop", "handover.sock")
	for _, says := range []string{"take", "hello", ""} {
		conn, err := net.DialUnix("unixpacket", nil, &net.UnixAddr{Name: path, Net: "unixpacket"})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Write([]byte(says)); err != nil {
			t.Fatal(err)
		}
		text, rights := make([]byte, 4096), make([]byte, 256)
		n, got, _, _, err := conn.ReadMsgUnix(text, rights)
		if says == "take" && (err != nil || n == 0 || got == 0) || says != "take" && got != 0 {
			t.Errorf("%q: %d bytes, %d of rights, %v", says, n, got, err)
		}
		conn.Close() // the descriptors that came stay until the test ends: as if of a process that hangs
	}
	for range 20 { // the listener is shared: what the dead one has not accepted, the old one does
		r.wantCall("/orders/1", 200)
	}
	next := r.startNode("shop")
	select {
	case <-old.TakenOver():
	case <-time.After(meshPatience):
		t.Fatal("the old one was not told")
	}
	old.Close(t.Context())
	r.wantCall("/orders/1", 200)
	select {
	case <-next.TakenOver():
		t.Error("nobody took over from the new one")
	default:
	}
}

func TestAnAddressThatCannotBeHad(t *testing.T) {
	r := newMeshRig(t, time.Hour)
	taken, err := net.Listen("tcp", "127.0.0.1:"+r.port)
	if err != nil {
		t.Fatal(err)
	}
	r.startNode("orders")
	r.startNode("shop")
	if s := r.sidecar("shop"); len(s.Faults) != 1 || len(s.Listeners) != 0 || s.Refusal != "" {
		t.Errorf("%+v", s)
	}
	if s := r.refusal(); s != "" {
		t.Errorf("one machine's trouble is everybody's: %s", s)
	}
	taken.Close()
	r.until("the address is had after all", func() bool { code, _ := r.call("/orders/1"); return code == 200 })
}

func TestNodesThatCannotStart(t *testing.T) {
	r := newMeshRig(t, time.Hour)
	for want, change := range map[string]func(*node.MeshNodeConfig){
		"want a loopback address":                func(c *node.MeshNodeConfig) { c.Offer = "0.0.0.0" },
		"want unix:PATH or host:port":            func(c *node.MeshNodeConfig) { c.Control = "nowhere" },
		"want the workload's SPIFFE":             func(c *node.MeshNodeConfig) { c.Identities = nil },
		"mesh identity":                          func(c *node.MeshNodeConfig) { c.Identities = []string{"spiffe://bank.example/shop"} },
		"want an IP address":                     func(c *node.MeshNodeConfig) { c.Addresses = []string{"localhost:1"} },
		"name: want":                             func(c *node.MeshNodeConfig) { c.Name = "a b" },
		"the Workload API is at":                 func(c *node.MeshNodeConfig) { c.WorkloadSocket = "x" },
		"for a control plane on another machine": func(c *node.MeshNodeConfig) { c.Token = "x" },
		"a machine joins with a token":           func(c *node.MeshNodeConfig) { c.Control = "127.0.0.1:1" },
		// The kernel says who we are, and no Identity says that we are stock.
		"wait for a certificate": func(c *node.MeshNodeConfig) { c.Identities = []string{"spiffe://bank.example/cell/c1/svc/stock"} },
	} {
		config := node.MeshNodeConfig{
			Data: filepath.Join(r.dir, "x"), Control: "unix:" + filepath.Join(r.dir, "c", node.MeshControlSocket),
			Identities: []string{"spiffe://bank.example/cell/c1/svc/shop"}, Offer: "127.0.0.1", Name: "test",
		}
		change(&config)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		n, err := node.StartMeshNode(ctx, config, clock.NewSystem(), slog.New(slog.DiscardHandler))
		cancel()
		if err == nil {
			n.Close(t.Context())
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
	if _, err := node.StartMeshControl(t.Context(), filepath.Join(r.dir, "c"), r.config, clock.NewSystem(), slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "another process does") {
		t.Errorf("a second control plane in the folder: %v", err)
	}
	bad := r.config
	bad.Domain, bad.Certificates, bad.Listen = "Bank", time.Second, "x"
	if err := bad.Check(); err == nil || strings.Count(err.Error(), "mesh.") != 3 {
		t.Errorf("%v", err)
	}
}
