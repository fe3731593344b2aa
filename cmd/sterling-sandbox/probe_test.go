package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sterlingrun/sterling/sandbox/gvisor"
)

// listed are the attempts that succeed in a sandbox, with why they may. Every other one has to be denied.
var listed = map[string]string{
	"processes of its own, ptrace one":                       "within the sandbox, among processes of one user, as debuggers need it; gVisor's kernel does it, and the host's is not asked. A policy can deny it (`syscalls.deny: [ptrace]`), and `audit.events: [identity]` records it",
	"/proc and /sys, the processor's model in /proc/cpuinfo": "the processor itself tells it to every program (CPUID)",
	"/proc and /sys, open /proc/1/oom_score_adj for writing": "its own process's, which gVisor's kernel keeps and makes no use of; the host's kernel never hears of it",
	"devices, open /dev/fuse":                                "gVisor's own: file systems that only the sandbox sees",
	"devices, open /dev/net/tun":                             "gVisor's own: interfaces of networks that lead nowhere, as the sandbox has no device of the host",
	"mounts, a mount in a user namespace of its own":         "a namespace of gVisor's kernel, in which mounts are of what the sandbox has already. The host's kernel has none for it",
	"kernel, its log (syslog)":                               "gVisor's own, with a made-up text; nothing of the host is in it",
}

// listedOwn are those that succeed in a machine with a kernel of its own. It is Linux, as anywhere; what they reach is the
// machine's, and the host has no part in it.
var listedOwn = map[string]string{
	"processes of its own, ptrace one":                       "within the machine, among processes of one user, as debuggers need it",
	"/proc and /sys, the processor's model in /proc/cpuinfo": "QEMU's own under TCG; with KVM the processor itself tells it (CPUID)",
}

// An outcome is one line of the probe.
type outcome struct{ group, what, verdict, detail string }

func (o outcome) String() string { return o.verdict + ": " + o.detail }

func outcomes(t *testing.T, out string) []outcome {
	t.Helper()
	var all []outcome
	for line := range strings.Lines(out) {
		f := strings.Split(strings.TrimSpace(line), "\t")
		if len(f) != 4 {
			t.Fatalf("the probe said %q in\n%s", line, out)
		}
		all = append(all, outcome{f[0], f[1], f[2], f[3]})
	}
	return all
}

// probed has a folder with the probe in it, and what the probe is to look for on the host.
type probed struct {
	*bench
	arguments []string
}

func newProbed(t *testing.T) *probed {
	t.Helper()
	b := newBench(t)
	b.root = filepath.Join(b.folder, "rootfs")
	cmd := exec.Command("go", "build", "-trimpath", "-o", filepath.Join(b.root, "probe"), "./testdata/probe")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	secret := filepath.Join(b.folder, "secret")
	if err := errors.Join(os.Chmod(b.root, 0o755), os.WriteFile(secret, []byte("hush"), 0o644), os.Mkdir(filepath.Join(b.root, "tmp"), 0o1777)); err != nil {
		t.Fatal(err)
	}
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	abstract := "sterling-probe-" + strconv.Itoa(os.Getpid())
	local, err := net.Listen("unix", "@"+abstract)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = errors.Join(tcp.Close(), local.Close()) })
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		t.Fatal(err)
	}
	pid := strconv.Itoa(os.Getpid())
	return &probed{b, []string{secret, tcp.Addr().String(), abstract, pid, release(t), strings.TrimSpace(string(boot))}}
}

// release is the host kernel's.
func release(t *testing.T) string {
	t.Helper()
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		t.Fatal(err)
	}
	return unix.ByteSliceToString(u.Release[:])
}

// ours runs the probe in a sandbox, with 256 processes and 512 MiB.
func (p *probed) ours(isolation string, args ...string) (*gvisor.Status, string) {
	p.Helper()
	quoted, err := json.Marshal(append([]string{"/probe"}, args...))
	if err != nil {
		p.Fatal(err)
	}
	policy := bytes.Replace(p.policy("x", isolation), []byte("[/workload, x]"), quoted, 1)
	s, out := p.run(policy)
	if err := p.Remove("box"); err != nil {
		p.Fatal(err)
	}
	return s, out
}

// runc runs it as runc does by default.
func (p *probed) runc(args ...string) string {
	p.Helper()
	runc, err := exec.LookPath("runc")
	if err != nil {
		p.Skip("runc is not there to compare with: apt-get install runc")
	}
	_ = os.Remove(filepath.Join(p.folder, "config.json"))
	spec := exec.Command(runc, "spec")
	spec.Dir = p.folder
	if out, err := spec.CombinedOutput(); err != nil {
		p.Fatalf("%v: %s", err, out)
	}
	path := filepath.Join(p.folder, "config.json")
	text, err := os.ReadFile(path)
	if err != nil {
		p.Fatal(err)
	}
	var config map[string]any
	if err := json.Unmarshal(text, &config); err != nil {
		p.Fatal(err)
	}
	process := config["process"].(map[string]any)
	process["args"], process["terminal"] = append([]string{"/probe"}, args...), false
	if text, err = json.Marshal(config); err != nil {
		p.Fatal(err)
	}
	if err := os.WriteFile(path, text, 0o600); err != nil {
		p.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(p.Context(), time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, runc, "--root", filepath.Join(p.folder, "runc"), "run", "--bundle", p.folder, "probe-"+strconv.Itoa(os.Getpid())).Output()
	if err != nil {
		p.Fatalf("%v: %s", err, out)
	}
	return string(out)
}

// TestProbes: what a container must not allow is denied in a sandbox, or listed with why; a table says what came of each
// attempt, beside runc.
func TestProbes(t *testing.T) {
	p := newProbed(t)
	ours := p.judged("", listed)
	p.document(ours)
	var own []outcome
	if _, err := machineParts(); err != nil {
		t.Logf("machines can't run here, and their column is empty: %v", err)
	} else {
		addOwnKernel(p.Runner, filepath.Join(filepath.Dir(p.Program), machineFolder))
		own = p.judged(tcg, listedOwn)
	}
	theirs := outcomes(t, p.runc(p.arguments...))
	theirs = append(theirs, bomb("600 processes", p.runc("forks"), 0), bomb("768 MiB of memory", p.runc("memory"), 0))
	table := p.table(ours, own, theirs)
	t.Log("\n" + table)
	// A probe that finds nothing anywhere proves nothing.
	if n := strings.Count(table, "| allowed:"); n < 10+len(listed) {
		t.Errorf("runc allows only %d of them: does the probe work?", n)
	}
	if os.Getenv("STERLING_REWRITE") != "" && own != nil {
		p.rewrite(table)
	}
}

// judged runs the probe at a level and compares what came of it with what may succeed there.
func (p *probed) judged(isolation string, may map[string]string) []outcome {
	p.Helper()
	s, out := p.ours(isolation, p.arguments...)
	if *s.Exit != 0 {
		p.Fatalf("%+v\n%s", s, out)
	}
	all := append(outcomes(p.T, out), p.bombs(isolation)...)
	stale := maps.Clone(may)
	for _, o := range all {
		_, listed := may[o.group+", "+o.what]
		delete(stale, o.group+", "+o.what)
		if listed != (o.verdict == "allowed") || o.verdict == "unclear" {
			p.Errorf("%s %s, %s: %s", isolation, o.group, o.what, o)
		}
	}
	if len(stale) > 0 || len(all) < 80 {
		p.Errorf("%s %d attempts; listed, and not tried: %v", isolation, len(all), stale)
	}
	return all
}

func (p *probed) bombs(isolation string) []outcome {
	p.Helper()
	processes, forked := p.ours(isolation, "forks")
	memory, taken := p.ours(isolation, "memory")
	return []outcome{bomb("600 processes", forked, *processes.Exit), bomb("768 MiB of memory", taken, *memory.Exit)}
}

// bomb is what came of taking more than the limits: contained is where the kernel refuses, or the sandbox ends.
func bomb(what, out string, exit int) outcome {
	o := outcome{"bombs", what, "denied", fmt.Sprintf("its limit ended the sandbox, with %d", exit)}
	switch taken, err, _ := strings.Cut(strings.TrimSpace(out), " "); {
	case err == "<nil>":
		o.verdict, o.detail = "allowed", "it works"
	case taken != "":
		o.detail = err
	}
	return o
}

const probesDocument = "../../docs/sandbox-probes.md"

// document compares the verdicts with those that are documented.
func (p *probed) document(ours []outcome) {
	p.Helper()
	text, err := os.ReadFile(probesDocument)
	if err != nil {
		p.Fatal(err)
	}
	for _, o := range ours {
		if os.Getenv("STERLING_REWRITE") == "" && !strings.Contains(string(text), fmt.Sprintf("| %s | %s | %s:", o.group, o.what, o.verdict)) {
			p.Errorf("docs/sandbox-probes.md does not say that %s, %s is %s; run the test with STERLING_REWRITE=1", o.group, o.what, o.verdict)
		}
	}
}

func (p *probed) table(ours, own, theirs []outcome) string {
	p.Helper()
	var b strings.Builder
	b.WriteString("| | attempt | gvisor | own-kernel | runc |\n|---|---|---|---|---|\n")
	for n, o := range ours {
		if n >= len(theirs) || theirs[n].what != o.what || own != nil && (n >= len(own) || own[n].what != o.what) {
			p.Fatalf("the probe did not go as far elsewhere: %v, %v", own, theirs)
		}
		machine := "not tried"
		if own != nil {
			machine = own[n].String()
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", o.group, o.what, o, machine, theirs[n])
	}
	return b.String()
}

// rewrite replaces the table of the document, and the list below it.
func (p *probed) rewrite(table string) {
	p.Helper()
	text, err := os.ReadFile(probesDocument)
	if err != nil {
		p.Fatal(err)
	}
	head, _, ok := strings.Cut(string(text), "## The table\n")
	if !ok {
		p.Fatal("docs/sandbox-probes.md has no table")
	}
	version, err := exec.Command("runc", "--version").Output()
	if err != nil {
		p.Fatal(err)
	}
	first, _, _ := strings.Cut(string(version), "\n")
	var b strings.Builder
	fmt.Fprintf(&b, "%s## The table\n\n%s of Debian, as root of its container.\n\n%s\n## Listed\n\n", head, first, table)
	for _, what := range slices.Sorted(maps.Keys(listed)) {
		fmt.Fprintf(&b, "- **%s**: %s.\n", what, listed[what])
	}
	b.WriteString("\nWith a kernel of its own, which is Linux and the machine's alone:\n\n")
	for _, what := range slices.Sorted(maps.Keys(listedOwn)) {
		fmt.Fprintf(&b, "- **%s**: %s.\n", what, listedOwn[what])
	}
	if err := os.WriteFile(probesDocument, []byte(b.String()), 0o600); err != nil {
		p.Fatal(err)
	}
}
