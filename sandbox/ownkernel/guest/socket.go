package guest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/sterlingrun/sterling/sandbox/ownkernel/internal/protocol"
)

// listen makes the sockets that processes connect to.
func (m *machine) listen() error {
	for _, s := range m.boot.Sockets {
		at := path.Join("/run/services", s.Name)
		l, err := (&net.ListenConfig{}).Listen(context.Background(), "unix", at)
		if err == nil {
			err = errors.Join(os.Chown(at, int(s.UID), int(s.GID)), os.Chmod(at, fs.FileMode(s.Mode&0o777)))
		}
		if err != nil {
			return fmt.Errorf("listen at %s: %w", at, err)
		}
		go m.accept(l, s.Name, at)
	}
	return nil
}

func (m *machine) accept(l net.Listener, name, at string) {
	for {
		conn, err := l.Accept()
		if err != nil {
			powerOff() // what can't be accounted for does not go on
			return
		}
		select {
		case m.places <- struct{}{}:
			go func() {
				defer func() { <-m.places }()
				m.pass(conn, name, at)
			}()
		default:
			_ = conn.Close()
		}
	}
}

// pass passes a connection on to the host.
func (m *machine) pass(conn net.Conn, name, at string) {
	defer conn.Close() //nolint:errcheck // ended
	inside, ok := conn.(*net.UnixConn)
	if !ok {
		return
	}
	if !m.events.connected(peer(inside, m.boot.Folder), at) {
		return
	}
	outside, err := m.call(name)
	m.events.calling.Done()
	if err != nil {
		return
	}
	defer outside.Close() //nolint:errcheck // ended
	var both sync.WaitGroup
	both.Go(func() {
		_, _ = io.Copy(outside, inside)
		_ = outside.Close() // half of it
	})
	both.Go(func() {
		_, _ = io.Copy(inside, outside)
		_ = inside.CloseWrite()
	})
	both.Wait()
}

// call opens a connection of the host's, and returns when the host has counted it.
func (m *machine) call(name string) (net.Conn, error) {
	outside, err := m.mux.Open()
	if err != nil {
		return nil, err
	}
	if err = protocol.WriteAsk(outside, protocol.Call{Socket: name}); err == nil {
		_, _, err = protocol.Read(outside, 0)
	}
	if err != nil {
		return nil, errors.Join(err, outside.Close())
	}
	return outside, nil
}

// peer is the process at the other end, as the kernel has it.
func peer(conn *net.UnixConn, folder string) task {
	t := task{pid: 1, folder: folder}
	raw, err := conn.SyscallConn()
	if err != nil {
		return t
	}
	_ = raw.Control(func(fd uintptr) {
		if c, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED); err == nil {
			t.pid, t.uid, t.gid = int(c.Pid), c.Uid, c.Gid
		}
	})
	if text, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", t.pid)); err == nil {
		t.command = string(bytes.TrimSpace(text))
	}
	return t
}
