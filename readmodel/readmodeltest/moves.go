package readmodeltest

import (
	"fmt"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/ledger"
	"github.com/sterlingrun/sterling/money"
	"github.com/sterlingrun/sterling/transit"
)

// Moves are two cells, 1 and 2, between which a bucket moves: that of accounts Alice and Bob. Carol's bucket stays in cell
// 1, Dora's in cell 2. Requests are steps of a minute, on 2026-01-02 from 10:00 on.
type Moves struct {
	Cells                   [2]*World
	Alice, Bob, Carol, Dora money.U128

	version uint64
}

// The transfers of Moves that reserve: of Alice to Bob, of Alice to Carol, of Carol to Bob.
var (
	PendingWithin = money.From(301)
	PendingOut    = money.From(302)
	PendingIn     = money.From(303)
)

var movesAsset = money.Asset{Code: "CNY", Scale: 2}

// NewMoves returns them before the first move: Alice, who has an address, metadata, a limit and a history, has 1,000
// debits and 300 credits, Bob 200 credits; 100, 70 and 30 are reserved. The day before is closed.
func NewMoves() *Moves {
	m := &Moves{Alice: money.From(101), Dora: money.From(401), version: 1}
	home := journal.Bucket(m.Alice)
	for id := uint64(102); m.Bob.IsZero() || m.Carol.IsZero(); id++ {
		switch in := journal.Bucket(money.From(id)) == home; {
		case in && m.Bob.IsZero():
			m.Bob = money.From(id)
		case !in && m.Carol.IsZero():
			m.Carol = money.From(id)
		}
	}
	for i := range m.Cells {
		w := NewWorld(uint64(i)+1, 1)
		m.Cells[i] = w
		w.bare, w.still, w.now = true, true, uint64(knownDay(1, 1))*dayNs+10*hourNs
		w.Do(journal.KindAssets, 1, journal.Bytes([]journal.Asset{ledger.AssetRecord(movesAsset)}))
		own := append(transit.Accounts(movesAsset, 1, 1), transit.Accounts(movesAsset, 1, 2)[1])
		w.made(journal.KindAccounts, journal.Bytes(own))
	}
	a, b := m.Cells[0], m.Cells[1]
	d := journal.Details{Address: "customer:alice", Metadata: []journal.Meta{journal.Text("name", "Alice")}}
	a.made(journal.KindAccounts, journal.Bytes([]journal.Account{
		{ID: m.Alice, Asset: 1, Code: 2010, UserData64: 7, Flags: journal.AccountHistory | journal.AccountAttached}, {ID: m.Bob, Asset: 1, Code: 2010}, {ID: m.Carol, Asset: 1, Code: 2020},
	}), journal.Attachment{Data: d.Append(nil)})
	b.made(journal.KindAccounts, journal.Bytes([]journal.Account{{ID: m.Dora, Asset: 1, Code: 2020}}))
	a.made(journal.KindLimits, journal.Bytes([]journal.Limit{{ID: money.From(1), Account: m.Alice, Side: journal.FreezeDebit, DayAmount: money.From(10_000)}}))
	a.paid(201, m.Alice, m.Carol, 800, 0, 0)
	for _, w := range m.Cells {
		w.Advance(dayNs)
	}
	a.made(journal.KindDayClose, journal.Bytes([]journal.DayClose{{ID: money.From(2), Date: journal.DateOf(a.now, 0) - 1}}))
	a.paid(202, m.Alice, m.Bob, 200, 0, 0)
	a.paid(203, m.Carol, m.Alice, 300, 0, 0)
	a.paid(PendingWithin.Lo, m.Alice, m.Bob, 100, journal.TransferPending, 0)
	a.paid(PendingOut.Lo, m.Alice, m.Carol, 70, journal.TransferPending, 3600)
	a.paid(PendingIn.Lo, m.Carol, m.Bob, 30, journal.TransferPending, 0)
	return m
}

// made makes a request, which must succeed, in a block of its own.
func (w *World) made(kind journal.Kind, events []byte, attached ...journal.Attachment) {
	for i, r := range w.Do(kind, 1, events, attached...) {
		if r.Status != journal.Created {
			panic(fmt.Sprintf("event %d of kind %d has status %s", i, kind, r.Status.Name(kind)))
		}
	}
	w.Seal()
	w.Advance(minuteNs)
}

func (w *World) paid(id uint64, debit, credit money.U128, amount uint64, flags journal.TransferFlags, timeout uint32) {
	w.made(journal.KindTransfers, journal.Bytes([]journal.Transfer{{
		ID: money.From(id), Debit: debit, Credit: credit, Amount: money.From(amount), Asset: 1, Code: 1, Flags: flags, Timeout: timeout,
	}}))
}

// End posts or voids a reservation that is whole in a cell; amount 0 voids it.
func (m *Moves) End(cell int, id uint64, pending money.U128, amount uint64) {
	t := journal.Transfer{ID: money.From(id), PendingID: pending, Amount: money.From(amount), Flags: journal.TransferPost}
	if amount == 0 {
		t.Flags = journal.TransferVoid
	}
	m.Cells[cell].made(journal.KindTransfers, journal.Bytes([]journal.Transfer{t}))
}

// Pay pays in a cell.
func (m *Moves) Pay(cell int, id uint64, debit, credit money.U128, amount uint64) {
	m.Cells[cell].paid(id, debit, credit, amount, 0, 0)
}

// Move moves the bucket from one cell to the other, with all that it has.
func (m *Moves) Move(from, to int) {
	a, b := m.Cells[from], m.Cells[to]
	now := max(a.now, b.now)
	a.now, b.now = now, now
	m.version++
	step := func(w, other *World, s journal.BucketStep) { // the bucket is the only one that moves
		r := journal.BucketMove{ID: money.U128{Hi: 9, Lo: m.version}, Peer: other.Cell, Version: m.version, Bucket: journal.Bucket(m.Alice), Step: s}
		if s == journal.BucketGiven || s == journal.BucketTaken {
			said := w.State.Buckets()[0]
			r.Accounts, r.Reservations, r.Digest = said.Accounts, said.Reservations, said.Digest
		}
		w.made(journal.KindBuckets, journal.Bytes([]journal.BucketMove{r}))
	}
	m.carryIDs(a, b)
	left := len(a.Blocks)
	step(a, b, journal.BucketClose)
	set := new(ledger.BucketSet)
	set.Add(journal.Bucket(m.Alice))
	a.begin()
	open, _ := a.State.ReservationsIn(set, 0, 100, nil)
	for i := range open {
		m.leave(a, b, &open[i])
	}
	give := []journal.Handover{
		{Move: money.U128{Hi: 9, Lo: m.version}, Account: m.Alice, Clearing: transit.Clearing(movesAsset, b.Cell)},
		{Move: money.U128{Hi: 9, Lo: m.version}, Account: m.Bob, Clearing: transit.Clearing(movesAsset, b.Cell)},
	}
	a.made(journal.KindGive, journal.Bytes(give))
	step(a, b, journal.BucketGiven)
	step(b, a, journal.BucketArrive)
	m.arrive(a.Blocks[left:], b, a.Cell)
	step(b, a, journal.BucketTaken)
	step(a, b, journal.BucketGone)
}

// carryIDs carries the ids of transfers that begin in the bucket, and are not reserved any more.
func (m *Moves) carryIDs(a, b *World) {
	var events []journal.Transfer
	var attached []journal.Attachment
	for _, k := range a.Blocks {
		for part := range k.Parts() {
			for i := part.First; part.Kind == journal.KindTransfers && i < part.First+part.Count; i++ {
				f := a.fact(journal.At(k.Header.Seq, len(k.Expiries)+i))
				t := &f.Asked
				if t.Flags&(journal.TransferPending|journal.TransferPost|journal.TransferVoid) != 0 || journal.Bucket(t.Debit) != journal.Bucket(m.Alice) {
					continue
				}
				record, data := ledger.CarryOf(&f, journal.StandingOpen, money.U128{})
				attached = append(attached, journal.Attachment{Event: len(events), Data: data})
				events = append(events, record)
			}
		}
	}
	if len(events) > 0 {
		b.Do(journal.KindCarry, 1, journal.Bytes(events), attached...)
		b.Seal()
	}
}

// leave sends an open reservation off.
func (m *Moves) leave(a, b *World, p *ledger.OpenPending) {
	read := func(at journal.Position) *transit.Reservation {
		f := a.fact(at)
		return &transit.Reservation{Record: f.Asked, Attached: f.Attachment, Timestamp: f.Timestamp, Amount: f.Amount, Remaining: p.Remaining}
	}
	r := read(p.Position)
	home := journal.Bucket(m.Alice)
	var events []transit.Event
	switch {
	case p.Flags.Has(journal.TransferHold):
		if p.Code == 1 && journal.Bucket(p.Credit) == home { // a marker goes with its transfer
			events = []transit.Event{r.Leaves()}
		}
	case p.Flags.Has(journal.TransferTransit):
		events = transit.PairLeaves(read(p.Position-1), r)
	case journal.Bucket(p.Debit) == journal.Bucket(p.Credit):
		events = []transit.Event{r.Leaves()}
	default:
		s := transit.Split{
			Reservation: *r, Asset: movesAsset, Move: money.U128{Hi: 9, Lo: m.version}, Giver: a.Cell, Taker: b.Cell,
			DebitLeaves: journal.Bucket(p.Debit) == home,
		}
		events = s.Events()
	}
	if len(events) > 0 {
		a.crossed(events)
	}
}

func (w *World) crossed(list []transit.Event) {
	events, attached := make([]journal.Transfer, len(list)), make([]journal.Attachment, len(list))
	for i, e := range list {
		events[i], attached[i] = e.Transfer, journal.Attachment{Event: i, Data: e.Attached}
	}
	w.made(journal.KindCarry, journal.Bytes(events), attached...)
}

// arrive takes what blocks of the giver have handed over: accounts first.
func (m *Moves) arrive(blocks []*journal.Block, b *World, giver uint64) {
	var reservations []transit.Event
	for _, k := range blocks {
		for part := range k.Parts() {
			for i := part.First; i < part.First+part.Count; i++ {
				switch part.Kind {
				case journal.KindGive:
					h := journal.View[journal.Handover](k.EventBytes(i, 1))[0]
					h.Clearing, h.Flags = transit.Clearing(movesAsset, giver), journal.TransferAttached
					b.made(journal.KindTake, journal.Bytes([]journal.Handover{h}), journal.Attachment{Data: k.Attachment(i)})
				case journal.KindCarry:
					if e, ok := transit.Arrives(transit.Event{Transfer: *k.Transfer(i), Attached: k.Attachment(i)}); ok {
						reservations = append(reservations, e)
					}
				}
			}
		}
	}
	if len(reservations) > 0 {
		b.crossed(reservations)
	}
}

// Clearing is the account for clearing with a cell, InTransit that for what is in transit.
func (m *Moves) Clearing(cell uint64) money.U128 { return transit.Clearing(movesAsset, cell) }

// InTransit is the account for what is in transit.
func (m *Moves) InTransit() money.U128 { return transit.InTransit(movesAsset) }
