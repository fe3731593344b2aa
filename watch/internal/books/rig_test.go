package books_test

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/ledger"
	"github.com/sterlingrun/sterling/money"
	"github.com/sterlingrun/sterling/watch/internal/books"
	"github.com/sterlingrun/sterling/watch/internal/count"
)

const (
	cellID = 7
	second = 1_000_000_000
	dayNs  = 86_400 * second
)

// rig runs the real ledger with a journal in memory, to have blocks that are as they should be.
type rig struct {
	testing.TB
	state   *ledger.State
	builder *journal.Builder
	fx      ledger.Effects
	log     []*journal.Block
	clock   uint64
	opened  uint64
	open    bool
	kind    journal.BlockKind
}

func newRig(t testing.TB) *rig {
	return &rig{TB: t, state: ledger.New(ledger.Config{}), builder: journal.NewBuilder(), clock: 1000 * dayNs, kind: journal.BlockEpoch}
}

func (r *rig) begin() {
	if r.open {
		return
	}
	r.open, r.opened = true, max(r.clock, r.state.NextTime())
	r.state.Begin(r.builder, &r.fx, uint64(len(r.log))+1, r.opened)
	r.state.Expire()
}

func (r *rig) seal() *journal.Block {
	if !r.open {
		return nil
	}
	r.open = false
	if r.builder.Empty() {
		r.state.End(nil)
		return nil
	}
	h := journal.Header{Kind: r.kind, Rules: ledger.Rules, Cell: cellID, Epoch: 1, Seq: uint64(len(r.log)) + 1, Time: r.opened}
	r.kind = journal.BlockNormal
	if n := len(r.log); n > 0 {
		h.Prev, h.Acked = r.log[n-1].Hash, uint64(n)
	}
	kept, err := journal.Decode(bytes.Clone(r.builder.Seal(h).Raw))
	if err != nil {
		r.Fatal(err)
	}
	r.state.End(kept)
	r.log = append(r.log, kept)
	r.state.Release(h.Seq)
	return kept
}

// apply runs a request in a block of its own.
func (r *rig) apply(kind journal.Kind, actor byte, events []byte, attached ...journal.Attachment) []journal.Result {
	r.Helper()
	results := r.join(kind, actor, events, attached...)
	r.seal()
	return results
}

// join runs a request in the open block.
func (r *rig) join(kind journal.Kind, actor byte, events []byte, attached ...journal.Attachment) []journal.Result {
	r.Helper()
	events = journal.Aligned(events)
	if err := ledger.CheckRequest(kind, events, attached); err != nil {
		r.Fatal(err)
	}
	r.begin()
	r.state.Attach(attached)
	facts := ledger.Facts{At: map[journal.Position]ledger.Fact{}, TransferAt: map[uint64]bool{}}
	for _, n := range r.state.Needs(kind, events, nil) {
		if n.OfTimestamp() {
			facts.TransferAt[n.Timestamp] = false
			continue
		}
		f := r.fact(n.Position)
		facts.At[n.Position] = f
		if f.PendingPosition != 0 {
			facts.At[f.PendingPosition] = r.fact(f.PendingPosition)
		}
	}
	results := make([]journal.Result, len(events)/journal.RecordSize)
	r.state.Apply(kind, journal.Actor{actor}, events, facts, results)
	return results
}

func (r *rig) fact(p journal.Position) ledger.Fact {
	k := r.log[p.Seq()-1]
	i := p.Index() - len(k.Expiries)
	return ledger.NewFact(k.Transfer(i), k.Outcome(i), k.Attachment(i), k.Header.Time+uint64(p.Index()))
}

// must is apply of what has to be created.
func (r *rig) must(kind journal.Kind, actor byte, events []byte, attached ...journal.Attachment) {
	r.Helper()
	for i, res := range r.apply(kind, actor, events, attached...) {
		if res.Status != journal.Created {
			r.Fatalf("event %d: status %d", i, res.Status)
		}
	}
}

// send sends transfers in a block of their own.
func (r *rig) send(list ...journal.Transfer) []journal.Result {
	r.Helper()
	return r.apply(journal.KindTransfers, 1, journal.Bytes(list))
}

// raws are the blocks as they stand in the journal.
func (r *rig) raws() (list [][]byte) {
	for _, k := range r.log {
		list = append(list, k.Raw)
	}
	return list
}

// setUp opens two assets and five accounts: 1 and 2 of asset 1 without limits, 3 that may not be overdrawn, 4 whose
// credits may not exceed its debits, 5 of asset 2; and puts 1,000 into account 3.
func (r *rig) setUp() {
	r.Helper()
	assets := []journal.Asset{{Scale: 2}, {Scale: 2}}
	copy(assets[0].Code[:], "CNY")
	copy(assets[1].Code[:], "USD")
	r.must(journal.KindAssets, 1, journal.Bytes(assets))
	accounts := []journal.Account{
		{ID: money.From(1), Asset: 1, Code: 1},
		{ID: money.From(2), Asset: 1, Code: 2},
		{ID: money.From(3), Asset: 1, Code: 2, Flags: journal.AccountDebitsMustNotExceedCredits},
		{ID: money.From(4), Asset: 1, Code: 3, Flags: journal.AccountCreditsMustNotExceedDebits},
		{ID: money.From(5), Asset: 2, Code: 1},
		{ID: money.From(6), Asset: 2, Code: 1},
	}
	r.must(journal.KindAccounts, 1, journal.Bytes(accounts))
	r.must(journal.KindTransfers, 1, journal.Bytes([]journal.Transfer{plain(100, 1, 3, 1000)}))
}

func plain(id, debit, credit, amount uint64) journal.Transfer {
	return journal.Transfer{ID: money.From(id), Debit: money.From(debit), Credit: money.From(credit), Amount: money.From(amount), Asset: 1, Code: 1}
}

func reserve(id, debit, credit, amount uint64, timeout uint32) journal.Transfer {
	t := plain(id, debit, credit, amount)
	t.Flags, t.Timeout = journal.TransferPending, timeout
	return t
}

func resolve(id, pending, amount uint64, flags journal.TransferFlags) journal.Transfer {
	return journal.Transfer{ID: money.From(id), PendingID: money.From(pending), Amount: money.From(amount), Flags: flags}
}

// watched is what a model said of blocks.
type watched struct {
	model    *books.Model
	moves    []books.Movement
	findings []books.Finding
}

func watch(m *books.Model, raws [][]byte) *watched {
	w := &watched{model: m}
	for _, raw := range raws {
		m.Apply(raw, func(x *books.Movement) { w.moves = append(w.moves, *x) }, func(f *books.Finding) { w.findings = append(w.findings, *f) })
	}
	return w
}

// sameAs compares a model's balances and totals with the ledger's.
func (r *rig) sameAs(m *books.Model) error {
	n := r.state.Counts().Accounts
	if m.Accounts() != n || m.Pending() != r.state.Counts().Pending {
		return fmt.Errorf("%d accounts, %d reservations; the ledger has %d and %d", m.Accounts(), m.Pending(), n, r.state.Counts().Pending)
	}
	sums := map[uint32]*books.Sums{}
	for i := range n {
		a := r.state.AccountByNumber(uint32(i + 1))
		got, ok := m.Account(id(a.ID))
		want := books.Balances{
			Account: id(a.ID), Asset: a.Asset, DebitsPosted: count.Amount(a.DebitsPosted), CreditsPosted: count.Amount(a.CreditsPosted),
			DebitsPending: count.Amount(a.DebitsPending), CreditsPending: count.Amount(a.CreditsPending),
		}
		if !ok || got != want {
			return fmt.Errorf("account %+v, the ledger has %+v", got, want)
		}
		if sums[a.Asset] == nil {
			sums[a.Asset] = &books.Sums{}
		}
		s := sums[a.Asset]
		s.DebitsPosted.Add(want.DebitsPosted)
		s.CreditsPosted.Add(want.CreditsPosted)
		s.DebitsPending.Add(want.DebitsPending)
		s.CreditsPending.Add(want.CreditsPending)
	}
	for _, t := range m.Totals() {
		if t.Exact != *sums[t.Asset] || !t.Exact.Balanced() {
			return fmt.Errorf("totals %+v, the ledger's accounts add up to %+v", t, sums[t.Asset])
		}
	}
	return nil
}

func id(v money.U128) count.ID { return count.IDOf(count.Amount(v)) }
