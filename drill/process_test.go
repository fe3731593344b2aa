// Package drill_test breaks a real `sterling up` on purpose, a process of its own over a folder of its own, and holds
// what it says afterwards against what it had acknowledged before: crashes under load, full disks, damaged files,
// clients that misbehave. It reaches the server only through its public interfaces and its files. Start reading at
// TestCrash.
package drill_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sterlingrun/sterling/auth"
	"github.com/sterlingrun/sterling/client"
)

// patience bounds every wait for something that has to happen, in a test on a busy machine.
const patience = 60 * time.Second

// sterling is the command under test; TestMain builds it.
var sterling string

func TestMain(m *testing.M) {
	code, err := buildAndRun(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func buildAndRun(m *testing.M) (int, error) {
	dir, err := os.MkdirTemp("", "sterling-drill-")
	if err != nil {
		return 1, err
	}
	defer os.RemoveAll(dir)
	sterling = filepath.Join(dir, "sterling")
	if out, err := exec.Command("go", "build", "-o", sterling, "../cmd/sterling").CombinedOutput(); err != nil {
		return 1, fmt.Errorf("build the command: %w\n%s", err, out)
	}
	return m.Run(), nil
}

// process is a `sterling up`.
type process struct {
	t     *testing.T
	dir   string
	addr  string
	cmd   *exec.Cmd
	log   logBuffer
	first chan string // first line of output
	ended chan struct{}
	err   error // once ended
}

// logBuffer is standard error of a process, read while it is written.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// launch starts the command on a folder and does not wait for it.
func launch(t *testing.T, dir string, flags ...string) *process {
	t.Helper()
	args := append([]string{"up", "--data", dir, "--listen", "127.0.0.1:0", "--config", configFile(t)}, flags...)
	p := &process{t: t, dir: dir, cmd: exec.Command(sterling, args...), first: make(chan string, 1), ended: make(chan struct{})}
	p.cmd.Stderr = &p.log
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		line, _ := bufio.NewReader(out).ReadString('\n')
		p.first <- line
		_, _ = io.Copy(io.Discard, out)
		p.err = p.cmd.Wait()
		close(p.ended)
	}()
	t.Cleanup(p.kill)
	return p
}

// configFile makes snapshots frequent, so that crashes meet them too.
func configFile(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "sterling.yaml")
	if err := os.WriteFile(path, []byte("snapshot_events: 10000\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// ready waits until the process serves. The error has what it said if it ended instead.
func (p *process) ready() error {
	select {
	case line := <-p.first:
		var ok bool
		if p.addr, ok = strings.CutPrefix(strings.TrimSpace(line), "Sterling is ready on http://"); ok {
			return nil
		}
		<-p.ended
		return fmt.Errorf("sterling up ended with %w:\n%s", p.err, p.log.String())
	case <-time.After(patience):
		return fmt.Errorf("sterling up was not ready within %v:\n%s", patience, p.log.String())
	}
}

// start starts the command on a folder and waits until it serves.
func start(t *testing.T, dir string, flags ...string) *process {
	t.Helper()
	p := launch(t, dir, flags...)
	if err := p.ready(); err != nil {
		t.Fatal(err)
	}
	return p
}

// refuses starts the command on a folder, where it must end by itself, and returns what it said.
func refuses(t *testing.T, dir string, flags ...string) string {
	t.Helper()
	p := launch(t, dir, flags...)
	if err := p.ready(); err == nil {
		t.Fatalf("sterling up serves, but it had to refuse")
	}
	return p.log.String()
}

// kill ends the process like a loss of power that keeps the page cache.
func (p *process) kill() {
	_ = p.cmd.Process.Kill() // it may have ended by itself
	<-p.ended
}

// stop ends the process in order.
func (p *process) stop() {
	p.t.Helper()
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // if it has ended, err tells how
	select {
	case <-p.ended:
	case <-time.After(patience):
		p.t.Fatalf("sterling up did not stop within %v:\n%s", patience, p.log.String())
	}
	if p.err != nil {
		p.t.Fatalf("sterling up ended with %v:\n%s", p.err, p.log.String())
	}
}

// dial connects with the admin token. Calls are not repeated: the tests want to see every error.
func (p *process) dial() *client.Client {
	p.t.Helper()
	token, err := os.ReadFile(filepath.Join(p.dir, auth.AdminFile))
	if err != nil {
		p.t.Fatal(err)
	}
	return p.dialAs(strings.TrimSpace(string(token)))
}

func (p *process) dialAs(token string) *client.Client {
	p.t.Helper()
	c, err := client.Dial(p.addr, token, client.WithPatience(0))
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { c.Close() })
	return c
}

// command runs another command of the binary and returns what it printed, and its exit code.
func command(t *testing.T, args ...string) (out string, code int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	c := exec.CommandContext(ctx, sterling, args...)
	b, err := c.CombinedOutput()
	if err != nil && c.ProcessState == nil {
		t.Fatal(err)
	}
	return string(b), c.ProcessState.ExitCode()
}

// verified is what `sterling verify --output json` tells.
type verified struct{ Blocks, Events, Accounts, Transfers, Pending uint64 }

// verify proves a folder that no process runs on.
func verify(t *testing.T, dir string) verified {
	t.Helper()
	out, code := command(t, "verify", "--data", dir, "--output", "json")
	var v verified
	if err := json.Unmarshal([]byte(out), &v); err != nil || code != 0 {
		t.Fatalf("sterling verify: code %d, %s", code, out)
	}
	return v
}

// await calls f until it returns true.
func await(t *testing.T, what string, f func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(patience); !f(); {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("not within %v: %s", patience, what)
		}
	}
}
