package feed

import (
	"context"
	"fmt"

	"github.com/sterlingrun/sterling/cell"
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/ledger"
	"github.com/sterlingrun/sterling/money"
)

// page is a block as events, with what a filter asks first. It never changes once made.
type page struct {
	seq, time uint64
	size      int // bytes of the block
	events    []Event
	accounts  bloom
}

// decoder turns one block into a page.
type decoder struct {
	feed  *Feed
	ctx   context.Context
	block *journal.Block
	page  *page
}

// decode reads every event of a block that took effect. What is needed of earlier blocks comes from the tail or from
// the ledger.
func (f *Feed) decode(ctx context.Context, k *journal.Block) (*page, error) {
	h := &k.Header
	p := &page{seq: h.Seq, time: h.Time, size: len(k.Raw)}
	if h.Events+h.Expiries == 0 {
		return p, nil
	}
	p.events = make([]Event, 0, h.Events+h.Expiries)
	d := decoder{feed: f, ctx: ctx, block: k, page: p}
	if err := d.expiries(); err != nil {
		return nil, fmt.Errorf("expiries of block %d: %w", h.Seq, err)
	}
	for part := range k.Parts() {
		for event := part.First; event < part.First+part.Count; event++ {
			if err := d.event(&part, event); err != nil {
				return nil, fmt.Errorf("event %d of block %d: %w", event, h.Seq, err)
			}
		}
	}
	return p, nil
}

// add appends an event and returns it, to be filled in.
func (d *decoder) add(index int, kind Kind, timestamp uint64, record any) *Event {
	h := &d.block.Header
	d.page.events = append(d.page.events, Event{
		Position: Position{h.Cell, h.Seq, index}, BlockTime: h.Time, Timestamp: timestamp, Kind: kind, Record: record,
	})
	return &d.page.events[len(d.page.events)-1]
}

func (d *decoder) expiries() error {
	list := d.block.Expiries
	if len(list) == 0 {
		return nil
	}
	ids := make([]money.U128, len(list))
	for i := range list {
		ids[i] = list[i].Pending
	}
	pendings, err := d.feed.ledger.LookupTransfers(d.ctx, ids)
	if err != nil {
		return err
	}
	if len(pendings) != len(list) {
		return fmt.Errorf("%w: %d of %d pending transfers are there", cell.ErrDamaged, len(pendings), len(list))
	}
	records := make([]Expired, len(list))
	for i := range list {
		t := &pendings[i].Transfer
		records[i] = Expired{Expiry: list[i], Transfer: *t}
		d.page.accounts.add(t.Debit)
		d.page.accounts.add(t.Credit)
		d.add(i, ReservationExpired, d.block.Header.Time+uint64(i), &records[i])
	}
	return nil
}

// event adds one event of a request, if it took effect.
func (d *decoder) event(part *journal.Part, event int) error {
	k := d.block
	o := k.Outcome(event)
	if o != nil && o.Status != journal.Created {
		return nil
	}
	index := len(k.Expiries) + event
	at := k.Header.Time + uint64(index) //nolint:gosec // index ≥ 0
	if o != nil {
		at = o.Timestamp
	}
	raw := k.EventBytes(event, 1)
	accounts := &d.page.accounts
	var e *Event
	switch part.Kind {
	case journal.KindAccounts:
		a := &journal.View[journal.Account](raw)[0]
		if o == nil && a.Flags.Has(journal.AccountImported) {
			at = a.Timestamp
		}
		accounts.add(a.ID)
		e = d.add(index, AccountCreated, at, a)
	case journal.KindTransfers:
		t, at, err := d.transfer(event, o, at)
		if err != nil {
			return err
		}
		accounts.add(t.Debit)
		accounts.add(t.Credit)
		e = d.add(index, TransferCreated, at, t)
	case journal.KindAssets:
		a := ledger.AssetOf(&journal.View[journal.Asset](raw)[0])
		e = d.add(index, AssetRegistered, at, &RegisteredAsset{a, d.feed.ledger.Assets().Number(a)})
	case journal.KindFreeze:
		z := &journal.View[journal.Freeze](raw)[0]
		accounts.add(z.Account)
		e = d.add(index, Frozen, at, z)
	case journal.KindUnfreeze:
		e = d.add(index, Unfrozen, at, &journal.View[journal.Unfreeze](raw)[0])
	case journal.KindLimits:
		l := &journal.View[journal.Limit](raw)[0]
		accounts.add(l.Account)
		e = d.add(index, LimitSet, at, l)
	default:
		r := otherRecord(part.Kind, raw)
		accounts.add(r.Account)
		e = d.add(index, Other, at, r)
	}
	e.Actor = &part.Request.Actor
	if !secret(part.Kind, raw) {
		e.Attachment = k.Attachment(event)
	}
	return nil
}

// otherRecord keeps a record's bytes, without what nobody but the ledger may know.
func otherRecord(kind journal.Kind, raw []byte) *OtherRecord {
	r := &OtherRecord{Kind: kind, Bytes: raw}
	switch kind {
	case journal.KindMetadata:
		r.Account = journal.View[journal.MetadataChange](raw)[0].Account
	case journal.KindPrincipals: // the hash of a token's secret
		p := journal.View[journal.Principal](raw)[0]
		p.Secret = journal.Hash{}
		r.Bytes = journal.Bytes([]journal.Principal{p})
	}
	return r
}

// secret reports whether an event's attachment is not for subscribers: a proposal of principals has hashes of secrets.
func secret(kind journal.Kind, raw []byte) bool {
	return kind == journal.KindProposal && journal.View[journal.Proposal](raw)[0].Inner == journal.KindPrincipals
}

// transfer returns a created transfer as it is kept, and its timestamp. Most stand in the block as they are.
func (d *decoder) transfer(event int, o *journal.Outcome, at uint64) (*journal.Transfer, uint64, error) {
	t := d.block.Transfer(event)
	if o == nil {
		if t.Flags.Has(journal.TransferImported) {
			at = t.Timestamp
		}
		return t, at, nil
	}
	f := ledger.NewFact(t, o, nil, at)
	var pending ledger.Fact
	if f.PendingPosition != 0 {
		p, err := d.pending(f.PendingPosition)
		if err != nil {
			return nil, 0, err
		}
		pending.Asked = p
	}
	kept := f.Resolve(journal.At(d.block.Header.Seq, event), &pending)
	return &kept.Transfer, f.Timestamp, nil
}

// pending returns the pending transfer at p: from this block, from the tail, or from the journal.
func (d *decoder) pending(p journal.Position) (journal.Transfer, error) {
	k := d.block
	if p.Seq() != k.Header.Seq {
		k = d.feed.tail.block(p.Seq())
	}
	if k != nil {
		event := p.Index() - len(k.Expiries)
		if event < 0 || event >= int(k.Header.Events) {
			return journal.Transfer{}, fmt.Errorf("%w: there is no event at index %d of block %d", cell.ErrDamaged, p.Index(), p.Seq())
		}
		return *k.Transfer(event), nil
	}
	t, err := d.feed.ledger.Transfer(d.ctx, p)
	if err != nil {
		return journal.Transfer{}, fmt.Errorf("the pending transfer: %w", err)
	}
	return t.Transfer, nil
}

// bloom is a set of accounts that may say yes too often (about 1 in 70 for a full block), never no: one look tells most
// subscribers of few accounts that a block is none of theirs.
type bloom struct{ bits []uint64 }

const bloomWords = 1 << 12 // 2^18 bits

func (b *bloom) add(id money.U128) {
	if b.bits == nil {
		b.bits = make([]uint64, bloomWords)
	}
	h, g := bloomHash(id)
	b.bits[h>>6%bloomWords] |= 1 << (h & 63)
	b.bits[g>>6%bloomWords] |= 1 << (g & 63)
}

func (b *bloom) may(id money.U128) bool {
	if b.bits == nil {
		return false
	}
	h, g := bloomHash(id)
	return b.bits[h>>6%bloomWords]&(1<<(h&63)) != 0 && b.bits[g>>6%bloomWords]&(1<<(g&63)) != 0
}

func bloomHash(id money.U128) (h, g uint64) {
	x := (id.Lo ^ id.Hi*0x9e3779b97f4a7c15) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>31) * 0x94d049bb133111eb
	return x >> 32, x ^ x>>29
}
