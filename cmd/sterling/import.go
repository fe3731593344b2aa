package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/sterlingrun/sterling/importer"
)

func newImport() *cobra.Command {
	c := &cobra.Command{
		Use: "import", Short: "Import accounts and transfers from a file",
		Long: `A mapping file says what a row becomes: see docs/guides/import-standing-orders.md.
Ids are derived from the rows, so an import may be repeated, also after it was
interrupted: what is there already is not changed.`,
	}
	c.AddCommand(newImportOf(importer.CSV, "Import a CSV file"), newImportOf(importer.JSONL, "Import a file of one JSON object a line"))
	return c
}

func newImportOf(format importer.Format, short string) *cobra.Command {
	var (
		f                ledgerFlags
		mapping, onError string
		dryRun           bool
	)
	c := &cobra.Command{
		Use: string(format) + " FILE", Short: short, Args: cobra.ExactArgs(1),
		Example: "  sterling import " + string(format) + " orders." + string(format) + " --mapping orders.yaml --dry-run",
		RunE: func(c *cobra.Command, args []string) error {
			if onError != "stop" && onError != "skip" {
				return usage("--on-error: want stop or skip, not %q", onError)
			}
			if mapping == "" {
				return usage("an import needs --mapping FILE.yaml")
			}
			m, err := importer.LoadMapping(mapping)
			if err != nil {
				return usage("%w", err)
			}
			if _, err := os.Stat(args[0]); err != nil {
				return usage("%w", err)
			}
			o := importer.Options{File: args[0], Format: format, Skip: onError == "skip", Report: reportFaults(c)}
			if dryRun {
				s, err := importer.Check(c.Context(), m, o)
				return finishImport(c, &f, s, err, true)
			}
			return f.with(c, func(ctx context.Context, s *session) error {
				if o.Progress, err = importBar(ctx, c.ErrOrStderr(), m, o); err != nil {
					return err
				}
				sum, err := importer.Run(ctx, s.client, m, o)
				return finishImport(c, &f, sum, s.explain(err), false)
			})
		},
	}
	f.register(c)
	c.Flags().StringVar(&mapping, "mapping", "", "YAML file that says what a row becomes")
	c.Flags().StringVar(&onError, "on-error", "stop", "stop: send nothing if a row can't be read, end at the first refusal; skip: import the others")
	c.Flags().BoolVar(&dryRun, "dry-run", false, "read everything, send nothing")
	return c
}

// maxReported is how many faults are printed: a wrong mapping makes one of every row.
const maxReported = 20

func reportFaults(c *cobra.Command) func(*importer.Fault) {
	n := 0
	return func(f *importer.Fault) {
		n++
		switch {
		case n <= maxReported:
			c.PrintErrln(f.Error())
		case n == maxReported+1:
			c.PrintErrln("… and more")
		}
	}
}

// finishImport prints what was done, and gives the error its exit code.
func finishImport(c *cobra.Command, f *ledgerFlags, s importer.Summary, err error, dry bool) error {
	if err != nil && !errors.Is(err, importer.ErrFaults) {
		return err
	}
	if f.output == "json" {
		if err := json.NewEncoder(c.OutOrStdout()).Encode(s); err != nil {
			return err
		}
	} else {
		printf := func(format string, args ...any) { _, _ = fmt.Fprintf(c.OutOrStdout(), format, args...) }
		printf("rows       %d, skipped %d, refused %d\n", s.Rows, s.Skipped, s.Refused)
		if dry {
			printf("would make %d accounts and %d transfers\n", s.AccountsCreated, s.TransfersCreated)
		} else {
			printf("accounts   %d created, %d there already\n", s.AccountsCreated, s.AccountsExisting)
			printf("transfers  %d created, %d there already\n", s.TransfersCreated, s.TransfersExisting)
		}
	}
	switch {
	case err == nil:
		return nil
	case s.AccountsCreated+s.AccountsExisting == 0 || dry:
		return usage("%w; nothing was sent", err)
	default:
		return &exitError{exitRefused, err}
	}
}

// importBar shows how far an import is, when a person watches.
func importBar(ctx context.Context, w io.Writer, m *importer.Mapping, o importer.Options) (func(rows int), error) {
	file, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(file.Fd())) { //nolint:gosec // a file descriptor
		return nil, nil
	}
	o.Report = nil // Run reports them
	s, err := importer.Check(ctx, m, o)
	if err != nil && !errors.Is(err, importer.ErrFaults) {
		return nil, err
	}
	bar := progressbar.NewOptions(s.Rows, progressbar.OptionSetWriter(w), progressbar.OptionSetDescription("importing"), progressbar.OptionClearOnFinish(),
		progressbar.OptionSetItsString("rows"), progressbar.OptionShowIts(), progressbar.OptionShowCount(), progressbar.OptionThrottle(100*time.Millisecond))
	return func(rows int) { _ = bar.Set(rows) }, nil
}
