package watch

import (
	"errors"
	"fmt"

	"github.com/sterlingrun/sterling/watch/internal/books"
	"github.com/sterlingrun/sterling/watch/internal/count"
)

// ErrFound is something in a journal that a ledger must never record.
var ErrFound = errors.New("the journal proves a fault")

// Verifier recomputes a ledger from all blocks of its journal, for a check that is done once: it knows no flows, and
// remembers the id of every transfer, so that none is created twice. It is not safe for concurrent use. Beside it the
// ledger's own replay is a second opinion: the two share no code.
type Verifier struct{ model *books.Model }

// NewVerifier returns the verifier of a cell, before its first block.
func NewVerifier(cell uint64) *Verifier {
	return &Verifier{books.New(cell, books.Options{Window: books.KeepAll})}
}

// Block takes the next block as it stands in the journal, and keeps no reference to it. An [ErrFound] names the first
// thing that is wrong with it, and how many more there are.
func (v *Verifier) Block(raw []byte) error {
	var first *books.Finding
	found := 0
	v.model.Apply(raw, nil, func(f *books.Finding) {
		if found++; first == nil {
			first = f
		}
	})
	switch {
	case first == nil:
		return v.model.Broken()
	case found > 1:
		return fmt.Errorf("%w, %s: %s%s (and %d more in block %d)", ErrFound, first.Class, first.Summary, describe(first.Fields), found-1, first.Seq)
	}
	return fmt.Errorf("%w, %s: %s%s (block %d)", ErrFound, first.Class, first.Summary, describe(first.Fields), first.Seq)
}

func describe(fields []books.Field) (text string) {
	for _, f := range fields {
		text += fmt.Sprintf("; %s %s, not %s", f.Name, f.Value, f.Want)
	}
	return text
}

// Seq is the last block, Hash its hash, Events how many events there were, and Pending how many reservations are open.
func (v *Verifier) Seq() uint64 { return v.model.Seq() }

// Hash is the last block's hash.
func (v *Verifier) Hash() [32]byte { return v.model.Hash() }

// Events is how many events all blocks had.
func (v *Verifier) Events() uint64 { return v.model.Events() }

// Pending is how many reservations are open.
func (v *Verifier) Pending() uint64 { return v.model.Pending() }

// Accounts is how many accounts there are.
func (v *Verifier) Accounts() uint64 { return v.model.Accounts() }

// Transfers is how many transfers were created.
func (v *Verifier) Transfers() uint64 { return v.model.Transfers() }

// Balances returns the sums of the account with this id in minor units: debits posted, credits posted, debits pending,
// credits pending. All are given as their low and their high half. ok is false where nobody created the account.
func (v *Verifier) Balances(id [2]uint64) (asset uint32, sums [4][2]uint64, ok bool) {
	b, ok := v.model.Account(count.IDOf(Amount{Lo: id[0], Hi: id[1]}))
	for i, a := range [4]count.Amount{b.DebitsPosted, b.CreditsPosted, b.DebitsPending, b.CreditsPending} {
		sums[i] = [2]uint64{a.Lo, a.Hi}
	}
	return b.Asset, sums, ok
}

// Totals returns what all accounts of each asset add up to.
func (v *Verifier) Totals() []AssetTotal { return v.model.Totals() }

// AssetName returns the name of an asset such as "CNY/2"; empty where there is none.
func (v *Verifier) AssetName(number uint32) string { return v.model.AssetName(number) }
