package router_test

import (
	"errors"
	"sync"
	"testing"

	"github.com/sterlingrun/sterling/cell"
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/money"
	"github.com/sterlingrun/sterling/router"
	"github.com/sterlingrun/sterling/transit"
)

// TestADecisionThatWasMadeBefore: a driver that finds one of its attempts decided decides the others of the batch all the
// same. What the one came to, the next leader reads from the marker.
func TestADecisionThatWasMadeBefore(t *testing.T) {
	w := newWorld(t, 2)
	debit, credit := w.account(1, 0), w.account(2, 0)
	c, _ := w.cells[1].current()
	var once sync.Once
	w.wire = func(_, _ uint64, s *router.Steps, deliver func() ([]journal.Status, error)) ([]journal.Status, error) {
		once.Do(func() { w.abort(c, s.List[0].Details) })
		return deliver()
	}
	one, two := transfer(1, debit, credit, 50), transfer(2, debit, credit, 5)
	if results, err := w.send(one, two); !errors.Is(err, cell.ErrOutcomeUnknown) {
		t.Fatalf("%v, %v", results, err)
	}
	w.cells[1].takeover()
	w.quiet(0)
	w.expect(credit, 5, 0, 0)
	if got := w.must(one, two); got[0] != journal.Created || got[1] != journal.TransferExists {
		t.Fatalf("sent again: %v", got)
	}
	w.quiet(0)
	w.expect(debit, -55, 0, 0)
	w.expect(credit, 55, 0, 0)
}

// abort decides against the attempt that a hold is of.
func (w *world) abort(c *cell.Cell, details []byte) {
	x, _ := journal.TransitOf(details)
	list, err := c.LookupTransfers(w.t.Context(), []money.U128{x.Reserve})
	if err != nil || len(list) != 1 {
		w.t.Errorf("look up reserve %v: %v, %v", x.Reserve, list, err)
		return
	}
	r, err := transit.Resume(1, cny, &transit.Open{Record: list[0].Transfer, Attached: []byte(list[0].Attachment)})
	if err != nil {
		w.t.Error(err)
		return
	}
	request := &cell.Request{Kind: journal.KindTransfers, Results: make([]journal.Result, 2)}
	var events []journal.Transfer
	for i, e := range r.Abort(0) {
		events = append(events, e.Transfer)
		request.Attachments = append(request.Attachments, journal.Attachment{Event: i, Data: e.Attached})
	}
	request.Events = journal.Bytes(events)
	if err := c.Do(w.t.Context(), request); err != nil || request.Results[1].Status != journal.Created {
		w.t.Errorf("abort: %v, %v", request.Results, err)
	}
}
