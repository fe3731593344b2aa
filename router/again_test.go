package router_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/sterlingrun/sterling/cell"
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/money"
	"github.com/sterlingrun/sterling/router"
)

// TestAPeerThatIsTheCellItself: the credit account came to the debit account's cell while the call was split. The caller
// sends the transfer again, to where it is then; the others of the call are made.
func TestAPeerThatIsTheCellItself(t *testing.T) {
	w := newWorld(t, 2)
	debit, credit, came := w.account(1, 0), w.account(2, 0), w.account(1, 0)
	results, err := w.cells[1].drives().Transfer(t.Context(), teller, []router.Crossing{
		{Transfer: transfer(1, debit, came, 5), Peer: 1},
		{Transfer: transfer(2, debit, credit, 7), Peer: 2},
	})
	again := (*router.AgainError)(nil)
	if !errors.As(err, &again) || !slices.Equal(again.Places, []int{0}) || results[1].Status != journal.Created {
		t.Fatalf("%v, %v", results, err)
	}
	w.quiet(0)
	w.expect(credit, 7, 0, 0)
	w.expect(came, 0, 0, 0)
}

// TestAHoldFindsOutThatTheAccountHasMoved: the driver does not wait until somebody else looks for a new map.
func TestAHoldFindsOutThatTheAccountHasMoved(t *testing.T) {
	w := newWorld(t, 3)
	var owner atomic.Uint64
	owner.Store(2)
	w.owner = func(money.U128) uint64 { return owner.Load() }
	w.refresh = func(context.Context) error { owner.Store(3); return nil }
	w.cells[1].takeover()
	debit, credit := w.account(1, 0), w.account(2, 0)
	w.wire = func(_, _ uint64, s *router.Steps, deliver func() ([]journal.Status, error)) ([]journal.Status, error) {
		if x, _ := journal.TransitOf(s.List[0].Details); x.Step == journal.TransitHold {
			return nil, fmt.Errorf("by cell 2: %w", cell.ErrMoved)
		}
		return deliver()
	}
	_, err := w.cells[1].drives().Transfer(t.Context(), teller, []router.Crossing{{Transfer: transfer(1, debit, credit, 5), Peer: 2}})
	if again := (*router.AgainError)(nil); !errors.As(err, &again) || owner.Load() != 3 {
		t.Fatalf("%v", err)
	}
	w.quiet(0)
	w.expect(debit, 0, 0, 0)
}
