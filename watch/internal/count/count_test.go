package count_test

import (
	"errors"
	"math/big"
	"testing"

	"pgregory.net/rapid"

	"github.com/sterlingrun/sterling/watch/internal/count"
)

// amounts are often at the borders of 32, 64 and 128 bits, where carries go wrong.
func amounts() *rapid.Generator[count.Amount] {
	word := rapid.OneOf(rapid.Uint64(), rapid.Uint64Range(0, 3), rapid.Map(rapid.Uint64Range(0, 3), func(n uint64) uint64 { return ^n }),
		rapid.Map(rapid.Uint64Range(0, 63), func(n uint64) uint64 { return 1 << n }))
	return rapid.Custom(func(t *rapid.T) count.Amount { return count.Amount{Lo: word.Draw(t, "lo"), Hi: word.Draw(t, "hi")} })
}

func big128(a count.Amount) *big.Int {
	v := new(big.Int).SetUint64(a.Hi)
	return v.Add(v.Lsh(v, 64), new(big.Int).SetUint64(a.Lo))
}

func bigSum(s count.Sum) *big.Int {
	v := new(big.Int)
	for i := 3; i >= 0; i-- {
		v.Add(v.Lsh(v, 64), new(big.Int).SetUint64(s[i]))
	}
	return v
}

var limit = new(big.Int).Lsh(big.NewInt(1), 128)

// expect compares a result with the oracle's, which is beyond the bounds exactly where ok is false.
func expect(t *rapid.T, what string, got count.Amount, ok bool, want *big.Int) {
	fits := want.Sign() >= 0 && want.Cmp(limit) < 0
	if ok != fits || ok && big128(got).Cmp(want) != 0 {
		t.Fatalf("%s gives %v (%v), want %v", what, big128(got), ok, want)
	}
}

func TestArithmetic(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b, c := amounts().Draw(t, "a"), amounts().Draw(t, "b"), amounts().Draw(t, "c")
		x, y, z := big128(a), big128(b), big128(c)
		sum, ok := a.Add(b)
		expect(t, "a+b", sum, ok, new(big.Int).Add(x, y))
		d, ok := a.Sub(b)
		expect(t, "a-b", d, ok, new(big.Int).Sub(x, y))
		p, ok := a.Mul(b)
		expect(t, "a·b", p, ok, new(big.Int).Mul(x, y))
		if a.Compare(b) != x.Cmp(y) || a.Less(b) != (x.Cmp(y) < 0) || a.Min(b) != b.Min(a) || big128(a.Min(b)).Cmp(x) > 0 {
			t.Fatalf("%v and %v are compared wrongly", a, b)
		}
		if got := big128(a.AddSat(b)); got.Cmp(minBig(new(big.Int).Add(x, y), new(big.Int).Sub(limit, big.NewInt(1)))) != 0 {
			t.Fatalf("a+b saturated gives %v", got)
		}
		if got := a.SubSat(b); big128(got).Cmp(maxBig(new(big.Int).Sub(x, y), new(big.Int))) != 0 {
			t.Fatalf("a-b saturated gives %v", got)
		}
		q, r, ok := a.Div(b)
		if ok == (y.Sign() == 0) {
			t.Fatalf("a/b is possible: %v", ok)
		}
		if ok {
			wantQ, wantR := new(big.Int).QuoRem(x, y, new(big.Int))
			expect(t, "a/b", q, true, wantQ)
			expect(t, "a%b", r, true, wantR)
		}
		q, r, ok = a.MulDiv(b, c)
		if z.Sign() == 0 {
			if ok {
				t.Fatal("a·b/0 is possible")
			}
			return
		}
		wantQ, wantR := new(big.Int).QuoRem(new(big.Int).Mul(x, y), z, new(big.Int))
		expect(t, "a·b/c", q, ok, wantQ)
		if ok {
			expect(t, "a·b%c", r, true, wantR)
		}
	})
}

func minBig(a, b *big.Int) *big.Int {
	if a.Cmp(b) < 0 {
		return a
	}
	return b
}

func maxBig(a, b *big.Int) *big.Int {
	if a.Cmp(b) > 0 {
		return a
	}
	return b
}

func TestSums(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var s, o count.Sum
		want, other := new(big.Int), new(big.Int)
		for _, a := range rapid.SliceOfN(amounts(), 0, 20).Draw(t, "list") {
			switch rapid.IntRange(0, 3).Draw(t, "what") {
			case 0:
				o.Add(a)
				other.Add(other, big128(a))
			case 1:
				s.AddSum(o)
				want.Add(want, other)
			case 2:
				before := s
				ok := s.Sub(a)
				if less := new(big.Int).Sub(want, big128(a)); ok != (less.Sign() >= 0) {
					t.Fatalf("%v - %v is possible: %v", want, a, ok)
				} else if ok {
					want = less
				} else if s != before {
					t.Fatal("a difference that is not possible changed the sum")
				}
			default:
				s.Add(a)
				want.Add(want, big128(a))
			}
			got, fits := s.Amount()
			if bigSum(s).Cmp(want) != 0 || s.String() != want.String() || s.IsZero() != (want.Sign() == 0) || fits != (want.Cmp(limit) < 0) {
				t.Fatalf("sum %v, want %v", &s, want)
			}
			if fits && big128(got).Cmp(want) != 0 || !fits && got != count.Max() {
				t.Fatalf("sum %v as an amount is %v", &s, got)
			}
		}
	})
	// The highest words: 2^256 - 1.
	top := count.Sum{^uint64(0), ^uint64(0), ^uint64(0), ^uint64(0)}
	if top.String() != bigSum(top).String() {
		t.Errorf("2^256-1 is %v", &top)
	}
}

func TestText(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := amounts().Draw(t, "a")
		if a.String() != big128(a).String() || count.IDOf(a).Amount() != a || count.IDOf(a).String() != a.String() {
			t.Fatalf("%v is %q", big128(a), a)
		}
		back, err := count.Parse(a.String())
		if err != nil || back != a {
			t.Fatalf("%q is read as %v: %v", a, back, err)
		}
		scale := rapid.IntRange(0, 38).Draw(t, "scale")
		back, err = count.ParseDecimal(a.Decimal(scale), scale)
		if err != nil || back != a {
			t.Fatalf("%q is read as %v: %v", a.Decimal(scale), back, err)
		}
	})
	for _, c := range []struct {
		text  string
		scale int
		want  uint64
	}{{"12.34", 2, 1234}, {"12", 2, 1200}, {"0.05", 2, 5}, {"007.5", 1, 75}, {"0", 0, 0}, {"000", 0, 0}, {"0.00", 2, 0}, {"1.5", 3, 1500}} {
		if got, err := count.ParseDecimal(c.text, c.scale); err != nil || got != count.Of(c.want) {
			t.Errorf("%s with %d places is %v: %v", c.text, c.scale, got, err)
		}
	}
	for _, text := range []string{"", "-1", "+1", "1e3", " 1", "1_000", "340282366920938463463374607431768211456", "0000000000000000000000000000000000000000", "٣"} {
		if got, err := count.Parse(text); !errors.Is(err, count.ErrNumber) {
			t.Errorf("%q is read as %v: %v", text, got, err)
		}
		if _, err := count.ParseID(text); err == nil {
			t.Errorf("%q is read as an id", text)
		}
	}
	for _, text := range []string{"", ".", ".5", "1.", "1.234", "1.2.3", "1,2", "-1.00", "340282366920938463463374607431768211456", "3402823669209384634633746074317682114.56"} {
		if got, err := count.ParseDecimal(text, 2); !errors.Is(err, count.ErrNumber) {
			t.Errorf("%q is read as %v: %v", text, got, err)
		}
	}
	for _, scale := range []int{-1, 39} {
		if _, err := count.ParseDecimal("1", scale); !errors.Is(err, count.ErrNumber) {
			t.Errorf("%d places: %v", scale, err)
		}
	}
}

// FuzzParse: what is read is what big.Int reads, and says the same again but for leading zeros.
func FuzzParse(f *testing.F) {
	for _, text := range []string{"0", "12.34", "340282366920938463463374607431768211455", "340282366920938463463374607431768211456", "1.", "x"} {
		f.Add(text, 2)
	}
	f.Fuzz(func(t *testing.T, text string, scale int) {
		if a, err := count.Parse(text); err == nil {
			if want, ok := new(big.Int).SetString(text, 10); !ok || big128(a).Cmp(want) != 0 {
				t.Errorf("%q is read as %v", text, a)
			}
		}
		if a, err := count.ParseDecimal(text, scale); err == nil {
			want, ok := new(big.Rat).SetString(text)
			unit := new(big.Rat).SetInt(new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(scale)), nil))
			if !ok || want.Mul(want, unit).Cmp(new(big.Rat).SetInt(big128(a))) != 0 {
				t.Errorf("%q with %d places is read as %v", text, scale, a)
			}
		}
	})
}
