package guest

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// become takes what this process is told, gives up everything, and executes the command. It returns only an error.
func become(from *os.File) error {
	runtime.LockOSThread()
	var s start
	if err := json.NewDecoder(from).Decode(&s); err != nil {
		return fmt.Errorf("wait for the start: %w", err)
	}
	_ = from.Close()
	limits := []struct {
		what int
		most uint64
	}{{unix.RLIMIT_CORE, 0}, {unix.RLIMIT_NOFILE, s.OpenFiles}, {unix.RLIMIT_FSIZE, s.FileSize}}
	for _, l := range limits {
		if l.most == 0 && l.what == unix.RLIMIT_FSIZE {
			continue
		}
		if err := unix.Setrlimit(l.what, &unix.Rlimit{Cur: l.most, Max: l.most}); err != nil {
			return fmt.Errorf("set a limit: %w", err)
		}
	}
	if err := drop(int(s.UID), int(s.GID)); err != nil {
		return err
	}
	if err := os.Chdir(s.Folder); err != nil {
		return fmt.Errorf("enter the folder: %w", err)
	}
	return fmt.Errorf("execute %s: %w", s.Path, syscall.Exec(s.Path, s.Argv, s.Env))
}

// drop gives up every right but those of a user, for this thread and what it executes.
func drop(uid, gid int) error {
	for c := uintptr(0); c <= unix.CAP_LAST_CAP; c++ {
		// Numbers that this kernel does not know are refused, and need no drop.
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0); err != nil && !errors.Is(err, unix.EINVAL) {
			return fmt.Errorf("drop a capability: %w", err)
		}
	}
	err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
	err = errors.Join(err, syscall.Setgroups(nil), syscall.Setresgid(gid, gid, gid), syscall.Setresuid(uid, uid, uid))
	if err != nil {
		return fmt.Errorf("become the user: %w", err)
	}
	// Root keeps its capabilities when it becomes root.
	none := [2]unix.CapUserData{}
	if err := unix.Capset(&unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}, &none[0]); err != nil {
		return fmt.Errorf("drop capabilities: %w", err)
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("forbid new privileges: %w", err)
	}
	return install()
}
