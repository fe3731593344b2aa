package cell

import (
	"context"
	"errors"
	"fmt"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/ledger"
	"github.com/sterlingrun/sterling/money"
)

// ErrUnproven is a journal whose money does not add up: the ledger's balances are not the witness's, or an asset's debits
// not its credits.
var ErrUnproven = errors.New("the books do not add up")

// Witness recomputes the ledger from the journal's blocks, with no code of the ledger's or the journal's: watch.Verifier
// is one. Numbers of 128 bits are given as their low and their high half.
type Witness interface {
	// Block takes the next block as it stands in the journal. An error is something that must not stand there.
	Block(raw []byte) error
	// Balances returns an account's sums: debits posted, credits posted, debits pending, credits pending.
	Balances(id [2]uint64) (asset uint32, sums [4][2]uint64, ok bool)
	// Accounts and Transfers count what was created, Pending open reservations, Events what all blocks have.
	Accounts() uint64
	Transfers() uint64
	Pending() uint64
	Events() uint64
	// Hash is the hash of the last block.
	Hash() [32]byte
}

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
// by validating every request again, and every balance by holding it against a witness's, who adds it up without the
// ledger's help. Progress may be nil. Blocks that are appended meanwhile are not looked at.
func Verify(ctx context.Context, id uint64, log Log, w Witness, progress func(seq, head uint64)) (Verification, error) {
	head, hash, err := log.Head(ctx)
	if err != nil {
		return Verification{}, fmt.Errorf("find the journal's head: %w", err)
	}
	c := &Cell{opts: Options{ID: id, Log: log, Progress: progress, HashKey: [2]uint64{0x5745_4152, 0x4556_4552}}}
	c.state = ledger.New(ledger.Config{HashKey: c.opts.HashKey})
	c.opts.Follower = &attendance{witness: w}
	if err := c.replay(ctx, head, head, true); err != nil {
		return Verification{}, err
	}
	if c.head != hash {
		return Verification{}, fmt.Errorf("%w: block %d has hash %v, the log says %v", ErrDamaged, head, c.head, hash)
	}
	if own := journal.Hash(w.Hash()); head > 0 && own != hash {
		return Verification{}, fmt.Errorf("%w: block %d has hash %v, by the witness's own decoder %v", ErrUnproven, head, hash, own)
	}
	v := Verification{
		Blocks: head, Events: w.Events(), Accounts: c.state.Counts().Accounts, Transfers: c.state.Counts().Transfers,
		Pending: c.state.Counts().Pending, Head: hash,
	}
	if err := compareWith(w, c.state); err != nil {
		return v, err
	}
	v.Assets, err = totals(c.state)
	return v, err
}

// attendance makes a witness a Follower of the replay.
type attendance struct {
	witness Witness
	seq     uint64
}

// Applied implements Follower.
func (a *attendance) Applied() uint64 { return a.seq }

// Durable implements Follower.
func (a *attendance) Durable() uint64 { return a.seq }

// Flush implements Follower.
func (a *attendance) Flush(context.Context) error { return nil }

// Add implements Follower.
func (a *attendance) Add(k *journal.Block, _ *ledger.Effects) error {
	a.seq = k.Header.Seq
	if err := a.witness.Block(k.Raw); err != nil {
		return fmt.Errorf("%w: %w", ErrUnproven, err)
	}
	return nil
}

// maxDifferences is how many accounts an error names.
const maxDifferences = 10

// compareWith holds every balance against the witness's. The error names the accounts that differ.
func compareWith(w Witness, s *ledger.State) error {
	n := s.Counts()
	if w.Accounts() != n.Accounts || w.Transfers() != n.Transfers || w.Pending() != n.Pending {
		return fmt.Errorf("%w: %d accounts, %d transfers and %d open reservations, the witness counts %d, %d and %d",
			ErrUnproven, n.Accounts, n.Transfers, n.Pending, w.Accounts(), w.Transfers(), w.Pending())
	}
	var found []error
	differ := 0
	for i := range n.Accounts {
		a := s.AccountByNumber(uint32(i + 1))
		asset, got, ok := w.Balances([2]uint64{a.ID.Lo, a.ID.Hi})
		var want [4][2]uint64
		for k, v := range [4]money.U128{a.DebitsPosted, a.CreditsPosted, a.DebitsPending, a.CreditsPending} {
			want[k] = [2]uint64{v.Lo, v.Hi}
		}
		if ok && asset == a.Asset && got == want {
			continue
		}
		if differ++; differ <= maxDifferences {
			found = append(found, difference(&a, got, asset, ok))
		}
	}
	if differ == 0 {
		return nil
	}
	return fmt.Errorf("%w: %d of %d accounts differ from what the witness adds up: %w", ErrUnproven, differ, n.Accounts, errors.Join(found...))
}

// difference says what the ledger has of an account and what the witness has.
func difference(a *journal.Account, got [4][2]uint64, asset uint32, ok bool) error {
	if !ok {
		return fmt.Errorf("account %v: the witness knows none", a.ID)
	}
	if asset != a.Asset {
		return fmt.Errorf("account %v: asset number %d, by the witness %d", a.ID, a.Asset, asset)
	}
	var sums [4]money.U128
	for i, v := range got {
		sums[i] = money.U128{Lo: v[0], Hi: v[1]}
	}
	return fmt.Errorf("account %v: debits %v and credits %v posted, %v and %v pending; by the witness %v and %v posted, %v and %v pending",
		a.ID, a.DebitsPosted, a.CreditsPosted, a.DebitsPending, a.CreditsPending, sums[0], sums[1], sums[2], sums[3])
}

// totals adds every asset's accounts up and holds debits against credits.
func totals(s *ledger.State) ([]AssetTotal, error) {
	type sides struct{ debits, credits, debitsPending, creditsPending money.U128 }
	n := s.Assets().Len()
	sums := make([]sides, n+1)
	list := make([]AssetTotal, n)
	over := false
	add := func(sum *money.U128, amount money.U128) {
		var carry bool
		*sum, carry = sum.Add(amount)
		over = over || carry
	}
	for i := range s.Counts().Accounts {
		a := s.AccountByNumber(uint32(i + 1))
		if a.Asset > uint32(n) { //nolint:gosec // ≤ ledger.MaxAssets
			return nil, fmt.Errorf("%w: account %v is of asset number %d, which is not registered", ErrUnproven, a.ID, a.Asset)
		}
		x := &sums[a.Asset]
		add(&x.debits, a.DebitsPosted)
		add(&x.credits, a.CreditsPosted)
		add(&x.debitsPending, a.DebitsPending)
		add(&x.creditsPending, a.CreditsPending)
		list[a.Asset-1].Accounts++
	}
	for i := range list {
		name, _ := s.Assets().Asset(uint32(i + 1))
		x := &sums[i+1]
		if over || x.debits != x.credits || x.debitsPending != x.creditsPending {
			return nil, fmt.Errorf("%w: %s: debits %v and credits %v posted, %v and %v pending", ErrUnproven, name, x.debits, x.credits, x.debitsPending, x.creditsPending)
		}
		list[i].Asset, list[i].Posted, list[i].Pending = name.String(), x.debits, x.debitsPending
	}
	return list, nil
}
