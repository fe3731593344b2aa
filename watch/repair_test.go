package watch

import (
	"errors"
	"testing"
	"time"

	"github.com/sterlingrun/sterling/watch/internal/books"
	"github.com/sterlingrun/sterling/watch/internal/count"
)

// What a break suggests mends it when it is booked, and the break says so by itself.
func TestSuggestedRepairsMend(t *testing.T) {
	for _, c := range []struct {
		name  string
		story func(r *rig)
		want  []RepairTransfer
	}{
		{"the same twice", func(r *rig) {
			r.say("orders", order("payment", 1, 100, alice, bob))
			r.block(move(5, 1, 1, 100, alice, bob))
			r.block(move(5, 1, 1, 100, alice, bob))
		}, []RepairTransfer{mending(key(bob), key(alice), count.Of(100), 1)}},
		{"fee left out", func(r *rig) {
			r.say("orders", order("payment", 1, 60_000, alice, bob))
			r.block(move(5, 1, 1, 60_000, alice, bob))
		}, []RepairTransfer{mending(key(alice), key(feesAccount), count.Of(100), 2)}},
		{"a cent too much", func(r *rig) {
			r.say("orders", order("payment", 1, 100, alice, bob))
			r.block(move(5, 1, 1, 101, alice, bob))
		}, []RepairTransfer{mending(key(bob), key(alice), count.Of(1), 1)}},
		{"too little", func(r *rig) {
			r.say("orders", order("payment", 1, 100, alice, bob))
			r.block(move(5, 1, 1, 10, alice, bob))
		}, []RepairTransfer{mending(key(alice), key(bob), count.Of(90), 1)}},
		{"to somebody else", func(r *rig) {
			r.say("orders", order("payment", 1, 100, alice, bob))
			r.block(move(5, 1, 1, 100, alice, 103))
		}, []RepairTransfer{mending(key(103), key(bob), count.Of(100), 1)}},
		{"the wrong way round", func(r *rig) {
			r.say("orders", order("payment", 1, 100, alice, bob))
			r.block(move(5, 1, 1, 100, bob, alice))
		}, []RepairTransfer{mending(key(alice), key(bob), count.Of(200), 1)}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, Options{})
			c.story(r)
			if len(r.breaks) != 1 {
				t.Fatalf("breaks %q", r.all())
			}
			for _, b := range r.breaks {
				if len(b.Repair) != 1 || b.Repair[0] != c.want[0] {
					t.Fatalf("repair %+v, want %+v", b.Repair, c.want)
				}
				m := Movement{
					Code: b.Repair[0].Code, UserData128: b.Repair[0].UserData128, UserData32: b.Repair[0].UserData32,
					Amount: b.Repair[0].Amount, Debit: b.Repair[0].Debit, Credit: b.Repair[0].Credit,
				}
				r.block(m)
			}
			r.want()
			r.pass(time.Minute)
			if p := r.e.Proof(); p.Keys != 0 || p.Through != r.now {
				t.Errorf("after the repair: %+v", p)
			}
			if len(r.e.breaks) > 0 || len(r.e.ofCase) > 0 {
				t.Errorf("%d breaks, of %d cases, stay in memory", len(r.e.breaks), len(r.e.ofCase))
			}
			for _, b := range r.breaks {
				if b.State != Repaired {
					t.Errorf("state %d", b.State)
				}
			}
		})
	}
}

func mending(debit, credit ID, amount Amount, leg uint32) RepairTransfer {
	return RepairTransfer{Debit: debit, Credit: credit, Amount: amount, Asset: "CNY/2", Code: 5, UserData128: key(1), UserData32: leg}
}

func TestLateEffectsMend(t *testing.T) {
	r := newRig(t, Options{})
	r.say("orders", order("payment", 1, 100, alice, bob))
	r.pass(10 * time.Second)
	r.want("missing_post payment 1")
	stands := r.e.Proof().Through
	r.pass(10 * time.Second)
	if p := r.e.Proof(); p.Through != stands || p.Reason == "" || len(p.AtRisk) != 1 || p.AtRisk[0].Amount != count.Of(100) {
		t.Errorf("with an open break: %d, before %d: %s", p.Through, stands, p.Reason)
	}
	r.block(move(5, 1, 1, 100, alice, bob))
	r.want()
	r.block(move(5, 1, 2, 70, alice, bob))
	r.pass(10 * time.Second)
	r.want("unordered_effect payment 2")
	r.say("orders", order("payment", 2, 70, alice, bob))
	r.want()
	r.pass(10 * time.Second)
	if p := r.e.Proof(); p.Through != r.now || p.Open != 0 {
		t.Errorf("all came: %+v", p)
	}
}

func TestDecisions(t *testing.T) {
	r := newRig(t, Options{})
	r.say("orders", order("payment", 1, 100, alice, bob))
	r.pass(10 * time.Second)
	b := r.find(MissingPost)
	if err := r.e.Decide(Decision{Break: b.ID, State: Explained, Who: "ann", Why: "the queue stood"}); err != nil {
		t.Fatal(err)
	}
	r.drain()
	if p := r.e.Proof(); p.Open != 1 || p.Through >= b.Happened {
		t.Errorf("an explained break holds the proof: %+v", p)
	}
	if err := r.e.Decide(Decision{Break: b.ID, State: Accepted, Who: "ann", Why: "given up"}); err != nil {
		t.Fatal(err)
	}
	r.drain()
	r.want()
	r.pass(10 * time.Second)
	if p := r.e.Proof(); p.Open != 0 || p.Through != r.now || p.Keys != 0 {
		t.Errorf("an accepted break lets the proof go on: %+v", p)
	}
	if got := r.breaks[b.ID]; got.State != Accepted {
		t.Errorf("state %d", got.State)
	}
	if err := r.e.Decide(Decision{Break: b.ID, State: Accepted}); !errors.Is(err, ErrNoBreak) {
		t.Errorf("decide on an ended break: %v", err)
	}
	if err := r.e.Decide(Decision{Break: b.ID, State: Repaired}); !errors.Is(err, ErrDecision) {
		t.Errorf("decide that it is repaired: %v", err)
	}
	// What was accepted is not opened again when the key comes back; what is new is.
	r.say("orders", order("payment", 1, 100, alice, bob)) // another order of the same key, with another id
	r.pass(10 * time.Second)
	r.want()
	r.block(move(5, 1, 1, 10_000, alice, bob))
	r.want("unit_error payment 1")
	if n := r.opened[b.ID]; n != 1 {
		t.Errorf("the accepted break was opened %d times", n)
	}
}

func TestDecideAGroup(t *testing.T) {
	r := newRig(t, Options{StopLoss: StopLoss{Rules: []StopRule{{Freeze: "account"}}, AccountsPerMinute: 10}})
	r.say("orders", order("card-payment", 1, 10_000, alice, shop))
	r.block(move(3, 1, 1, 10_000, alice, 999), move(3, 2, 1, 60, 999, feesAccount))
	r.pass(time.Minute)
	root := ID{}
	for _, b := range r.breaks {
		if root.IsZero() {
			root = b.Group
		}
		if b.Group != root {
			t.Errorf("break %s is of another group", b.Class)
		}
	}
	if len(r.breaks) < 2 {
		t.Fatalf("want several breaks of one cause, have %q", r.all())
	}
	if len(r.frozen) != 1 || r.frozen[0].Account != key(999) {
		t.Errorf("a group is frozen for once: %+v", r.frozen)
	}
	if p := r.e.Proof(); len(p.AtRisk) != 1 || p.AtRisk[0].Amount != count.Of(10_000) {
		t.Errorf("a group's money counts once: %+v", p.AtRisk)
	}
	if err := r.e.Decide(Decision{Break: root, Group: true, State: Accepted, Who: "ann", Why: "a test"}); err != nil {
		t.Fatal(err)
	}
	r.drain()
	r.want()
}

func TestFindingsOfTheJournal(t *testing.T) {
	r := newRig(t, Options{})
	r.say("orders", order("payment", 1, 100, alice, bob))
	m := move(5, 1, 1, 101, alice, bob)
	m.Transfer = key(4711)
	r.books.findings = []books.Finding{{
		Class: string(LostUpdate), Seq: r.books.seq + 1, Index: 0, Time: r.now, Transfer: key(4711), Amount: count.Of(1), Asset: 1, Summary: "the amount is another",
		Accounts: []ID{key(alice)}, Fields: []books.Field{{Name: "amount", Value: "101", Want: "100"}},
	}}
	r.block(m)
	root := r.find(LostUpdate)
	if wrong := r.find(WrongAmount); wrong.Group != root.ID {
		t.Errorf("what follows from a finding is of group %s, want %s", hexOf(wrong.Group), hexOf(root.ID))
	}
	r.books.findings = []books.Finding{{Class: string(TamperedHistory), Seq: r.books.seq + 1, Index: -1, Time: r.now, Summary: "the hash is another"}}
	r.say("orders", order("payment", 2, 100, alice, bob))
	r.block()
	r.tick(0)
	stands := r.e.Proof().Through
	r.block(move(5, 1, 2, 100, alice, bob))
	r.pass(time.Minute)
	// The journal's word ends with the tampered block: what comes after is neither safe nor missing.
	r.want("lost_update  4711", "tampered_history  ", "wrong_amount payment 1")
	if p := r.e.Proof(); p.Through > stands || p.Reason == "" {
		t.Errorf("proof %d, before %d: %q", p.Through, stands, p.Reason)
	}
}

// A refund that is too much because the journal is wrong about its payment follows from that finding.
func TestRefundOfADamagedPayment(t *testing.T) {
	r := newRig(t, Options{})
	r.say("orders", order("card-payment", 1, 100, alice, shop))
	m := move(3, 1, 1, 100, alice, shop)
	m.Transfer = key(4711)
	r.books.findings = []books.Finding{{Class: string(LostUpdate), Seq: r.books.seq + 1, Index: 0, Time: r.now, Transfer: key(4711), Amount: count.Of(1), Asset: 1, Summary: "the amount is another"}}
	r.block(m, move(3, 2, 1, 1, shop, feesAccount))
	refund := order("refund", 2, 101, shop, alice)
	refund.OfKey = key(1)
	r.say("orders", refund)
	r.block(move(4, 1, 2, 101, shop, alice), move(4, 2, 2, 1, feesAccount, shop))
	if a, b := r.find(LostUpdate), r.find(RefundExcess); b.Group != a.ID {
		t.Errorf("the refund's break is of group %s, want %s", hexOf(b.Group), hexOf(a.ID))
	}
}

func TestStopLoss(t *testing.T) {
	loss := StopLoss{
		Rules: []StopRule{
			{Classes: []Class{WrongAccount}, Freeze: "none"},
			{Classes: []Class{TamperedHistory}, Freeze: "cell", Unasked: true},
			{Classes: []Class{DuplicatePost}, Flows: []string{"payment"}, Freeze: "flow"},
			{Classes: []Class{WrongAmount, UnitError, WrongFee}, Freeze: "account"},
		},
		AccountsPerMinute: 2, AmountPerMinute: map[string]uint64{"CNY/2": 10_000},
	}
	wrong := func(r *rig, k, amount, more uint64) {
		r.say("orders", order("payment", k, amount, alice, bob+k))
		r.block(move(5, 1, k, amount+more, alice, bob+k))
	}
	r := newRig(t, Options{StopLoss: loss})
	wrong(r, 1, 100, 1)
	wrong(r, 2, 100, 10_000)
	wrong(r, 3, 100, 2)
	wrong(r, 4, 100, 3)
	var got []string
	for _, f := range r.frozen {
		got = append(got, f.Withheld)
		if f.Selector != FreezeAccount || len(f.Reason) > 64 || f.Reason == "" {
			t.Errorf("freeze %+v", f)
		}
	}
	if len(got) != 4 || got[0] != "" || got[1] != "asked" || got[2] != "" || got[3] != "asked" {
		t.Errorf("withheld: %q: want the second (amount) and the fourth (accounts)", got)
	}
	if r.frozen[0].Account != key(bob+1) {
		t.Errorf("account %s is frozen, and %d has the money", r.frozen[0].Account, bob+1)
	}
	r.pass(time.Minute)
	wrong(r, 5, 100, 1)
	if f := r.frozen[4]; f.Withheld != "" {
		t.Errorf("a minute later: %+v", f)
	}
	r.say("orders", order("payment", 6, 100, alice, bob))
	r.block(move(5, 1, 6, 100, alice, bob), move(5, 1, 6, 100, alice, bob))
	if f := r.frozen[5]; f.Selector != FreezeCode || f.Code != 5 || f.Withheld != "asked" {
		t.Errorf("freeze of a flow: %+v", f)
	}
	r.say("orders", order("payment", 7, 100, alice, bob))
	r.block(move(5, 1, 7, 100, alice, 999))
	if len(r.frozen) != 6 {
		t.Errorf("a class with none: %+v", r.frozen[6:])
	}
	r.books.findings = []books.Finding{{Class: string(TamperedHistory), Seq: 1, Index: -1, Time: r.now, Summary: "the hash is another"}}
	r.block()
	if f := r.frozen[6]; f.Selector != FreezeCell || f.Withheld != "" {
		t.Errorf("freeze of the cell: %+v", f)
	}
	seen := map[ID]bool{}
	for _, f := range r.frozen {
		if seen[f.ID] {
			t.Errorf("two freezes with id %s", f.ID)
		}
		seen[f.ID] = true
	}

	loss.DryRun = true
	r = newRig(t, Options{StopLoss: loss})
	wrong(r, 1, 100, 1)
	if len(r.frozen) != 1 || r.frozen[0].Withheld != "dry run" {
		t.Errorf("dry run: %+v", r.frozen)
	}
	if _, err := New(Options{StopLoss: StopLoss{Rules: []StopRule{{Freeze: "all"}}}}); !errors.Is(err, ErrOptions) {
		t.Errorf("a rule that means nothing: %v", err)
	}
}

func TestFailedFreezeGivesTheBudgetBack(t *testing.T) {
	r := newRig(t, Options{StopLoss: StopLoss{Rules: []StopRule{{Freeze: "account"}}, AccountsPerMinute: 1}})
	for k := uint64(1); k <= 2; k++ {
		r.say("orders", order("payment", k, 100, alice, bob))
		r.block(move(5, 1, k, 101, alice, bob))
		r.e.Frozen(r.frozen[k-1].ID, "no such account")
	}
	if r.frozen[1].Withheld != "" {
		t.Errorf("the second: %+v", r.frozen[1])
	}
}
