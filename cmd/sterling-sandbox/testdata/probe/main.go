// Command probe tries, from inside a container, what a container must not allow, and prints for each what came of it. It
// changes nothing where it succeeds: arguments are such that a system call that is let through fails for another reason,
// and files are opened, not written. It uses the standard library only.
package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"
)

// host is what the test knows of the host, and the container should not.
type host struct{ file, loopback, abstract, pid, kernel, boot string }

func main() {
	switch os.Args[1] {
	case "wait":
		time.Sleep(time.Minute)
		return
	case "forks":
		forks()
		return
	case "memory":
		memory()
		return
	}
	h := host{os.Args[1], os.Args[2], os.Args[3], os.Args[4], os.Args[5], os.Args[6]}
	processes(h)
	files(h)
	kernelFiles(h)
	devices()
	mounts()
	network(h)
	calls()
}

// say prints one line of the table. An error of these kinds is a denial; any other means that the attempt was let through
// and failed later.
func say(group, what string, err error) {
	verdict := "allowed"
	var errno syscall.Errno
	var hidden hiddenError
	switch {
	case errors.As(err, &hidden):
		verdict = "denied"
	case errors.As(err, &errno):
		switch errno {
		case syscall.EPERM, syscall.EACCES, syscall.ENOSYS, syscall.ENOENT, syscall.EROFS, syscall.ESRCH, syscall.ENODEV, syscall.ENXIO,
			syscall.EAFNOSUPPORT, syscall.EPROTONOSUPPORT, syscall.ESOCKTNOSUPPORT, syscall.ECONNREFUSED, syscall.ENETUNREACH, syscall.ENOTTY,
			syscall.EHOSTUNREACH, syscall.ETXTBSY, syscall.EOPNOTSUPP, syscall.ENETDOWN, syscall.EADDRNOTAVAIL, syscall.ENOSPC: // the last where no user namespaces are allowed
			verdict = "denied"
		}
	case err != nil:
		verdict = "unclear"
	}
	detail := "it works"
	if err != nil {
		detail = err.Error()
	}
	if errno != 0 {
		detail = errno.Error()
	}
	fmt.Printf("%s\t%s\t%s\t%s\n", group, what, verdict, detail)
}

// A hiddenError says that what is there is not the host's.
type hiddenError string

func (h hiddenError) Error() string { return string(h) }

func hiddenUnless(seen bool, text string) error {
	if seen {
		return nil
	}
	return hiddenError(text)
}

func call(number uintptr, args ...uintptr) error {
	var a [6]uintptr
	copy(a[:], args)
	if _, _, errno := syscall.Syscall6(number, a[0], a[1], a[2], a[3], a[4], a[5]); errno != 0 {
		return errno
	}
	return nil
}

func text(s string) uintptr {
	b := append([]byte(s), 0)
	return uintptr(unsafe.Pointer(&b[0]))
}

func open(path string, flags int) error {
	fd, err := syscall.Open(path, flags|syscall.O_CLOEXEC|syscall.O_NONBLOCK, 0)
	if err == nil {
		_ = syscall.Close(fd)
	}
	return err
}

// readable tells whether anything comes out of a file.
func readable(path string) error {
	fd, err := syscall.Open(path, syscall.O_RDONLY|syscall.O_CLOEXEC|syscall.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer syscall.Close(fd)
	b := make([]byte, 4096)
	n, err := syscall.Read(fd, b)
	if err == nil && n == 0 {
		return hiddenError("empty")
	}
	return err
}

func processes(h host) {
	const group = "processes of the host"
	entries, _ := os.ReadDir("/proc")
	seen := 0
	for _, e := range entries {
		if _, err := strconv.Atoi(e.Name()); err == nil {
			seen++
		}
	}
	say(group, "list them", hiddenUnless(seen > 1, "only its own"))
	pid, _ := strconv.Atoi(h.pid)
	say(group, "signal one", syscall.Kill(pid, 0))
	say(group, "ptrace one", syscall.PtraceAttach(pid))
	b := make([]byte, 8)
	local, far := [2]uintptr{uintptr(unsafe.Pointer(&b[0])), 8}, [2]uintptr{0x400000, 8}
	say(group, "read the memory of one (process_vm_readv)", call(310, uintptr(pid), uintptr(unsafe.Pointer(&local)), 1, uintptr(unsafe.Pointer(&far)), 1, 0))
	child := exec.Command("/proc/self/exe", "wait")
	if err := child.Start(); err == nil {
		say("processes of its own", "ptrace one", syscall.PtraceAttach(child.Process.Pid))
		_ = child.Process.Kill()
	}
	say("processes of its own", "become root", syscall.Setresuid(0, 0, 0))
}

func files(h host) {
	const group = "files of the host"
	say(group, "by name", open(h.file, syscall.O_RDONLY))
	say(group, "up from the root", open("/../../../../../.."+h.file, syscall.O_RDONLY))
	say(group, "through /proc/1/root", open("/proc/1/root/../.."+h.file, syscall.O_RDONLY))
	link := "/tmp/link"
	if err := os.Symlink(h.file, link); err == nil {
		say(group, "through a symbolic link", open(link, syscall.O_RDONLY))
	} else {
		say(group, "through a symbolic link", err)
	}
	say(group, "through a descriptor that was left open (the pattern of CVE-2024-21626)", hiddenUnless(openDescriptors(), "only 0 to 2, and none is a folder"))
	handle := [4]uint32{8, 1, 2, 0} // the root folder of many file systems
	root, err := syscall.Open("/", syscall.O_RDONLY|syscall.O_DIRECTORY|syscall.O_CLOEXEC, 0)
	if err == nil {
		err = call(304, uintptr(root), uintptr(unsafe.Pointer(&handle)), 0)
	}
	say(group, "by a handle (open_by_handle_at)", err)
	say(group, "write to the program that runs it, /proc/self/exe (the pattern of CVE-2019-5736)", writable("/proc/self/exe"))
	say(group, "the same for the first process, /proc/1/exe", writable("/proc/1/exe"))
	say("its own root", "write", writeRoot())
}

func writable(path string) error { return open(path, syscall.O_WRONLY) }

func writeRoot() error {
	fd, err := syscall.Open("/probe-file", syscall.O_WRONLY|syscall.O_CREAT|syscall.O_CLOEXEC, 0o600)
	if err == nil {
		_ = syscall.Close(fd)
	}
	return err
}

// openDescriptors tells whether there are any besides standard input and output, or to a folder.
func openDescriptors() bool {
	entries, _ := os.ReadDir("/proc/self/fd")
	for _, e := range entries {
		to, err := os.Readlink("/proc/self/fd/" + e.Name())
		if err != nil || strings.HasPrefix(to, "/proc/") || strings.HasPrefix(to, "anon_inode:") || strings.HasPrefix(to, "pidfd:") || strings.HasPrefix(to, "/sys/fs/cgroup/cpu") || strings.HasPrefix(to, "[") {
			continue // of this look, and of the Go runtime, which follows its limit of CPU
		}
		n, _ := strconv.Atoi(e.Name())
		info, err := os.Stat("/proc/self/fd/" + e.Name())
		if n > 2 || err == nil && info.IsDir() {
			return true
		}
	}
	return false
}

func kernelFiles(h host) {
	const group = "/proc and /sys"
	version, _ := os.ReadFile("/proc/version")
	say(group, "the host kernel's version", hiddenUnless(strings.Contains(string(version), h.kernel), "another one"))
	boot, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	say(group, "the host's boot id", hiddenUnless(strings.TrimSpace(string(boot)) == h.boot, "not there, or another one"))
	for _, path := range []string{"/proc/kcore", "/proc/kmsg", "/proc/keys", "/proc/timer_list", "/proc/sched_debug", "/proc/iomem", "/proc/kallsyms",
		"/proc/modules", "/proc/diskstats", "/proc/interrupts", "/proc/acpi/wakeup", "/sys/kernel/notes", "/sys/class/dmi/id/sys_vendor", "/sys/block/vda/size"} {
		say(group, "read "+path, readable(path))
	}
	say(group, "the processor's model in /proc/cpuinfo", readable("/proc/cpuinfo"))
	for _, path := range []string{"/proc/sysrq-trigger", "/proc/sys/kernel/core_pattern", "/proc/sys/kernel/modprobe", "/proc/sys/vm/panic_on_oom",
		"/proc/1/oom_score_adj", "/sys/kernel/uevent_helper", "/sys/power/state"} {
		say(group, "open "+path+" for writing", open(path, syscall.O_WRONLY))
	}
	mounted, _ := os.ReadFile("/proc/self/mountinfo")
	say(group, "names of folders of the host in mountinfo", hiddenUnless(strings.Contains(string(mounted), "/rootfs ") || strings.Contains(string(mounted), filepath.Dir(h.file)), "none"))
	say("control groups", "open release_agent for writing (the pattern of CVE-2022-0492)", firstOf("/sys/fs/cgroup/release_agent", "/sys/fs/cgroup/*/release_agent"))
	say("control groups", "open a limit for writing", firstOf("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"))
	say("control groups", "mount them", call(syscall.SYS_MOUNT, text("none"), text("/tmp"), text("cgroup2"), 0, 0))
}

// firstOf opens the first file that there is.
func firstOf(patterns ...string) error {
	for _, p := range patterns {
		found, _ := filepath.Glob(p)
		for _, f := range found {
			return open(f, syscall.O_WRONLY)
		}
	}
	return syscall.ENOENT
}

func devices() {
	for _, name := range []string{"mem", "kmsg", "vda", "sda", "kvm", "fuse", "net/tun", "loop-control"} {
		say("devices", "open /dev/"+name, open("/dev/"+name, syscall.O_RDONLY))
	}
	say("devices", "make a node for a disk", syscall.Mknod("/tmp/disk", syscall.S_IFBLK|0o600, 8<<8))
	say("devices", "make a node for the memory", syscall.Mknod("/tmp/memory", syscall.S_IFCHR|0o600, 1<<8|1))
	say("devices", "type into the terminal (TIOCSTI)", call(syscall.SYS_IOCTL, 0, syscall.TIOCSTI, text("x")))
}

func mounts() {
	const group = "mounts"
	say(group, "a tmpfs", syscall.Mount("none", "/tmp", "tmpfs", 0, ""))
	say(group, "bind", syscall.Mount("/proc", "/tmp", "", syscall.MS_BIND, ""))
	say(group, "take /proc away", syscall.Unmount("/proc", syscall.MNT_DETACH))
	say(group, "pivot_root", syscall.PivotRoot("/nowhere", "/nowhere"))
	say(group, "chroot", syscall.Chroot("/tmp"))
	say(group, "fsopen", call(430, text("tmpfs"), 0))
	say(group, "a mount in a user namespace of its own", inNamespace())
}

// inNamespace has a child mount in a new user namespace.
func inNamespace() error {
	cmd := exec.Command("/proc/self/exe", "wait")
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS, Chroot: "/",
		UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}, GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}},
	}
	err := cmd.Start()
	if err == nil {
		_ = cmd.Process.Kill()
	}
	return err
}

func network(h host) {
	const group = "network"
	socket := func(domain, kind, protocol int) error {
		fd, err := syscall.Socket(domain, kind, protocol)
		if err == nil {
			_ = syscall.Close(fd)
		}
		return err
	}
	say(group, "a raw socket", socket(syscall.AF_INET, syscall.SOCK_RAW, syscall.IPPROTO_ICMP))
	say(group, "a packet socket", socket(syscall.AF_PACKET, syscall.SOCK_RAW, 0))
	say(group, "a socket of the kernel's cryptography (AF_ALG)", socket(38, syscall.SOCK_SEQPACKET, 0))
	say(group, "a socket to the hypervisor (AF_VSOCK)", socket(40, syscall.SOCK_STREAM, 0))
	say(group, "a netfilter socket", socket(syscall.AF_NETLINK, syscall.SOCK_RAW, 12))
	dial := func(network, address string) error {
		conn, err := net.DialTimeout(network, address, time.Second)
		if err == nil {
			_ = conn.Close()
		}
		var timeout net.Error
		if errors.As(err, &timeout) && timeout.Timeout() {
			return hiddenError("no answer")
		}
		return err
	}
	say(group, "a server on the host's loopback", dial("tcp", h.loopback))
	say(group, "an abstract socket of the host", dial("unix", "@"+h.abstract))
	say(group, "an address outside", dial("tcp", "192.0.2.1:80"))
}

// calls are system calls with arguments that no kernel accepts.
func calls() {
	const bad = ^uintptr(0)
	for _, c := range []struct {
		group, what string
		number      uintptr
		args        []uintptr
	}{
		{"kernel", "load a module (init_module)", syscall.SYS_INIT_MODULE, []uintptr{0, 0, 0}},
		{"kernel", "load a module (finit_module)", 313, []uintptr{bad, 0, 0}},
		{"kernel", "remove a module", syscall.SYS_DELETE_MODULE, []uintptr{text("no-such-module"), 0}},
		{"kernel", "load another kernel (kexec_load)", syscall.SYS_KEXEC_LOAD, []uintptr{0, 0, 0, bad}},
		{"kernel", "reboot", syscall.SYS_REBOOT, []uintptr{0, 0, 0, 0}},
		{"kernel", "a program in it (bpf)", 321, []uintptr{5, 0, 0}},
		{"kernel", "performance counters (perf_event_open)", syscall.SYS_PERF_EVENT_OPEN, []uintptr{0, 0, bad, bad, 0}},
		{"kernel", "io_uring", 425, []uintptr{0, 0}},
		{"kernel", "userfaultfd", 323, []uintptr{0}},
		{"kernel", "its log (syslog)", syscall.SYS_SYSLOG, []uintptr{10, 0, 0}},
		{"kernel", "set the clock", syscall.SYS_SETTIMEOFDAY, []uintptr{0, text("\x00\x00\x00\x00\xff\xff\xff\x7f")}},
		{"kernel", "set the host's name", syscall.SYS_SETHOSTNAME, []uintptr{text("x"), 1}},
		{"kernel", "ports of devices (iopl)", syscall.SYS_IOPL, []uintptr{3}},
		{"kernel", "swap", syscall.SYS_SWAPON, []uintptr{text("/nowhere"), 0}},
		{"kernel", "accounting", syscall.SYS_ACCT, []uintptr{text("/nowhere")}},
		{"keyrings", "add a key", syscall.SYS_ADD_KEY, []uintptr{text("user"), text("probe"), text("x"), 1, ^uintptr(3)}},
		{"keyrings", "request a key", syscall.SYS_REQUEST_KEY, []uintptr{text("user"), text("probe-none"), 0, 0}},
		{"keyrings", "read the session's (keyctl)", syscall.SYS_KEYCTL, []uintptr{11, ^uintptr(2), 0, 0}},
	} {
		say(c.group, c.what, call(c.number, c.args...))
	}
}

// forks makes processes that wait, at most this many, and ends them.
func forks() {
	const most = 600
	var all []int
	var last error
	for len(all) < most {
		pid, _, errno := syscall.RawSyscall6(syscall.SYS_CLONE, uintptr(syscall.SIGCHLD), 0, 0, 0, 0, 0)
		if errno != 0 {
			last = errno
			break
		}
		if pid == 0 {
			for { // a copy of one thread: nothing of Go's runtime may be used
				_, _, _ = syscall.RawSyscall(syscall.SYS_PAUSE, 0, 0, 0)
			}
		}
		all = append(all, int(pid))
	}
	for _, pid := range all {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	if len(all) == most {
		last = nil
	}
	fmt.Println(len(all), last)
}

// memory takes at most this much.
func memory() {
	const most = 768 << 20
	b, err := syscall.Mmap(-1, 0, most, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_PRIVATE|syscall.MAP_ANON)
	if err != nil {
		fmt.Println(0, err)
		return
	}
	for i := 0; i < most; i += 4096 {
		b[i] = 1
	}
	fmt.Println(most, nil)
}
