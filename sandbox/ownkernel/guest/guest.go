// Package guest is the program of process 1 in a machine of package ownkernel: it loads the drivers, mounts the root file
// system, runs the workload in it without any capability, passes its output and its connections on, and tells the
// recorder on the host what started, what connected and what ended.
//
// It is part of what a workload could take over once it has broken the machine's kernel; so the host believes nothing of
// what it says beyond what any workload may claim. It never runs outside such a machine. Linux on amd64 only.
//
// Start reading at Main.
package guest

import (
	"fmt"
	"os"
)

// stageName is how Main finds out that it is to become a process of the workload.
const stageName = "sterling-stage"

// Main is the whole program; args are its own. It returns an exit status, and in a machine not at all.
func Main(args []string) int {
	if len(args) == 1 && args[0] == stageName {
		fmt.Fprintln(os.Stderr, become(os.NewFile(3, "start")))
		return 126 // as shells have it: found, and can't be executed
	}
	if os.Getpid() != 1 {
		fmt.Fprintln(os.Stderr, "this program is process 1 of a machine of sterling-sandbox; it does nothing elsewhere")
		return 2
	}
	fmt.Fprintln(os.Stderr, "the machine ends:", serve()) // the kernel's console: the host keeps the end of it
	powerOff()
	return 1
}
