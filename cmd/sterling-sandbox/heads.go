package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/sterlingrun/sterling/audit"
	"github.com/sterlingrun/sterling/clock"
	"github.com/sterlingrun/sterling/sandbox/heads"
	"github.com/sterlingrun/sterling/sandbox/trail"
)

// headFlags say which log holds records to what they were.
type headFlags struct {
	ledger, token, authority string
}

func (f *headFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.ledger, "log", "", "ledger whose transparency log has the record's heads, such as https://ledger:7600 (default: a log in the state folder)")
	cmd.Flags().StringVar(&f.token, "log-token", "", "file with an auditor's token for it")
	cmd.Flags().StringVar(&f.authority, "log-ca", "", "file with its authority's certificates (default: the system's)")
}

// server is the ledger of the flags, nil where there is none.
func (f *headFlags) server() (*heads.Ledger, error) {
	if f.ledger == "" {
		return nil, nil
	}
	l, err := heads.NewLedger(f.ledger, f.token, f.authority)
	if err != nil {
		return nil, &exitError{exitUsage, err}
	}
	return l, nil
}

// own is the log of the state folder.
func (c *command) own() (heads.Own, error) {
	state, err := filepath.Abs(c.state)
	if err != nil {
		return heads.Own{}, fmt.Errorf("find the state folder: %w", err)
	}
	return heads.Own{Dir: filepath.Join(state, "heads"), Clock: clock.NewSystem()}, nil
}

func (c *command) keeper(f *headFlags) (*heads.Keeper, error) {
	ledger, err := f.server()
	if err != nil {
		return nil, err
	}
	own, err := c.own()
	if err != nil {
		return nil, err
	}
	audit.RouteDriverLog(slog.New(slog.DiscardHandler)) // what goes wrong is an error of the call, too
	return &heads.Keeper{Ledger: ledger, Own: own}, nil
}

func (c *command) auditVerifyCommand() *cobra.Command {
	var head, key string
	var flags headFlags
	cmd := &cobra.Command{
		Use:   "verify ID|FILE",
		Short: "Verify a record: exit status 4 if it was tampered with, has gaps, or has no end",
		Long: `Verifies every line of a record; and, where the state folder has a log of heads, or --log
names a ledger, that log, and that no line that was logged is another one, or gone.

It ends with 0 when the record is proven to be all that happened, with 4 when it is not,
and with 1 when that could not be found out.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			files, by, err := c.trustedLog(&flags, key)
			if err != nil {
				return err
			}
			f, err := c.openRecord(args[0])
			if err != nil {
				return err
			}
			r, err := heads.Verify(cmd.Context(), f, files, by)
			if err = errors.Join(err, f.Close()); err != nil {
				return unproven(err)
			}
			if c.json {
				err = printJSON(cmd.OutOrStdout(), r)
			} else {
				err = printResult(cmd.OutOrStdout(), r)
			}
			switch {
			case err != nil:
				return err
			case head != "" && head != r.Record.Head:
				return &exitError{exitUnproven, fmt.Errorf("%w: its head is %s, not %s", trail.ErrTampered, r.Record.Head, head)}
			case !r.Record.Complete():
				return &exitError{exitUnproven, errors.New("the record is not complete: it has gaps, or no end")}
			}
			return nil
		},
	}
	flags.add(cmd)
	cmd.Flags().StringVar(&head, "head", "", "the head that it must have, as inspect printed it")
	cmd.Flags().StringVar(&key, "key", "", "public key of the log, as `sterling audit key` prints it, or a file with it (default: that of the state folder)")
	return cmd
}

// trustedLog is the log to ask, and the key that it must be signed by; nil where there is none.
func (c *command) trustedLog(f *headFlags, key string) (audit.Files, audit.Trusted, error) {
	own, err := c.own()
	if err != nil {
		return nil, audit.Trusted{}, err
	}
	var by audit.Trusted
	if key != "" {
		if by, err = readKey(key); err != nil {
			return nil, by, &exitError{exitUsage, err}
		}
	}
	ledger, err := f.server()
	switch {
	case err != nil:
		return nil, by, err
	case ledger != nil && key == "":
		return nil, by, &exitError{exitUsage, errors.New("--log needs --key: a log is only as good as the key that it is known by")}
	case ledger != nil:
		return ledger.Log(), by, nil
	}
	if _, err := os.Stat(own.Dir); err != nil && key == "" {
		return nil, by, nil // nothing was ever logged here
	}
	if key == "" {
		by, err = own.Trusted()
	}
	return own.Log(), by, err
}

// readKey takes a key, or a file with it.
func readKey(key string) (audit.Trusted, error) {
	const most = 4 << 10
	f, err := os.Open(key)
	if err != nil {
		return audit.ParseTrusted(key)
	}
	text, err := io.ReadAll(io.LimitReader(f, most))
	if err = errors.Join(err, f.Close()); err != nil {
		return audit.Trusted{}, fmt.Errorf("read the key: %w", err)
	}
	return audit.ParseTrusted(string(text))
}

func unproven(err error) error {
	if errors.Is(err, audit.ErrUnproven) || errors.Is(err, heads.ErrUnknown) {
		return &exitError{exitUnproven, err}
	}
	return err
}

func printResult(w io.Writer, r *heads.Result) error {
	if err := printReport(w, r.Record); err != nil {
		return err
	}
	said := "nowhere: who can write the file can replace it as a whole"
	if r.Log != nil {
		said = fmt.Sprintf("%d of %d lines, by %d entries; the log is proven, %d entries, root %s", r.Logged(), r.Record.Records, len(r.Stated), r.Log.Size, r.Log.Root)
	}
	_, err := fmt.Fprintf(w, "logged     %s\n", said)
	return err
}
