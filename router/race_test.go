package router_test

import (
	"context"
	"errors"
	"testing"

	"github.com/sterlingrun/sterling/cell"
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/money"
	"github.com/sterlingrun/sterling/router"
)

// hooked is a cell that calls a test back between what it has recorded and the answer.
type hooked struct {
	*cell.Cell
	recorded func(events []journal.Transfer)
}

func (h hooked) Do(ctx context.Context, r *cell.Request) error {
	err := h.Cell.Do(ctx, r)
	if err == nil && r.Kind == journal.KindTransfers {
		h.recorded(journal.View[journal.Transfer](r.Events))
	}
	return err
}

// TestPostedBeforeItsDriverLooks: a two-phase transfer can be seen, and posted, as soon as it is durable: before the driver
// that made it gets to know that.
func TestPostedBeforeItsDriverLooks(t *testing.T) {
	w := newWorld(t, 2)
	debit, credit := w.account(1, 0), w.account(2, 0)
	pending := transfer(1, debit, credit, 50)
	pending.Flags = journal.TransferPending
	m := w.cells[1]
	led, _ := m.current()
	err := m.drives().Lead(t.Context(), hooked{led, func(events []journal.Transfer) {
		if len(events) != 3 || events[2].ID != pending.ID {
			return
		}
		ending := w.ending(t, pending, journal.Transfer{ID: money.From(9), PendingID: pending.ID, Flags: journal.TransferPost, Amount: money.From(20)})
		if results, err := m.drives().Settle(t.Context(), teller, []router.Ending{ending}); err != nil || results[0].Status != journal.Created {
			t.Errorf("%v, %v", results, err)
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	if got := w.must(pending); got[0] != journal.Created {
		t.Fatal(got)
	}
	w.quiet(0)
	w.expect(debit, -20, 0, 0)
	w.expect(credit, 20, 0, 0)
}

// TestTheLargestAmount leaves room in the accounts that all transfers of an asset pass through.
func TestTheLargestAmount(t *testing.T) {
	w := newWorld(t, 2)
	debit, credit := w.account(1, 0), w.account(2, 0)
	largest := transfer(1, debit, credit, 0)
	largest.Amount = money.U128{Hi: 1<<32 - 1, Lo: 1<<64 - 1}
	again := largest
	again.ID = money.From(2)
	if _, err := router.NewRouter(1, w.m).Split(t.Context(), []journal.Transfer{largest, again}, nil); err != nil {
		t.Error(err)
	}
	if got := w.must(largest, again, transfer(3, debit, credit, 5)); got[0] != journal.Created || got[1] != journal.Created || got[2] != journal.Created {
		t.Error(got)
	}
	w.quiet(0)
}

// stuck is a cell that takes no decision any more.
type stuck struct {
	*cell.Cell
	asked chan struct{}
}

func (c stuck) Do(ctx context.Context, r *cell.Request) error {
	if r.Kind == journal.KindTransfers && len(r.Results) == 3 {
		close(c.asked)
		<-ctx.Done()
		return ctx.Err() // it was withdrawn from the queue
	}
	return c.Cell.Do(ctx, r)
}

// TestStandingDownInTheMiddle: what is reserved is decided by the next leader, so the caller must not take it for refused,
// nor for cancelled by itself.
func TestStandingDownInTheMiddle(t *testing.T) {
	w := newWorld(t, 2)
	debit, credit := w.account(1, 0), w.account(2, 0)
	led, _ := w.cells[1].current()
	driver, c := w.cells[1].drives(), stuck{led, make(chan struct{})}
	if err := driver.Lead(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	failed, one := make(chan error, 1), transfer(1, debit, credit, 5)
	go func() {
		_, err := w.send(one)
		failed <- err
	}()
	<-c.asked
	driver.Stand()
	if err := <-failed; !errors.Is(err, cell.ErrOutcomeUnknown) {
		t.Errorf("error %v", err)
	}
	if err := driver.Lead(t.Context(), led); err != nil {
		t.Fatal(err)
	}
	if got := w.must(one); got[0] != journal.TransferExists {
		t.Errorf("sent again: %v", got)
	}
	w.quiet(0)
	w.expect(credit, 5, 0, 0)
}
