package gvisor

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/sterlingrun/sterling/clock"
	"github.com/sterlingrun/sterling/sandbox"
)

// A Pool keeps started sandboxes ready, some for each policy. Run and Start of any process with the same state folder
// take them; a sandbox that was taken is that workload's only, and ends with it. When the pool ends, the idle ones end,
// and those that were taken go on.
type Pool struct {
	Runner   *Runner
	Policies []Pooled
	MaxAge   time.Duration // of an idle sandbox, which is then replaced; 1 min to 30 days
	Log      *slog.Logger
}

// Pooled is one policy of a pool.
type Pooled struct {
	Policy []byte // the document
	Folder string // absolute; what relative paths of the policy start from
	Idle   int    // sandboxes that are to be ready
}

// Bounds of a pool.
const (
	MaxIdle    = 64 // sandboxes, of all policies together
	maxPoolAge = 30 * 24 * time.Hour
	retryFirst = time.Second // after a sandbox that could not be started, or ended; then twice as long each time
	retryMost  = time.Minute
	// headStart is for the workload that took a sandbox to start, before the one in its place is: that takes all of a core,
	// and three times as long.
	headStart = 50 * time.Millisecond
)

// ErrPool is wrapped where a pool can't be as it is asked for.
var ErrPool = errors.New("sandbox pool")

// Run keeps the pool until ctx ends. Only one process can do so in a state folder.
func (p *Pool) Run(ctx context.Context) error {
	if err := p.verify(); err != nil {
		return err
	}
	lock, err := p.claim(ctx)
	if err != nil {
		return err
	}
	defer lock.Close() //nolint:errcheck // nothing is written there
	var all sync.WaitGroup
	turn := make(chan struct{}, 1) // one start at a time: they take all of a core
	for _, policy := range p.Policies {
		for range policy.Idle {
			all.Go(func() { p.fill(ctx, policy, turn) })
		}
	}
	all.Wait()
	return nil
}

// verify finds out before anything is started what can't go well.
func (p *Pool) verify() error {
	if err := Probe(); err != nil {
		return err
	}
	if p.MaxAge < time.Minute || p.MaxAge > maxPoolAge {
		return fmt.Errorf("%w: an age of %v; 1 minute to 30 days", ErrPool, p.MaxAge)
	}
	idle := 0
	for _, one := range p.Policies {
		policy, err := read(one.Policy, one.Folder, "")
		if err != nil {
			return err
		}
		if policy.Isolation.Kind() != sandbox.GVisor {
			return fmt.Errorf("%w: %s: %w", ErrPool, policy.Name, errPool)
		}
		if !policy.CanIdle() {
			return fmt.Errorf("%w: %s can't idle: it denies a system call that an idle sandbox needs, or has network.services or network.listen", ErrPool, policy.Name)
		}
		if one.Idle < 1 || one.Idle > MaxIdle {
			return fmt.Errorf("%w: %d sandboxes; 1 to %d", ErrPool, one.Idle, MaxIdle)
		}
		idle += one.Idle
	}
	if idle < 1 || idle > MaxIdle {
		return fmt.Errorf("%w: %d sandboxes of all policies; 1 to %d", ErrPool, idle, MaxIdle)
	}
	return nil
}

// claim makes this process the only one of this pool, and removes what another left.
func (p *Pool) claim(ctx context.Context) (io.Closer, error) {
	folder := p.Runner.slot("")
	if err := os.MkdirAll(folder.folder, 0o700); err != nil {
		return nil, fmt.Errorf("make the pool's folder: %w", err)
	}
	lock, err := folder.lock(syscall.LOCK_EX)
	if err != nil {
		return nil, fmt.Errorf("%w: another process keeps one in %s: %w", ErrPool, p.Runner.State, err)
	}
	entries, err := os.ReadDir(folder.folder)
	for _, e := range entries {
		if !e.IsDir() || !sandbox.ValidName(e.Name()) {
			continue
		}
		if err := p.Runner.sweep(ctx, e.Name()); err != nil {
			p.Log.Warn("an idle sandbox of an earlier pool was not removed", "slot", e.Name(), "err", err)
		}
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("list the pool: %w", err), lock.Close())
	}
	return lock, nil
}

// fill keeps one sandbox ready.
func (p *Pool) fill(ctx context.Context, policy Pooled, turn chan struct{}) {
	pause := retryFirst
	for ctx.Err() == nil {
		slot, err := p.keep(ctx, policy, turn)
		if err == nil {
			pause = retryFirst
			continue
		}
		err = errors.Join(err, p.Runner.sweep(ctx, slot))
		p.Log.Warn("an idle sandbox ended", "slot", slot, "again_in", pause, "err", err)
		if clock.Sleep(ctx, p.Runner.Clock, pause) != nil {
			return
		}
		pause = min(2*pause, retryMost)
	}
}

// keep starts one sandbox, and returns when it was taken, has reached its age, or has ended, which is an error.
func (p *Pool) keep(ctx context.Context, policy Pooled, turn chan struct{}) (slot string, err error) {
	key, err := p.Runner.key(policy.Policy, policy.Folder)
	if err != nil {
		return "none", err
	}
	slot = slotPrefix(key) + strings.ToLower(rand.Text()[:8])
	select {
	case turn <- struct{}{}:
	case <-ctx.Done():
		return slot, nil
	}
	k, err := p.Runner.startKeeper(keepOrder{Slot: slot, Policy: policy.Policy, Folder: policy.Folder})
	if err == nil {
		err = k.expect(ctx, func(r keepReport) bool { return r.Ready })
	}
	<-turn
	if err != nil {
		return slot, err
	}
	p.Log.Info("a sandbox is ready", "slot", slot)
	aged, cancel := context.WithTimeout(ctx, p.MaxAge)
	defer cancel()
	err = k.expect(aged, func(r keepReport) bool { return r.Taken })
	if aged.Err() != nil {
		return slot, nil // it was told to end
	}
	if err == nil {
		p.Log.Info("a sandbox was taken", "slot", slot)
		_ = clock.Sleep(ctx, p.Runner.Clock, headStart) // a pool that ends starts nothing more
	}
	return slot, err
}

// A keeper is the process of one sandbox.
type keeper struct {
	cmd     *exec.Cmd
	talk    *net.UnixConn // as long as it is open to write to, what idles does so
	reports chan keepReport
}

// startKeeper starts a process that does not end with this one, except as long as its sandbox idles.
func (r *Runner) startKeeper(o keepOrder) (*keeper, error) {
	text, err := json.Marshal(o)
	if err != nil {
		return nil, fmt.Errorf("write the keeper's order: %w", err)
	}
	ours, theirs, err := socketPair()
	if err != nil {
		return nil, err
	}
	defer theirs.Close() //nolint:errcheck // the keeper has its own
	k := &keeper{cmd: exec.Command(r.Program, KeepCommand, "--state", r.State), talk: ours, reports: make(chan keepReport, 4)}
	k.cmd.Env, k.cmd.Dir, k.cmd.ExtraFiles = []string{}, "/", []*os.File{theirs}
	k.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := k.cmd.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("start a keeper: %w", err), ours.Close())
	}
	// Ends with the process. It is the sandbox's, not this one's: nobody waits for it here.
	go k.listen()
	if _, err := ours.Write(append(text, '\n')); err != nil {
		return nil, errors.Join(fmt.Errorf("start a keeper: %w", err), ours.Close())
	}
	return k, nil
}

func (k *keeper) listen() {
	defer close(k.reports)
	for d := json.NewDecoder(io.LimitReader(k.talk, maxOrder)); ; {
		var one keepReport
		if d.Decode(&one) != nil {
			break
		}
		k.reports <- one // there is room for all that it says
	}
	_ = k.cmd.Wait() // what it said tells
	_ = k.talk.Close()
}

// expect waits for a report. When ctx ends before it comes, the keeper is told so, and has ended when expect returns.
func (k *keeper) expect(ctx context.Context, wanted func(keepReport) bool) error {
	done := ctx.Done()
	for {
		select {
		case r, ok := <-k.reports:
			switch {
			case !ok && done == nil:
				return ctx.Err()
			case !ok:
				return errors.New("its keeper ended without a word")
			case r.Error != "":
				return remote(r.Error, r.NotStarted, r.Exists)
			case wanted(r):
				return nil
			}
		case <-done:
			done = nil
			_ = k.talk.CloseWrite()
		}
	}
}

// Start runs a workload like Run, but returns when it runs. It goes on when this process ends, with a process of its own
// as its runner. Its output is in the log only.
func (r *Runner) Start(ctx context.Context, o Options) (*Status, error) {
	if err := Probe(); err != nil {
		return nil, err
	}
	if !filepath.IsAbs(o.Folder) {
		return nil, fmt.Errorf("start %s: the folder %q is relative", o.ID, o.Folder)
	}
	policy, err := read(o.Policy, o.Folder, o.Services)
	if err != nil {
		return nil, err
	}
	if !o.Cold && policy.Isolation.Kind() == sandbox.GVisor {
		s, err := r.take(ctx, o, true)
		if !errors.Is(err, errNoneIdle) {
			return s, err
		}
	}
	k, err := r.startKeeper(keepOrder{ID: o.ID, Policy: o.Policy, Folder: o.Folder, Services: o.Services})
	if err != nil {
		return nil, err
	}
	if err := k.expect(ctx, func(r keepReport) bool { return r.Started }); err != nil {
		return nil, err
	}
	return r.Inspect(o.ID)
}
