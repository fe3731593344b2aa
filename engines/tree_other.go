//go:build unix && !linux

package engines

import (
	"bytes"
	"fmt"
	"os/exec"
	"strconv"
	"syscall"
)

// dieWithParent does nothing: this system has no such thing, and servers outlive a process that was killed.
func dieWithParent(*syscall.SysProcAttr) {}

// processTable returns all processes by pid, from ps.
func processTable() (map[int]entry, error) {
	out, err := exec.Command("ps", "-axo", "pid=,ppid=,stat=").Output()
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	table := map[int]entry{}
	for line := range bytes.Lines(out) {
		fields := bytes.Fields(line)
		if len(fields) < 3 {
			continue
		}
		pid, errPID := strconv.Atoi(string(fields[0]))
		parent, errParent := strconv.Atoi(string(fields[1]))
		if errPID == nil && errParent == nil {
			table[pid] = entry{parent: parent, zombie: fields[2][0] == 'Z'}
		}
	}
	return table, nil
}

// running tells whether pid is a process that has not ended.
func running(pid int) bool {
	table, err := processTable()
	e, ok := table[pid]
	return err != nil || ok && !e.zombie
}
