package gvisor

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"syscall"

	"github.com/sterlingrun/sterling/clock"
	"github.com/sterlingrun/sterling/sandbox"
	"github.com/sterlingrun/sterling/sandbox/trail"
)

// Runner runs sandboxes, and finds those that others run with the same State.
type Runner struct {
	// Program is the absolute path of a program that calls Record when its first argument is RecordCommand, and Keep when
	// it is KeepCommand.
	Program string
	GVisor  string // the absolute path of cmd/sterling-sandbox/runsc
	State   string // absolute; a folder that is made if it is not there
	Clock   clock.Clock
	Heads   HeadLog // nil: heads of records are not logged
	// Tiers are kernels of other kinds than gVisor's, by kind. May be nil.
	Tiers map[sandbox.Isolation]Tier
}

// RecordCommand makes Runner.Program call Record with its control on standard input, its status on standard output,
// its listener at descriptor 3 and its file at descriptor 4.
const RecordCommand = "record-events"

// ErrNotStarted is wrapped where gVisor could not start the workload. The text is gVisor's.
var ErrNotStarted = errors.New("the workload did not start")

// Options are what differs from one run to the next.
type Options struct {
	ID     string // a DNS label that no other sandbox of this State has
	Policy []byte // the document
	Folder string // absolute; what relative paths of the policy start from
	// Services is the folder, absolute, of the sockets that network.services of the policy names; of a mesh proxy that
	// calls them as who this workload is. Empty: a policy that names any is refused.
	Services string
	// Stdout and Stderr get what the workload writes, besides the log. Nil: only the log.
	Stdout, Stderr io.Writer
	// Started is called when the workload runs, before Run returns. May be nil.
	Started func()
	// Cold: no sandbox of a pool is taken, even if there is one.
	Cold bool
}

// Run runs one workload to its end and returns the final status, whose Exit is the workload's. When ctx ends, the
// workload is stopped. An error means that it did not start, or that its end could not be recorded.
func (r *Runner) Run(ctx context.Context, o Options) (*Status, error) {
	if err := Probe(); err != nil {
		return nil, err
	}
	policy, err := read(o.Policy, o.Folder, o.Services)
	if err != nil {
		return nil, err
	}
	p, err := r.place(o.ID)
	if err != nil {
		return nil, err
	}
	if !o.Cold && policy.Isolation.Kind() == sandbox.GVisor {
		s, err := r.take(ctx, o, false)
		if !errors.Is(err, errNoneIdle) {
			return s, err
		}
	}
	level, err := r.level(ctx, policy.Isolation)
	if err != nil {
		return nil, err
	}
	lock, err := r.claim(p, o.ID)
	if err != nil {
		return nil, err
	}
	defer lock.Close() //nolint:errcheck // nothing is written there
	s := r.session(p, policy, level, o)
	s.status.Start = StartCold
	return &s.status, s.close(s.run(ctx))
}

// read reads a policy as it is to be enforced here.
func read(document []byte, folder, services string) (*sandbox.Policy, error) {
	policy, err := sandbox.Parse(document)
	if err != nil {
		return nil, err
	}
	if len(policy.Network.Services) > 0 && services == "" {
		return nil, fmt.Errorf("%w: network.services: nobody says who calls %s: run it by `sterling service`, or name a folder of their sockets", sandbox.ErrPolicy, policy.Network.Services[0])
	}
	policy.Resolve(folder)
	policy.Broker(filepath.Join("/", services))
	return policy, settle(policy)
}

func (r *Runner) session(p place, policy *sandbox.Policy, level sandbox.Isolation, o Options) *session {
	s := &session{Runner: r, place: p, options: o, policy: policy}
	sum := sha256.Sum256(o.Policy)
	s.status = Status{
		ID: o.ID, State: StateStarting, Isolation: level, Policy: hex.EncodeToString(sum[:]), Root: policy.Root.Directory,
		Command: policy.Command, Runner: os.Getpid(), Created: r.Clock.Wall(),
	}
	return s
}

// close writes down how a run ended, and returns its error with those of doing so.
func (s *session) close(err error) error {
	s.status.Ended, s.status.State = s.Clock.Wall(), StateEnded
	if err != nil && s.status.Reason == "" {
		s.status.Reason = err.Error()
	}
	if s.log != nil {
		s.log.close()
	}
	// First clean: where the disk is full, that makes room for the status.
	return errors.Join(err, s.clean(), s.place.save(&s.status))
}

// claim makes the folder of a new sandbox and takes its lock.
func (r *Runner) claim(p place, id string) (*os.File, error) {
	if err := os.MkdirAll(filepath.Dir(p.folder), 0o700); err != nil {
		return nil, fmt.Errorf("make the state folder: %w", err)
	}
	err := os.Mkdir(p.folder, 0o700)
	if errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("%w: %s; choose another, or remove it", ErrExists, id)
	}
	if err != nil {
		return nil, fmt.Errorf("make the sandbox's folder: %w", err)
	}
	lock, err := p.lock(syscall.LOCK_EX)
	if err != nil {
		return nil, fmt.Errorf("lock the sandbox's folder: %w", err)
	}
	return lock, nil
}

// prepared is what a kernel starts from.
type prepared struct {
	*sandbox.Plan
	root, cgroup string
	policy       *sandbox.Policy // with the relays
}

// prepare makes everything that gVisor and the recorder start from. The plan is for the bundle that it wrote.
func (s *session) prepare(ctx context.Context, idle bool) (*prepared, error) {
	if err := os.WriteFile(s.place.path(filePolicy), s.options.Policy, 0o600); err != nil {
		return nil, fmt.Errorf("keep the policy: %w", err)
	}
	root, file, err := s.root(ctx)
	if err != nil {
		return nil, err
	}
	var cgroup string
	s.cgroup, cgroup = s.group(s.name())
	site := sandbox.Site{
		ID: s.name(), Root: root, RootFile: file, AuditSocket: s.place.path(fileSocket), Cgroup: cgroup, Listen: s.place.path(listenFolder), Idle: idle,
		KVM: s.status.Isolation == sandbox.GVisorKVM,
	}
	if _, err := sandbox.Compile(s.policy, site); err != nil { // before anything listens for it
		return nil, err
	}
	relayed, err := s.startRelays()
	if err != nil {
		return nil, err
	}
	if site.Listen, err = s.startListens(); err != nil {
		return nil, err
	}
	plan, err := sandbox.Compile(relayed, site)
	if err != nil {
		return nil, err
	}
	for name, text := range map[string][]byte{"config.json": plan.Spec, "trace.json": plan.Trace} {
		if err := os.WriteFile(s.place.path(name), text, 0o600); err != nil {
			return nil, fmt.Errorf("write the bundle: %w", err)
		}
	}
	return &prepared{plan, root, cgroup, relayed}, nil
}

func (s *session) beginning() trail.Begin {
	return trail.Begin{
		Sandbox: s.options.ID, Policy: s.status.Policy, Root: s.status.Root, Isolation: string(s.status.Isolation), Nonce: rand.Text(),
		Unseen: s.status.Isolation.Unseen(),
	}
}

// clean removes what an ended sandbox needs no more. Policy, status, output and record stay.
func (s *session) clean() error {
	s.relays.close() // of a sandbox that was not started
	s.status.Listen = nil
	errs := []error{s.place.endListens()}
	for i := range s.relays {
		errs = append(errs, os.RemoveAll(s.place.path("s"+strconv.Itoa(i))))
	}
	for _, name := range []string{"root", fileRoot, "layout", "config.json", "trace.json", fileSocket, fileTake} {
		errs = append(errs, os.RemoveAll(s.place.path(name)))
	}
	return errors.Join(errs...)
}

// Remove forgets a sandbox that has ended or is lost, with its output and its record.
func (r *Runner) Remove(id string) error {
	p, err := r.place(id)
	if err != nil {
		return err
	}
	if _, err := os.Stat(p.folder); err != nil {
		return fmt.Errorf("%w: %s", ErrNotFound, id)
	}
	lock, err := p.lock(syscall.LOCK_EX)
	if err != nil {
		return fmt.Errorf("remove %s: it is running; stop it first", id)
	}
	defer lock.Close() //nolint:errcheck // nothing is written there
	if err := errors.Join(p.endListens(), os.RemoveAll(p.folder)); err != nil {
		return fmt.Errorf("remove %s: %w", id, err)
	}
	r.packedRoots().prune()
	return nil
}
