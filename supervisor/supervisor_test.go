package supervisor_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sterlingrun/sterling/clock"
	"github.com/sterlingrun/sterling/supervisor"
)

// patience is what a busy machine may take.
const patience = 30 * time.Second

// A host has sandboxes without anything in them. It outlives supervisors.
type host struct {
	mu      sync.Mutex
	boxes   map[string]supervisor.Box
	started []string
	sick    map[string]bool // policies whose health checks fail
	of      map[string]string
	changed chan struct{}
	blind   bool // sandboxes can't be listed
	asked   int  // health checks
	hang    chan struct{}
}

func newHost() *host {
	return &host{boxes: map[string]supervisor.Box{}, sick: map[string]bool{}, of: map[string]string{}, changed: make(chan struct{}), hang: make(chan struct{})}
}

func (h *host) change(f func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	f()
	close(h.changed)
	h.changed = make(chan struct{})
}

// Follow implements supervisor.Boxes.
func (h *host) Follow(ctx context.Context, changed func([]supervisor.Box)) error {
	for {
		h.mu.Lock()
		all, next, blind := slices.Collect(maps.Values(h.boxes)), h.changed, h.blind
		h.mu.Unlock()
		if blind {
			return errors.New("blind")
		}
		changed(all)
		select {
		case <-next:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Start implements supervisor.Boxes.
func (h *host) Start(_ context.Context, s supervisor.Start) error {
	if strings.Contains(string(s.Policy), "/missing") {
		return errors.New("/missing can't be executed")
	}
	if strings.Contains(string(s.Policy), "/hangs") {
		h.change(func() { h.boxes[s.ID] = supervisor.Box{ID: s.ID, State: "starting"} })
		<-h.hang // until the test ends: whoever waits is as good as killed
		return errors.New("cut off")
	}
	h.change(func() {
		h.started = append(h.started, s.ID)
		h.boxes[s.ID] = supervisor.Box{ID: s.ID, State: "running"}
		h.of[s.ID] = string(s.Policy)
	})
	return nil
}

func (h *host) end(id string, exit int, state string) {
	h.change(func() {
		b := h.boxes[id]
		b.State, b.Exit, b.Reason = state, &exit, "exited"
		h.boxes[id] = b
	})
}

// Stop implements supervisor.Boxes.
func (h *host) Stop(_ context.Context, id string) error {
	h.mu.Lock()
	state := h.boxes[id].State
	h.mu.Unlock()
	if state == "running" {
		h.end(id, 143, "ended")
	}
	return nil
}

// Remove implements supervisor.Boxes.
func (h *host) Remove(_ context.Context, id string) error {
	h.change(func() { delete(h.boxes, id) })
	return nil
}

// Exec implements supervisor.Boxes.
func (h *host) Exec(_ context.Context, id string, command []string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.asked++
	if command[0] == "/wrong" {
		return errors.New("there is no /wrong")
	}
	for part := range h.sick {
		if strings.Contains(h.of[id], part) {
			return errors.New("sick")
		}
	}
	return nil
}

// Logs implements supervisor.Boxes.
func (h *host) Logs(_ context.Context, id string, to io.Writer) error {
	_, err := fmt.Fprintln(to, "of", id)
	return err
}

func (h *host) running() (ids []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for id, b := range h.boxes {
		if b.State == "running" {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// A rig is a supervisor on a host, and a client of it.
type rig struct {
	t      *testing.T
	host   *host
	dir    string
	clock  *clock.Fake
	client supervisor.Client
	join   func(context.Context, supervisor.Joining) (supervisor.Workload, error)
	stop   func()
}

func newRig(t *testing.T) *rig {
	t.Helper()
	dir, err := os.MkdirTemp("", "s") // a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, host: newHost(), dir: dir, clock: clock.NewFake(uint64(time.Hour)), client: supervisor.Client{Dir: dir}, stop: func() {}}
	t.Cleanup(func() {
		r.stop()
		_ = os.RemoveAll(dir)
	})
	return r
}

func (r *rig) start() {
	r.t.Helper()
	s, err := supervisor.Open(supervisor.Options{
		Dir: r.dir, Boxes: r.host, Join: r.join, Clock: r.clock, Log: slog.New(slog.NewTextHandler(r.t.Output(), nil)),
	})
	if err != nil {
		r.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	l, err := net.Listen("unix", filepath.Join(r.dir, supervisor.Socket))
	if err != nil {
		r.t.Fatal(err)
	}
	server := s.Server()
	go func() { _ = server.Serve(l) }()
	r.stop = func() {
		_ = server.Close()
		_ = l.Close()
		cancel()
		if err := <-ended; err != nil {
			r.t.Error(err)
		}
		r.stop = func() {}
	}
}

const policy = "{version: 1, name: a, root: {image: i}, command: [%s], limits: {cpu: 1, memory: 64MiB, processes: 64}, network: {listen: [http]}}"

func (r *rig) apply(command, lines string) {
	r.t.Helper()
	d := supervisor.Declaration{Document: []byte("version: 1\nname: orders\npolicy: p\n" + lines), Policy: fmt.Appendf(nil, policy, command), Folder: "/"}
	if _, err := r.client.Apply(r.t.Context(), d); err != nil {
		r.t.Fatal(err)
	}
}

// until lets time go by until what is looked for is there.
func (r *rig) until(what string, there func(s *supervisor.Status) bool) *supervisor.Status {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), patience)
	defer cancel()
	for {
		s, err := r.client.Status(ctx, "orders")
		if err != nil && !errors.Is(err, supervisor.ErrNotFound) {
			r.t.Fatalf("%s: %v", what, err)
		}
		if there(s) {
			return s
		}
		r.clock.Advance(100 * time.Millisecond)
	}
}

func is(state string, ready int) func(*supervisor.Status) bool {
	return func(s *supervisor.Status) bool { return s.State == state && s.Ready == ready }
}

const checked = "replicas: 3\nhealth: [{exec: [/check]}]"

func TestServiceLives(t *testing.T) {
	r := newRig(t)
	r.start()
	r.apply("/one", checked)
	s := r.until("ready", is("ready", 3))
	r.host.end(s.Replicas[0].ID, 1, "ended")
	s = r.until("one is replaced", func(s *supervisor.Status) bool { return s.Ready == 3 && len(s.Ended) == 1 })
	if s.Ended[0].Asked || !strings.Contains(s.Ended[0].Reason, "status 1") {
		t.Errorf("%+v", s.Ended)
	}
	r.apply("/two", checked)
	s = r.until("updated", is("ready", 3))
	if s.Generation != 2 || s.Good != 2 || len(s.Ended) != 4 || !s.Ended[3].Asked {
		t.Errorf("%+v", s)
	}
	r.host.change(func() { r.host.sick["/three"] = true })
	r.apply("/three", checked)
	s = r.until("halted", is("halted", 3))
	if !strings.Contains(s.Reason, "orders-g3-n8: not ready within 30s: health[0]: sick") || s.Good != 2 {
		t.Errorf("%+v", s)
	}
	var logs strings.Builder
	if err := r.client.Logs(t.Context(), s.Replicas[0].ID, &logs); err != nil || logs.String() != "of "+s.Replicas[0].ID+"\n" {
		t.Errorf("%q, %v", logs.String(), err)
	}
	if err := r.client.Stop(t.Context(), "orders"); err != nil {
		t.Fatal(err)
	}
	r.until("stopped", func(s *supervisor.Status) bool { return s.State == "stopped" && len(s.Replicas) == 0 })
	r.apply("/two", checked)
	r.until("goes on", is("ready", 3))
	if err := r.client.Remove(t.Context(), "orders"); err != nil {
		t.Fatal(err)
	}
	r.until("removed", func(s *supervisor.Status) bool { return s.Name == "" })
	if o, err := r.client.Overview(t.Context()); err != nil || len(o.Services) != 0 || len(o.Others) != 0 || len(r.host.boxes) != 0 {
		t.Errorf("%+v, %v, %v", o, err, r.host.boxes)
	}
}

// TestAWrongCheckIsAnUpdateThatFails: a check that nobody passes stops at the first replicas that have it, and those that
// run are judged by what they were declared with.
func TestAWrongCheckIsAnUpdateThatFails(t *testing.T) {
	r := newRig(t)
	r.start()
	r.apply("/one", checked)
	before := r.until("ready", is("ready", 3))
	r.apply("/one", "replicas: 3\nhealth: [{exec: [/wrong]}]")
	s := r.until("halted", is("halted", 3))
	if !strings.Contains(s.Reason, "orders-g2-") || !strings.Contains(s.Reason, "there is no /wrong") || s.Good != 1 {
		t.Errorf("%+v", s)
	}
	for _, one := range before.Replicas {
		if !slices.Contains(r.host.running(), one.ID) {
			t.Errorf("%s was stopped", one.ID)
		}
	}
	r.stop()
	r.start()
	r.until("still", is("halted", 3))
	r.apply("/one", checked)
	if s := r.until("as before", is("ready", 3)); s.Generation != 1 {
		t.Errorf("%+v", s)
	}
}

// TestSupervisorRestarts: at whatever moment it goes away, the next one finds what runs, starts nothing twice, and notes
// what ended meanwhile.
func TestSupervisorRestarts(t *testing.T) {
	r := newRig(t)
	r.start()
	r.apply("/one", checked)
	s := r.until("ready", is("ready", 3))
	r.stop()
	r.host.end(s.Replicas[1].ID, 7, "ended")
	r.host.end(s.Replicas[2].ID, 7, "lost")
	before := r.host.running()
	r.start()
	s = r.until("all there", is("ready", 3))
	if len(s.Ended) != 2 || !strings.Contains(s.Ended[0].Reason+s.Ended[1].Reason, "status 7") || !slices.Contains(r.host.running(), before[0]) {
		t.Errorf("%+v, %v", s, r.host.running())
	}
	r.apply("/two", checked)
	for i := range 20 { // in the middle of an update
		r.clock.Advance(time.Duration(i) * 50 * time.Millisecond)
		r.stop()
		r.start()
	}
	s = r.until("updated", is("ready", 3))
	if s.Generation != 2 || len(r.host.running()) != 3 || len(r.host.started) != 8 || s.Failures != 0 && s.State != "ready" {
		t.Errorf("%+v\n%v", s, r.host.started)
	}
	if _, err := supervisor.Open(supervisor.Options{Dir: r.dir, Boxes: r.host, Clock: r.clock}); !errors.Is(err, supervisor.ErrInUse) {
		t.Errorf("a second one: %v", err)
	}
}

// TestSupervisorIsKilled: a start that goes with it is no failure of the release, and the next one starts another.
func TestSupervisorIsKilled(t *testing.T) {
	r := newRig(t)
	r.start()
	r.apply("/one", checked)
	r.until("ready", is("ready", 3))
	r.apply("/hangs", checked)
	r.until("starting", func(s *supervisor.Status) bool { return len(s.Replicas) == 4 && s.Replicas[3].State == "starting" })
	// What a killed one leaves is what is on disk, and the sandboxes.
	next := newRig(t)
	next.host = r.host
	if err := os.CopyFS(filepath.Join(next.dir, "services"), os.DirFS(filepath.Join(r.dir, "services"))); err != nil {
		t.Fatal(err)
	}
	r.host.end("orders-g2-n4", 143, "ended")
	next.start()
	s := next.until("it goes on", func(s *supervisor.Status) bool { return len(s.Replicas) == 4 && s.Replicas[3].ID == "orders-g2-n5" })
	if s.State != "updating" || s.Failures != 0 || len(s.Ended) != 1 || !strings.Contains(s.Ended[0].Reason, "cut off with the supervisor") {
		t.Errorf("%+v", s)
	}
	close(r.host.hang)
}

// TestStartThatFails: the first release is tried again and again, ever more slowly, and says why.
func TestStartThatFails(t *testing.T) {
	r := newRig(t)
	r.start()
	r.apply("/missing", "replicas: 2")
	s := r.until("failed", func(s *supervisor.Status) bool { return s.Failures >= 4 })
	if s.State != "updating" || !strings.Contains(s.Reason, "/missing can't be executed") {
		t.Errorf("%+v", s)
	}
	r.apply("/one", "replicas: 2")
	r.until("mended", is("ready", 2))
}

// TestBlind: while nobody knows what runs, nothing is started, and it is told.
func TestBlind(t *testing.T) {
	r := newRig(t)
	r.host.blind = true
	r.start()
	r.apply("/one", "")
	s := r.until("told", func(s *supervisor.Status) bool { return s.Reason == "blind" })
	if len(r.host.started) != 0 {
		t.Errorf("%+v", s)
	}
	r.host.change(func() { r.host.blind = false })
	r.until("sees again", is("ready", 1))
	r.host.change(func() { r.host.blind = true })
	r.until("does not call ready what nobody sees", func(s *supervisor.Status) bool { return s.State == "degraded" && s.Reason == "blind" })
}

// TestPausedIsNotSick: replicas that stood still, such as all at once when the disk of their records did, are not
// replaced for what they did not answer then.
func TestPausedIsNotSick(t *testing.T) {
	r := newRig(t)
	r.start()
	r.apply("/one", "replicas: 3\nhealth: [{exec: [/check], every: 100ms}]")
	r.until("ready", is("ready", 3))
	before := r.host.running()
	state := func(from, to string) {
		for id, b := range r.host.boxes {
			if b.State == from {
				b.State = to
				r.host.boxes[id] = b
			}
		}
	}
	asked := func() int {
		r.host.mu.Lock()
		defer r.host.mu.Unlock()
		return r.host.asked
	}
	r.host.change(func() { state("running", "paused") })
	r.until("paused", func(s *supervisor.Status) bool { return s.Replicas[0].State == "paused" })
	r.host.change(func() { r.host.sick["/one"] = true })
	least := asked() + 30
	r.until("asked in vain", func(*supervisor.Status) bool { return asked() > least })
	r.host.change(func() { delete(r.host.sick, "/one"); state("paused", "running") })
	r.until("ready again", is("ready", 3))
	least = asked() + 30
	r.until("asked again", func(*supervisor.Status) bool { return asked() > least })
	if after := r.host.running(); !slices.Equal(before, after) {
		t.Errorf("%v became %v", before, after)
	}
}

func TestRefusals(t *testing.T) {
	r := newRig(t)
	r.start()
	good := fmt.Sprintf(policy, "/one")
	for want, d := range map[string]supervisor.Declaration{
		"replicas: want":           {Document: []byte("version: 1\nname: orders\npolicy: p\nreplicas: 65"), Policy: []byte(good), Folder: "/"},
		"sandbox policy":           {Document: []byte("version: 1\nname: orders\npolicy: p"), Policy: []byte("version: 1"), Folder: "/"},
		"is relative":              {Document: []byte("version: 1\nname: orders\npolicy: p"), Policy: []byte(good), Folder: "x"},
		"has no \"metrics\"":       {Document: []byte("version: 1\nname: orders\npolicy: p\nhealth: [{socket: metrics}]"), Policy: []byte(good), Folder: "/"},
		"started without a mesh":   {Document: []byte("version: 1\nname: orders\npolicy: p\nmesh: {identity: 'spiffe://b.example/cell/c1/svc/orders'}"), Policy: []byte(good), Folder: "/"},
		"called with an identity":  {Document: []byte("version: 1\nname: orders\npolicy: p"), Policy: []byte(strings.Replace(good, "listen: [http]", "services: [rates]", 1)), Folder: "/"},
		"owns the host":            {Document: []byte("version: 1\nname: orders\npolicy: p"), Policy: []byte(strings.Replace(good, "listen: [http]", "sockets: [{name: d, path: /run/docker.sock}]", 1)), Folder: "/"},
		"line 4: field cpu not fo": {Document: []byte("version: 1\nname: orders\npolicy: p\ncpu: 1"), Policy: []byte(good), Folder: "/"},
	} {
		if _, err := r.client.Apply(t.Context(), d); !errors.Is(err, supervisor.ErrRefused) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
	if err := r.client.Stop(t.Context(), "orders"); !errors.Is(err, supervisor.ErrNotFound) {
		t.Error(err)
	}
}

// place is where a service is in a mesh.
type place struct {
	mu      sync.Mutex
	sockets []string
	closed  bool
	closing func() // called first. May be nil
}

// Use implements supervisor.Workload.
func (p *place) Use(sockets []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sockets = sockets
}

// Close implements supervisor.Workload.
func (p *place) Close() {
	if p.closing != nil {
		p.closing()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
}

func (p *place) now() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.sockets
}

// TestMesh: calls go to replicas that are ready, and to none that is being stopped.
func TestMesh(t *testing.T) {
	r := newRig(t)
	at, tries := &place{}, 0
	var joined supervisor.Joining
	r.join = func(_ context.Context, j supervisor.Joining) (supervisor.Workload, error) {
		if tries++; tries < 3 {
			return nil, errors.New("no mesh yet")
		}
		joined = j
		return at, nil
	}
	r.start()
	r.apply("/one", checked+"\nmesh: {identity: 'spiffe://b.example/cell/c1/svc/orders', socket: http}")
	r.until("told", func(s *supervisor.Status) bool { return s.MeshFault == "no mesh yet" })
	r.until("ready", is("ready", 3))
	r.host.change(func() {
		for id, b := range r.host.boxes {
			b.Listen = map[string]string{"http": "/socket/of/" + id}
			r.host.boxes[id] = b
		}
	})
	r.until("in the mesh", func(*supervisor.Status) bool { return len(at.now()) == 3 })
	if joined.Service != "orders" || joined.Identity != "spiffe://b.example/cell/c1/svc/orders" || joined.Folder != filepath.Join(r.dir, "run", "orders") {
		t.Errorf("%+v", joined)
	}
	r.host.end(r.host.running()[0], 1, "ended")
	r.until("one is gone", func(*supervisor.Status) bool { return len(at.now()) == 2 })
	if err := r.client.Remove(t.Context(), "orders"); err != nil {
		t.Fatal(err)
	}
	r.until("removed", func(s *supervisor.Status) bool { return s.Name == "" })
	r.stop()
	if !at.closed {
		t.Error("it is still in the mesh")
	}
}

// TestMeshIdentity: a service with another identity joins once its last place is given up, since both have one folder.
func TestMeshIdentity(t *testing.T) {
	r := newRig(t)
	release := make(chan struct{})
	first, second := &place{closing: func() { <-release }}, &place{}
	joins := make(chan string, 9)
	r.join = func(_ context.Context, j supervisor.Joining) (supervisor.Workload, error) {
		joins <- j.Identity
		if strings.HasSuffix(j.Identity, "/orders") {
			return first, nil
		}
		first.mu.Lock()
		defer first.mu.Unlock()
		if !first.closed {
			t.Error("two places at a time")
		}
		return second, nil
	}
	r.start()
	mesh := "mesh: {identity: 'spiffe://b.example/cell/c1/svc/%s', socket: http}"
	r.apply("/one", fmt.Sprintf(mesh, "orders"))
	r.until("in the mesh", func(*supervisor.Status) bool { return len(joins) == 1 })
	r.apply("/one", fmt.Sprintf(mesh, "others"))
	n := 0
	r.until("some time later", func(*supervisor.Status) bool { n++; return n > 50 })
	close(release)
	r.until("there as somebody else", func(*supervisor.Status) bool { return len(joins) == 2 })
}
