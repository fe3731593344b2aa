package cell

import (
	"context"
	"errors"
	"fmt"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/ledger"
	"github.com/sterlingrun/sterling/money"
)

// ErrUnproven is a journal whose money does not add up: balances differ from the sum of what was recorded, or an
// asset's debits from its credits.
var ErrUnproven = errors.New("the books do not add up")

// Verification is what Verify found to be right.
type Verification struct {
	Blocks    uint64
	Events    uint64
	Accounts  uint64
	Transfers uint64
	Pending   uint64
	Head      journal.Hash
	Assets    []AssetTotal
}

// AssetTotal are the sums over all accounts of one asset, in minor units. Debits equal credits.
type AssetTotal struct {
	Asset           string
	Accounts        uint64
	Posted, Pending money.U128
}

// Verify reads a whole journal and checks everything that can be known from it: hashes and the chain, every outcome
// by validating every request again, and every balance by adding up the recorded movements a second time, without
// the ledger's help. Progress may be nil. The log must not be written to meanwhile.
func Verify(ctx context.Context, id uint64, log Log, progress func(seq, head uint64)) (Verification, error) {
	head, hash, err := log.Head(ctx)
	if err != nil {
		return Verification{}, fmt.Errorf("find the journal's head: %w", err)
	}
	c := &Cell{opts: Options{ID: id, Log: log, Progress: progress, HashKey: [2]uint64{0x5745_4152, 0x4556_4552}}}
	c.state = ledger.New(ledger.Config{HashKey: c.opts.HashKey})
	sum := newTally()
	c.opts.Follower = sum
	if err := c.replay(ctx, 0, head); err != nil {
		return Verification{}, err
	}
	if c.head != hash {
		return Verification{}, fmt.Errorf("%w: block %d has hash %v, the log says %v", ErrDamaged, head, c.head, hash)
	}
	v := Verification{
		Blocks: head, Events: sum.events, Accounts: c.state.Counts().Accounts, Transfers: c.state.Counts().Transfers,
		Pending: c.state.Counts().Pending, Head: hash,
	}
	v.Assets, err = sum.compare(c.state)
	return v, err
}

// tally adds up what the journal records, in the plainest way: no rules, only movements.
type tally struct {
	seq, events uint64
	accounts    map[money.U128]*ledger.Balances
	reserved    map[money.U128]reservation // open reservations by transfer id
	fault       error
}

type reservation struct {
	debit, credit money.U128
	rest          money.U128
}

func newTally() *tally {
	return &tally{accounts: map[money.U128]*ledger.Balances{}, reserved: map[money.U128]reservation{}}
}

// Applied, Durable and Flush make the tally a Follower of the replay.
func (t *tally) Applied() uint64 { return t.seq }

// Durable implements Follower.
func (t *tally) Durable() uint64 { return t.seq }

// Flush implements Follower.
func (t *tally) Flush(context.Context) error { return nil }

// Add implements Follower.
func (t *tally) Add(k *journal.Block, _ *ledger.Effects) error {
	t.seq = k.Header.Seq
	t.events += uint64(k.Header.Events)
	for i := range k.Expiries {
		e := &k.Expiries[i]
		r, ok := t.reserved[e.Pending]
		if !ok || r.rest != e.Amount {
			return fmt.Errorf("%w: block %d releases %v of transfer %v, %v are reserved", ErrUnproven, t.seq, e.Amount, e.Pending, r.rest)
		}
		t.release(e.Pending, r, r.rest)
	}
	for part := range k.Parts() {
		for event := part.First; event < part.First+part.Count; event++ {
			o := k.Outcome(event)
			if o != nil && o.Status != journal.Created {
				continue
			}
			switch part.Kind {
			case journal.KindAccounts:
				a := &journal.View[journal.Account](k.EventBytes(event, 1))[0]
				t.accounts[a.ID] = &ledger.Balances{}
			case journal.KindTransfers:
				t.transfer(k.Transfer(event), o)
			}
		}
	}
	return t.fault
}

func (t *tally) transfer(x *journal.Transfer, o *journal.Outcome) {
	amount := x.Amount
	if o != nil {
		amount = o.Amount
	}
	f := x.Flags
	switch {
	case f.Has(journal.TransferPending):
		t.reserved[x.ID] = reservation{x.Debit, x.Credit, amount}
		t.move(x.Debit, x.Credit, amount, true)
	case f.Has(journal.TransferPost):
		r := t.reserved[x.PendingID]
		t.move(r.debit, r.credit, amount, false)
		if f.Has(journal.TransferKeepRemainder) && amount != r.rest {
			t.release(x.PendingID, r, amount)
			return
		}
		t.release(x.PendingID, r, r.rest)
	case f.Has(journal.TransferVoid):
		r := t.reserved[x.PendingID]
		t.release(x.PendingID, r, r.rest)
	default:
		t.move(x.Debit, x.Credit, amount, false)
	}
}

func (t *tally) move(debit, credit, amount money.U128, pending bool) {
	d, c := t.accounts[debit], t.accounts[credit]
	if d == nil || c == nil {
		t.fault = fmt.Errorf("%w: block %d moves money between accounts %v and %v, which nobody created", ErrUnproven, t.seq, debit, credit)
		return
	}
	from, to := &d.DebitsPosted, &c.CreditsPosted
	if pending {
		from, to = &d.DebitsPending, &c.CreditsPending
	}
	t.add(from, amount)
	t.add(to, amount)
}

func (t *tally) add(sum *money.U128, amount money.U128) {
	var over bool
	if *sum, over = sum.Add(amount); over {
		t.fault = fmt.Errorf("%w: a balance overflows in block %d", ErrUnproven, t.seq)
	}
}

func (t *tally) sub(sum *money.U128, amount money.U128) {
	var under bool
	if *sum, under = sum.Sub(amount); under {
		t.fault = fmt.Errorf("%w: a balance falls below zero in block %d", ErrUnproven, t.seq)
	}
}

// release takes amount off a reservation and off both accounts' pending sums.
func (t *tally) release(id money.U128, r reservation, amount money.U128) {
	d, c := t.accounts[r.debit], t.accounts[r.credit]
	if d == nil || c == nil {
		t.fault = fmt.Errorf("%w: block %d resolves transfer %v, which reserves nothing", ErrUnproven, t.seq, id)
		return
	}
	t.sub(&d.DebitsPending, amount)
	t.sub(&c.CreditsPending, amount)
	if amount == r.rest {
		delete(t.reserved, id)
		return
	}
	t.sub(&r.rest, amount)
	t.reserved[id] = r
}

// compare holds the sums against the state's balances, and each asset's debits against its credits.
func (t *tally) compare(s *ledger.State) ([]AssetTotal, error) {
	type sides struct{ debits, credits, debitsPending, creditsPending money.U128 }
	n := s.Assets().Len()
	sums := make([]sides, n+1)
	totals := make([]AssetTotal, n)
	for i := range s.Counts().Accounts {
		a := s.AccountByNumber(uint32(i + 1))
		mine := t.accounts[a.ID]
		if mine == nil || *mine != ledger.BalancesOf(&a) {
			return nil, fmt.Errorf("%w: account %v has balances %+v, its movements add up to %+v", ErrUnproven, a.ID, ledger.BalancesOf(&a), mine)
		}
		if a.Asset > uint32(n) { //nolint:gosec // ≤ ledger.MaxAssets
			return nil, fmt.Errorf("%w: account %v is of asset number %d, which is not registered", ErrUnproven, a.ID, a.Asset)
		}
		x := &sums[a.Asset]
		t.add(&x.debits, a.DebitsPosted)
		t.add(&x.credits, a.CreditsPosted)
		t.add(&x.debitsPending, a.DebitsPending)
		t.add(&x.creditsPending, a.CreditsPending)
		totals[a.Asset-1].Accounts++
	}
	for i := range totals {
		name, _ := s.Assets().Asset(uint32(i + 1))
		x := &sums[i+1]
		if x.debits != x.credits || x.debitsPending != x.creditsPending {
			return nil, fmt.Errorf("%w: %s: debits %v and credits %v posted, %v and %v pending", ErrUnproven, name, x.debits, x.credits, x.debitsPending, x.creditsPending)
		}
		totals[i].Asset, totals[i].Posted, totals[i].Pending = name.String(), x.debits, x.debitsPending
	}
	return totals, t.fault
}
