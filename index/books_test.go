package index_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/sterlingrun/sterling/index"
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/ledger"
	"github.com/sterlingrun/sterling/money"
)

// books make blocks of everything that moves money, and write every movement down the plainest way: one line for each
// account and event. What the index says of the past is compared with sums over these lines. The effects are derived
// from the blocks.
type books struct {
	rng       *rand.Rand
	deriver   *index.Deriver
	offset    int32
	moving    bool // the zone changes now and then
	time      uint64
	last      uint64 // timestamp of the youngest transfer
	blocks    []*journal.Block
	effects   []*ledger.Effects
	accounts  []bookAccount
	lines     []line
	transfers map[journal.Position]ledger.Transfer
	ordered   []journal.Position
	open      []*held
	nextID    uint64
}

type bookAccount struct {
	ref     index.AccountRef
	history bool
	address string
	meta    []journal.Meta
	metaAt  journal.Position
}

// line is one movement of one account.
type line struct {
	account         uint32
	at              uint64 // timestamp
	position        journal.Position
	date            journal.Date
	expired, posts  bool
	credit          bool
	posted, pending int64
	transfer        journal.Position // of an expiry: of the pending one
}

// held is an open reservation.
type held struct {
	t       ledger.Transfer
	rest    uint64
	expires uint64
	d, c    uint32
}

const firstMoment = 20_000 * 86_400 * 1_000_000_000 // a day in 2024, in ns

func newBooks(seed uint64, offset int32) *books {
	b := &books{
		rng: rand.New(rand.NewPCG(seed, 5)), deriver: index.NewDeriver(), time: firstMoment + 3_600_000_000_000, offset: offset,
		transfers: map[journal.Position]ledger.Transfer{}, nextID: 1 << 20,
	}
	return b
}

func (b *books) maybe(percent int) bool { return b.rng.IntN(100) < percent }

func (b *books) id() money.U128 {
	b.nextID++
	return money.From(b.nextID)
}

// making is a block under construction.
type making struct {
	*books
	seq      uint64
	b        *journal.Builder
	h        journal.Header
	expiries int
	outcome  []journal.Outcome
}

// addBlock makes a block of some requests; the effects are derived.
func (b *books) addBlock(requests int) error {
	k := &making{books: b, seq: uint64(len(b.blocks)) + 1, b: journal.NewBuilder()}
	b.time += 1000 + b.rng.Uint64N(9*3_600_000_000_000)
	k.h = journal.Header{Kind: journal.BlockNormal, Cell: 7, Seq: k.seq, Time: b.time, Acked: k.seq - 1}
	if k.seq > 1 {
		k.h.Prev = b.blocks[k.seq-2].Hash
	}
	k.expire()
	if b.moving && b.maybe(10) {
		b.offset += int32(b.rng.IntN(3)-1) * 300
	}
	if k.seq == 1 && b.offset != 0 || b.moving {
		k.b.AddRequest(journal.KindPolicy, journal.Actor{}, journal.Bytes([]journal.Policy{{UTCOffset: b.offset}}))
	}
	for range requests {
		switch {
		case len(b.accounts) < 3 || len(b.accounts) < 8 && b.maybe(20):
			k.addAccounts()
		case b.maybe(10):
			k.changeMetadata()
		default:
			k.addTransfers()
		}
	}
	for _, o := range k.outcome {
		k.b.AddOutcome(o)
	}
	sealed := k.b.Seal(k.h)
	fx := &ledger.Effects{}
	if err := b.deriver.Derive(sealed, fx); err != nil {
		return err
	}
	b.time = sealed.Header.End()
	b.blocks, b.effects = append(b.blocks, sealed), append(b.effects, fx)
	return nil
}

func (k *making) expire() {
	kept := k.open[:0]
	for _, r := range k.open {
		if r.expires == 0 || r.expires > k.time || k.expiries == journal.MaxEvents {
			kept = append(kept, r)
			continue
		}
		at := journal.At(k.seq, k.expiries)
		k.b.AddExpiry(journal.Expiry{Pending: r.t.ID, Amount: money.From(r.rest)})
		for _, side := range []struct {
			n      uint32
			credit bool
		}{{r.d, false}, {r.c, true}} {
			k.lines = append(k.lines, line{
				account: side.n, at: k.time + uint64(k.expiries), position: at, expired: true, credit: side.credit,
				pending: -int64(r.rest), transfer: r.t.Position,
			})
		}
		k.expiries++
	}
	k.open = kept
}

func (k *making) meta() (m []journal.Meta) {
	for _, key := range []string{"channel", "order", "vip"} {
		switch {
		case k.maybe(50):
		case key == "vip":
			m = append(m, journal.Bool(key, k.maybe(50)))
		case key == "order":
			m = append(m, journal.Int(key, int64(k.rng.IntN(3))))
		default:
			m = append(m, journal.Text(key, []string{"shop", "app"}[k.rng.IntN(2)]))
		}
	}
	return m
}

func (k *making) addAccounts() {
	n := uint32(len(k.accounts)) + 1
	a := bookAccount{ref: index.AccountRef{Number: n, ID: money.From(uint64(n) + 100)}, history: k.maybe(25)}
	record := journal.Account{ID: a.ref.ID, Asset: 1}
	if a.history {
		record.Flags |= journal.AccountHistory
	}
	var d journal.Details
	if k.maybe(70) {
		d.Address = fmt.Sprintf("%s:%d:%s", []string{"merchant", "user", "merchant-x"}[k.rng.IntN(3)], n, []string{"main", "fees"}[k.rng.IntN(2)])
	}
	d.Metadata = k.meta()
	if !d.Empty() {
		record.Flags |= journal.AccountAttached
	}
	event, _ := k.b.AddRequest(journal.KindAccounts, journal.Actor{}, journal.Bytes([]journal.Account{record}))
	if !d.Empty() {
		k.b.Attach(event, d.Append(nil))
		a.address, a.meta, a.metaAt = d.Address, d.Metadata, journal.At(k.seq, k.expiries+event)
	}
	k.accounts = append(k.accounts, a)
}

func (k *making) changeMetadata() {
	a := &k.accounts[k.rng.IntN(len(k.accounts))]
	d := journal.Details{Metadata: k.meta()}
	event, _ := k.b.AddRequest(journal.KindMetadata, journal.Actor{}, journal.Bytes([]journal.MetadataChange{{ID: k.id(), Account: a.ref.ID}}))
	if !d.Empty() {
		k.b.Attach(event, d.Append(nil))
	}
	a.meta, a.metaAt = d.Metadata, journal.At(k.seq, k.expiries+event)
}

// addTransfers adds a request: plain, imported, or a transaction with a head.
func (k *making) addTransfers() {
	n := 1 + k.rng.IntN(5)
	kind, imported := journal.KindTransfers, k.maybe(15)
	var records []journal.Transfer
	var plans []plan
	if !imported && k.maybe(20) {
		kind = journal.KindTransaction
		records = append(records, journal.Transfer{ID: k.id(), Flags: journal.TransferHead})
		plans = append(plans, plan{})
	}
	taken := map[money.U128]bool{}
	for range n {
		p := k.plan(imported, taken)
		if imported && p.t.Timestamp == 0 {
			break
		}
		records, plans = append(records, p.t), append(plans, p)
	}
	if len(records) == 0 {
		return
	}
	first, _ := k.b.AddRequest(kind, journal.Actor{}, journal.Bytes(records))
	for i := range plans {
		if p := &plans[i]; p.moves {
			k.take(first+i, p)
		} else if !records[i].Flags.Has(journal.TransferHead) {
			k.outcome = append(k.outcome, journal.Outcome{Event: uint32(first + i), Status: journal.TransferExceedsCredits, Timestamp: 1})
		}
	}
}

// plan is a transfer that is to be, and what it resolves.
type plan struct {
	t        journal.Transfer
	moves    bool
	resolves *held
	details  journal.Details
	amount   uint64
}

func (k *making) plan(imported bool, taken map[money.U128]bool) plan {
	d := k.rng.IntN(len(k.accounts))
	c := (d + 1 + k.rng.IntN(len(k.accounts)-1)) % len(k.accounts)
	p := plan{moves: !k.maybe(10), amount: k.rng.Uint64N(1000)}
	p.t = journal.Transfer{ID: k.id(), Debit: k.accounts[d].ref.ID, Credit: k.accounts[c].ref.ID, Asset: 1, Code: 1}
	if imported {
		if k.last == 0 || k.last+10 >= k.time {
			return p
		}
		p.t.Flags, p.moves = journal.TransferImported, true
		p.t.Timestamp = k.last + 1 + k.rng.Uint64N((k.time-k.last)/4+1)
		k.last = p.t.Timestamp
	}
	switch {
	case len(k.open) > 0 && k.maybe(45):
		r := k.open[k.rng.IntN(len(k.open))]
		if taken[r.t.ID] || !p.moves || r.expires != 0 && r.expires <= k.time+20_000 {
			break
		}
		taken[r.t.ID] = true
		p.resolves = r
		p.t.PendingID, p.t.Debit, p.t.Credit, p.t.Asset, p.t.Code = r.t.ID, money.U128{}, money.U128{}, 0, 0
		switch k.rng.IntN(4) {
		case 0:
			p.t.Flags |= journal.TransferVoid
			p.amount = r.rest
		case 1:
			p.t.Flags |= journal.TransferPost
			p.amount = r.rest
		case 2:
			p.t.Flags |= journal.TransferPost
			p.amount = k.rng.Uint64N(r.rest + 1)
		default:
			p.t.Flags |= journal.TransferPost | journal.TransferKeepRemainder
			p.amount = k.rng.Uint64N(r.rest + 1)
		}
	case k.maybe(35):
		p.t.Flags |= journal.TransferPending
		if !imported && k.maybe(60) {
			p.t.Timeout = 1 + k.rng.Uint32N(86_400)
		}
	}
	p.t.Amount = money.From(p.amount)
	if k.maybe(35) {
		ts := k.time
		if imported {
			ts = p.t.Timestamp
		}
		day := journal.DateOf(ts, k.offset)
		p.details.BookingDate = day - 5 + journal.Date(k.rng.Uint32N(11))
	}
	if k.maybe(20) {
		p.details.Metadata = k.meta()
	}
	if !p.details.Empty() {
		p.t.Flags |= journal.TransferAttached
	}
	return p
}

// take lets a planned transfer happen.
func (k *making) take(event int, p *plan) {
	at := journal.At(k.seq, k.expiries+event)
	t := ledger.Transfer{Transfer: p.t, Position: at}
	if !t.Flags.Has(journal.TransferImported) {
		t.Timestamp = k.time + uint64(k.expiries+event)
	}
	k.last = t.Timestamp
	if !p.details.Empty() {
		k.b.Attach(event, p.details.Append(nil))
	}
	d, c := k.numberOf(t.Debit), k.numberOf(t.Credit)
	posted, pending := int64(0), int64(0)
	switch r := p.resolves; {
	case r != nil:
		k.outcome = append(k.outcome, journal.Outcome{
			Event: uint32(event), Status: journal.Created, Timestamp: t.Timestamp, Amount: t.Amount, PendingPosition: r.t.Position,
		})
		t.Debit, t.Credit, d, c = r.t.Debit, r.t.Credit, r.d, r.c
		released := r.rest
		if t.Flags.Has(journal.TransferKeepRemainder) {
			released = p.amount
		}
		if t.Flags.Has(journal.TransferPost) {
			posted = int64(p.amount)
		}
		pending = -int64(released)
		if r.rest -= released; r.rest == 0 {
			k.open = slices.DeleteFunc(k.open, func(o *held) bool { return o == r })
		}
	case t.Flags.Has(journal.TransferPending):
		pending = int64(p.amount)
		r := &held{t: t, rest: p.amount, d: d, c: c}
		if t.Timeout != 0 {
			r.expires = t.Timestamp + uint64(t.Timeout)*1_000_000_000
		}
		k.open = append(k.open, r)
	default:
		posted = int64(p.amount)
	}
	date := p.details.BookingDate
	if date == 0 {
		date = journal.DateOf(t.Timestamp, k.offset)
	}
	l := line{
		at: t.Timestamp, position: at, date: date, posted: posted, pending: pending, transfer: at,
		posts: !t.Flags.Has(journal.TransferPending | journal.TransferVoid),
	}
	l.account = d
	k.lines = append(k.lines, l)
	l.account, l.credit = c, true
	k.lines = append(k.lines, l)
	k.transfers[at] = t
	k.ordered = append(k.ordered, at)
}

func (b *books) numberOf(id money.U128) uint32 { return uint32(id.Lo - 100) }

// Transfer and BlockTransfers are the Records of queries.
func (b *books) Transfer(_ context.Context, p journal.Position) (ledger.Transfer, error) {
	t, ok := b.transfers[p]
	if !ok {
		return t, fmt.Errorf("no transfer at %d/%d", p.Seq(), p.Index())
	}
	return t, nil
}

func (b *books) BlockTransfers(_ context.Context, seq uint64) ([]ledger.Transfer, error) {
	var found []ledger.Transfer
	for _, p := range b.ordered {
		if p.Seq() == seq {
			found = append(found, b.transfers[p])
		}
	}
	return found, nil
}

// sum adds up the lines of an account that are chosen.
func (b *books) sum(account uint32, choose func(*line) bool) (s ledger.Balances) {
	var v [4]int64
	for i := range b.lines {
		if l := &b.lines[i]; l.account == account && choose(l) {
			side := 0
			if l.credit {
				side = 2
			}
			v[side] += l.pending
			v[side+1] += l.posted
		}
	}
	return ledger.Balances{
		DebitsPending: money.From(uint64(v[0])), DebitsPosted: money.From(uint64(v[1])),
		CreditsPending: money.From(uint64(v[2])), CreditsPosted: money.From(uint64(v[3])),
	}
}

// chosen returns an account's lines that are chosen, in the order of less.
func (b *books) chosen(account uint32, choose func(*line) bool, order func(a, b line) int) (list []line) {
	for i := range b.lines {
		if l := &b.lines[i]; l.account == account && choose(l) {
			list = append(list, *l)
		}
	}
	slices.SortStableFunc(list, order)
	return list
}
