package gvisor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sterlingrun/sterling/sandbox"
)

const (
	listenFolder  = "listen" // in a sandbox's folder: where the workload makes its sockets
	listenBytes   = 64 << 10 // of files there, which are of no use to anybody
	listenEntries = 512
	egressLimit   = 5 * time.Second // to connect
)

// A stream is a connection of which each way ends by itself.
type stream interface {
	net.Conn
	CloseRead() error
	CloseWrite() error
}

// An owner is who may connect to a relay.
type owner struct {
	uid, gid int
	mode     fs.FileMode
}

func ownerOf(path string) (owner, error) {
	var like syscall.Stat_t
	if err := syscall.Stat(path, &like); err != nil {
		return owner{}, fmt.Errorf("look at %s: %w", path, err)
	}
	return owner{int(like.Uid), int(like.Gid), fs.FileMode(like.Mode & 0o777)}, nil
}

func dialUnix(path string) (stream, error) {
	return net.DialUnix("unix", nil, &net.UnixAddr{Name: path, Net: "unix"})
}

// dialBeyond connects to an address of network.egress. A name that stands for this host, or its link, is not followed
// there: whoever owns the name would choose what the workload reaches.
func dialBeyond(address string) (stream, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	d := net.Dialer{Timeout: egressLimit}
	if _, err := netip.ParseAddr(host); err != nil {
		d.ControlContext = func(_ context.Context, _, at string, _ syscall.RawConn) error {
			ip, err := netip.ParseAddrPort(at)
			if err != nil {
				return err
			}
			return beyond(host, ip.Addr())
		}
	}
	conn, err := d.Dial("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", address, err)
	}
	return conn.(*net.TCPConn), nil //nolint:forcetypeassert // what "tcp" dials
}

// beyond returns an error where an address that a name stands for is this host's, on any of its interfaces, or its link's.
func beyond(host string, ip netip.Addr) error {
	ip = ip.Unmap().WithZone("")
	own, err := net.InterfaceAddrs()
	if err != nil {
		return fmt.Errorf("find this host's addresses: %w", err)
	}
	is := func(a net.Addr) bool {
		at, err := netip.ParsePrefix(a.String())
		return err != nil || at.Addr().Unmap() == ip // what can't be read may be it
	}
	if !sandbox.Public(ip) || slices.ContainsFunc(own, is) {
		return fmt.Errorf("%s stands for %s, which is this host or its link", host, ip)
	}
	return nil
}

// dialInside connects to a socket that the workload made. The folder is the workload's to write: what it put there in
// the socket's place, such as a link to a socket of the host, is not followed.
func dialInside(folder, name string) (stream, error) {
	at, err := unix.Open(folder, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open the folder of sockets: %w", err)
	}
	defer unix.Close(at) //nolint:errcheck // a path
	fd, err := unix.Openat(at, name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("look for the socket %s: %w", name, err)
	}
	defer unix.Close(fd) //nolint:errcheck // a path
	var is unix.Stat_t
	if err := unix.Fstat(fd, &is); err != nil || is.Mode&unix.S_IFMT != unix.S_IFSOCK {
		return nil, errors.Join(fmt.Errorf("%s is no socket", name), err)
	}
	return dialUnix("/proc/self/fd/" + strconv.Itoa(fd))
}

// startListens makes the folder where the workload listens, of a file system of its own, so that no link in it can be to
// anything outside and no file fills the host's disk; and a socket of the host for each name.
func (s *session) startListens() (string, error) {
	if len(s.policy.Network.Listen) == 0 {
		return "", nil
	}
	folder := s.place.path(listenFolder)
	if err := os.Mkdir(folder, 0o700); err != nil {
		return "", fmt.Errorf("make the folder of the workload's sockets: %w", err)
	}
	options := fmt.Sprintf("size=%d,nr_inodes=%d,mode=0700,uid=%d,gid=%d", listenBytes, listenEntries, s.policy.User.UID, s.policy.User.GID)
	if err := unix.Mount("tmpfs", folder, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, options); err != nil {
		return "", fmt.Errorf("mount a file system for the workload's sockets: %w", err)
	}
	s.status.Listen = map[string]string{}
	for i, name := range s.policy.Network.Listen {
		path := s.place.path("l" + strconv.Itoa(i))
		r, err := newRelay(name, path, owner{os.Getuid(), os.Getgid(), 0o600}, func() (stream, error) { return dialInside(folder, name) })
		if err != nil {
			return "", fmt.Errorf("offer the workload's socket %s: %w", name, err)
		}
		s.listens = append(s.listens, r)
		s.status.Listen[name] = path
	}
	return folder, nil
}

// endListens removes what startListens made in a sandbox's folder; nothing there is no error.
func (p place) endListens() error {
	err := unix.Unmount(p.path(listenFolder), unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOENT) {
		err = nil // nothing is mounted there
	}
	if err != nil {
		return fmt.Errorf("unmount the workload's sockets: %w", err)
	}
	left, err := filepath.Glob(p.path("l[0-9]*"))
	errs := []error{err}
	for _, path := range append(left, p.path(listenFolder)) {
		errs = append(errs, os.RemoveAll(path))
	}
	return errors.Join(errs...)
}
