package sandbox

import (
	"path"
	"slices"
	"strings"
)

// idleCalls are the system calls of the program that idles in a sandbox until its workload takes its place.
var idleCalls = []string{"read", "write", "close", "open", "execve", "exit_group"}

// CanIdle tells whether a sandbox of this policy can be started before there is a workload for it: not where the policy
// denies a system call that the idling program needs, and not where it listens, or calls services by an identity that it
// does not have yet.
func (p *Policy) CanIdle() bool {
	if len(p.Network.Services) > 0 || len(p.Network.Listen) > 0 {
		return false
	}
	return !slices.ContainsFunc(idleCalls, func(call string) bool { return slices.Contains(p.Syscalls.Deny, call) })
}

// arguments are those of the sandbox's first process: the command, or, where it idles, those of package gvisor's init:
// its name, the paths to try, an empty one, and the command.
func (p *Policy) arguments(idle bool) []string {
	if !idle {
		return p.Command
	}
	argv := append([]string{"init"}, p.candidates()...)
	return append(append(argv, ""), p.Command...)
}

// candidates are the paths that the command's name may stand for, as gVisor looks for it.
func (p *Policy) candidates() []string {
	name := p.Command[0]
	switch {
	case path.IsAbs(name):
		return []string{name}
	case strings.Contains(name, "/"):
		return []string{path.Join(p.WorkingDirectory, name)}
	}
	folders, ok := p.Environment["PATH"]
	if !ok {
		folders = defaultPath
	}
	var found []string
	for folder := range strings.SplitSeq(folders, ":") {
		if path.IsAbs(folder) {
			found = append(found, path.Join(folder, name))
		}
	}
	return found
}
