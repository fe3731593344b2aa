package engines

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
)

// dieWithParent makes the kernel kill the child when the thread that started it ends.
func dieWithParent(attr *syscall.SysProcAttr) { attr.Pdeathsig = syscall.SIGKILL }

// processTable returns all processes by pid, from /proc.
func processTable() (map[int]entry, error) {
	folders, err := os.ReadDir("/proc")
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	table := make(map[int]entry, len(folders))
	for _, f := range folders {
		pid, err := strconv.Atoi(f.Name())
		if err != nil {
			continue
		}
		if e, ok := readEntry(pid); ok {
			table[pid] = e
		}
	}
	return table, nil
}

// running tells whether pid is a process that has not ended.
func running(pid int) bool {
	e, ok := readEntry(pid)
	return ok && !e.zombie
}

// readEntry reads /proc/PID/stat: pid (name) state ppid …, where the name may contain spaces and parentheses.
func readEntry(pid int) (entry, bool) {
	stat, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return entry{}, false // it has ended
	}
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(fields) < 2 {
		return entry{}, false
	}
	parent, err := strconv.Atoi(string(fields[1]))
	return entry{parent: parent, zombie: fields[0][0] == 'Z' || fields[0][0] == 'X'}, err == nil
}
