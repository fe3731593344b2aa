package sqlite_test

import (
	"context"
	"errors"
	"path/filepath"
	"testing"

	"github.com/sterlingrun/sterling/cell"
	"github.com/sterlingrun/sterling/cell/celltest"
	"github.com/sterlingrun/sterling/clock"
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/money"
	"github.com/sterlingrun/sterling/readmodel"
	"github.com/sterlingrun/sterling/readmodel/sqlite"
)

// beside is the source of a projector beside a cell: its journal, and how far that is acknowledged.
type beside struct {
	cell.Log
	cell *cell.Cell
}

// Head implements readmodel.Source.
func (b beside) Head(context.Context) (uint64, error) { return b.cell.Head(), nil }

// TestBesideACell wires a projector as a node does: told of every block that is durable, and never waited for.
func TestBesideACell(t *testing.T) {
	log, system := &celltest.Memory{}, clock.NewSystem()
	var p *readmodel.Projector
	ready := make(chan struct{})
	c, err := cell.Open(t.Context(), cell.Options{
		ID: 1, Log: log, Clock: system, Incarnation: [16]byte{1}, HashKey: [2]uint64{1, 2},
		OnBlock: func(*journal.Block, int) {
			<-ready
			p.Notify()
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	p = readmodel.New(readmodel.Options{
		Cell: 1, Source: beside{log, c}, Clock: system,
		Open: func(ctx context.Context) (readmodel.Target, error) {
			return sqlite.Open(ctx, sqlite.Options{Path: filepath.Join(t.TempDir(), "r.db")})
		},
	})
	close(ready)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx) }()
	do := func(kind journal.Kind, events []byte) {
		t.Helper()
		r := &cell.Request{Kind: kind, Events: events, Results: make([]journal.Result, len(events)/journal.RecordSize)}
		if err := c.Do(ctx, r); err != nil {
			t.Fatal(err)
		}
	}
	do(journal.KindAccounts, journal.Bytes([]journal.Account{{ID: money.From(1), Asset: 1, Code: 1}, {ID: money.From(2), Asset: 1, Code: 1}}))
	for i := range uint64(20) {
		do(journal.KindTransfers, journal.Bytes([]journal.Transfer{{ID: money.From(i + 1), Debit: money.From(1), Credit: money.From(2), Amount: money.From(3), Asset: 1, Code: 1}}))
	}
	if err := p.Await(ctx, c.Head()); err != nil {
		t.Fatal(err)
	}
	if s := p.Status(); s.Stats.Transfers != 20 || s.Position.Seq != c.Head() {
		t.Errorf("the cell is at block %d; %+v", c.Head(), s)
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
