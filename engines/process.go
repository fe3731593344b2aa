package engines

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/sterlingrun/sterling/clock"
)

// A process is a server that we started, with the processes that it started.
type process struct {
	name    string
	pid     int
	logFile string
	done    chan struct{} // closed when the server itself has ended and was waited for
	err     error         // how it ended; read after done
}

// A command is what to run: the program, who runs it, and where its output goes.
type command struct {
	program string
	args    []string
	owner   *account
	dir     string // the working folder
	logFile string // appended to
}

// build returns the command, not started, in a process group of its own, with an environment that does not depend on
// the caller's (PGHOST, locale and the like).
func (c command) build() *exec.Cmd {
	cmd := exec.Command(c.program, c.args...) // not CommandContext: who ends a server is decided by its owner
	cmd.Dir = c.dir
	cmd.Env = []string{"PATH=" + filepath.Dir(c.program) + ":" + os.Getenv("PATH") + ":/usr/sbin:/sbin", "LC_ALL=C.UTF-8", "TZ=UTC", "HOME=" + c.dir}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if c.owner != nil {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: c.owner.uid, Gid: c.owner.gid}
	}
	dieWithParent(cmd.SysProcAttr)
	return cmd
}

// start starts a server and returns while it runs.
func (c command) start() (*process, error) {
	output, err := os.OpenFile(c.logFile, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the server's log: %w", err)
	}
	defer func() { _ = output.Close() }() // the server has its own descriptor
	if err := c.owner.give(c.logFile); err != nil {
		return nil, fmt.Errorf("give the server's log away: %w", err)
	}
	cmd := c.build()
	cmd.Stdout, cmd.Stderr = output, output
	p := &process{name: filepath.Base(c.program), logFile: c.logFile, done: make(chan struct{})}
	started := make(chan error)
	go func() {
		// "Die with the parent" means the parent's thread: it has to live as long as the server.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		if err := cmd.Start(); err != nil {
			started <- err
			return
		}
		p.pid = cmd.Process.Pid
		started <- nil
		p.err = cmd.Wait()
		close(p.done)
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", c.program, err)
	}
	return p, nil
}

// run runs a program to its end, or kills it and its children when ctx ends. Its last output is part of the error.
func (c command) run(ctx context.Context) error {
	p, err := c.start()
	if err != nil {
		return err
	}
	select {
	case <-p.done:
	case <-ctx.Done():
		_ = p.kill()
		return fmt.Errorf("run %s: %w", c.program, context.Cause(ctx))
	}
	if p.err != nil {
		return fmt.Errorf("run %s: %w; %s", c.program, p.err, p.lastLines())
	}
	return nil
}

// alive tells whether the server itself has not ended. A stopped one is alive. Nil: no.
func (p *process) alive() bool {
	if p == nil {
		return false
	}
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// stopTime is how long the threads of a server may take to stand still: one that waits for a disk does so first.
const stopTime = 10 * time.Second

// stop sends SIGSTOP to the server and all its children, and returns when all of their threads stand still: each does so when
// it next leaves the kernel, and one may have finished what it was at until then.
func (p *process) stop() error {
	children, err := p.freeze()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), stopTime)
	defer cancel()
	for _, pid := range append(children, p.pid) {
		for !still(pid) {
			if err := clock.Sleep(ctx, clock.NewSystem(), time.Millisecond); err != nil {
				return fmt.Errorf("wait until %s, pid %d, stands still: %w", p.name, pid, err)
			}
		}
	}
	return nil
}

// still tells whether no thread of a process runs.
func still(pid int) bool {
	threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid)) // the pattern is one
	for _, path := range threads {
		text, _ := os.ReadFile(path) // one that has ended stands still
		if _, after, ok := strings.Cut(string(text), ") "); ok && after != "" && !strings.ContainsAny(after[:1], "TtZX") {
			return false
		}
	}
	return true
}

// freeze stops the server first, so that it starts no more children, then them, until none is new.
func (p *process) freeze() (frozen []int, err error) {
	if !p.alive() {
		return nil, errors.New("stop a server: it is not running")
	}
	if err := syscall.Kill(p.pid, syscall.SIGSTOP); err != nil {
		return nil, fmt.Errorf("stop %s, pid %d: %w", p.name, p.pid, err)
	}
	seen := map[int]bool{}
	for {
		found, err := descendants(p.pid)
		if err != nil {
			return nil, err
		}
		fresh := false
		for _, pid := range found {
			if seen[pid] {
				continue
			}
			seen[pid], fresh = true, true
			frozen = append(frozen, pid)
			if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil && !errors.Is(err, syscall.ESRCH) {
				return nil, fmt.Errorf("stop %s's child, pid %d: %w", p.name, pid, err)
			}
		}
		if !fresh {
			return frozen, nil
		}
	}
}

// resume sends SIGCONT to the server's children and then to itself.
func (p *process) resume() error {
	if !p.alive() {
		return errors.New("continue a server: it is not running")
	}
	children, err := descendants(p.pid)
	if err != nil {
		return err
	}
	for _, pid := range append(children, p.pid) {
		if err := syscall.Kill(pid, syscall.SIGCONT); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("continue %s, pid %d: %w", p.name, pid, err)
		}
	}
	return nil
}

// kill sends SIGKILL to the server and all its children at one moment (they are stopped first), and waits until all
// are gone, so that a restart finds neither locks nor shared memory in use. A dead server is no error.
func (p *process) kill() error {
	if !p.alive() {
		return nil
	}
	children, err := p.freeze()
	if errors.Is(err, syscall.ESRCH) {
		err = nil // it ended by itself just now
	}
	for _, pid := range append(children, p.pid) {
		if e := syscall.Kill(pid, syscall.SIGKILL); e != nil && !errors.Is(e, syscall.ESRCH) {
			err = errors.Join(err, fmt.Errorf("kill %s, pid %d: %w", p.name, pid, e))
		}
	}
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(context.Background(), shutdownWithin, errors.New("killed, but not gone"))
	defer cancel()
	select {
	case <-p.done:
	case <-ctx.Done():
		return fmt.Errorf("kill %s, pid %d: %w", p.name, p.pid, context.Cause(ctx))
	}
	for _, pid := range children {
		for running(pid) {
			if clock.Sleep(ctx, clock.NewSystem(), time.Millisecond) != nil {
				return fmt.Errorf("kill %s's child, pid %d: %w", p.name, pid, context.Cause(ctx))
			}
		}
	}
	return nil
}

// shutdown asks the server to end by sig, and kills it when it has not in time. A dead server is no error.
func (p *process) shutdown(sig syscall.Signal) error {
	if !p.alive() {
		return nil
	}
	if err := p.resume(); err != nil && p.alive() {
		return err
	}
	if err := syscall.Kill(p.pid, sig); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("end %s, pid %d: %w", p.name, p.pid, err)
	}
	late := time.NewTimer(shutdownWithin)
	defer late.Stop()
	select {
	case <-p.done:
		return nil
	case <-late.C:
		return p.kill()
	}
}

// lastLines returns the end of the server's log, for errors.
func (p *process) lastLines() string {
	const most = 1500
	text, err := os.ReadFile(p.logFile)
	if err != nil {
		return "its log cannot be read: " + err.Error()
	}
	text = bytes.TrimSpace(text)
	if len(text) > most {
		text = text[len(text)-most:]
	}
	return fmt.Sprintf("the end of %s:\n%s", p.logFile, strings.ToValidUTF8(string(text), "?"))
}
