package transit_test

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/sterlingrun/sterling/watch"
)

// TestWatch: watch follows whatever two cells do, finds nothing wrong with it, and comes to the same balances.
func TestWatch(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(func(n int) int { return rapid.IntRange(0, n-1).Draw(t, "n") })
		for range rapid.IntRange(1, 120).Draw(t, "steps") {
			if err := w.step(); err != nil {
				t.Fatal(err)
			}
		}
		for _, s := range w.sides {
			v := watch.NewVerifier(s.id)
			for _, k := range s.log {
				if err := v.Block(k.Raw); err != nil {
					t.Fatal(err)
				}
			}
			if n := s.state.Counts(); v.Accounts() != n.Accounts || v.Pending() != n.Pending {
				t.Fatalf("cell %d: %d accounts, %d pending, the ledger has %+v", s.id, v.Accounts(), v.Pending(), n)
			}
			for i := range s.state.Counts().Accounts {
				a := s.state.AccountByNumber(uint32(i + 1))
				_, sums, _ := v.Balances([2]uint64{a.ID.Lo, a.ID.Hi})
				want := [4][2]uint64{
					{a.DebitsPosted.Lo, a.DebitsPosted.Hi},
					{a.CreditsPosted.Lo, a.CreditsPosted.Hi},
					{a.DebitsPending.Lo, a.DebitsPending.Hi},
					{a.CreditsPending.Lo, a.CreditsPending.Hi},
				}
				if sums != want {
					t.Fatalf("cell %d, account %v: %v, the ledger has %v", s.id, a.ID, sums, want)
				}
			}
		}
	})
}
