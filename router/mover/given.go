package mover

import (
	"fmt"
	"slices"

	"github.com/sterlingrun/sterling/cell"
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/ledger"
	"github.com/sterlingrun/sterling/money"
	"github.com/sterlingrun/sterling/router"
	"github.com/sterlingrun/sterling/transit"
)

// scanPiece is how many accounts or reservations are looked at before others have their turn.
const scanPiece = 8192

// accountsOf lists the accounts of buckets, from a number on, and returns the number to go on from.
func (t *term) accountsOf(from uint32, buckets ...uint16) (list map[uint16][]ledger.AccountIn, next uint32, err error) {
	var set ledger.BucketSet
	for _, b := range buckets {
		set.Add(b)
	}
	list = make(map[uint16][]ledger.AccountIn, len(buckets))
	for more := true; more; {
		var part []ledger.AccountIn
		err := t.local.Read(t.ctx, func(s *ledger.State) {
			part, from = s.AccountsIn(&set, from, scanPiece, nil)
			more = uint64(from) <= s.Counts().Accounts
		})
		if err != nil {
			return nil, 0, fmt.Errorf("list the accounts of %d buckets: %w", len(buckets), err)
		}
		for _, a := range part {
			list[a.Bucket] = append(list[a.Bucket], a)
		}
	}
	return list, from, nil
}

// giveReservations takes the open reservations of the bucket out of this cell. Of one whose other account stays, half of
// it does: it is a transfer across cells from then on.
func (m *bucket) giveReservations() error {
	var set ledger.BucketSet
	set.Add(m.bucket)
	var list []ledger.OpenPending
	for from := uint32(1); from != 0; {
		err := m.local.Read(m.ctx, func(s *ledger.State) { list, from = s.ReservationsIn(&set, from, scanPiece, list) })
		if err != nil {
			return fmt.Errorf("list the reservations of bucket %d: %w", m.bucket, err)
		}
	}
	var b events
	for i := range list {
		leaving, err := m.leaving(&list[i])
		if err != nil {
			return err
		}
		if b.full(leaving) {
			if err := m.giveEvents(&b); err != nil {
				return err
			}
		}
		b.add(leaving)
	}
	return m.giveEvents(&b)
}

// leaving returns the events by which an open reservation leaves.
func (m *bucket) leaving(p *ledger.OpenPending) ([]transit.Event, error) {
	r, err := m.reservation(p.Position, p.Remaining)
	if err != nil {
		return nil, err
	}
	debit, credit := journal.Bucket(p.Debit), journal.Bucket(p.Credit)
	switch {
	case p.Flags.Has(journal.TransferHold), !p.Flags.Has(journal.TransferTransit) && debit == credit:
		return []transit.Event{r.Leaves()}, nil
	case p.Flags.Has(journal.TransferTransit): // its marker stands right before it
		marker, err := m.reservation(p.Position-1, p.Remaining)
		if err != nil {
			return nil, err
		}
		return transit.PairLeaves(marker, r), nil
	}
	asset, _ := m.local.Assets().Asset(p.Asset)
	s := transit.Split{Reservation: *r, Asset: asset, Move: m.id, Giver: m.opts.Cell, Taker: m.to, DebitLeaves: debit == m.bucket}
	return s.Events(), nil
}

func (m *bucket) reservation(at journal.Position, remaining money.U128) (*transit.Reservation, error) {
	f, err := m.local.Fact(m.ctx, at)
	if err != nil {
		return nil, fmt.Errorf("read a reservation of bucket %d: %w", m.bucket, err)
	}
	return &transit.Reservation{Record: f.Asked, Attached: f.Attachment, Timestamp: f.Timestamp, Amount: f.Amount, Remaining: remaining}, nil
}

// events are the events of a request of KindCarry, and what is attached to them.
type events struct {
	list     []journal.Transfer
	attached []journal.Attachment
	bytes    int
}

// full tells whether the request takes no more. Those that hand over one reservation have to be in one request.
func (b *events) full(more []transit.Event) bool {
	size := 0
	for _, e := range more {
		size += eventSize(e.Attached)
	}
	return len(b.list) > 0 && (len(b.list)+len(more) > batchEvents || b.bytes+size > batchBytes)
}

// eventSize is how many bytes of a block an event takes.
func eventSize(attached []byte) int {
	return journal.RecordSize + journal.OutcomeSize + journal.AttachmentSize + len(attached) + 8
}

func (b *events) add(list []transit.Event) {
	for _, e := range list {
		b.attached = append(b.attached, journal.Attachment{Event: len(b.list), Data: e.Attached})
		b.list = append(b.list, e.Transfer)
		b.bytes += eventSize(e.Attached)
	}
}

func (b *events) clear() { *b = events{} }

// giveEvents has this cell record that reservations leave.
func (m *bucket) giveEvents(b *events) error {
	if len(b.list) == 0 {
		return nil
	}
	r := &cell.Request{Kind: journal.KindCarry, Actor: m.actor, Events: journal.Bytes(b.list), Attachments: b.attached, Results: make([]journal.Result, len(b.list))}
	if err := m.local.Do(m.ctx, r); err != nil {
		return fmt.Errorf("give %d reservations: %w", len(b.list), err)
	}
	for i := range r.Results {
		if s := r.Results[i].Status; s != journal.ControlReservationNotFound { // it has expired
			if err := made(s, journal.KindCarry); err != nil {
				return fmt.Errorf("give reservation %v: %w", b.list[i].ID, err)
			}
		}
	}
	b.clear()
	return nil
}

// given is what the taker has not been sent yet of what has left.
type given struct {
	*bucket
	clearing map[money.U128]money.Asset // the accounts that this cell clears with the taker, by id

	accounts []journal.Handover
	attached []journal.Attachment
	bytes    int
	assets   []money.Asset // of the accounts

	reservations events
}

// sendGiven has the taker take all that left by what the journal says: accounts, then reservations between them.
func (m *bucket) sendGiven() error {
	g := &given{bucket: m, clearing: map[money.U128]money.Asset{}}
	for n := 1; n <= m.local.Assets().Len(); n++ {
		a, _ := m.local.Assets().Asset(uint32(n))
		g.clearing[transit.Clearing(a, m.to)] = a
	}
	for _, part := range []func(*journal.Block, journal.Part) error{g.sendAccounts, g.sendReservations} {
		err := m.local.Blocks(m.ctx, m.handed.Since, m.local.Head(), func(k *journal.Block) error {
			for p := range k.Parts() {
				if err := part(k, p); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	if err := g.flushAccounts(); err != nil { // there are none, but where there were no blocks
		return err
	}
	return g.flushReservations()
}

// sendAccounts sends the accounts that a part of a block has given.
func (g *given) sendAccounts(k *journal.Block, part journal.Part) error {
	if part.Kind != journal.KindGive {
		return nil
	}
	for i := part.First; i < part.First+part.Count; i++ {
		h, o := journal.View[journal.Handover](k.EventBytes(i, 1))[0], k.Outcome(i)
		if h.Move != g.id || o != nil && o.Status != journal.Created {
			continue
		}
		data := slices.Clone(k.Attachment(i))
		if len(g.accounts) == partAccounts || g.bytes+len(data) > batchBytes {
			if err := g.flushAccounts(); err != nil {
				return err
			}
		}
		asset := g.clearing[h.Clearing]
		if !slices.Contains(g.assets, asset) {
			g.assets = append(g.assets, asset)
		}
		h.Clearing, h.Flags = transit.Clearing(asset, g.opts.Cell), journal.TransferAttached
		g.attached = append(g.attached, journal.Attachment{Event: len(g.accounts), Data: data})
		g.accounts = append(g.accounts, h)
		g.bytes += len(data)
	}
	return nil
}

func (g *given) flushAccounts() error {
	if len(g.accounts) == 0 {
		return nil
	}
	err := g.sendAll(&router.Record{Kind: journal.KindTake, Events: journal.Bytes(g.accounts), Attachments: g.attached, Assets: g.assets})
	g.accounts, g.attached, g.assets, g.bytes = nil, nil, nil, 0
	return err
}

// sendReservations sends the reservations that left by a part of a block. All accounts have been sent before.
func (g *given) sendReservations(k *journal.Block, part journal.Part) error {
	if err := g.flushAccounts(); err != nil || part.Kind != journal.KindCarry {
		return err
	}
	var group []transit.Event
	for i := part.First; i < part.First+part.Count; i++ {
		o := k.Outcome(i)
		e, ok := transit.Arrives(transit.Event{Transfer: *k.Transfer(i), Attached: k.Attachment(i)})
		if !ok || o != nil && o.Status != journal.Created || g.homeOf(&e) != g.bucket.bucket {
			continue
		}
		group = append(group, e)
		if x, ok := journal.TransitOf(e.Attached); ok && x.Step == journal.TransitMarker {
			continue // its transfer follows
		}
		if g.reservations.full(group) {
			if err := g.flushReservations(); err != nil {
				return err
			}
		}
		g.reservations.add(group)
		group = nil
	}
	return nil
}

// homeOf is the bucket that a reservation goes with.
func (g *given) homeOf(e *transit.Event) uint16 {
	x, ok := journal.TransitOf(e.Attached)
	switch {
	case ok && x.Step == journal.TransitHold:
		return journal.Bucket(x.Credit)
	case ok:
		return journal.Bucket(x.Debit)
	}
	return journal.Bucket(e.Transfer.Debit)
}

func (g *given) flushReservations() error {
	if len(g.reservations.list) == 0 {
		return nil
	}
	err := g.sendAll(&router.Record{Kind: journal.KindCarry, Events: journal.Bytes(g.reservations.list), Attachments: g.reservations.attached})
	g.reservations.clear()
	return err
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
