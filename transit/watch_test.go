package transit_test

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/money"
	"github.com/sterlingrun/sterling/transit"
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

// watched is a cell's watch: its breaks that are open, by the transfers that they are about.
type watched struct {
	*watch.Engine
	side *side
	seen int
	open map[watch.ID]string
}

// pass hands the watch the blocks since the last time, and lets so many seconds pass.
func (w *watched) pass(seconds uint64) {
	for ; w.seen < len(w.side.log); w.seen++ {
		w.Block(w.side.log[w.seen].Raw)
	}
	w.side.clock = max(w.side.clock, w.side.state.NextTime()) + seconds*1_000_000_000
	w.Tick(w.side.clock, uint64(w.seen), w.side.clock)
	for _, e := range w.Effects(nil) {
		switch {
		case e.Break == nil:
		case e.Break.State == watch.Open:
			w.open[e.Break.Key] = fmt.Sprint(e.Break.Class, " ", e.Break.AtRisk)
		default:
			delete(w.open, e.Break.Key)
		}
	}
}

// TestWatchFindsWhatIsStuck: each cell's watch names the transfer while it waits for the other cell, and no longer.
func TestWatchFindsWhatIsStuck(t *testing.T) {
	sides := [2]*side{newSide(1, 2, 11), newSide(2, 1, 21)}
	var watches [2]*watched
	for i, s := range sides {
		e, err := watch.New(watch.Options{Cell: s.id})
		if err != nil {
			t.Fatal(err)
		}
		watches[i] = &watched{Engine: e, side: s, open: map[watch.ID]string{}}
	}
	a := &transit.Attempt{
		Asked: journal.Transfer{ID: money.From(500), Debit: money.From(11), Credit: money.From(21), Amount: money.From(70), Asset: 1, Code: 3},
		Asset: cny, Home: 1, Peer: 2, Reserve: money.From(600),
	}
	want := func(what string, home, peer int) {
		t.Helper()
		for i, n := range [2]int{home, peer} {
			watches[i].pass(29)
			before := len(watches[i].open)
			watches[i].pass(2)
			for key, b := range watches[i].open {
				if key != watch.KeyOf("500") || b != "stuck_in_transit 70" {
					t.Errorf("%s: cell %d has %s about %v", what, i+1, b, key)
				}
			}
			if len(watches[i].open) != n || before > n {
				t.Errorf("%s: cell %d has %d breaks, want %d", what, i+1, len(watches[i].open), n)
			}
		}
	}
	sides[0].steps(a.Reserved())
	want("reserved", 1, 0)
	sides[1].steps(a.Hold(1))
	want("held", 1, 1)
	sides[0].steps(a.Commit()...)
	want("decided", 1, 1)
	sides[1].steps(a.Confirm(money.From(70), false))
	want("confirmed", 1, 0)
	sides[0].steps(a.Settle(money.From(70)))
	want("settled", 0, 0)
	if p := watches[0].Proof(); p.Reason != "" || p.Open != 0 {
		t.Errorf("%+v", p)
	}
}
