package monitor_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sterlingrun/sterling/clock"
	"github.com/sterlingrun/sterling/monitor"
	"github.com/sterlingrun/sterling/watch"
)

func TestFollowsTheJournal(t *testing.T) {
	r := newRig(t, nil)
	r.accounts(1, 3)
	for n := range uint64(20) {
		r.transfer(100+n, 1, 2, 5)
	}
	eventually(t, "all blocks are taken", func() bool { return r.Stats().Seq == r.cell.Head() })
	eventually(t, "the proof follows the clock while nothing happens", func() bool {
		s := r.Stats()
		return s.SafeThrough > r.opts.Clock.Wall()-300_000_000 && s.Seq == s.Head
	})
	eventually(t, "what survives a crash follows, too", func() bool { return r.Statement().Seq == r.cell.Head() })
	if s := r.Stats(); s.Events < 20 || s.LagNs != 0 || !s.Up {
		t.Errorf("%+v", s)
	}
}

// slowLog is a journal of which each block takes a while to be read, as where the process gets no processor.
type slowLog struct {
	monitor.Log
	takes time.Duration
}

func (l slowLog) Read(ctx context.Context, seq uint64, dst []byte) ([]byte, error) {
	if err := clock.Sleep(ctx, clock.NewSystem(), l.takes); err != nil {
		return nil, err
	}
	return l.Log.Read(ctx, seq, dst)
}

// TestStarvationIsNoClockJump: what a source tells while the watch is held up by its blocks is not ahead of its time.
func TestStarvationIsNoClockJump(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(o *monitor.Options) { o.Log = slowLog{o.Log, 8 * time.Second} })
		r.up()
		r.following.Store(nil) // blocks come from the log only
		r.accounts(1, 2)
		<-time.After(20 * time.Second) // amid the last two of three blocks, 12 s after the last tick
		told := orders(1, 1)
		told[0].Time = r.opts.Clock.Wall()
		r.observe("orders", 1, told)
		if list := r.allBreaks(watch.Filter{}); len(list) != 0 {
			t.Errorf("%d breaks: %s: %s", len(list), list[0].Class, list[0].Summary)
		}
	})
}

func TestBalancesAreCompared(t *testing.T) {
	r := newRig(t, nil)
	r.accounts(1, 150) // the engine does not know those beyond 100
	compared := func() (n int) {
		_, _ = fmt.Sscanf(r.Proof().Reason, "compared %d", &n) // 0 while it starts
		return n
	}
	eventually(t, "the accounts that the engine doesn't have are told", func() bool { return compared() >= 50 })
	r.transfer(1000, 1, 2, 5) // the engine has nothing on any account
	before := compared()
	eventually(t, "and two more, when they have changed", func() bool { return compared() >= before+52 })
}

func TestObserve(t *testing.T) {
	r := newRig(t, nil)
	r.up()
	if got := r.observe("orders", 1, orders(1, 30)); got != 30 {
		t.Errorf("through %d", got)
	}
	if got := r.observe("orders", 21, orders(21, 35)); got != 35 {
		t.Errorf("some of it again: through %d", got)
	}
	if got := r.observe("orders", 0, nil); got != 35 {
		t.Errorf("asked: through %d", got)
	}
	if got := r.observe("nobody", 0, nil); got != 0 {
		t.Errorf("asked of a source that never spoke: through %d", got)
	}
	if got := r.observe("orders", 41, orders(41, 45)); got != 35 {
		t.Errorf("after a gap: through %d", got)
	}
	if got := r.observe("orders", 36, orders(36, 40)); got != 45 {
		t.Errorf("the gap is closed: through %d", got)
	}
	if got := r.Proof().Events; got != 45 {
		eventually(t, "45 observations", func() bool { return r.Proof().Events == 45 })
	}
	through, err := r.Observe(t.Context(), "orders", 20_000, orders(1, 5))
	if !errors.Is(err, watch.ErrAhead) || through != 45 {
		t.Errorf("far ahead: %d, %v", through, err)
	}
	other := orders(10, 12)
	other[1].Amount.Lo++
	through, err = r.Observe(t.Context(), "orders", 10, other)
	if !errors.Is(err, watch.ErrRepeat) || through != 45 {
		t.Errorf("another content: %d, %v", through, err)
	}
	eventually(t, "the engine is told of it", func() bool { return r.Proof().Events == 46 })
	for name, err := range map[string]error{
		"no name": second(r.Observe(t.Context(), "", 1, orders(1, 1))),
		"zero":    second(r.Observe(t.Context(), "x", 0, orders(1, 1))),
		"list":    second(r.Observe(t.Context(), "x", 1, make([]watch.Observation, monitor.MaxObservations+1))),
		"text":    second(r.Observe(t.Context(), "x", 1, []watch.Observation{{Text: string(make([]byte, 1025))}})),
		"terms":   second(r.Observe(t.Context(), "x", 1, []watch.Observation{{Terms: make([]watch.Term, 17)}})),
		"term":    second(r.Observe(t.Context(), "x", 1, []watch.Observation{{Terms: []watch.Term{{Name: string(make([]byte, 65))}}}})),
	} {
		if !errors.Is(err, monitor.ErrTooLarge) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := r.Observe(t.Context(), "nobody", 1, orders(1, 1)); !errors.Is(err, watch.ErrSource) {
		t.Errorf("a source that no flow names: %v", err)
	}
	for n := range 100 {
		_, err = r.Observe(t.Context(), fmt.Sprint("bank-", n), 1, []watch.Observation{{Kind: watch.Balance}})
		if err != nil {
			break
		}
	}
	if !errors.Is(err, watch.ErrSource) {
		t.Errorf("100 banks: %v", err)
	}
}

func second[T any](_ T, err error) error { return err }

func TestBreaks(t *testing.T) {
	r := newRig(t, nil)
	r.up()
	r.observe("orders", 1, orders(1, 250))
	all := r.allBreaks(watch.Filter{})
	if len(all) != 25 {
		t.Fatalf("%d breaks", len(all))
	}
	for i := range all {
		b := &all[i]
		if i > 0 && b.FirstSeen >= all[i-1].FirstSeen {
			t.Errorf("break %d is not older than the one before", i)
		}
		if len(b.History) != 1 || b.History[0].Who != "watch" || b.State != watch.Open || len(b.Evidence) != 1 || b.AtRisk.Lo != 13 {
			t.Errorf("%+v", b)
		}
	}
	d := watch.Decision{Break: id(20), State: watch.Accepted, Who: "ann", Why: "a promotion"}
	if err := r.Decide(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	one, err := r.Break(t.Context(), id(20))
	if err != nil || one.State != watch.Accepted || len(one.History) != 2 || one.History[1].Who != "ann" || one.History[1].Why != "a promotion" || one.Changed != 2000 {
		t.Errorf("%+v, %v", one, err)
	}
	for range 2 {
		if err := r.Proposed(t.Context(), id(30), id(77), "bob", "a reversal"); err != nil {
			t.Fatal(err)
		}
	}
	if one, err = r.Break(t.Context(), id(30)); err != nil || one.Proposal != id(77) || len(one.History) != 2 || one.History[1].Why != "proposal 77: a reversal" {
		t.Errorf("%+v, %v", one, err)
	}
	for _, c := range []struct {
		f    watch.Filter
		want int
	}{
		{watch.Filter{State: watch.Open}, 24},
		{watch.Filter{State: watch.Accepted}, 1},
		{watch.Filter{Class: watch.WrongAmount}, 25},
		{watch.Filter{Class: watch.WrongAmount, State: watch.Accepted, Flow: "orders", Roots: true}, 1},
		{watch.Filter{Class: watch.Fork}, 0},
		{watch.Filter{Flow: "orders"}, 25},
		{watch.Filter{Flow: "order"}, 0},
		{watch.Filter{Group: id(30)}, 1},
		{watch.Filter{State: watch.Open, Class: watch.DuplicatePost}, 0},
	} {
		if got := r.allBreaks(c.f); len(got) != c.want {
			t.Errorf("%+v: %d, want %d", c.f, len(got), c.want)
		}
	}
	if err := r.Decide(t.Context(), watch.Decision{Break: id(21)}); !errors.Is(err, watch.ErrNoBreak) {
		t.Errorf("a decision on what is no break: %v", err)
	}
	if err := r.Proposed(t.Context(), id(21), id(1), "", ""); !errors.Is(err, watch.ErrNoBreak) {
		t.Errorf("a proposal for what is no break: %v", err)
	}
	if _, err := r.Break(t.Context(), id(21)); !errors.Is(err, watch.ErrNoBreak) {
		t.Errorf("no break: %v", err)
	}
	for _, after := range []string{"zz", "00"} {
		if _, _, err := r.Breaks(t.Context(), watch.Filter{After: after}); !errors.Is(err, watch.ErrFilter) {
			t.Errorf("after %q: %v", after, err)
		}
	}
	if got := r.Stats().OpenBreaks[watch.WrongAmount]; got != 24 {
		t.Errorf("%d are open", got)
	}
}

func TestARestartGoesOn(t *testing.T) {
	r := newRig(t, nil)
	r.up()
	r.accounts(1, 3)
	r.observe("orders", 1, orders(1, 100))
	r.observe("scheme", 1, receipts(1, 50))
	eventually(t, "all is taken", func() bool { return r.Proof().Events >= 154 && r.Stats().Seq == r.cell.Head() })
	before := r.allBreaks(watch.Filter{})
	r.stop()
	r.transfer(1, 1, 2, 3)
	r.start()
	r.up()
	if got := r.observe("orders", 1, orders(1, 101)); got != 101 {
		t.Errorf("through %d", got)
	}
	eventually(t, "the block that came meanwhile is taken", func() bool { return r.Stats().Seq == r.cell.Head() })
	if after := r.allBreaks(watch.Filter{}); len(after) != len(before) {
		t.Errorf("%d breaks, there were %d", len(after), len(before))
	}
	if got := r.Stats().OpenBreaks[watch.WrongAmount]; got != 10 {
		t.Errorf("%d are open", got)
	}
	r.observe("orders", 102, append(orders(7, 7), orders(102, 102)...)) // key 7 was closed before the restart
	if one, err := r.Break(t.Context(), id(7)); err != nil || one.Class != watch.DuplicatePost {
		t.Errorf("%+v, %v", one, err)
	}
}

func TestBadFlows(t *testing.T) {
	r := newRig(t, nil)
	o := r.opts
	o.Dir, o.Flows = "other", []watch.Definition{{Name: "empty"}}
	if _, err := monitor.Open(t.Context(), o); !errors.Is(err, monitor.ErrFlows) {
		t.Errorf("a flow that can't be used: %v", err)
	}
	o.Dir, o.Flows = r.opts.Dir, nil
	if _, err := monitor.Open(t.Context(), o); err == nil {
		t.Error("two monitors have one folder")
	}
}

func TestOtherFlowsAreAnInput(t *testing.T) {
	r := newRig(t, nil)
	r.up()
	r.observe("orders", 1, orders(1, 100))
	r.stop()
	r.opts.Flows = append(r.opts.Flows, watch.Definition{Name: "second", Text: "flow: second"})
	r.start()
	r.up()
	r.observe("orders", 101, orders(101, 120))
	if got := len(r.allBreaks(watch.Filter{})); got != 12 {
		t.Errorf("%d breaks", got)
	}
	if !r.logged.has("other flows") || r.logged.has("finds something else") {
		t.Error(r.logged.String())
	}
}
