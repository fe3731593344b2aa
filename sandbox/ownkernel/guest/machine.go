package guest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/hashicorp/yamux"
	"golang.org/x/sys/unix"

	"github.com/sterlingrun/sterling/clock"
	"github.com/sterlingrun/sterling/sandbox/ownkernel/internal/protocol"
)

// A machine is what process 1 knows.
type machine struct {
	mux      *yamux.Session
	boot     protocol.Boot
	events   *events
	group    *os.File // the control group of all processes that are not process 1
	children children
	places   chan struct{} // one for each connection that is open
}

// Times and bounds of a machine.
const (
	portLimit = 30 * time.Second // for the serial port to appear, and for the host to be there
	portEvery = 5 * time.Millisecond
	maxOpen   = 128 // connections at a time; more are closed at once
)

func powerOff() { _ = unix.Reboot(unix.LINUX_REBOOT_CMD_RESTART) } // which ends a machine that was started with -no-reboot

// serve makes the machine ready, and does what the host asks for until it says no more.
func serve() error {
	m := &machine{places: make(chan struct{}, maxOpen)}
	m.children.follow()
	port, err := openPort()
	if err != nil {
		return err
	}
	if m.mux, err = yamux.Server(port, protocol.Config()); err != nil {
		return fmt.Errorf("talk to the host: %w", err)
	}
	first, err := m.mux.Accept()
	if err != nil {
		return fmt.Errorf("wait for the host: %w", err)
	}
	if err := m.start(first); err != nil {
		return errors.Join(err, protocol.Write(first, protocol.Fault, []byte(err.Error())))
	}
	if err := protocol.Write(first, protocol.Ready, nil); err != nil {
		return fmt.Errorf("answer the host: %w", err)
	}
	for {
		stream, err := m.mux.Accept()
		if err != nil {
			return fmt.Errorf("the host is gone: %w", err)
		}
		go m.process(stream)
	}
}

// start does what the first order says.
func (m *machine) start(stream io.Reader) error {
	var o protocol.Order
	if err := protocol.ReadAsk(stream, protocol.MaxOrder, &o); err != nil {
		return err
	}
	if o.Boot == nil {
		return errors.New("the first order is no boot")
	}
	m.boot = *o.Boot
	if !m.boot.Disk {
		return nil
	}
	if err := m.mountAll(); err != nil {
		return err
	}
	call, err := m.mux.Open()
	if err == nil {
		err = protocol.WriteAsk(call, protocol.Call{Events: true})
	}
	if err != nil {
		return fmt.Errorf("open a stream for events: %w", err)
	}
	m.events = &events{to: call, lost: make(chan struct{})}
	go func() {
		<-m.events.lost
		powerOff()
	}()
	return m.listen()
}

// openPort loads the drivers and opens the serial port to the host.
func openPort() (io.ReadWriteCloser, error) {
	for _, one := range [][3]string{{"dev", "/dev", "devtmpfs"}, {"proc", "/proc", "proc"}, {"sys", "/sys", "sysfs"}} {
		if err := unix.Mount(one[0], one[1], one[2], 0, ""); err != nil && !errors.Is(err, unix.EBUSY) {
			return nil, fmt.Errorf("mount %s: %w", one[1], err)
		}
	}
	modules, err := filepath.Glob("/modules/*.ko")
	if err != nil {
		return nil, err
	}
	slices.Sort(modules) // their names begin with their numbers
	for _, path := range modules {
		f, err := os.Open(path)
		if err != nil {
			return nil, fmt.Errorf("open a driver: %w", err)
		}
		err = unix.FinitModule(int(f.Fd()), "", 0)
		if err = errors.Join(err, f.Close()); err != nil {
			return nil, fmt.Errorf("load %s: %w", path, err)
		}
	}
	p := &port{deadline: time.Now().Add(portLimit)}
	return p, appear("the serial port to the host", func() bool {
		found, err := filepath.Glob("/dev/vport*p1")
		if err == nil && len(found) == 1 {
			p.File, err = os.OpenFile(found[0], os.O_RDWR, 0)
		}
		return err == nil && p.File != nil
	})
}

// appear waits until a device is there: drivers find theirs in their own time.
func appear(what string, there func() bool) error {
	ctx, cancel := context.WithTimeout(context.Background(), portLimit)
	defer cancel()
	for !there() {
		if clock.Sleep(ctx, clock.NewSystem(), portEvery) != nil {
			return fmt.Errorf("%s is not there", what)
		}
	}
	return nil
}

// A port is the serial port. Until the kernel knows that the host is there, reading gives an end.
type port struct {
	*os.File
	deadline time.Time
	met      bool
}

// Read implements io.Reader.
func (p *port) Read(b []byte) (int, error) {
	for {
		n, err := p.File.Read(b)
		p.met = p.met || n > 0
		if !errors.Is(err, io.EOF) || p.met || time.Now().After(p.deadline) {
			return n, err
		}
		_ = clock.Sleep(context.Background(), clock.NewSystem(), portEvery) // it can't be cut short
	}
}

// children are the processes that were started here. Process 1 gets all others, too, when their parents end.
type children struct {
	mu   sync.Mutex
	wait map[int]chan syscall.WaitStatus
	live sync.WaitGroup
	// ending: the workload has ended, and nothing else may begin.
	ending bool
}

// start starts a process, whose end comes through the channel.
func (c *children) start(path string, argv []string, attr *syscall.ProcAttr) (int, <-chan syscall.WaitStatus, error) {
	c.mu.Lock() // so that its end is not taken for that of an unknown one
	defer c.mu.Unlock()
	if c.ending {
		return 0, nil, errors.New("the workload has ended")
	}
	pid, err := syscall.ForkExec(path, argv, attr)
	if err != nil {
		return 0, nil, err
	}
	ended := make(chan syscall.WaitStatus, 1)
	c.wait[pid] = ended
	return pid, ended, nil
}

// reap takes every process that has ended.
func (c *children) reap() {
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, syscall.WNOHANG, nil)
		if errors.Is(err, syscall.EINTR) {
			continue
		}
		if err != nil || pid <= 0 {
			return
		}
		c.mu.Lock()
		if ended := c.wait[pid]; ended != nil {
			delete(c.wait, pid)
			ended <- status // there is room
		}
		c.mu.Unlock()
	}
}
