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
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sterlingrun/sterling/sandbox"
)

const (
	listenFolder  = "listen" // in a sandbox's folder: where the workload makes its sockets
	listenBytes   = 64 << 10 // of files there, which are of no use to anybody
	listenEntries = 512
	maxSocketPath = len(unix.RawSockaddrUnix{}.Path) - 1
	noSymFollow   = 0x2000          // ST_NOSYMFOLLOW of statfs(2); older kernels ignore what mount was asked for
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

// dialBeyond connects to an address of network.egress. A name that stands for this host, its link, or a service of its
// cloud is not followed there: whoever owns the name would choose what the workload reaches.
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

// beyond returns an error where an address that a name stands for is this host's, on any of its interfaces, its link's or
// its cloud's.
func beyond(host string, ip netip.Addr) error {
	ip = sandbox.Reached(ip)
	own, err := net.InterfaceAddrs()
	if err != nil {
		return fmt.Errorf("find this host's addresses: %w", err)
	}
	is := func(a net.Addr) bool {
		at, err := netip.ParsePrefix(a.String())
		return err != nil || at.Addr().Unmap() == ip // what can't be read may be it
	}
	if !sandbox.Public(ip) || slices.ContainsFunc(own, is) {
		return fmt.Errorf("%s stands for %s, which is this host, its link or a service of its cloud", host, ip)
	}
	return nil
}

// startListens makes the folder where the workload listens, and from which the host connects. It is a file system of its
// own: no link in it can be to anything outside but a symbolic one, and of those the host's kernel follows none there,
// whoever asks. So whatever the workload puts in the place of its socket leads nowhere, and fills nobody's disk.
func (s *session) startListens() (string, error) {
	if len(s.policy.Network.Listen) == 0 {
		return "", nil
	}
	folder := s.place.path(listenFolder)
	if err := os.Mkdir(folder, 0o700); err != nil {
		return "", fmt.Errorf("make the folder of the workload's sockets: %w", err)
	}
	options := fmt.Sprintf("size=%d,nr_inodes=%d,mode=0700,uid=%d,gid=%d", listenBytes, listenEntries, s.policy.User.UID, s.policy.User.GID)
	if err := unix.Mount("tmpfs", folder, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC|unix.MS_NOSYMFOLLOW, options); err != nil {
		return "", fmt.Errorf("mount a file system for the workload's sockets: %w", err)
	}
	var is unix.Statfs_t
	if err := unix.Statfs(folder, &is); err != nil || is.Flags&noSymFollow == 0 {
		return "", errors.Join(errors.New("symbolic links would be followed from the host to where the workload says: network.listen needs Linux 5.10"), err)
	}
	s.status.Listen = map[string]string{}
	for _, name := range s.policy.Network.Listen {
		path := filepath.Join(folder, name)
		if len(path) > maxSocketPath {
			return "", fmt.Errorf("offer the workload's socket %s: %s is longer than the %d bytes of a socket's path: choose a shorter state folder", name, path, maxSocketPath)
		}
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
	return os.RemoveAll(p.path(listenFolder))
}
