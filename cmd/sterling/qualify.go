package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/sterlingrun/sterling/node"
	"github.com/sterlingrun/sterling/qualify"
	qualification "github.com/sterlingrun/sterling/qualify/run"
)

type qualifyFlags struct {
	qualification.Config
	out, output, dsnFile string
}

func newQualify() *cobra.Command {
	var f qualifyFlags
	c := &cobra.Command{
		Use: "qualify [DSN…]", Short: "Tell whether a database engine may hold money",
		Long: `Examines an engine: its settings, the conditional append that a ledger needs under
contention, durability under kill -9 (of an engine that it starts itself), unique
keys, isolation, a load of the TPC-C kind with all consistency conditions, and the
speed of appends. Ends in FIT or UNFIT; an unfit engine exits with 5.

It writes to a schema of its own only, which it removes. Several DSNs are nodes of
one engine. docs/guides/qualify.md says what each check shows, and what not.`,
		Example: `  sterling qualify --start postgres
  sterling qualify postgres://ledger:secret@db1:5432/bank --out reports/db1
  sterling qualify mysql://ledger:secret@n1,n2,n3/bank --warehouses 10 --duration 10m
  sterling qualify local:/srv/ledger --quick`,
		RunE: func(c *cobra.Command, args []string) error {
			f.Addresses = args
			if f.dsnFile != "" {
				text, err := os.ReadFile(f.dsnFile)
				if err != nil {
					return usage("read --dsn-file: %w", err)
				}
				f.Addresses = append(f.Addresses, strings.Fields(string(text))...)
			}
			return runQualify(c, &f)
		},
	}
	flags := c.Flags()
	flags.StringVar(&f.Start, "start", "", "start an engine on this machine and qualify that, kills included: postgres, postgres-trio, mariadb or galera-trio")
	flags.StringVar(&f.dsnFile, "dsn-file", "", "file with DSNs, so that no password is on the command line")
	flags.StringVar(&f.Dir, "dir", "", "folder for the data of an engine that is started (default the system's for temporary files)")
	flags.BoolVar(&f.Quick, "quick", false, "half a minute instead of three: shorter, with less data")
	flags.IntVar(&f.Warehouses, "warehouses", 2, "warehouses of the TPC-C load")
	flags.DurationVar(&f.Duration, "duration", 0, "length of the TPC-C load (default 1m; --quick 6s)")
	flags.IntVar(&f.Terminals, "terminals", 0, "terminals of the TPC-C load (default 4 for each warehouse, 32 at most)")
	flags.Uint64Var(&f.Seed, "seed", 1, "seed of the TPC-C data")
	flags.StringVar(&f.out, "out", "", "also write the report to NAME.txt, NAME.json and NAME.html")
	flags.StringVar(&f.output, "output", "text", "what to print: text, json or html")
	c.AddCommand(newQualifyWriter())
	return c
}

// newQualifyWriter is the process that a qualification of the local store kills.
func newQualifyWriter() *cobra.Command {
	return &cobra.Command{
		Use: "writer FOLDER CELL", Hidden: true, Args: cobra.ExactArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			return qualification.Write(c.Context(), args[0], args[1], c.OutOrStdout())
		},
	}
}

func runQualify(c *cobra.Command, f *qualifyFlags) error {
	write, err := reportWriter(f.output)
	if err != nil {
		return err
	}
	if len(f.Addresses) == 0 && f.Start == "" {
		return usage("name the engine: a DSN, local:FOLDER, or --start postgres; see `sterling qualify --help`")
	}
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find the program itself: %w", err)
	}
	progress, done := qualifyProgress(c.ErrOrStderr())
	f.Version, f.Writer, f.Progress = node.Version(), []string{self, "qualify", "writer"}, progress
	report, err := qualification.Qualify(c.Context(), f.Config)
	done()
	if errors.Is(err, qualification.ErrConfig) {
		return usage("%w", err)
	}
	if c.Context().Err() != nil {
		return errors.New("interrupted: there is no verdict")
	}
	if report == nil {
		return err
	}
	err = errors.Join(err, write(report, c.OutOrStdout()), saveReport(report, f.out))
	if err == nil && !report.Fit {
		return &exitError{exitUnfit, errors.New("the engine is UNFIT to hold money: the report has the reasons")}
	}
	return err
}

// reportWriter returns how a report is written in a format.
func reportWriter(format string) (func(*qualify.Report, io.Writer) error, error) {
	switch format {
	case "text":
		return (*qualify.Report).WriteText, nil
	case "json":
		return (*qualify.Report).WriteJSON, nil
	case "html":
		return (*qualify.Report).WriteHTML, nil
	}
	return nil, usage("--output: want text, json or html, not %q", format)
}

// saveReport writes the report in every format; name may have folders in front.
func saveReport(r *qualify.Report, name string) error {
	if name == "" {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o750); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	for ending, format := range map[string]string{".txt": "text", ".json": "json", ".html": "html"} {
		write, err := reportWriter(format)
		if err != nil {
			return err
		}
		var text strings.Builder
		if err := write(r, &text); err != nil {
			return err
		}
		if err := os.WriteFile(name+ending, []byte(text.String()), 0o600); err != nil {
			return fmt.Errorf("write the report: %w", err)
		}
	}
	return nil
}

// qualifyProgress shows how far a run is: a bar where a person watches, otherwise a line when a section begins and one
// when it ends. done removes the bar.
func qualifyProgress(w io.Writer) (progress func(qualification.Step), done func()) {
	if file, ok := w.(*os.File); ok && term.IsTerminal(int(file.Fd())) {
		bar := progressbar.NewOptions(1000, progressbar.OptionSetWriter(w), progressbar.OptionClearOnFinish(),
			progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionSetPredictTime(false), progressbar.OptionSetWidth(24))
		return func(s qualification.Step) {
			text := s.Title
			if s.Number > 0 {
				text = fmt.Sprintf("%d/%d %s: %s", s.Number, s.Of, s.Title, s.Text)
			}
			bar.Describe(text)
			_ = bar.Set(int(1000 * (float64(max(1, s.Number)-1) + s.Fraction) / float64(max(1, s.Of))))
		}, func() { _ = bar.Clear() }
	}
	last := 0
	return func(s qualification.Step) {
		switch {
		case s.Ended && s.Failed > 0:
			_, _ = fmt.Fprintf(w, "%d/%d %s: %d checks failed\n", s.Number, s.Of, s.Title, s.Failed)
		case s.Ended:
			_, _ = fmt.Fprintf(w, "%d/%d %s: done\n", s.Number, s.Of, s.Title)
		case s.Number > last:
			last = s.Number
			_, _ = fmt.Fprintf(w, "%d/%d %s …\n", s.Number, s.Of, s.Title)
		}
	}, func() {}
}
