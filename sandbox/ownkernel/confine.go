package ownkernel

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// ConfineCommand makes Host.Program call Confine with the order at descriptor 4, in namespaces of its own.
const ConfineCommand = "confine-machine"

// nobody is the user that QEMU is.
const nobody = 65534

// Descriptors that Confine is started with.
const (
	talkDescriptor  = 3 // the machine's serial port; QEMU gets it
	orderDescriptor = 4
)

// confinement is what Confine is told.
type confinement struct {
	Groups groups   `json:"groups"`
	Jail   string   `json:"jail"`  // a folder to make the root of QEMU in
	Parts  string   `json:"parts"` // the folder of this machine, which QEMU sees as partsAt
	Kernel string   `json:"kernel"`
	KVM    bool     `json:"kvm"`
	Argv   []string `json:"argv"`
}

// Where QEMU finds what it reads.
const (
	partsAt  = "/machine"
	kernelAt = "/vmlinuz"
)

// Confine makes this process QEMU: in the control group, in a root with its libraries and the machine's files and nothing
// else, as nobody, without capabilities or a way to new ones. It ends with the thread that started it. It returns only an
// error. Single-threaded callers only: it locks its thread, and that one alone loses its rights.
func Confine() error {
	runtime.LockOSThread()
	order := os.NewFile(orderDescriptor, "order")
	var c confinement
	err := json.NewDecoder(order).Decode(&c)
	if err = errors.Join(err, order.Close()); err != nil {
		return fmt.Errorf("read how to confine: %w", err)
	}
	if err := c.Groups.join(); err != nil {
		return err
	}
	if err := c.enterJail(); err != nil {
		return err
	}
	if err := giveUp(); err != nil {
		return err
	}
	return fmt.Errorf("execute %s: %w", c.Argv[0], syscall.Exec(c.Argv[0], c.Argv, []string{}))
}

// enterJail makes the root and enters it.
func (c *confinement) enterJail() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("keep mounts apart: %w", err)
	}
	if err := unix.Mount("jail", c.Jail, "tmpfs", unix.MS_NOSUID, "mode=755,size=1m"); err != nil {
		return fmt.Errorf("make a root: %w", err)
	}
	binds := map[string]string{"/usr": "/usr", c.Parts: partsAt}
	for _, name := range []string{"/lib", "/lib64", "/bin"} { // links into /usr, or folders
		to, err := os.Readlink(name)
		switch {
		case err == nil:
			err = os.Symlink(to, filepath.Join(c.Jail, name))
		case errors.Is(err, syscall.EINVAL):
			binds[name], err = name, nil
		case errors.Is(err, os.ErrNotExist):
			err = nil
		}
		if err != nil {
			return fmt.Errorf("make a root: %w", err)
		}
	}
	for from, to := range binds {
		at := filepath.Join(c.Jail, to)
		if err := os.Mkdir(at, 0o755); err != nil { //nolint:gosec // a root is open to its users
			return fmt.Errorf("make a root: %w", err)
		}
		if err := bind(from, at); err != nil {
			return err
		}
	}
	kernel := filepath.Join(c.Jail, kernelAt)
	if err := os.WriteFile(kernel, nil, 0o600); err != nil {
		return fmt.Errorf("make a root: %w", err)
	}
	if err := bind(c.Kernel, kernel); err != nil {
		return err
	}
	if err := c.devices(); err != nil {
		return err
	}
	if err := unix.Mount("", c.Jail, "", unix.MS_REMOUNT|unix.MS_RDONLY|unix.MS_NOSUID, ""); err != nil {
		return fmt.Errorf("make the root read-only: %w", err)
	}
	if err := os.Chdir(c.Jail); err != nil {
		return fmt.Errorf("enter the root: %w", err)
	}
	if err := unix.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("enter the root: %w", err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil { // the old one, which is on top of the new one
		return fmt.Errorf("leave the old root: %w", err)
	}
	return os.Chdir("/")
}

func bind(from, to string) error {
	const flags = unix.MS_BIND | unix.MS_RDONLY | unix.MS_NOSUID | unix.MS_NODEV
	if err := unix.Mount(from, to, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("show %s: %w", from, err)
	}
	if err := unix.Mount("", to, "", unix.MS_REMOUNT|flags, ""); err != nil {
		return fmt.Errorf("show %s, to be read only: %w", from, err)
	}
	return nil
}

// devices makes those that QEMU opens. The one of KVM is made anew, so that the host's keeps its mode.
func (c *confinement) devices() error {
	nodes := map[string]uint64{"null": unix.Mkdev(1, 3), "urandom": unix.Mkdev(1, 9)}
	if c.KVM {
		var s unix.Stat_t
		if err := unix.Stat("/dev/kvm", &s); err != nil {
			return fmt.Errorf("look at /dev/kvm: %w", err)
		}
		nodes["kvm"] = s.Rdev
	}
	dev := filepath.Join(c.Jail, "dev")
	if err := os.Mkdir(dev, 0o755); err != nil { //nolint:gosec // a root is open to its users
		return fmt.Errorf("make a root: %w", err)
	}
	for name, number := range nodes {
		at := filepath.Join(dev, name)
		err := unix.Mknod(at, unix.S_IFCHR|0o600, int(number)) //nolint:gosec // a number of a device
		if err = errors.Join(err, os.Chown(at, nobody, nobody)); err != nil {
			return fmt.Errorf("make the device %s: %w", name, err)
		}
	}
	return nil
}

// giveUp leaves this thread no right.
func giveUp() error {
	for what, most := range map[int]uint64{unix.RLIMIT_CORE: 0, unix.RLIMIT_FSIZE: 0, unix.RLIMIT_NOFILE: 256} {
		if err := unix.Setrlimit(what, &unix.Rlimit{Cur: most, Max: most}); err != nil {
			return fmt.Errorf("set a limit: %w", err)
		}
	}
	for c := uintptr(0); c <= unix.CAP_LAST_CAP; c++ {
		// Numbers that this kernel does not know are refused, and need no drop.
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0); err != nil && !errors.Is(err, unix.EINVAL) {
			return fmt.Errorf("drop a capability: %w", err)
		}
	}
	if err := errors.Join(syscall.Setgroups(nil), syscall.Setresgid(nobody, nobody, nobody), syscall.Setresuid(nobody, nobody, nobody)); err != nil {
		return fmt.Errorf("become nobody: %w", err)
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("forbid new privileges: %w", err)
	}
	// The change of the user has undone what SysProcAttr.Pdeathsig did. Who ended before this line has closed the port.
	if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0); err != nil {
		return fmt.Errorf("end with the runner: %w", err)
	}
	gone := []unix.PollFd{{Fd: talkDescriptor, Events: unix.POLLIN}}
	if _, err := unix.Poll(gone, 0); err != nil && !errors.Is(err, unix.EINTR) || gone[0].Revents&unix.POLLHUP != 0 {
		return errors.Join(errors.New("the runner is gone"), err)
	}
	return nil
}

// Spec is what a machine is made like.
type Spec struct {
	KVM    bool
	Memory int64 // bytes of the machine's own
	CPUs   int
	Disk   bool
}

// Arguments are those that QEMU is started with, its own path first. It finds the files in the root that Confine makes.
func (s Spec) Arguments(qemu string) []string {
	accelerator, processor := "tcg,tb-size=64", "max"
	if s.KVM {
		accelerator, processor = "kvm", "host,migratable=off"
	}
	argv := []string{
		qemu, "-name", "sterling", "-nodefaults", "-no-user-config", "-no-reboot", "-display", "none", "-monitor", "none", "-nic", "none",
		// Not microvm: without a timer but the PIT, Debian's kernel often does not find out how fast its clock is under TCG.
		"-machine", "q35,graphics=off,sata=off,smbus=off,usb=off,vmport=off,i8042=off,dump-guest-core=off,mem-merge=off",
		"-accel", accelerator, "-cpu", processor, "-smp", fmt.Sprint(s.CPUs), "-m", fmt.Sprintf("size=%dk", s.Memory>>10),
		"-kernel", kernelAt, "-initrd", partsAt + "/" + fileInitrd,
		"-append", strings.Join([]string{"console=ttyS0", "quiet", "panic=-1", "reboot=t", "random.trust_cpu=on", "nomodeset", "mitigations=auto"}, " "),
		"-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console",
		"-chardev", fmt.Sprintf("socket,id=talk,fd=%d", talkDescriptor),
		"-device", "virtio-serial-pci,max_ports=2", "-device", "virtserialport,chardev=talk,name=sterling,nr=1",
		"-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny",
	}
	if s.Disk {
		argv = append(argv, "-blockdev", "driver=file,node-name=file,read-only=on,locking=off,filename="+partsAt+"/"+fileDisk,
			"-blockdev", "driver=raw,node-name=root,read-only=on,file=file", "-device", "virtio-blk-pci,drive=root")
	}
	return argv
}
