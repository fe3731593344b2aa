package readmodel

import (
	"math/big"
	"testing"

	"pgregory.net/rapid"

	"github.com/sterlingrun/sterling/money"
)

func bigOf(v money.U128) *big.Int {
	b, _ := new(big.Int).SetString(v.String(), 10)
	return b
}

// TestDelta holds the arithmetic of differences against big integers, near all borders.
func TestDelta(t *testing.T) {
	most := bigOf(money.Max())
	rapid.Check(t, func(t *rapid.T) {
		var d Delta
		want := new(big.Int)
		for range rapid.IntRange(1, 8).Draw(t, "steps") {
			v := rapid.SampledFrom([]money.U128{{}, money.From(1), money.Max(), {Hi: 1}, {Hi: 1 << 63}, {Lo: rapid.Uint64().Draw(t, "lo"), Hi: rapid.Uint64().Draw(t, "hi")}}).Draw(t, "v")
			next, ok := d.plus(v)
			after := new(big.Int).Add(want, bigOf(v))
			if rapid.Bool().Draw(t, "minus") {
				next, ok = d.minus(v)
				after.Sub(want, bigOf(v))
			}
			if fits := new(big.Int).Abs(after).Cmp(most) <= 0; ok != fits {
				t.Fatalf("%v to %v: ok is %v", want, after, ok)
			}
			if !ok {
				return
			}
			if d, want = next, after; d.String() != want.String() || d.Negative && d.IsZero() {
				t.Fatalf("%v, it should be %v", d, want)
			}
		}
		from := money.U128{Lo: rapid.Uint64().Draw(t, "from"), Hi: rapid.Uint64().Draw(t, "from high")}
		sum := new(big.Int).Add(bigOf(from), want)
		got, ok := d.To(from)
		if fits := sum.Sign() >= 0 && sum.Cmp(most) <= 0; ok != fits || ok && got.String() != sum.String() {
			t.Fatalf("%v changed by %v is %v (%v)", from, d, got, ok)
		}
	})
}
