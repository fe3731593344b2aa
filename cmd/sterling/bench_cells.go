package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/sterlingrun/sterling/bench"
	"github.com/sterlingrun/sterling/devcluster"
	"github.com/sterlingrun/sterling/node"
)

func newBenchCells() *cobra.Command {
	f := bench.DefaultCells()
	var asJSON, move bool
	c := &cobra.Command{
		Use: "cells", Short: "Measure several cells against one, with a share of transfers between them", Args: cobra.NoArgs,
		Long: `Starts a PostgreSQL server on this machine and one cell on it, then several, as many nodes
for each as asked, and sends the same load to one and to all. With several cells a share
of the transfers goes from one to another. Afterwards every transfer has to be there, once
and on both sides: it ends with status 1 where one is not.

With --move, accounts move from one cell to another under load instead: in the buckets
that they fall into, and all in one bucket. It tells for how long calls had to wait.`,
		Example: `  sterling bench cells
  sterling bench cells --shares 0,100 --json > results.json
  sterling bench cells --move --accounts 8000`,
		RunE: func(c *cobra.Command, _ []string) error {
			if move {
				moves := bench.DefaultMoves()
				for name, set := range map[string]func(){
					"nodes": func() { moves.Nodes = f.Nodes }, "senders": func() { moves.Senders = f.Senders }, "batch": func() { moves.Batch = f.Batch },
					"accounts": func() { moves.Accounts = f.Accounts }, "warmup": func() { moves.Warmup = f.Warmup }, "dir": func() { moves.Dir = f.Dir },
				} {
					if c.Flags().Changed(name) {
						set()
					}
				}
				return benchCells(c, moves, asJSON, bench.Moves)
			}
			return benchCells(c, f, asJSON, bench.Cells)
		},
	}
	flags := c.Flags()
	flags.IntVar(&f.Cells, "cells", f.Cells, "cells, compared with one")
	flags.IntVar(&f.Nodes, "nodes", f.Nodes, "nodes of each cell")
	flags.IntVar(&f.Senders, "senders", f.Senders, "clients, of all cells together")
	flags.IntVar(&f.Batch, "batch", f.Batch, "transfers in a call")
	flags.IntVar(&f.Accounts, "accounts", f.Accounts, "accounts of each cell")
	flags.IntSliceVar(&f.Shares, "shares", f.Shares, "per cent of the transfers that go to another cell, a run for each")
	flags.DurationVar(&f.Warmup, "warmup", f.Warmup, "load before each window")
	flags.DurationVar(&f.Duration, "duration", f.Duration, "measured window of each run")
	flags.StringVar(&f.Dir, "dir", "", "folder for the nodes' data (default the system's for temporary files)")
	flags.BoolVar(&move, "move", false, "move accounts to another cell under load, and measure that")
	flags.BoolVar(&asJSON, "json", false, "write the report as JSON")
	return c
}

func benchCells(
	c *cobra.Command, config bench.CellsConfig, asJSON bool, measure func(context.Context, bench.CellsConfig) (*bench.Report, error),
) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find the program itself: %w", err)
	}
	config.Version, config.Command, config.Maps = node.Version(), []string{self, "up"}, openMaps
	line := newStatusLine(c.ErrOrStderr())
	config.Progress = func(what string, elapsed, total time.Duration, transfers uint64) {
		line.show(func() string { return benchProgress(what, elapsed, total, transfers) })
	}
	report, err := measure(c.Context(), config)
	line.clear()
	return benchEnd(c, report, asJSON, err)
}

// openMaps opens the map of cells in a database, for devcluster.
func openMaps(ctx context.Context, dsn string) (devcluster.Maps, error) {
	return node.OpenMaps(ctx, node.Store{DSN: dsn}, slog.New(slog.DiscardHandler))
}
