package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sterlingrun/sterling/clock"
	"github.com/sterlingrun/sterling/sandbox/gvisor"
)

// TestGuide runs every command of docs/guides/sandbox.md. A block of "sh start" is started and left running, "sh soon"
// has to succeed within a moment, "sh refused" has to fail.
func TestGuide(t *testing.T) {
	if err := gvisor.Probe(); err != nil {
		t.Skipf("sandboxes can't run here: %v", err)
	}
	if err := exec.Command("sh", "-ec", "command -v curl && dpkg -L libexpat1 && dpkg-query -W 'libpython3.*-stdlib'").Run(); err != nil {
		t.Skip("the guide needs curl, and Debian's Python for a program in it (apt-get install curl python3)")
	}
	g := &guide{t: t, dir: short(t), ports: map[string]string{}}
	g.build()
	var cancel context.CancelFunc
	g.ctx, cancel = context.WithTimeout(t.Context(), 4*time.Minute)
	t.Cleanup(cancel)
	t.Cleanup(g.end)
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "guides", "sandbox.md"))
	if err != nil {
		t.Fatal(err)
	}
	blocks := 0
	for i, part := range strings.Split("\n"+string(text), "\n```") {
		head, body, _ := strings.Cut(part, "\n")
		if kind, ok := strings.CutPrefix(head, "sh"); i%2 == 1 && ok {
			blocks++
			g.run(strings.TrimSpace(kind), body)
		}
	}
	if blocks < 15 {
		t.Fatalf("%d blocks of commands: the guide was not read", blocks)
	}
	if left, err := os.ReadDir(filepath.Join(g.dir, "services", "sb", "boxes")); err != nil || len(left) > 0 {
		t.Errorf("left over: %v, %v", left, err)
	}
}

type guide struct {
	t       *testing.T
	ctx     context.Context //nolint:containedctx // of one test
	dir     string
	ports   map[string]string // of the guide, with those that are free here
	started []*exec.Cmd
}

var buildSterling = sync.OnceValues(func() (string, error) {
	path := filepath.Join(workloadFolder, "sterling")
	args := []string{"build", "-o", path}
	if _, err := exec.LookPath("gcc"); err == nil { // then it is linked with a C library; in a container there is none
		args = append(args, "-ldflags=-linkmode=external -extldflags=-static")
	}
	c := exec.Command("go", append(args, "./cmd/sterling")...)
	c.Dir = filepath.Join("..", "..")
	// As the main module's own tests build it: all of it is in the cache by then.
	c.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "CGO_ENABLED=") })
	if out, err := c.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return path, nil
})

// build makes both programs: this test's own binary is one of them.
func (g *guide) build() {
	g.t.Helper()
	sterling, err := buildSterling()
	if err == nil {
		_, err = buildGVisor()
	}
	if err != nil {
		g.t.Fatal(err)
	}
	bin := filepath.Join(g.dir, "bin")
	self, err := os.Executable()
	if err == nil {
		err = os.Mkdir(bin, 0o700)
	}
	if err == nil {
		err = os.Symlink(self, filepath.Join(bin, "sterling-sandbox"))
	}
	if err == nil {
		err = os.Symlink(sterling, filepath.Join(bin, "sterling"))
	}
	if err != nil {
		g.t.Fatal(err)
	}
}

var guidePorts = regexp.MustCompile(`\b93\d\d\b`)

func (g *guide) shell(text string) *exec.Cmd {
	text = guidePorts.ReplaceAllStringFunc(text, func(port string) string {
		if g.ports[port] == "" {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				g.t.Fatal(err)
			}
			_, g.ports[port], _ = net.SplitHostPort(l.Addr().String())
			l.Close()
		}
		return g.ports[port]
	})
	c := exec.CommandContext(g.ctx, "sh", "-ec", text)
	c.Dir, c.WaitDelay = g.dir, time.Second
	c.Env = append(os.Environ(), "PATH="+filepath.Join(g.dir, "bin")+":"+os.Getenv("PATH"), "GOFLAGS=", "GO111MODULE=auto")
	return c
}

func (g *guide) run(kind, text string) {
	g.t.Helper()
	switch kind {
	case "start":
		c := g.shell(text)
		c.Stdout, c.Stderr, c.WaitDelay = g.t.Output(), g.t.Output(), 5*time.Second
		c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // the shell, and what it runs
		if err := c.Start(); err != nil {
			g.t.Fatal(err)
		}
		g.started = append(g.started, c)
	case "soon":
		ctx, cancel := context.WithTimeout(g.ctx, 90*time.Second)
		defer cancel()
		for {
			out, err := g.shell(text).CombinedOutput()
			if err == nil {
				g.t.Logf("%s\n%s", text, out)
				return
			}
			if clock.Sleep(ctx, clock.NewSystem(), 100*time.Millisecond) != nil {
				g.t.Fatalf("did not succeed:\n%s\n%s", text, out)
			}
		}
	case "refused":
		out, err := g.shell(text).CombinedOutput()
		if g.t.Logf("%s\n%s", text, out); err == nil {
			g.t.Fatal("it was not refused")
		}
	default:
		out, err := g.shell(text).CombinedOutput()
		if g.t.Logf("%s\n%s", text, out); err != nil {
			g.t.Fatal(err)
		}
	}
}

// end ends what was started, the newest first, and sandboxes that a failed test left.
func (g *guide) end() {
	for i := len(g.started) - 1; i >= 0; i-- {
		_ = syscall.Kill(-g.started[i].Process.Pid, syscall.SIGTERM)
		_ = g.started[i].Wait() // by the signal
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for _, state := range []string{"box", filepath.Join("services", "sb")} {
		r := gvisor.Runner{Program: os.Args[0], State: filepath.Join(g.dir, state), Clock: clock.NewSystem()}
		all, _ := r.List() // there may be none
		for _, s := range all {
			_ = r.Stop(ctx, s.ID)
			_ = r.Remove(s.ID)
		}
		// gVisor pins an empty network namespace there, which is a mount.
		_ = syscall.Unmount(filepath.Join(r.State, "runsc", "null-netns"), syscall.MNT_DETACH)
	}
}

// TestStatement: a bank's file is read in a sandbox, with the same result as outside; where there is no isolation, it is
// not read.
func TestStatement(t *testing.T) {
	if err := gvisor.Probe(); err != nil {
		t.Skipf("sandboxes can't run here: %v", err)
	}
	g := &guide{t: t, dir: short(t)}
	g.build()
	g.ctx = t.Context()
	t.Cleanup(g.end)
	files, err := filepath.Abs(filepath.Join("..", "..", "importer", "statement", "testdata"))
	if err != nil {
		t.Fatal(err)
	}
	read := "sterling watch import --source bank:house --dry-run " + filepath.Join(files, "v08.xml")
	outside, err := g.shell(read).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, outside)
	}
	inside, err := g.shell(read + " --sandbox=box").CombinedOutput()
	if err != nil || string(inside) != string(outside) {
		t.Errorf("%v\n%s\noutside:\n%s", err, inside, outside)
	}
	if left, err := os.ReadDir(filepath.Join(g.dir, "box", "boxes")); err != nil || len(left) > 0 {
		t.Errorf("left over: %v, %v", left, err)
	}
	refused, err := g.shell("echo '<Document>' > bad.xml; sterling watch import --source bank:house --dry-run bad.xml --sandbox=box").CombinedOutput()
	if err == nil || !strings.Contains(string(refused), "malformed statement") || !strings.Contains(string(refused), "read in the sandbox statement-") {
		t.Errorf("a bad file: %v\n%s", err, refused)
	}
	none, err := g.shell("ln -sf /bin/false bin/sterling-sandbox; " + read + " --sandbox=box").CombinedOutput()
	if err == nil || strings.Contains(string(none), "would be sent") {
		t.Errorf("without isolation: %v\n%s", err, none)
	}
}
