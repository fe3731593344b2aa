package watch

import (
	"errors"
	"fmt"
	"math/big"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"pgregory.net/rapid"

	"github.com/sterlingrun/sterling/watch/internal/count"
)

func (n number) big() *big.Int {
	b := new(big.Int).SetUint64(n.size.Hi)
	b.Lsh(b, 64).Or(b, new(big.Int).SetUint64(n.size.Lo))
	if n.negative {
		b.Neg(b)
	}
	return b
}

// TestNumbersAgainstBig holds signed numbers against math/big.
func TestNumbersAgainstBig(t *testing.T) {
	limit := new(big.Int).Lsh(big.NewInt(1), 128)
	rapid.Check(t, func(t *rapid.T) {
		draw := func(name string) number {
			bits := rapid.IntRange(0, 128).Draw(t, name+" bits")
			a := Amount{Lo: rapid.Uint64().Draw(t, name+" low"), Hi: rapid.Uint64().Draw(t, name+" high")}
			switch {
			case bits <= 64:
				a = Amount{Lo: a.Lo >> (64 - bits)}
			default:
				a.Hi >>= 128 - bits
			}
			return signed(rapid.Bool().Draw(t, name+" negative"), a)
		}
		a, b := draw("a"), draw("b")
		if got, want := a.compare(b), a.big().Cmp(b.big()); got != want {
			t.Fatalf("compare: %d, want %d", got, want)
		}
		hold := func(what string, got number, ok bool, want *big.Int) {
			if fits := new(big.Int).Abs(want).Cmp(limit) < 0; ok != fits || ok && got.big().Cmp(want) != 0 {
				t.Fatalf("%v %s %v: %v, %v, want %v", a.big(), what, b.big(), got.big(), ok, want)
			}
		}
		sum, ok := a.add(b)
		hold("+", sum, ok, new(big.Int).Add(a.big(), b.big()))
		product, ok := a.mul(b)
		hold("*", product, ok, new(big.Int).Mul(a.big(), b.big()))
		q, r, ok := a.div(b)
		if ok == b.size.IsZero() {
			t.Fatalf("division by %v: %v", b.big(), ok)
		}
		if ok {
			hold("/", q, ok, new(big.Int).Quo(a.big(), b.big()))
			hold("%", r, ok, new(big.Int).Rem(a.big(), b.big()))
		}
	})
}

// TestNativeRulesAgreeWithCEL makes expressions and holds the closures against CEL's interpreter.
func TestNativeRulesAgreeWithCEL(t *testing.T) {
	terms := []string{}
	l, err := newLanguage(caseVariables(), &terms)
	if err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(1, 2))
	var number, condition func(depth int) string
	number = func(depth int) string {
		leaves := []string{"moved", "order.amount", "terms.rate", fmt.Sprint(random.IntN(50)), "payment.moved"}
		if depth == 0 {
			return leaves[random.IntN(len(leaves))]
		}
		a, b := number(depth-1), number(depth-1)
		switch random.IntN(9) {
		case 0:
			return "max(" + a + ", " + b + ")"
		case 1:
			return "min(" + a + ", " + b + ")"
		case 2:
			return "(" + condition(depth-1) + " ? " + a + " : " + b + ")"
		case 3:
			return "-(" + a + ")"
		default:
			return "(" + a + []string{" + ", " - ", " * ", " / ", " % "}[random.IntN(5)] + b + ")"
		}
	}
	condition = func(depth int) string {
		if depth == 0 {
			return []string{"has(terms.rate)", "has(terms.other)", "order.asset == \"CNY/2\"", "order.debit == \"101\"", "order.debit != order.credit"}[random.IntN(5)]
		}
		switch random.IntN(4) {
		case 0:
			return "(" + condition(depth-1) + " && " + condition(depth-1) + ")"
		case 1:
			return "(" + condition(depth-1) + " || " + condition(depth-1) + ")"
		case 2:
			return "!(" + condition(depth-1) + ")"
		default:
			return "(" + number(depth-1) + []string{" == ", " != ", " < ", " <= ", " > ", " >= "}[random.IntN(6)] + number(depth-1) + ")"
		}
	}
	values := 0
	for range 400 {
		text := number(1 + random.IntN(3))
		if len(text) > maxExpr {
			continue
		}
		tree, err := l.checked(text, cel.IntType)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		native, isNative, err := l.number(text)
		if err != nil || !isNative {
			t.Fatalf("%s: native %v, %v", text, isNative, err)
		}
		slow, err := l.program(tree)
		if err != nil {
			t.Fatal(err)
		}
		for range 5 {
			v := &vars{
				order: &fact{amount: count.Of(random.Uint64N(1000)), debit: key(101 + random.Uint64N(2)), credit: key(102)}, orderAsset: "CNY/2", moved: count.Of(random.Uint64N(100)),
				payment: paid{moved: count.Of(random.Uint64N(9))}, terms: &[maxTerms]int64{random.Int64N(100) - 50, 1}, termsPresent: uint8(random.IntN(4)),
			}
			a := native(v)
			errA := v.err
			v.err = nil
			b := slow(v)
			if (errA == nil) != (v.err == nil) {
				if strings.ContainsAny(text, "&|") {
					continue // CEL's && and || may look past an error of one side
				}
				t.Fatalf("%s: native %v, CEL %v", text, errA, v.err)
			}
			if errA == nil {
				values++
				if want := numberOf(int64(b.(types.Int))); a != want {
					t.Fatalf("%s: native %v, CEL %v", text, a, want)
				}
			}
		}
	}
	if values < 500 {
		t.Errorf("only %d values were compared", values)
	}
}

// A rule that overflows is a break, compiled or interpreted, in every place where rules stand.
func TestOverflowIsNeverSilent(t *testing.T) {
	const flow = `flow: test
transfers: TRANSFERS
key: user_data_128
order: {source: orders, deadline: 5s}
legs:
  - {name: main, from: order.debit, to: order.credit, amount: AMOUNT}
rules:
  - {class: contract_price, unless: RULE}
`
	parts := map[string]string{"TRANSFERS": "code == 3", "AMOUNT": "order.amount", "RULE": "moved > 0"}
	for _, c := range []struct{ place, text string }{
		{"RULE", "terms.a * terms.a * terms.a > 0"}, // 189 bits
		{"RULE", "moved / (moved - moved) == 0"},
		{"RULE", "[terms.a].exists(x, x * x > 0)"}, // CEL's own
		{"RULE", "terms.b > 0"},
		{"AMOUNT", "order.amount + 0 * (terms.a * terms.a * terms.a)"},
		{"AMOUNT", "0 - order.amount"},
		{"TRANSFERS", "code == 3 && amount / (user_data_32 - user_data_32) >= 0"},
		{"TRANSFERS", "code in [3] && amount / (user_data_32 - user_data_32) >= 0"},
	} {
		text := flow
		for place, normal := range parts {
			if place == c.place {
				normal = c.text
			}
			text = strings.Replace(text, place, `"`+normal+`"`, 1)
		}
		f, err := Parse("f.yaml", []byte(text))
		if err != nil {
			t.Fatalf("%s: %v", c.text, err)
		}
		r := newRig(t, Options{Flows: []*Flow{f}})
		r.seqs = map[string]uint64{}
		r.e.Observe("orders", nil)
		o := order("test", 1, 100, alice, bob, Term{"a", 1<<63 - 1})
		o.Seq, o.ID, o.Time, o.Through, o.Asset = 2, key(5), r.now, r.now, "CNY/2"
		r.e.Observe("orders", []Observation{o})
		r.block(move(3, 1, 1, 100, alice, bob))
		r.tick(time.Millisecond)
		if b := r.find(RuleFailed); b.State != Open || b.Flow != "test" {
			t.Errorf("%s: %+v", c.text, b)
		}
	}
}

func TestAmountsBeyond64BitsCompare(t *testing.T) {
	r := newRig(t, Options{})
	huge := Amount{Hi: 1 << 40}
	o := order("payment", 1, 0, alice, bob)
	o.Amount = huge
	r.say("orders", o)
	m := move(5, 1, 1, 0, alice, bob)
	m.Amount = huge
	r.block(m, move(5, 2, 1, 100, alice, feesAccount))
	r.pass(10 * time.Second)
	r.want()
}

func TestTextKeysAreShown(t *testing.T) {
	r := newRig(t, Options{})
	o := order("payment", 1, 100, alice, bob)
	o.KeyText, o.Key = "order-2026-0001", key(77)
	r.say("orders", o)
	r.restart(Options{})
	r.pass(10 * time.Second)
	r.want("missing_post payment order-2026-0001")
}

// TestHeap holds the heap of waiting cases against a plain list.
func TestHeap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var cases slab[caseRec]
		var h heap
		times := map[uint32]uint64{}
		for range 40 {
			times[cases.take()] = 0
		}
		for range rapid.IntRange(0, 200).Draw(t, "changes") {
			i := rapid.Uint32Range(1, 40).Draw(t, "case")
			times[i] = rapid.Uint64Range(0, 20).Draw(t, "time")
			h.set(&cases, i, laneOrder, times[i])
		}
		for last := (waiting{}); ; {
			if len(h.list) == 0 {
				break
			}
			top := h.list[0]
			i := top.ref >> 2
			if top.before(last) || times[i] != top.at || top.at == 0 {
				t.Fatalf("%+v after %+v, want time %d", top, last, times[i])
			}
			last = top
			times[i] = 0
			h.set(&cases, i, laneOrder, 0)
		}
		for i, at := range times {
			if at != 0 {
				t.Fatalf("case %d is not in the heap", i)
			}
		}
	})
}

func TestOptionsAreChecked(t *testing.T) {
	list := demoFlows(t)
	for _, o := range []Options{
		{Flows: append(list, list[0])},
		{Flows: list[9:10]},
		{Flows: make([]*Flow, maxFlows+1)},
		{StopLoss: StopLoss{Rules: []StopRule{{Freeze: "account", Classes: []Class{"bad"}}}}},
	} {
		if len(o.Flows) == 1 && o.Flows[0].refunds == "" {
			t.Fatalf("%s is no refund", o.Flows[0].Name)
		}
		if _, err := New(o); !errors.Is(err, ErrOptions) {
			t.Errorf("%d flows, %+v: %v", len(o.Flows), o.StopLoss, err)
		}
	}
}
