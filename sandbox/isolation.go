package sandbox

import (
	"fmt"
	"slices"
	"strings"
)

// Isolation is what keeps a workload and its host apart: a kind of kernel, or one exact level of it. What runs is never
// weaker than what a policy says.
type Isolation string

// The kinds, and the levels of each. A kind is any of its levels: of gvisor, systrap; of own-kernel, KVM where a machine
// boots with it.
const (
	GVisor        Isolation = "gvisor"
	GVisorSystrap Isolation = "gvisor-systrap"
	GVisorKVM     Isolation = "gvisor-kvm"
	OwnKernel     Isolation = "own-kernel"
	OwnKernelKVM  Isolation = "own-kernel-kvm"
	OwnKernelTCG  Isolation = "own-kernel-tcg" // slow, and no boundary that QEMU's authors vouch for
	Kata          Isolation = "kata"
)

var isolations = []Isolation{GVisor, GVisorSystrap, GVisorKVM, OwnKernel, OwnKernelKVM, OwnKernelTCG, Kata}

// Kind is the kind that a level is of.
func (i Isolation) Kind() Isolation {
	for _, kind := range []Isolation{GVisor, OwnKernel} {
		if strings.HasPrefix(string(i), string(kind)) {
			return kind
		}
	}
	return i
}

// What a machine of its own costs and bounds, in bytes.
const (
	MachineOverhead   = 160 << 20 // of limits.memory, for QEMU itself
	MaxMachineSecrets = 1 << 20   // all together
	minMachine        = 320 << 20
	maxMachineCommand = 64 << 10
)

// Unseen are points that are not recorded at a level, though a policy can ask for them or they always are; in the order
// of the documentation. Of an exec, an own kernel tells of the workload's own start and of commands that the host adds.
func (i Isolation) Unseen() []string {
	if i.Kind() != OwnKernel {
		return nil
	}
	return []string{"exec of the workload's children", "clone", "exit of the workload's children", "file", "network", "identity", "memory"}
}

// checkIsolation refuses what a kind of kernel can't enforce or record.
func checkIsolation(p *Policy, add adder) {
	switch p.Isolation.Kind() {
	case Kata:
		add(SeverityWarn, "isolation", "kata: by Kubernetes only, with the objects that compile writes; nothing of what the workload does is recorded")
	case OwnKernel:
		checkMachine(p, add)
	}
}

func checkMachine(p *Policy, add adder) {
	refuse := func(is bool, field, format string, args ...any) {
		if is {
			add(SeverityRefuse, field, string(p.Isolation)+": "+format, args...)
		}
	}
	if p.Isolation != OwnKernelKVM {
		add(SeverityWarn, "isolation", "%s: without KVM, QEMU translates every instruction: slow (cryptography 40 times), and its authors do not vouch for it as a boundary; say own-kernel-kvm where the host has it", p.Isolation)
	}
	refuse(p.Limits.Memory < minMachine, "limits.memory", "at least %d MiB, of which QEMU has %d", minMachine>>20, MachineOverhead>>20)
	refuse(len(p.Audit.Events) > 0, "audit.events", "its kernel tells of the workload's start and end and of connections to network.sockets, and of nothing else: leave it out, or use gvisor")
	refuse(len(p.Audit.Rules) > 0, "audit.rules", "too little is recorded for rules to judge: leave them out, or use gvisor")
	refuse(len(p.Network.Services)+len(p.Network.Egress)+len(p.Network.Listen) > 0, "network", "of all that, a machine has network.sockets only: name sockets, or use gvisor")
	refuse(len(p.Syscalls.Deny) > 0, "syscalls.deny", "not enforced there: leave it out, or use gvisor")
	refuse(slices.ContainsFunc(p.Mounts, func(m Mount) bool { return m.Source != "" }), "mounts", "a machine shares no folder with its host: put the files into the root, or use memory")
	refuse(len(strings.Join(p.Command, "")) > maxMachineCommand, "command", "at most %d bytes", maxMachineCommand)
}

func (v *validator) isolation(i Isolation) {
	v.want(slices.Contains(isolations, i), "isolation: %q is none of %s", clip(string(i)), strings.Trim(fmt.Sprint(isolations), "[]"))
}

// Variables are the environment of the workload's processes, as NAME=VALUE.
func (p *Policy) Variables() []string { return p.environment() }
