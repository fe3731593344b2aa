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

// ErrRecord is a record of a move of buckets that no giver sends; the text says why. Nothing was recorded.
var ErrRecord = errors.New("malformed record of a move of buckets")

// Record is what the leader of a cell that gives buckets has the cell that takes them journal.
type Record struct {
	From        uint64       // the cell that gives
	Kind        journal.Kind // KindCarry, KindTake, or KindBuckets with the steps arrive and taken
	Actor       journal.Actor
	Events      []byte // whole records, aligned to 8 bytes
	Attachments []journal.Attachment
	Assets      []money.Asset // of the accounts that arrive
	Catalogue   int           // assets that the giver knows
}

// BucketReport is where a bucket stands in a cell.
type BucketReport struct {
	ledger.BucketState        // zero but for Bucket: it never took part in a move
	Present, Reserved  uint64 // accounts and reservations that the cell has in it
}

// Record records what a giver sends and returns the statuses, in order. An error that is not ErrRecord means that the
// outcome is unknown: the same can be sent again.
func (h *Host) Record(ctx context.Context, r *Record) ([]journal.Status, error) {
	if err := h.checkRecord(r); err != nil {
		return nil, err
	}
	if h.Assets().Len() < r.Catalogue {
		if err := h.Register(ctx, nil); err != nil {
			return nil, fmt.Errorf("register assets of accounts from cell %d: %w", r.From, err)
		}
	}
	if err := h.known.ensure(ctx, h.Local, h.Assets().Number, h.pairs(r)); err != nil {
		return nil, err
	}
	n := len(r.Events) / journal.RecordSize
	q := &cell.Request{Kind: r.Kind, Actor: r.Actor, Events: r.Events, Attachments: r.Attachments, Results: make([]journal.Result, n)}
	if err := h.Local.Do(ctx, q); err != nil {
		return nil, err
	}
	statuses := make([]journal.Status, n)
	for i := range q.Results {
		statuses[i] = q.Results[i].Status
	}
	if r.brings() && h.Arrived != nil { // not left to the giver, whose leader may die before it asks for it
		if err := h.Arrived(ctx); err != nil {
			return nil, err
		}
	}
	return statuses, nil
}

// brings reports whether a bucket is open here from then on, and came with reservations.
func (r *Record) brings() bool {
	return r.Kind == journal.KindBuckets && slices.ContainsFunc(journal.View[journal.BucketMove](r.Events), func(m journal.BucketMove) bool { return m.Step == journal.BucketTaken && m.Reservations > 0 })
}

// pairs are those of the cell's own accounts that what arrives is booked on.
func (h *Host) pairs(r *Record) (list []pair) {
	for _, a := range r.Assets {
		list = append(list, pair{a, r.From})
	}
	if r.Kind != journal.KindCarry {
		return list
	}
	events, assets := journal.View[journal.Transfer](r.Events), h.Assets()
	for _, a := range r.Attachments {
		c, original, _ := journal.CarriedOf(a.Data)
		x, crosses := journal.TransitOf(original)
		if asset, known := assets.Asset(events[a.Event].Asset); crosses && known && c.Standing == journal.StandingArrives {
			list = append(list, pair{asset, x.Peer}, pair{asset, r.From})
		}
	}
	return list
}

// checkRecord refuses what could do anything else than take what another cell gives. The ledger checks the rest.
func (h *Host) checkRecord(r *Record) error {
	n := len(r.Events) / journal.RecordSize
	if n == 0 || n > journal.MaxEvents || n*journal.RecordSize != len(r.Events) || r.From == h.Cell {
		return fmt.Errorf("%w: %d bytes of events from cell %d", ErrRecord, len(r.Events), r.From)
	}
	switch r.Kind {
	case journal.KindCarry:
		for _, a := range r.Attachments {
			if c, _, _ := journal.CarriedOf(a.Data); c.Standing > journal.StandingArrives {
				return fmt.Errorf("%w: event %d leaves this cell, or stays in it", ErrRecord, a.Event)
			}
		}
	case journal.KindBuckets:
		for _, m := range journal.View[journal.BucketMove](r.Events) {
			if m.Peer != r.From || m.Step != journal.BucketArrive && m.Step != journal.BucketTaken {
				return fmt.Errorf("%w: step %d of a move from cell %d", ErrRecord, m.Step, m.Peer)
			}
		}
	case journal.KindTake:
		clearing := map[money.U128]bool{}
		for _, a := range r.Assets {
			clearing[transit.Clearing(a, r.From)] = a.Valid()
		}
		for _, t := range journal.View[journal.Handover](r.Events) {
			if !clearing[t.Clearing] {
				return fmt.Errorf("%w: account %v is cleared with account %v", ErrRecord, t.Account, t.Clearing)
			}
		}
	default:
		return fmt.Errorf("%w: its kind is %d", ErrRecord, r.Kind)
	}
	if err := ledger.CheckRequest(r.Kind, r.Events, r.Attachments); err != nil {
		return fmt.Errorf("%w: %w", ErrRecord, err)
	}
	return nil
}

// Buckets tells where buckets stand, in the order asked.
func (h *Host) Buckets(ctx context.Context, buckets []uint16) ([]BucketReport, error) {
	return Report(ctx, h.Local, buckets)
}

// Report is where buckets stand in a cell, in the order asked.
func Report(ctx context.Context, in Passive, buckets []uint16) ([]BucketReport, error) {
	list := make([]BucketReport, len(buckets))
	at := make(map[uint16]int, len(buckets))
	for i, b := range buckets {
		if b >= Buckets {
			return nil, fmt.Errorf("%w: bucket %d: there are %d", ErrRecord, b, Buckets)
		}
		list[i].Bucket, at[b] = b, i
	}
	err := in.Read(ctx, func(s *ledger.State) {
		for _, b := range s.Buckets() {
			if i, asked := at[b.Bucket]; asked {
				list[i].BucketState = b
			}
		}
		for i := range list {
			list[i].Present, list[i].Reserved = s.InBucket(list[i].Bucket)
		}
	})
	return list, err
}
