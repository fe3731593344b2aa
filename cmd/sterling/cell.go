package main

import (
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

func newCell() *cobra.Command {
	var f ledgerFlags
	c := &cobra.Command{
		Use: "cell", Short: "Look at cells and their nodes, and move leadership",
		Long: `A cell whose journal is in a database ("sterling up --store …") is served by several
nodes: one leads, the others follow, and take over when it is gone. Name all of them:
--server host1:7600,host2:7600,host3:7600

A ledger may have several cells. Which accounts each has is told by a map in their
database (--store).`,
		Example: `  sterling cell status --server 127.0.0.1:7600,127.0.0.1:7610
  sterling cell drain  --server 127.0.0.1:7600,127.0.0.1:7610
  sterling cell list   --store postgres://sterling@db1,db2,db3/sterling`,
	}
	f.register(c)
	c.AddCommand(newCellStatus(&f), newDrain(&f), newCellList(&f), newCellMap(&f), newCellDefine(&f), newCellMove(&f))
	return c
}

// nodeStatus is what one node says, or why it doesn't.
type nodeStatus struct {
	Server string                   `json:"server"`
	Status *ledgerv1.StatusResponse `json:"status,omitempty"`
	Error  string                   `json:"error,omitempty"`
}

func newCellStatus(f *ledgerFlags) *cobra.Command {
	return &cobra.Command{
		Use: "status", Short: "Ask every node of --server where it stands", Args: cobra.NoArgs,
		Long: `Asks every node of --server by itself. It fails if no node leads, or one does not
answer.`,
		RunE: func(c *cobra.Command, _ []string) error {
			var list []nodeStatus
			leads, silent := 0, 0
			for address := range strings.SplitSeq(f.server, ",") {
				n := f.askNode(c, strings.TrimSpace(address))
				list = append(list, n)
				switch role := n.Status.GetRole(); {
				case n.Error != "":
					silent++
				case role == ledgerv1.CellRole_CELL_ROLE_LEADER || role == ledgerv1.CellRole_CELL_ROLE_ALONE:
					leads++
				}
			}
			s := &session{flags: f, c: c}
			if err := s.printNodes(list); err != nil {
				return err
			}
			switch {
			case leads == 0:
				return errors.New("no node of --server leads: writes and reads wait for one that can reach the database")
			case silent > 0:
				return errors.New("not every node of --server answers")
			}
			return nil
		},
	}
}

func (f *ledgerFlags) askNode(c *cobra.Command, address string) nodeStatus {
	one := *f
	one.server = address
	n := nodeStatus{Server: address}
	err := one.with(c, func(ctx context.Context, s *session) (err error) {
		ctx, cancel := s.call(ctx)
		defer cancel()
		n.Status, err = s.admin.Status(ctx, &ledgerv1.StatusRequest{})
		return err
	})
	if err != nil {
		n.Error = err.Error()
	}
	return n
}

func (s *session) printNodes(list []nodeStatus) error {
	if s.flags.output == "json" {
		return json.NewEncoder(s.c.OutOrStdout()).Encode(list)
	}
	var rows [][]string
	for _, n := range list {
		if n.Error != "" {
			rows = append(rows, []string{n.Server, "no answer: " + n.Error})
			continue
		}
		r := n.Status
		rows = append(rows, []string{
			n.Server, short(r.GetRole().String()), strconv.FormatUint(r.GetEpoch(), 10), strconv.FormatUint(r.GetHead(), 10), strconv.FormatUint(r.GetIndexSeq(), 10),
			strconv.FormatUint(r.GetAccounts(), 10), strconv.FormatUint(r.GetTakeovers(), 10), strconv.FormatUint(r.GetStoodDown(), 10),
		})
	}
	return s.print(nil, "NODE ROLE EPOCH BLOCK INDEX ACCOUNTS TAKEOVERS STOOD-DOWN", rows)
}

func newDrain(f *ledgerFlags) *cobra.Command {
	return &cobra.Command{
		Use: "drain", Short: "Have the leader finish its calls and stand down for another node", Args: cobra.NoArgs,
		Long: `Finds the leader among the nodes of --server, has it finish what it was asked for, and
stand down. Another node takes over at once; clients that know all nodes follow it, and
no call fails. The drained node stands by. Name one node only to drain that one.`,
		RunE: func(c *cobra.Command, _ []string) error {
			return f.with(c, func(ctx context.Context, s *session) error {
				ctx, cancel := s.call(ctx)
				defer cancel()
				response, err := s.admin.Drain(ctx, &ledgerv1.DrainRequest{})
				if err == nil && s.flags.output == "json" {
					err = s.printJSON(response)
				}
				return err
			})
		},
	}
}
