package router

import (
	"container/heap"
	"context"
	"time"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/money"
	"github.com/sterlingrun/sterling/transit"
)

// Ending is a caller's post or void of a two-phase transfer to another cell.
type Ending struct {
	Transfer journal.Transfer
	Details  journal.Details // its own: booking date and metadata
	Of       journal.Transit // the transfer that it ends
	Asset    money.Asset     // of that
}

// Settle has posts and voids of two-phase transfers recorded, and the other cells told. The results and errors are those
// of Transfer.
func (d *Driver) Settle(ctx context.Context, actor journal.Actor, list []Ending) ([]journal.Result, error) {
	for i := range list {
		if len(list[i].Details.Append(nil))+transitRoom > journal.MaxDetails {
			return nil, tooMuch(i)
		}
	}
	t, err := d.enter(ctx)
	if err != nil {
		return nil, err
	}
	var results []journal.Result
	err = t.work(ctx, func() error {
		for from := 0; from < len(list); from += batchTransfers / 4 { // each may have details of journal.MaxDetails
			part := list[from:min(from+batchTransfers/4, len(list))]
			var b batch
			for i := range part {
				b.add(transit.End(&part[i].Transfer, part[i].Details, part[i].Of, part[i].Asset))
			}
			done, err := t.do(actor, &b)
			if err != nil {
				return err
			}
			for i := range part {
				if done[i].Status == journal.Created {
					t.resolved(part[i].Of.Transfer)
				}
			}
			results = append(results, done...)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return results, nil
}

// await keeps a two-phase transfer in mind until it has ended.
func (t *term) await(a *attempt) {
	t.mu.Lock()
	early := t.early[a.id()]
	delete(t.early, a.id())
	delete(t.open, a.Reserve)
	t.waiting[a.id()] = a
	if t.expiries.add(a); a.place == 1 {
		t.poke()
	}
	t.mu.Unlock()
	if early {
		t.look(a.id())
	}
}

// resolved has a two-phase transfer looked at that was posted or voided. That can come before the answer of the decision
// that made it: then await looks.
func (t *term) resolved(id money.U128) {
	t.mu.Lock()
	early := t.waiting[id] == nil
	if early {
		t.early[id] = true
	}
	t.mu.Unlock()
	if !early {
		t.look(id)
	}
}

// lookSoon has a transfer looked at again, since that could not be done now.
func (t *term) lookSoon(a *attempt) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.waiting[a.id()] != a {
		return
	}
	t.expiries.drop(a)
	a.expires = t.opts.Clock.Wall()
	t.expiries.add(a)
	t.poke()
}

func (t *term) poke() {
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

// look sees whether a two-phase transfer has ended, and hands it over if so.
func (t *term) look(id money.U128) {
	t.mu.Lock()
	a := t.waiting[id]
	t.mu.Unlock()
	if a == nil {
		return
	}
	marker, open, err := t.local.OpenPending(t.ctx, a.MarkerID())
	if err != nil {
		t.lookSoon(a)
	}
	if err != nil || open && !marker.Ended {
		return
	}
	t.mu.Lock()
	mine := t.waiting[id] == a
	if mine {
		delete(t.waiting, id)
		t.expiries.drop(a)
	}
	if mine && open {
		t.open[a.Reserve] = a.began
	}
	t.mu.Unlock()
	if mine && open {
		a.posted = marker.Posted
		t.lane(a.Peer).add(a)
	}
}

// lookAgain is how long after a transfer is due, by this machine's clock, it is looked at: the ledger has its own time.
const lookAgain = 100 * time.Millisecond

// watchExpiries looks at two-phase transfers when they are due: nobody tells that one has expired.
func (t *term) watchExpiries() {
	for t.ctx.Err() == nil {
		t.mu.Lock()
		next := t.expiries.next()
		t.mu.Unlock()
		var fired <-chan time.Time
		stop := func() {}
		if next != 0 {
			wait := time.Duration(next) - time.Duration(t.opts.Clock.Wall()) //nolint:gosec // until the year 2262
			fired, stop = t.opts.Clock.After(max(wait, 0) + lookAgain)
		}
		select {
		case <-fired:
			for _, id := range t.due() {
				t.look(id)
			}
		case <-t.wake:
		case <-t.ctx.Done():
		}
		stop()
	}
}

// due returns the transfers that should have expired by now; those that have not are due again.
func (t *term) due() (ids []money.U128) {
	now := t.opts.Clock.Wall()
	t.mu.Lock()
	defer t.mu.Unlock()
	var list []*attempt
	for len(t.expiries) > 0 && t.expiries.next() <= now {
		list = append(list, heap.Pop(&t.expiries).(*attempt))
	}
	for _, a := range list {
		a.expires = now + 1
		t.expiries.add(a)
		ids = append(ids, a.id())
	}
	return ids
}
