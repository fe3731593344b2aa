package guest

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strconv"

	"golang.org/x/sys/unix"
)

// Places in the initial file system, which processes of the workload never see.
const (
	diskAt  = "/lower"
	freshAt = "/fresh"
	rootAt  = "/root"
)

// mountAll makes the workload's root, hardens the kernel, and makes that root the one of process 1.
func (m *machine) mountAll() error {
	if err := m.mountRoot(); err != nil {
		return err
	}
	if err := m.mountInside(); err != nil {
		return err
	}
	if err := harden(m.boot.Hostname); err != nil {
		return err
	}
	if err := m.limitProcesses(); err != nil {
		return err
	}
	return enter()
}

// mount makes the place and mounts there.
func mount(source, target, kind string, flags uintptr, data string) error {
	if err := os.MkdirAll(target, 0o755); err != nil { //nolint:gosec // places to mount on are open to all users
		return fmt.Errorf("make a place to mount on: %w", err)
	}
	if err := unix.Mount(source, target, kind, flags, data); err != nil {
		return fmt.Errorf("mount %s: %w", target, err)
	}
	return nil
}

// mountRoot puts fresh memory over the disk, so that there can be places to mount on that the disk does not have.
func (m *machine) mountRoot() error {
	err := appear("the disk", func() bool {
		_, err := os.Stat("/dev/vda")
		return err == nil
	})
	if err != nil {
		return err
	}
	if err := mount("/dev/vda", diskAt, "ext4", unix.MS_RDONLY|unix.MS_NODEV|unix.MS_NOSUID, "noload"); err != nil {
		return err
	}
	if err := mount("fresh", freshAt, "tmpfs", unix.MS_NODEV|unix.MS_NOSUID, ""); err != nil {
		return err
	}
	for _, folder := range []string{freshAt + "/upper", freshAt + "/work"} {
		if err := os.Mkdir(folder, 0o755); err != nil { //nolint:gosec // the root of a file system is open to its users
			return err
		}
	}
	layers := "lowerdir=" + diskAt + ",upperdir=" + freshAt + "/upper,workdir=" + freshAt + "/work"
	return mount("root", rootAt, "overlay", unix.MS_NODEV|unix.MS_NOSUID, layers)
}

// mountInside fills the workload's root.
func (m *machine) mountInside() error {
	const plain = unix.MS_NODEV | unix.MS_NOSUID
	in := func(target string) string { return path.Join(rootAt, target) }
	places := []string{"/proc", "/dev", "/tmp", "/run/secrets", "/run/services"}
	for _, one := range m.boot.Memory {
		places = append(places, one.Target)
	}
	// All places first: a read-only root gets no more.
	root, err := os.OpenRoot(rootAt)
	if err != nil {
		return err
	}
	defer root.Close() //nolint:errcheck // a folder
	for _, p := range places {
		if err := root.MkdirAll(p[1:], 0o755); err != nil {
			return fmt.Errorf("make the place %s: %w", p, err)
		}
	}
	empty, err := fs.ReadDir(root.FS(), "tmp")
	if err != nil {
		return fmt.Errorf("look at /tmp: %w", err)
	}
	if !m.boot.Writable {
		if err := unix.Mount("", rootAt, "", unix.MS_REMOUNT|unix.MS_RDONLY|plain, ""); err != nil {
			return fmt.Errorf("make the root read-only: %w", err)
		}
	}
	if err := mount("proc", in("/proc"), "proc", plain|unix.MS_NOEXEC, "hidepid=invisible"); err != nil {
		return err
	}
	if err := mountDevices(in("/dev")); err != nil {
		return err
	}
	if len(empty) == 0 {
		if err := mount("tmp", in("/tmp"), "tmpfs", plain, "mode=1777"); err != nil {
			return err
		}
	}
	for _, one := range m.boot.Memory {
		if err := mount("tmpfs", in(one.Target), "tmpfs", plain, "mode=1777,size="+strconv.FormatInt(one.Size, 10)); err != nil {
			return err
		}
	}
	return m.mountSecrets(in("/run/secrets"), in("/run/services"))
}

// mountSecrets puts the secrets where nobody writes, and makes room for the sockets.
func (m *machine) mountSecrets(secrets, services string) error {
	const plain = unix.MS_NODEV | unix.MS_NOSUID | unix.MS_NOEXEC
	if err := mount("services", services, "tmpfs", plain, "mode=755,size=64k"); err != nil {
		return err
	}
	if err := mount("secrets", secrets, "tmpfs", plain, "mode=755,size=8m"); err != nil {
		return err
	}
	for _, s := range m.boot.Secrets {
		at := path.Join(secrets, s.Name)
		err := os.WriteFile(at, s.Text, 0o400)
		if err = errors.Join(err, os.Chown(at, int(m.boot.UID), int(m.boot.GID))); err != nil {
			return fmt.Errorf("write the secret %s: %w", s.Name, err)
		}
	}
	return unix.Mount("", secrets, "", unix.MS_REMOUNT|unix.MS_RDONLY|plain, "")
}

// mountDevices makes the devices that every program expects, and no others.
func mountDevices(at string) error {
	if err := mount("dev", at, "tmpfs", unix.MS_NOSUID|unix.MS_NOEXEC, "mode=755,size=64k"); err != nil {
		return err
	}
	for _, d := range []struct {
		name         string
		major, minor uint32
	}{{"null", 1, 3}, {"zero", 1, 5}, {"full", 1, 7}, {"random", 1, 8}, {"urandom", 1, 9}, {"tty", 5, 0}} {
		node := path.Join(at, d.name)
		err := unix.Mknod(node, unix.S_IFCHR|0o666, int(unix.Mkdev(d.major, d.minor))) //nolint:gosec // small
		if err = errors.Join(err, os.Chmod(node, 0o666)); err != nil {                 //nolint:gosec // as everywhere
			return fmt.Errorf("make the device %s: %w", d.name, err)
		}
	}
	for name, to := range map[string]string{"fd": "/proc/self/fd", "stdin": "/proc/self/fd/0", "stdout": "/proc/self/fd/1", "stderr": "/proc/self/fd/2"} {
		if err := os.Symlink(to, path.Join(at, name)); err != nil {
			return err
		}
	}
	if err := mount("shm", path.Join(at, "shm"), "tmpfs", unix.MS_NODEV|unix.MS_NOSUID|unix.MS_NOEXEC, "mode=1777"); err != nil {
		return err
	}
	return unix.Mount("", at, "", unix.MS_REMOUNT|unix.MS_RDONLY|unix.MS_NOSUID|unix.MS_NOEXEC, "mode=755,size=64k")
}

// Settings that take from the workload what it does not need of the kernel, and parts of /proc that nobody may write or
// read. A file that this kernel does not have needs no setting.
var (
	settings = [][2]string{
		{"kernel/kptr_restrict", "2"},
		{"kernel/dmesg_restrict", "1"},
		{"kernel/unprivileged_bpf_disabled", "1"},
		{"kernel/perf_event_paranoid", "4"},
		{"kernel/kexec_load_disabled", "1"},
		{"kernel/sysrq", "0"},
		{"kernel/io_uring_disabled", "2"},
		{"user/max_user_namespaces", "0"},
		{"vm/unprivileged_userfaultfd", "0"},
		{"fs/protected_symlinks", "1"},
		{"fs/protected_hardlinks", "1"},
		{"vm/overcommit_memory", "0"},
		{"kernel/core_pattern", "core"},
		{"kernel/panic", "-1"},
		{"kernel/panic_on_oops", "1"},
		{"kernel/modules_disabled", "1"}, // the last: it can't be taken back
	}
	readOnly = []string{"sys", "irq", "bus", "fs", "sysrq-trigger"}
	hidden   = []string{
		"kcore", "kmsg", "keys", "timer_list", "sched_debug", "kallsyms", "iomem", "ioports", "interrupts", "modules", "diskstats", "acpi",
	}
)

func harden(hostname string) error {
	for _, s := range settings {
		err := os.WriteFile("/proc/sys/"+s[0], []byte(s[1]), 0)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("set %s: %w", s[0], err)
		}
	}
	for _, name := range readOnly {
		at := path.Join(rootAt, "proc", name)
		if _, err := os.Stat(at); err != nil {
			continue
		}
		err := unix.Mount(at, at, "", unix.MS_BIND|unix.MS_REC, "")
		if err == nil {
			err = unix.Mount("", at, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY|unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "")
		}
		if err != nil {
			return fmt.Errorf("make %s read-only: %w", at, err)
		}
	}
	for _, name := range hidden {
		at := path.Join(rootAt, "proc", name)
		info, err := os.Stat(at)
		switch {
		case err != nil:
			continue
		case info.IsDir():
			err = unix.Mount("hidden", at, "tmpfs", unix.MS_RDONLY|unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "size=4k")
		default:
			err = unix.Mount("/dev/null", at, "", unix.MS_BIND, "")
		}
		if err != nil {
			return fmt.Errorf("hide %s: %w", at, err)
		}
	}
	if err := unix.Sethostname([]byte(hostname)); err != nil {
		return fmt.Errorf("set the name: %w", err)
	}
	return loopback()
}

// loopback brings up the only interface that there is.
func loopback() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open a socket: %w", err)
	}
	defer unix.Close(fd) //nolint:errcheck // nothing was sent
	r, err := unix.NewIfreq("lo")
	if err == nil {
		r.SetUint16(unix.IFF_UP)
		err = unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, r)
	}
	if err != nil {
		return fmt.Errorf("bring up the loopback: %w", err)
	}
	return nil
}

// limitProcesses makes the control group of the workload, and keeps it open: its file system is out of the workload's
// reach.
func (m *machine) limitProcesses() error {
	if err := mount("groups", "/groups", "cgroup2", unix.MS_NODEV|unix.MS_NOSUID|unix.MS_NOEXEC, ""); err != nil {
		return err
	}
	err := os.WriteFile("/groups/cgroup.subtree_control", []byte("+pids"), 0)
	if err == nil {
		err = os.Mkdir("/groups/workload", 0o755) //nolint:gosec // a control group
	}
	if err == nil {
		err = os.WriteFile("/groups/workload/pids.max", []byte(strconv.Itoa(m.boot.Processes)), 0)
	}
	if err == nil {
		m.group, err = os.Open("/groups/workload")
	}
	if err != nil {
		return fmt.Errorf("limit processes: %w", err)
	}
	return nil
}

// enter makes the workload's root that of this process, with no way back: the initial file system can't be unmounted, but
// nobody without capabilities leaves a root.
func enter() error {
	if err := os.Chdir(rootAt); err != nil {
		return err
	}
	if err := unix.Mount(rootAt, "/", "", unix.MS_MOVE, ""); err != nil {
		return fmt.Errorf("move the root: %w", err)
	}
	if err := unix.Chroot("."); err != nil {
		return fmt.Errorf("enter the root: %w", err)
	}
	return os.Chdir("/")
}
