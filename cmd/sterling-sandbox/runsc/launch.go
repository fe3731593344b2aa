package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/google/subcommands"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/runsc/cmd/util"
	"gvisor.dev/gvisor/runsc/config"
	"gvisor.dev/gvisor/runsc/container"
	"gvisor.dev/gvisor/runsc/flag"
	"gvisor.dev/gvisor/runsc/specutils"
)

// launch makes a sandbox, says on a socket which processes it has made, and starts the workload in it when it hears a
// byte; then it ends, with status 0. Where it hears the end of the socket, nothing of the sandbox stays. run would wait
// instead, with 5 MiB of memory for each sandbox; create and start are two commands, and nobody could make sure between
// them that what is started ends with the one who wanted it.
type launch struct {
	bundle     string
	exec, talk int
	spec       *specs.Spec
}

// Name implements subcommands.Command.
func (*launch) Name() string { return "launch" }

// Synopsis implements subcommands.Command.
func (*launch) Synopsis() string { return "make a sandbox, and start it when told so" }

// Usage implements subcommands.Command.
func (*launch) Usage() string { return "launch --bundle FOLDER --talk-fd N [--exec-fd N] ID\n" }

// SetFlags implements subcommands.Command.
func (l *launch) SetFlags(f *flag.FlagSet) {
	f.StringVar(&l.bundle, "bundle", "", "folder of config.json")
	f.IntVar(&l.talk, "talk-fd", -1, "the socket: it says \"KERNEL GOFER\\n\", process ids, 0 for none")
	f.IntVar(&l.exec, "exec-fd", -1, "descriptor of the program to execute in the sandbox, instead of one of its root")
}

// FetchSpec implements util.SubCommand.
func (l *launch) FetchSpec(conf *config.Config, f *flag.FlagSet) (string, *specs.Spec, error) {
	if f.NArg() != 1 || l.talk < 0 {
		return "", nil, errors.New("usage: " + l.Usage())
	}
	if l.spec == nil {
		var err error
		if l.spec, err = specutils.ReadSpec(l.bundle, conf); err != nil {
			return "", nil, fmt.Errorf("read the bundle: %w", err)
		}
	}
	return f.Arg(0), l.spec, nil
}

// Execute implements subcommands.Command.
func (l *launch) Execute(_ context.Context, f *flag.FlagSet, args ...any) subcommands.ExitStatus {
	conf, ok := args[0].(*config.Config)
	if !ok {
		return util.Errorf("launch: no configuration")
	}
	if err := l.launch(conf, f.Arg(0)); err != nil {
		return util.Errorf("launch: %v", err)
	}
	return subcommands.ExitSuccess
}

func (l *launch) launch(conf *config.Config, id string) error {
	a := container.Args{ID: id, Spec: l.spec, BundleDir: l.bundle}
	if l.exec >= 0 {
		a.ExecFile = os.NewFile(uintptr(l.exec), "exec-fd")
		defer a.ExecFile.Close() //nolint:errcheck // the sandbox has its own
	}
	unix.CloseOnExec(l.talk) // its end is to be this process's
	talk := os.NewFile(uintptr(l.talk), "talk-fd")
	c, err := container.New(conf, a)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(talk, "%d %d\n", c.SandboxPid(), c.GoferPid.Load())
	if err == nil {
		_, err = io.ReadFull(talk, make([]byte, 1))
	}
	if err == nil {
		err = c.Start(conf)
	}
	if err != nil {
		_ = c.Destroy() // the first error is the reason
	}
	return err
}
