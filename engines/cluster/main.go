// Command cluster brings up a database cluster on this machine's loopback, to try Sterling on and to break: a PostgreSQL
// trio or a Galera trio of package engines. A process in the background owns the servers; the other commands talk to it.
//
// It is not for production, and keeps no data: "down" removes what "up" made. tools/cluster builds and calls it. Start
// reading at newRoot; the background process is in serve.go.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/sterlingrun/sterling/engines"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := newRoot().ExecuteContext(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "cluster: "+err.Error())
		os.Exit(1)
	}
}

const long = `Brings up three database servers on this machine's loopback, and breaks them on request:

  postgres   a primary and two standbys; a commit is acknowledged when a standby has it, and a supervisor
             promotes a standby when the primary is gone
  galera     three MariaDB servers that all take writes

For trying and testing, never for production: "down" removes all data. Nodes are 1, 2 and 3; with postgres,
"primary" is the node that is the primary now.`

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use: "cluster", Short: "Database clusters on this machine's loopback, to try Sterling on and to break", Long: long,
		SilenceUsage: true, SilenceErrors: true,
	}
	dir := root.PersistentFlags().String("dir", defaultDir(), "the cluster's folder; each has one cluster")
	root.AddCommand(newUp(dir), newServe(dir), newStatus(dir), newDSN(dir), newDown(dir))
	for _, c := range []struct{ name, does string }{
		{"kill", "End a node at once (SIGKILL)"},
		{"stop", "Freeze a node (SIGSTOP): its connections stay open and hang"},
		{"start", "Start a node after kill, or let it go on after stop"},
		{"cut", "Cut a node off from clients and from the other nodes"},
		{"heal", "End cut"},
	} {
		root.AddCommand(newBreak(dir, c.name, c.does))
	}
	wait := &cobra.Command{Use: "wait", Short: "Wait until the cluster has its full strength", Args: cobra.NoArgs}
	wait.RunE = func(cmd *cobra.Command, _ []string) error { return call(cmd.Context(), *dir, "wait", nil, nil) }
	root.AddCommand(wait)
	return root
}

func defaultDir() string {
	return filepath.Join(os.TempDir(), "sterling-cluster-"+strconv.Itoa(os.Geteuid()))
}

func newUp(dir *string) *cobra.Command {
	c := &cobra.Command{
		Use: "up postgres|galera", Short: "Start a cluster and print its address", ValidArgs: []string{kindPostgres, kindGalera},
		Args: cobra.MatchAll(cobra.ExactArgs(1), cobra.OnlyValidArgs),
	}
	c.RunE = func(cmd *cobra.Command, args []string) error {
		began := time.Now()
		s, err := up(cmd.Context(), *dir, args[0])
		if err != nil {
			return err
		}
		cmd.PrintErrf("ready after %.1f s\n", time.Since(began).Seconds())
		_, err = fmt.Fprintln(cmd.OutOrStdout(), s.DSN)
		return err
	}
	return c
}

func newServe(dir *string) *cobra.Command {
	return &cobra.Command{
		Use: "serve KIND", Hidden: true, Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return serve(cmd.Context(), *dir, args[0]) },
	}
}

func newStatus(dir *string) *cobra.Command {
	c := &cobra.Command{Use: "status", Short: "What the nodes say of themselves", Args: cobra.NoArgs}
	c.RunE = func(cmd *cobra.Command, _ []string) error {
		var nodes []engines.NodeStatus
		if err := call(cmd.Context(), *dir, "status", nil, &nodes); err != nil {
			return err
		}
		w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
		_, _ = fmt.Fprintln(w, "NODE\tPID\tSTATE\tLOG")
		for _, n := range nodes {
			_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", strings.TrimPrefix(n.Name, "n"), pid(n.Pid), n.State, n.Log)
		}
		return w.Flush()
	}
	return c
}

func pid(n int) string {
	if n == 0 {
		return "-"
	}
	return strconv.Itoa(n)
}

func newDSN(dir *string) *cobra.Command {
	c := &cobra.Command{
		Use: "dsn [NODE]", Short: "Print the cluster's address, or a node's, with the password", Args: cobra.MaximumNArgs(1),
	}
	c.RunE = func(cmd *cobra.Command, args []string) error {
		s, err := readState(*dir)
		if err != nil {
			return err
		}
		dsn := s.DSN
		if len(args) == 1 {
			var nodes []engines.NodeStatus
			if err := call(cmd.Context(), *dir, "status", nil, &nodes); err != nil {
				return err
			}
			n, err := strconv.Atoi(args[0])
			if err != nil || n < 1 || n > len(nodes) {
				return fmt.Errorf("no node %q: want 1 to %d", args[0], len(nodes))
			}
			dsn = nodes[n-1].DSN
		}
		_, err = fmt.Fprintln(cmd.OutOrStdout(), dsn)
		return err
	}
	return c
}

func newBreak(dir *string, name, does string) *cobra.Command {
	return &cobra.Command{
		Use: name + " NODE", Short: does, Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return call(cmd.Context(), *dir, name, map[string]string{"node": args[0]}, nil)
		},
	}
}

func newDown(dir *string) *cobra.Command {
	return &cobra.Command{
		Use: "down", Short: "End the cluster and remove its data", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			err := down(cmd.Context(), *dir)
			if errors.Is(err, errNoCluster) {
				return nil // down already
			}
			return err
		},
	}
}
