package money_test

import (
	"errors"
	"math/big"
	"testing"

	"pgregory.net/rapid"

	"github.com/sterlingrun/sterling/money"
)

func toBig(a money.U128) *big.Int {
	v := new(big.Int).SetUint64(a.Hi)
	return v.Lsh(v, 64).Or(v, new(big.Int).SetUint64(a.Lo))
}

func genU128() *rapid.Generator[money.U128] {
	return rapid.Custom(func(t *rapid.T) money.U128 {
		return money.U128{Lo: rapid.Uint64().Draw(t, "lo"), Hi: rapid.Uint64().Draw(t, "hi")}
	})
}

func TestArithmeticAgreesWithBigInt(t *testing.T) {
	limit := new(big.Int).Lsh(big.NewInt(1), 128)
	rapid.Check(t, func(t *rapid.T) {
		a, b := genU128().Draw(t, "a"), genU128().Draw(t, "b")
		x, y := toBig(a), toBig(b)
		sum, over := a.Add(b)
		want := new(big.Int).Add(x, y)
		if over != (want.Cmp(limit) >= 0) || !over && toBig(sum).Cmp(want) != 0 {
			t.Fatalf("%v + %v = %v, overflow %v", a, b, sum, over)
		}
		diff, under := a.Sub(b)
		want.Sub(x, y)
		if under != (want.Sign() < 0) || !under && toBig(diff).Cmp(want) != 0 {
			t.Fatalf("%v - %v = %v, underflow %v", a, b, diff, under)
		}
		if a.Cmp(b) != x.Cmp(y) {
			t.Fatalf("cmp(%v, %v) = %d", a, b, a.Cmp(b))
		}
	})
}

func TestDecimalRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := genU128().Draw(t, "a")
		if rapid.Bool().Draw(t, "short") {
			a.Hi = 0
		}
		if got, want := a.String(), toBig(a).String(); got != want {
			t.Fatalf("String() = %s, want %s", got, want)
		}
		back, err := money.Parse(a.String())
		if err != nil || back != a {
			t.Fatalf("Parse(%s) = %v, %v", a, back, err)
		}
	})
}

func TestRoundNumbersPrintWhole(t *testing.T) {
	for _, s := range []string{"0", "10000000000000000000", "100000000000000000000000000000000000000", "18446744073709551616"} {
		a, err := money.Parse(s)
		if err != nil || a.String() != s {
			t.Errorf("Parse(%s).String() = %s, %v", s, a, err)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for s, want := range map[string]error{
		"": money.ErrSyntax, "-1": money.ErrSyntax, "+1": money.ErrSyntax, "1 ": money.ErrSyntax, "1e3": money.ErrSyntax,
		"0x10": money.ErrSyntax, "1.0": money.ErrSyntax, "99999999999999999999a": money.ErrSyntax,
		"340282366920938463463374607431768211456": money.ErrRange, "999999999999999999999999999999999999999": money.ErrRange,
	} {
		if _, err := money.Parse(s); !errors.Is(err, want) {
			t.Errorf("Parse(%q): %v, want %v", s, err, want)
		}
	}
	if v, err := money.Parse("340282366920938463463374607431768211455"); err != nil || !v.IsMax() {
		t.Errorf("the largest number: %v, %v", v, err)
	}
}

func TestBytesRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := genU128().Draw(t, "a")
		var b [16]byte
		if a.PutLE(b[:]); money.LE(b[:]) != a {
			t.Fatalf("LE round trip of %v", a)
		}
		if a.PutBE(b[:]); money.BE(b[:]) != a {
			t.Fatalf("BE round trip of %v", a)
		}
	})
}

func TestAssets(t *testing.T) {
	for _, s := range []string{"CNY/2", "JPY/0", "BTC/8", "POINTS.GOLD-1_X/3"} {
		if a, err := money.ParseAsset(s); err != nil || a.String() != s {
			t.Errorf("ParseAsset(%s) = %v, %v", s, a, err)
		}
	}
	for _, s := range []string{"", "CNY", "cny/2", "/2", "CNY/", "CNY/19", "CNY/02", "CNY/+2", "1CNY/2", "ABCDEFGHIJKLMNOP/2", "CNY/2/2", "C Y/2"} {
		if a, err := money.ParseAsset(s); !errors.Is(err, money.ErrAsset) {
			t.Errorf("ParseAsset(%q) = %v, %v", s, a, err)
		}
	}
}

func TestAmountsAreExact(t *testing.T) {
	cny, jpy := money.Asset{Code: "CNY", Scale: 2}, money.Asset{Code: "JPY"}
	for _, c := range []struct {
		asset money.Asset
		text  string
		minor uint64
		back  string
	}{{cny, "12.34", 1234, "12.34"}, {cny, "12", 1200, "12.00"}, {cny, "0.5", 50, "0.50"}, {cny, "0.05", 5, "0.05"}, {cny, "1.2300", 123, "1.23"}, {jpy, "7", 7, "7"}} {
		got, err := c.asset.ParseAmount(c.text)
		if err != nil || got != money.From(c.minor) || c.asset.Format(got) != c.back {
			t.Errorf("%s %s = %v (%s), %v", c.text, c.asset, got, c.asset.Format(got), err)
		}
	}
	for _, s := range []string{"1.234", "1.", ".5", "", "-1", "1,5", "1.2.3"} {
		if got, err := cny.ParseAmount(s); err == nil {
			t.Errorf("ParseAmount(%q) = %v, want an error", s, got)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("0")
	f.Add("340282366920938463463374607431768211456")
	f.Fuzz(func(t *testing.T, s string) {
		v, err := money.Parse(s)
		want, ok := new(big.Int).SetString(s, 10)
		plain := ok && want.Sign() >= 0 && s[0] != '+' && s[0] != '-' && want.BitLen() <= 128
		if (err == nil) != plain && len(s) <= 128 {
			t.Fatalf("Parse(%q) = %v, %v", s, v, err)
		}
		if err == nil && toBig(v).Cmp(want) != 0 {
			t.Fatalf("Parse(%q) = %v", s, v)
		}
	})
}
