package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"syscall"
	"testing"
	"time"

	"github.com/sterlingrun/sterling/clock"
)

// TestMeshGuide runs every command of docs/guides/mesh.md. Beside what other guides have, "start" is started and left
// running, and "soon" has to succeed within a moment.
func TestMeshGuide(t *testing.T) {
	t.Parallel()
	python := pythonWithGRPC()
	if _, err := exec.LookPath("curl"); err != nil || python == "" {
		t.Skip("the guide needs curl, and Python with grpcio for its services, which this machine has not (apt-get install curl python3-grpcio)")
	}
	dir, err := os.MkdirTemp("", "mesh") // a socket's path is at most 107 bytes long, which t.TempDir can be past
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(func() { cancel(); _ = os.RemoveAll(dir) })
	g := &meshGuide{t: t, ctx: ctx, dir: dir, prelude: "python3() { command " + python + " \"$@\"; }\n", ports: map[string]string{}}
	t.Cleanup(g.end)
	blocks := blocksOf(t, filepath.Join("..", "..", "docs", "guides", "mesh.md"))
	if len(blocks) < 20 {
		t.Fatalf("%d blocks of commands: the guide was not read", len(blocks))
	}
	for _, b := range blocks {
		g.run(b)
	}
}

// pythonWithGRPC is Debian's Python, or another one that comes first on the PATH; empty: neither has grpcio.
func pythonWithGRPC() string {
	for _, python := range []string{"python3", "/usr/bin/python3"} {
		if exec.Command(python, "-c", "import grpc").Run() == nil {
			return python
		}
	}
	return ""
}

type meshGuide struct {
	t       *testing.T
	ctx     context.Context //nolint:containedctx // of one test
	dir     string
	prelude string
	ports   map[string]string // of the guide, with those that are free here
	started []*exec.Cmd
}

var guidePorts = regexp.MustCompile(`\b93\d\d\b`)

func (g *meshGuide) shell(text string) *exec.Cmd {
	text = guidePorts.ReplaceAllStringFunc(text, func(port string) string {
		if g.ports[port] == "" {
			g.ports[port] = freeAddress(g.t)[len("127.0.0.1:"):]
		}
		return g.ports[port]
	})
	c := exec.CommandContext(g.ctx, "sh", "-ec", g.prelude+text)
	c.Dir, c.WaitDelay = g.dir, time.Second
	return c
}

func (g *meshGuide) run(b block) {
	g.t.Helper()
	switch b.kind {
	case "start":
		c := g.shell(b.text)
		c.Stdout, c.Stderr, c.WaitDelay = g.t.Output(), g.t.Output(), 5*time.Second
		c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // the shell, and what it runs
		if err := c.Start(); err != nil {
			g.t.Fatal(err)
		}
		g.started = append(g.started, c)
	case "soon":
		ctx, cancel := context.WithTimeout(g.ctx, 20*time.Second)
		defer cancel()
		for {
			out, err := g.shell(b.text).CombinedOutput()
			if err == nil {
				g.t.Logf("%s\n%s", b.text, out)
				return
			}
			if clock.Sleep(ctx, clock.NewSystem(), 50*time.Millisecond) != nil {
				g.t.Fatalf("did not succeed:\n%s\n%s", b.text, out)
			}
		}
	case "refused":
		if out, err := g.shell(b.text).CombinedOutput(); err == nil {
			g.t.Fatalf("was not refused:\n%s\n%s", b.text, out)
		}
	default:
		out, err := g.shell(b.text).CombinedOutput()
		if g.t.Logf("%s\n%s", b.text, out); err != nil {
			g.t.Fatal(err)
		}
	}
}

// end ends what was started, the newest first.
func (g *meshGuide) end() {
	for i := len(g.started) - 1; i >= 0; i-- {
		_ = syscall.Kill(-g.started[i].Process.Pid, syscall.SIGTERM) // it may have handed over and ended
		_ = g.started[i].Wait()                                      // Python ends by the signal
	}
}
