package gvisor

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/sterlingrun/sterling/clock"
	"github.com/sterlingrun/sterling/durable"
	"github.com/sterlingrun/sterling/sandbox"
)

// fileLevels is where it is kept what was found out about this host, until it is booted again.
const fileLevels = "levels.json"

// probeLimit bounds one attempt to boot something. What works takes a second; what does not, often stands still.
const probeLimit = 15 * time.Second

// lateFor is for how long an attempt that ran into probeLimit is believed: a busy host looks the same as one that boots
// nothing.
const lateFor = 10 * time.Minute

// found is what was found out by booting.
type found struct {
	Boot   string             `json:"boot"`   // the host's boot id
	Levels map[string]finding `json:"levels"` // by level and program
}

// finding is how one attempt went.
type finding struct {
	Why  string    `json:"why,omitempty"` // why not; empty is that it works
	Late time.Time `json:"late,omitzero"` // where it took too long: when that was
}

// holds tells whether a finding is still believed. Neither is one of the future: the clock was set back.
func (f finding) holds(now time.Time) bool {
	return f.Late.IsZero() || !now.Before(f.Late) && now.Before(f.Late.Add(lateFor))
}

func (f finding) err(level sandbox.Isolation) error {
	switch {
	case f.Why == "":
		return nil
	case f.Late.IsZero():
		return fmt.Errorf("%w: %s: %s (found out by booting; sterling-sandbox levels --again tries once more)", ErrUnavailable, level, f.Why)
	}
	return fmt.Errorf("%w: %s: it did not boot within %v, which may be for a busy host: %s (the next start after %s tries once more, sterling-sandbox levels --again at once)",
		ErrUnavailable, level, probeLimit, f.Why, f.Late.Add(lateFor).Format(time.RFC3339))
}

// Booted tells whether a level works here, by a probe that boots something, once until the host is booted again or the
// program is another one. The stamp tells programs apart. The probe's error wraps ErrUnavailable where the level does not
// work; that is kept, and for 10 minutes that it takes too long. Another error says nothing of the level: the next call
// asks again.
func (r *Runner) Booted(ctx context.Context, level sandbox.Isolation, stamp string, probe func(ctx context.Context) error) error {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return fmt.Errorf("ask when this host was booted: %w", err)
	}
	path := filepath.Join(r.State, fileLevels)
	f := found{}
	if text, err := os.ReadFile(path); err != nil || json.Unmarshal(text, &f) != nil || f.Boot != string(bytes.TrimSpace(boot)) {
		f = found{Boot: string(bytes.TrimSpace(boot)), Levels: map[string]finding{}}
	}
	key := string(level) + " " + stamp
	if kept, known := f.Levels[key]; known && kept.holds(clock.Now(r.Clock)) {
		return kept.err(level)
	}
	if err := os.MkdirAll(r.State, 0o700); err != nil {
		return fmt.Errorf("make the state folder: %w", err)
	}
	is, err := r.attempt(ctx, probe)
	if err != nil {
		return fmt.Errorf("find out whether %s works here: %w", level, err)
	}
	f.Levels[key] = is
	text, err := json.MarshalIndent(f, "", "  ")
	if err == nil {
		err = durable.WriteFile(path, append(text, '\n'))
	}
	if err != nil {
		return fmt.Errorf("keep what was found out: %w", err)
	}
	return is.err(level)
}

// attempt probes once. An error says nothing of what was probed.
func (r *Runner) attempt(ctx context.Context, probe func(ctx context.Context) error) (finding, error) {
	limited, cancel := context.WithTimeout(ctx, probeLimit)
	defer cancel()
	err := probe(limited)
	late := limited.Err() != nil
	switch {
	case ctx.Err() != nil:
		return finding{}, ctx.Err()
	case err == nil:
		return finding{}, nil
	case !late && !errors.Is(err, ErrUnavailable):
		return finding{}, err
	}
	is := finding{Why: strings.TrimPrefix(clipped(err), ErrUnavailable.Error()+": ")}
	if late {
		is.Late = clock.Now(r.Clock)
	}
	return is, nil
}

// ForgetLevels makes the next Booted boot again.
func (r *Runner) ForgetLevels() error {
	err := os.Remove(filepath.Join(r.State, fileLevels))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

// BootsKVM tells whether gVisor runs here with KVM, by running its init. To ask the device is not enough: there are hosts
// where it is there, and gVisor's kernel ends at its first instruction.
func (r *Runner) BootsKVM(ctx context.Context) error {
	if err := Probe(); err != nil {
		return err
	}
	if _, err := os.Stat("/dev/kvm"); err != nil {
		return fmt.Errorf("%w: %s: there is no /dev/kvm: it wants a processor with virtualisation, and in a virtual machine nested virtualisation", ErrUnavailable, sandbox.GVisorKVM)
	}
	stamp, err := r.key(nil, "")
	if err != nil {
		return err
	}
	return r.Booted(ctx, sandbox.GVisorKVM, stamp, r.bootKVM)
}

func (r *Runner) bootKVM(ctx context.Context) error {
	folder, err := os.MkdirTemp(r.State, "probe-")
	if err != nil {
		return fmt.Errorf("make a folder: %w", err)
	}
	defer os.RemoveAll(folder) //nolint:errcheck // of a probe
	root := filepath.Join(folder, "root")
	if err := os.Mkdir(root, 0o755); err != nil { //nolint:gosec // a root is open to its users
		return fmt.Errorf("make a folder: %w", err)
	}
	id := filepath.Base(folder)
	policy, err := sandbox.Parse(fmt.Appendf(nil, "{version: 1, name: probe, root: {directory: %q}, command: [/x], limits: {cpu: 1, memory: 256MiB, processes: 256}}", root))
	if err != nil {
		return err
	}
	c := r.runsc(place{folder}, id)
	_, cgroup := r.group(id)
	plan, err := sandbox.Compile(policy, sandbox.Site{ID: id, Root: root, AuditSocket: filepath.Join(folder, fileSocket), Cgroup: cgroup, KVM: true, Idle: true})
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(folder, "config.json"), plan.Spec, 0o600); err != nil {
		return fmt.Errorf("write the bundle: %w", err)
	}
	program, err := memoryFile("init", InitProgram())
	if err != nil {
		return err
	}
	nothing, err := os.Open(os.DevNull)
	if err != nil {
		return errors.Join(err, program.Close())
	}
	files := &initFiles{program: program, socket: nothing}
	defer files.close()
	c.flags, c.init, c.untraced = plan.Flags, files, true
	out := &tail{}
	exited, err := c.run(out, out)
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, c.End)
	exit := <-exited
	stop()
	err = remove(ctx, c.group, c)
	if exit == initEnded {
		return err
	}
	return errors.Join(fmt.Errorf("%w: gVisor ended with %d: %s", ErrUnavailable, exit, strings.TrimSpace(c.Said()+" "+out.String())), err)
}

// initEnded is how the init ends when nobody speaks to it.
const initEnded = 127
