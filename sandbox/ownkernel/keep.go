package ownkernel

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sterlingrun/sterling/sandbox"
	"github.com/sterlingrun/sterling/sandbox/ownkernel/internal/protocol"
)

// bootOf is a policy as the init enforces it. It reads the secrets.
func bootOf(p *sandbox.Policy) (protocol.Boot, error) {
	b := protocol.Boot{
		Hostname: p.Name, Disk: true, Writable: p.Root.Writable, Processes: p.Limits.Processes, Folder: p.WorkingDirectory,
		OpenFiles: uint64(p.Limits.OpenFiles), FileSize: uint64(p.Limits.FileSize), //nolint:gosec // Parse: not negative
		UID: p.User.UID, GID: p.User.GID, Env: p.Variables(),
	}
	for _, m := range p.Mounts {
		b.Memory = append(b.Memory, protocol.Memory{Target: m.Target, Size: int64(m.Memory)})
	}
	left := sandbox.MaxMachineSecrets
	for _, s := range p.Secrets {
		f, err := os.Open(s.File)
		if err != nil {
			return b, fmt.Errorf("secret %s: %w", s.Name, err)
		}
		text, err := io.ReadAll(io.LimitReader(f, int64(left)+1))
		if err = errors.Join(err, f.Close()); err != nil {
			return b, fmt.Errorf("secret %s: %w", s.Name, err)
		}
		if left -= len(text); left < 0 {
			return b, fmt.Errorf("secret %s: all secrets of a machine have at most %d bytes together", s.Name, sandbox.MaxMachineSecrets)
		}
		b.Secrets = append(b.Secrets, protocol.Secret{Name: s.Name, Text: text})
	}
	for _, s := range p.Network.Sockets {
		var like syscall.Stat_t
		if err := syscall.Stat(s.Path, &like); err != nil {
			return b, fmt.Errorf("socket %s: %w", s.Name, err)
		}
		b.Sockets = append(b.Sockets, protocol.Socket{Name: s.Name, UID: like.Uid, GID: like.Gid, Mode: like.Mode})
	}
	return b, nil
}

// keep keeps a machine from its boot to its end. What is left then is for Forget.
func (m *Machine) keep(boot protocol.Boot, recorder net.Conn) {
	m.recorder = recorder
	exit := -1
	err := m.boot(boot)
	if err != nil {
		err = fmt.Errorf("the machine does not boot: %w", err)
	} else {
		exit, err = m.follow()
	}
	m.End()
	<-m.ended
	if err != nil && !errors.Is(err, ErrFault) {
		err = fmt.Errorf("%w: %s", err, m.console)
	}
	m.fail(err)
	_ = m.mux.Close()
	limits := []*time.Timer{
		time.AfterFunc(drainLimit, m.letGo),                       // of who does not mind that the machine is gone
		time.AfterFunc(endLimit, func() { _ = recorder.Close() }), // one that stands still
	}
	m.streams.Wait()
	for _, l := range limits {
		l.Stop()
	}
	_ = recorder.Close()
	m.exited <- exit
}

// follow runs the workload to its end. An error comes with the exit of a workload that was killed, or, where it did not
// start, with -1.
func (m *Machine) follow() (int, error) {
	m.streams.Go(m.serve)
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(m.options.Folder, fileExec), Net: "unix"})
	if err != nil {
		return -1, fmt.Errorf("listen for commands: %w", err)
	}
	defer listener.Close() //nolint:errcheck // nobody comes any more
	m.streams.Go(func() { m.acceptCommands(listener) })
	stream, err := m.mux.Open()
	if err == nil {
		err = protocol.WriteAsk(stream, protocol.Order{Run: &protocol.Run{Argv: m.options.Policy.Command, Main: true}})
	}
	if err != nil {
		return -1, fmt.Errorf("start the workload: %w", err)
	}
	m.mu.Lock()
	m.workload = stream
	m.mu.Unlock()
	exit, err := receive(stream, m.options.Stdout, m.options.Stderr)
	switch {
	case errors.Is(err, ErrFault):
		return -1, err
	case err != nil:
		return killed, err
	}
	// The record is not complete before the last event is with the recorder.
	select {
	case <-m.told:
	case <-m.ended:
	}
	return exit, nil
}

// killed is the exit of what did not live to tell.
const killed = 128 + int(syscall.SIGKILL)

// ErrFault is wrapped where the guest did not do what it was asked for.
var ErrFault = errors.New("the machine refuses")

// receive takes what a process writes, and its exit.
func receive(from io.Reader, stdout, stderr io.Writer) (int, error) {
	for {
		k, payload, err := protocol.Read(from, protocol.MaxFrame)
		if err != nil {
			return killed, fmt.Errorf("the machine is gone: %w", err)
		}
		switch {
		case k == protocol.Stdout:
			_, err = stdout.Write(payload)
		case k == protocol.Stderr:
			_, err = stderr.Write(payload)
		case k == protocol.Exit && len(payload) == 1:
			return int(payload[0]), nil
		case k == protocol.Fault:
			return killed, fmt.Errorf("%w: %s", ErrFault, printable(payload))
		default:
			err = fmt.Errorf("a frame of kind %d where the output of a process is due", k)
		}
		if err != nil {
			return killed, err
		}
	}
}

// Signal sends a signal to the workload: "TERM" or "KILL". An error means that there is none yet, or none any more.
func (m *Machine) Signal(_ context.Context, name string) error {
	m.mu.Lock()
	stream := m.workload
	m.mu.Unlock()
	number := unix.SignalNum("SIG" + name)
	if stream == nil || number == 0 {
		return fmt.Errorf("send %s: there is no workload, or no such signal", name)
	}
	return protocol.Write(stream, protocol.Signal, []byte{byte(number)}) //nolint:gosec // at most 64
}

// serve takes streams that the guest opens: its events, and connections to the policy's sockets.
func (m *Machine) serve() {
	places := make(chan struct{}, maxStreams)
	for {
		stream, err := m.mux.Accept()
		if err != nil {
			return
		}
		if m.mux.NumStreams() > maxKept { // our init has closed them by then
			m.fail(errors.New("the machine does not close its connections"))
			m.End()
			return
		}
		select {
		case places <- struct{}{}:
			m.streams.Go(func() {
				defer func() { <-places }()
				defer stream.Close() //nolint:errcheck // ended
				m.answer(stream)
			})
		default:
			_ = stream.Close()
		}
	}
}

func (m *Machine) answer(stream net.Conn) {
	var c protocol.Call
	if protocol.ReadAsk(stream, protocol.MaxFrame, &c) != nil {
		return
	}
	if c.Events {
		m.forward(stream)
		return
	}
	for _, s := range m.options.Policy.Network.Sockets {
		if s.Name == c.Socket {
			to, err := net.Dial("unix", s.Path)
			if err == nil && protocol.Write(stream, protocol.Ready, nil) == nil {
				m.pass(to, stream)
			} else if err == nil {
				_ = to.Close()
			}
			return
		}
	}
}

// pass passes bytes between a connection of the host and a stream, until both have ended or letGo.
func (m *Machine) pass(host, stream net.Conn) {
	m.mu.Lock()
	if m.held == nil {
		m.held = map[net.Conn]bool{}
	}
	m.held[host] = true
	m.mu.Unlock()
	both(host, stream)
	m.mu.Lock()
	delete(m.held, host)
	m.mu.Unlock()
}

// letGo closes connections of the host that outlive the machine.
func (m *Machine) letGo() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for conn := range m.held {
		_ = conn.Close()
	}
}

// both copies both ways until both have ended, and closes.
func both(a, b net.Conn) {
	defer a.Close() //nolint:errcheck // ended
	defer b.Close() //nolint:errcheck // ended
	var ways sync.WaitGroup
	way := func(to, from net.Conn) {
		if _, err := io.Copy(to, from); err != nil {
			_ = errors.Join(to.Close(), from.Close()) // broken: nothing more will be understood
			return
		}
		if u, ok := to.(*net.UnixConn); ok {
			_ = u.CloseWrite()
			return
		}
		_ = to.Close() // of a stream, this is half of it
	}
	ways.Go(func() { way(a, b) })
	ways.Go(func() { way(b, a) })
	ways.Wait()
}

// forward gives the recorder what the guest tells. The recorder trusts it no more than gVisor's kernel. One that takes no
// more holds the guest, which waits.
func (m *Machine) forward(stream io.Reader) {
	m.mu.Lock()
	first := !m.telling
	m.telling = true
	m.mu.Unlock()
	if !first {
		return
	}
	for {
		k, message, err := protocol.Read(stream, protocol.MaxFrame)
		if err != nil || k != protocol.Event {
			break
		}
		if _, err := m.recorder.Write(message); errors.Is(err, syscall.EMSGSIZE) {
			m.fail(fmt.Errorf("the machine tells of an event of %d bytes, which can't be recorded", len(message)))
			m.End()
			return
		} else if err != nil {
			return // the end of the recorder is for the session to notice, which freezes the machine
		}
	}
	close(m.told)
}

// dialRecorder connects as gVisor does.
func dialRecorder(path string) (net.Conn, error) {
	conn, err := net.Dial("unixpacket", path)
	if err != nil {
		return nil, fmt.Errorf("connect to the recorder: %w", err)
	}
	// Handshake{version: 1}; https://github.com/google/gvisor/blob/master/pkg/sentry/seccheck/points/common.proto
	answer := make([]byte, 16)
	_, err = conn.Write([]byte{1 << 3, 1})
	if err == nil {
		_, err = conn.Read(answer)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("meet the recorder: %w", err), conn.Close())
	}
	return conn, nil
}

// acceptCommands passes commands on to the guest. The socket is in a folder that only root enters.
func (m *Machine) acceptCommands(l *net.UnixListener) {
	for {
		conn, err := l.AcceptUnix()
		if err != nil {
			return
		}
		if m.mux.NumStreams() > 2*maxStreams { // the guest is not to blame for what is asked of it
			_ = conn.Close()
			continue
		}
		stream, err := m.mux.Open()
		if err != nil {
			_ = conn.Close()
			continue
		}
		m.streams.Go(func() { m.pass(conn, stream) })
	}
}

// Exec runs one more command in the machine of a sandbox's folder, and returns its exit status. The error wraps ErrFault
// where the machine can't execute it. When ctx ends, the command gets SIGTERM; what does not hear that goes on until the
// machine ends.
func Exec(ctx context.Context, folder string, argv []string, stdin io.Reader, stdout, stderr io.Writer) (int, error) {
	conn, err := net.Dial("unix", filepath.Join(folder, fileExec))
	if err != nil {
		return killed, fmt.Errorf("find the machine: %w", err)
	}
	defer conn.Close() //nolint:errcheck // ended
	if err := protocol.WriteAsk(conn, protocol.Order{Run: &protocol.Run{Argv: argv}}); err != nil {
		return killed, fmt.Errorf("ask for a command: %w", err)
	}
	var sending sync.Mutex
	send := func(k protocol.Kind, payload []byte) error {
		sending.Lock()
		defer sending.Unlock()
		return protocol.Write(conn, k, payload)
	}
	stop := context.AfterFunc(ctx, func() { _ = send(protocol.Signal, []byte{byte(syscall.SIGTERM)}) })
	defer stop()
	// It ends with the input, or with the process: it can't be interrupted.
	go func() {
		buffer := make([]byte, 32<<10)
		for {
			n, err := stdin.Read(buffer)
			if n > 0 && send(protocol.Stdin, buffer[:n]) != nil {
				return
			}
			if err != nil {
				_ = send(protocol.Stdin, nil)
				return
			}
		}
	}()
	return receive(conn, stdout, stderr)
}
