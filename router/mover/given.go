package mover

import (
	"errors"
	"fmt"
	"slices"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/ledger"
	"github.com/sterlingrun/sterling/money"
	"github.com/sterlingrun/sterling/router"
	"github.com/sterlingrun/sterling/transit"
)

// errInFlight is a transfer across cells that has begun in the bucket and will end by itself.
var errInFlight = errors.New("a transfer to or from another cell is under way")

// crossing tells whether a reservation is between the bucket and something else.
func (m *bucket) crossing() error {
	if _, _, reservations, err := m.state(); err != nil || reservations == 0 {
		return err
	}
	var found error
	err := m.local.ScanPendings(m.ctx, func(p *ledger.OpenPending) {
		debit, credit := journal.Bucket(p.Debit) == m.bucket, journal.Bucket(p.Credit) == m.bucket
		switch {
		case p.Flags.Has(journal.TransferTransit|journal.TransferHold) && (debit || credit):
			found = fmt.Errorf("%w: reservation %v", errInFlight, p.ID)
		case debit != credit:
			found = fmt.Errorf("reservation %v is between bucket %d and another one: move again once it is posted, voided or expired", p.ID, m.bucket)
		}
	})
	return errors.Join(err, found)
}

// giveReservations gives the open reservations of the bucket.
func (m *bucket) giveReservations() error {
	var list []journal.Handover
	err := m.local.ScanPendings(m.ctx, func(p *ledger.OpenPending) {
		if journal.Bucket(p.Debit) == m.bucket && journal.Bucket(p.Credit) == m.bucket {
			list = append(list, journal.Handover{Move: m.id, Reservation: p.ID})
		}
	})
	if err != nil {
		return err
	}
	for part := range slices.Chunk(list, partAccounts) {
		if _, err := m.handOver(part); err != nil {
			return err
		}
	}
	return nil
}

// given is what a request to the taker is made of.
type given struct {
	accounts     []journal.Handover
	attached     []journal.Attachment
	bytes        int
	assets       []money.Asset
	reservations []journal.Transfer
	remaining    []journal.Attachment
}

// sendGiven has the other cell take all that the journal says was given: accounts, then reservations.
func (m *bucket) sendGiven() error {
	head, err := m.local.Sync(m.ctx)
	if err != nil {
		return err
	}
	g := &given{}
	for n := 1; n <= m.local.Assets().Len(); n++ {
		a, _ := m.local.Assets().Asset(uint32(n)) //nolint:gosec // asset numbers are 32 bits
		g.assets = append(g.assets, a)
	}
	err = m.local.Blocks(m.ctx, m.closed, head, func(k *journal.Block) error {
		for part := range k.Parts() {
			for i := part.First; part.Kind == journal.KindGive && i < part.First+part.Count; i++ {
				if err := m.addGiven(g, k, i); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err == nil {
		err = m.sendAccounts(g)
	}
	if err == nil {
		err = m.sendReservations(g)
	}
	return err
}

// addGiven adds what event i of a block has given.
func (m *bucket) addGiven(g *given, k *journal.Block, i int) error {
	h, o := journal.View[journal.Handover](k.EventBytes(i, 1))[0], k.Outcome(i)
	if h.Move != m.id || o != nil && o.Status != journal.Created {
		return nil
	}
	if h.Account.IsZero() {
		f, err := m.local.Fact(m.ctx, o.PendingPosition)
		if err != nil {
			return err
		}
		t, data := ledger.CarryOf(&f, journal.StandingArrives, o.Amount)
		g.remaining = append(g.remaining, journal.Attachment{Event: len(g.reservations), Data: data})
		g.reservations = append(g.reservations, t)
		return nil
	}
	data := slices.Clone(k.Attachment(i))
	if g.bytes += len(data); len(g.accounts) == partAccounts || g.bytes > batchBytes {
		if err := m.sendAccounts(g); err != nil {
			return err
		}
		g.bytes = len(data)
	}
	for _, a := range g.assets {
		if transit.Clearing(a, m.to) == h.Clearing {
			h.Clearing = transit.Clearing(a, m.opts.Cell)
			break
		}
	}
	h.Flags = journal.TransferAttached
	g.attached = append(g.attached, journal.Attachment{Event: len(g.accounts), Data: data})
	g.accounts = append(g.accounts, h)
	return nil
}

func (m *bucket) sendAccounts(g *given) error {
	if len(g.accounts) == 0 {
		return nil
	}
	err := m.sendAll(&router.Record{Kind: journal.KindTake, Events: journal.Bytes(g.accounts), Attachments: g.attached, Assets: g.assets})
	g.accounts, g.attached, g.bytes = nil, nil, 0
	return err
}

func (m *bucket) sendReservations(g *given) error {
	for from := 0; from < len(g.reservations); from += partAccounts {
		to := min(from+partAccounts, len(g.reservations))
		attached := slices.Clone(g.remaining[from:to])
		for i := range attached {
			attached[i].Event = i
		}
		if err := m.sendAll(&router.Record{Kind: journal.KindCarry, Events: journal.Bytes(g.reservations[from:to]), Attachments: attached}); err != nil {
			return err
		}
	}
	return nil
}

// sendAll has the taker record all of it.
func (m *bucket) sendAll(r *router.Record) error {
	statuses, err := m.send(m.ctx, m.to, m.actor, r)
	if err != nil {
		return err
	}
	for i, s := range statuses {
		if err := made(s, r.Kind); err != nil {
			return fmt.Errorf("event %d of %d in cell %d: %w", i, len(statuses), m.to, err)
		}
	}
	return nil
}
