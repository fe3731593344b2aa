package gvisor

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
)

// runsc is gVisor's command for one sandbox.
type runsc struct {
	program string
	folder  string // of the sandbox: its bundle
	state   string // of gVisor
	id      string
	group   group
	flags   []string
	exited  <-chan int
	ended   atomic.Bool
	launch  *os.Process                // of the command that starts it
	kernel  atomic.Pointer[os.Process] // nil: not yet
	init    *initFiles                 // of a sandbox that idles; else nil
	fault   error                      // of its start; not to be looked at before exited has delivered
	// untraced: nothing records it, and nothing but our init is in it.
	untraced bool
}

// command is a command of runsc, to be started by the caller.
func (r *runsc) command(ctx context.Context, args ...string) *exec.Cmd {
	flags := append([]string{"--root=" + r.state}, r.flags...)
	cmd := exec.CommandContext(ctx, r.program, append(flags, args...)...)
	cmd.Args[0] = "runsc" // shorter in lists of processes
	cmd.Env = []string{}  // nothing of ours reaches gVisor
	cmd.Dir = "/"
	cmd.WaitDelay = killGrace
	return cmd
}

func codeOf(s *os.ProcessState) int {
	if w, ok := s.Sys().(syscall.WaitStatus); ok && w.Signaled() {
		return 128 + int(w.Signal())
	}
	return s.ExitCode()
}

// Exited implements Kernel.
func (r *runsc) Exited() <-chan int { return r.exited }

// Signal implements Kernel.
func (r *runsc) Signal(ctx context.Context, name string) error {
	return r.command(ctx, "kill", r.id, name).Run()
}

// Forget implements Kernel: it removes the files by which gVisor knows the sandbox, and its control groups.
func (r *runsc) Forget(ctx context.Context) error {
	var errs []error
	known := filepath.Join(r.state, r.id+"_sandbox:"+r.id)
	for _, path := range []string{known + ".state", known + ".lock", filepath.Join(r.state, "runsc-"+r.id+".sock")} {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, fmt.Errorf("remove the sandbox from gVisor: %w", err))
		}
	}
	return errors.Join(append(errs, r.group.remove(ctx))...)
}

// Said implements Kernel: what gVisor says of its own faults, at most the first few, or else what this process knows.
func (r *runsc) Said() string {
	var said []string
	if f, err := os.Open(filepath.Join(r.folder, "runsc.log")); err == nil {
		defer f.Close() //nolint:errcheck // only read from
		for d := json.NewDecoder(io.LimitReader(f, 1<<20)); len(said) < 10; {
			var line struct{ Msg, Level string }
			if d.Decode(&line) != nil {
				break
			}
			if line.Level == "error" {
				said = append(said, line.Msg)
			}
		}
	}
	if len(said) == 0 && r.fault != nil {
		said = append(said, r.fault.Error())
	}
	return cmp.Or(strings.Join(said, "; "), "gVisor said nothing")
}

// recorderProcess is the process that Record runs in.
type recorderProcess struct {
	cmd     *exec.Cmd
	control io.WriteCloser
	reports chan report
	said    *tail // on standard error
}

// startRecorder returns when gVisor can connect. The record has no beginning yet.
func startRecorder(program string, p place) (*recorderProcess, error) {
	listener, err := net.ListenUnix("unixpacket", &net.UnixAddr{Name: p.path(fileSocket), Net: "unixpacket"})
	if err != nil {
		return nil, fmt.Errorf("listen for events: %w", err)
	}
	listener.SetUnlinkOnClose(false)
	defer listener.Close() //nolint:errcheck // the recorder has its own
	socket, err := listener.File()
	if err != nil {
		return nil, fmt.Errorf("hand over the socket for events: %w", err)
	}
	defer socket.Close() //nolint:errcheck // the recorder has its own
	record, err := os.OpenFile(p.path(fileRecord), os.O_CREATE|os.O_EXCL|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("make the record: %w", err)
	}
	defer record.Close() //nolint:errcheck // the recorder has its own
	r := &recorderProcess{cmd: exec.Command(program, RecordCommand), reports: make(chan report), said: &tail{}}
	r.cmd.Env = []string{}
	r.cmd.Dir = "/"
	r.cmd.ExtraFiles = []*os.File{socket, record}
	r.cmd.Stderr = r.said
	r.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // a key on the terminal is for the runner
	status, err := r.cmd.StdoutPipe()
	if err == nil {
		r.control, err = r.cmd.StdinPipe()
	}
	if err == nil {
		err = r.cmd.Start()
	}
	if err != nil {
		return nil, fmt.Errorf("start the recorder: %w", err)
	}
	go decodeReports(status, r.reports)
	return r, nil
}

// begin returns when the record has a beginning. If it can't have one, the recorder is ended.
func (r *recorderProcess) begin(ctx context.Context, first order) error {
	err := r.send(first)
	if err == nil {
		err = r.begun(ctx)
	}
	if err != nil {
		r.kill()
		return fmt.Errorf("start the recorder: %w %s", err, r.said)
	}
	return nil
}

// begun waits for the first report.
func (r *recorderProcess) begun(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, lastWords)
	defer cancel()
	select {
	case first, ok := <-r.reports:
		if !ok || first.Error != "" {
			return fmt.Errorf("it ended: %s", first.Error)
		}
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (r *recorderProcess) send(o order) error {
	text, err := json.Marshal(o)
	if err == nil {
		_, err = r.control.Write(append(text, '\n'))
	}
	if err != nil {
		return fmt.Errorf("give the recorder an order: %w", err)
	}
	return nil
}

// end has the record ended, and returns the last report. The process is gone afterwards, one way or another.
func (r *recorderProcess) end(ctx context.Context, f finish) (report, error) {
	err := r.send(order{End: &f})
	for err == nil {
		select {
		case last, ok := <-r.reports:
			if ok && !last.Ended && last.Error == "" {
				continue
			}
			if ok && last.Ended {
				return last, r.close()
			}
			err = fmt.Errorf("end the record: %s %s", last.Error, r.said)
		case <-ctx.Done():
			err = fmt.Errorf("end the record: %w", ctx.Err())
		}
	}
	r.kill()
	return report{}, err
}

func (r *recorderProcess) close() error {
	err := r.control.Close()
	for range r.reports { // until it has ended
	}
	return errors.Join(err, r.cmd.Wait())
}

func (r *recorderProcess) kill() {
	_ = r.cmd.Process.Kill() // gone already is as good
	for range r.reports {    // until it has ended
	}
	_ = r.cmd.Wait() // killed
}

// A tail keeps the last bytes of what a process says before it ends.
type tail struct {
	mu   sync.Mutex
	text []byte
}

// Write implements io.Writer.
func (t *tail) Write(p []byte) (int, error) {
	const most = 4096
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, p...)
	if len(t.text) > most {
		t.text = t.text[len(t.text)-most:]
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimSpace(string(t.text))
}
