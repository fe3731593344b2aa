package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/sterlingrun/sterling/clock"
	"github.com/sterlingrun/sterling/sandbox"
	"github.com/sterlingrun/sterling/sandbox/gvisor"
	"github.com/sterlingrun/sterling/sandbox/trail"
)

// benchLimit bounds the whole measurement.
const benchLimit = 3 * time.Minute

// A benchRow is one line of the result: what was measured, and what is asked of it. Values are ratios where there is a
// "÷" in the name. Parts are what it was made of.
type benchRow struct {
	Name  string             `json:"name"`
	Value float64            `json:"value"`
	Least float64            `json:"least"`
	Aim   float64            `json:"aim"`
	Met   bool               `json:"met"`                 // the least
	Aside bool               `json:"not_asked,omitempty"` // nothing is asked of it
	Parts map[string]float64 `json:"parts"`
}

// benchResult is the whole of it.
type benchResult struct {
	Cores   int        `json:"cores"`
	Rounds  int        `json:"rounds"`
	Seconds float64    `json:"seconds"`
	Rows    []benchRow `json:"rows"`
	Missing []string   `json:"missing,omitempty"` // what could not be compared, and why
}

func (c *command) benchCommand() *cobra.Command {
	var rounds int
	var only, names []string
	for _, m := range measurements {
		names = append(names, m.name)
	}
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Measure sandboxes beside runc and plain runsc, in turn, for at most 3 minutes; changes no sandbox of yours",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if rounds < 1 || rounds > 100 {
				return &exitError{exitUsage, fmt.Errorf("%d rounds; 1 to 100", rounds)}
			}
			if len(only) == 0 {
				return &exitError{exitUsage, fmt.Errorf("--only: nothing of %s", strings.Join(names, ", "))}
			}
			for _, name := range only {
				if !slices.Contains(names, name) {
					return &exitError{exitUsage, fmt.Errorf("--only: %q is none of %s", name, strings.Join(names, ", "))}
				}
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), benchLimit)
			defer cancel()
			result, err := measure(ctx, rounds, only)
			if err != nil {
				return err
			}
			if c.json {
				return printJSON(cmd.OutOrStdout(), result)
			}
			for _, r := range result.Rows {
				asked := fmt.Sprintf("at least %g, aim %g", r.Least, r.Aim)
				if r.Aside {
					asked = "not asked"
				}
				if _, err := fmt.Fprintf(cmd.OutOrStdout(), "%-50s %12.3f  %s  %v\n", r.Name, r.Value, asked, r.Parts); err != nil {
					return err
				}
			}
			for _, m := range result.Missing {
				cmd.PrintErrln("not measured: " + m)
			}
			return nil
		},
	}
	cmd.Flags().IntVar(&rounds, "rounds", 10, "starts of each kind; of longer work, a third of it. 1 to 100")
	cmd.Flags().StringSliceVar(&only, "only", names, "what to measure")
	return cmd
}

// A benchmark has a state folder and a root of its own.
type benchmark struct {
	runner *gvisor.Runner
	folder string
	runc   string // empty: it is not there
	rounds int
	// sterling is the main program; empty: it is not there.
	sterling string
}

// measurements are what is measured, in this order.
var measurements = []struct {
	name string
	rows func(*benchmark, context.Context) ([]benchRow, error)
}{
	{"starts", (*benchmark).starts},
	{"memory", (*benchmark).memory},
	{"cpu", (*benchmark).cpu},
	{"payments", (*benchmark).payments},
	{"http", (*benchmark).service},
	{"drops", (*benchmark).drops},
	{"chain", (*benchmark).chain},
}

func measure(ctx context.Context, rounds int, only []string) (result *benchResult, err error) {
	if err := gvisor.Probe(); err != nil {
		return nil, err
	}
	program, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	folder, err := os.MkdirTemp("", "sterling-sandbox-bench-")
	if err != nil {
		return nil, fmt.Errorf("make a folder: %w", err)
	}
	b := &benchmark{folder: folder, rounds: rounds, runner: newRunner(program, filepath.Join(folder, "state"))}
	defer func() {
		for _, state := range []string{filepath.Join(b.runner.State, "runsc"), filepath.Join(folder, "plain")} {
			_ = syscall.Unmount(filepath.Join(state, "null-netns"), syscall.MNT_DETACH) // gVisor's, where it made one
		}
		err = errors.Join(err, os.RemoveAll(folder))
	}()
	result = &benchResult{Cores: runtime.NumCPU(), Rounds: rounds}
	if b.runc, err = exec.LookPath("runc"); err != nil {
		result.Missing = append(result.Missing, "what is compared with runc: it is not there (apt-get install runc)")
	}
	b.sterling = filepath.Join(filepath.Dir(program), "sterling")
	if _, err := os.Stat(b.sterling); err != nil {
		result.Missing, b.sterling = append(result.Missing, "a payment service: sterling is not beside this program (make build)"), ""
	}
	if err := b.prepare(ctx); err != nil {
		return nil, err
	}
	began := time.Now()
	for _, m := range measurements {
		if !slices.Contains(only, m.name) {
			continue
		}
		rows, err := m.rows(b, ctx)
		if err != nil {
			return nil, err
		}
		result.Rows = append(result.Rows, rows...)
	}
	result.Seconds = time.Since(began).Seconds()
	return result, nil
}

// prepare makes a root with the smallest program that there is, this one, and a file.
func (b *benchmark) prepare(ctx context.Context) error {
	root := filepath.Join(b.folder, "rootfs")
	program, err := os.ReadFile(b.runner.Program)
	if err == nil {
		err = errors.Join(os.Mkdir(root, 0o755), os.Chmod(b.folder, 0o755), os.Chmod(root, 0o755)) //nolint:gosec // a root is open to its users
	}
	for name, content := range map[string][]byte{"init": gvisor.InitProgram(), "program": program, "data": bytes.Repeat([]byte{'x'}, 1024)} {
		if err == nil {
			err = os.WriteFile(filepath.Join(root, name), content, 0o755) //nolint:gosec // executed by nobody
		}
	}
	if err == nil && b.runc != "" {
		spec := exec.CommandContext(ctx, b.runc, "spec")
		spec.Dir = b.folder
		err = spec.Run()
	}
	if err != nil {
		return fmt.Errorf("prepare the measurement: %w", err)
	}
	return nil
}

// policy writes a policy and returns its path.
func (b *benchmark) policy(name string, command []string, more string) (string, error) {
	quoted, err := json.Marshal(command)
	if err != nil {
		return "", err
	}
	path := filepath.Join(b.folder, name+".yaml")
	return path, os.WriteFile(path, fmt.Appendf(nil, "version: 1\nname: %s\nroot: {directory: rootfs}\ncommand: %s\n"+
		"limits: {cpu: %d, memory: 1GiB, processes: 1000}\n%s\n", name, quoted, runtime.NumCPU(), more), 0o600)
}

// ours runs a policy with this program's own command, and removes the sandbox.
func (b *benchmark) ours(ctx context.Context, policy, id string, flags ...string) (time.Duration, string, error) {
	args := append([]string{"run", policy, "--id", id, "--state", b.runner.State}, flags...)
	took, out, err := b.timed(exec.CommandContext(ctx, b.runner.Program, args...))
	return took, out, errors.Join(err, b.runner.Remove(id))
}

// timed runs a command. Status 127 is that of the smallest program.
func (b *benchmark) timed(cmd *exec.Cmd) (time.Duration, string, error) {
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	began := time.Now()
	err := cmd.Run()
	took := time.Since(began)
	if cmd.ProcessState != nil && cmd.ProcessState.ExitCode() == 127 {
		err = nil
	}
	if err != nil {
		err = fmt.Errorf("run %q: %w: %s", cmd.Args, err, said.Bytes())
	}
	return took, out.String(), err
}

// underRunc runs a command in a container as runc makes it by default.
func (b *benchmark) underRunc(ctx context.Context, command ...string) (time.Duration, string, error) {
	err := respec(filepath.Join(b.folder, "config.json"), func(process, _ map[string]any) error {
		process["args"] = command
		return nil
	})
	if err != nil {
		return 0, "", err
	}
	return b.timed(exec.CommandContext(ctx, b.runc, "--root", filepath.Join(b.folder, "runc"), "run", "--bundle", b.folder, fmt.Sprintf("bench-%d", os.Getpid())))
}

// respec changes a configuration that runc made, for a process without a terminal.
func respec(path string, change func(process, all map[string]any) error) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read runc's configuration: %w", err)
	}
	var all map[string]any
	if err := json.Unmarshal(text, &all); err != nil {
		return fmt.Errorf("read runc's configuration: %w", err)
	}
	process, ok := all["process"].(map[string]any)
	if !ok {
		return errors.New("runc's configuration has no process")
	}
	process["terminal"] = false
	if err := change(process, all); err != nil {
		return err
	}
	if text, err = json.Marshal(all); err == nil {
		err = os.WriteFile(path, text, 0o600)
	}
	if err != nil {
		return fmt.Errorf("write runc's configuration: %w", err)
	}
	return nil
}

// plain runs a policy's command in gVisor with the same flags, as runsc alone does.
func (b *benchmark) plain(ctx context.Context, plan *sandbox.Plan, bundle string) (time.Duration, error) {
	args := append([]string{"--root=" + filepath.Join(b.folder, "plain")}, plan.Flags...)
	cmd := exec.CommandContext(ctx, b.runner.GVisor, append(args, "run", "--bundle="+bundle, "plain")...)
	cmd.Args[0], cmd.Env = "runsc", []string{}
	took, _, err := b.timed(cmd)
	return took, err
}

// starts measures from the start of a command to its end, of a program that ends at once.
func (b *benchmark) starts(ctx context.Context) ([]benchRow, error) {
	path, err := b.policy("start", []string{"/init"}, "")
	if err != nil {
		return nil, err
	}
	plan, bundle, err := b.compile(path)
	if err != nil {
		return nil, err
	}
	end, err := b.pool(ctx, path, 1)
	if err != nil {
		return nil, err
	}
	times := map[string][]float64{}
	err = func() error {
		for n := range b.rounds {
			if err := b.round(ctx, n, path, plan, bundle, times); err != nil {
				return err
			}
		}
		return nil
	}()
	if err = errors.Join(err, end()); err != nil {
		return nil, err
	}
	row := benchRow{Name: "start from the pool ÷ cold runsc run", Least: 0.5, Aim: 0.2, Parts: medians(times)}
	row.Value = row.Parts["pool_ms"] / row.Parts["runsc_ms"]
	return []benchRow{row.judged(false)}, nil
}

// round starts one of each.
func (b *benchmark) round(ctx context.Context, n int, path string, plan *sandbox.Plan, bundle string, times map[string][]float64) error {
	kinds := []struct {
		name string
		run  func() (time.Duration, error)
	}{
		{"runsc_ms", func() (time.Duration, error) { return b.plain(ctx, plan, bundle) }},
		{"pool_ms", func() (time.Duration, error) {
			took, _, err := b.ours(ctx, path, fmt.Sprintf("warm-%d", n))
			return took, err
		}},
		{"cold_ms", func() (time.Duration, error) {
			took, _, err := b.ours(ctx, path, fmt.Sprintf("cold-%d", n), "--cold")
			return took, err
		}},
		{"runc_ms", func() (time.Duration, error) {
			took, _, err := b.underRunc(ctx, "/init")
			return took, err
		}},
	}
	for _, k := range kinds {
		if k.name == "runc_ms" && b.runc == "" {
			continue
		}
		if err := b.awaitIdle(ctx, 1); err != nil {
			return err
		}
		took, err := k.run()
		if err != nil {
			return err
		}
		times[k.name] = append(times[k.name], float64(took.Microseconds())/1000)
	}
	return nil
}

// compile makes a bundle for plain runsc.
func (b *benchmark) compile(path string) (*sandbox.Plan, string, error) {
	p, err := parsePolicy(path)
	if err != nil {
		return nil, "", err
	}
	bundle := filepath.Join(b.folder, "bundle")
	plan, err := sandbox.Compile(p, sandbox.Site{
		ID: "plain", Root: p.Root.Directory, AuditSocket: "/none", Cgroup: fmt.Sprintf("/sterling-sandbox/bench-%d", os.Getpid()),
	})
	if err == nil {
		err = writeFiles(bundle, map[string][]byte{"config.json": plan.Spec})
	}
	return plan, bundle, err
}

// pool starts a pool in a process of its own; end ends it.
func (b *benchmark) pool(ctx context.Context, policy string, idle int) (end func() error, err error) {
	cmd := exec.CommandContext(ctx, b.runner.Program, "pool", policy, "--idle", strconv.Itoa(idle), "--state", b.runner.State)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 20 * time.Second
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the pool: %w", err)
	}
	end = func() error { return errors.Join(cmd.Cancel(), cmd.Wait()) }
	if err := b.awaitIdle(ctx, idle); err != nil {
		return nil, errors.Join(err, end())
	}
	return end, nil
}

// awaitIdle waits until so many sandboxes idle.
func (b *benchmark) awaitIdle(ctx context.Context, n int) error {
	for {
		found, err := filepath.Glob(filepath.Join(b.runner.State, "pool", "*", "take.sock"))
		if err != nil || len(found) >= n {
			return err
		}
		if err := clock.Sleep(ctx, b.runner.Clock, 5*time.Millisecond); err != nil {
			return fmt.Errorf("wait for the pool: %w", err)
		}
	}
}

// idleSandboxes is how many sandboxes the memory of one is measured with.
const idleSandboxes = 6

// memory measures everything that an idle sandbox adds once its start is over: its runner with the guard, its recorder,
// and gVisor's processes.
func (b *benchmark) memory(ctx context.Context) ([]benchRow, error) {
	path, err := b.policy("memory", []string{"/init"}, "")
	if err == nil {
		err = b.packed(path)
	}
	if err != nil {
		return nil, err
	}
	end, err := b.pool(ctx, path, idleSandboxes)
	if err != nil {
		return nil, err
	}
	err = clock.Sleep(ctx, b.runner.Clock, 2*started) // what a start left is given back
	parts := map[string]int{}
	if err == nil {
		parts, err = pssBelow(os.Getpid())
	}
	if err = errors.Join(err, end()); err != nil {
		return nil, err
	}
	row := benchRow{Name: "MiB PSS of an idle sandbox, of six", Least: 20, Aim: 12, Parts: map[string]float64{}}
	for kind, size := range parts {
		row.Parts[kind+"_mib"] = float64(size) / 1024 / idleSandboxes
		row.Value += row.Parts[kind+"_mib"]
	}
	return []benchRow{row.judged(false)}, nil
}

// packed makes the root of a policy an image, as those of real workloads are.
func (b *benchmark) packed(policy string) error {
	image := filepath.Join(b.folder, "rootfs.image")
	digest, err := gvisor.Build(filepath.Join(b.folder, "rootfs"), image)
	if err != nil {
		return err
	}
	text, err := os.ReadFile(policy)
	if err != nil {
		return fmt.Errorf("read the policy: %w", err)
	}
	text = bytes.Replace(text, []byte("directory: rootfs"), fmt.Appendf(nil, "image: rootfs.image, digest: %q", digest), 1)
	return os.WriteFile(policy, text, 0o600)
}

// pssBelow sums what processes below one use, in KiB, by kind: keep-sandbox, record-events, runsc.
func pssBelow(pid int) (map[string]int, error) {
	all, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil, err
	}
	children := map[int][]int{}
	for _, path := range all {
		text, _ := os.ReadFile(path) // gone is no child
		_, after, ok := strings.Cut(string(text), ") ")
		fields := strings.Fields(after)
		if !ok || len(fields) < 2 {
			continue
		}
		parent, _ := strconv.Atoi(fields[1])
		child, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		children[parent] = append(children[parent], child)
	}
	sums := map[string]int{}
	var walk func(pid int, kind string)
	walk = func(pid int, kind string) {
		line, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		for _, k := range []string{gvisor.KeepCommand, gvisor.RecordCommand} {
			if bytes.Contains(line, []byte(k+"\x00")) {
				kind = k
			}
		}
		if bytes.HasPrefix(line, []byte("runsc")) {
			kind = "runsc"
		}
		if kind != "" {
			sums[kind] += pss(pid)
		}
		for _, child := range children[pid] {
			walk(child, kind)
		}
	}
	walk(pid, "")
	return sums, nil
}

// pss is a process's share of the memory it uses, in KiB.
func pss(pid int) int {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid)) // gone uses none
	_, after, _ := strings.Cut(string(text), "\nPss:")
	fields := strings.Fields(after)
	if len(fields) == 0 {
		return 0
	}
	n, _ := strconv.Atoi(fields[0])
	return n
}

// judged tells whether the least that is asked for was reached.
func (r benchRow) judged(more bool) benchRow {
	r.Met = r.Value <= r.Least
	if more {
		r.Met = r.Value >= r.Least
	}
	return r
}

func medians(times map[string][]float64) map[string]float64 {
	all := map[string]float64{}
	for kind, values := range times {
		slices.Sort(values)
		all[kind] = values[len(values)/2]
	}
	return all
}

// chain measures how many events one core puts into a record, as the recorder does: hashed, in a buffer, written.
func (b *benchmark) chain(ctx context.Context) ([]benchRow, error) {
	body := []byte(`{"point":"open","context":{"at":1795379217557434797,"task":1,"process":1,"folder":"/","command":"workload"},` +
		`"path":"/etc/ld.so.cache","flags":524288,"result":3}`)
	var c trail.Chain
	line := c.Append(nil, 1, trail.KindBegin, trail.Body(trail.Begin{Format: trail.Format}))
	began, n := time.Now(), 0
	for now := uint64(2); time.Since(began) < time.Second && ctx.Err() == nil; now++ {
		for range 1000 {
			line = c.Append(line[:0], now, trail.KindEvent, body)
			if _, err := io.Discard.Write(line); err != nil {
				return nil, err
			}
			n++
		}
	}
	row := benchRow{
		Name: "events per second into the chain", Least: 100_000, Aim: 300_000,
		Value: float64(n) / time.Since(began).Seconds(), Parts: map[string]float64{"bytes_of_a_line": float64(len(line))},
	}
	return []benchRow{row.judged(true)}, ctx.Err()
}
