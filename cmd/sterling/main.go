// Command sterling runs Sterling and talks to it. It only has sub-commands: each parses its flags, calls a package and
// prints. Start reading at main and newRoot.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/sterlingrun/sterling/node"
)

// Exit codes, documented in docs/cli.md.
const (
	exitFailed  = 1 // what was asked for did not happen
	exitUsage   = 2 // the command line, the configuration or the input is wrong; nothing was done
	exitRefused = 3 // events were refused: the answer says which and why
	// exitUnproven: what was verified is not what was signed.
	exitUnproven = 4
	exitUnfit    = 5 // what was qualified may not hold money
)

// exitError carries an exit code.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string { return e.err.Error() }
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
	if text := err.Error(); text != "" {
		fmt.Fprintln(os.Stderr, "sterling: "+text)
	}
	var exit *exitError
	switch {
	case errors.As(err, &exit):
		return exit.code
	case errors.Is(err, node.ErrConfig):
		return exitUsage
	}
	return exitFailed
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "sterling",
		Short: "A ledger that cannot lose money, and what it takes to run it",
		Long: `Sterling keeps accounts and moves money between them: durable before it is
acknowledged, exactly once, provable afterwards.

  sterling up              start a ledger on this machine
  sterling ledger --help   talk to one
  sterling books --help    close days, and decide with two people
  sterling verify          prove a data folder right, while nothing runs on it`,
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return &exitError{exitUsage, fmt.Errorf("%w; see `%s --help`", err, c.CommandPath())}
	})
	root.AddCommand(newUp(), newLedger(), newCell(), newCluster(), newBooks(), newAudit(), newFeed(), newWatch(), newSinks(), newImport(), newExport(), newDemo(), newVerify(), newBackup(), newRestore(), newArchive(), newIndex(), newErase(), newSubject(), newKeys(), newConfig(), newToken(), newBench(), newQualify(), newMesh(), newSandbox(), newVersion())
	strict(root)
	return root
}

// strict makes every wrong command line an error of usage. cobra alone answers an unknown sub-command of a
// sub-command with help and success.
func strict(c *cobra.Command) {
	if check := c.Args; check != nil {
		c.Args = func(c *cobra.Command, args []string) error {
			if err := check(c, args); err != nil {
				return usage("%w; see `%s --help`", err, c.CommandPath())
			}
			return nil
		}
	}
	if !c.Runnable() {
		c.Args = func(c *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usage("unknown command %q; see `%s --help`", args[0], c.CommandPath())
			}
			return nil
		}
		c.RunE = func(c *cobra.Command, _ []string) error { return c.Help() }
	}
	for _, sub := range c.Commands() {
		strict(sub)
	}
}

func newVersion() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(c.OutOrStdout(), "sterling "+node.Version())
			return err
		},
	}
}

func newConfig() *cobra.Command {
	parent := &cobra.Command{Use: "config", Short: "Look at configuration files"}
	parent.AddCommand(&cobra.Command{
		Use: "check FILE", Short: "Tell what is wrong with a configuration file, without starting anything", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			config, err := node.LoadConfig(args[0])
			if err == nil {
				err = errors.Join(config.Check(), config.CheckFiles())
			}
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "%s is good: data in %s, listening on %s\n", args[0], config.Data, config.Listen)
			return err
		},
	})
	return parent
}
