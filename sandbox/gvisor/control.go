package gvisor

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/sterlingrun/sterling/clock"
	"github.com/sterlingrun/sterling/sandbox"
)

// Stop ends a sandbox that another process runs, and waits for it: SIGTERM, and SIGKILL 10 s later. A sandbox that has
// ended is no error; of one whose runner was killed, it removes what is left.
func (r *Runner) Stop(ctx context.Context, id string) error {
	s, err := r.Inspect(id)
	if err != nil {
		return err
	}
	p, err := r.place(id)
	if err != nil {
		return err
	}
	switch s.State {
	case StateEnded:
		return nil
	case StateLost:
		group, _ := r.group(s.name())
		if err := group.kill(ctx); err != nil {
			return err
		}
		return r.forget(ctx, p, s)
	}
	// The runner holds the lock as long as it lives; so the process id is still its own.
	if err := syscall.Kill(s.Runner, syscall.SIGTERM); err != nil {
		return fmt.Errorf("tell the runner of %s to stop: %w", id, err)
	}
	for {
		if lock, err := p.lock(syscall.LOCK_SH); err == nil {
			return lock.Close()
		}
		if err := clock.Sleep(ctx, r.Clock, 50*time.Millisecond); err != nil {
			return fmt.Errorf("wait for %s to stop: %w", id, err)
		}
	}
}

func (r *Runner) runsc(p place, id string) *runsc {
	group, _ := r.group(id)
	return &runsc{program: r.GVisor, folder: p.folder, state: filepath.Join(r.State, "runsc"), id: id, group: group}
}

// Exec runs one more command in a running sandbox, as the policy's user, and returns its exit status. Its events carry
// exec_session. When ctx ends, it gets SIGTERM; what does not hear that goes on until the sandbox ends. What gVisor can't
// execute has the exit status 1 or 128, and gVisor's words on stderr; other kernels return an error, which wraps
// ErrNotExecuted. Every other error is of this host, and says nothing of the sandbox.
func (r *Runner) Exec(ctx context.Context, id string, argv []string, stdin io.Reader, stdout, stderr io.Writer) (int, error) {
	s, err := r.Inspect(id)
	if err != nil {
		return -1, err
	}
	if s.State != StateRunning {
		return -1, fmt.Errorf("execute in %s: it is %s", id, s.State)
	}
	p, err := r.place(id)
	if err != nil {
		return -1, err
	}
	document, err := os.ReadFile(p.path(filePolicy))
	if err != nil {
		return -1, fmt.Errorf("execute in %s: %w", id, err)
	}
	policy, err := sandbox.Parse(document)
	if err != nil {
		return -1, err
	}
	if tier := r.Tiers[s.Isolation.Kind()]; tier != nil {
		return tier.Exec(ctx, p.folder, argv, stdin, stdout, stderr)
	}
	user := fmt.Sprintf("--user=%d:%d", policy.User.UID, policy.User.GID)
	args := append([]string{"exec", "--cwd=" + policy.WorkingDirectory, user, s.name()}, argv...)
	cmd := r.runsc(p, s.name()).command(ctx, args...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) } // gVisor passes it on
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, stdout, stderr
	if err := cmd.Run(); cmd.ProcessState == nil {
		return -1, fmt.Errorf("execute in %s: %w", id, err)
	} else if is, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok && is.Signaled() && ctx.Err() == nil {
		return -1, fmt.Errorf("execute in %s: gVisor's command: %w", id, err) // a command's own end is its exit status
	}
	return codeOf(cmd.ProcessState), nil
}
