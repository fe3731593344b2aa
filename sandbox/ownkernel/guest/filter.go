package guest

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// denied are system calls that fail with EPERM for every process of the workload. All but the first few would fail without
// capabilities, too; what can't be called can't have a fault that is of use.
var denied = []uint32{
	unix.SYS_IO_URING_SETUP, unix.SYS_IO_URING_ENTER, unix.SYS_IO_URING_REGISTER, unix.SYS_ADD_KEY, unix.SYS_REQUEST_KEY, unix.SYS_KEYCTL,
	unix.SYS_PERF_EVENT_OPEN, unix.SYS_BPF, unix.SYS_USERFAULTFD, unix.SYS_KEXEC_LOAD, unix.SYS_KEXEC_FILE_LOAD, unix.SYS_INIT_MODULE,
	unix.SYS_FINIT_MODULE, unix.SYS_DELETE_MODULE, unix.SYS_OPEN_BY_HANDLE_AT, unix.SYS_IOPL, unix.SYS_IOPERM, unix.SYS_REBOOT,
	unix.SYS_SWAPON, unix.SYS_SWAPOFF, unix.SYS_ACCT, unix.SYS_QUOTACTL, unix.SYS_FANOTIFY_INIT,
}

// filter is the program that judges system calls. One of another architecture's numbering fails as well.
func filter() []unix.SockFilter {
	const (
		numberAt, archAt = 0, 4 // in struct seccomp_data
		x32              = 0x40000000
		load             = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS
		equal            = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
		least            = unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K
		end              = unix.BPF_RET | unix.BPF_K
	)
	n := uint8(len(denied)) //nolint:gosec // few
	f := []unix.SockFilter{
		{Code: load, K: archAt},
		{Code: equal, K: unix.AUDIT_ARCH_X86_64, Jf: n + 3},
		{Code: load, K: numberAt},
		{Code: least, K: x32, Jt: n + 1},
	}
	for i, number := range denied {
		f = append(f, unix.SockFilter{Code: equal, K: number, Jt: n - uint8(i)})
	}
	return append(f, unix.SockFilter{Code: end, K: unix.SECCOMP_RET_ALLOW}, unix.SockFilter{Code: end, K: unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)})
}

// install puts the filter on this thread and what it executes.
func install() error {
	f := filter()
	program := unix.SockFprog{Len: uint16(len(f)), Filter: &f[0]} //nolint:gosec // few
	if err := unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&program)), 0, 0); err != nil {
		return fmt.Errorf("filter system calls: %w", err)
	}
	return nil
}
