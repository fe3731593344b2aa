package watch

import (
	"slices"
	"testing"
	"time"

	"github.com/sterlingrun/sterling/watch/internal/books"
	"github.com/sterlingrun/sterling/watch/internal/count"
)

// card tells a whole card payment as it should be: reserved, captured, confirmed.
func (r *rig) card(k, amount uint64) {
	hold := key(k + 500_000)
	r.say("orders", order("card-payment", k, amount, alice, shop))
	m := phase(move(3, 1, k, amount, alice, shop), books.Reserve, ID{})
	m.Transfer = hold
	r.block(m)
	r.block(phase(move(3, 1, k, amount, alice, shop), books.Capture, hold), move(3, 2, k, max(1, amount*6/1000), shop, feesAccount))
	r.say("card-scheme", receipt("card-payment", k, amount, Settled))
}

func TestCleanStoriesAreSilent(t *testing.T) {
	r := newRig(t, Options{})
	r.card(1, 10_000)
	r.say("orders", order("payment", 2, 60_000, alice, bob))
	r.block(move(5, 1, 2, 60_000, alice, bob), move(5, 2, 2, 100, alice, feesAccount))
	r.say("orders", order("salary", 3, 500_000, 121, alice))
	r.block(move(6, 1, 3, 500_000, 121, alice))
	r.say("orders", order("instalment", 4, 20_000, alice, 111))
	r.block(move(7, 1, 4, 15_000, alice, 111), move(7, 3, 4, 400, alice, interestAccount))
	usd := order("exchange", 5, 1_000, 422, alice)
	usd.Asset = "USD/2"
	r.say("orders", usd)
	bought := move(10, 1, 5, 1_000, 422, alice)
	bought.Asset = 2
	r.block(bought, move(10, 2, 5, 7_100, alice, exchangeAccount))
	r.say("orders", order("settlement", 6, 10_000_000, shop, 401))
	r.block(move(11, 1, 6, 99_000, shop, 401))
	r.say("bank", line("settlement", 6, 99_000, true))
	r.say("orders", order("deposit", 7, 5_000, 401, alice))
	r.block(move(2, 1, 7, 5_000, 401, alice))
	r.say("bank", line("deposit", 7, 5_000, false))
	refund := order("refund", 8, 10_000, shop, alice)
	refund.OfKey = key(1)
	r.say("orders", refund)
	r.block(move(4, 1, 8, 10_000, shop, alice), move(4, 2, 8, 60, feesAccount, shop))
	r.say("card-scheme", receipt("refund", 8, 10_000, Refunded))
	r.say("orders", order("lending", 9, 10_000, 111, alice), order("promotion", 10, 100, 411, alice), order("fee", 11, 100, alice, feesAccount))
	r.block(move(8, 1, 9, 10_000, 111, alice), move(9, 1, 10, 100, 411, alice), move(12, 1, 11, 100, alice, feesAccount))
	r.pass(2 * time.Minute)
	r.want()
	if got := r.all(); len(got) > 0 {
		t.Errorf("breaks: %q", got)
	}
	p := r.e.Proof()
	if p.Through != r.now || p.Reason != "" || p.Keys != 0 {
		t.Errorf("proof %+v, now %d", p, r.now)
	}
	if r.closed < 11 {
		t.Errorf("%d keys closed", r.closed)
	}
	for _, f := range p.Flows {
		if f.Flow != "opening" && (!f.Proven || f.Closed == 0) {
			t.Errorf("flow %+v", f)
		}
	}
}

// A ledger that was at work before its flows were declared: what began before is not judged, whatever comes of it later.
func TestSince(t *testing.T) {
	list := demoFlows(t)
	for i, f := range list {
		text := f.Definition() + "since: " + time.Unix(0, int64(start+3600*second)).UTC().Format(time.RFC3339) + "\n"
		one, err := Parse(f.Name, []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		list[i] = one
	}
	r := newRig(t, Options{Flows: list})
	r.block(move(5, 1, 1, 100, alice, bob)) // nobody ordered it, an hour before
	r.pass(59 * time.Minute)
	r.block(move(5, 1, 2, 100, alice, bob)) // a minute before: in reach of a case that is judged
	hold := key(77)
	m := phase(move(3, 1, 3, 500, alice, shop), books.Reserve, ID{})
	m.Transfer = hold
	r.block(m)
	r.pass(58 * time.Second)
	r.say("orders", order("payment", 4, 100, alice, bob))
	r.pass(4 * time.Second)
	r.block(move(5, 1, 4, 100, alice, bob), move(5, 1, 4, 100, alice, bob)) // ordered before, and booked twice
	r.pass(2 * time.Minute)
	r.block(phase(move(3, 1, 3, 500, alice, shop), books.Capture, hold), move(3, 2, 3, 3, shop, feesAccount)) // its end, after
	r.restart(Options{})
	r.pass(2 * time.Minute)
	r.want()
	if p := r.e.Proof(); p.Through != r.now || p.Keys != 0 {
		t.Errorf("proof %+v, now %d", p, r.now)
	}
	r.block(move(5, 1, 5, 100, alice, bob))
	r.pass(time.Minute)
	r.want("unordered_effect payment 5")
}

// Each class, by the story that has it, and the time after which it must be open.
func TestEveryClassIsFoundOnce(t *testing.T) {
	const dead = 6 * time.Second // the order's deadline and a bit
	refund := func(k, amount, of, debit, credit uint64) Observation {
		o := order("refund", k, amount, debit, credit)
		o.OfKey = key(of)
		return o
	}
	pay := func(r *rig, amount uint64) { r.say("orders", order("payment", 1, amount, alice, bob)) }
	for _, c := range []struct {
		name  string
		story func(r *rig)
		after time.Duration
		want  string
	}{
		{"the same twice", func(r *rig) {
			pay(r, 100)
			r.block(move(5, 1, 1, 100, alice, bob))
			r.block(move(5, 1, 1, 100, alice, bob))
		}, 0, "duplicate_post payment 1"},
		{"a replay after the key was closed", func(r *rig) {
			r.card(1, 10_000)
			r.pass(time.Minute)
			r.block(move(3, 1, 1, 10_000, alice, shop))
		}, 0, "duplicate_post card-payment 1"},
		{"nothing booked", func(r *rig) { pay(r, 100) }, dead, "missing_post payment 1"},
		{"fee left out", func(r *rig) {
			pay(r, 60_000)
			r.block(move(5, 1, 1, 60_000, alice, bob))
		}, 0, "missing_fee payment 1"},
		{"interest left out", func(r *rig) {
			r.say("orders", order("instalment", 1, 20_000, alice, 111))
			r.block(move(7, 1, 1, 20_000, alice, 111))
		}, 0, "missing_leg instalment 1"},
		{"never captured", func(r *rig) {
			r.say("orders", order("card-payment", 1, 100, alice, shop))
			r.block(phase(move(3, 1, 1, 100, alice, shop), books.Reserve, ID{}))
		}, 66 * time.Minute, "stuck_pending card-payment 1"},
		{"another amount", func(r *rig) {
			pay(r, 100)
			r.block(move(5, 1, 1, 101, alice, bob))
		}, 0, "wrong_amount payment 1"},
		{"less than ordered", func(r *rig) {
			pay(r, 100)
			r.block(move(5, 1, 1, 99, alice, bob))
		}, 0, "wrong_amount payment 1"},
		{"a hundred times", func(r *rig) {
			pay(r, 100)
			r.block(move(5, 1, 1, 10_000, alice, bob))
		}, 0, "unit_error payment 1"},
		{"fee and a cent", func(r *rig) {
			pay(r, 60_000)
			r.block(move(5, 1, 1, 60_000, alice, bob), move(5, 2, 1, 101, alice, feesAccount))
		}, 0, "wrong_fee payment 1"},
		{"to somebody else", func(r *rig) {
			pay(r, 100)
			r.block(move(5, 1, 1, 100, alice, 103))
		}, 0, "wrong_account payment 1"},
		{"the wrong way round", func(r *rig) {
			pay(r, 100)
			r.block(move(5, 1, 1, 100, bob, alice))
		}, 0, "swapped_sides payment 1"},
		{"in dollars", func(r *rig) {
			pay(r, 100)
			m := move(5, 1, 1, 100, alice, bob)
			m.Asset = 2
			r.block(m)
		}, 0, "wrong_currency payment 1"},
		{"nobody ordered it", func(r *rig) { r.block(move(5, 1, 1, 100, alice, bob)) }, dead, "unordered_effect payment 1"},
		{"there and back in one block", func(r *rig) {
			pay(r, 100)
			r.block(move(5, 1, 1, 100, alice, bob))
			r.block(move(5, 1, 1, 100, bob, alice), move(5, 1, 1, 100, alice, bob))
		}, 0, "unordered_effect payment 1"},
		{"back, unasked", func(r *rig) {
			pay(r, 100)
			r.block(move(5, 1, 1, 100, alice, bob))
			r.block(move(5, 1, 1, 100, bob, alice))
		}, 0, "unordered_effect payment 1"},
		{"withdrawn, and booked", func(r *rig) {
			pay(r, 100)
			r.say("orders", receipt("payment", 1, 100, Failed))
			r.block(move(5, 1, 1, 100, alice, bob))
		}, 0, "unordered_effect payment 1"},
		{"confirmed twice", func(r *rig) {
			r.card(1, 10_000)
			r.say("card-scheme", receipt("card-payment", 1, 10_000, Settled))
		}, 0, "duplicate_payout card-payment 1"},
		{"not confirmed", func(r *rig) {
			r.say("orders", order("settlement", 1, 500, shop, 401))
			r.block(move(11, 1, 1, 500, shop, 401))
		}, 32 * time.Second, "missing_receipt settlement 1"},
		{"confirmed another amount", func(r *rig) {
			r.say("orders", order("card-payment", 1, 100, alice, shop))
			r.block(move(3, 1, 1, 100, alice, shop), move(3, 2, 1, 1, shop, feesAccount))
			r.say("card-scheme", receipt("card-payment", 1, 90, Settled))
		}, 0, "wrong_channel_amount card-payment 1"},
		{"booked, and the channel failed", func(r *rig) {
			r.say("orders", order("card-payment", 1, 100, alice, shop))
			r.block(move(3, 1, 1, 100, alice, shop), move(3, 2, 1, 1, shop, feesAccount))
			r.say("card-scheme", receipt("card-payment", 1, 100, Failed))
		}, 32 * time.Second, "posted_channel_failed card-payment 1"},
		{"paid, and never booked", func(r *rig) {
			r.say("orders", order("card-payment", 1, 100, alice, shop))
			r.say("card-scheme", receipt("card-payment", 1, 100, Settled))
		}, dead, "failed_channel_paid card-payment 1"},
		{"paid, and released", func(r *rig) {
			hold := key(77)
			r.say("orders", order("card-payment", 1, 100, alice, shop))
			m := phase(move(3, 1, 1, 100, alice, shop), books.Reserve, ID{})
			m.Transfer = hold
			r.block(m)
			r.block(phase(move(3, 1, 1, 100, alice, shop), books.Release, hold))
			r.say("card-scheme", receipt("card-payment", 1, 100, Settled))
		}, 32 * time.Second, "failed_channel_paid card-payment 1"},
		{"refunded twice", func(r *rig) {
			r.card(1, 10_000)
			for k := uint64(2); k < 4; k++ {
				r.say("orders", refund(k, 10_000, 1, shop, alice))
				r.block(move(4, 1, k, 10_000, shop, alice), move(4, 2, k, 60, feesAccount, shop))
				r.say("card-scheme", receipt("refund", k, 10_000, Refunded))
			}
		}, 0, "refund_double refund 3"},
		{"refunded more than was paid", func(r *rig) {
			r.card(1, 10_000)
			r.say("orders", refund(2, 10_001, 1, shop, alice))
			r.block(move(4, 1, 2, 10_001, shop, alice), move(4, 2, 2, 60, feesAccount, shop))
		}, 0, "refund_excess refund 2"},
		{"refunded to somebody else", func(r *rig) {
			r.card(1, 10_000)
			r.say("orders", refund(2, 10_000, 1, shop, bob))
			r.block(move(4, 1, 2, 10_000, shop, bob), move(4, 2, 2, 60, feesAccount, shop))
		}, 0, "refund_misdirected refund 2"},
		{"refund of nothing", func(r *rig) {
			r.say("orders", refund(2, 10_000, 1, shop, alice))
			r.block(move(4, 1, 2, 10_000, shop, alice), move(4, 2, 2, 60, feesAccount, shop))
		}, 0, "refund_orphan refund 2"},
		{"charged back after a refund", func(r *rig) {
			r.card(1, 10_000)
			r.say("orders", refund(2, 10_000, 1, shop, alice))
			r.block(move(4, 1, 2, 10_000, shop, alice), move(4, 2, 2, 60, feesAccount, shop))
			r.say("card-scheme", receipt("refund", 2, 10_000, Refunded), receipt("card-payment", 1, 10_000, ChargedBack))
		}, 0, "chargeback_after_refund card-payment 1"},
		{"yesterday's rate", func(r *rig) {
			o := order("exchange", 1, 1_000, 422, alice, Term{"rate_ppm", 7_200_000})
			o.Asset = "USD/2"
			r.say("orders", o)
			m := move(10, 1, 1, 1_000, 422, alice)
			m.Asset = 2
			r.block(m, move(10, 2, 1, 7_100, alice, exchangeAccount))
		}, 0, "stale_rate exchange 1"},
		{"wrong interest", func(r *rig) {
			r.say("orders", order("instalment", 1, 20_000, alice, 111))
			r.block(move(7, 1, 1, 20_000, alice, 111), move(7, 3, 1, 401, alice, interestAccount))
		}, 0, "wrong_interest instalment 1"},
		{"interest that the rate does not give", func(r *rig) {
			r.say("orders", order("instalment", 1, 20_000, alice, 111, Term{"rate_ppb", 50_000_000}, Term{"days", 30}, Term{"balance", 1_000_000}, Term{"interest", 4_000}))
			r.block(move(7, 1, 1, 20_000, alice, 111), move(7, 3, 1, 4_000, alice, interestAccount))
		}, 0, "wrong_interest instalment 1"},
		{"days miscounted", func(r *rig) {
			r.say("orders", order("instalment", 1, 20_000, alice, 111, Term{"days", 31}, Term{"from_day", 100}, Term{"until_day", 130}))
		}, 0, "day_count instalment 1"},
		{"another price than the contract's", func(r *rig) {
			r.say("orders", order("lending", 1, 1_000, 111, alice, Term{"principal", 900}))
			r.block(move(8, 1, 1, 1_000, 111, alice))
		}, 0, "contract_price lending 1"},
		{"a loan twice", func(r *rig) {
			r.say("orders", order("lending", 1, 1_000, 111, alice))
			r.block(move(8, 1, 1, 1_000, 111, alice))
			r.block(move(8, 1, 1, 1_000, 111, alice))
		}, 0, "loan_disbursed_twice lending 1"},
		{"a rest at the end", func(r *rig) {
			r.say("orders", order("instalment", 1, 20_000, alice, 111, Term{"left_after_last", 3}))
		}, 0, "schedule_not_amortising instalment 1"},
		{"parts that are not the whole", func(r *rig) {
			r.say("orders", order("instalment", 1, 20_000, alice, 111, Term{"total", 20_500}))
			r.block(move(7, 1, 1, 20_000, alice, 111), move(7, 3, 1, 400, alice, interestAccount))
		}, 0, "allocation_mismatch instalment 1"},
		{"a term that is missing", func(r *rig) {
			r.say("orders", order("instalment", 1, 20_000, alice, 111, Term{"rate_ppb", 50}))
			r.block(move(7, 1, 1, 20_000, alice, 111), move(7, 3, 1, 400, alice, interestAccount))
		}, 0, "rule_failed instalment 1"},
		{"a line that nothing explains", func(r *rig) { r.say("bank", line("deposit", 1, 700, false)) }, dead, "statement_mismatch deposit 1"},
		{"one id, two contents", func(r *rig) {
			a, b := order("payment", 1, 100, alice, bob), order("payment", 1, 200, alice, bob)
			a.ID, b.ID = key(9), key(9)
			r.say("orders", a, b)
			r.block(move(5, 1, 1, 100, alice, bob))
		}, 0, "source_repeat payment 1"},
		{"one number, two contents", func(r *rig) {
			o := order("payment", 1, 100, alice, bob)
			r.say("orders", o)
			o.Seq, o.Amount = r.seqs["orders"], count.Of(101)
			r.say("orders", o)
			r.block(move(5, 1, 1, 100, alice, bob))
		}, 0, "source_repeat payment 1"},
		{"a currency nobody has", func(r *rig) {
			o := order("payment", 1, 100, alice, bob)
			o.Asset = "XXX/2"
			r.say("orders", o)
		}, dead, "unknown_asset payment 1"},
		{"a flow nobody declared", func(r *rig) { r.say("orders", order("nothing", 1, 100, alice, bob)) }, 0, "rule_failed  1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, Options{})
			c.story(r)
			if c.after > 0 {
				r.pass(c.after)
			} else {
				r.tick(0)
			}
			r.want(c.want)
			r.pass(3 * time.Minute)
			if got := r.all(); len(got) != 1 {
				t.Errorf("found once, and then: %q", got)
			}
			for id, n := range r.opened {
				if n != 1 {
					t.Errorf("break %s opened %d times", hexOf(id), n)
				}
			}
			b := r.breaks[slices.Collect(func(yield func(ID) bool) {
				for id := range r.breaks {
					yield(id)
					return
				}
			})[0]]
			if b.Summary == "" || len(b.Evidence) == 0 && b.Class != OversizedKey || b.Happened == 0 {
				t.Errorf("break without summary, evidence or time: %+v", b)
			}
			if p := r.e.Proof(); p.Through >= b.Happened || p.Open != 1 {
				t.Errorf("proven through %d, and the break happened at %d: %s, %d open", p.Through, b.Happened, p.Reason, p.Open)
			}
		})
	}
}
