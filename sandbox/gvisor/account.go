package gvisor

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sterlingrun/sterling/sandbox/trail"
)

// accountEvery is the time between two accounts of the host. It is more than what the sandbox's kernel may take to send
// an event, so that what the host saw by one account is claimed by the next.
const accountEvery = 5 * time.Second

const firstAccount = time.Second

// maxCounted bounds the processes of a sandbox whose network is looked at.
const maxCounted = 256

// account is what the host saw so far. Nothing of it comes from the sandbox's kernel.
func (s *session) account() *trail.Host {
	h := &trail.Host{Egress: s.relays.egress()}
	_, name := s.group(s.name())
	if _, err := os.Stat(filepath.Join(cgroupMount, "cgroup.controllers")); err == nil {
		at := func(file string) string { return filepath.Join(cgroupMount, name, file) }
		if h.CPU = keyed(at("cpu.stat"), "usage_usec"); h.CPU != nil {
			*h.CPU *= 1000
		}
		h.Memory, h.MemoryPeak, h.Tasks = number(at("memory.current")), number(at("memory.peak")), number(at("pids.current"))
		h.OutOfMemory = keyed(at("memory.events"), "oom_kill")
	} else {
		at := func(controller, file string) string { return filepath.Join(cgroupMount, controller, name, file) }
		h.CPU, h.Tasks = number(at("cpuacct", "cpuacct.usage")), number(at("pids", "pids.current"))
		h.Memory, h.MemoryPeak = number(at("memory", "memory.usage_in_bytes")), number(at("memory", "memory.max_usage_in_bytes"))
		h.OutOfMemory = keyed(at("memory", "memory.oom_control"), "oom_kill")
	}
	h.Network, h.Leaked = network(s.cgroup.procs)
	return h
}

// number reads a file of one number; nil where there is none, such as of a group that is gone.
func number(path string) *uint64 {
	text, err := os.ReadFile(path)
	n, bad := strconv.ParseUint(string(bytes.TrimSpace(text)), 10, 64)
	if err != nil || bad != nil {
		return nil
	}
	return &n
}

// keyed reads the number after a key, from a file of such lines.
func keyed(path, key string) *uint64 {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	for line := range strings.Lines(string(text)) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), " "); ok && name == key {
			if n, err := strconv.ParseUint(value, 10, 64); err == nil {
				return &n
			}
		}
	}
	return nil
}

// network adds up the bytes that interfaces of the processes' network namespaces have seen, and tells whether one of the
// namespaces is this process's own.
func network(procs string) (total *uint64, leaked bool) {
	text, err := os.ReadFile(procs)
	own, bad := os.Readlink("/proc/self/ns/net")
	if err != nil || bad != nil {
		return nil, false
	}
	seen := map[string]bool{own: true}
	var suspects []string
	for i, pid := range strings.Fields(string(text)) {
		space, err := os.Readlink(filepath.Join("/proc", pid, "ns", "net"))
		switch {
		case err != nil: // it has ended
			continue
		case space == own:
			suspects = append(suspects, pid)
		case !seen[space] && i < maxCounted:
			seen[space] = true
			if n := interfaces(filepath.Join("/proc", pid, "net", "dev")); n != nil {
				if total == nil {
					total = new(uint64)
				}
				*total += *n
			}
		}
	}
	if len(suspects) > 0 { // unless it has ended, and its number is another's
		text, err = os.ReadFile(procs)
		still := strings.Fields(string(text))
		leaked = err == nil && slices.ContainsFunc(suspects, func(pid string) bool { return slices.Contains(still, pid) })
	}
	return total, leaked
}

// interfaces adds up received and sent bytes of a file such as /proc/net/dev: two lines of headings, and for each
// interface its name and sixteen numbers, of which the first and the ninth are bytes.
func interfaces(path string) *uint64 {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	var total uint64
	for line := range strings.Lines(string(text)) {
		_, counts, ok := strings.Cut(line, ":")
		f := strings.Fields(counts)
		if !ok || len(f) < 9 {
			continue
		}
		for _, column := range []int{0, 8} {
			n, err := strconv.ParseUint(f[column], 10, 64)
			if err != nil {
				return nil
			}
			total += n
		}
	}
	return &total
}
