package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sterlingrun/sterling/sandbox"
	"github.com/sterlingrun/sterling/sandbox/trail"
)

func (c *command) auditCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "audit", Short: "Read and verify records"}
	cmd.AddCommand(c.auditVerifyCommand(), c.auditShowCommand(), c.auditLedgerCommand(), c.auditExportCommand())
	return cmd
}

func printReport(w io.Writer, r *trail.Report) error {
	var b strings.Builder
	fmt.Fprintf(&b, "sandbox    %s\nisolation  %s\npolicy     %s\nroot       %s\n", r.Begin.Sandbox, r.Begin.Isolation, r.Begin.Policy, r.Begin.Root)
	fmt.Fprintf(&b, "records    %d (%d events)\ngaps       %d (%d events known to be lost)\n", r.Records, r.Events, r.GapCount, r.Lost)
	for _, g := range r.Gaps {
		fmt.Fprintf(&b, "           %s %d %s\n", g.Reason, g.Lost, g.Detail)
	}
	fmt.Fprintf(&b, "alerts     %d\n", r.Alerts)
	end := "none: it runs, or lines are missing"
	if r.End != nil {
		end = fmt.Sprintf("%s, exit status %d", r.End.Reason, r.End.Exit)
	}
	fmt.Fprintf(&b, "end        %s\nhead       %s\n", end, r.Head)
	_, err := io.WriteString(w, b.String())
	return err
}

// auditShowCommand prints bodies only after their line is verified.
func (c *command) auditShowCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "show ID|FILE",
		Short: "Print a record as lines of JSON, each verified first",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			f, err := c.openRecord(args[0])
			if err != nil {
				return err
			}
			_, _, err = trail.Verify(f, func(r trail.Record) error {
				_, err := fmt.Fprintf(cmd.OutOrStdout(), "{\"seq\":%d,\"time\":%d,\"kind\":%q,\"body\":%s}\n", r.Seq, r.Time, r.Kind, r.Body)
				return err
			})
			return errors.Join(err, f.Close())
		},
	}
}

// openRecord takes a path where there is a separator in it, and a sandbox's name otherwise.
func (c *command) openRecord(name string) (*os.File, error) {
	if strings.ContainsRune(name, os.PathSeparator) || !sandbox.ValidName(name) {
		return os.Open(name)
	}
	r, err := c.runner()
	if err != nil {
		return nil, err
	}
	return r.OpenRecord(name)
}
