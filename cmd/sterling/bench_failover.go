package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/sterlingrun/sterling/bench"
	"github.com/sterlingrun/sterling/node"
)

func newBenchFailover() *cobra.Command {
	f := bench.DefaultFailover()
	var asJSON bool
	c := &cobra.Command{
		Use: "failover", Short: "Break nodes and database under load, and measure how long payments wait", Args: cobra.NoArgs,
		Long: `Starts a database of three servers on this machine (PostgreSQL with quorum replication, or
MariaDB Galera) and the nodes of a cell over it, has payments made without end, and kills
the leader, stops it in its tracks, drains it, and kills the database's primary, again
and again. Each time it measures how long after that the first payment is acknowledged.
Afterwards the ledger must have exactly what was acknowledged: it ends with status 1 where
a payment was lost, made twice, or failed. It takes about five minutes.`,
		Example: `  sterling bench failover
  sterling bench failover --engine galera --json > results.json
  sterling bench failover --store "$DSN" --database-kills 0 --kills 5`,
		RunE: func(c *cobra.Command, _ []string) error { return benchFailover(c, f, asJSON) },
	}
	flags := c.Flags()
	flags.StringVar(&f.Engine, "engine", f.Engine, "postgres or galera: a trio that is started for this")
	flags.StringVar(&f.Store, "store", "", "a database that runs already, instead")
	flags.IntVar(&f.Nodes, "nodes", f.Nodes, "nodes of the cell")
	flags.IntVar(&f.Senders, "senders", f.Senders, "senders of single payments")
	flags.DurationVar(&f.Lease, "lease", f.Lease, "of the leader: store.lease")
	flags.IntVar(&f.Kills, "kills", f.Kills, "times that the leader is killed")
	flags.IntVar(&f.Stops, "stops", f.Stops, "times that it is stopped, and goes on later")
	flags.IntVar(&f.Drains, "drains", f.Drains, "times that it is drained")
	flags.IntVar(&f.Databases, "database-kills", f.Databases, "times that a node of the database is killed: with postgres the primary")
	flags.StringVar(&f.Dir, "dir", "", "folder for the nodes' data (default the system's for temporary files)")
	flags.BoolVar(&asJSON, "json", false, "write the report as JSON")
	return c
}

func benchFailover(c *cobra.Command, config bench.FailoverConfig, asJSON bool) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find the program itself: %w", err)
	}
	config.Version, config.Command = node.Version(), []string{self, "up"}
	line := newStatusLine(c.ErrOrStderr())
	config.Progress = func(what string, done, total int) {
		line.show(func() string { return fmt.Sprintf("%-22s %d of %d", what, done, total) })
	}
	report, err := bench.Failover(c.Context(), config)
	line.clear()
	return benchEnd(c, report, asJSON, err)
}
