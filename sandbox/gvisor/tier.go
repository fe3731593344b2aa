package gvisor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"

	"github.com/sterlingrun/sterling/sandbox"
)

// A Tier runs workloads in kernels of another kind than gVisor's. A Runner keeps their lives, times, freezes and records
// as it keeps those of gVisor: the kernel sends its events to the recorder as gVisor's does.
type Tier interface {
	// Level is what a policy gets that wants a kind or a level. The error wraps ErrUnavailable.
	Level(ctx context.Context, want sandbox.Isolation) (sandbox.Isolation, error)
	Start(l Launch) (Kernel, error)
	// Exec runs one more command in what was started in a folder. The error wraps ErrNotExecuted where the kernel in
	// there could not execute it.
	Exec(ctx context.Context, folder string, argv []string, stdin io.Reader, stdout, stderr io.Writer) (int, error)
	// Forget removes what is left of a sandbox whose runner was killed.
	Forget(ctx context.Context, folder, cgroup string) error
}

// ErrNotExecuted is wrapped where the sandbox itself could not execute a command, such as one that it does not have.
var ErrNotExecuted = errors.New("the sandbox did not execute it")

// Launch is what a kernel of a Tier is started with.
type Launch struct {
	Level  sandbox.Isolation
	Folder string // of the sandbox
	Root   string // the unpacked root file system
	// Policy has the relays in the places of its sockets.
	Policy         *sandbox.Policy
	Cgroup         string // below the mount of each controller
	AuditSocket    string // where the recorder listens
	Stdout, Stderr io.Writer
}

// A Kernel is one that runs a workload.
type Kernel interface {
	// Exited delivers the workload's exit once everything of the sandbox has ended; -1 where it did not start.
	Exited() <-chan int
	// Signal sends TERM or KILL. An error means that there is no workload yet.
	Signal(ctx context.Context, name string) error
	End() // at once
	// Forget removes what is left of what has ended, however it ended.
	Forget(ctx context.Context) error
	Said() string // why the workload did not start
}

// level is what a policy gets: what it asks for, or an error.
func (r *Runner) level(ctx context.Context, want sandbox.Isolation) (sandbox.Isolation, error) {
	switch want.Kind() {
	case sandbox.GVisor:
		if err := r.gvisorThere(); err != nil {
			return "", err
		}
		if want != sandbox.GVisorKVM {
			return sandbox.GVisorSystrap, nil
		}
		return want, r.BootsKVM(ctx)
	case sandbox.Kata:
		return "", kataMissing()
	}
	tier := r.Tiers[want.Kind()]
	if tier == nil {
		return "", fmt.Errorf("%w: %s: this program was built without it", ErrUnavailable, want)
	}
	return tier.Level(ctx, want)
}

// kataMissing says why there is no Kata here: since its release 2 it is run by container engines only, and has no command
// of its own that starts a workload.
func kataMissing() error {
	var missing []string
	if _, err := os.Stat("/dev/kvm"); err != nil {
		missing = append(missing, "/dev/kvm (processors with virtualisation, which a virtual machine often has not)")
	}
	if _, err := exec.LookPath("containerd-shim-kata-v2"); err != nil {
		missing = append(missing, "containerd-shim-kata-v2 (install Kata Containers, and containerd)")
	}
	why := "Kata is run by container engines, not by this program: run the policy on Kubernetes (compile writes the objects), or say own-kernel here"
	if len(missing) > 0 {
		why += "; for Kata, this host lacks " + strings.Join(missing, " and ")
	}
	return fmt.Errorf("%w: %s", ErrUnavailable, why)
}

// startKernel starts what the session's level asks for.
func (s *session) startKernel(plan *prepared, idle *initFiles) (<-chan int, error) {
	stdout, stderr := tee(s.log, s.options.Stdout), tee(s.log, s.options.Stderr)
	if tier := s.Tiers[s.status.Isolation.Kind()]; tier != nil {
		kernel, err := tier.Start(Launch{
			Level: s.status.Isolation, Folder: s.place.folder, Root: plan.root, Policy: plan.policy, Cgroup: plan.cgroup,
			AuditSocket: s.place.path(fileSocket), Stdout: stdout, Stderr: stderr,
		})
		if err != nil {
			return nil, err
		}
		s.kernel = kernel
		return kernel.Exited(), nil
	}
	c := s.runsc(s.place, s.name())
	c.flags, c.init = plan.Flags, idle
	s.kernel = c
	return c.run(stdout, stderr)
}

// forget removes what is left of a sandbox whose runner was killed.
func (r *Runner) forget(ctx context.Context, p place, s *Status) error {
	if tier := r.Tiers[s.Isolation.Kind()]; tier != nil {
		_, cgroup := r.group(s.name())
		return tier.Forget(ctx, p.folder, cgroup)
	}
	return r.runsc(p, s.name()).Forget(ctx)
}

// errPool is for policies that can't have a pool.
var errPool = errors.New("only gVisor's sandboxes can idle: use isolation: gvisor, or no pool")

// Available says of one level whether this host has it.
type Available struct {
	Level sandbox.Isolation
	Err   error // nil: it has
}

// Levels tells which levels this host has, by booting what it does not know yet: half a minute each at most.
func (r *Runner) Levels(ctx context.Context) []Available {
	var all []Available
	for _, l := range []sandbox.Isolation{
		sandbox.GVisorSystrap, sandbox.GVisorKVM, sandbox.OwnKernelKVM, sandbox.OwnKernelTCG, sandbox.Kata,
	} {
		err := Probe()
		if err == nil {
			_, err = r.level(ctx, l)
		}
		all = append(all, Available{l, err})
	}
	return all
}
