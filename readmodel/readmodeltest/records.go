package readmodeltest

import (
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/ledger"
	"github.com/sterlingrun/sterling/money"
)

// records is what a world remembers of its blocks beside the ledger's state, by the ledger's effects and facts.
type records struct {
	accounts     []accountRecord // by number, from 1
	transfers    []transferRecord
	byPosition   map[journal.Position]int // place in transfers
	byID         map[money.U128]int
	transactions []headRecord
	metadata     map[ownerKey][]journal.Meta
	assets       []assetRecord
	freezes      map[money.U128]journal.Position
	times        map[uint64]bool
	lastTransfer uint64 // timestamp
	offset       int32  // minutes ahead of UTC
}

type accountRecord struct {
	asked    journal.Account
	position journal.Position
	actor    journal.Actor
}

type transferRecord struct {
	ledger.Transfer
	booked      journal.Date
	transaction money.U128
	actor       journal.Actor
	released    money.U128

	// Of a pending transfer.
	remaining money.U128
	state     string
	ended     uint64
}

type headRecord struct {
	journal.Transfer
	position journal.Position
	time     uint64
	actor    journal.Actor
}

type assetRecord struct {
	money.Asset
	position journal.Position
	time     uint64
}

type ownerKey struct {
	owner string
	id    money.U128
}

func newRecords() records {
	return records{
		byPosition: map[journal.Position]int{}, byID: map[money.U128]int{}, metadata: map[ownerKey][]journal.Meta{},
		freezes: map[money.U128]journal.Position{}, times: map[uint64]bool{},
	}
}

// take notes what a sealed block did; w.fx is what the ledger said of it.
func (r *records) take(w *World, k *journal.Block) {
	for i := range w.fx.Expired {
		x := &w.fx.Expired[i]
		p := &r.transfers[r.byPosition[x.Pending]]
		p.state, p.ended, p.remaining = "expired", k.Header.Time+uint64(x.Index), money.U128{}
	}
	booked := map[uint32]journal.Date{}
	for _, b := range w.fx.Bookings {
		booked[b.Event] = b.Date
	}
	event := 0
	for i := range k.Requests {
		q := &k.Requests[i]
		var transaction money.U128
		for _, part := range journal.Parts(q.Kind, k.EventBytes(event, int(q.Count))) {
			for e := event + part.First; e < event+part.First+part.Count; e++ {
				if o := k.Outcome(e); o != nil && o.Status != journal.Created {
					continue
				}
				if part.Kind == journal.KindPolicy {
					r.offset = journal.View[journal.Policy](k.EventBytes(e, 1))[0].UTCOffset
				}
				if part.Kind == journal.KindTransaction {
					transaction = k.Transfer(e).ID
				}
				r.event(w, k, part.Kind, e, q.Actor, transaction, booked[uint32(e)]) //nolint:gosec // small
			}
		}
		event += int(q.Count)
	}
}

func (r *records) event(w *World, k *journal.Block, kind journal.Kind, e int, actor journal.Actor, transaction money.U128, booked journal.Date) {
	index := len(k.Expiries) + e
	at := journal.At(k.Header.Seq, index)
	time := k.Header.Time + uint64(index) //nolint:gosec // not negative
	details, err := journal.DecodeDetails(k.Attachment(e))
	if err != nil {
		panic(err)
	}
	raw := k.EventBytes(e, 1)
	switch kind {
	case journal.KindAccounts:
		a := journal.View[journal.Account](raw)[0]
		r.accounts = append(r.accounts, accountRecord{a, at, actor})
		r.metadata[ownerKey{"account", a.ID}] = details.Metadata
	case journal.KindMetadata:
		r.metadata[ownerKey{"account", journal.View[journal.MetadataChange](raw)[0].Account}] = details.Metadata
	case journal.KindTransaction:
		r.transactions = append(r.transactions, headRecord{*k.Transfer(e), at, time, actor})
		r.metadata[ownerKey{"transaction", k.Transfer(e).ID}] = details.Metadata
	case journal.KindAssets:
		r.assets = append(r.assets, assetRecord{ledger.AssetOf(&journal.View[journal.Asset](raw)[0]), at, time})
	case journal.KindFreeze:
		r.freezes[journal.View[journal.Freeze](raw)[0].ID] = at
	case journal.KindTransfers:
		r.transfer(w, at, actor, transaction, booked)
		r.metadata[ownerKey{"transfer", k.Transfer(e).ID}] = details.Metadata
	}
}

// transfer notes a transfer as the ledger keeps it.
func (r *records) transfer(w *World, at journal.Position, actor journal.Actor, transaction money.U128, booked journal.Date) {
	fact := w.fact(at)
	var pending *ledger.Fact
	if fact.PendingPosition != 0 {
		f := w.fact(fact.PendingPosition)
		pending = &f
	}
	t := transferRecord{Transfer: fact.Resolve(at, pending), booked: booked, transaction: transaction, actor: actor}
	if booked == 0 {
		t.booked = journal.DateOf(t.Timestamp, r.offset)
	}
	switch {
	case t.Flags.Has(journal.TransferPending):
		t.remaining, t.state = t.Amount, "open"
	case fact.PendingPosition != 0:
		p := &r.transfers[r.byPosition[fact.PendingPosition]]
		t.released = p.remaining
		if t.Flags.Has(journal.TransferKeepRemainder) {
			t.released = t.Amount
		}
		if p.remaining, _ = p.remaining.Sub(t.released); p.remaining.IsZero() {
			p.state, p.ended = "posted", t.Timestamp
			if t.Flags.Has(journal.TransferVoid) {
				p.state = "voided"
			}
		}
	}
	r.byPosition[at], r.byID[t.ID] = len(r.transfers), len(r.transfers)
	r.transfers = append(r.transfers, t)
	r.times[t.Timestamp], r.lastTransfer = true, t.Timestamp
}
