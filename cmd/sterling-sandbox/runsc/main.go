// Command sterling-sandbox-runsc is gVisor: the commands of runsc that package sandbox/gvisor uses, and launch, which
// starts a sandbox and gets out of its way. It is a program of its own because it is what each sandbox's kernel and gofer
// execute: whatever else were in it, each of them would have in memory, too. Start reading at launch.
package main

import (
	"os"
	"runtime/debug"
	"strings"
	"time"

	"gvisor.dev/gvisor/runsc/cli"
	"gvisor.dev/gvisor/runsc/cmd"
	"gvisor.dev/gvisor/runsc/cmd/sentry/sentrycmd"
	"gvisor.dev/gvisor/runsc/cmd/util"
)

func main() {
	// gVisor starts itself again, as /proc/self/exe, under these names.
	if name := os.Args[0]; strings.HasPrefix(name, "runsc-sandbox") || strings.HasPrefix(name, "runsc-gofer") {
		// What a start left in the heap goes back: Go collects for the first time at 4 MiB, which a kernel that idles never
		// reaches again.
		time.AfterFunc(started, debug.FreeOSMemory)
	}
	cli.Run(nil, map[util.SubCommand]string{
		new(launch): "", new(cmd.Run): "", new(cmd.Exec): "", new(cmd.Kill): "",
		new(sentrycmd.Boot): "internal use only", new(cmd.Gofer): "internal use only", new(sentrycmd.Umount): "internal use only",
	}, nil)
}

// started is when a kernel or a gofer has started for sure, on a busy host, too.
const started = 2 * time.Second
