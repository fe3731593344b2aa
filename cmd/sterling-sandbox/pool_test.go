package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sterlingrun/sterling/clock"
	"github.com/sterlingrun/sterling/sandbox/gvisor"
	"github.com/sterlingrun/sterling/sandbox/trail"
)

// pool keeps sandboxes for policies until the test ends or the function is called.
func (b *bench) pool(idle int, policies ...[]byte) (end func()) {
	b.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	p := &gvisor.Pool{Runner: b.Runner, MaxAge: time.Hour, Log: slog.New(slog.NewTextHandler(io.Discard, nil))}
	for _, one := range policies {
		p.Policies = append(p.Policies, gvisor.Pooled{Policy: one, Folder: b.folder, Idle: idle})
	}
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	ended := false
	end = func() {
		if cancel(); !ended {
			ended = true
			if err := <-done; err != nil {
				b.Errorf("the pool: %v", err)
			}
		}
	}
	b.Cleanup(end)
	b.awaitIdle(idle * len(policies))
	return end
}

// awaitIdle waits until so many sandboxes idle, and returns the names of their slots.
func (b *bench) awaitIdle(n int) []string {
	b.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for {
		found, err := filepath.Glob(filepath.Join(b.State, "pool", "*", "take.sock"))
		if err != nil {
			b.Fatal(err)
		}
		if len(found) == n {
			var slots []string
			for _, f := range found {
				slots = append(slots, filepath.Base(filepath.Dir(f)))
			}
			return slots
		}
		if clock.Sleep(ctx, b.Clock, 5*time.Millisecond) != nil {
			b.Fatalf("%d sandboxes idle, want %d", len(found), n)
		}
	}
}

// TestPool: a sandbox that was started before is used once, by its own policy only, allows what a cold one allows, and
// is recorded like it.
func TestPool(t *testing.T) {
	b := newBench(t)
	probe := b.policy("probe, " + b.folder + ", '127.0.0.1:1'")
	end := b.pool(1, probe)
	slot := b.awaitIdle(1)[0]
	if all, err := b.List(); err != nil || len(all) != 0 {
		t.Errorf("what idles is no sandbox of anyone's: %v, %v", all, err)
	}
	warm, out := b.run(probe)
	if warm.Start != gvisor.StartPool || warm.Slot != slot || *warm.Exit != 0 || warm.Isolation != "gvisor-systrap" || warm.Reason != "exited" {
		t.Errorf("%+v", warm)
	}
	report, events := b.record()
	execs := points(events, "exec")
	if !report.Complete() || report.Head != warm.Audit.Head || report.Begin.Sandbox != "box" || len(execs) != 1 || execs[0]["path"] != "/workload" ||
		events[0]["point"] != "start" || events[1]["point"] != "exec" {
		t.Errorf("%+v\n%v", report, events)
	}
	if err := b.Remove("box"); err != nil {
		t.Fatal(err)
	}
	if next := b.awaitIdle(1)[0]; next == slot {
		t.Error("the same sandbox is there again")
	}
	// Another document, if only in a comment, is another policy.
	if s, _ := b.run(append(probe, "# other\n"...)); s.Start != gvisor.StartCold {
		t.Errorf("%+v", s)
	}
	if err := b.Remove("box"); err != nil {
		t.Fatal(err)
	}
	end()
	b.awaitIdle(0)
	if left := b.left(); left != "" {
		t.Errorf("left over: %s", left)
	}
	cold, same := b.run(probe)
	if cold.Start != gvisor.StartCold || out != same {
		t.Errorf("%+v\ncold:\n%s\nfrom the pool:\n%s", cold, same, out)
	}
}

// left are the control groups and folders of sandboxes that idle.
func (b *bench) left() string {
	groups, _ := filepath.Glob("/sys/fs/cgroup/*/sterling-sandbox/*-p????????????-????????")
	more, _ := filepath.Glob("/sys/fs/cgroup/sterling-sandbox/*-p????????????-????????")
	slots, _ := filepath.Glob(filepath.Join(b.State, "pool", "p*"))
	return strings.Join(append(append(groups, more...), slots...), " ")
}

// TestPoolEnds: exit status, signals, a command that is not there, a name that is taken: all as in a cold start.
func TestPoolEnds(t *testing.T) {
	b := newBench(t)
	exits, missing := b.policy("exit, '7'"), bytes.Replace(b.policy("say"), []byte("/workload,"), []byte("missing,"), 1)
	ticks, searched := b.policy("tick", "time_limit: 1s"), bytes.Replace(b.policy("say, found, environment: {PATH: '/nowhere:/'}"), []byte("/workload,"), []byte("workload,"), 1)
	searched = bytes.Replace(searched, []byte(", environment: {PATH: '/nowhere:/'}]"), []byte("]\nenvironment: {PATH: '/nowhere:/'}"), 1)
	b.pool(1, exits, missing, ticks, searched)
	run := func(policy []byte) (*gvisor.Status, string, error) {
		var out bytes.Buffer
		s, err := b.Run(t.Context(), gvisor.Options{ID: "box", Policy: policy, Folder: b.folder, Stdout: &out, Stderr: &out})
		if s == nil || s.Start != gvisor.StartPool {
			t.Fatalf("%+v, %v", s, err)
		}
		return s, out.String(), err
	}
	s, _, err := run(exits)
	if report, _ := b.record(); err != nil || *s.Exit != 7 || report.End.Exit != 7 || !report.Complete() {
		t.Errorf("%+v, %v, %+v", s, err, report)
	}
	if _, err := b.Run(t.Context(), gvisor.Options{ID: "box", Policy: searched, Folder: b.folder}); !errors.Is(err, gvisor.ErrExists) {
		t.Errorf("a name that is taken: %v", err)
	}
	again := func() {
		if err := b.Remove("box"); err != nil {
			t.Fatal(err)
		}
	}
	again()
	s, _, err = run(missing)
	if report, _ := b.record(); !errors.Is(err, gvisor.ErrNotStarted) || !strings.Contains(err.Error(), "missing") || s.Exit != nil || report.End == nil {
		t.Errorf("%+v, %v", s, err)
	}
	again()
	s, _, err = run(ticks)
	if report, _ := b.record(); err != nil || s.Reason != "time limit" || *s.Exit != 128+15 && *s.Exit != 2 || !report.Complete() {
		t.Errorf("%+v, %v", s, err)
	}
	again()
	b.awaitIdle(4)
	if _, out, err := run(searched); err != nil || !strings.Contains(out, "found") {
		t.Errorf("%s, %v", out, err)
	}
}

// TestPoolStale: a sandbox that was started with what is no longer there is not taken.
func TestPoolStale(t *testing.T) {
	b := newBench(t)
	secret := filepath.Join(b.folder, "key")
	write := func(text string) {
		next := secret + ".next"
		if err := errors.Join(os.WriteFile(next, []byte(text), 0o400), os.Chown(next, 65534, 65534), os.Rename(next, secret)); err != nil {
			t.Fatal(err)
		}
	}
	write("old")
	b.image()
	policy := bytes.Replace(b.policy("read, /run/secrets/key", "secrets: [{name: key, file: key}]"), []byte("{directory: "+b.root+"}"), []byte("{image: image}"), 1)
	b.pool(1, policy)
	slot := b.awaitIdle(1)[0]
	write("new")
	if s, out := b.run(policy); s.Start != gvisor.StartCold || out != "new <nil>\n" {
		t.Errorf("%s\n%+v", out, s)
	}
	if err := b.Remove("box"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for b.awaitIdle(1)[0] == slot {
		if err := clock.Sleep(ctx, b.Clock, 5*time.Millisecond); err != nil {
			t.Fatal("the stale one is still there")
		}
	}
	if s, out := b.run(policy); s.Start != gvisor.StartPool || out != "new <nil>\n" {
		t.Errorf("%s\n%+v", out, s)
	}
}

// TestPoolFaults: an idle sandbox that dies is replaced; a runner that is killed ends its sandbox, and both the state and
// the record say so; the pool is not touched by it.
func TestPoolFaults(t *testing.T) {
	b := newBench(t)
	policy := b.policy("tick")
	end := b.pool(1, policy)
	slot := b.awaitIdle(1)[0]
	b.kill("*-" + slot)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for b.awaitIdle(1)[0] == slot {
		if err := clock.Sleep(ctx, b.Clock, 5*time.Millisecond); err != nil {
			t.Fatal("it was not replaced")
		}
	}
	b.start(policy, gvisor.StateRunning)
	s := b.await(gvisor.StateRunning)
	if s.Start != gvisor.StartPool {
		t.Fatalf("%+v", s)
	}
	if err := syscall.Kill(s.Runner, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	b.await(gvisor.StateLost)
	for {
		if report, _ := b.record(); report.End != nil {
			if report.Complete() || report.Gaps[0].Reason != trail.GapRunner {
				t.Errorf("%+v", report)
			}
			break
		}
		if err := clock.Sleep(ctx, b.Clock, 20*time.Millisecond); err != nil {
			t.Fatal("the record has no end")
		}
	}
	if err := errors.Join(b.Stop(ctx, "box"), b.Remove("box")); err != nil {
		t.Error(err)
	}
	end()
	if left := b.left(); left != "" {
		t.Errorf("left over: %s", left)
	}
}

// kill kills the processes of control groups whose names match.
func (b *bench) kill(pattern string) {
	b.Helper()
	killed := 0
	for _, folder := range []string{"/sys/fs/cgroup/freezer/sterling-sandbox/", "/sys/fs/cgroup/sterling-sandbox/"} {
		groups, _ := filepath.Glob(folder + pattern + "/cgroup.procs")
		for _, path := range groups {
			text, err := os.ReadFile(path)
			if err != nil {
				b.Fatal(err)
			}
			for _, pid := range bytes.Fields(text) {
				if err := exec.Command("/bin/kill", "-KILL", string(pid)).Run(); err == nil {
					killed++
				}
			}
		}
	}
	if killed == 0 {
		b.Fatalf("nothing to kill in %s", pattern)
	}
}

// TestTakerKilled: a workload ends with the command that took its sandbox; its record is whole.
func TestTakerKilled(t *testing.T) {
	b := newBench(t)
	policy := b.policy("tick")
	b.pool(1, policy)
	cmd := b.start(policy, gvisor.StateRunning)
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	s := b.await(gvisor.StateEnded)
	if report, _ := b.record(); s.Start != gvisor.StartPool || s.Reason != "stopped" || !report.Complete() {
		t.Errorf("%+v, %+v", s, report)
	}
}

// TestDetach: what runs detached goes on without the pool and without who started it, is found again by anyone, stopped
// like all else, and recorded to its end.
func TestDetach(t *testing.T) {
	b := newBench(t)
	policy := b.policy("tick")
	end := b.pool(1, policy)
	for _, start := range []gvisor.Start{gvisor.StartPool, gvisor.StartCold} {
		s, err := b.Start(t.Context(), gvisor.Options{ID: "box", Policy: policy, Folder: b.folder})
		if err != nil || s.State != gvisor.StateRunning || s.Start != start || s.Runner == os.Getpid() {
			t.Fatalf("%+v, %v", s, err)
		}
		if _, err := b.Start(t.Context(), gvisor.Options{ID: "box", Policy: policy, Folder: b.folder, Cold: start == gvisor.StartCold}); !errors.Is(err, gvisor.ErrExists) {
			t.Errorf("the same name again: %v", err)
		}
		end()
		// Another process with the same state folder, as after a restart, finds it.
		again := &gvisor.Runner{Program: b.Program, GVisor: b.GVisor, State: b.State, Clock: b.Clock}
		if all, err := again.List(); err != nil || len(all) != 1 || all[0].State != gvisor.StateRunning {
			t.Errorf("%+v, %v", all, err)
		}
		if code, err := again.Exec(t.Context(), "box", []string{"/workload", "exit", "3"}, nil, nil, nil); err != nil || code != 3 {
			t.Errorf("%d, %v", code, err)
		}
		if err := again.Stop(t.Context(), "box"); err != nil {
			t.Fatal(err)
		}
		s = b.await(gvisor.StateEnded)
		if report, _ := b.record(); !report.Complete() || s.Reason != "stopped" || b.output() == 0 {
			t.Errorf("%+v, %+v", s, report)
		}
		if err := b.Remove("box"); err != nil {
			t.Fatal(err)
		}
	}
	missing := bytes.Replace(b.policy("say"), []byte("/workload,"), []byte("/missing,"), 1)
	if _, err := b.Start(t.Context(), gvisor.Options{ID: "gone", Policy: missing, Folder: b.folder}); !errors.Is(err, gvisor.ErrNotStarted) {
		t.Errorf("a command that is not there: %v", err)
	}
}

// TestPoolKilled: what idles ends with a pool that is killed, what was taken goes on, and the next pool is not disturbed by
// either.
func TestPoolKilled(t *testing.T) {
	b := newBench(t)
	policy := b.policy("tick")
	path := filepath.Join(b.folder, "pool.yaml")
	if err := os.WriteFile(path, policy, 0o600); err != nil {
		t.Fatal(err)
	}
	pool := exec.Command(b.Program, "pool", path, "--idle", "2", "--state", b.State)
	if err := pool.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = pool.Process.Kill()
		_ = pool.Wait()
	})
	b.awaitIdle(2)
	s, err := b.Start(t.Context(), gvisor.Options{ID: "box", Policy: policy, Folder: b.folder})
	if err != nil || s.Start != gvisor.StartPool {
		t.Fatalf("%+v, %v", s, err)
	}
	b.awaitIdle(2)
	if err := pool.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for of := b.left(); len(strings.Fields(of)) != strings.Count(of, s.Slot); of = b.left() {
		if err := clock.Sleep(ctx, b.Clock, 10*time.Millisecond); err != nil {
			t.Fatalf("left over, besides %s: %s", s.Slot, of)
		}
	}
	b.pool(1, policy)
	if s := b.await(gvisor.StateRunning); s.Start != gvisor.StartPool {
		t.Errorf("%+v", s)
	}
	if err := b.Stop(t.Context(), "box"); err != nil {
		t.Fatal(err)
	}
	if report, _ := b.record(); !report.Complete() {
		t.Errorf("%+v", report)
	}
}

// TestPoolRefuses: what can't idle, and more than one pool of a state folder.
func TestPoolRefuses(t *testing.T) {
	b := newBench(t)
	policy := b.policy("say")
	b.pool(1, policy)
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	for name, p := range map[string]gvisor.Pool{
		"second": {MaxAge: time.Hour, Policies: []gvisor.Pooled{{Policy: policy, Folder: b.folder, Idle: 1}}},
		"none":   {MaxAge: time.Hour},
		"many":   {MaxAge: time.Hour, Policies: []gvisor.Pooled{{Policy: policy, Folder: b.folder, Idle: gvisor.MaxIdle + 1}}},
		"young":  {MaxAge: time.Second, Policies: []gvisor.Pooled{{Policy: policy, Folder: b.folder, Idle: 1}}},
		"denied": {MaxAge: time.Hour, Policies: []gvisor.Pooled{{Policy: b.policy("say", "syscalls: {deny: [execve]}"), Folder: b.folder, Idle: 1}}},
	} {
		p.Runner, p.Log = b.Runner, log
		if err := p.Run(t.Context()); !errors.Is(err, gvisor.ErrPool) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
