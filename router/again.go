package router

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/sterlingrun/sterling/cell"
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/ledger"
	"github.com/sterlingrun/sterling/money"
	"github.com/sterlingrun/sterling/transit"
)

// AgainError names transfers of a call that were not done, and whose ids were not burned, since an account of them moves
// to another cell, or has moved. They can be sent again, to where the accounts are then. It is cell.ErrMoving.
type AgainError struct {
	Places []int // in the call, ascending
}

// Error implements error.
func (e *AgainError) Error() string {
	return fmt.Sprintf("%d transfers of the call: %v", len(e.Places), cell.ErrMoving)
}

// Is makes it cell.ErrMoving.
func (e *AgainError) Is(target error) bool { return target == cell.ErrMoving }

func (e *AgainError) add(from int, places []int) {
	for _, i := range places {
		e.Places = append(e.Places, from+i)
	}
}

func (e *AgainError) addAll(from, n int) {
	for i := range n {
		e.Places = append(e.Places, from+i)
	}
}

// orNil is e if it names any.
func (e *AgainError) orNil() error {
	if len(e.Places) == 0 {
		return nil
	}
	slices.Sort(e.Places)
	return e
}

// moving tells of a request that was refused whole, since a bucket moves or has moved.
func moving(err error) bool { return errors.Is(err, cell.ErrMoving) || errors.Is(err, cell.ErrMoved) }

// peerOf is the cell that has the credit account of an attempt now: not the one that it had when it began, where the
// account has moved since.
func (t *term) peerOf(a *attempt) uint64 {
	if t.opts.Owner == nil {
		return a.Peer
	}
	return t.opts.Owner(a.Asked.Credit)
}

// Rescan takes up what came to the cell with a bucket: transfers to other cells that are pending, with their markers; and
// forgets those that have left with one. It does nothing where the node does not lead.
func (d *Driver) Rescan(ctx context.Context) error {
	t := d.term.Load()
	if t == nil {
		return nil
	}
	open, err := t.scan(ctx)
	if err != nil {
		return fmt.Errorf("look for transfers to other cells that have moved: %w", err)
	}
	there := make(map[money.U128]bool, len(open))
	for i := range open {
		there[open[i].ID] = true
	}
	known, left := map[money.U128]bool{}, []money.U128{}
	t.mu.Lock()
	for r := range t.open {
		known[transit.ID(r, journal.TransitMarker)] = true
	}
	for id, a := range t.waiting {
		if known[a.MarkerID()] = true; !there[a.MarkerID()] {
			left = append(left, id)
		}
	}
	t.mu.Unlock()
	var fresh []ledger.OpenPending
	for i := range open {
		if p := &open[i]; p.Debit == transit.InTransit(assetOf(t.local.Assets(), p.Asset)) && !known[p.ID] { // a reserve never moves
			fresh = append(fresh, *p)
		}
	}
	for _, id := range left {
		t.look(id)
	}
	if len(fresh) == 0 {
		return nil
	}
	t.mu.Lock()
	for i := range fresh {
		t.open[fresh[i].ID] = fresh[i].Timestamp
	}
	t.mu.Unlock()
	_, err = t.resume(fresh)
	return err
}
