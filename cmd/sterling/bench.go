package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/sterlingrun/sterling/bench"
	"github.com/sterlingrun/sterling/node"
)

type benchFlags struct {
	bench.Config
	tokenFile string
	shapes    string
	json      bool
}

func newBench() *cobra.Command {
	parent := &cobra.Command{Use: "bench", Short: "Measure"}
	parent.AddCommand(newBenchLedger(), newBenchWatch(), newBenchFailover(), newBenchCells(), newBenchSandbox())
	return parent
}

func newBenchLedger() *cobra.Command {
	f := benchFlags{Config: bench.Default()}
	c := &cobra.Command{
		Use: "ledger", Short: "Measure the ledger: throughput, latency, processor, memory, start", Args: cobra.NoArgs,
		Long: `Starts servers of its own (every shape on a fresh one, fsync on), sends them load from
this process, and compares what they did with what was asked. The data lies below
--dir while a shape runs: choose a folder on the disk that matters. All shapes take
about five minutes and 10 GB.

Shapes: ` + strings.Join(bench.Names(), ", ") + `.
docs/benchmarks.md says what each does.`,
		Example: `  sterling bench ledger
  sterling bench ledger --shapes single-grpc,packed --duration 5s
  sterling bench ledger --json > results.json
  sterling bench ledger --shapes packed --cpuprofile-server 10`,
		RunE: func(c *cobra.Command, _ []string) error { return benchLedger(c, &f) },
	}
	flags := c.Flags()
	flags.StringVar(&f.shapes, "shapes", "", "shapes to measure, separated by commas (default all)")
	flags.DurationVar(&f.Duration, "duration", 0, "measured window of each shape (default 10s; packed 60s, snapshot 20s)")
	flags.DurationVar(&f.Warmup, "warmup", f.Warmup, "load before each window")
	flags.IntVar(&f.Accounts, "accounts", f.Accounts, "accounts, with random ids")
	flags.IntVar(&f.Transfers, "transfers", f.Transfers, "transfers in the journal for the shapes start and memory")
	flags.StringVar(&f.Dir, "dir", "", "folder for the servers' data (default the system's for temporary files)")
	flags.StringVar(&f.Store, "store", "", "database for the servers' journals, as for sterling up --store (default: --dir); what is written stays there")
	flags.StringVar(&f.Server, "server", "", "measure the server at this address instead; it keeps the accounts and transfers")
	flags.StringVar(&f.tokenFile, "token-file", "", "file with a token for --server")
	flags.BoolVar(&f.json, "json", false, "write the report as JSON")
	flags.IntVar(&f.Profile, "cpuprofile-server", 0, "seconds of processor profile to take of the server under each load")
	flags.StringVar(&f.ProfileDir, "profile-dir", ".", "folder for the profiles: SHAPE.pprof")
	return c
}

func benchLedger(c *cobra.Command, f *benchFlags) error {
	config := f.Config
	config.Version = node.Version()
	if f.shapes != "" {
		config.Shapes = strings.Split(f.shapes, ",")
	}
	if f.Server != "" {
		token, err := os.ReadFile(f.tokenFile)
		if err != nil {
			return &exitError{exitUsage, fmt.Errorf("--server needs --token-file, a file with a teller's token: %w", err)}
		}
		config.Token = strings.TrimSpace(string(token))
	}
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find the program itself: %w", err)
	}
	config.Command = []string{self, "up"}
	line := newStatusLine(c.ErrOrStderr())
	config.Progress = func(shape string, elapsed, total time.Duration, transfers uint64) {
		line.show(func() string { return benchProgress(shape, elapsed, total, transfers) })
	}
	report, err := bench.Run(c.Context(), config)
	line.clear()
	return benchEnd(c, report, f.json, err)
}

// benchEnd writes what a benchmark measured, also where it ended early, and returns what the command ends with.
func benchEnd(c *cobra.Command, report *bench.Report, asJSON bool, err error) error {
	if report != nil && len(report.Results) > 0 {
		err = errors.Join(err, writeReport(c.OutOrStdout(), report, asJSON))
	}
	return benchError(err)
}

// benchError is a benchmark's error as the command's.
func benchError(err error) error {
	switch {
	case errors.Is(err, bench.ErrConfig):
		return &exitError{exitUsage, err}
	case errors.Is(err, context.Canceled):
		return errors.New("interrupted")
	}
	return err
}

func writeReport(w io.Writer, r *bench.Report, asJSON bool) error {
	if asJSON {
		return r.WriteJSON(w)
	}
	return r.WriteText(w)
}

func benchProgress(shape string, elapsed, total time.Duration, transfers uint64) string {
	if elapsed < 0 {
		return fmt.Sprintf("%-12s warming up", shape)
	}
	rate := float64(transfers) / max(elapsed.Seconds(), 1e-3)
	if total == 0 {
		return fmt.Sprintf("%-12s preparing: %d done, %.0f/s", shape, transfers, rate)
	}
	return fmt.Sprintf("%-12s %3.0f s of %.0f s: %.0f transfers/s", shape, elapsed.Seconds(), total.Seconds(), rate)
}

// statusLine is one line that is written over and over, where a person watches.
type statusLine struct {
	w    io.Writer // nil: nobody watches
	mu   sync.Mutex
	next time.Time
}

func newStatusLine(w io.Writer) *statusLine {
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		return &statusLine{w: w}
	}
	return &statusLine{}
}

const statusEvery = 100 * time.Millisecond

// show writes what text returns, unless something was written just before.
func (l *statusLine) show(text func() string) {
	if l.w == nil || !l.mu.TryLock() {
		return
	}
	defer l.mu.Unlock()
	if now := time.Now(); now.After(l.next) {
		l.next = now.Add(statusEvery)
		_, _ = fmt.Fprintf(l.w, "\r\x1b[K%s", text())
	}
}

// clear makes the line empty.
func (l *statusLine) clear() {
	if l.w != nil {
		_, _ = fmt.Fprint(l.w, "\r\x1b[K")
	}
}
