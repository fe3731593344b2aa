package gvisor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// run starts the sandbox, and delivers the workload's exit once the sandbox's kernel has ended. If this process is killed,
// the sandbox is, too, by a guard.
//
// A command of gVisor makes the sandbox and is gone when the workload runs: it would have 5 MiB of memory for its whole
// life. So the sandbox's processes become this one's children, which has to be the next subreaper for that
// (prctl(2), PR_SET_CHILD_SUBREAPER), for good.
func (r *runsc) run(stdout, stderr io.Writer) (<-chan int, error) {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return nil, fmt.Errorf("become the parent of sandboxes: %w", err)
	}
	talk, theirs, err := socketPair()
	if err != nil {
		return nil, err
	}
	defer theirs.Close() //nolint:errcheck // gVisor has its own
	out, err := newPipes(stdout, stderr)
	if err != nil {
		return nil, errors.Join(err, talk.Close())
	}
	cmd := r.launcher(theirs, out)
	err = cmd.Start()
	out.started()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start gVisor: %w", err), talk.Close())
	}
	r.launch = cmd.Process
	exited := make(chan int, 1)
	go func() {
		exit := r.follow(cmd, talk)
		out.end()
		exited <- exit
	}()
	r.exited = exited
	return exited, nil
}

func (r *runsc) launcher(talk *os.File, out *pipes) *exec.Cmd {
	args := []string{"--log=" + filepath.Join(r.folder, "runsc.log"), "--log-format=json"}
	if !r.untraced {
		args = append(args, "--pod-init-config="+filepath.Join(r.folder, "trace.json"))
	}
	args = append(args, "launch", "--bundle="+r.folder, "--talk-fd=3")
	files := []*os.File{talk}
	if r.init != nil {
		args, files = append(args, "--exec-fd=4"), append(files, r.init.program)
	}
	cmd := r.command(context.Background(), append(args, r.id)...)
	cmd.ExtraFiles, cmd.Stdout, cmd.Stderr = files, out.write[0], out.write[1]
	if r.init != nil {
		cmd.Stdin = r.init.socket
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // a key on the terminal is for this process
	return cmd
}

// follow starts the workload once its guard stands, and returns its exit when the kernel has ended.
func (r *runsc) follow(cmd *exec.Cmd, talk *net.UnixConn) int {
	gofer, g, err := r.admit(talk)
	if err != nil {
		r.End()
	}
	_ = talk.Close()
	_ = cmd.Wait() // the state tells
	exit := codeOf(cmd.ProcessState)
	if exit != 0 {
		r.End()
		r.fault = errors.Join(err, fmt.Errorf("gVisor's command ended with %d", exit))
	}
	if kernel := r.kernel.Load(); kernel != nil {
		ended := waitFor(kernel)
		if exit == 0 {
			exit = ended
		}
	}
	if gofer != nil {
		_ = gofer.Kill() // gone already is as good
		go waitFor(gofer)
	}
	if g != nil {
		g.end()
	}
	return exit
}

// admit hears which processes gVisor has made, has the kernel guarded, and says go. It takes hold of both as long as they
// are children of gVisor's command, which waits: where that fails later, their numbers are soon other processes'. No gofer
// is nil.
func (r *runsc) admit(talk *net.UnixConn) (gofer *os.Process, g *guard, err error) {
	var kernel, second int
	if _, err := fmt.Fscanf(talk, "%d %d\n", &kernel, &second); err != nil {
		return nil, nil, fmt.Errorf("hear of the sandbox's processes: %w", err)
	}
	if kernel < 2 {
		return nil, nil, fmt.Errorf("gVisor says that the sandbox's kernel is process %d", kernel)
	}
	process, err := os.FindProcess(kernel)
	if err == nil && second > 0 {
		gofer, err = os.FindProcess(second)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("find the sandbox's processes: %w", err)
	}
	r.kernel.Store(process)
	if g, err = startGuard(kernel); err != nil {
		return gofer, nil, err
	}
	go func() { // without its guard, it does not run
		_ = g.cmd.Wait()
		r.End()
		close(g.gone)
	}()
	if err := r.group.adopt(g.cmd.Process.Pid); err != nil {
		return gofer, g, err
	}
	if r.ended.Load() {
		return gofer, g, errors.New("it was ended")
	}
	_, err = talk.Write([]byte{'g'})
	return gofer, g, err
}

// End implements Kernel: it kills the sandbox's kernel, and with it the sandbox.
func (r *runsc) End() {
	r.ended.Store(true)
	_ = r.launch.Kill() // gone already is as good
	if kernel := r.kernel.Load(); kernel != nil {
		_ = kernel.Kill()
	}
}

// noEnd is the exit of a process whose end nobody could take; it is gVisor's own for its faults.
const noEnd = 128

// waitFor takes the end of a process that has become this one's child, and returns its exit as shells give it.
func waitFor(p *os.Process) int {
	state, err := p.Wait()
	if err != nil {
		_ = p.Release()
		return noEnd
	}
	return codeOf(state)
}

// A guard is a process that kills another one when this process is gone.
type guard struct {
	cmd   *exec.Cmd
	input *os.File
	gone  chan struct{} // closed when it has ended, where somebody waits for that
}

func startGuard(pid int) (*guard, error) {
	program, err := memoryFile("guard", guardProgram())
	if err != nil {
		return nil, err
	}
	defer program.Close() //nolint:errcheck // only read from
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return nil, fmt.Errorf("open the sandbox's kernel for its guard: %w", err)
	}
	target := os.NewFile(uintptr(fd), "kernel")
	defer target.Close() //nolint:errcheck // the guard has its own
	read, write, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("make a pipe for the guard: %w", err)
	}
	defer read.Close() //nolint:errcheck // the guard has its own
	g := &guard{cmd: exec.Command("/proc/self/fd/4", "guard"), input: write, gone: make(chan struct{})}
	g.cmd.Stdin, g.cmd.ExtraFiles, g.cmd.Env = read, []*os.File{target, program}, []string{}
	g.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := g.cmd.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("start the guard: %w", err), write.Close())
	}
	return g, nil
}

// end ends the guard of a process that has ended.
func (g *guard) end() {
	_ = g.input.Close()
	<-g.gone
}

// pipes are for what a sandbox writes.
type pipes struct {
	to    [2]io.Writer
	read  [2]*os.File
	write [2]*os.File
	group sync.WaitGroup
	moves atomic.Uint64 // how often what was read has been taken
}

func newPipes(stdout, stderr io.Writer) (*pipes, error) {
	o := &pipes{to: [2]io.Writer{stdout, stderr}}
	for i := range o.to {
		var err error
		if o.read[i], o.write[i], err = os.Pipe(); err != nil {
			err = fmt.Errorf("make a pipe for the output: %w", err)
			if i > 0 {
				err = errors.Join(err, o.read[0].Close(), o.write[0].Close())
			}
			return nil, err
		}
	}
	return o, nil
}

// started leaves the pipes' ends to the sandbox, and copies what comes.
func (o *pipes) started() {
	for i := range o.to {
		_ = o.write[i].Close()
		o.group.Go(func() {
			_, _ = io.Copy(o.to[i], asked{o.read[i], &o.moves})
			_ = o.read[i].Close() // where nobody wants it, the workload hears so
		})
	}
}

// end takes what is on its way from a sandbox that has ended, as long as whoever it is for takes it: the end of a record
// does not depend on them. What else has a pipe open, keeps it so for killGrace.
func (o *pipes) end() {
	done := make(chan struct{})
	go func() {
		o.group.Wait()
		close(done)
	}()
	for before := o.moves.Load(); ; before = o.moves.Load() {
		select {
		case <-done:
			return
		case <-time.After(killGrace):
		}
		if o.moves.Load() == before {
			_ = errors.Join(o.read[0].Close(), o.read[1].Close()) // closed already is as good
			return
		}
	}
}

// asked is a file that counts how often it is asked for more.
type asked struct {
	file  *os.File
	moves *atomic.Uint64
}

// Read implements io.Reader.
func (a asked) Read(p []byte) (int, error) {
	a.moves.Add(1)
	return a.file.Read(p)
}
