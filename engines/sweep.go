package engines

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
)

// A sweeper removes a temporary folder once this process no longer holds its input open: after close, and also when the
// process was killed or panicked.
type sweeper struct {
	dir   string
	cmd   *exec.Cmd
	input io.Closer
}

// A server that dies with us may still write for a moment: so it tries for up to ten seconds.
const sweepScript = `cat >/dev/null; n=0; while [ -e "$1" ] && [ $n -lt 100 ]; do rm -rf -- "$1" 2>/dev/null || sleep 0.1; n=$((n+1)); done`

// newSweeper makes a temporary folder that belongs to owner.
func newSweeper(owner *account) (*sweeper, error) {
	dir, err := os.MkdirTemp("", "engine-")
	if err != nil {
		return nil, fmt.Errorf("make a temporary folder: %w", err)
	}
	if err := owner.give(dir); err != nil {
		return nil, fmt.Errorf("give %s to user %s: %w", dir, owner.name, err)
	}
	cmd := exec.Command("/bin/sh", "-c", sweepScript, "sh", dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // a terminal's Ctrl-C ends us, not the sweeping
	input, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return nil, fmt.Errorf("start the sweeper of %s: %w", dir, err)
	}
	return &sweeper{dir: dir, cmd: cmd, input: input}, nil
}

// close removes the folder and waits for it. Nil and closed sweepers do nothing.
func (s *sweeper) close() error {
	if s == nil || s.cmd == nil {
		return nil
	}
	_ = s.input.Close()
	err := s.cmd.Wait()
	s.cmd = nil
	if err != nil {
		return fmt.Errorf("remove %s: %w", s.dir, err)
	}
	return nil
}
