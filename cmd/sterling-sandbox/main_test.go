package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sterlingrun/sterling/clock"
	"github.com/sterlingrun/sterling/sandbox/gvisor"
	"github.com/sterlingrun/sterling/sandbox/ownkernel"
	"github.com/sterlingrun/sterling/sandbox/trail"
)

// asProgram makes the test's own binary the program.
const asProgram = "run-the-program"

func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) == "sterling-sandbox" { // as the guide calls it
		main()
	}
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case gvisor.RecordCommand, gvisor.KeepCommand, ownkernel.ConfineCommand, "run", "pool", "bench-work": // what the program starts itself as
			main()
		case asProgram:
			os.Args = append(os.Args[:1], os.Args[2:]...)
			main()
		}
	}
	folder, err := os.MkdirTemp("", "sterling-sandbox-workload-")
	if err != nil {
		panic(err)
	}
	workloadFolder = folder
	code := m.Run()
	_ = os.RemoveAll(folder)
	os.Exit(code)
}

var workloadFolder string // TestMain makes and removes it

var buildWorkload = sync.OnceValues(func() (string, error) {
	folder := workloadFolder
	cmd := exec.Command("go", "build", "-trimpath", "-o", filepath.Join(folder, "workload"), "./testdata/workload")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return folder, os.Chmod(folder, 0o755)
})

// buildGVisor makes gVisor's program beside this one, where it is looked for.
var buildGVisor = sync.OnceValues(func() (string, error) {
	program, err := os.Executable()
	if err != nil {
		return "", err
	}
	path := filepath.Join(filepath.Dir(program), gvisorProgram)
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", path, "./runsc")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return path, nil
})

// A bench has a state folder and a root with the workload in it.
type bench struct {
	*testing.T
	*gvisor.Runner
	folder string
	root   string
}

func newBench(t *testing.T) *bench {
	t.Helper()
	if err := gvisor.Probe(); err != nil {
		t.Skipf("sandboxes can't run here: %v", err)
	}
	root, err := buildWorkload()
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{T: t, folder: t.TempDir(), root: root}
	runsc, err := buildGVisor()
	if err != nil {
		t.Fatal(err)
	}
	b.Runner = &gvisor.Runner{Program: program, GVisor: runsc, State: filepath.Join(b.folder, "state"), Clock: clock.NewSystem()}
	t.Cleanup(func() {
		// gVisor pins an empty network namespace there, which is a mount.
		_ = syscall.Unmount(filepath.Join(b.State, "runsc", "null-netns"), syscall.MNT_DETACH)
	})
	return b
}

// Run is the runner's, not the test's.
func (b *bench) Run(ctx context.Context, o gvisor.Options) (*gvisor.Status, error) {
	return b.Runner.Run(ctx, o)
}

// policy is a document for the workload; more are lines of it.
func (b *bench) policy(command string, more ...string) []byte {
	return fmt.Appendf(nil, "version: 1\nname: test\nroot: {directory: %s}\ncommand: [/workload, %s]\n"+
		"limits: {cpu: 2, memory: 512MiB, processes: 256}\n%s\n", b.root, command, strings.Join(more, "\n"))
}

// runs a policy to its end.
func (b *bench) run(policy []byte) (*gvisor.Status, string) {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.Context(), time.Minute)
	defer cancel()
	var out bytes.Buffer
	s, err := b.Run(ctx, gvisor.Options{ID: "box", Policy: policy, Folder: b.folder, Stdout: &out, Stderr: &out})
	if err != nil {
		b.Fatalf("%v\n%s", err, out.Bytes())
	}
	return s, out.String()
}

// record verifies the record of the box and returns its events.
func (b *bench) record() (*trail.Report, []map[string]any) {
	b.Helper()
	f, err := b.OpenRecord("box")
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	var events []map[string]any
	report, _, err := trail.Verify(f, func(r trail.Record) error {
		if r.Kind != trail.KindEvent {
			return nil
		}
		var e map[string]any
		events = append(events, e)
		return json.Unmarshal(r.Body, &events[len(events)-1])
	})
	if err != nil {
		b.Fatal(err)
	}
	return report, events
}

func points(events []map[string]any, point string) []map[string]any {
	var some []map[string]any
	for _, e := range events {
		if e["point"] == point {
			some = append(some, e)
		}
	}
	return some
}

const allEvents = "audit: {events: [file, network, identity, memory]}"

func TestRun(t *testing.T) {
	b := newBench(t)
	s, out := b.run(b.policy("children", allEvents))
	if s.State != gvisor.StateEnded || *s.Exit != 0 || s.Isolation != "gvisor-systrap" || strings.Count(out, "child\n<nil>") != 5 {
		t.Errorf("%+v\n%s", s, out)
	}
	report, events := b.record()
	if !report.Complete() || report.Head != s.Audit.Head || report.Events != s.Audit.Events || report.End.Exit != 0 {
		t.Errorf("%+v, status %+v", report, s.Audit)
	}
	execs := points(events, "exec")
	if len(execs) != 5 || len(execs[0]["sha256"].(string)) != 64 || execs[0]["path"] != "/workload" {
		t.Errorf("%d execs: %v", len(execs), execs)
	}
	for _, e := range events {
		if e["unknown"] != nil {
			t.Errorf("a field that the table does not know: %v", e)
		}
	}
	if s, _ := b.Inspect("box"); s.Exit == nil || s.Audit.Head != report.Head {
		t.Errorf("inspect: %+v", s)
	}
	left := b.groups()
	if len(left) > 0 {
		t.Errorf("left over: %q", left)
	}
	if _, err := b.Run(t.Context(), gvisor.Options{ID: "box", Policy: b.policy("say"), Folder: b.folder}); !errors.Is(err, gvisor.ErrExists) {
		t.Errorf("the same name again: %v", err)
	}
	if err := b.Remove("box"); err != nil {
		t.Error(err)
	}
	if _, err := b.Inspect("box"); !errors.Is(err, gvisor.ErrNotFound) {
		t.Errorf("after remove: %v", err)
	}
}

// TestProbe: what a sandbox must not allow is denied.
func TestProbe(t *testing.T) {
	b := newBench(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	_, out := b.run(b.policy("probe, " + b.folder + ", '" + listener.Addr().String() + "'"))
	for _, want := range []string{"gvisor: true", "uid: 65534 pid: 1", "processes: 1", "CapEff: 0000000000000000", "CapBnd: 0000000000000000"} {
		if !strings.Contains(out, want+"\n") {
			t.Errorf("no %q", want)
		}
	}
	if strings.Contains(out, ": <nil>") || t.Failed() {
		t.Errorf("allowed, or not tried:\n%s", out)
	}
}

func TestExitStatus(t *testing.T) {
	b := newBench(t)
	s, _ := b.run(b.policy("exit, '7'"))
	if report, _ := b.record(); *s.Exit != 7 || report.End.Exit != 7 || !report.Complete() {
		t.Errorf("%+v, %+v", s, report)
	}
}

// TestTimeLimit: a workload that hears SIGTERM ends by it, and the record is whole.
func TestTimeLimit(t *testing.T) {
	b := newBench(t)
	s, _ := b.run(b.policy("tick", "time_limit: 1s"))
	if report, _ := b.record(); s.Reason != "time limit" || *s.Exit != 128+15 && *s.Exit != 2 || !report.Complete() {
		t.Errorf("%+v, %+v", s, report)
	}
}

// TestMemoryLimit: the host's kernel ends a sandbox that eats more than its policy allows, and both the status and the record
// say so. Whichever process it kills: where that is the sandbox's kernel, the record says that it does not know the rest.
func TestMemoryLimit(t *testing.T) {
	b := newBench(t)
	policy := bytes.Replace(b.policy("eat"), []byte("512MiB"), []byte("128MiB"), 1)
	s, out := b.run(policy)
	report, events := b.record()
	if *s.Exit != 128+9 || !strings.Contains(s.Reason, "more memory than limits.memory") || report.End == nil || report.End.Reason != s.Reason || strings.Contains(out, "256 MiB") {
		t.Errorf("%+v, %+v\n%s", s, report, out)
	}
	if report.Complete() && len(points(events, "exit")) == 0 {
		t.Errorf("it knows of no end, and says that it is complete: %+v", report)
	}
}

// TestNoIsolation: where gVisor can't start, there is an error, and not a plain process; where it is not there at all, the
// error says what makes it.
func TestNoIsolation(t *testing.T) {
	b := newBench(t)
	b.GVisor = "/missing"
	_, err := b.Run(t.Context(), gvisor.Options{ID: "none", Policy: b.policy("say"), Folder: b.folder})
	if !errors.Is(err, gvisor.ErrUnavailable) || !strings.Contains(err.Error(), "make build") {
		t.Error(err)
	}
	b.GVisor = "/bin/false"
	_, err = b.Run(t.Context(), gvisor.Options{ID: "box", Policy: b.policy("say"), Folder: b.folder})
	if err == nil {
		t.Fatal("it ran")
	}
	if out, err := b.OpenLogs("box"); err == nil {
		text, _ := io.ReadAll(out)
		if len(text) > 0 {
			t.Errorf("it wrote %q", text)
		}
	}
	if s, err := b.Inspect("box"); err != nil || s.State != gvisor.StateEnded || s.Exit != nil {
		t.Errorf("%+v, %v", s, err)
	}
}

// TestNotStarted: a command that is not there is an error, and so is everything else that gVisor can't start.
func TestNotStarted(t *testing.T) {
	b := newBench(t)
	policy := bytes.Replace(b.policy("say"), []byte("/workload,"), []byte("/missing,"), 1)
	s, err := b.Run(t.Context(), gvisor.Options{ID: "box", Policy: policy, Folder: b.folder})
	if !errors.Is(err, gvisor.ErrNotStarted) || !strings.Contains(err.Error(), "/missing") || s.Exit != nil {
		t.Errorf("%v, %+v", err, s)
	}
	if report, _ := b.record(); report.End == nil || report.Complete() {
		t.Errorf("%+v", report)
	}
}

// start runs a policy in a process of its own, and waits until the box is in a state.
func (b *bench) start(policy []byte, state gvisor.State, under ...string) *exec.Cmd {
	b.Helper()
	path := filepath.Join(b.folder, "policy.yaml")
	if err := os.WriteFile(path, policy, 0o600); err != nil {
		b.Fatal(err)
	}
	args := append(under, b.Program, asProgram, "run", path, "--id", "box", "--state", b.State)
	cmd := exec.Command(args[0], args[1:]...)
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		_ = b.Stop(ctx, "box") // what a failed test left, frozen perhaps
	})
	b.await(state)
	return cmd
}

func (b *bench) await(state gvisor.State) *gvisor.Status {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.Context(), time.Minute)
	defer cancel()
	for {
		s, err := b.Inspect("box")
		if err == nil && s.State == state {
			return s
		}
		if clock.Sleep(ctx, b.Clock, 5*time.Millisecond) != nil {
			b.Fatalf("the box is %+v, %v; want %s", s, err, state)
		}
	}
}

// childOf finds the process that another started with an argument.
func (b *bench) childOf(parent int, argument string) int {
	b.Helper()
	all, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		b.Fatal(err)
	}
	for _, path := range all {
		line, _ := os.ReadFile(path)
		stat, _ := os.ReadFile(filepath.Join(filepath.Dir(path), "status"))
		if strings.Contains(string(stat), fmt.Sprintf("\nPPid:\t%d\n", parent)) && bytes.Contains(line, []byte(argument)) {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
			return pid
		}
	}
	b.Fatalf("process %d has no child %q", parent, argument)
	return 0
}

// TestRecorderKilled: within a second, a workload that nobody records stands still. It stays so until it is stopped,
// and the record says that it is not all.
func TestRecorderKilled(t *testing.T) {
	b := newBench(t)
	cmd := b.start(b.policy("tick"), gvisor.StateRunning)
	killed := time.Now()
	if err := syscall.Kill(b.childOf(cmd.Process.Pid, gvisor.RecordCommand), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	s := b.await(gvisor.StatePaused)
	for s.Reason == "frozen" { // the control group says so before the runner does
		s = b.await(gvisor.StatePaused)
	}
	if took := time.Since(killed); took > time.Second || !strings.Contains(s.Reason, "recorder") {
		t.Errorf("paused after %v: %s", took, s.Reason)
	}
	before := b.output()
	if err := clock.Sleep(t.Context(), b.Clock, 300*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	if after := b.output(); after != before {
		t.Errorf("it went on: %d bytes, then %d", before, after)
	}
	if _, err := b.Exec(t.Context(), "box", []string{"/workload", "say"}, nil, nil, nil); err == nil {
		t.Error("a command entered a paused sandbox")
	}
	if err := b.Stop(t.Context(), "box"); err != nil {
		t.Fatal(err)
	}
	report, _ := b.record()
	if report.End == nil || report.Complete() || report.Gaps[0].Reason != trail.GapCollector {
		t.Errorf("%+v", report)
	}
}

func (b *bench) output() int64 {
	f, err := b.OpenLogs("box")
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	size, err := io.Copy(io.Discard, f)
	if err != nil {
		b.Fatal(err)
	}
	return size
}

// TestRecorderHangs: a workload waits for a recorder that does not answer, and goes on with it. A recorder that is told
// to end does not.
func TestRecorderHangs(t *testing.T) {
	b := newBench(t)
	cmd := b.start(b.policy("tick"), gvisor.StateRunning)
	recorder := b.childOf(cmd.Process.Pid, gvisor.RecordCommand)
	if err := syscall.Kill(recorder, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	stopped := time.Now()
	if err := syscall.Kill(recorder, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	b.await(gvisor.StatePaused)
	if took := time.Since(stopped); took > time.Second {
		t.Errorf("paused after %v", took)
	}
	if err := syscall.Kill(recorder, syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	b.await(gvisor.StateRunning)
	if err := b.Stop(t.Context(), "box"); err != nil {
		t.Fatal(err)
	}
	if report, _ := b.record(); !report.Complete() {
		t.Errorf("%+v", report)
	}
}

// TestRunnerKilled: the sandbox ends with its runner, and the record says so.
func TestRunnerKilled(t *testing.T) {
	b := newBench(t)
	cmd := b.start(b.policy("deaf"), gvisor.StateRunning)
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	b.await(gvisor.StateLost)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for {
		if report, _ := b.record(); report.End != nil {
			if report.Complete() || report.Gaps[0].Reason != trail.GapRunner || report.End.Exit != -1 {
				t.Errorf("%+v", report)
			}
			break
		}
		if err := clock.Sleep(ctx, b.Clock, 20*time.Millisecond); err != nil {
			t.Fatal("the record has no end")
		}
	}
	for left := b.processes(); left != ""; left = b.processes() {
		if err := clock.Sleep(ctx, b.Clock, 20*time.Millisecond); err != nil {
			t.Fatalf("still there: %q", left)
		}
	}
	if err := b.Stop(ctx, "box"); err != nil {
		t.Error(err)
	}
	if left := b.groups(); len(left) > 0 {
		t.Errorf("left over: %q", left)
	}
	if err := b.Remove("box"); err != nil {
		t.Error(err)
	}
}

// processes are those that the bench's boxes consist of on the host.
func (b *bench) processes() string {
	var all []byte
	for _, folder := range b.groups() {
		if !strings.Contains(folder, "/freezer/") && !strings.HasPrefix(folder, "/sys/fs/cgroup/sterling-sandbox/") {
			continue // another hierarchy of version 1, with the same ones
		}
		text, _ := os.ReadFile(filepath.Join(folder, "cgroup.procs")) // gone is as good as empty
		all = append(all, text...)
	}
	return string(all)
}

// TestStopDeaf: who does not hear SIGTERM is killed, and its record is whole all the same. A time limit that comes in
// between changes nothing.
func TestStopDeaf(t *testing.T) {
	b := newBench(t)
	b.start(b.policy("deaf", "time_limit: 3s"), gvisor.StateRunning)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for b.output() == 0 { // it says when it is deaf
		if err := clock.Sleep(ctx, b.Clock, 5*time.Millisecond); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Stop(t.Context(), "box"); err != nil {
		t.Fatal(err)
	}
	s := b.await(gvisor.StateEnded)
	if report, _ := b.record(); *s.Exit != 128+9 || s.Reason != "stopped" || !report.Complete() {
		t.Errorf("%+v, %+v", s, report)
	}
}

func TestExec(t *testing.T) {
	b := newBench(t)
	b.start(b.policy("tick"), gvisor.StateRunning)
	var out bytes.Buffer
	code, err := b.Exec(t.Context(), "box", []string{"/workload", "say", "from outside"}, nil, &out, &out)
	if err != nil || code != 0 || !strings.Contains(out.String(), "from outside") {
		t.Errorf("%d, %v, %s", code, err, out.String())
	}
	ctx, cancel := context.WithCancel(t.Context())
	if code, err := b.Exec(ctx, "box", []string{"/workload", "tick"}, nil, writer(func([]byte) { cancel() }), nil); err != nil || code != 128+15 {
		t.Errorf("interrupted: %d, %v", code, err)
	}
	if code, err := b.Exec(t.Context(), "box", []string{"/workload", "exit", "9"}, nil, nil, nil); err != nil || code != 9 {
		t.Errorf("%d, %v", code, err)
	}
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"--json", "box", "--", "/workload", "exit", "9"}, 0, `"exit": 9`},
		{[]string{"--json", "box", "--", "/workload", "say", "from outside"}, 0, "from outside"},
		{[]string{"--json", "box", "--", "/missing"}, 0, "no such file"},
		{[]string{"--json", "nobody", "--", "/workload", "exit", "9"}, exitFailed, "nobody"},
		{[]string{"box", "--", "/workload", "exit", "9"}, 9, ""},
	} {
		if code, out := b.command(append([]string{"exec", "--state", b.State}, c.args...)...); code != c.code || !strings.Contains(out, c.want) {
			t.Errorf("exec %q: %d, %s", c.args, code, out)
		}
	}
	if err := b.Stop(t.Context(), "box"); err != nil {
		t.Fatal(err)
	}
	report, events := b.record()
	entered := 0
	for _, e := range points(events, "exit") {
		if c := e["context"].(map[string]any); c["exec_session"] == true {
			entered++
			if user := c["user"].(map[string]any); user["euid"] != float64(65534) {
				t.Errorf("it entered as %v", user)
			}
		}
	}
	if !report.Complete() || entered == 0 {
		t.Errorf("%d ends of what was executed, %+v", entered, report)
	}
}

// A writer calls a function.
type writer func([]byte)

func (w writer) Write(p []byte) (int, error) {
	w(p)
	return len(p), nil
}

// TestDiskFull: a record that can't grow freezes the workload, like a recorder that died.
func TestDiskFull(t *testing.T) {
	b := newBench(t)
	if err := os.MkdirAll(b.State, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", b.State, "tmpfs", 0, "size=512k"); err != nil {
		t.Skipf("a small file system can't be mounted: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(b.State, syscall.MNT_DETACH) })
	b.start(b.policy("flood, '1000000'", "audit: {events: [file]}"), gvisor.StatePaused)
	if err := b.Stop(t.Context(), "box"); err != nil {
		t.Fatal(err)
	}
	if report, _ := b.record(); report.Complete() {
		t.Errorf("%+v", report)
	}
}

// TestFiles: the root is never changed, and mounts are what the policy says.
func TestFiles(t *testing.T) {
	b := newBench(t)
	read, write := filepath.Join(b.folder, "read"), filepath.Join(b.folder, "write")
	for _, folder := range []string{read, write} {
		if err := errors.Join(os.Mkdir(folder, 0o700), os.Chown(folder, 65534, 65534)); err != nil {
			t.Fatal(err)
		}
	}
	img := b.image()
	digest, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	policy := bytes.Replace(b.policy("files, /in/f, /out/f, /mem/f, /tmp/f, /f",
		"mounts: [{target: /in, source: read}, {target: /out, source: write, writable: true}, {target: /mem, memory: 1MiB, writable: true}]",
		"syscalls: {deny: [mkdirat]}"),
		[]byte("{directory: "+b.root+"}"), []byte("{image: image, writable: true, digest: '"+digest.String()+"'}"), 1)
	s, out := b.run(policy)
	want := "/in/f: open /in/f: read-only file system\n/out/f: <nil>\n/mem/f: <nil>\n/tmp/f: <nil>\n/f: open /f: permission denied\n" +
		"mkdir: mkdir /mem/d: operation not permitted\nfill: no space left on device\n"
	if out != want || s.Root != digest.String() {
		t.Errorf("root %s\n%s\nwant\n%s", s.Root, out, want)
	}
	if _, err := os.Stat(filepath.Join(write, "f")); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(filepath.Join(b.State, "boxes", "box")); err != nil || len(left) > 6 {
		t.Errorf("%d files are left, %v", len(left), err)
	}
}

// TestSecretsSocketsMounts: what a policy names is there, as it says, and nothing else.
func TestSecretsSocketsMounts(t *testing.T) {
	b := newBench(t)
	secret := filepath.Join(b.folder, "key")
	if err := os.WriteFile(secret, []byte("hush"), 0o400); err != nil {
		t.Fatal(err)
	}
	root := filepath.Join(b.folder, "root")
	for _, folder := range []string{"run/secrets", "run/services"} {
		if err := os.MkdirAll(filepath.Join(root, folder), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	program, err := os.ReadFile(filepath.Join(b.root, "workload"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "workload"), program, 0o755); err != nil {
		t.Fatal(err)
	}
	b.root = root
	withSecret := b.policy("read, /run/secrets/key", "secrets: [{name: key, file: key}]")
	try := func() error {
		_, err := b.Run(t.Context(), gvisor.Options{ID: "box", Policy: withSecret, Folder: b.folder})
		return errors.Join(err, b.Remove("box"))
	}
	if err := try(); err == nil || !strings.Contains(err.Error(), "may read") {
		t.Errorf("a secret that the user can't read: %v", err)
	}
	if err := os.Chown(secret, 65534, 65534); err != nil {
		t.Fatal(err)
	}
	if err := try(); err == nil || !strings.Contains(err.Error(), "to mount on") {
		t.Errorf("a root without a place for it: %v", err)
	}
	for _, name := range []string{"run/secrets/key", "run/services/hello"} {
		if err := os.WriteFile(filepath.Join(root, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, out := b.run(withSecret); !strings.Contains(out, "hush <nil>") {
		t.Errorf("the secret: %s", out)
	}
	if err := b.Remove("box"); err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("unix", filepath.Join(b.folder, "hello.sock"))
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	if err := os.Chmod(filepath.Join(b.folder, "hello.sock"), 0o666); err != nil {
		t.Fatal(err)
	}
	go func() {
		if conn, err := listener.Accept(); err == nil {
			_, _ = io.WriteString(conn, "served")
			_ = conn.Close()
		}
	}()
	_, out := b.run(b.policy("dial, /run/services/hello", "network: {sockets: [{name: hello, path: hello.sock}]}", allEvents))
	_, events := b.record()
	connects := points(events, "connect")
	if !strings.Contains(out, "served <nil>") || len(connects) != 1 || connects[0]["address"] != "unix:/run/services/hello" {
		t.Errorf("%s\n%v", out, connects)
	}
}

// TestFlood: more events than the socket holds are slowed down, and none is lost; where they are not slowed down, each
// lost one is counted.
func TestFlood(t *testing.T) {
	b := newBench(t)
	const opened = 20_000
	for _, behind := range []string{"slow", "record"} {
		b.run(b.policy(fmt.Sprintf("flood, '%d'", opened), "audit: {events: [file], when_behind: "+behind+"}"))
		report, events := b.record()
		n := uint64(len(points(events, "open")))
		if report.End == nil || n+report.Lost < opened || behind == "slow" && !report.Complete() {
			t.Errorf("%s: %d opens, %d lost, %+v", behind, n, report.Lost, report.End)
		}
		t.Logf("%s: %d events, %d lost", behind, report.Events, report.Lost)
		if err := b.Remove("box"); err != nil {
			t.Fatal(err)
		}
	}
}

// TestOneConnection: the recorder hears the sandbox's kernel, and nobody who comes after it.
func TestOneConnection(t *testing.T) {
	b := newBench(t)
	b.start(b.policy("tick"), gvisor.StateRunning)
	socket := filepath.Join(b.State, "boxes", "box", "audit.sock")
	if _, err := net.DialUnix("unixpacket", nil, &net.UnixAddr{Name: socket, Net: "unixpacket"}); err == nil {
		t.Error("a second sender was heard")
	}
	if err := b.Stop(t.Context(), "box"); err != nil {
		t.Fatal(err)
	}
	if report, _ := b.record(); !report.Complete() {
		t.Errorf("%+v", report)
	}
}
