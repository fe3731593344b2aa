package watch

import (
	"strings"
	"testing"
	"time"

	"github.com/sterlingrun/sterling/watch/internal/block"
	"github.com/sterlingrun/sterling/watch/internal/books"
	"github.com/sterlingrun/sterling/watch/internal/count"
)

const inWay, clearing = 65_535, 65_534 // stand for the accounts of the cell's own

// step makes a movement one of transfer 700 across cells, from account 111 to alice.
func step(m Movement, s block.Step) Movement {
	m.Transit = &block.Transit{Transfer: key(700), Reserve: key(800), Debit: key(111), Credit: key(alice), Peer: 2, Step: s}
	return m
}

func crossing(s block.Step, reservation ID, since uint64) *books.Open {
	return &books.Open{
		Transit: block.Transit{Transfer: key(700), Reserve: key(800), Debit: key(111), Credit: key(alice), Peer: 2, Step: s},
		ID:      reservation, Amount: count.Of(500), Whole: count.Of(500), Asset: 1, Seq: 3, Time: since, Since: since,
	}
}

// Whatever has nothing to wait for is a break after the deadline, by the journal's word, and no longer once it ended.
func TestStuckInTransit(t *testing.T) {
	for _, c := range []struct {
		name       string
		opens      block.Step
		status     uint16
		ends       block.Step
		end        books.Phase
		deadline   time.Duration
		wantPhrase string
	}{
		{"reserve", block.StepReserve, 0, block.StepDecide, books.Release, 30 * time.Second, "is not decided"},
		{"marker of a transfer", block.StepMarker, block.Created, block.StepSettle, books.Capture, 30 * time.Second, "has not confirmed them"},
		{"marker of a refusal", block.StepMarker, 54, block.StepSettle, books.Release, 30 * time.Second, "that was refused"},
		{"hold", block.StepHold, 0, block.StepConfirm, books.Capture, 30 * time.Second, "held for account 101"},
		{"another deadline", block.StepHold, 0, block.StepConfirm, books.Release, 5 * time.Second, "for more than 5s"},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := Options{}
			if c.deadline != 30*time.Second {
				o.Transit = uint64(c.deadline)
			}
			r := newRig(t, o)
			open := crossing(c.opens, key(801), r.now)
			open.Status = c.status
			r.books.overdue = []*books.Open{open}
			r.pass(c.deadline - time.Nanosecond)
			r.want()
			r.pass(time.Second)
			r.want("stuck_in_transit  700")
			b := r.find(StuckInTransit)
			if b.Key != key(700) || b.AtRisk != count.Of(500) || b.Asset != "CNY/2" || !strings.Contains(b.Summary, c.wantPhrase) {
				t.Errorf("%+v", b)
			}
			if len(b.Evidence) != 1 || b.Evidence[0].Seq != 3 || b.Evidence[0].Fields[0].Value != "801" {
				t.Errorf("evidence %+v", b.Evidence)
			}
			p := r.e.Proof()
			if p.Through >= open.Since || !strings.Contains(p.Reason, "stuck_in_transit") || len(p.AtRisk) != 1 || p.AtRisk[0].Amount != count.Of(500) {
				t.Errorf("proof %+v", p)
			}
			r.restart(o) // the books tell of it again: it is the same break
			r.pass(time.Second)
			if n := r.opened[b.ID]; n != 1 {
				t.Errorf("opened %d times", n)
			}
			r.books.overdue = nil
			r.block(step(phase(move(8, 1, 9, 500, inWay, clearing), c.end, key(801)), c.ends))
			r.want()
			r.pass(time.Second)
			if p := r.e.Proof(); p.Through != r.now {
				t.Errorf("proof %+v, now %d", p, r.now)
			}
		})
	}
}

// A flow sees a transfer across cells once, at home, as it was asked for; nothing of it is money that nobody ordered.
func TestFlowsSeeTheTransferOnly(t *testing.T) {
	r := newRig(t, Options{})
	r.say("orders", order("lending", 9, 500, 111, alice))
	reserve := phase(move(8, 1, 9, 500, 111, inWay), books.Reserve, ID{})
	reserve.Transfer = key(800)
	r.block(step(reserve, block.StepReserve))
	decide := phase(move(8, 1, 9, 500, 111, inWay), books.Release, key(800))
	marker := phase(move(8, 1, 9, 500, inWay, clearing), books.Reserve, ID{})
	marker.Transfer = key(801)
	self := move(8, 1, 9, 500, 111, inWay)
	self.Transfer = key(700)
	r.block(step(decide, block.StepDecide), step(marker, block.StepMarker), step(self, block.StepTransfer))
	r.block(step(phase(move(8, 1, 9, 500, inWay, clearing), books.Capture, key(801)), block.StepSettle))
	// The other side of another transfer: its order was told in its home.
	r.block(step(phase(move(8, 1, 10, 70, clearing, alice), books.Reserve, ID{}), block.StepHold))
	r.block(step(phase(move(99, 1, 10, 70, clearing, alice), books.Capture, key(802)), block.StepConfirm))
	r.pass(3 * time.Minute)
	r.want()
	if got := r.all(); len(got) > 0 {
		t.Errorf("breaks: %q", got)
	}
	p := r.e.Proof()
	for _, f := range p.Flows {
		if f.Flow == "lending" && f.Closed != 1 || strings.HasPrefix(f.Flow, "code ") {
			t.Errorf("flow %+v", f)
		}
	}
	if p.Through != r.now {
		t.Errorf("proof %+v, now %d", p, r.now)
	}
}

// A pending one is a reservation between the transfer's own accounts, and so is its end.
func TestFlowsSeeAPendingTransfer(t *testing.T) {
	r := newRig(t, Options{})
	r.say("orders", order("card-payment", 9, 10_000, alice, shop))
	own := func(m Movement, s block.Step) Movement {
		m = step(m, s)
		m.Transit.Debit, m.Transit.Credit = key(alice), key(shop)
		return m
	}
	hold := phase(move(3, 1, 9, 10_000, alice, inWay), books.Reserve, ID{})
	hold.Transfer = key(700)
	r.block(own(hold, block.StepTransfer))
	r.block(own(phase(move(3, 1, 9, 10_000, alice, inWay), books.Capture, key(700)), block.StepEnd), move(3, 2, 9, 60, shop, feesAccount))
	r.say("card-scheme", receipt("card-payment", 9, 10_000, Settled))
	r.pass(3 * time.Minute)
	r.want()
	if got := r.all(); len(got) > 0 || r.closed != 1 {
		t.Errorf("breaks: %q, %d keys closed", got, r.closed)
	}
}
