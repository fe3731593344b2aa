package node

import (
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/sterlingrun/sterling/mesh/proxy"
)

// A socket is one that proxies have copies of: TCP's or Unix's.
type socket interface {
	net.Listener
	syscall.Conn
}

// listenSocket listens at an address of a configuration.
func listenSocket(address string) (socket, error) {
	if path, ok := proxy.UnixAddress(address); ok {
		return replaceUnix("unix", path, 0o600)
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, err
	}
	return l.(*net.TCPListener), nil //nolint:forcetypeassert // what "tcp" listens with
}

// closeSocket closes a socket where nobody is to come any more.
func closeSocket(address string, l socket) {
	_ = l.Close()
	if path, ok := proxy.UnixAddress(address); ok {
		_ = os.Remove(path) // the next who listens there would replace it
	}
}

// listenUnix listens on a Unix socket with these rights. What a process that ended has left there is replaced; where
// one still answers, it is an error.
func listenUnix(network, path string, mode os.FileMode) (*net.UnixListener, error) {
	if c, err := net.Dial(network, path); err == nil {
		return nil, errors.Join(fmt.Errorf("listen on %s: another process does", path), c.Close())
	}
	return replaceUnix(network, path, mode)
}

// replaceUnix listens on a Unix socket in the place of whoever did so far, who keeps the connections that it has.
func replaceUnix(network, path string, mode os.FileMode) (*net.UnixListener, error) {
	next := path + ".new"
	if err := os.Remove(next); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("listen on %s: %w", path, err)
	}
	l, err := net.ListenUnix(network, &net.UnixAddr{Name: next, Net: network})
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", path, err)
	}
	l.SetUnlinkOnClose(false) // the name may be somebody else's by then
	if err := errors.Join(os.Chmod(next, mode), os.Rename(next, path)); err != nil {
		return nil, errors.Join(fmt.Errorf("listen on %s: %w", path, err), l.Close(), os.Remove(next))
	}
	return l, nil
}

// copyOfSocket is another descriptor of a listener's socket. Not what its method File makes: that one turns all
// descriptors of the socket to blocking calls when it is used, and whoever accepts on it then can't be stopped.
func copyOfSocket(l socket) (*os.File, error) {
	raw, err := l.SyscallConn()
	if err != nil {
		return nil, fmt.Errorf("copy a listener: %w", err)
	}
	var fd int
	var dupErr error
	err = raw.Control(func(of uintptr) { fd, dupErr = unix.FcntlInt(of, unix.F_DUPFD_CLOEXEC, 0) })
	if err := errors.Join(err, dupErr); err != nil {
		return nil, fmt.Errorf("copy a listener: %w", err)
	}
	return os.NewFile(uintptr(fd), "listener"), nil
}

// sameUser wants whoever is at the other end of a Unix socket to be of this process's user, or root.
func sameUser(c *net.UnixConn) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return fmt.Errorf("ask who is at the other end: %w", err)
	}
	var cred *unix.Ucred
	var credErr error
	err = raw.Control(func(fd uintptr) { cred, credErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) })
	if err := errors.Join(err, credErr); err != nil {
		return fmt.Errorf("ask who is at the other end: %w", err)
	}
	if cred.Uid != 0 && int(cred.Uid) != os.Getuid() {
		return fmt.Errorf("the user %d may not do this", cred.Uid)
	}
	return nil
}
