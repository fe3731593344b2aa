package gvisor

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/sterlingrun/sterling/clock"
)

// ErrUnavailable is wrapped where this host can't isolate a workload as its policy asks. The text says what is missing.
var ErrUnavailable = errors.New("no isolation available")

// cgroupMount is where the kernel's control groups are.
const cgroupMount = "/sys/fs/cgroup"

// controllers are the ones that limits and the freeze need.
var controllers = []string{"memory", "cpu", "pids", "freezer"}

// gvisorThere tells whether gVisor's program is there. The error wraps ErrUnavailable.
func (r *Runner) gvisorThere() error {
	if _, err := os.Stat(r.GVisor); err != nil {
		return fmt.Errorf("%w: missing: gVisor's program: %w: `make build` makes it", ErrUnavailable, err)
	}
	return nil
}

// Probe tells whether workloads can be isolated here. The error wraps ErrUnavailable and names everything that is
// missing. That gVisor itself starts is found out by starting it.
func Probe() error {
	var missing []string
	want := func(ok bool, what string) {
		if !ok {
			missing = append(missing, what)
		}
	}
	want(runtime.GOOS == "linux" && runtime.GOARCH == "amd64", "Linux on amd64 (this is "+runtime.GOOS+" on "+runtime.GOARCH+")")
	want(os.Geteuid() == 0, "root, for namespaces and control groups: run it with sudo")
	if _, err := os.Stat(filepath.Join(cgroupMount, "cgroup.controllers")); err == nil {
		text, err := os.ReadFile(filepath.Join(cgroupMount, "cgroup.controllers"))
		for _, c := range controllers[:3] {
			want(err == nil && bytes.Contains(text, []byte(c)), "the control group controller "+c+" (mount cgroup2 at "+cgroupMount+")")
		}
	} else {
		for _, c := range controllers {
			_, err := os.Stat(filepath.Join(cgroupMount, c))
			want(err == nil, "the control group controller "+c+" (mount control groups: apt-get install cgroupfs-mount)")
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("%w: missing: %s", ErrUnavailable, strings.Join(missing, "; "))
	}
	return nil
}

// A group is the control group of one sandbox: its kernel, the processes its tasks are made of, and its gofer.
type group struct {
	freeze, frozen, thawed string // a file, and what to write there
	procs                  string
	folders                string // a pattern: with version 1, one in each hierarchy
	service                string // where service managers see who is of a service, as procs
	clock                  clock.Clock
}

// group is that of a sandbox. Its name is that of the state folder, too: another one may have a sandbox of this name.
func (r *Runner) group(id string) (group, string) {
	sum := sha256.Sum256([]byte(r.State))
	name := fmt.Sprintf("/sterling-sandbox/%x-%s", sum[:6], id)
	if _, err := os.Stat(filepath.Join(cgroupMount, "cgroup.controllers")); err == nil {
		folder := filepath.Join(cgroupMount, name)
		return group{filepath.Join(folder, "cgroup.freeze"), "1", "0", filepath.Join(folder, "cgroup.procs"), folder, filepath.Join(folder, "cgroup.procs"), r.Clock}, name
	}
	folder := filepath.Join(cgroupMount, "freezer", name)
	all := filepath.Join(cgroupMount, "*", name)
	service := filepath.Join(cgroupMount, "systemd", name, "cgroup.procs")
	return group{filepath.Join(folder, "freezer.state"), "FROZEN", "THAWED", filepath.Join(folder, "cgroup.procs"), all, service, r.Clock}, name
}

// remove removes the group of a sandbox that has ended, in all hierarchies where gVisor made it. The host's kernel may
// take a moment to see that it is empty.
func (g group) remove(ctx context.Context) error {
	folders, err := filepath.Glob(g.folders)
	if err != nil {
		return fmt.Errorf("find the control group: %w", err)
	}
	for _, folder := range folders {
		for {
			err := os.Remove(folder)
			if err == nil || errors.Is(err, fs.ErrNotExist) {
				break
			}
			if !errors.Is(err, syscall.EBUSY) || clock.Sleep(ctx, g.clock, 5*time.Millisecond) != nil {
				return fmt.Errorf("remove the control group: %w", err)
			}
		}
	}
	return nil
}

// adopt takes a process into the group, as far as service managers are concerned: they end services by their groups, and
// this one's is not that of whoever runs it. Where a host has no such group, there is nothing to be afraid of.
func (g group) adopt(pid int) error {
	err := os.WriteFile(g.service, []byte(strconv.Itoa(pid)), 0)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("take process %d into the sandbox's group: %w", pid, err)
	}
	return nil
}

// set freezes or thaws. The host's kernel does it: it works whatever state the sandbox's kernel is in.
func (g group) set(frozen bool) error {
	state := g.thawed
	if frozen {
		state = g.frozen
	}
	if err := os.WriteFile(g.freeze, []byte(state), 0); err != nil {
		return fmt.Errorf("freeze or thaw the sandbox: %w", err)
	}
	return nil
}

// isFrozen asks the kernel. A group that is gone is not frozen.
func (g group) isFrozen() bool {
	text, err := os.ReadFile(g.freeze)
	return err == nil && strings.TrimSpace(string(text)) == g.frozen
}

// kill ends every process of the group, frozen or not, and returns when there is none, or with ctx.
func (g group) kill(ctx context.Context) error {
	for {
		text, err := os.ReadFile(g.procs)
		if errors.Is(err, fs.ErrNotExist) || err == nil && len(bytes.TrimSpace(text)) == 0 {
			return nil
		}
		if err != nil {
			return fmt.Errorf("list the sandbox's processes: %w", err)
		}
		for pid := range strings.FieldsSeq(string(text)) {
			if n, err := strconv.Atoi(pid); err == nil && n > 1 {
				_ = syscall.Kill(n, syscall.SIGKILL) // gone already is as good
			}
		}
		if err := g.set(false); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if err := clock.Sleep(ctx, g.clock, 10*time.Millisecond); err != nil {
			return fmt.Errorf("wait for the sandbox's processes to end: %w", err)
		}
	}
}
