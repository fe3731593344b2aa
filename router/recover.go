package router

import (
	"context"
	"fmt"
	"slices"

	"github.com/sterlingrun/sterling/clock"
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/ledger"
	"github.com/sterlingrun/sterling/money"
	"github.com/sterlingrun/sterling/transit"
)

// scan returns the reservations of transfers whose home is this cell: reserves, which nothing was decided about, and
// markers.
func (t *term) scan(ctx context.Context) (open []ledger.OpenPending, err error) {
	assets, through := t.local.Assets(), map[uint32]money.U128{}
	err = t.local.ScanPendings(ctx, func(p *ledger.OpenPending) {
		if !p.Flags.Has(journal.TransferHold) {
			return
		}
		x, known := through[p.Asset]
		if !known {
			x = transit.InTransit(assetOf(assets, p.Asset))
			through[p.Asset] = x
		}
		if p.Debit == x || p.Credit == x { // else it is a hold, which another cell decides about
			open = append(open, *p)
		}
	})
	return open, err
}

// recover goes on with what was open when this term began. Callers wait until all of it is known: a transfer that is sent
// again must not be tried a second time while the first try is undecided.
func (t *term) recover(open []ledger.OpenPending) {
	var undecided []*attempt
	for try := 0; ; try++ {
		var err error
		if undecided, err = t.resume(open); err == nil {
			break
		}
		t.opts.Logger.Warn("transfers to other cells that are open can't be read; it is tried again", "cell", t.opts.Cell, "error", err)
		if clock.Sleep(t.ctx, t.opts.Clock, pause(try)) != nil {
			return
		}
	}
	ids := make([]money.U128, len(undecided))
	all := make([]int, len(undecided))
	for i, a := range undecided {
		ids[i], all[i] = a.id(), i
	}
	mine, later, _ := t.claim(ids, all) // two attempts of one transfer: see below
	close(t.ready)
	if len(open) > 0 {
		t.opts.Logger.Info("transfers to other cells are taken up again", "cell", t.opts.Cell, "open", len(open), "undecided", len(undecided))
	}
	t.finish(pick(undecided, mine))
	for _, i := range mine {
		t.free(ids[i])
	}
	// A second attempt of the same transfer can be open only where a decision's answer was lost and the caller had sent it
	// again: the ledger refuses whichever comes last.
	t.finish(pick(undecided, later))
}

func pick(list []*attempt, places []int) []*attempt {
	part := make([]*attempt, len(places))
	for k, i := range places {
		part[k] = list[i]
	}
	return part
}

// resume reads what is open from the journal. Markers go their way at once.
func (t *term) resume(open []ledger.OpenPending) (undecided []*attempt, err error) {
	ids := make([]money.U128, len(open))
	for i := range open {
		ids[i] = open[i].ID
	}
	var recorded []ledger.Transfer
	for part := range slices.Chunk(ids, batchTransfers) { // there may be millions: others have their turn in between
		list, err := t.local.LookupTransfers(t.ctx, part)
		if err != nil {
			return nil, err
		}
		recorded = append(recorded, list...)
	}
	if len(recorded) != len(open) {
		return nil, fmt.Errorf("look up %d reservations: found %d", len(open), len(recorded))
	}
	list, todo := make([]*attempt, len(open)), make([]transit.Todo, len(open))
	for i := range recorded {
		if list[i], todo[i], err = resumed(t.opts.Cell, assetOf(t.local.Assets(), recorded[i].Asset), &open[i], &recorded[i]); err != nil {
			return nil, err
		}
	}
	t.mu.Lock()
	for i, a := range list { // by reserve, as those that begin here
		a.began = t.open[open[i].ID]
		delete(t.open, open[i].ID)
		t.open[a.Reserve] = a.began
	}
	t.mu.Unlock()
	for i, a := range list {
		switch todo[i] {
		case transit.Decide:
			t.stats.undecided.Add(1)
			undecided = append(undecided, a)
		case transit.Wait:
			t.await(a)
		case transit.Finish:
			t.lane(a.Peer).add(a)
		}
	}
	return undecided, nil
}

// finish brings attempts that were reserved to the decision.
func (t *term) finish(list []*attempt) {
	sizes := make([]int, len(list))
	for i, a := range list {
		sizes[i] = len((&journal.Details{BookingDate: a.Date, Metadata: a.Metadata}).Append(nil)) + transitRoom
	}
	for from := 0; from < len(list); {
		to := batchEnd(sizes, from)
		t.hold(driverActor, list[from:to])
		if err := t.decide(driverActor, list[from:to]); err != nil && t.ctx.Err() == nil {
			t.opts.Logger.Error("transfers to other cells stay undecided until the next leader", "cell", t.opts.Cell, "transfers", to-from, "error", err)
		}
		from = to
	}
}
