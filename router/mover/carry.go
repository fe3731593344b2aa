package mover

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/ledger"
	"github.com/sterlingrun/sterling/money"
	"github.com/sterlingrun/sterling/router"
	"github.com/sterlingrun/sterling/transit"
)

// Bounds of what is carried at once: a request has to fit a block of the taker.
const (
	batchEvents = 4096
	batchBytes  = 1 << 20
)

// carrier carries the ids of buckets to the taker: all that the giver's journal knows of, in its order. It goes by the
// journal's blocks, and may be begun anew at any of them: what the taker knows already changes nothing there.
type carrier struct {
	*term
	to    uint64
	actor journal.Actor
	of    [router.Buckets]bool
	// through is the last block that was read; its ids may still be in the batch.
	through uint64
	// whole tells that the blocks were read from the first on: then open has all open reservations of the buckets.
	whole bool
	open  map[money.U128]*reservation

	cleared map[uint32]bool // assets, by number, whose clearing accounts with the taker are there

	batch    events
	round    int // batches that were sent
	progress func(through, head, ids uint64)
}

// reservation is one of the buckets' that was open when the block that is read now was made.
type reservation struct {
	fact      ledger.Fact
	remaining money.U128
	round, at int // where it stands in the batch, if that is not sent yet
}

// ConflictError is an id of a transfer that the taker knows as something else: ids are unique per cell, and two cells
// have used the same. The bucket can't move to that cell.
type ConflictError struct {
	ID     money.U128
	To     uint64
	Status journal.Status
}

// Error implements error.
func (e *ConflictError) Error() string {
	return fmt.Sprintf("cell %d knows id %v as something else (%s): the bucket can't move there", e.To, e.ID, e.Status.Name(journal.KindCarry))
}

// newCarrier returns a carrier that begins with a block.
func newCarrier(t *term, to uint64, actor journal.Actor, buckets []uint16, from uint64) *carrier {
	c := &carrier{term: t, to: to, actor: actor, through: from - 1, whole: from == 1, open: map[money.U128]*reservation{}, cleared: map[uint32]bool{}, progress: func(uint64, uint64, uint64) {}}
	for _, b := range buckets {
		c.of[b] = true
	}
	return c
}

// How much may be left to carry when a bucket is closed: so many blocks, or those that were made while others were carried
// for so long.
const (
	shortTail  = 16
	shortRound = 10 * time.Millisecond
)

// catchUp carries until only the newest blocks are left, while more are made.
func (c *carrier) catchUp(ctx context.Context, quit <-chan struct{}) error {
	for {
		head, began := c.local.Head(), c.opts.Clock.Mono()
		if err := c.carry(ctx, head, quit); err != nil {
			return err
		}
		if c.local.Head()-head <= shortTail || c.opts.Clock.Mono()-began < uint64(shortRound) {
			return nil
		}
	}
}

// carry carries what stands up to a block, which must be durable.
func (c *carrier) carry(ctx context.Context, to uint64, quit <-chan struct{}) error {
	err := c.local.Blocks(ctx, c.through+1, to, func(k *journal.Block) error {
		select {
		case <-quit:
			return errStopped
		default:
		}
		if err := c.block(ctx, k); err != nil {
			return err
		}
		c.through = k.Header.Seq
		if c.through%256 == 0 {
			c.progress(c.through, to, 0)
		}
		return nil
	})
	if err == nil {
		err = c.flush(ctx)
	}
	if err == nil {
		c.progress(c.through, to, 0)
	}
	return err
}

// block carries what a block has: first what expired, then its events.
func (c *carrier) block(ctx context.Context, k *journal.Block) error {
	for i := range k.Expiries {
		if err := c.end(ctx, k.Expiries[i].Pending, journal.StandingExpired); err != nil {
			return err
		}
	}
	for part := range k.Parts() {
		switch part.Kind {
		case journal.KindTransfers, journal.KindMetadata, journal.KindTransaction, journal.KindCarry:
		default:
			continue
		}
		for i := part.First; i < part.First+part.Count; i++ {
			if err := c.event(ctx, k, part.Kind, i); err != nil {
				return err
			}
		}
	}
	return nil
}

// event carries one event, if it made an id known that belongs to the buckets.
func (c *carrier) event(ctx context.Context, k *journal.Block, kind journal.Kind, i int) error {
	o, carried := k.Outcome(i), journal.Carried{}
	if kind == journal.KindCarry {
		if carried, _, _ = journal.CarriedOf(k.Attachment(i)); o != nil && o.Status != journal.Created {
			return nil
		}
		if carried.Standing == journal.StandingLeaves { // it is open elsewhere now; its record has been carried before
			delete(c.open, k.Transfer(i).ID)
			return nil
		}
	}
	f := factOf(k, i)
	if f.Status != journal.Created && !f.Status.Transient() {
		return nil
	}
	of, outside, err := c.origin(ctx, k, kind, i, &f)
	if err != nil || outside {
		return err
	}
	if bucket, everywhere := ledger.Home(&f, of); !everywhere && !c.of[bucket] {
		return nil
	}
	f.Attachment = slices.Clone(f.Attachment) // the block's memory is used again
	opened := carried.Standing >= journal.StandingArrives || kind != journal.KindCarry
	standing := carried.Standing
	if opened {
		standing = journal.StandingOpen
	}
	if err := c.add(ctx, &f, standing); err != nil || f.Status != journal.Created {
		return err
	}
	switch flags := f.Asked.Flags; {
	case opened && flags&(journal.TransferPending|journal.TransferHead) == journal.TransferPending:
		r := &reservation{fact: f, remaining: f.Amount, round: c.round, at: len(c.batch.list) - 1}
		if kind == journal.KindCarry {
			r.remaining = carried.Remaining
		}
		c.open[f.Asked.ID] = r
	case kind != journal.KindCarry && flags.Has(journal.TransferPost|journal.TransferVoid):
		return c.resolved(ctx, &f)
	}
	return nil
}

// factOf reads event i of a block. It shares the block's memory.
func factOf(k *journal.Block, i int) ledger.Fact {
	return ledger.NewFact(k.Transfer(i), k.Outcome(i), k.Attachment(i), k.Header.Time+uint64(len(k.Expiries)+i)) //nolint:gosec // small
}

// origin is the event that tells the home of another one: the reservation of a post or void, the first leg of a
// transaction; nil where none does. Outside is true where that is of none of the buckets.
func (c *carrier) origin(ctx context.Context, k *journal.Block, kind journal.Kind, i int, f *ledger.Fact) (of *ledger.Fact, outside bool, err error) {
	switch {
	case kind == journal.KindTransaction:
		leg := factOf(k, i+1)
		return &leg, false, nil
	case f.PendingPosition == 0 || f.Status != journal.Created:
		return nil, false, nil
	}
	if r := c.open[f.Asked.PendingID]; r != nil {
		return &r.fact, false, nil
	}
	if c.whole && kind != journal.KindCarry {
		return nil, true, nil
	}
	fact, err := c.local.Fact(ctx, f.PendingPosition)
	return &fact, false, err
}

// resolved notes what a post or void, which is in the batch, left of its reservation.
func (c *carrier) resolved(ctx context.Context, f *ledger.Fact) error {
	r := c.open[f.Asked.PendingID]
	if f.Asked.Flags.Has(journal.TransferKeepRemainder) && r != nil && f.Amount.Less(r.remaining) {
		r.remaining, _ = r.remaining.Sub(f.Amount)
		return nil
	}
	standing := journal.StandingPosted
	if f.Asked.Flags.Has(journal.TransferVoid) {
		standing = journal.StandingVoided
	}
	return c.end(ctx, f.Asked.PendingID, standing)
}

// end tells the taker that a reservation has ended.
func (c *carrier) end(ctx context.Context, id money.U128, standing journal.Standing) error {
	r := c.open[id]
	switch {
	case r == nil && c.whole:
		return nil
	case r == nil:
		return c.endEarlier(ctx, id, standing)
	case r.round == c.round: // the taker has not been told of it yet
		_, c.batch.attached[r.at].Data = ledger.CarryOf(&r.fact, standing, money.U128{})
	default:
		if err := c.add(ctx, &r.fact, standing); err != nil {
			return err
		}
	}
	delete(c.open, id)
	return nil
}

// endEarlier is end for a reservation that was made before the blocks that are read.
func (c *carrier) endEarlier(ctx context.Context, id money.U128, standing journal.Standing) error {
	list, err := c.local.LookupTransfers(ctx, []money.U128{id})
	if err != nil || len(list) == 0 {
		return err
	}
	f, err := c.local.Fact(ctx, list[0].Position)
	if err != nil {
		return err
	}
	if bucket, _ := ledger.Home(&f, nil); !c.of[bucket] {
		return nil
	}
	return c.add(ctx, &f, standing)
}

// add puts an event into the batch, which is sent before it is too large.
func (c *carrier) add(ctx context.Context, f *ledger.Fact, standing journal.Standing) error {
	t, data := ledger.CarryOf(f, standing, money.U128{})
	one := []transit.Event{{Transfer: t, Attached: data}}
	if c.batch.full(one) {
		if err := c.flush(ctx); err != nil {
			return err
		}
	}
	c.batch.add(one)
	return nil
}

// flush sends the batch, until the taker has it.
func (c *carrier) flush(ctx context.Context) error {
	if len(c.batch.list) == 0 {
		return nil
	}
	r := &router.Record{Kind: journal.KindCarry, Events: journal.Bytes(c.batch.list), Attachments: c.batch.attached}
	statuses, err := c.send(ctx, c.to, c.actor, r)
	if err != nil {
		return fmt.Errorf("carry %d ids: %w", len(c.batch.list), err)
	}
	for i, s := range statuses {
		if s != journal.ControlCreated && s != journal.ControlExists {
			return &ConflictError{c.batch.list[i].ID, c.to, s}
		}
	}
	c.progress(c.through, c.through, uint64(len(c.batch.list)))
	c.batch.clear()
	c.round++
	return nil
}

// send has the taker record something, again and again until it answers.
func (t *term) send(ctx context.Context, to uint64, actor journal.Actor, r *router.Record) (statuses []journal.Status, err error) {
	r.From, r.Actor, r.Catalogue = t.opts.Cell, actor, t.local.Assets().Len()
	err = t.repeat(ctx, fmt.Sprintf("have cell %d record %d events of kind %d", to, len(r.Events)/journal.RecordSize, r.Kind), func() (err error) {
		if statuses, err = t.opts.Peers.Record(ctx, to, r); err == nil && len(statuses) != len(r.Events)/journal.RecordSize {
			err = fmt.Errorf("%d statuses", len(statuses))
		}
		return err
	})
	return statuses, err
}
