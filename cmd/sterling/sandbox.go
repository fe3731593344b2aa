package main

import (
	"errors"
	"os"
	"os/exec"

	"github.com/spf13/cobra"

	"github.com/sterlingrun/sterling/node"
)

func newSandbox() *cobra.Command {
	return &cobra.Command{
		Use: "sandbox COMMAND [ARGUMENT]…", Short: "Run workloads with a kernel of their own, and record what they do",
		Long: `Calls sterling-sandbox, which is beside this program or on the path, with the same
arguments: sterling sandbox --help tells what it can do.`,
		Example: `  sterling sandbox check hello.yaml
  sterling sandbox run hello.yaml
  sterling sandbox audit verify hello`,
		DisableFlagParsing: true,
		Args:               cobra.ArbitraryArgs,
		RunE:               func(c *cobra.Command, args []string) error { return runSandbox(c, args) },
	}
}

func newBenchSandbox() *cobra.Command {
	return &cobra.Command{
		Use: "sandbox [FLAG]…", Short: "Measure secure containers beside runc and plain runsc",
		Long:               "Calls sterling-sandbox bench: sterling bench sandbox --help tells its flags.",
		Example:            "  sterling bench sandbox --json > sandbox.json",
		DisableFlagParsing: true,
		Args:               cobra.ArbitraryArgs,
		RunE:               func(c *cobra.Command, args []string) error { return runSandbox(c, append([]string{"bench"}, args...)) },
	}
}

// runSandbox runs sterling-sandbox to its end, with this process's input and output. What it says is all there is to say.
func runSandbox(c *cobra.Command, args []string) error {
	path, err := node.FindSandbox()
	if err != nil {
		return err
	}
	child := exec.CommandContext(c.Context(), path, args...)
	child.Cancel = func() error { return child.Process.Signal(os.Interrupt) }
	child.Stdin, child.Stdout, child.Stderr = c.InOrStdin(), c.OutOrStdout(), c.ErrOrStderr()
	err = child.Run()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) && exit.ExitCode() > 0 {
		return &exitError{exit.ExitCode(), errors.New("")}
	}
	return err
}
