package devcluster

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"syscall"
	"time"
)

const (
	readyWithin = 2 * time.Minute
	endWithin   = 30 * time.Second
)

// process is a child of ours.
type process struct {
	*os.Process
	ready chan struct{} // closed when it has printed its first line
	ended chan struct{} // closed when it was waited for
	err   error         // how it ended; read after ended
}

// startProcess starts a program that says what it does to a file, which is appended to.
func startProcess(command []string, logFile string) (*process, error) {
	log, err := os.OpenFile(logFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the log: %w", err)
	}
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Stderr = log
	// A group of its own: Ctrl-C is for us, and we tell the nodes.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	dieWithParent(cmd.SysProcAttr)
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, errors.Join(err, log.Close())
	}
	p := &process{ready: make(chan struct{}), ended: make(chan struct{})}
	started := make(chan error)
	go func() {
		// "Die with the parent" means the parent's thread: it has to live as long as the child.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer func() { _ = log.Close() }() // of a child's words
		if err := cmd.Start(); err != nil {
			started <- err
			return
		}
		p.Process = cmd.Process
		started <- nil
		p.listen(out, log)
		p.err = cmd.Wait()
		close(p.ended)
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return p, nil
}

// listen copies what the child prints to its log until it ends. Its first line says that it is ready.
func (p *process) listen(out io.Reader, log io.Writer) {
	lines := bufio.NewReader(out)
	if line, err := lines.ReadSlice('\n'); err == nil || errors.Is(err, bufio.ErrBufferFull) {
		_, _ = log.Write(line) // words lost on a full disk are no reason to end a node
		close(p.ready)
	}
	if _, err := io.Copy(log, lines); err != nil {
		_, _ = io.Copy(io.Discard, lines)
	}
}

func (p *process) awaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, readyWithin, fmt.Errorf("not ready within %v", readyWithin))
	defer cancel()
	select {
	case <-p.ready:
		return nil
	case <-p.ended:
		return fmt.Errorf("it ended before it was ready: %w", ending(p.err))
	case <-ctx.Done():
		return fmt.Errorf("wait until it is ready: %w", context.Cause(ctx))
	}
}

func ending(err error) error {
	if err == nil {
		return errors.New("with success")
	}
	return err
}

// end tells the child to end, and kills it when it has not in time. One that has ended already is no error.
func (p *process) end() error {
	select {
	case <-p.ended:
		return nil
	default:
	}
	if err := p.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("tell it to end: %w", err)
	}
	late := time.NewTimer(endWithin)
	defer late.Stop()
	select {
	case <-p.ended:
		return p.err
	case <-late.C:
	}
	if err := p.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("kill it: %w", err)
	}
	<-p.ended
	return fmt.Errorf("it did not end within %v of being told to, and was killed", endWithin)
}

// Ports come from below the range that systems choose outgoing connections' ports from, so that nobody has a node's port
// by chance when it comes back to it.
const firstPort, portCount = 20_000, 10_000

// ports hands out loopback addresses that nobody listens on, each once.
type ports map[string]bool

func newPorts() ports { return ports{} }

// address returns the one that is wished for if it is free, or another one.
func (p ports) address(wish string) (string, error) {
	for range 500 {
		if wish != "" && !p[wish] && free(wish) {
			p[wish] = true
			return wish, nil
		}
		wish = net.JoinHostPort("127.0.0.1", strconv.Itoa(firstPort+rand.IntN(portCount))) //nolint:gosec // no secret
	}
	return "", fmt.Errorf("find a free port between %d and %d: none", firstPort, firstPort+portCount)
}

func free(address string) bool {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return false
	}
	return l.Close() == nil
}
