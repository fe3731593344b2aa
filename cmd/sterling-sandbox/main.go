// Command sterling-sandbox runs workloads in gVisor under a policy, and records what they do. gVisor is a program of its
// own, beside this one (folder runsc). It listens to no network, and keeps all state in one folder. Start reading at
// newRoot.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/sterlingrun/sterling/clock"
	"github.com/sterlingrun/sterling/sandbox"
	"github.com/sterlingrun/sterling/sandbox/gvisor"
	"github.com/sterlingrun/sterling/sandbox/trail"
)

// Exit codes, documented in docs/sandbox.md. run and exec give the workload's own where there is one.
const (
	exitFailed   = 1 // what was asked for did not happen
	exitUsage    = 2 // the command line or the policy is wrong; nothing was done
	exitUnproven = 4 // a record was tampered with, or is not complete
)

// exitError carries an exit code.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit status %d", e.code)
	}
	return e.err.Error()
}
func (e *exitError) Unwrap() error { return e.err }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:])
	stop()
	os.Exit(code)
}

// run executes one command line and returns the exit code.
func run(ctx context.Context, args []string) int {
	root := newRoot()
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	if exit := (*exitError)(nil); !errors.As(err, &exit) || exit.err != nil {
		fmt.Fprintln(os.Stderr, "sterling-sandbox: "+err.Error())
	}
	return codeFor(err)
}

// codeFor is the exit code for an error of a command.
func codeFor(err error) int {
	var exit *exitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return exit.code
	case errors.Is(err, sandbox.ErrPolicy), errors.Is(err, sandbox.ErrRefused):
		return exitUsage
	case errors.Is(err, trail.ErrTampered):
		return exitUnproven
	}
	return exitFailed
}

// A command has what the sub-commands share.
type command struct {
	state string
	json  bool
}

func newRoot() *cobra.Command {
	c := &command{}
	root := &cobra.Command{
		Use:           "sterling-sandbox",
		Short:         "Run workloads with a kernel of their own, and record what they do",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return &exitError{exitUsage, err} })
	root.PersistentFlags().StringVar(&c.state, "state", "/var/lib/sterling-sandbox", "folder of all sandboxes")
	root.PersistentFlags().BoolVar(&c.json, "json", false, "print JSON")
	root.AddCommand(
		c.runCommand(), c.execCommand(), c.psCommand(), c.inspectCommand(), c.logsCommand(), c.stopCommand(), c.removeCommand(),
		c.auditCommand(), c.checkCommand(), c.compileCommand(), schemaCommand(), recordCommand(), c.poolCommand(), c.keepCommand(), c.buildCommand(), c.benchCommand(), workCommand(), statementCommand(),
		c.levelsCommand(), confineCommand(),
	)
	return root
}

// gvisorProgram is gVisor, beside this program.
const gvisorProgram = "sterling-sandbox-runsc"

// newRunner is for this program, with gVisor beside it.
func newRunner(program, state string) *gvisor.Runner {
	return &gvisor.Runner{Program: program, GVisor: filepath.Join(filepath.Dir(program), gvisorProgram), State: state, Clock: clock.NewSystem()}
}

// runner is for the state folder of the command line. What this process's caller has left open is not handed on to what
// the runner starts: a record and a guard stay when the caller is gone.
func (c *command) runner() (*gvisor.Runner, error) {
	if err := keepOpenFiles(); err != nil {
		return nil, err
	}
	program, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	state, err := filepath.Abs(c.state)
	if err != nil {
		return nil, fmt.Errorf("find the state folder: %w", err)
	}
	keeper, err := c.keeper()
	if err != nil {
		return nil, err
	}
	r := newRunner(program, state)
	r.Heads = keeper
	addOwnKernel(r, filepath.Join(filepath.Dir(program), machineFolder))
	return r, nil
}

// keepOpenFiles keeps all files but the first three from programs that are executed later.
func keepOpenFiles() error {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return fmt.Errorf("look at the open files: %w", err)
	}
	for _, e := range entries {
		if fd, err := strconv.Atoi(e.Name()); err == nil && fd > 2 {
			syscall.CloseOnExec(fd) // one that is closed by now is as good
		}
	}
	return nil
}
