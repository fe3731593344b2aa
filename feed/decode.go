package feed

import (
	"context"
	"fmt"
	"sort"
	"sync"

	"github.com/sterlingrun/sterling/cell"
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/ledger"
	"github.com/sterlingrun/sterling/money"
)

// page is a durable block as subscribers read it: its records as they stand there, and, once somebody needs it, what
// only earlier blocks can tell of them. All subscribers share it; the block never changes.
type page struct {
	block *journal.Block

	mu      sync.Mutex
	kept    *kept
	asked   int // by filters of accounts
	summary *bloom
	shared  sharedChunks
}

// kept is what a block's own bytes don't say.
type kept struct {
	expired   []Expired
	transfers []journal.Transfer // number i is that of the block's outcome i; only of created transfers
}

// newPage makes a page of a block that is the caller's own, and now the page's: it writes into each transfer that needs
// no more than the block what its timestamp is, so that its record is whole.
func newPage(k *journal.Block) *page {
	time := k.Header.Time + uint64(len(k.Expiries))
	at := 0 // outcome
	for part := range k.Parts() {
		if part.Kind != journal.KindTransfers {
			continue
		}
		records := journal.View[journal.Transfer](k.EventBytes(part.First, part.Count))
		for i := range records {
			event := part.First + i
			for at < len(k.Outcomes) && int(k.Outcomes[at].Event) < event {
				at++
			}
			if at < len(k.Outcomes) && int(k.Outcomes[at].Event) == event || records[i].Flags.Has(journal.TransferImported) {
				continue
			}
			records[i].Timestamp = time + uint64(event) //nolint:gosec // ≥ 0
		}
	}
	return &page{block: k}
}

// resolve returns what earlier blocks say of a page, by way of the tail or the ledger. It is looked up once.
func (f *Feed) resolve(ctx context.Context, p *page) (*kept, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.kept != nil {
		return p.kept, nil
	}
	k := p.block
	var found kept
	if err := f.expired(ctx, k, &found); err != nil {
		return nil, fmt.Errorf("expiries of block %d: %w", k.Header.Seq, err)
	}
	if len(k.Outcomes) > 0 {
		found.transfers = make([]journal.Transfer, len(k.Outcomes))
	}
	for part := range k.Parts() {
		if part.Kind != journal.KindTransfers {
			continue
		}
		for i := firstOutcome(k, part.First); i < len(k.Outcomes) && int(k.Outcomes[i].Event) < part.First+part.Count; i++ {
			if k.Outcomes[i].Status != journal.Created {
				continue
			}
			t, err := f.transfer(ctx, k, &k.Outcomes[i])
			if err != nil {
				return nil, fmt.Errorf("event %d of block %d: %w", k.Outcomes[i].Event, k.Header.Seq, err)
			}
			found.transfers[i] = t
		}
	}
	p.kept = &found
	return p.kept, nil
}

// firstOutcome is the place of the first outcome of an event from event on.
func firstOutcome(k *journal.Block, event int) int {
	return sort.Search(len(k.Outcomes), func(i int) bool { return int(k.Outcomes[i].Event) >= event })
}

func (f *Feed) expired(ctx context.Context, k *journal.Block, found *kept) error {
	list := k.Expiries
	if len(list) == 0 {
		return nil
	}
	ids := make([]money.U128, len(list))
	for i := range list {
		ids[i] = list[i].Pending
	}
	pendings, err := f.ledger.LookupTransfers(ctx, ids)
	if err != nil {
		return err
	}
	if len(pendings) != len(list) {
		return fmt.Errorf("%w: %d of %d pending transfers are there", cell.ErrDamaged, len(pendings), len(list))
	}
	found.expired = make([]Expired, len(list))
	for i := range list {
		found.expired[i] = Expired{Expiry: list[i], Transfer: pendings[i].Transfer, Attachment: pendings[i].Attachment}
	}
	return nil
}

// taker is given events in order. It keeps nothing of e itself, which is used again; e's record never changes. It
// returns false for an event that it does not take any more.
type taker interface {
	take(e *Event) (bool, error)
}

// walker goes over the events of one page.
type walker struct {
	feed    *Feed
	page    *page
	matcher *matcher
	to      taker
	from    int // index
	kept    *kept
	event   Event // the one that is shown
}

// walk shows the events of a page from an index on that match, until the taker wants no more. Transfers, which are
// nearly all, are matched as they stand in the block.
func (f *Feed) walk(ctx context.Context, p *page, from int, m *matcher, to taker) (whole bool, err error) {
	k := p.block
	h := &k.Header
	if h.Events+h.Expiries == 0 {
		return true, nil
	}
	w := walker{feed: f, page: p, matcher: m, to: to, from: from}
	transfers := m.wants(TransferCreated) || m.wants(ReservationExpired)
	if transfers && h.Expiries+h.Outcomes > 0 {
		if w.kept, err = f.resolve(ctx, p); err != nil {
			return false, err
		}
	}
	w.event.Position, w.event.BlockTime = Position{Cell: h.Cell, Seq: h.Seq}, h.Time
	for i := range k.Expiries {
		if i < from || !m.wants(ReservationExpired) {
			continue
		}
		if more, err := w.show(i, ReservationExpired, h.Time+uint64(i), &w.kept.expired[i], nil, nil); !more {
			return false, err
		}
	}
	for part := range k.Parts() {
		walkPart := w.others
		if part.Kind == journal.KindTransfers {
			walkPart = w.transfers
		}
		if more, err := walkPart(&part); !more {
			return false, err
		}
	}
	return true, nil
}

// show gives an event to the taker if it matches.
func (w *walker) show(index int, kind Kind, timestamp uint64, record any, actor *journal.Actor, attachment []byte) (more bool, err error) {
	e := &w.event
	e.Position.Index, e.Kind, e.Timestamp, e.Record, e.Actor, e.Attachment = index, kind, timestamp, record, actor, attachment
	if !w.matcher.match(e) {
		return true, nil
	}
	return w.to.take(e)
}

// transfers shows the transfers of a part that took effect.
func (w *walker) transfers(part *journal.Part) (more bool, err error) {
	m, k, e := w.matcher, w.page.block, &w.event
	if !m.wants(TransferCreated) {
		return true, nil
	}
	expiries := len(k.Expiries)
	records := journal.View[journal.Transfer](k.EventBytes(part.First, part.Count))
	begin := max(part.First, w.from-expiries)
	at := firstOutcome(k, begin)
	e.Kind, e.Actor = TransferCreated, &part.Request.Actor
	for event := begin; event < part.First+part.Count; event++ {
		t := &records[event-part.First]
		if at < len(k.Outcomes) && int(k.Outcomes[at].Event) == event {
			at++
			if k.Outcomes[at-1].Status != journal.Created {
				continue
			}
			t = &w.kept.transfers[at-1]
		}
		if !m.all && !m.transfer(t) {
			continue
		}
		e.Position.Index, e.Timestamp, e.Record, e.Attachment = expiries+event, t.Timestamp, t, nil
		if k.Header.Attachments > 0 {
			e.Attachment = k.Attachment(event)
		}
		if more, err := w.to.take(e); !more {
			return false, err
		}
	}
	return true, nil
}

// others shows the events of a part of another kind that took effect.
func (w *walker) others(part *journal.Part) (more bool, err error) {
	k := w.page.block
	for event := max(part.First, w.from-len(k.Expiries)); event < part.First+part.Count; event++ {
		index := len(k.Expiries) + event
		at := k.Header.Time + uint64(index) //nolint:gosec // index ≥ 0
		o := k.Outcome(event)
		if o != nil {
			if o.Status != journal.Created {
				continue
			}
			at = o.Timestamp
		}
		raw := k.EventBytes(event, 1)
		kind, record := w.record(part.Kind, raw, k.Attachment(event))
		if a, ok := record.(*journal.Account); ok && o == nil && a.Flags.Has(journal.AccountImported) {
			at = a.Timestamp
		}
		var attachment []byte
		if !secret(part.Kind, raw) {
			attachment = k.Attachment(event)
		}
		if more, err := w.show(index, kind, at, record, &part.Request.Actor, attachment); !more {
			return false, err
		}
	}
	return true, nil
}

// record is what an event that is no transfer shows.
func (w *walker) record(kind journal.Kind, raw, attachment []byte) (Kind, any) {
	switch kind {
	case journal.KindAccounts:
		return AccountCreated, &journal.View[journal.Account](raw)[0]
	case journal.KindAssets:
		a := ledger.AssetOf(&journal.View[journal.Asset](raw)[0])
		return AssetRegistered, &RegisteredAsset{a, w.feed.ledger.Assets().Number(a)}
	case journal.KindFreeze:
		return Frozen, &journal.View[journal.Freeze](raw)[0]
	case journal.KindUnfreeze:
		return Unfrozen, &journal.View[journal.Unfreeze](raw)[0]
	case journal.KindLimits:
		return LimitSet, &journal.View[journal.Limit](raw)[0]
	case journal.KindCarry, journal.KindGive, journal.KindTake:
		return movesRecord(kind, raw, attachment)
	}
	return Other, otherRecord(kind, raw)
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

// transfer returns a created transfer that has an outcome, as it is kept.
func (f *Feed) transfer(ctx context.Context, k *journal.Block, o *journal.Outcome) (journal.Transfer, error) {
	fact := ledger.NewFact(k.Transfer(int(o.Event)), o, nil, o.Timestamp)
	var pending ledger.Fact
	if fact.PendingPosition != 0 {
		t, err := f.pending(ctx, k, fact.PendingPosition)
		if err != nil {
			return t, err
		}
		pending.Asked = t
	}
	return fact.Resolve(journal.At(k.Header.Seq, int(o.Event)), &pending).Transfer, nil
}

// pending returns the pending transfer at p: from block k, from the tail, or from the journal.
func (f *Feed) pending(ctx context.Context, k *journal.Block, p journal.Position) (journal.Transfer, error) {
	if p.Seq() != k.Header.Seq {
		k = f.tail.block(p.Seq())
	}
	if k != nil {
		event := p.Index() - len(k.Expiries)
		if event < 0 || event >= int(k.Header.Events) {
			return journal.Transfer{}, fmt.Errorf("%w: there is no event at index %d of block %d", cell.ErrDamaged, p.Index(), p.Seq())
		}
		return *k.Transfer(event), nil
	}
	t, err := f.ledger.Transfer(ctx, p)
	if err != nil {
		return journal.Transfer{}, fmt.Errorf("the pending transfer: %w", err)
	}
	return t.Transfer, nil
}

// mayHave reports whether a page may have an event of one of the accounts. The first who asks has to look himself: a
// summary pays only where several do.
func (f *Feed) mayHave(ctx context.Context, p *page, accounts []money.U128) (bool, error) {
	p.mu.Lock()
	p.asked++
	b, first := p.summary, p.asked == 1
	p.mu.Unlock()
	if first {
		return true, nil
	}
	if b == nil {
		b = newBloom(2 * int(p.block.Header.Events+p.block.Header.Expiries))
		if _, err := f.walk(ctx, p, 0, &matcher{all: true}, b); err != nil {
			return false, err
		}
		p.mu.Lock()
		p.summary = b
		p.mu.Unlock()
	}
	for _, id := range accounts {
		if b.may(id) {
			return true, nil
		}
	}
	return false, nil
}

// bloom is a set of accounts that may say yes too often (about 1 in 70 for a full block), never no: one look tells most
// subscribers of few accounts that a block is none of theirs.
type bloom struct{ bits []uint64 }

// take adds the accounts of an event.
func (b *bloom) take(e *Event) (bool, error) {
	switch r := e.Record.(type) {
	case *journal.Transfer:
		b.add(r.Debit)
		b.add(r.Credit)
	case *Expired:
		b.add(r.Transfer.Debit)
		b.add(r.Transfer.Credit)
	case *journal.Account:
		b.add(r.ID)
	case *journal.Freeze:
		b.add(r.Account)
	case *journal.Limit:
		b.add(r.Account)
	case *HandedOver:
		b.add(r.Account)
		b.add(r.Clearing)
	case *HeldOver:
		b.add(r.Transfer.Debit)
		b.add(r.Transfer.Credit)
	case *OtherRecord:
		b.add(r.Account)
	}
	return true, nil
}

// newBloom has 16 bits or more for each of n accounts: there may be many small blocks.
func newBloom(n int) *bloom {
	words := 1
	for words*4 < n {
		words *= 2
	}
	return &bloom{make([]uint64, words)}
}

func (b *bloom) add(id money.U128) {
	h, g := bloomHash(id)
	words := uint64(len(b.bits))
	b.bits[h>>6%words] |= 1 << (h & 63)
	b.bits[g>>6%words] |= 1 << (g & 63)
}

func (b *bloom) may(id money.U128) bool {
	h, g := bloomHash(id)
	words := uint64(len(b.bits))
	return b.bits[h>>6%words]&(1<<(h&63)) != 0 && b.bits[g>>6%words]&(1<<(g&63)) != 0
}

func bloomHash(id money.U128) (h, g uint64) {
	x := (id.Lo ^ id.Hi*0x9e3779b97f4a7c15) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>31) * 0x94d049bb133111eb
	return x >> 32, x ^ x>>29
}
