package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/sterlingrun/sterling/devcluster"
	"github.com/sterlingrun/sterling/money"
	"github.com/sterlingrun/sterling/node"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
	"github.com/sterlingrun/sterling/router"
)

const clusterFolder = "sterling-cluster"

func newCluster() *cobra.Command {
	parent := &cobra.Command{Use: "cluster", Short: "Try a ledger of several cells on this machine"}
	parent.AddCommand(newClusterDev(), newClusterStatus())
	return parent
}

func newClusterDev() *cobra.Command {
	var o devcluster.Options
	var store node.Store
	c := &cobra.Command{
		Use: "dev", Short: "Start several cells of several nodes on this machine, to try", Args: cobra.NoArgs,
		Long: `Starts each node as a process of its own, on a loopback address, with its journal in the
database of --store, and makes the map that says which cell has which accounts. Ctrl-C ends
them all. Started again with the same folder, it goes on with what is there; --store may
then be left out. A node that ends is not restarted: kill one, and see another lead.`,
		Example: `  tools/cluster up postgres            # a database to try with: it prints its address
  sterling cluster dev --store 'postgres://…'
  sterling cluster status`,
		RunE: func(c *cobra.Command, _ []string) error { return clusterDev(c, o, &store) },
	}
	flags := c.Flags()
	flags.Var(storeFlag{&store}, "store", "database that has the journals: postgres://… or mysql://…, or file:PATH of a file with that (default: the one of before)")
	flags.StringVar(&o.Dir, "data", clusterFolder, "folder for all that the nodes keep")
	flags.IntVar(&o.Cells, "cells", 0, "cells (default: as the folder has it, or 2)")
	flags.IntVar(&o.Nodes, "nodes", 0, "nodes of each cell (default: as the folder has it, or 3)")
	return c
}

func clusterDev(c *cobra.Command, o devcluster.Options, store *node.Store) (err error) {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find the program itself: %w", err)
	}
	if o.DSN, err = store.ReadDSN(); err != nil {
		return usage("--store: %w", err)
	}
	o.Command, o.Maps = []string{self, "up"}, openMaps
	o.Ended = func(n devcluster.Node, err error) {
		_, _ = fmt.Fprintf(c.ErrOrStderr(), "node %d of cell %d, %s, has ended: %v; its log is %s\n", n.Number, n.Cell, n.Address, err, n.Log)
	}
	cluster, err := devcluster.Start(c.Context(), o)
	if err != nil {
		return clusterError(err)
	}
	defer func() { err = errors.Join(err, cluster.Close()) }()
	leaders, err := cluster.AwaitLeaders(c.Context())
	if err != nil {
		return err
	}
	if err := greetCluster(c.OutOrStdout(), cluster, leaders, o.Dir); err != nil {
		return err
	}
	select {
	case <-c.Context().Done():
		return nil
	case <-cluster.Gone():
		return errors.New("no node is left")
	}
}

// clusterError says what to do about a cluster that can't be started.
func clusterError(err error) error {
	switch {
	case errors.Is(err, devcluster.ErrNoDatabase):
		return usage(`the nodes need a database that all of them reach: give --store postgres://… or mysql://…
To try, on this machine:
  tools/cluster up postgres     it prints the address; "down" ends it`)
	case errors.Is(err, devcluster.ErrOptions), errors.Is(err, router.ErrMap):
		return &exitError{exitUsage, err}
	}
	return err
}

// greetCluster says where the nodes are and what to try. Scripts wait for its first line.
func greetCluster(w io.Writer, cluster *devcluster.Cluster, leaders map[uint64]devcluster.Node, dir string) error {
	_, _ = fmt.Fprintf(w, "%d cells are ready, %d nodes\n\n", len(leaders), len(cluster.Nodes()))
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(table, "CELL\tNODE\tADDRESS\tPID\tROLE")
	for _, n := range cluster.Nodes() {
		role := "standby"
		if leaders[n.Cell] == n {
			role = "leader"
		}
		_, _ = fmt.Fprintf(table, "%d\t%d\t%s\t%d\t%s\n", n.Cell, n.Number, n.Address, n.PID, role)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	flags := fmt.Sprintf(" --data %s --server %s", dir, strings.Join(cluster.Map.Cells[0].Nodes, ","))
	_, err := fmt.Fprintf(w, `
Try next, in another terminal:
  %[1]s ledger create-accounts%[2]s --asset CNY/2 --code 1 %[4]v %[5]v
  %[1]s ledger transfer%[2]s --from %[4]v --to %[5]v --amount "12.34 CNY" --code 1
  %[1]s cluster status --data %[3]s
Ctrl-C ends all nodes.
`, program(), flags, dir, accountOf(cluster.Map, 0), accountOf(cluster.Map, len(cluster.Map.Cells)-1))
	return err
}

// accountOf is the smallest account id, from 1 on, that a cell of the map has; 1 where a cell has none.
func accountOf(m *router.Map, cell int) money.U128 {
	for id := uint64(1); id < 1<<16; id++ {
		if m.Owner(money.From(id)) == m.Cells[cell].ID {
			return money.From(id)
		}
	}
	return money.From(1)
}

// clusterNode is what a node's process and the node itself tell.
type clusterNode struct {
	devcluster.Node
	Role     string `json:"role"` // leader or standby; empty: it does not answer
	Epoch    uint64 `json:"epoch"`
	Block    uint64 `json:"block"`
	Accounts uint64 `json:"accounts"`
	Error    string `json:"error,omitempty"`
}

func newClusterStatus() *cobra.Command {
	f := ledgerFlags{deadline: 5 * time.Second}
	c := &cobra.Command{
		Use: "status", Short: "Tell what the nodes of `cluster dev` do", Args: cobra.NoArgs,
		Long: `Asks every node that "sterling cluster dev" started with the folder. It fails if a cell
has no leader.`,
		RunE: func(c *cobra.Command, _ []string) error { return clusterStatus(c, &f) },
	}
	c.Flags().StringVar(&f.data, "data", clusterFolder, "the folder of cluster dev")
	c.Flags().StringVar(&f.output, "output", "text", "text or json")
	return c
}

func clusterStatus(c *cobra.Command, f *ledgerFlags) error {
	if f.output != "text" && f.output != "json" {
		return usage("--output: want text or json, not %q", f.output)
	}
	state, err := devcluster.Read(f.data)
	if errors.Is(err, devcluster.ErrNoCluster) {
		return usage("%w; start one with `sterling cluster dev`", err)
	}
	if err != nil {
		return err
	}
	list := make([]clusterNode, 0, len(state.Nodes))
	led := map[uint64]bool{}
	for _, n := range state.Nodes {
		asked := f.askNode(c, n.Address)
		s := asked.Status
		at := clusterNode{Node: n, Error: asked.Error, Epoch: s.GetEpoch(), Block: s.GetHead(), Accounts: s.GetAccounts()}
		if asked.Error == "" {
			at.Role = short(s.GetRole().String())
		}
		led[n.Cell] = led[n.Cell] || s.GetRole() == ledgerv1.CellRole_CELL_ROLE_LEADER
		list = append(list, at)
	}
	if err := printCluster(c, f.output, list); err != nil {
		return err
	}
	for cell := range uint64(state.Cells) { //nolint:gosec // a small number
		if !led[cell+1] {
			return fmt.Errorf("nobody leads cell %d", cell+1)
		}
	}
	return nil
}

func printCluster(c *cobra.Command, output string, list []clusterNode) error {
	if output == "json" {
		return json.NewEncoder(c.OutOrStdout()).Encode(list)
	}
	table := tabwriter.NewWriter(c.OutOrStdout(), 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(table, "CELL\tNODE\tADDRESS\tPID\tROLE\tEPOCH\tBLOCK\tACCOUNTS") // Flush returns the error
	for _, n := range list {
		role := n.Role
		switch {
		case n.PID == 0:
			role = "not started"
		case n.Error != "":
			role = "no answer"
		}
		cells := []string{fmt.Sprint(n.Cell), strconv.Itoa(n.Number), n.Address, strconv.Itoa(n.PID), role, fmt.Sprint(n.Epoch), fmt.Sprint(n.Block), fmt.Sprint(n.Accounts)}
		_, _ = fmt.Fprintln(table, strings.Join(cells, "\t"))
	}
	return table.Flush()
}
