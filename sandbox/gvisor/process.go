package gvisor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
)

// runsc is gVisor's command for one sandbox.
type runsc struct {
	program string
	folder  string // of the sandbox: its bundle
	state   string
	id      string
	flags   []string
	process *exec.Cmd
	exited  <-chan int
	init    *initFiles // of a sandbox that idles; else nil
	// untraced: nothing records it, and nothing but our init is in it.
	untraced bool
}

// command is a command of runsc, to be started by the caller.
func (r *runsc) command(ctx context.Context, args ...string) *exec.Cmd {
	flags := append([]string{"--root=" + filepath.Join(r.state, "runsc")}, r.flags...)
	cmd := exec.CommandContext(ctx, r.program, append(flags, args...)...)
	cmd.Args[0] = "runsc" // the program is gVisor under this name
	cmd.Env = []string{}  // nothing of ours reaches gVisor
	cmd.Dir = "/"
	cmd.WaitDelay = killGrace
	return cmd
}

// run starts the sandbox, and delivers the workload's exit once everything of it has ended. If this process is killed,
// the sandbox is, too.
func (r *runsc) run(stdout, stderr io.Writer) (<-chan int, error) {
	args := []string{"--log=" + filepath.Join(r.folder, "runsc.log"), "--log-format=json"}
	if !r.untraced {
		args = append(args, "--pod-init-config="+filepath.Join(r.folder, "trace.json"))
	}
	args = append(args, "run", "--bundle="+r.folder)
	if r.init != nil {
		args = append(args, "--exec-fd=3")
	}
	r.process = r.command(context.Background(), append(args, r.id)...)
	if r.init != nil {
		r.process.Stdin, r.process.ExtraFiles = r.init.socket, []*os.File{r.init.program}
	}
	r.process.Stdout, r.process.Stderr = stdout, stderr
	r.process.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	started, exited := make(chan error, 1), make(chan int, 1)
	go func() {
		// The kernel sends the signal when the thread that started the process ends, not the process. So this one stays.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := r.process.Start()
		started <- err
		if err != nil {
			return
		}
		_ = r.process.Wait() // the state tells
		exited <- codeOf(r.process.ProcessState)
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start gVisor: %w", err)
	}
	r.exited = exited
	return exited, nil
}

func codeOf(s *os.ProcessState) int {
	if w, ok := s.Sys().(syscall.WaitStatus); ok && w.Signaled() {
		return 128 + int(w.Signal())
	}
	return s.ExitCode()
}

// End implements Kernel: it kills gVisor's process, and with it the sandbox.
func (r *runsc) End() { _ = r.process.Process.Kill() }

// Exited implements Kernel.
func (r *runsc) Exited() <-chan int { return r.exited }

// Signal implements Kernel.
func (r *runsc) Signal(ctx context.Context, name string) error {
	return r.command(ctx, "kill", r.id, name).Run()
}

// Forget implements Kernel: it has gVisor remove what it knows of the sandbox, which it does itself unless it was killed.
func (r *runsc) Forget(ctx context.Context) error {
	if text, err := r.command(ctx, "delete", "--force", r.id).CombinedOutput(); err != nil {
		return fmt.Errorf("remove the sandbox from gVisor: %w: %s", err, text)
	}
	return nil
}

// Said implements Kernel: what gVisor says of its own faults, at most the first few.
func (r *runsc) Said() string {
	f, err := os.Open(filepath.Join(r.folder, "runsc.log"))
	if err != nil {
		return "and gVisor said nothing"
	}
	defer f.Close() //nolint:errcheck // only read from
	var said []string
	for d := json.NewDecoder(io.LimitReader(f, 1<<20)); len(said) < 10; {
		var line struct{ Msg, Level string }
		if d.Decode(&line) != nil {
			break
		}
		if line.Level == "error" {
			said = append(said, line.Msg)
		}
	}
	return strings.Join(said, "; ")
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
