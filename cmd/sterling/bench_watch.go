package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sterlingrun/sterling/bench"
	"github.com/sterlingrun/sterling/node"
	"github.com/sterlingrun/sterling/watch"
)

type benchWatchFlags struct {
	bench.WatchConfig
	parts, classes string
	json           bool
}

func newBenchWatch() *cobra.Command {
	f := benchWatchFlags{WatchConfig: bench.DefaultWatch()}
	c := &cobra.Command{
		Use: "watch", Short: "Measure the watch: what it finds, what it must not, how fast", Args: cobra.NoArgs,
		Long: `Plants every kind of fault in streams of a bank's life, through the real ledger, and
says whether each was found, in which time, and what else was; plays clean streams
with late deliveries and restarts; measures throughput and memory of the watch as a
node runs it, the time until an account is frozen, and what it takes from the ledger
beside it. The data lies below --dir: choose a folder on the disk that matters.

With --cases, and no --parts, only the cases of that folder are run: streams that
others wrote, with what has to be found in them. docs/bench-cases.md is their format.

Parts: ` + strings.Join(bench.WatchParts(), ", ") + `.
It ends with status 1 where a fault was not found or anything else was.`,
		Example: `  sterling bench watch
  sterling bench watch --parts recall --classes wrong_fee,fork --seeds 20
  sterling bench watch --parts soak --events 10000000 --json > results.json
  sterling bench watch --cases ./cases`,
		RunE: func(c *cobra.Command, _ []string) error { return benchWatch(c, &f) },
	}
	flags := c.Flags()
	flags.StringVar(&f.parts, "parts", "", "parts to run, separated by commas (default all)")
	flags.StringVar(&f.classes, "classes", "", "classes of the faults to plant, separated by commas (default all)")
	flags.StringVar(&f.Cases, "cases", "", "folder of cases: streams with the breaks that are expected")
	flags.Uint64Var(&f.Seed, "seed", f.Seed, "what all streams are made of")
	flags.IntVar(&f.Seeds, "seeds", f.Seeds, "streams for each fault")
	flags.IntVar(&f.Events, "events", f.Events, "events of the soak")
	flags.IntVar(&f.Load, "load", f.Load, "events of the throughput; they are made before, in memory")
	flags.IntVar(&f.OpenKeys, "open-keys", f.OpenKeys, "open keys for memory")
	flags.IntVar(&f.Freezes, "freezes", f.Freezes, "faults in a real cell")
	flags.DurationVar(&f.Window, "window", f.Window, "measured window beside the ledger, each")
	flags.StringVar(&f.Dir, "dir", "", "folder for the data (default the system's for temporary files)")
	flags.BoolVar(&f.json, "json", false, "write the report as JSON")
	return c
}

func benchWatch(c *cobra.Command, f *benchWatchFlags) error {
	config := f.WatchConfig
	config.Version = node.Version()
	if f.parts != "" {
		config.Parts = strings.Split(f.parts, ",")
	}
	if f.classes != "" {
		for _, class := range strings.Split(f.classes, ",") {
			config.Classes = append(config.Classes, watch.Class(class))
		}
	}
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find the program itself: %w", err)
	}
	config.Command = []string{self, "up"}
	line, began := newStatusLine(c.ErrOrStderr()), time.Now()
	config.Progress = func(part string, done, total uint64) {
		line.show(func() string { return watchProgress(part, done, total, time.Since(began)) })
	}
	report, err := bench.RunWatch(c.Context(), config)
	line.clear()
	if report != nil && len(report.Results)+len(report.Cases) > 0 {
		write := report.WriteText
		if f.json {
			write = report.WriteJSON
		}
		err = errors.Join(err, write(c.OutOrStdout()))
	}
	return benchError(err)
}

// watchProgress is a bar of 30 places.
func watchProgress(part string, done, total uint64, took time.Duration) string {
	const places = 30
	full := int(places * min(done, total) / max(1, total)) //nolint:gosec // G115: up to 30
	return fmt.Sprintf("%-10s [%s%s] %d of %d, %.0f s", part, strings.Repeat("=", full), strings.Repeat(" ", places-full), done, total, took.Seconds())
}
