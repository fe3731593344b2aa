package cell_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/sterlingrun/sterling/cell"
	"github.com/sterlingrun/sterling/watch"
)

// liar is a witness that is right but for one thing.
type liar struct {
	*watch.Verifier
	balances func(asset *uint32, sums *[4][2]uint64, ok *bool)
	pending  uint64
	hash     byte
	refuses  error
}

func (l *liar) Balances(id [2]uint64) (asset uint32, sums [4][2]uint64, ok bool) {
	asset, sums, ok = l.Verifier.Balances(id)
	if l.balances != nil && id == [2]uint64{2, 0} {
		l.balances(&asset, &sums, &ok)
	}
	return asset, sums, ok
}

func (l *liar) Pending() uint64 { return l.Verifier.Pending() + l.pending }

func (l *liar) Hash() [32]byte {
	h := l.Verifier.Hash()
	h[0] += l.hash
	return h
}

func (l *liar) Block(raw []byte) error { return errors.Join(l.Verifier.Block(raw), l.refuses) }

// TestVerifyNeedsBothOpinions: where the witness and the ledger differ in anything, nothing is proven, and the error names
// the account.
func TestVerifyNeedsBothOpinions(t *testing.T) {
	b := newBank(t, nil)
	b.everyKind()
	log := b.closedLog()
	for _, c := range []struct {
		name string
		liar liar
		says string
	}{
		{"nothing", liar{}, ""},
		{"a cent more", liar{balances: func(_ *uint32, s *[4][2]uint64, _ *bool) { s[0][0]++ }}, "1 of 3 accounts differ"},
		{"2^64 more", liar{balances: func(_ *uint32, s *[4][2]uint64, _ *bool) { s[3][1]++ }}, "account 2: debits"},
		{"another asset", liar{balances: func(a *uint32, _ *[4][2]uint64, _ *bool) { *a++ }}, "asset number 1, by the witness 2"},
		{"no such account", liar{balances: func(_ *uint32, _ *[4][2]uint64, ok *bool) { *ok = false }}, "the witness knows none"},
		{"a reservation more", liar{pending: 1}, "open reservations"},
		{"another hash", liar{hash: 1}, "the witness's own decoder"},
		{"it found something", liar{refuses: watch.ErrFound}, watch.ErrFound.Error()},
	} {
		c.liar.Verifier = watch.NewVerifier(7)
		_, err := cell.Verify(context.Background(), 7, log, &c.liar, nil)
		if c.says == "" && err != nil || c.says != "" && (!errors.Is(err, cell.ErrUnproven) || !strings.Contains(err.Error(), c.says)) {
			t.Errorf("%s: %v, want %q", c.name, err, c.says)
		}
	}
	if _, err := cell.Verify(context.Background(), 7, log, watch.NewVerifier(8), nil); !errors.Is(err, watch.ErrFound) {
		t.Errorf("a witness of another cell: %v", err)
	}
}
