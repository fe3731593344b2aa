package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/money"
	"github.com/sterlingrun/sterling/node"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
	"github.com/sterlingrun/sterling/router"
)

// mapFlags are those of the commands that read or write the map of cells, in the database itself.
type mapFlags struct {
	*ledgerFlags
	store node.Store
}

func (f *mapFlags) registerStore(c *cobra.Command) {
	c.Flags().Var(storeFlag{&f.store}, "store", "database that has the journals: postgres://… or mysql://…, or file:PATH of a file with that")
}

func (f *mapFlags) register(c *cobra.Command) *cobra.Command {
	f.registerStore(c)
	_ = c.MarkFlagRequired("store") // the flag was made a line before
	return c
}

// with calls work with the map of --store.
func (f *mapFlags) with(ctx context.Context, work func(maps node.Maps) error) (err error) {
	maps, err := node.OpenMaps(ctx, f.store, slog.New(slog.DiscardHandler))
	if err != nil {
		return fmt.Errorf("--store: %w", err)
	}
	defer func() { err = errors.Join(err, maps.Close()) }()
	return work(maps)
}

// load returns the newest map.
func (f *mapFlags) load(ctx context.Context) (m *router.Map, err error) {
	err = f.with(ctx, func(maps node.Maps) error {
		version, raw, err := maps.Load(ctx)
		if err != nil {
			return err
		}
		if version == 0 {
			return errors.New("the database has no map of cells: the ledger has one cell, or its cells are still to be defined (`sterling cell define`)")
		}
		m, err = router.DecodeMap(version, raw)
		return err
	})
	return m, err
}

func newCellList(f *ledgerFlags) *cobra.Command {
	m := &mapFlags{ledgerFlags: f}
	return m.register(&cobra.Command{
		Use: "list", Short: "List the cells of a ledger, their buckets and nodes", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			known, err := m.load(c.Context())
			if err != nil {
				return err
			}
			return m.printCells(c, known)
		},
	})
}

// printCells shows the cells of a map.
func (f *mapFlags) printCells(c *cobra.Command, m *router.Map) error {
	buckets := map[uint64]int{}
	for _, id := range m.Buckets {
		buckets[id]++
	}
	if f.output == "json" {
		type cell struct {
			router.Cell
			Buckets int `json:"buckets"`
		}
		list := make([]cell, len(m.Cells))
		for i, c := range m.Cells {
			list[i] = cell{c, buckets[c.ID]}
		}
		return json.NewEncoder(c.OutOrStdout()).Encode(map[string]any{"version": m.Version, "cells": list})
	}
	rows := make([][]string, len(m.Cells))
	for i, c := range m.Cells {
		rows[i] = []string{strconv.FormatUint(c.ID, 10), strconv.Itoa(buckets[c.ID]), strings.Join(c.Nodes, ",")}
	}
	s := &session{flags: f.ledgerFlags, c: c}
	return s.print(nil, "CELL BUCKETS NODES", rows)
}

func newCellMap(f *ledgerFlags) *cobra.Command {
	m := &mapFlags{ledgerFlags: f}
	c := &cobra.Command{
		Use: "map [ACCOUNT…]", Short: "Show which cell has which buckets, or which accounts",
		Long: `Shows which cell has which buckets, or which accounts, from the database (--store) or as
the nodes of a cell have it (--server): then buckets that are on their way from or to that
cell are shown, too.`,
		RunE: func(c *cobra.Command, args []string) error {
			accounts := make([]money.U128, len(args))
			for i, arg := range args {
				var err error
				if accounts[i], err = money.Parse(arg); err != nil {
					return usage("account: %w", err)
				}
			}
			show := func(known *router.Map, moving []*ledgerv1.MovingBucket) error {
				if len(accounts) > 0 {
					return m.printOwners(c, known, accounts)
				}
				return m.printMap(c, known, moving)
			}
			if !m.store.Shared() {
				return f.with(c, func(ctx context.Context, s *session) error {
					r, err := s.getMap(ctx, s.client)
					if err != nil {
						return err
					}
					return show(mapOf(r), r.GetMoving())
				})
			}
			known, err := m.load(c.Context())
			if err != nil {
				return err
			}
			return show(known, nil)
		},
	}
	m.registerStore(c)
	return c
}

// mapOf is the map that a node tells.
func mapOf(r *ledgerv1.GetMapResponse) *router.Map {
	m := &router.Map{Version: r.GetVersion()}
	for _, c := range r.GetCells() {
		m.Cells = append(m.Cells, router.Cell{ID: c.GetId(), Nodes: c.GetNodes()})
	}
	for _, s := range r.GetSpans() {
		for b := s.GetFrom(); b <= s.GetTo() && b < router.Buckets; b++ {
			m.Buckets[b] = s.GetCell()
		}
	}
	return m
}

func (f *mapFlags) printMap(c *cobra.Command, m *router.Map, moving []*ledgerv1.MovingBucket) error {
	if f.output == "json" {
		text, err := m.Encode()
		if err == nil {
			all := map[string]any{"version": m.Version, "map": json.RawMessage(text)}
			if len(moving) > 0 {
				all["moving"] = moving
			}
			err = json.NewEncoder(c.OutOrStdout()).Encode(all)
		}
		return err
	}
	var rows [][]string
	for _, s := range m.Spans() {
		rows = append(rows, []string{strconv.Itoa(s.From), strconv.Itoa(s.To), strconv.FormatUint(s.Cell, 10)})
	}
	s := &session{flags: f.ledgerFlags, c: c}
	if err := s.print(nil, "FROM TO CELL", rows); err != nil || len(moving) == 0 {
		return err
	}
	rows = nil
	for _, b := range moving {
		rows = append(rows, []string{
			strconv.FormatUint(uint64(b.GetBucket()), 10), strconv.FormatUint(b.GetFrom(), 10), strconv.FormatUint(b.GetTo(), 10), b.GetPhase(),
		})
	}
	if _, err := fmt.Fprintln(c.OutOrStdout()); err != nil {
		return err
	}
	return s.print(nil, "BUCKET FROM TO MOVING", rows)
}

func (f *mapFlags) printOwners(c *cobra.Command, m *router.Map, accounts []money.U128) error {
	type owner struct {
		Account string `json:"account"`
		Bucket  uint16 `json:"bucket"`
		Cell    uint64 `json:"cell"`
	}
	list, rows := make([]owner, len(accounts)), make([][]string, len(accounts))
	for i, id := range accounts {
		list[i] = owner{id.String(), journal.Bucket(id), m.Owner(id)}
		rows[i] = []string{list[i].Account, strconv.Itoa(int(list[i].Bucket)), strconv.FormatUint(list[i].Cell, 10)}
	}
	if f.output == "json" {
		return json.NewEncoder(c.OutOrStdout()).Encode(list)
	}
	s := &session{flags: f.ledgerFlags, c: c}
	return s.print(nil, "ACCOUNT BUCKET CELL", rows)
}

func newCellDefine(f *ledgerFlags) *cobra.Command {
	m := &mapFlags{ledgerFlags: f}
	return m.register(&cobra.Command{
		Use: "define CELL=HOST:PORT[,HOST:PORT…]…", Short: "Make the map of a ledger's cells, or give its cells other nodes", Args: cobra.MinimumNArgs(1),
		Long: `Makes the map that says which cell has which accounts: each has as many of the 1,024
buckets as any other, or one more. Where there is a map, its cells get the nodes that are
named; which cells there are, and which accounts each has, stays. Running nodes notice
within a second.`,
		Example: `  sterling cell define --store "$DSN" 1=host1:7600,host2:7600 2=host3:7600,host4:7600`,
		RunE: func(c *cobra.Command, args []string) error {
			cells, err := parseCells(args)
			if err != nil {
				return err
			}
			return m.with(c.Context(), func(maps node.Maps) error {
				made, err := router.Define(c.Context(), maps, cells)
				if errors.Is(err, router.ErrMap) {
					return &exitError{exitUsage, err}
				}
				if err != nil {
					return err
				}
				return m.printCells(c, made)
			})
		},
	})
}

// parseCells reads CELL=HOST:PORT,…
func parseCells(args []string) ([]router.Cell, error) {
	var cells []router.Cell
	for _, arg := range args {
		id, nodes, ok := strings.Cut(arg, "=")
		number, err := strconv.ParseUint(id, 10, 32)
		if !ok || err != nil {
			return nil, usage("%q: want CELL=HOST:PORT,HOST:PORT such as 1=host1:7600,host2:7600", arg)
		}
		cells = append(cells, router.Cell{ID: number, Nodes: strings.Split(nodes, ",")})
	}
	return cells, nil
}
