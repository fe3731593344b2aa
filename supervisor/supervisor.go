package supervisor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/sterlingrun/sterling/clock"
	"github.com/sterlingrun/sterling/sandbox"
	"github.com/sterlingrun/sterling/supervisor/service"
)

// Options are what a supervisor needs.
type Options struct {
	Dir   string // absolute; its folder, which is made if it is not there
	Boxes Boxes
	// Join gives a service its place in the mesh. Nil: services that want one are refused.
	Join  func(ctx context.Context, j Joining) (Workload, error)
	Clock clock.Clock
	Log   *slog.Logger
}

// Bounds of a supervisor.
const (
	maxServices = 256
	keptBoxes   = 20  // of a service that have ended, with their output and record
	keptEnds    = 100 // that are told of a service
	maxSocket   = 107 // bytes of the path of a Unix socket
	// drain is how long a replica goes on that gets no more calls of the mesh.
	drain = time.Second
	// look is how often plans are made where nothing changed: time alone may ask for something.
	look = 500 * time.Millisecond
	// followAgain is the pause until sandboxes are followed again.
	followAgain = time.Second
)

// Names in the folder.
const (
	Socket      = "supervisor.sock"
	SandboxDir  = "sb" // the sandboxes' own state folder; short, since paths of sockets are
	servicesDir = "services"
	offerDir    = "run"
	lockFile    = "lock"
)

// Supervisor runs services. Make it with Open, and run it with Run, once.
type Supervisor struct {
	o       Options
	lock    *os.File
	life    context.Context //nolint:containedctx // of Run: what runs beside the loop ends with it
	running sync.WaitGroup
	loop    chan func()
	ended   chan struct{} // closed when the loop takes nothing more
	begun   sync.Map      // replicas that were started

	// All below is the loop's.
	seen     bool // sandboxes were listed
	boxes    map[string]Box
	fault    string // why sandboxes can't be followed
	services map[string]*unit
}

// A unit is a service at work.
type unit struct {
	spec  *service.Spec
	state service.State
	saved []byte // of state, as it is on disk
	fault string // why nothing is done about it

	mine     map[string]bool  // starts that this process has begun
	starting map[string]bool  // of them, those that are not listed yet
	failed   map[string]error // starts that failed
	cleaned  map[string]bool  // sandboxes whose runner was lost, and nothing of which is left
	removed  map[string]bool  // sandboxes that were removed, and may still be listed
	busy     map[string]bool  // sandboxes that something is being done about
	probes   map[string]*probe
	mesh     *attachment     // nil: it has no identity
	left     <-chan struct{} // closed when its last place in the mesh is given up; nil: there was none
}

// ErrInUse is wrapped where another supervisor runs in the folder.
var ErrInUse = errors.New("another supervisor runs in this folder")

// Open takes the folder, and reads what was declared there.
func Open(o Options) (*Supervisor, error) {
	for _, dir := range []string{"", servicesDir, offerDir, SandboxDir} {
		if err := os.MkdirAll(filepath.Join(o.Dir, dir), 0o700); err != nil {
			return nil, fmt.Errorf("make the folder of services: %w", err)
		}
	}
	lock, err := os.OpenFile(filepath.Join(o.Dir, lockFile), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock the folder of services: %w", err)
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("%w: %s", ErrInUse, o.Dir), lock.Close())
	}
	s := &Supervisor{
		o: o, lock: lock, life: context.Background(), loop: make(chan func()), ended: make(chan struct{}),
		boxes: map[string]Box{}, services: map[string]*unit{},
	}
	if err := s.load(); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return s, nil
}

func (s *Supervisor) load() error {
	entries, err := os.ReadDir(filepath.Join(s.o.Dir, servicesDir))
	if err != nil {
		return fmt.Errorf("read what was declared: %w", err)
	}
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), ".json")
		if !ok {
			continue // a file that was being replaced
		}
		text, err := os.ReadFile(filepath.Join(s.o.Dir, servicesDir, e.Name()))
		u := newUnit()
		if err == nil {
			err = json.Unmarshal(text, &u.state)
		}
		if err == nil {
			u.spec, err = service.Parse(u.state.Document)
		}
		if err == nil && u.spec.Name != name {
			err = fmt.Errorf("it declares %q", u.spec.Name)
		}
		if err != nil {
			return fmt.Errorf("read what was declared of %s: %w", name, err)
		}
		u.saved = text
		s.services[name] = u
	}
	return nil
}

func newUnit() *unit {
	return &unit{mine: map[string]bool{}, starting: map[string]bool{}, failed: map[string]error{}, cleaned: map[string]bool{}, removed: map[string]bool{}, busy: map[string]bool{}, probes: map[string]*probe{}}
}

// Run runs services until ctx ends. Their replicas go on; whoever runs in the folder next finds them.
func (s *Supervisor) Run(ctx context.Context) error {
	life, cancel := context.WithCancel(ctx)
	s.life = life
	s.running.Go(func() { s.follow(life) })
	for {
		s.step()
		due, stop := s.o.Clock.After(look)
		select {
		case f := <-s.loop:
			f()
		case <-due:
		case <-ctx.Done():
			stop()
			cancel()
			close(s.ended)
			s.running.Wait()
			return errors.Join(s.leave(), s.lock.Close())
		}
		stop()
	}
}

// leave takes down which starts have succeeded, for the next supervisor. All that ran beside the loop has ended.
func (s *Supervisor) leave() error {
	var errs []error
	for name, u := range s.services {
		maps.DeleteFunc(u.state.Starting, func(id string, _ bool) bool { _, runs := s.begun.Load(id); return runs })
		errs = append(errs, s.save(name, u))
	}
	return errors.Join(errs...)
}

// post has the loop do something, unless it has ended.
func (s *Supervisor) post(f func()) {
	select {
	case s.loop <- f:
	case <-s.ended:
	}
}

// follow keeps the list of sandboxes up to date.
func (s *Supervisor) follow(ctx context.Context) {
	for {
		err := s.o.Boxes.Follow(ctx, func(all []Box) {
			s.post(func() {
				s.seen, s.fault = true, ""
				clear(s.boxes)
				for _, b := range all {
					b.Reason = plain(b.Reason)
					s.boxes[b.ID] = b
				}
				for _, u := range s.services {
					maps.DeleteFunc(u.starting, func(id string, _ bool) bool { _, there := s.boxes[id]; return there })
				}
			})
		})
		if ctx.Err() != nil {
			return
		}
		s.post(func() {
			if s.fault == "" {
				s.o.Log.Error("sandboxes can't be followed: nothing is started or stopped", "error", err)
			}
			s.seen, s.fault = false, err.Error()
		})
		if clock.Sleep(ctx, s.o.Clock, followAgain) != nil {
			return
		}
	}
}

// step does what the plan of every service says. While nobody knows what is there, nothing is done.
func (s *Supervisor) step() {
	if !s.seen {
		return
	}
	for _, name := range slices.Sorted(maps.Keys(s.services)) {
		u := s.services[name]
		s.settle(u)
		replicas := s.replicas(u)
		now := s.o.Clock.Wall()
		ends := len(u.state.Ended)
		for _, r := range replicas {
			if r.Phase == service.Over && !u.state.Known(r.ID) {
				u.state.Note(u.spec, r.End, now)
			}
		}
		ended := slices.Clone(u.state.Ended[ends:])
		halted := u.state.Halted
		plan := service.Next(u.spec, &u.state, replicas, now)
		start := u.state.Apply(u.spec, plan, now)
		s.forget(u)
		for _, e := range ended { // even if it can't be kept
			s.o.Log.Info("a replica has ended", "service", name, "replica", e.ID, "reason", e.Reason, "asked", e.Asked, "head", e.Head, "gaps", e.Gaps, "alerts", e.Alerts)
		}
		if err := s.save(name, u); err != nil { // told; and what is not on disk is not done
			for _, id := range start {
				delete(u.state.Starting, id)
			}
			continue
		}
		if u.state.Halted != halted {
			s.o.Log.Error("an update does not go on", "service", name, "reason", u.state.Halted)
		}
		s.connect(name, u)
		s.act(u, start)
		if u.state.Removed && plan.Settled && len(start) == 0 {
			s.remove(name, u)
		}
	}
}

// settle finds out what became of starts. One that another process had begun is cut off, even if the workload seems to
// run: its runner may be about to end it, because nobody waited for it any more.
func (s *Supervisor) settle(u *unit) {
	for id := range u.state.Starting {
		box := s.boxes[id]
		switch {
		case !u.mine[id]:
			u.state.CutOff(id)
		case box.State == stateRunning, box.over(), u.failed[id] != nil:
			delete(u.state.Starting, id)
			delete(u.mine, id)
			s.begun.Delete(id)
		}
	}
}

// replicas are those of a service: what is there, and what this process has begun to start.
func (s *Supervisor) replicas(u *unit) []service.Replica {
	var all []service.Replica
	for id, err := range u.failed {
		if _, there := s.boxes[id]; !there {
			all = append(all, service.Replica{ID: id, Phase: service.Over, End: endOf(id, Box{}, err)})
		}
	}
	for id := range u.starting {
		all = append(all, service.Replica{ID: id})
	}
	for id, box := range s.boxes {
		name, _, _, ok := service.ParseReplica(id)
		if !ok || name != u.spec.Name {
			continue
		}
		r := service.Replica{ID: id}
		switch {
		case box.over():
			r.Phase, r.End = service.Over, endOf(id, box, u.failed[id])
		case u.failed[id] != nil: // it may have come to life all the same
			r.Failing = plain(u.failed[id].Error())
		case box.State == statePaused:
			// A rule, or a recorder that is gone. One that is only silent comes back: nothing happens to it either.
			r.Phase = service.Held
		default:
			if p := u.probes[id]; p != nil {
				r.Ready = p.ready.Load()
				r.Failing = p.failing(s.o.Clock.Mono(), time.Duration(u.spec.StartTime))
			}
		}
		all = append(all, r)
	}
	return all
}

func endOf(id string, box Box, err error) service.Ended {
	e := service.Ended{ID: id, Exit: box.Exit, Reason: box.Reason, Head: box.Audit.Head, Gaps: box.Audit.Gaps, Alerts: box.Audit.Alerts}
	switch {
	case err != nil && box.Exit == nil:
		e.Reason = plain(err.Error())
	case box.Exit != nil && *box.Exit != 0:
		e.Reason = fmt.Sprintf("%s, status %d", box.Reason, *box.Exit)
	}
	return e
}

// forget drops ends that are told long enough, of sandboxes that are not there any more.
func (s *Supervisor) forget(u *unit) {
	for len(u.state.Ended) > keptEnds {
		if _, there := s.boxes[u.state.Ended[0].ID]; there {
			return
		}
		u.state.Ended = slices.Delete(u.state.Ended, 0, 1)
	}
}

// connect brings probes and the mesh to where the state is: a replica that is to stop gets no more calls.
func (s *Supervisor) connect(name string, u *unit) {
	for id, p := range u.probes {
		if box, there := s.boxes[id]; !there || box.State != stateRunning && box.State != statePaused {
			p.stop()
			delete(u.probes, id)
		}
	}
	var sockets []string
	for _, id := range slices.Sorted(maps.Keys(s.boxes)) {
		box := s.boxes[id]
		if of, _, _, ok := service.ParseReplica(id); !ok || of != name || box.State != stateRunning {
			continue
		}
		p := u.probes[id]
		if p == nil {
			p = s.probe(u, box)
		}
		_, stopping := u.state.Stopping[id]
		if u.spec.Mesh != nil && p.ready.Load() && !stopping && box.Listen[u.spec.Mesh.Socket] != "" {
			sockets = append(sockets, box.Listen[u.spec.Mesh.Socket])
		}
	}
	if u.mesh != nil && (u.spec.Mesh == nil || u.spec.Mesh.Identity != u.mesh.identity || u.state.Stopped) {
		u.leave()
	}
	if u.mesh == nil && u.spec.Mesh != nil && !u.state.Stopped && s.o.Join != nil {
		u.mesh = s.attach(Joining{Service: name, Identity: u.spec.Mesh.Identity, Folder: s.offer(name)}, u.left)
	}
	if u.mesh != nil {
		u.mesh.use(sockets)
	}
}

func (s *Supervisor) offer(name string) string { return filepath.Join(s.o.Dir, offerDir, name) }

// probe begins to ask a replica, by the checks that it was declared with.
func (s *Supervisor) probe(u *unit, box Box) *probe {
	_, generation, _, _ := service.ParseReplica(box.ID)
	ctx, stop := context.WithCancel(s.life)
	p := &probe{stop: stop, since: s.o.Clock.Mono(), health: u.state.Release(generation).Health}
	p.ready.Store(len(p.health) == 0)
	u.probes[box.ID] = p
	p.start(ctx, s, box)
	return p
}

// act starts and stops, each in the background.
func (s *Supervisor) act(u *unit, start []string) {
	for _, id := range start {
		s.start(u, id)
	}
	for _, id := range slices.Sorted(maps.Keys(u.state.Stopping)) {
		if box, there := s.boxes[id]; there && !box.over() {
			s.stop(u, id)
		} else if !there && !u.starting[id] && u.failed[id] == nil {
			delete(u.state.Stopping, id) // somebody removed it
		}
	}
	kept := keptBoxes
	if u.state.Removed {
		kept = 0
	}
	for i := range u.state.Ended {
		id := u.state.Ended[i].ID
		box, there := s.boxes[id]
		switch {
		case !there:
			delete(u.failed, id)
			delete(u.cleaned, id)
			delete(u.removed, id)
		case u.removed[id]: // the list is older
		case box.State == stateLost && !u.cleaned[id]:
			s.do(u, id, "clean up after a runner that is gone", func(ctx context.Context) error {
				err := s.o.Boxes.Stop(ctx, id)
				s.post(func() { u.cleaned[id] = err == nil })
				return err
			})
		case i < len(u.state.Ended)-kept:
			s.do(u, id, "remove a replica that has ended", func(ctx context.Context) error {
				err := s.o.Boxes.Remove(ctx, id)
				s.post(func() { u.removed[id] = err == nil })
				return err
			})
		}
	}
}

func (s *Supervisor) start(u *unit, id string) {
	_, generation, _, _ := service.ParseReplica(id)
	release := u.state.Release(generation)
	what := Start{ID: id, Policy: release.Policy, Folder: release.Folder}
	if policy, err := sandbox.Parse(release.Policy); err == nil && len(policy.Network.Services) > 0 {
		what.Services = s.offer(u.spec.Name)
	}
	u.mine[id], u.starting[id] = true, true
	s.running.Go(func() {
		// It is waited for at the end: a start that is cut off would be a replica that has failed.
		err := s.o.Boxes.Start(context.WithoutCancel(s.life), what)
		if err == nil {
			s.begun.Store(id, true)
		}
		s.post(func() {
			if err != nil { // otherwise it is starting until it is listed: the list may be older
				delete(u.starting, id)
				u.failed[id] = err
			}
		})
	})
}

func (s *Supervisor) stop(u *unit, id string) {
	inMesh := u.spec.Mesh != nil
	s.do(u, id, "stop a replica", func(ctx context.Context) error {
		if inMesh {
			if err := clock.Sleep(ctx, s.o.Clock, drain); err != nil {
				return nil //nolint:nilerr // the next supervisor does it
			}
		}
		return s.o.Boxes.Stop(ctx, id)
	})
}

// do does something about a sandbox in the background, one thing at a time.
func (s *Supervisor) do(u *unit, id, name string, what func(ctx context.Context) error) {
	if u.busy[id] {
		return
	}
	u.busy[id] = true
	s.running.Go(func() {
		err := what(s.life)
		if err != nil && s.life.Err() == nil {
			s.o.Log.Error(name, "replica", id, "error", err)
			_ = clock.Sleep(s.life, s.o.Clock, followAgain) // and again
		}
		s.post(func() { delete(u.busy, id) })
	})
}
