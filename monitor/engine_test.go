package monitor_test

import (
	"strings"
	"testing"
	"time"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/money"
	"github.com/sterlingrun/sterling/monitor"
	"github.com/sterlingrun/sterling/watch"
)

const payments = `
flow: payment
title: Payments between customers
transfers: code == 5
key: user_data_128
order: {source: orders, deadline: 2s}
legs:
  - {name: payment, when: user_data_32 != 2, from: order.debit, to: order.credit, amount: order.amount}
`

// pay moves money for an order.
func (r *rig) pay(id, key, debit, credit, amount uint64) {
	r.t.Helper()
	r.do(journal.KindTransfers, journal.Bytes([]journal.Transfer{{
		ID: money.From(id), Debit: money.From(debit), Credit: money.From(credit), Amount: money.From(amount), Asset: 1, Code: 5,
		UserData128: money.From(key), UserData32: 1,
	}}))
}

func (r *rig) order(n, key, debit, credit, amount uint64) {
	r.t.Helper()
	now := r.opts.Clock.Wall()
	r.observe("orders", n, []watch.Observation{{
		Kind: watch.Instruction, Time: now, Through: now, Key: id(key), ID: id(key), Amount: watch.Amount{Lo: amount}, Asset: "CNY/2", Debit: id(debit), Credit: id(credit),
	}})
}

// tell says that nothing has happened at a source up to now.
func (r *rig) tell(n uint64) {
	r.t.Helper()
	now := r.opts.Clock.Wall()
	r.observe("orders", n, []watch.Observation{{Kind: watch.Heartbeat, Time: now, Through: now}})
}

// TestTheRealEngine: a clean run is proven, a payment that is booked twice is found at once and its account frozen, and
// all of that is there after a restart.
func TestTheRealEngine(t *testing.T) {
	began := time.Now()
	var took time.Duration
	r := newRig(t, func(o *monitor.Options) {
		o.Engines, o.Flows = nil, []watch.Definition{{Name: "payment", Text: payments}}
		o.StopLoss = watch.StopLoss{Rules: []watch.StopRule{{Classes: []watch.Class{watch.DuplicatePost}, Freeze: "account"}}, AccountsPerMinute: 10}
		o.FreezeTook = func(d time.Duration) { took = d }
	})
	r.up()
	r.accounts(1, 9)
	for n := uint64(1); n <= 20; n++ {
		r.order(n, 1000+n, 1, 2, 5)
		r.pay(n, 1000+n, 1, 2, 5)
	}
	next := uint64(21)
	eventually(t, "all of it is proven", func() bool {
		r.tell(next)
		next++
		p := r.Proof()
		return p.Through > uint64(began.UnixNano()) && p.Open == 0 && p.Keys == 0 && r.Stats().Seq == r.cell.Head()
	})
	r.order(next, 2000, 3, 4, 700)
	r.pay(100, 2000, 3, 4, 700)
	r.pay(101, 2000, 3, 4, 700)
	next++
	var all []watch.Record
	eventually(t, "the account is frozen", func() bool {
		all = r.allBreaks(watch.Filter{State: watch.Open})
		return len(all) == 1 && all[0].Stop != nil && all[0].Stop.State == "frozen"
	})
	if b := all[0]; b.Class != watch.DuplicatePost || b.AtRisk.Lo != 700 || b.Asset != "CNY/2" || len(b.Evidence) == 0 || took > 100*time.Millisecond {
		t.Errorf("%+v, frozen after %v", b, took)
	}
	eventually(t, "the proof stands", func() bool {
		r.tell(next)
		next++
		return r.Proof().Open == 1 && r.Proof().Reason != ""
	})
	r.stop()
	r.start()
	r.up()
	r.tell(next)
	eventually(t, "nothing else is found after a restart", func() bool { return r.Stats().Seq == r.cell.Head() && r.Proof().Open == 1 })
	if again := r.allBreaks(watch.Filter{}); len(again) != 1 || again[0].ID != all[0].ID || len(again[0].History) != len(all[0].History) {
		t.Errorf("%+v", again)
	}
	if got := r.logged.String(); strings.Contains(got, "finds something else") || strings.Contains(got, "stopped") {
		t.Error(got)
	}
}
