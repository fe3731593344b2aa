package router_test

import (
	"fmt"
	"sync"
	"testing"

	"github.com/sterlingrun/sterling/cell"
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/money"
	"github.com/sterlingrun/sterling/router"
	"github.com/sterlingrun/sterling/transit"
)

// TestIdsThatAreTaken: whoever sees the reserve can derive the ids of all that follows. Taking one, for a transfer or by
// burning it, holds up neither that transfer nor another one, in this term or the next.
func TestIdsThatAreTaken(t *testing.T) {
	const fence = journal.TransferVoid | journal.TransferFence
	for _, step := range []journal.TransitStep{journal.TransitHold, journal.TransitDecide, journal.TransitMarker, journal.TransitConfirm, journal.TransitSettle} {
		for _, burn := range []bool{false, true} {
			for _, flags := range []journal.TransferFlags{0, journal.TransferPending} {
				t.Run(fmt.Sprintf("step %d, burned %v, flags %d", step, burn, flags), func(t *testing.T) {
					w := newWorld(t, 2)
					debit, credit, refusing := w.account(1, 0), w.account(2, 0), w.account(2, journal.AccountCreditsMustNotExceedDebits)
					in, of := uint64(1), debit
					if step == journal.TransitHold || step == journal.TransitConfirm {
						in, of = 2, credit
					}
					other := w.account(in, 0)
					thief, _ := w.cells[in].current()
					var once sync.Once
					w.wire = func(_, _ uint64, s *router.Steps, deliver func() ([]journal.Status, error)) ([]journal.Status, error) {
						once.Do(func() {
							for i := range s.List {
								w.take(thief, s.List[i].Details, step, burn, fence, journal.Transfer{Debit: other, Credit: of, Asset: 1, Code: 1})
							}
						})
						return deliver()
					}
					one, two := transfer(1, debit, credit, 50), transfer(2, debit, refusing, 5)
					one.Flags = flags
					results, err := w.send(one, two)
					if step == journal.TransitHold {
						if err == nil {
							t.Fatalf("%v: want one to be sent again", results)
						}
						results, err = w.send(one, two)
					}
					if err != nil || results[0].Status != journal.Created || results[1].Status != journal.TransferExceedsDebits {
						t.Fatalf("%v, %v", results, err)
					}
					if flags == journal.TransferPending {
						w.quiet(1)
						w.cells[1].takeover()
						ending := w.ending(t, one, journal.Transfer{ID: money.From(9), PendingID: one.ID, Flags: journal.TransferPost, Amount: money.Max()})
						if results, err := w.cells[1].drives().Settle(t.Context(), teller, []router.Ending{ending}); err != nil || results[0].Status != journal.Created {
							t.Fatalf("%v, %v", results, err)
						}
					}
					w.quiet(0)
					w.expect(debit, -50, 0, 0)
					w.expect(credit, 50, 0, 0)
				})
			}
		}
	}
}

// take uses or burns the id of a step before the driver does.
func (w *world) take(c *cell.Cell, details []byte, step journal.TransitStep, burn bool, fence journal.TransferFlags, t journal.Transfer) {
	x, _ := journal.TransitOf(details)
	t.ID = transit.ID(x.Reserve, step)
	want := journal.Created
	if burn {
		t = journal.Transfer{ID: money.U128{Lo: t.ID.Lo ^ 1, Hi: t.ID.Hi}, PendingID: t.ID, Flags: fence}
		want = journal.TransferPendingTransferNotFound
	}
	if got := w.local(c, t); got != want {
		w.t.Errorf("take an id: %v", got)
	}
}

// TestAPlaceholderThatIsTaken: a caller's account that has the id of an address's placeholder keeps that address from being
// claimed, and none of the others of the call.
func TestAPlaceholderThatIsTaken(t *testing.T) {
	w := newWorld(t, 1)
	c, _ := w.cells[1].current()
	w.open(c, journal.Account{ID: router.Placeholder("m:1"), UserData128: money.From(7), Asset: 1, Code: 1})
	claims := []router.Claim{{Address: "m:1", Account: money.From(7), Asset: 1}, {Address: "m:2", Account: money.From(7), Asset: 1}}
	if taken, err := router.ClaimAddresses(t.Context(), c, claims); err != nil || !taken[0] || taken[1] {
		t.Errorf("%v, %v", taken, err)
	}
}
