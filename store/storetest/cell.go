package storetest

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/sterlingrun/sterling/cell"
	"github.com/sterlingrun/sterling/clock"
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/money"
)

// Cell runs a ledger on an empty journal of cell 1, by three nodes that have nothing in common but the journal: open
// gives each its own way to it, snapshots an empty place for its snapshots. The second takes over while the first
// still leads, and the first must notice; the third replays what both did.
func Cell(t *testing.T, open func() cell.Log, snapshots func() cell.Snapshots) {
	t.Helper()
	node := func(incarnation byte) *cell.Cell {
		c, err := cell.Open(t.Context(), cell.Options{
			ID: 1, Log: open(), Snapshots: snapshots(), Clock: clock.NewSystem(), Incarnation: [16]byte{incarnation}, HashKey: [2]uint64{3, 5},
		})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	first := node(1)
	accounts := []journal.Account{{ID: money.From(1), Asset: 1, Code: 1}, {ID: money.From(2), Asset: 1, Code: 1}}
	must(t, do(first, journal.KindAccounts, accounts))
	var clients sync.WaitGroup
	for i := range uint64(4) {
		clients.Go(func() {
			for j := range uint64(25) {
				if err := do(first, journal.KindTransfers, transfers(100+25*i+j, 1)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	clients.Wait()
	second := node(2)
	must(t, do(second, journal.KindTransfers, transfers(1000, 500)))
	if err := do(first, journal.KindTransfers, transfers(2000, 1)); !errors.Is(err, cell.ErrOutcomeUnknown) {
		t.Errorf("a write to the deposed leader: error %v, want %v", err, cell.ErrOutcomeUnknown)
	}
	_ = first.Close() // its error is that it was deposed
	must(t, do(second, journal.KindTransfers, transfers(3000, 1)))
	must(t, second.Close())
	third := node(3)
	list, err := third.LookupAccounts(t.Context(), []money.U128{money.From(2)})
	if err != nil || len(list) != 1 || list[0].CreditsPosted != money.From(100+500+1) {
		t.Errorf("after both: %+v, error %v; want 601 posted", list, err)
	}
	must(t, third.Close())
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func transfers(id, amount uint64) []journal.Transfer {
	return []journal.Transfer{{ID: money.From(id), Debit: money.From(1), Credit: money.From(2), Amount: money.From(amount), Asset: 1, Code: 1}}
}

// do sends one request and wants every event created.
func do[T journal.Record](c *cell.Cell, kind journal.Kind, events []T) error {
	r := &cell.Request{Kind: kind, Events: journal.Bytes(events), Results: make([]journal.Result, len(events)), Actor: journal.Actor{1}}
	if err := c.Do(context.Background(), r); err != nil {
		return err
	}
	for _, result := range r.Results {
		if result.Status != journal.Created {
			return errors.New("a status of " + result.Status.Name(kind))
		}
	}
	return nil
}
