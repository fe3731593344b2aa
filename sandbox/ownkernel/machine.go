package ownkernel

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
	"time"
	"unicode"

	"github.com/hashicorp/yamux"

	"github.com/sterlingrun/sterling/sandbox"
	"github.com/sterlingrun/sterling/sandbox/ownkernel/internal/protocol"
)

// Names in the folder of a sandbox.
const (
	folderParts = "machine"
	folderJail  = "machine/jail"
	folderShown = "machine/parts"
	fileInitrd  = "initrd"
	fileDisk    = "root.img"
	fileExec    = "exec.sock" // where Exec comes in
)

// Bounds of a machine.
const (
	maxSaid    = 4 << 10 // bytes of what a console or a program said
	endLimit   = 10 * time.Second
	maxStreams = 128 // connections of the guest at a time, and about as many commands
	// maxKept are streams that are open, or that the guest has not closed yet: each can keep 256 KiB here.
	maxKept = 3 * maxStreams
	// drainLimit is how long connections may still deliver when the machine has ended.
	drainLimit = time.Second
)

// Options are what a machine is started with.
type Options struct {
	Folder string // absolute; of the sandbox: what the machine needs is made in it, and removed by Forget
	Root   string // the root file system, which is copied
	// Policy is as it is to be enforced: paths resolved, and the sockets those that are dialled.
	Policy         *sandbox.Policy
	Cgroup         string // below the mount of each controller
	AuditSocket    string // where the recorder listens as for gVisor
	KVM            bool
	Stdout, Stderr io.Writer
}

// A Machine runs one workload.
type Machine struct {
	options Options
	groups  groups
	qemu    *exec.Cmd
	console *tail
	mux     *yamux.Session
	ended   chan struct{} // closed when QEMU has ended
	exited  chan int      // of the workload, when all has ended

	recorder net.Conn
	told     chan struct{} // closed when the recorder has all events
	streams  sync.WaitGroup

	mu       sync.Mutex
	workload net.Conn          // nil: not yet
	telling  bool              // the guest has opened its stream of events
	fault    string            // why the workload did not start
	held     map[net.Conn]bool // the host's ends of connections
}

// Exited delivers the workload's exit as shells give it, once everything of the machine has ended. It is what the machine
// says, or 137 where it was killed.
func (m *Machine) Exited() <-chan int { return m.exited }

// Overhead is what QEMU itself may need of the memory that a policy allows, in bytes.
const Overhead = sandbox.MachineOverhead

// Start makes a machine and starts it. It boots, and the workload starts, after Start has returned; a workload that could
// not start has an exit of -1, and Said tells why. The error wraps ErrUnavailable where something is missing. If this
// process is killed, the machine is, too.
func (h *Host) Start(o Options) (*Machine, error) {
	boot, err := bootOf(o.Policy)
	if err != nil {
		return nil, err
	}
	recorder, err := dialRecorder(o.AuditSocket)
	if err != nil {
		return nil, err
	}
	m, err := h.launch(o, true)
	if err != nil {
		return nil, errors.Join(err, recorder.Close())
	}
	go m.keep(boot, recorder)
	return m, nil
}

// Boots tells whether a machine boots here, by booting one. The folder is for its files, and must be empty; the policy is for its limits.
func (h *Host) Boots(ctx context.Context, kvm bool, folder, cgroup string, limits sandbox.Limits) error {
	m, err := h.launch(Options{Folder: folder, Cgroup: cgroup, KVM: kvm, Policy: &sandbox.Policy{Limits: limits}}, false)
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, m.End)
	defer stop()
	err = m.boot(protocol.Boot{})
	m.End()
	<-m.ended
	if err != nil {
		err = fmt.Errorf("%w: it does not boot (%s): %s", ErrUnavailable, m.qemu.ProcessState, m.Said())
	}
	return errors.Join(err, m.Forget(context.WithoutCancel(ctx)))
}

// launch starts QEMU. Its end comes through exited, once.
func (h *Host) launch(o Options, disk bool) (m *Machine, err error) {
	p, err := h.find()
	if err != nil {
		return nil, err
	}
	m = &Machine{options: o, groups: groupsOf(o.Cgroup), console: &tail{}, exited: make(chan int, 1), told: make(chan struct{})}
	defer func() {
		if err != nil {
			err = errors.Join(err, m.Forget(context.Background()))
		}
	}()
	for _, folder := range []string{folderParts, folderJail, folderShown} {
		if err := os.Mkdir(filepath.Join(o.Folder, folder), 0o755); err != nil { //nolint:gosec // the folder above is closed
			return nil, fmt.Errorf("make the machine's folder: %w", err)
		}
	}
	shown := filepath.Join(o.Folder, folderShown)
	if err := h.fill(p, shown, o.Root, disk); err != nil {
		return nil, err
	}
	if err := m.groups.make(o.Policy.Limits); err != nil {
		return nil, err
	}
	spec := SpecOf(o.Policy, o.KVM)
	spec.Disk = disk
	order, err := json.Marshal(confinement{
		Groups: m.groups, Jail: filepath.Join(o.Folder, folderJail), Parts: shown, Kernel: filepath.Join(h.Folder, fileKernel), KVM: o.KVM,
		Argv: spec.Arguments(p.qemu),
	})
	if err != nil {
		return nil, err
	}
	return m, m.execute(h.Program, order)
}

// SpecOf is the machine that a policy gets.
func SpecOf(p *sandbox.Policy, kvm bool) Spec {
	cpus := max(1, min(int(p.Limits.CPU+999)/1000, runtime.NumCPU(), 32))
	return Spec{KVM: kvm, Memory: (int64(p.Limits.Memory) - Overhead) &^ (1<<20 - 1), CPUs: cpus, Disk: true}
}

// fill writes the files that QEMU reads. It opens them as nobody.
func (h *Host) fill(p parts, shown, root string, disk bool) error {
	f, err := os.OpenFile(filepath.Join(shown, fileInitrd), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644) //nolint:gosec // see above
	if err != nil {
		return fmt.Errorf("make the initial file system: %w", err)
	}
	if err := errors.Join(h.writeInitrd(f), f.Close()); err != nil {
		return err
	}
	if !disk {
		return nil
	}
	image := filepath.Join(shown, fileDisk)
	if err := makeDisk(p.mkfs, root, image); err != nil {
		return err
	}
	return os.Chmod(image, 0o644) //nolint:gosec // see above
}

// execute starts the program that becomes QEMU.
func (m *Machine) execute(program string, order []byte) error {
	ours, theirs, err := socketPair()
	if err != nil {
		return err
	}
	defer theirs.Close() //nolint:errcheck // QEMU has its own
	reader, writer, err := os.Pipe()
	if err != nil {
		return errors.Join(fmt.Errorf("make a pipe: %w", err), ours.Close())
	}
	defer reader.Close() //nolint:errcheck // QEMU's has ended
	m.qemu = exec.Command(program, ConfineCommand)
	m.qemu.Env, m.qemu.Dir = []string{}, "/"
	m.qemu.ExtraFiles = []*os.File{theirs, reader}
	m.qemu.Stdout, m.qemu.Stderr = m.console, m.console
	m.qemu.WaitDelay = endLimit
	m.qemu.SysProcAttr = &syscall.SysProcAttr{
		Pdeathsig: syscall.SIGKILL, Setpgid: true,
		Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWNET | syscall.CLONE_NEWIPC | syscall.CLONE_NEWUTS,
	}
	started := make(chan error, 1)
	m.ended = make(chan struct{})
	go func() {
		// The kernel sends the signal when the thread that started the process ends, not the process. So this one stays.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := m.qemu.Start()
		started <- err
		if err != nil {
			return
		}
		_ = m.qemu.Wait() // the state tells
		_ = ours.Close()  // so that nobody waits for it
		close(m.ended)
	}()
	if err := <-started; err != nil {
		return errors.Join(fmt.Errorf("start the machine: %w", err), ours.Close(), writer.Close())
	}
	_, err = writer.Write(order)
	if err = errors.Join(err, writer.Close()); err == nil {
		err = m.talk(ours)
	}
	if err != nil {
		m.End()
		<-m.ended
		return fmt.Errorf("talk to the machine: %w", err)
	}
	return nil
}

// talk makes streams of the serial port.
func (m *Machine) talk(port net.Conn) (err error) {
	m.mux, err = yamux.Client(&guard{Conn: port, refuse: m.fail}, protocol.Config())
	return err
}

func socketPair() (net.Conn, *os.File, error) {
	pair, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("make a pair of sockets: %w", err)
	}
	ours, theirs := os.NewFile(uintptr(pair[0]), "ours"), os.NewFile(uintptr(pair[1]), "theirs")
	conn, err := net.FileConn(ours)
	_ = ours.Close() // conn has its own
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("take a socket: %w", err), theirs.Close())
	}
	return conn, theirs, nil
}

// boot gives the machine its first order, and waits for it to be done.
func (m *Machine) boot(b protocol.Boot) error {
	stream, err := m.mux.Open()
	if err != nil {
		return err
	}
	defer stream.Close() //nolint:errcheck // there is nothing more to say
	if err := protocol.WriteAsk(stream, protocol.Order{Boot: &b}); err != nil {
		return err
	}
	k, text, err := protocol.Read(stream, protocol.MaxFrame)
	if err == nil && k != protocol.Ready {
		err = fmt.Errorf("%w: %s", ErrFault, printable(text))
	}
	return err
}

// End kills the machine.
func (m *Machine) End() {
	if m.qemu != nil && m.qemu.Process != nil {
		_ = m.qemu.Process.Kill() // gone already is as good
	}
}

// Forget removes what is left of a machine that has ended.
func (m *Machine) Forget(ctx context.Context) error {
	return Forget(ctx, m.options.Folder, m.options.Cgroup)
}

// Forget is for a machine of another process.
func Forget(ctx context.Context, folder, cgroup string) error {
	ctx, cancel := context.WithTimeout(ctx, endLimit)
	defer cancel()
	return errors.Join(groupsOf(cgroup).remove(ctx), os.RemoveAll(filepath.Join(folder, folderParts)), os.RemoveAll(filepath.Join(folder, fileExec)))
}

// Said is why the workload did not start, or the end of what the machine's console shows.
func (m *Machine) Said() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fault != "" {
		return m.fault
	}
	return m.console.String()
}

func (m *Machine) fail(why error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fault == "" && why != nil {
		m.fault = why.Error()
	}
}

// A tail keeps the last bytes of what a console shows.
type tail struct {
	mu   sync.Mutex
	text []byte
}

// Write implements io.Writer.
func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, p...)
	if len(t.text) > maxSaid {
		t.text = append(t.text[:0], t.text[len(t.text)-maxSaid:]...)
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return printable(t.text)
}

// printable is what a machine says, bounded, without what a terminal would take for an order.
func printable(text []byte) string {
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if r != '\n' && !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, string(text[:min(len(text), maxSaid)])))
}
