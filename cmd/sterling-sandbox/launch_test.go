package main

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sterlingrun/sterling/clock"
	"github.com/sterlingrun/sterling/sandbox/gvisor"
)

// TestGuardKilled: a sandbox whose guard is gone ends, and its record is complete but for what was cut off.
func TestGuardKilled(t *testing.T) {
	b := newBench(t)
	cmd := b.start(b.policy("tick"), gvisor.StateRunning)
	if err := syscall.Kill(b.childOf(cmd.Process.Pid, "guard\x00"), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	s := b.await(gvisor.StateEnded)
	report, _ := b.record()
	if *s.Exit != 128+9 || report.End == nil || report.End.Exit != 128+9 {
		t.Errorf("%+v, %+v", s, report)
	}
}

// TestRunnerAndRecorderKilled: a workload that nobody watches does not run.
func TestRunnerAndRecorderKilled(t *testing.T) {
	b := newBench(t)
	cmd := b.start(b.policy("deaf"), gvisor.StateRunning)
	recorder := b.childOf(cmd.Process.Pid, gvisor.RecordCommand)
	if err := errors.Join(syscall.Kill(cmd.Process.Pid, syscall.SIGKILL), syscall.Kill(recorder, syscall.SIGKILL)); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	b.gone()
	b.await(gvisor.StateLost)
}

// TestServiceEnds: a service manager that ends the service that runs a sandbox sends its signals to all processes in the
// service's control group, at once. The workload is stopped, or at least ended.
func TestServiceEnds(t *testing.T) {
	b := newBench(t)
	mount := "/sys/fs/cgroup"
	if _, err := os.Stat(filepath.Join(mount, "cgroup.controllers")); err != nil {
		mount = filepath.Join(mount, "systemd")
	}
	service, err := os.MkdirTemp(mount, "sterling-test-")
	if err != nil {
		t.Skipf("there are no groups of services here: %v", err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		for err := os.Remove(service); err != nil; err = os.Remove(service) { // who is dead is gone in a moment
			if clock.Sleep(ctx, b.Clock, 5*time.Millisecond) != nil {
				t.Error(err)
				return
			}
		}
	})
	procs := filepath.Join(service, "cgroup.procs")
	send := func(signal syscall.Signal) {
		text, err := os.ReadFile(procs)
		if err != nil {
			t.Fatal(err)
		}
		for _, pid := range strings.Fields(string(text)) {
			if n, err := strconv.Atoi(pid); err != nil || syscall.Kill(n, signal) != nil {
				t.Errorf("%s: %v", pid, err)
			}
		}
	}
	under := []string{"/bin/sh", "-c", `echo $$ >"$0" && exec "$@"`, procs}
	_ = b.start(b.policy("tick"), gvisor.StateRunning, under...)
	send(syscall.SIGTERM)
	if s := b.await(gvisor.StateEnded); s.Reason != "stopped" || *s.Exit != 128+15 {
		t.Errorf("%s, %d", s.Reason, *s.Exit)
	}
	if err := b.Remove("box"); err != nil {
		t.Fatal(err)
	}
	cmd := b.start(b.policy("deaf"), gvisor.StateRunning, under...)
	send(syscall.SIGSTOP) // nobody is faster than the next
	send(syscall.SIGKILL)
	_ = cmd.Wait()
	b.gone()
}

// TestReaderGone: where nobody reads its output any more, the workload is told, and not its runner ended.
func TestReaderGone(t *testing.T) {
	b := newBench(t)
	_ = b.start(b.policy("tick"), gvisor.StateEnded, "/bin/sh", "-c", `"$@" | head -n 1`, "sh")
	s, err := b.Inspect("box")
	if err != nil || *s.Exit != 128+13 {
		t.Errorf("%+v, %v", s, err)
	}
	if report, _ := b.record(); report.End == nil || report.End.Exit != 128+13 {
		t.Errorf("%+v", report)
	}
}

// TestNothingIsHandedOn: what the caller of a command has left open is not kept open by what stays behind.
func TestNothingIsHandedOn(t *testing.T) {
	b := newBench(t)
	policy := filepath.Join(b.folder, "policy.yaml")
	read, write, err := os.Pipe()
	if err = errors.Join(err, os.WriteFile(policy, b.policy("tick"), 0o600)); err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	cmd := exec.Command(b.Program, "run", "--detach", "--id", "box", "--state", b.State, policy)
	cmd.ExtraFiles = []*os.File{write, write, write, write, write} // more than are replaced by what is meant
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	defer func() {
		if err := errors.Join(b.Stop(t.Context(), "box"), b.Remove("box")); err != nil {
			t.Error(err)
		}
	}()
	if err := errors.Join(write.Close(), read.SetReadDeadline(time.Now().Add(5*time.Second))); err != nil {
		t.Fatal(err)
	}
	if _, err := read.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("somebody has the other end: %v", err)
	}
}

// gone waits until nothing of the box runs.
func (b *bench) gone() {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.Context(), 5*time.Second)
	defer cancel()
	for left := b.processes(); left != ""; left = b.processes() {
		if err := clock.Sleep(ctx, b.Clock, 20*time.Millisecond); err != nil {
			b.Fatalf("still there: %q", left)
		}
	}
}

// TestNothingIsLeft: however a sandbox ends, or does not start, its control groups and what gVisor knows of it go.
func TestNothingIsLeft(t *testing.T) {
	b := newBench(t)
	for name, command := range map[string]string{"ends": "say", "fails": "no-such-command"} {
		if _, err := b.Run(t.Context(), gvisor.Options{ID: name, Policy: b.policy(command), Folder: b.folder}); err != nil {
			t.Fatal(err)
		}
	}
	missing := strings.Replace(string(b.policy("say")), "command: [/workload", "command: [/missing", 1)
	if _, err := b.Run(t.Context(), gvisor.Options{ID: "missing", Policy: []byte(missing), Folder: b.folder}); !errors.Is(err, gvisor.ErrNotStarted) {
		t.Errorf("%v", err)
	}
	if left := b.groups(); len(left) > 0 {
		t.Errorf("left over: %q", left)
	}
	if left := b.known(); len(left) > 0 {
		t.Errorf("left over: %q", left)
	}
}

// known are the files by which gVisor knows sandboxes.
func (b *bench) known() []string {
	b.Helper()
	all, err := filepath.Glob(filepath.Join(b.State, "runsc", "*"))
	if err != nil {
		b.Fatal(err)
	}
	return slices.DeleteFunc(all, func(path string) bool { return filepath.Base(path) == "null-netns" })
}
