package watch

import (
	"strings"
	"testing"
	"time"

	"github.com/sterlingrun/sterling/watch/internal/block"
	"github.com/sterlingrun/sterling/watch/internal/books"
	"github.com/sterlingrun/sterling/watch/internal/count"
)

// A bucket whose move stands is a break after the deadline, until the move goes on. No money is lost by it.
func TestStuckBucketIsABreak(t *testing.T) {
	for phase, phrase := range map[books.BucketPhase]string{
		books.Closing: "is closing, to be given to cell 9", books.Given: "the map of cells does not say so", books.Arriving: "is arriving from cell 9",
	} {
		t.Run(phase.String(), func(t *testing.T) {
			r := newRig(t, Options{})
			b := &books.Bucket{Bucket: 346, Phase: phase, Move: key(5), Peer: 9, Since: r.now, Accounts: 7}
			r.books.stuck = []*books.Bucket{b}
			r.pass(29 * time.Second)
			r.want()
			r.pass(2 * time.Second)
			r.want("stuck_in_transit  346")
			x := r.find(StuckInTransit)
			if !strings.Contains(x.Summary, phrase) || !x.AtRisk.IsZero() || r.e.Proof().Through >= b.Since {
				t.Errorf("%+v, proof %+v", x, r.e.Proof())
			}
			r.books.stuck, r.books.went = nil, []*books.Bucket{b}
			r.pass(time.Second)
			r.want()
			if n := r.opened[x.ID]; n != 1 || r.e.Proof().Through != r.now {
				t.Errorf("opened %d times, proof %+v", n, r.e.Proof())
			}
		})
	}
}

// What was reserved in one cell and captured in another is judged by neither: not as stuck, not as paid without being
// booked, and not as money that nobody ordered.
func TestReservationsThatMove(t *testing.T) {
	reserve := phase(move(3, 1, 9, 10_000, alice, shop), books.Reserve, ID{})
	reserve.Transfer = key(700)
	over := func(p books.Phase) Movement {
		m := phase(move(3, 1, 9, 10_000, alice, shop), p, key(700))
		m.Transfer = ID{}
		return m
	}
	t.Run("left", func(t *testing.T) {
		r := newRig(t, Options{})
		r.say("orders", order("card-payment", 9, 10_000, alice, shop))
		r.block(reserve)
		r.block(over(books.Leave))
		r.pass(2 * time.Hour)
		r.say("card-scheme", receipt("card-payment", 9, 10_000, Settled))
		r.pass(time.Hour)
		r.clean(t)
	})
	t.Run("arrived", func(t *testing.T) {
		r := newRig(t, Options{})
		r.block(over(books.Arrive))
		r.block(phase(move(3, 1, 9, 10_000, alice, shop), books.Capture, key(700)), move(3, 2, 9, 60, shop, feesAccount))
		r.pass(2 * time.Hour)
		r.say("card-scheme", receipt("card-payment", 9, 10_000, Settled))
		r.pass(time.Hour)
		r.clean(t)
	})
}

// clean demands that nothing was found.
func (r *rig) clean(t *testing.T) {
	t.Helper()
	if got := r.all(); len(got) > 0 {
		t.Errorf("breaks: %q", got)
	}
	if p := r.e.Proof(); p.Through != r.now {
		t.Errorf("proof %+v, now %d", p, r.now)
	}
}

// An account that is another cell's is not held against its balance elsewhere; the clearing account has what it brought.
func TestBalancesOfWhatMoved(t *testing.T) {
	r := newRig(t, Options{})
	r.books.balances[key(alice)] = books.Balances{Account: key(alice), Asset: 1, CreditsPosted: count.Of(500)}
	r.say("bank", Observation{Kind: Balance, Debit: key(alice), Amount: count.Of(500), Asset: "CNY/2", Time: r.now})
	r.books.gone = map[ID]bool{key(alice): true}
	r.books.balances[key(alice)] = books.Balances{Account: key(alice), Asset: 1}
	hand := move(0, 0, 0, 0, alice, clearing)
	hand.Phase = books.Hand
	r.block(hand)
	r.pass(time.Second)
	r.say("bank", Observation{Kind: Balance, Debit: key(alice), Amount: count.Of(900), Asset: "CNY/2", Time: r.now})
	r.pass(time.Minute)
	r.clean(t)
}

// The holds of a transfer across cells that leave are no longer stuck here.
func TestHoldsThatLeave(t *testing.T) {
	r := newRig(t, Options{})
	open := crossing(block.StepHold, key(801), r.now)
	r.books.overdue = []*books.Open{open}
	r.pass(31 * time.Second)
	r.want("stuck_in_transit  700")
	r.books.overdue = nil
	r.block(step(phase(move(8, 1, 9, 500, clearing, alice), books.Leave, key(801)), block.StepHold))
	r.want()
}
