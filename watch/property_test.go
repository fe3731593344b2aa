package watch

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/sterlingrun/sterling/watch/internal/books"
)

// A script is a bank's day as inputs: what each story should do, when each part of it reaches the engine.

type input struct {
	at     uint64 // ms
	source string // empty: a block
	seen   []Observation
	moves  []Movement
}

type faultyStory func(random *rand.Rand, k uint64) []input

// clean is a card payment, a payment, a refund or a payout, right in all parts.
func clean(random *rand.Rand, k uint64) []input {
	late := func() uint64 { return random.Uint64N(3_000) }
	amount := 1_000 + random.Uint64N(90_000)
	at := random.Uint64N(20_000)
	switch k % 3 {
	case 0:
		moves := []Movement{move(5, 1, k, amount, alice, bob)}
		if amount > 50_000 {
			moves = append(moves, move(5, 2, k, 100, alice, feesAccount))
		}
		return []input{
			{at: at + late(), source: "orders", seen: []Observation{order("payment", k, amount, alice, bob)}},
			{at: at + late(), moves: moves},
		}
	case 1:
		return []input{
			{at: at + late(), source: "orders", seen: []Observation{order("settlement", k, amount, shop, 401)}},
			{at: at + late(), moves: []Movement{move(11, 1, k, amount, shop, 401)}},
			{at: at + 8*late(), source: "bank", seen: []Observation{line("settlement", k, amount, true)}},
		}
	}
	hold := phase(move(3, 1, k, amount, alice, shop), books.Reserve, ID{})
	hold.Transfer = key(k<<24 + 1)
	part := amount/3 + 1
	fee := func(of uint64) uint64 { return max(1, of*6/1000) }
	first, second := phase(move(3, 1, k, part, alice, shop), books.Capture, hold.Transfer), phase(move(3, 1, k, amount-part, alice, shop), books.Capture, hold.Transfer)
	return []input{
		{at: at + late(), source: "orders", seen: []Observation{order("card-payment", k, amount, alice, shop)}},
		{at: at, moves: []Movement{hold}},
		{at: at + 4_000, moves: []Movement{first, move(3, 2, k, fee(part), shop, feesAccount)}},
		{at: at + 9_000, moves: []Movement{second, move(3, 2, k, fee(amount)-fee(part), shop, feesAccount)}},
		{at: at + 3_000 + 3*late(), source: "card-scheme", seen: []Observation{receipt("card-payment", k, amount, Settled)}},
	}
}

// bent is a clean story with one fault.
func bent(random *rand.Rand, k uint64) []input {
	list := clean(random, k)
	for n := range list {
		if len(list[n].moves) == 0 {
			continue
		}
		switch m := &list[n].moves[0]; random.IntN(3) {
		case 0:
			m.Amount = Amount{Lo: m.Amount.Lo + 1}
		case 1:
			m.Credit = key(999)
		default:
			again := *m
			again.Transfer = key(k<<24 + 99)
			list = append(list, input{at: list[n].at + 500, moves: []Movement{again}})
		}
		break
	}
	return list
}

// script mixes stories into one list of inputs, by time.
func script(random *rand.Rand, stories int, story faultyStory) []input {
	var list []input
	for k := range stories {
		list = append(list, story(random, uint64(k)+1)...)
	}
	id := uint64(1 << 40)
	for n := range list {
		for m := range list[n].moves {
			id++
			one := &list[n].moves[m]
			if one.Transfer.IsZero() {
				one.Transfer = key(id)
			}
			one.Asset = 1
			if one.Phase == 0 {
				one.Phase = books.Single
			}
		}
		for m := range list[n].seen {
			id++
			one := &list[n].seen[m]
			one.ID, one.Time, one.Asset = key(id), start+list[n].at*1_000_000, "CNY/2"
		}
	}
	slices.SortStableFunc(list, func(a, b input) int { return int(a.at) - int(b.at) })
	return list
}

// run plays a script: observations may be delivered again, later, and in another order among themselves, as far as a
// source may: within its promise. restarts says before which inputs the engine is replaced by its snapshot.
func run(t *testing.T, list []input, disturb *rand.Rand, restarts map[int]bool) *rig {
	t.Helper()
	r := newRig(t, Options{})
	late := map[string][]Observation{}
	at := uint64(0)
	deliver := func(force bool) {
		for _, s := range []string{"bank", "card-scheme", "orders"} {
			held := late[s]
			if len(held) == 0 || disturb != nil && !force && disturb.IntN(3) > 0 {
				continue
			}
			late[s] = nil
			if disturb == nil {
				r.e.Observe(s, held)
				r.drain()
				continue
			}
			again := append(slices.Clone(held), held...) // all of it twice, and each alone, in any order
			disturb.Shuffle(len(again), func(a, b int) { again[a], again[b] = again[b], again[a] })
			for n := range again {
				r.e.Observe(s, again[n:n+1])
			}
			r.drain()
		}
	}
	for n, one := range list {
		if restarts[n] {
			r.restart(Options{})
		}
		for at+100 <= one.at {
			at += 100
			r.now = start + at*1_000_000
			deliver(false)
			if at%1_000 == 0 {
				deliver(true)
				for _, s := range []string{"bank", "card-scheme", "orders"} {
					r.seqs[s]++
					r.e.Observe(s, []Observation{{Seq: r.seqs[s], Kind: Heartbeat, Time: r.now, Through: r.now}})
				}
			}
			r.e.Tick(r.now, r.books.seq, r.now)
			r.drain()
		}
		if one.source == "" {
			r.block(slices.Clone(one.moves)...)
			continue
		}
		for _, o := range one.seen {
			r.seqs[one.source]++
			o.Seq = r.seqs[one.source]
			late[one.source] = append(late[one.source], o)
		}
		if disturb == nil {
			deliver(true)
		}
	}
	deliver(true)
	r.pass(2 * time.Minute)
	return r
}

func TestLegitimateDisturbancesAreSilent(t *testing.T) {
	for seed := range uint64(20) {
		list := script(rand.New(rand.NewPCG(seed, 1)), 60, clean)
		r := run(t, list, rand.New(rand.NewPCG(seed, 2)), nil)
		if got := r.all(); len(got) > 0 {
			t.Fatalf("seed %d: %q", seed, got)
		}
		if p := r.e.Proof(); p.Keys != 0 || p.Through != r.now || p.Reason != "" {
			t.Fatalf("seed %d: %d keys are open, proven through %d of %d: %s", seed, p.Keys, p.Through, r.now, p.Reason)
		}
	}
}

// Whatever order deliveries come in within their time, the same breaks are open at the end, with the same ids.
func TestOrderOfDeliveriesDoesNotMatter(t *testing.T) {
	for seed := range uint64(20) {
		list := script(rand.New(rand.NewPCG(seed, 3)), 40, func(random *rand.Rand, k uint64) []input {
			if k%4 == 0 {
				return bent(random, k)
			}
			return clean(random, k)
		})
		straight := run(t, list, nil, nil)
		if len(straight.open()) == 0 {
			t.Fatalf("seed %d: nothing was found", seed)
		}
		for other := range uint64(3) {
			disturbed := run(t, list, rand.New(rand.NewPCG(seed, 10+other)), nil)
			if a, b := straight.open(), disturbed.open(); !slices.Equal(a, b) {
				t.Fatalf("seed %d: %q, and in another order %q", seed, a, b)
			}
			for id, b := range disturbed.breaks {
				if own := straight.breaks[id]; own != nil && (own.AtRisk != b.AtRisk || own.State != b.State) {
					t.Fatalf("seed %d: %+v, and in another order %+v", seed, own, b)
				}
			}
		}
	}
}

// An engine that was restored goes on exactly as the one that wrote the snapshot would have, wherever that was.
func TestRestartsChangeNothing(t *testing.T) {
	for seed := range uint64(12) {
		random := rand.New(rand.NewPCG(seed, 4))
		list := script(random, 40, func(random *rand.Rand, k uint64) []input {
			if k%5 == 0 {
				return bent(random, k)
			}
			return clean(random, k)
		})
		want := run(t, list, rand.New(rand.NewPCG(seed, 5)), nil)
		restarts := map[int]bool{}
		for range 12 {
			restarts[random.IntN(len(list))] = true
		}
		got := run(t, list, rand.New(rand.NewPCG(seed, 5)), restarts)
		if !slices.Equal(want.told, got.told) {
			for n := range want.told {
				if n >= len(got.told) || want.told[n] != got.told[n] {
					t.Fatalf("seed %d, effect %d:\n%s\nafter restarts:\n%s", seed, n, want.told[n], append(got.told, "none")[min(n, len(got.told))])
				}
			}
			t.Fatalf("seed %d: %d effects, after restarts %d", seed, len(want.told), len(got.told))
		}
		if a, b := fmt.Sprintf("%+v", want.e.Proof()), fmt.Sprintf("%+v", got.e.Proof()); a != b {
			t.Fatalf("seed %d: %s\nafter restarts %s", seed, a, b)
		}
		if a, b := fmt.Sprintf("%+v", want.e.Sources()), fmt.Sprintf("%+v", got.e.Sources()); a != b {
			t.Fatalf("seed %d: %s\nafter restarts %s", seed, a, b)
		}
	}
}

// The same inputs give the same snapshot, byte for byte: no map's order reaches it.
func TestSnapshotsAreDeterministic(t *testing.T) {
	var first []byte
	for range 3 {
		list := script(rand.New(rand.NewPCG(7, 7)), 50, bent)
		r := run(t, list, rand.New(rand.NewPCG(7, 8)), nil)
		var b bytes.Buffer
		if err := r.e.Snapshot(&b); err != nil {
			t.Fatal(err)
		}
		if first == nil {
			first = b.Bytes()
		}
		if !bytes.Equal(first, b.Bytes()) {
			t.Fatal("two snapshots of the same inputs differ")
		}
	}
}
