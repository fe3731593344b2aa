package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sterlingrun/sterling/clock"
	"github.com/sterlingrun/sterling/sandbox"
	"github.com/sterlingrun/sterling/sandbox/gvisor"
	"github.com/sterlingrun/sterling/sandbox/ownkernel"
	"github.com/sterlingrun/sterling/sandbox/trail"
)

// machineParts puts what machines are made of beside the test's own binary: the kernel that tools/microvm.sh has fetched,
// and the init as it is now.
var machineParts = sync.OnceValues(func() (string, error) {
	program, err := os.Executable()
	if err != nil {
		return "", err
	}
	kernel, err := filepath.Abs("../../bin/microvm")
	if err != nil {
		return "", err
	}
	folder := filepath.Join(filepath.Dir(program), machineFolder)
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return "", err
	}
	parts, _ := filepath.Glob(filepath.Join(kernel, "*")) // none is told by Find
	for _, part := range parts {
		if filepath.Base(part) == "init" {
			continue
		}
		if err := os.Symlink(part, filepath.Join(folder, filepath.Base(part))); err != nil && !errors.Is(err, os.ErrExist) {
			return "", err
		}
	}
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", filepath.Join(folder, "init"), "./cmd/sterling-sandbox-init")
	cmd.Dir, cmd.Env = "../..", append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the init: %w: %s", err, out)
	}
	return folder, (&ownkernel.Host{Folder: folder}).Find()
})

// newMachineBench is a bench whose policies can say own-kernel.
func newMachineBench(t *testing.T) *bench {
	t.Helper()
	b := newBench(t)
	folder, err := machineParts()
	if errors.Is(err, ownkernel.ErrUnavailable) {
		t.Skipf("machines can't run here: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	addOwnKernel(b.Runner, folder)
	return b
}

// tcg is a line of a policy. It is what every host has.
const tcg = "isolation: own-kernel-tcg"

// groups are control groups of the bench's boxes. Those of other states are not its concern.
func (b *bench) groups() []string {
	b.Helper()
	var all []string
	for _, pattern := range []string{"/sys/fs/cgroup/sterling-sandbox/%x-*", "/sys/fs/cgroup/*/sterling-sandbox/%x-*"} {
		sum := sha256.Sum256([]byte(b.State))
		some, err := filepath.Glob(fmt.Sprintf(pattern, sum[:6]))
		if err != nil {
			b.Fatal(err)
		}
		all = append(all, some...)
	}
	return all
}

// service is a Unix socket where everyone gets a word.
func (b *bench) service() string {
	b.Helper()
	folder, err := os.MkdirTemp("", "s") // a socket's path is short
	if err != nil {
		b.Fatal(err)
	}
	path := filepath.Join(folder, "s")
	listener, err := net.Listen("unix", path)
	if err == nil {
		err = os.Chmod(path, 0o666)
	}
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = errors.Join(listener.Close(), os.RemoveAll(folder)) })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Write([]byte("hello"))
			_ = conn.Close()
		}
	}()
	return path
}

// exec runs a command in the box.
func (b *bench) exec(argv ...string) (int, string) {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.Context(), time.Minute)
	defer cancel()
	var out bytes.Buffer
	code, err := b.Exec(ctx, "box", argv, strings.NewReader("from outside"), &out, &out)
	if err != nil {
		b.Errorf("%q: %v", argv, err)
	}
	return code, out.String()
}

// TestOwnKernel: a workload has a kernel of its own and what its policy says, and its record is that of any sandbox.
func TestOwnKernel(t *testing.T) {
	b := newMachineBench(t)
	secret := filepath.Join(b.folder, "secret")
	if err := os.WriteFile(secret, []byte("hush"), 0o644); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	b.start(b.policy("tick", tcg, "environment: {A: b}", "secrets: [{name: key, file: "+secret+"}]",
		"mounts: [{target: /mem, memory: 1MiB, writable: true}]", "network: {sockets: [{name: greet, path: "+b.service()+"}]}"), gvisor.StateRunning)
	t.Logf("from the command to the workload: %v", time.Since(began).Round(time.Millisecond))
	s, err := b.Inspect("box")
	if err != nil || s.Isolation != sandbox.OwnKernelTCG {
		t.Fatalf("%+v %v", s, err)
	}
	b.confined()
	if code, out := b.exec("/workload", "exit", "7"); code != 7 || out != "" {
		t.Errorf("exit 7: %d %q", code, out)
	}
	for file, want := range map[string]string{"/run/secrets/key": "hush <nil>", "/dev/stdin": "from outside <nil>", "/proc/sys/kernel/hostname": "test\n <nil>"} {
		if code, out := b.exec("/workload", "read", file); code != 0 || out != want+"\n" {
			t.Errorf("%s: %d %q", file, code, out)
		}
	}
	if _, out := b.exec("/workload", "dial", "/run/services/greet"); out != "hello <nil>\n" {
		t.Errorf("a socket: %q", out)
	}
	_, out := b.exec("/workload", "files", "/x", "/mem/y", "/run/secrets/key", "/run/services/z", "/dev/x", "/proc/sys/kernel/core_pattern")
	for _, want := range []string{
		"/x: open /x: read-only file system", "/mem/y: <nil>", "/run/secrets/key: open /run/secrets/key: ", "/run/services/z: open /run/services/z: permission denied",
		"/dev/x: open /dev/x: read-only", "core_pattern: read-only", "mkdir: <nil>", "fill: no space left on device",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	if _, err := b.Exec(t.Context(), "box", []string{"/missing"}, strings.NewReader(""), &bytes.Buffer{}, &bytes.Buffer{}); !errors.Is(err, gvisor.ErrNotExecuted) || !strings.Contains(err.Error(), "does not exist") {
		t.Errorf("a command that is not there: %v", err)
	}
	if err := b.Stop(t.Context(), "box"); err != nil {
		t.Fatal(err)
	}
	b.ownRecord()
}

// confined verifies what the machine's process on the host is.
func (b *bench) confined() {
	b.Helper()
	here, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		b.Fatal(err)
	}
	pids := strings.Fields(b.processes())
	if len(pids) == 0 {
		b.Fatal("no process in the control group")
	}
	for _, pid := range pids {
		status, err := os.ReadFile("/proc/" + pid + "/status")
		if err != nil {
			b.Fatal(err)
		}
		for _, want := range []string{"Uid:\t65534\t65534\t65534\t65534\n", "CapEff:\t0000000000000000\n", "CapBnd:\t0000000000000000\n", "NoNewPrivs:\t1\n", "Seccomp:\t2\n"} {
			if !bytes.Contains(status, []byte(want)) {
				b.Errorf("no %q in\n%s", want, status)
			}
		}
		if space, err := os.Readlink("/proc/" + pid + "/ns/net"); err != nil || space == here {
			b.Errorf("the network is the host's: %s %v", space, err)
		}
		if _, err := os.Stat(filepath.Join("/proc", pid, "root", "etc")); !errors.Is(err, os.ErrNotExist) {
			b.Errorf("the machine's process sees the host's /etc: %v", err)
		}
	}
}

// ownRecord verifies the record of TestOwnKernel.
func (b *bench) ownRecord() {
	b.Helper()
	report, events := b.record()
	if !report.Complete() || report.End.Exit != 128+int(syscall.SIGTERM) || report.End.Reason != "stopped" {
		b.Errorf("%+v %+v", report, report.End)
	}
	if report.Begin.Isolation != "own-kernel-tcg" || len(report.Begin.Unseen) == 0 {
		b.Errorf("%+v", report.Begin)
	}
	program, err := os.ReadFile(filepath.Join(b.root, "workload"))
	if err != nil {
		b.Fatal(err)
	}
	execs := points(events, "exec")
	if len(execs) != 7 || execs[0]["sha256"] != fmt.Sprintf("%x", sha256.Sum256(program)) || execs[0]["path"] != "/workload" {
		b.Errorf("%d execs: %v", len(execs), execs)
	}
	if exits := points(events, "exit"); len(exits) != len(execs) {
		b.Errorf("%d exits of %d processes", len(exits), len(execs))
	}
	if c := points(events, "connect"); len(c) != 1 || c[0]["address"] != "unix:/run/services/greet" {
		b.Errorf("connections: %v", c)
	}
	all := b.accounts()
	if last := all[len(all)-1]; len(last.Egress) != 1 || last.Egress[0].Connections != 1 || last.Egress[0].Received != 5 {
		b.Errorf("the host's account: %+v", last)
	}
	if left := b.groups(); len(left) > 0 {
		b.Errorf("left over: %q", left)
	}
	for _, name := range []string{"machine", "exec.sock"} {
		if _, err := os.Stat(filepath.Join(b.State, "boxes", "box", name)); !errors.Is(err, os.ErrNotExist) {
			b.Errorf("left over: %s: %v", name, err)
		}
	}
}

// TestOwnKernelUnwatched: a machine whose recorder is killed stands still, whatever is in it, and can be stopped. One that
// is killed with its runner leaves nothing but its record.
func TestOwnKernelUnwatched(t *testing.T) {
	b := newMachineBench(t)
	policy := bytes.Replace(b.policy("tick", tcg, "user: {uid: 0, gid: 0}"), []byte(b.root+"}"), []byte(b.root+", writable: true}"), 1)
	cmd := b.start(policy, gvisor.StateRunning)
	// Root has no capabilities there, and a writable root is not the host's folder.
	if _, out := b.exec("/workload", "files", "/x", "/proc/sys/kernel/modprobe"); !strings.Contains(out, "/x: <nil>") || !strings.Contains(out, "modprobe: read-only") {
		t.Errorf("root writes:\n%s", out)
	}
	if _, err := os.Stat(filepath.Join(b.root, "x")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the root on the host was changed: %v", err)
	}
	if err := syscall.Kill(b.childOf(cmd.Process.Pid, gvisor.RecordCommand), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	b.await(gvisor.StatePaused)
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	b.await(gvisor.StateLost)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := b.Stop(ctx, "box"); err != nil {
		t.Error(err)
	}
	for left := b.processes(); left != ""; left = b.processes() {
		if err := clock.Sleep(ctx, b.Clock, 20*time.Millisecond); err != nil {
			t.Fatalf("still there: %q", left)
		}
	}
	if left := b.groups(); len(left) > 0 {
		t.Errorf("left over: %q", left)
	}
	if report, _ := b.record(); report.Complete() {
		t.Errorf("%+v", report)
	}
}

// TestOwnKernelMissing: a workload that is not there did not start.
func TestOwnKernelMissing(t *testing.T) {
	b := newMachineBench(t)
	missing := bytes.Replace(b.policy("x", tcg), []byte("/workload"), []byte("/missing"), 1)
	_, err := b.Run(t.Context(), gvisor.Options{ID: "box", Policy: missing, Folder: b.folder})
	if !errors.Is(err, gvisor.ErrNotStarted) || !strings.Contains(err.Error(), "/missing") {
		t.Errorf("a command that is not there: %v", err)
	}
}

// TestOwnKernelBroken: where the machine does not boot, the error is what QEMU says.
func TestOwnKernelBroken(t *testing.T) {
	b := newMachineBench(t)
	folder, err := machineParts()
	if err != nil {
		t.Fatal(err)
	}
	broken := t.TempDir()
	parts, err := filepath.Glob(filepath.Join(folder, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range parts {
		if filepath.Base(part) == "vmlinuz" {
			err = os.WriteFile(filepath.Join(broken, "vmlinuz"), []byte("no kernel"), 0o600)
		} else {
			err = os.Symlink(part, filepath.Join(broken, filepath.Base(part)))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	addOwnKernel(b.Runner, broken)
	_, err = b.Run(t.Context(), gvisor.Options{ID: "box", Policy: b.policy("say", tcg), Folder: b.folder})
	if !errors.Is(err, gvisor.ErrNotStarted) || !strings.Contains(err.Error(), "qemu") {
		t.Errorf("a machine without a kernel: %v", err)
	}
	if left := b.groups(); len(left) > 0 {
		t.Errorf("left over: %q", left)
	}
}

// TestCompileKinds: what a host enforces a policy with is that of its kind, and Kata is Kubernetes's.
func TestCompileKinds(t *testing.T) {
	image := "kubernetes: {image: 'registry.example/a@sha256:" + strings.Repeat("0", 64) + "'}"
	for isolation, want := range map[sandbox.Isolation][]string{
		sandbox.GVisorKVM:    {"config.json", "kubernetes.json", "runsc.flags", "seccomp.json", "trace.json"},
		sandbox.OwnKernelTCG: {"qemu.arguments"},
		sandbox.Kata:         {"kubernetes.json", "seccomp.json"},
	} {
		folder := t.TempDir()
		path, out := filepath.Join(folder, "policy.yaml"), filepath.Join(folder, "out")
		policy := fmt.Sprintf("{version: 1, name: a, isolation: %s, root: {directory: r}, command: [x], limits: {cpu: 1, memory: 512MiB, processes: 64}, %s}", isolation, image)
		if err := os.WriteFile(path, []byte(policy), 0o600); err != nil {
			t.Fatal(err)
		}
		if code := run(t.Context(), []string{"compile", path, "--out", out}); code != 0 {
			t.Errorf("%s: exit status %d", isolation, code)
		}
		var names []string
		entries, err := os.ReadDir(out)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			names = append(names, e.Name())
		}
		if !slices.Equal(names, want) {
			t.Errorf("%s: %q, want %q", isolation, names, want)
		}
		if flags, err := os.ReadFile(filepath.Join(out, "runsc.flags")); err == nil && !strings.HasPrefix(string(flags), "--platform=kvm\n") {
			t.Errorf("%s: %s", isolation, flags)
		}
	}
}

// TestOwnKernelKilled: of a machine that ends in the middle, the record says that it does not know the rest.
func TestOwnKernelKilled(t *testing.T) {
	b := newMachineBench(t)
	b.start(b.policy("tick", tcg), gvisor.StateRunning)
	pid, err := strconv.Atoi(strings.TrimSpace(b.processes()))
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	s := b.await(gvisor.StateEnded)
	if report, _ := b.record(); *s.Exit != 128+int(syscall.SIGKILL) || len(report.Gaps) != 1 || report.Gaps[0].Reason != trail.GapOpenTasks {
		t.Errorf("%+v %+v", s, report)
	}
}

// TestOwnKernelRefuses: what a machine can't enforce or record is refused before anything is started, and a level that
// this host does not have is not replaced by another.
func TestOwnKernelRefuses(t *testing.T) {
	b := newMachineBench(t)
	for line, want := range map[string]string{
		allEvents: "audit.events",
		"audit: {rules: [{name: all, on: exec, when: 'true', action: kill}]}": "audit.rules",
		"syscalls: {deny: [ptrace]}":                                          "syscalls.deny",
		"mounts: [{target: /m, source: /srv}]":                                "mounts",
	} {
		_, err := b.Run(t.Context(), gvisor.Options{ID: "box", Policy: b.policy("say", tcg, line), Folder: b.folder})
		if !errors.Is(err, sandbox.ErrRefused) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", line, err)
		}
		_ = b.Remove("box") // which says why it did not start
	}
	pool := &gvisor.Pool{Runner: b.Runner, MaxAge: time.Hour, Policies: []gvisor.Pooled{{Policy: b.policy("say", tcg), Folder: b.folder, Idle: 1}}}
	if err := pool.Run(t.Context()); !errors.Is(err, gvisor.ErrPool) {
		t.Errorf("a pool: %v", err)
	}
	empty := t.TempDir()
	addOwnKernel(b.Runner, empty)
	_, err := b.Run(t.Context(), gvisor.Options{ID: "box", Policy: b.policy("say", tcg), Folder: b.folder})
	if !errors.Is(err, gvisor.ErrUnavailable) || !strings.Contains(err.Error(), "tools/microvm.sh install") {
		t.Errorf("no kernel: %v", err)
	}
}

// TestLevels: a level is there when something booted with it, and asking again boots nothing.
func TestLevels(t *testing.T) {
	b := newBench(t)
	var why []string
	probes := 0
	for range 2 {
		for _, level := range []sandbox.Isolation{sandbox.GVisorKVM, sandbox.OwnKernelKVM} {
			err := b.Booted(t.Context(), level, "v1", func(context.Context) error {
				probes++
				if level == sandbox.GVisorKVM {
					return fmt.Errorf("%w: it ended at its first instruction", gvisor.ErrUnavailable)
				}
				return nil
			})
			if (level == sandbox.GVisorKVM) != errors.Is(err, gvisor.ErrUnavailable) {
				t.Errorf("%s: %v", level, err)
			}
			why = append(why, fmt.Sprint(err))
		}
	}
	if probes != 2 || why[0] != why[2] || !strings.Contains(why[2], "first instruction") {
		t.Errorf("%d probes: %q", probes, why)
	}
	if err := b.Booted(t.Context(), sandbox.GVisorKVM, "v2", func(context.Context) error { probes++; return nil }); err != nil || probes != 3 {
		t.Errorf("another program: %v after %d", err, probes)
	}
	for range 2 { // says nothing of the level: a policy gets no weaker one for it, and it is asked again
		err := b.Booted(t.Context(), sandbox.OwnKernelKVM, "v3", func(context.Context) error { probes++; return errors.New("no space left") })
		if err == nil || errors.Is(err, gvisor.ErrUnavailable) {
			t.Errorf("a fault of the host: %v", err)
		}
	}
	if probes != 5 {
		t.Errorf("%d probes", probes)
	}
	if err := b.ForgetLevels(); err != nil {
		t.Fatal(err)
	}
	if err := b.Booted(t.Context(), sandbox.GVisorKVM, "v1", func(context.Context) error { return nil }); err != nil {
		t.Errorf("again: %v", err)
	}
}

// TestKVMOrNothing: a policy that wants gVisor with KVM gets it, or an error that says why not, and never another level.
// Kata is not run from here at all.
func TestKVMOrNothing(t *testing.T) {
	b := newBench(t)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	s, err := b.Run(ctx, gvisor.Options{ID: "box", Policy: b.policy("say, hello", "isolation: gvisor-kvm"), Folder: b.folder})
	switch {
	case err == nil && s.Isolation == sandbox.GVisorKVM:
		if report, _ := b.record(); report.Begin.Isolation != "gvisor-kvm" {
			t.Errorf("%+v", report.Begin)
		}
	case !errors.Is(err, gvisor.ErrUnavailable) || !strings.Contains(err.Error(), "kvm"):
		t.Errorf("%+v %v", s, err)
	default:
		t.Logf("this host: %v", err)
	}
	_, err = b.Run(ctx, gvisor.Options{ID: "kata", Policy: b.policy("say", "isolation: kata"), Folder: b.folder})
	if !errors.Is(err, gvisor.ErrUnavailable) || !strings.Contains(err.Error(), "Kubernetes") {
		t.Errorf("kata: %v", err)
	}
	if _, err := b.Inspect("kata"); !errors.Is(err, gvisor.ErrNotFound) {
		t.Errorf("kata left something: %v", err)
	}
}
