package router

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/sterlingrun/sterling/cell"
	"github.com/sterlingrun/sterling/clock"
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/ledger"
	"github.com/sterlingrun/sterling/money"
	"github.com/sterlingrun/sterling/transit"
)

// Crossing is a transfer from an account of the driver's cell to one of another cell, as a caller asked for it.
type Crossing struct {
	Transfer journal.Transfer
	Details  journal.Details // booking date and metadata
	Peer     uint64          // the cell of the credit account
}

// Events of a decision.
const (
	commitSteps = 3
	abortSteps  = 2
)

// transitRoom is what a transfer's details grow by on its way.
const transitRoom = 128

// Bounds of what is recorded at once: three records and two attachments each have to fit a block.
const (
	batchTransfers = 1024
	batchBytes     = 1 << 20
)

// Transfer brings transfers of one caller about, and returns a result for each, in order: what the ledger of a single cell
// would answer. The same id at the same time is worked on once; the others wait. With an AgainError, the results of those
// that it does not name stand. Except for that, ErrIdle and a RefusedError, an error means that the outcome is unknown, and
// that the same transfers can be sent again.
func (d *Driver) Transfer(ctx context.Context, actor journal.Actor, list []Crossing) ([]journal.Result, error) {
	sizes := make([]int, len(list))
	for i := range list {
		if sizes[i] = len(list[i].Details.Append(nil)) + transitRoom; sizes[i] > journal.MaxDetails {
			return nil, tooMuch(i)
		}
	}
	t, err := d.enter(ctx)
	if err != nil {
		return nil, err
	}
	results := make([]journal.Result, len(list))
	var again AgainError
	err = t.work(ctx, func() error {
		var unanswered error
		for from := 0; from < len(list); {
			to := batchEnd(sizes, from)
			places, err := t.transfer(actor, list[from:to], results[from:to])
			again.add(from, places)
			if err != nil && !errors.Is(err, ErrPeer) {
				return err
			}
			unanswered = errors.Join(unanswered, err)
			from = to
		}
		return unanswered
	})
	if err != nil {
		return nil, err
	}
	return results, again.orNil()
}

func tooMuch(i int) error {
	return refuse(i, "its metadata has too many bytes for a transfer to another cell: %d at most", journal.MaxDetails-transitRoom)
}

// batchEnd returns where the batch that begins at from ends, of transfers with details of these sizes.
func batchEnd(sizes []int, from int) int {
	size, to := 0, from
	for ; to < len(sizes) && to-from < batchTransfers && size < batchBytes; to++ {
		size += 3*(journal.RecordSize+journal.OutcomeSize) + 2*(journal.AttachmentSize+sizes[to])
	}
	return to
}

// transfer is Transfer for a batch. It returns the places of those that are to be sent again since a bucket moves.
func (t *term) transfer(actor journal.Actor, list []Crossing, results []journal.Result) (again []int, err error) {
	ids := make([]money.U128, len(list))
	for i := range list {
		ids[i] = list[i].Transfer.ID
	}
	var unanswered error
	err = t.inTurns(ids, func(places []int) error {
		mine := make([]*attempt, len(places))
		for k, i := range places {
			a, err := t.begin(&list[i])
			if err != nil {
				return err
			}
			mine[k] = a
		}
		if err := t.bringAbout(actor, mine); err != nil {
			return err
		}
		for k, i := range places {
			switch results[i] = mine[k].result; {
			case mine[k].moved:
				again = append(again, i)
			case mine[k].unanswered:
				unanswered = fmt.Errorf("reserve in cell %d: %w", list[i].Peer, ErrPeer)
			}
		}
		return nil
	})
	return again, errors.Join(err, unanswered)
}

// begin makes a new attempt.
func (t *term) begin(c *Crossing) (*attempt, error) {
	r, err := t.fresh()
	if err != nil {
		return nil, err
	}
	asset, known := t.local.Assets().Asset(c.Transfer.Asset)
	if !known { // the reserve is refused for it, whatever else is wrong with it
		asset, _ = t.local.Assets().Asset(1)
	}
	return &attempt{Attempt: transit.Attempt{
		Asked: c.Transfer, Date: c.Details.BookingDate, Metadata: c.Details.Metadata, Asset: asset, Home: t.opts.Cell, Peer: c.Peer, Reserve: r,
	}}, nil
}

// bringAbout takes attempts from nothing to the decision.
func (t *term) bringAbout(actor journal.Actor, list []*attempt) error {
	assets := t.local.Assets()
	var pairs []pair
	for _, a := range list {
		if a.Peer != t.opts.Cell {
			pairs = append(pairs, pair{a.Asset, a.Peer})
		}
	}
	if err := t.known.ensure(t.ctx, t.local, assets.Number, pairs); err != nil {
		return err
	}
	ids := make([]money.U128, len(list))
	for i, a := range list {
		ids[i] = a.id()
	}
	recorded, err := t.local.LookupTransfers(t.ctx, ids)
	if err != nil {
		return err
	}
	exists := make(map[money.U128]*ledger.Transfer, len(recorded))
	for i := range recorded {
		exists[recorded[i].ID] = &recorded[i]
	}
	var again, fresh, reserved []*attempt
	for _, a := range list {
		was := exists[a.id()]
		if was == nil {
			fresh = append(fresh, a)
			continue
		}
		if x, crossed := journal.TransitOf([]byte(was.Attachment)); crossed { // what is sent again is the same attempt
			a.Reserve, a.Peer = x.Reserve, x.Peer
		}
		again = append(again, a)
	}
	if err := t.each(actor, again, (*attempt).Transfer); err != nil { // the ledger says whether it is the same
		return err
	}
	fresh = slices.DeleteFunc(fresh, func(a *attempt) bool {
		a.moved = a.Peer == t.opts.Cell // its account came here while the call was split
		return a.moved
	})
	fresh = t.reachable(fresh)
	if err := t.each(actor, fresh, (*attempt).Reserved); err != nil {
		return err
	}
	for _, a := range fresh {
		if a.result.Status == journal.Created && !a.moved {
			t.begun(a)
			reserved = append(reserved, a)
		}
	}
	t.hold(actor, reserved)
	return t.decide(actor, reserved)
}

// each has one event recorded for each attempt, and keeps the results. Where one is of a bucket that moves, or has moved,
// none is recorded.
func (t *term) each(actor journal.Actor, list []*attempt, event func(*attempt) transit.Event) error {
	if len(list) == 0 {
		return nil
	}
	var b batch
	for _, a := range list {
		b.add(event(a))
	}
	results, err := t.do(actor, &b)
	if moving(err) {
		for _, a := range list {
			a.moved = true
		}
		return nil
	}
	if err != nil {
		return err
	}
	for i, a := range list {
		a.result = results[i]
	}
	return nil
}

// hold has the other cells reserve. A peer that does not answer in time has its transfers given up.
func (t *term) hold(actor journal.Actor, list []*attempt) {
	if len(list) == 0 {
		return
	}
	ctx, cancel := clock.Within(t.ctx, t.opts.Clock, t.opts.HoldPatience)
	defer cancel()
	var group sync.WaitGroup
	for peer, part := range byPeer(list) {
		group.Go(func() {
			steps := &Steps{Home: t.opts.Cell, Actor: actor}
			for _, a := range part {
				e := a.Hold(0)
				steps.List = append(steps.List, Step{e.Transfer, e.Attached, a.Asset})
			}
			statuses, err := t.submit(ctx, peer, steps, part)
			if !moving(err) {
				t.heard(peer, err)
			}
			for i, a := range part {
				switch {
				case moving(err):
					a.moved = true
				case err != nil:
					a.unanswered = true
				case transit.Held(statuses[i]):
					a.held = true
				default:
					a.refusal = statuses[i]
				}
			}
		})
	}
	group.Wait()
}

// submit sends the steps of attempts until they are answered or ctx ends: each can be sent any number of times. It gives
// up at once where one of them is another cell's now.
func (t *term) submit(ctx context.Context, peer uint64, s *Steps, list []*attempt) ([]journal.Status, error) {
	for try := 0; ; try++ {
		statuses, err := t.opts.Peers.Submit(ctx, peer, s)
		if err == nil && len(statuses) != len(s.List) {
			err = fmt.Errorf("cell %d answered %d steps with %d statuses", peer, len(s.List), len(statuses))
		}
		if err == nil {
			return statuses, nil
		}
		if moving(err) && t.opts.Refresh != nil {
			if refreshed := t.opts.Refresh(ctx); refreshed != nil {
				t.opts.Logger.Warn("the map of cells can't be read", "error", refreshed)
			}
		}
		left := moving(err) && slices.ContainsFunc(list, func(a *attempt) bool { return t.peerOf(a) != peer })
		if left || clock.Sleep(ctx, t.opts.Clock, pause(try)) != nil {
			return nil, fmt.Errorf("submit %d steps to cell %d: %w", len(s.List), peer, err)
		}
	}
}

// decide has the home cell decide about what was reserved: one chain for each, which either makes the transfer or gives
// it up. From then on it is certain what will become of it on both sides.
func (t *term) decide(actor journal.Actor, list []*attempt) error {
	var refused []*attempt
	var b batch
	for _, a := range list {
		if a.held {
			b.add(a.Commit()...)
		} else {
			refused = append(refused, a)
		}
	}
	results, err := t.untilDone(actor, &b)
	if err != nil {
		return err
	}
	for _, a := range list {
		if !a.held {
			continue
		}
		var chain []journal.Result
		chain, results = results[:commitSteps], results[commitSteps:]
		decision, status := transit.Decided(chain)
		switch a.result = chain[commitSteps-1]; decision {
		case transit.Made:
			a.committed = true
			t.stats.committed.Add(1)
			a.pendingFrom(a.result.Timestamp)
			t.decided(a)
		case transit.Refused:
			a.refusal = status
			refused = append(refused, a)
		default: // the others are decided all the same
			err = errors.Join(err, t.contradicted(a))
		}
	}
	return errors.Join(err, t.abort(actor, refused))
}

// abort gives attempts up.
func (t *term) abort(actor journal.Actor, list []*attempt) error {
	var b batch
	for _, a := range list {
		b.add(a.Abort(a.refusal)...)
	}
	results, err := t.untilDone(actor, &b)
	if err != nil {
		return err
	}
	for i, a := range list {
		chain := results[abortSteps*i : abortSteps*(i+1)]
		if decision, _ := transit.Decided(chain); decision != transit.Made { // the others are decided all the same
			err = errors.Join(err, t.contradicted(a))
			continue
		}
		t.stats.aborted.Add(1)
		if a.unanswered = a.refusal == 0 && !a.moved; a.refusal != 0 {
			if a.result.Status != a.refusal { // the peer's
				a.result = journal.Result{Status: a.refusal, Timestamp: chain[abortSteps-1].Timestamp}
			}
		}
		t.decided(a)
	}
	return err
}

// decided hands an attempt over to whoever brings it to its end, which no caller waits for.
func (t *term) decided(a *attempt) {
	t.stats.undecided.Add(-1)
	if a.committed && a.Asked.Flags.Has(journal.TransferPending) {
		t.await(a)
		return
	}
	if a.committed {
		a.posted = a.Asked.Amount
	}
	t.lane(t.peerOf(a)).add(a)
}

// contradicted is a decision about what was decided before: only a leader decides, and one that was deposed can't.
func (t *term) contradicted(a *attempt) error {
	return fmt.Errorf("decide about transfer %v, attempt %v: it was decided before: %w", a.id(), a.Reserve, cell.ErrOutcomeUnknown)
}

// untilDone is do, again and again while the cell takes no writes: what is reserved must be decided.
func (t *term) untilDone(actor journal.Actor, b *batch) ([]journal.Result, error) {
	if len(b.events) == 0 {
		return nil, nil
	}
	for try := 0; ; try++ {
		results, err := t.do(actor, b)
		if !errors.Is(err, cell.ErrOverloaded) && !errors.Is(err, cell.ErrFull) && !errors.Is(err, cell.ErrClockHeld) {
			return results, err
		}
		if clock.Sleep(t.ctx, t.opts.Clock, pause(try)) != nil {
			return nil, fmt.Errorf("%w: %w", cell.ErrOutcomeUnknown, err)
		}
	}
}

// pause grows from 10 ms to 2 s.
func pause(try int) time.Duration { return min(10*time.Millisecond<<min(try, 10), 2*time.Second) }

func byPeer(list []*attempt) map[uint64][]*attempt {
	parts := map[uint64][]*attempt{}
	for _, a := range list {
		parts[a.Peer] = append(parts[a.Peer], a)
	}
	return parts
}

func assetOf(c *ledger.Catalogue, n uint32) money.Asset {
	a, _ := c.Asset(n)
	return a
}
