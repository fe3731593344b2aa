package watch

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sterlingrun/sterling/watch/internal/books"
	"github.com/sterlingrun/sterling/watch/internal/count"
)

func TestSilentSource(t *testing.T) {
	r := newRig(t, Options{})
	r.say("orders", order("settlement", 1, 100, shop, 401))
	r.block(move(11, 1, 1, 100, shop, 401))
	heard := r.now
	r.pass(time.Minute, "orders", "card-scheme")
	// Nobody says that the line is missing: the bank has not told.
	r.want("silent_source  ")
	p := r.e.Proof()
	if p.Through > heard || !strings.Contains(p.Reason, "bank is silent since") {
		t.Errorf("proof %d, the bank was heard at %d: %q", p.Through, heard, p.Reason)
	}
	for _, f := range p.Flows {
		if f.Flow == "payment" && f.Through != r.now {
			t.Errorf("payments need no bank: %+v", f)
		}
	}
	r.say("bank", line("settlement", 1, 100, true))
	r.want()
	r.pass(10 * time.Second)
	if p := r.e.Proof(); p.Through != r.now || p.Reason != "" {
		t.Errorf("it speaks again: %+v", p)
	}
	for _, s := range r.e.Sources() {
		if s.Silent || s.Seq == 0 || s.Through != r.now {
			t.Errorf("source %+v", s)
		}
	}
}

func TestGapIsNotSafe(t *testing.T) {
	r := newRig(t, Options{})
	missing := order("payment", 1, 100, alice, bob)
	missing.ID, missing.Time, missing.Asset = key(55), r.now, "CNY/2"
	r.seqs["orders"]++
	missing.Seq = r.seqs["orders"]
	r.say("orders", order("payment", 2, 100, alice, bob))
	r.block(move(5, 1, 1, 100, alice, bob), move(5, 1, 2, 100, alice, bob))
	before := r.e.Sources()[2]
	if before.MissingFrom != missing.Seq || before.MissingTo != missing.Seq {
		t.Errorf("source %+v", before)
	}
	r.pass(time.Minute)
	r.want("source_gap  ")
	if p := r.e.Proof(); p.Through > missing.Time || !strings.Contains(p.Reason, "never told") {
		t.Errorf("proof %d: %q", p.Through, p.Reason)
	}
	missing.Through = missing.Time
	r.e.Observe("orders", []Observation{missing})
	r.drain()
	r.pass(10 * time.Second)
	r.want()
	if p := r.e.Proof(); p.Through != r.now || p.Keys != 0 {
		t.Errorf("it was filled: %+v", p)
	}
}

func TestAcceptedGapLetsTheProofGoOn(t *testing.T) {
	r := newRig(t, Options{})
	r.seqs["orders"] += 3
	r.say("orders", order("payment", 2, 100, alice, bob))
	r.block(move(5, 1, 2, 100, alice, bob))
	r.pass(20 * time.Second)
	r.want("source_gap  ")
	if err := r.e.Decide(Decision{Break: r.find(SourceGap).ID, State: Accepted, Who: "ann", Why: "a test restart of the source"}); err != nil {
		t.Fatal(err)
	}
	r.drain()
	r.pass(10 * time.Second)
	r.want()
	if p := r.e.Proof(); p.Through != r.now {
		t.Errorf("proof %+v", p)
	}
}

func TestHugeGapAndFloodAreBounded(t *testing.T) {
	r := newRig(t, Options{})
	r.e.Observe("orders", []Observation{{Seq: 1 << 63, Kind: Heartbeat, Time: r.now}})
	for n := range uint64(2 * maxWaiting) {
		r.e.Observe("card-scheme", []Observation{{Seq: 100 + 2*n, Kind: Heartbeat, Time: r.now}})
	}
	r.drain()
	r.pass(20*time.Second, "bank")
	for _, s := range r.e.sources {
		if len(s.waiting) > maxWaiting || len(s.holes) > maxHoles || len(s.recent) > maxRecent {
			t.Errorf("source %s: %d wait, %d holes, %d remembered", s.name, len(s.waiting), len(s.holes), len(s.recent))
		}
	}
	if len(r.open()) == 0 {
		t.Error("no break")
	}
}

func TestClockAnHourOff(t *testing.T) {
	r := newRig(t, Options{})
	ahead := order("payment", 1, 100, alice, bob)
	ahead.Time = r.now + 3600*second
	ahead.Through = ahead.Time
	r.say("orders", ahead)
	r.block(move(5, 1, 1, 100, alice, bob))
	r.want("clock_jump  ")
	r.tick(time.Second)
	if s := r.e.Sources()[2]; s.Through > r.now {
		t.Errorf("a promise about the future counts: %+v", s)
	}
	r.pass(3 * time.Minute)
	r.want()
	behind := order("payment", 2, 100, alice, bob)
	behind.Time, behind.Through = r.now-3600*second, 1
	r.say("orders", behind)
	r.want("clock_jump  ")
	r.tick(2 * time.Second) // its deadline counts from when it could have been told
	r.want("clock_jump  ")
	r.block(move(5, 1, 2, 100, alice, bob))
	r.pass(3 * time.Minute)
	r.want()
}

func TestClockOfTheLedger(t *testing.T) {
	r := newRig(t, Options{})
	r.books.time = r.now + 3600*second
	r.block()
	r.tick(0)
	r.want("clock_jump  ")
	r = newRig(t, Options{})
	r.now -= 600 * second
	r.tick(0)
	r.want("clock_jump  ")
}

func TestOversizedKey(t *testing.T) {
	r := newRig(t, Options{MaxLegs: 100})
	r.say("orders", order("payment", 1, 1<<40, alice, bob))
	for range 30 {
		var list []Movement
		for range 10 {
			list = append(list, move(5, 1, 1, 1, alice, bob))
		}
		r.block(list...)
	}
	b := r.find(OversizedKey)
	if b.State != Open || r.e.facts.used() > 101 {
		t.Errorf("%+v, %d facts", b, r.e.facts.used())
	}
	if p := r.e.Proof(); p.Through >= r.now {
		t.Errorf("an oversized key is not safe: %+v", p)
	}
	for id := range r.breaks {
		if err := r.e.Decide(Decision{Break: id, State: Accepted, Who: "ann", Why: "known"}); err != nil && !errors.Is(err, ErrNoBreak) {
			t.Fatal(err)
		}
	}
	r.drain()
	r.pass(10 * time.Second)
	if p := r.e.Proof(); p.Keys != 0 || p.Through != r.now {
		t.Errorf("accepted: %+v", p)
	}
}

func TestUnclaimedCodesAndUnheardSourcesAreNamed(t *testing.T) {
	r := &rig{t: t, books: &stubBooks{balances: map[ID]books.Balances{}}, shelf: shelf{}, now: start, seqs: map[string]uint64{}, breaks: map[ID]*Break{}, opened: map[ID]int{}}
	e, err := newEngine(Options{Flows: demoFlows(t), Past: r.shelf}, r.books)
	if err != nil {
		t.Fatal(err)
	}
	r.e = e
	r.block(move(99, 1, 1, 100, alice, bob), move(1, 1, 2, 100, alice, bob))
	r.tick(time.Second)
	p := r.e.Proof()
	last := p.Flows[len(p.Flows)-1]
	if last.Flow != "code 99" || last.Proven || !strings.Contains(last.Reason, "code 99") {
		t.Errorf("flow %+v", last)
	}
	for _, f := range p.Flows {
		if f.Proven || f.Reason == "" {
			t.Errorf("nobody has spoken, and %s is proven: %q", f.Flow, f.Reason)
		}
	}
	if p.Through != r.now {
		t.Errorf("flows that nothing was seen of do not hold the proof: %d of %d", p.Through, r.now)
	}
	r.block(move(5, 1, 3, 100, alice, bob))
	r.tick(time.Second)
	if p := r.e.Proof(); p.Through != 0 || !strings.Contains(p.Reason, "orders has not spoken yet") {
		t.Errorf("proof %d: %q", p.Through, p.Reason)
	}
}

func TestComparisonsAndBalances(t *testing.T) {
	r := newRig(t, Options{})
	r.say("orders", order("payment", 1, 100, alice, bob))
	r.block(move(5, 1, 1, 100, alice, bob))
	own, _ := r.e.Account(key(bob))
	r.e.Compare(r.e.Seq(), []AccountBalance{own})
	r.drain()
	r.want()
	wrong := own
	wrong.CreditsPosted = count.Of(99)
	r.e.Compare(r.e.Seq()-1, []AccountBalance{wrong}) // of another block: left out
	r.drain()
	r.want()
	r.e.Compare(r.e.Seq(), []AccountBalance{wrong})
	r.e.Compare(r.e.Seq(), []AccountBalance{wrong})
	r.drain()
	r.want("balance_mismatch  102")
	if b := r.find(BalanceMismatch); b.AtRisk != count.Of(1) || len(b.Accounts) != 1 {
		t.Errorf("break %+v", b)
	}
	r.e.Compare(r.e.Seq(), []AccountBalance{own})
	r.drain()
	r.want()

	bank := func(amount uint64, at uint64) Observation {
		return Observation{Kind: Balance, Debit: key(bob), Amount: count.Of(amount), Time: at, Through: 1}
	}
	r.say("bank", bank(100, r.now+1))
	r.pass(4 * time.Second)
	r.want()
	r.say("orders", order("payment", 2, 50, alice, bob))
	r.block(move(5, 1, 2, 50, alice, bob))
	r.say("bank", bank(100, r.now-second), bank(151, r.now+1))
	r.pass(4 * time.Second)
	r.want("balance_mismatch  102")
	r.say("bank", bank(150, r.now))
	r.pass(4 * time.Second)
	r.want()
}

func TestDamagedPastIsABreak(t *testing.T) {
	r := newRig(t, Options{})
	r.card(1, 10_000)
	r.pass(time.Minute)
	k := "card-payment" + string(bytes.Clone(keyBytes(1)))
	state := bytes.Clone(r.shelf[k])
	if len(state) == 0 {
		t.Fatal("the key was not closed")
	}
	for n := range state {
		bad := bytes.Clone(state)
		bad[n] ^= 1
		i := r.e.create(caseKey{key(9_000 + uint64(n)), 0})
		if err := r.e.reopen(i, bad); err == nil {
			t.Fatalf("byte %d of %d may change", n, len(state))
		}
		r.e.drop(i)
	}
	state[len(state)-1] ^= 1
	r.shelf[k] = state
	r.block(move(3, 1, 1, 10_000, alice, shop))
	if got := r.find(TamperedHistory); got.Flow != "card-payment" || got.Key != key(1) {
		t.Errorf("break %+v", got)
	}
}

func keyBytes(n uint64) []byte {
	id := key(n)
	return id[:]
}

func TestChangedFlows(t *testing.T) {
	r := newRig(t, Options{})
	r.say("orders", order("payment", 1, 100, alice, bob), order("salary", 2, 100, 121, bob))
	change := func(name, old, to string) []*Flow {
		var list []*Flow
		for _, f := range demoFlows(t) {
			if f.Name == name {
				one, err := Parse(name, []byte(strings.Replace(f.Definition(), old, to, 1)))
				if err != nil {
					t.Fatal(err)
				}
				f = one
			}
			list = append(list, f)
		}
		return list
	}
	r.restart(Options{Flows: change("payment", "deadline: 5s", "deadline: 30s")})
	r.pass(10 * time.Second)
	r.want("missing_post salary 2")
	r.restart(Options{Flows: change("payment", "name: payment", "name: principal")})
	r.want("missing_post salary 2", "rule_failed payment ")
	if b := r.find(RuleFailed); !strings.Contains(b.Summary, "1 open cases") {
		t.Errorf("summary %q", b.Summary)
	}
	r.restart(Options{Flows: demoFlows(t)[:1]})
	r.want("missing_post salary 2", "rule_failed  ", "rule_failed payment ")
}

func TestRestoreRefuses(t *testing.T) {
	e, err := New(Options{Cell: 7, Flows: demoFlows(t)})
	if err != nil {
		t.Fatal(err)
	}
	e.Tick(start, 0, start)
	e.Observe("orders", []Observation{{Seq: 1, Kind: Heartbeat, Time: start}})
	var b bytes.Buffer
	if err := e.Snapshot(&b); err != nil {
		t.Fatal(err)
	}
	whole := b.Bytes()
	if _, err := Restore(bytes.NewReader(whole), Options{Cell: 7, Flows: demoFlows(t)}); err != nil {
		t.Fatal(err)
	}
	if _, err := Restore(bytes.NewReader(whole), Options{Cell: 8, Flows: demoFlows(t)}); err == nil {
		t.Error("a snapshot of another cell")
	}
	for n := 0; n < len(whole); n += 1 + len(whole)/400 {
		if _, err := Restore(bytes.NewReader(whole[:n]), Options{Cell: 7}); err == nil {
			t.Errorf("%d of %d bytes are enough", n, len(whole))
		}
		bad := bytes.Clone(whole)
		bad[n] ^= 0x40
		if _, err := Restore(bytes.NewReader(bad), Options{Cell: 7}); err == nil {
			t.Errorf("byte %d of %d may change", n, len(whole))
		}
	}
	e.report(breakOf{class: RuleFailed, happened: 1, summary: "x"})
	if err := e.Snapshot(&b); !errors.Is(err, ErrEffects) {
		t.Errorf("snapshot with effects: %v", err)
	}
}

func FuzzRestore(f *testing.F) {
	e, err := New(Options{Cell: 7})
	if err != nil {
		f.Fatal(err)
	}
	var b bytes.Buffer
	if err := e.Snapshot(&b); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Add([]byte{})
	f.Add(b.Bytes()[:100])
	f.Fuzz(func(t *testing.T, in []byte) {
		if e, err := Restore(bytes.NewReader(in), Options{Cell: 7}); (e == nil) == (err == nil) {
			t.Errorf("engine %v, error %v", e, err)
		}
	})
}

func FuzzReopen(f *testing.F) {
	r := newRig(f, Options{})
	r.card(1, 10_000)
	for _, state := range r.shelf {
		f.Add(state)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		e := r.e
		i := e.create(caseKey{key(4), 0})
		sum := digestOf(e.flows[0], key(4), body)
		err := e.reopen(i, append(bytes.Clone(body), sum[:digestSize]...))
		if err == nil {
			e.settleDirty()
		} else {
			e.drop(i)
		}
		e.out = e.out[:0]
		clear(e.leaving)
		if i, ok := e.byKey[caseKey{key(4), 0}]; ok {
			e.dirty = e.dirty[:0]
			e.drop(i)
		}
	})
}

// A word that comes late, but within its source's promise, is awaited: an order that is withdrawn, a card that is
// declined.
func TestPromisedWordsAreAwaited(t *testing.T) {
	r := newRig(t, Options{})
	r.say("orders", order("payment", 1, 100, alice, bob))
	withdrawn := receipt("payment", 1, 100, Failed)
	withdrawn.Time, withdrawn.Through = r.now+second, r.now+second
	r.pass(8*time.Second, "card-scheme", "bank")
	r.want()
	r.say("orders", withdrawn)
	r.say("orders", order("card-payment", 2, 100, alice, shop))
	declined := receipt("card-payment", 2, 100, Failed)
	declined.Time, declined.Through = r.now+second, r.now+second
	r.pass(8*time.Second, "orders", "bank")
	r.say("card-scheme", declined)
	r.pass(time.Minute)
	if got := r.all(); len(got) > 0 {
		t.Errorf("breaks: %q", got)
	}
	if p := r.e.Proof(); p.Keys != 0 || p.Through != r.now {
		t.Errorf("proof %+v", p)
	}
}

// Of two refunds that are too much together the later one in the journal is in excess, whichever order came first.
func TestRefundsCountInTheJournalsOrder(t *testing.T) {
	r := newRig(t, Options{})
	r.card(1, 10_000)
	for k := uint64(2); k < 4; k++ {
		r.block(move(4, 1, k, 6_000, shop, alice), move(4, 2, k, 36, feesAccount, shop))
	}
	for _, k := range []uint64{3, 2} {
		o := order("refund", k, 6_000, shop, alice)
		o.OfKey = key(1)
		r.say("orders", o)
		r.say("card-scheme", receipt("refund", k, 6_000, Refunded))
	}
	r.pass(10 * time.Second)
	r.want("refund_double refund 3")
}

// Cases of one deadline pass it in one order, also in a restored engine.
func TestTiesHaveAnOrder(t *testing.T) {
	story := func(restart bool) []string {
		r := newRig(t, Options{})
		for k := uint64(1); k <= 60; k++ {
			r.say("orders", order("payment", k, 100, alice, bob))
		}
		for k := uint64(1); k <= 60; k += 3 {
			r.block(move(5, 1, (k*7)%60+1, 100, alice, bob))
		}
		if restart {
			r.restart(Options{})
		}
		r.pass(10 * time.Second)
		return r.told
	}
	a, b := story(false), story(true)
	if !slices.Equal(a, b) {
		t.Errorf("%d effects, after a restart %d, or in another order", len(a), len(b))
	}
}
