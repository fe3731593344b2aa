package mover

import (
	"context"
	"fmt"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/ledger"
	"github.com/sterlingrun/sterling/money"
	"github.com/sterlingrun/sterling/router"
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

	batch    []journal.Transfer
	attached []journal.Attachment
	bytes    int
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
	c := &carrier{term: t, to: to, actor: actor, through: from - 1, whole: from == 1, open: map[money.U128]*reservation{}, progress: func(uint64, uint64, uint64) {}}
	for _, b := range buckets {
		c.of[b] = true
	}
	return c
}

// shortTail is how many blocks may be left to carry when a bucket is closed.
const shortTail = 16

// catchUp carries until only the newest blocks are left, while more are made.
func (c *carrier) catchUp(ctx context.Context, quit <-chan struct{}) error {
	for {
		head := c.local.Head()
		if err := c.carry(ctx, head, quit); err != nil {
			return err
		}
		if c.local.Head()-head <= shortTail {
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
		case journal.KindGive:
			for i := part.First; i < part.First+part.Count; i++ { // they are open elsewhere now
				delete(c.open, journal.View[journal.Handover](k.EventBytes(i, 1))[0].Reservation)
			}
			continue
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
	o := k.Outcome(i)
	if kind == journal.KindCarry && o != nil && o.Status != journal.Created {
		return nil
	}
	f := factOf(k, i)
	if f.Status != journal.Created && !f.Status.Transient() {
		return nil
	}
	of, outside, err := c.origin(ctx, k, kind, i, &f)
	if err != nil || outside {
		return err
	}
	bucket, everywhere := ledger.Home(&f, of)
	if !everywhere && !c.of[bucket] {
		return nil
	}
	standing := journal.StandingOpen
	arrived := false
	if kind == journal.KindCarry {
		carried, _, _ := journal.CarriedOf(k.Attachment(i))
		if arrived = carried.Standing == journal.StandingArrives; !arrived {
			standing = carried.Standing
		}
	}
	if f.Attachment != nil { // the block's memory is used again
		f.Attachment = append([]byte(nil), f.Attachment...)
	}
	if err := c.add(ctx, &f, standing); err != nil {
		return err
	}
	if f.Status != journal.Created {
		return nil
	}
	if f.Asked.Flags&(journal.TransferPending|journal.TransferHead) == journal.TransferPending && (kind != journal.KindCarry || arrived) {
		r := &reservation{fact: f, remaining: f.Amount, round: c.round, at: len(c.batch) - 1}
		if arrived {
			carried, _, _ := journal.CarriedOf(k.Attachment(i))
			r.remaining = carried.Remaining
		}
		c.open[f.Asked.ID] = r
	}
	if kind != journal.KindCarry && f.Asked.Flags.Has(journal.TransferPost|journal.TransferVoid) {
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
		_, c.attached[r.at].Data = ledger.CarryOf(&r.fact, standing, money.U128{})
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
	size := journal.RecordSize + journal.OutcomeSize + journal.AttachmentSize + len(data) + 8
	if len(c.batch) == batchEvents || c.bytes+size > batchBytes {
		if err := c.flush(ctx); err != nil {
			return err
		}
	}
	c.attached = append(c.attached, journal.Attachment{Event: len(c.batch), Data: data})
	c.batch = append(c.batch, t)
	c.bytes += size
	return nil
}

// flush sends the batch, until the taker has it.
func (c *carrier) flush(ctx context.Context) error {
	if len(c.batch) == 0 {
		return nil
	}
	r := &router.Record{Kind: journal.KindCarry, Events: journal.Bytes(c.batch), Attachments: c.attached}
	statuses, err := c.send(ctx, c.to, c.actor, r)
	if err != nil {
		return fmt.Errorf("carry %d ids: %w", len(c.batch), err)
	}
	for i, s := range statuses {
		if s != journal.ControlCreated && s != journal.ControlExists {
			return &ConflictError{c.batch[i].ID, c.to, s}
		}
	}
	c.progress(c.through, c.through, uint64(len(c.batch)))
	c.batch, c.attached, c.bytes = nil, nil, 0
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
