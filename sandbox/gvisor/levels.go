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

	"github.com/sterlingrun/sterling/durable"
	"github.com/sterlingrun/sterling/sandbox"
)

// fileLevels is where it is kept what was found out about this host, until it is booted again.
const fileLevels = "levels.json"

// probeLimit bounds one attempt to boot something. What works takes a second; what does not, often stands still.
const probeLimit = 15 * time.Second

// found is what was found out by booting.
type found struct {
	Boot   string            `json:"boot"`   // the host's boot id
	Levels map[string]string `json:"levels"` // by level and program: why not; "" is that it works
}

// Booted tells whether a level works here, by a probe that boots something, once until the host is booted again or the
// program is another one. The stamp tells programs apart. The probe's error wraps ErrUnavailable where the level does not
// work; that, and that it takes too long, is kept. Another error says nothing of the level: the next call asks again.
func (r *Runner) Booted(ctx context.Context, level sandbox.Isolation, stamp string, probe func(ctx context.Context) error) error {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return fmt.Errorf("ask when this host was booted: %w", err)
	}
	path := filepath.Join(r.State, fileLevels)
	f := found{}
	if text, err := os.ReadFile(path); err != nil || json.Unmarshal(text, &f) != nil || f.Boot != string(bytes.TrimSpace(boot)) {
		f = found{Boot: string(bytes.TrimSpace(boot)), Levels: map[string]string{}}
	}
	key := string(level) + " " + stamp
	why, known := f.Levels[key]
	if !known {
		if err := os.MkdirAll(r.State, 0o700); err != nil {
			return fmt.Errorf("make the state folder: %w", err)
		}
		limited, cancel := context.WithTimeout(ctx, probeLimit)
		defer cancel()
		err := probe(limited)
		if err != nil {
			why = strings.TrimPrefix(clipped(err), ErrUnavailable.Error()+": ")
		}
		switch {
		case ctx.Err() != nil:
			return fmt.Errorf("find out whether %s works here: %w", level, ctx.Err())
		case err != nil && limited.Err() != nil:
			why = fmt.Sprintf("it did not boot within %v: %s", probeLimit, why)
		case err != nil && !errors.Is(err, ErrUnavailable):
			return fmt.Errorf("find out whether %s works here: %w", level, err)
		}
		f.Levels[key] = why
		text, err := json.MarshalIndent(f, "", "  ")
		if err == nil {
			err = durable.WriteFile(path, append(text, '\n'))
		}
		if err != nil {
			return fmt.Errorf("keep what was found out: %w", err)
		}
	}
	if why != "" {
		return fmt.Errorf("%w: %s: %s (found out by booting; sterling-sandbox levels --again tries once more)", ErrUnavailable, level, why)
	}
	return nil
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
	group, cgroup := r.group(id)
	plan, err := sandbox.Compile(policy, sandbox.Site{ID: id, Root: root, AuditSocket: filepath.Join(folder, fileSocket), Cgroup: cgroup, KVM: true, Idle: true})
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(folder, "config.json"), plan.Spec, 0o600); err != nil {
		return fmt.Errorf("write the bundle: %w", err)
	}
	program, err := initFile()
	if err != nil {
		return err
	}
	nothing, err := os.Open(os.DevNull)
	if err != nil {
		return errors.Join(err, program.Close())
	}
	files := &initFiles{program: program, socket: nothing}
	defer files.close()
	c := &runsc{program: r.Program, folder: folder, state: r.State, id: id, flags: plan.Flags, init: files, untraced: true}
	out := &tail{}
	exited, err := c.run(out, out)
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, c.End)
	exit := <-exited
	stop()
	clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastWords)
	defer cancel()
	err = group.kill(clean)
	if exit == initEnded {
		return err
	}
	_ = c.Forget(clean) // it may not know it
	return errors.Join(fmt.Errorf("%w: gVisor ended with %d: %s", ErrUnavailable, exit, strings.TrimSpace(c.Said()+" "+out.String())), err)
}

// initEnded is how the init ends when nobody speaks to it.
const initEnded = 127
