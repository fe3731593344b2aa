package router

import (
	"context"
	"errors"
	"fmt"

	"github.com/sterlingrun/sterling/cell"
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/ledger"
	"github.com/sterlingrun/sterling/money"
	"github.com/sterlingrun/sterling/transit"
)

// ErrStep is a step that no driver sends; the text says why. Nothing was recorded.
var ErrStep = errors.New("malformed step of a transfer between cells")

// Host is the passive side of transfers between cells: it records what other cells' drivers send, and decides nothing.
type Host struct {
	Cell   uint64
	Local  Passive
	Assets func() *ledger.Catalogue
	// Register makes sure that assets have a number in the cell.
	Register func(ctx context.Context, assets []money.Asset) error
	// Owns tells whether an account belongs to the cell.
	Owns func(account money.U128) bool
	// Arrived, unless nil, goes on with the transfers to other cells that came with buckets: see [Driver.Rescan].
	Arrived func(ctx context.Context) error

	known system
}

// Passive is the cell of a Host. [cell.Cell] is one.
type Passive interface {
	Recorder
	Read(ctx context.Context, fn func(*ledger.State)) error
}

// Accept records steps and returns their statuses, in order. An error that is not ErrStep means that the outcome is
// unknown: the same steps can be sent again.
func (h *Host) Accept(ctx context.Context, s *Steps) ([]journal.Status, error) {
	if len(s.List) == 0 || len(s.List) > journal.MaxEvents {
		return nil, fmt.Errorf("%w: %d steps: want 1 to %d", ErrStep, len(s.List), journal.MaxEvents)
	}
	assets := h.Assets()
	pairs := make([]pair, len(s.List))
	var fresh []money.Asset
	for i := range s.List {
		if err := h.check(s, &s.List[i]); err != nil {
			return nil, fmt.Errorf("step %d: %w", i, err)
		}
		pairs[i] = pair{s.List[i].Asset, s.Home}
		if assets.Number(s.List[i].Asset) == 0 {
			fresh = append(fresh, s.List[i].Asset)
		}
	}
	if len(fresh) > 0 {
		if err := h.Register(ctx, fresh); err != nil {
			return nil, fmt.Errorf("register assets of transfers from cell %d: %w", s.Home, err)
		}
		assets = h.Assets()
	}
	if err := h.known.ensure(ctx, h.Local, assets.Number, pairs); err != nil {
		return nil, err
	}
	r := &cell.Request{Kind: journal.KindTransfers, Actor: s.Actor, Results: make([]journal.Result, len(s.List))}
	events := make([]journal.Transfer, len(s.List))
	for i := range s.List {
		events[i] = s.List[i].Record
		if !events[i].Flags.Has(settles) {
			events[i].Asset = assets.Number(s.List[i].Asset)
		}
		r.Attachments = append(r.Attachments, journal.Attachment{Event: i, Data: s.List[i].Details})
	}
	r.Events = journal.Bytes(events)
	if err := h.Local.Do(ctx, r); err != nil {
		return nil, err
	}
	statuses := make([]journal.Status, len(events))
	for i := range r.Results {
		statuses[i] = r.Results[i].Status
	}
	return statuses, nil
}

const settles = journal.TransferPost | journal.TransferVoid

// check refuses what could do anything else than reserve or move money from the clearing account of the home to an account
// of this cell. The ledger checks the rest.
func (h *Host) check(s *Steps, step *Step) error {
	d, err := journal.DecodeDetails(step.Details)
	if err != nil || d.Transit == nil {
		return fmt.Errorf("%w: its details: %w", ErrStep, err)
	}
	t, x := &step.Record, d.Transit
	const always = journal.TransferTransit | journal.TransferAttached
	switch flags := t.Flags &^ always; {
	case s.Home == h.Cell || x.Peer != s.Home || t.Flags&always != always || !step.Asset.Valid():
	case x.Step == journal.TransitHold && flags == journal.TransferPending|journal.TransferHold:
		if t.ID != transit.ID(x.Reserve, journal.TransitHold) || t.Credit != x.Credit || t.Debit != transit.Clearing(step.Asset, s.Home) {
			break
		}
		if !h.Owns(t.Credit) {
			return fmt.Errorf("account %v is not of cell %d, by its map: %w", t.Credit, h.Cell, cell.ErrMoving)
		}
		return nil
	case x.Step == journal.TransitConfirm && (flags == journal.TransferPost || flags == journal.TransferVoid|journal.TransferFence):
		if t.PendingID == transit.ID(x.Reserve, journal.TransitHold) { // its own id may be any: see transit.Attempt
			return nil
		}
	}
	return fmt.Errorf("%w: %d with flags %#x of a transfer of cell %d", ErrStep, x.Step, t.Flags, s.Home)
}
