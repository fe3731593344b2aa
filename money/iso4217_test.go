package money_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/sterlingrun/sterling/money"
)

// TestCurrenciesAreWellFormed checks what a slip of the hand would break.
func TestCurrenciesAreWellFormed(t *testing.T) {
	all := money.Currencies("")
	numbers, last := map[uint16]string{}, ""
	for _, c := range all {
		a := c.Asset()
		if len(c.Code) != 3 || strings.ToUpper(c.Code) != c.Code || !a.Valid() || c.Name == "" || strings.TrimSpace(c.Name) != c.Name {
			t.Errorf("%+v", c)
		}
		if c.Code <= last {
			t.Errorf("%s comes after %s", c.Code, last)
		}
		if other, taken := numbers[c.Number]; taken || c.Number == 0 || c.Number > 999 {
			t.Errorf("%s has number %d, as %s", c.Code, c.Number, other)
		}
		if found, ok := money.CurrencyOf(c.Code); !ok || found != c {
			t.Errorf("CurrencyOf(%s) = %+v, %v", c.Code, found, ok)
		}
		numbers[c.Number], last = c.Code, c.Code
	}
	if len(all) != 165 {
		t.Errorf("%d currencies", len(all))
	}
}

// TestMinorUnits names every currency whose minor unit is not a hundredth, as the standard does.
func TestMinorUnits(t *testing.T) {
	want := map[uint8]string{
		0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF",
		3: "BHD IQD JOD KWD LYD OMR TND",
		4: "CLF UYW",
	}
	got := map[uint8][]string{}
	for _, c := range money.Currencies("") {
		if c.MinorUnits != 2 {
			got[c.MinorUnits] = append(got[c.MinorUnits], c.Code)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%v", got)
	}
	for places, codes := range want {
		if strings.Join(got[places], " ") != codes {
			t.Errorf("%d places: %v, want %s", places, got[places], codes)
		}
	}
	for _, code := range []string{"XAU", "XAG", "XDR", "XTS", "XXX", "XSU", "XUA", "HRK", "cny", "CN", "CNYY", ""} {
		if c, ok := money.CurrencyOf(code); ok {
			t.Errorf("%q is %+v", code, c)
		}
	}
}

func TestSearchingCurrencies(t *testing.T) {
	for search, want := range map[string][]string{
		"yuan": {"CNY"}, "RMB": {"CNY"}, " 036 ": {"AUD"}, "sterling": {"GBP"}, "jpy": {"JPY"}, "won": {"KPW", "KRW"}, "nothing": nil,
	} {
		var got []string
		for _, c := range money.Currencies(search) {
			got = append(got, c.Code)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%q finds %v, want %v", search, got, want)
		}
	}
}

func TestResolveAsset(t *testing.T) {
	for text, want := range map[string]string{
		"CNY": "CNY/2", "JPY": "JPY/0", "KWD": "KWD/3", "CLF": "CLF/4", "CNY/2": "CNY/2", "CNY/4": "CNY/4", "BTC/8": "BTC/8", "XAU/3": "XAU/3",
	} {
		a, err := money.ResolveAsset(text)
		if err != nil || a.String() != want {
			t.Errorf("%s is %s, %v; want %s", text, a, err, want)
		}
		if c, off := a.OffStandard(); off != (text == "CNY/4") || off && c.Code != "CNY" {
			t.Errorf("%s: off the standard %v", text, off)
		}
	}
	for _, text := range []string{"", "cny", "BTC", "XAU", "CNY/", "CNY 2"} {
		if a, err := money.ResolveAsset(text); !errors.Is(err, money.ErrAsset) {
			t.Errorf("%q is %s, %v", text, a, err)
		}
	}
}

// TestAmountsRoundTrip holds for scales beyond those of assets too: sums and other tools' amounts use them.
func TestAmountsRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := money.Asset{Code: "ABC", Scale: rapid.Uint8Range(0, 38).Draw(t, "scale")}
		amount := genU128().Draw(t, "amount")
		if rapid.Bool().Draw(t, "small") {
			amount.Hi, amount.Lo = 0, amount.Lo%1000
		}
		text := a.Format(amount)
		back, err := a.ParseAmount(text)
		if err != nil || back != amount {
			t.Fatalf("%v of scale %d is %q, and back %v, %v", amount, a.Scale, text, back, err)
		}
		if _, frac, _ := strings.Cut(text, "."); len(frac) != int(a.Scale) {
			t.Fatalf("%q has not %d decimal places", text, a.Scale)
		}
		// A separator anywhere, a sign or a space makes it none.
		i := rapid.IntRange(0, len(text)).Draw(t, "place")
		other := text[:i] + rapid.SampledFrom([]string{",", "'", " ", "_", "+", "-", "e"}).Draw(t, "separator") + text[i:]
		if v, err := a.ParseAmount(other); err == nil {
			t.Fatalf("%q is %v", other, v)
		}
	})
}

func FuzzParseAmount(f *testing.F) {
	f.Add("12.34", uint8(2))
	f.Add("340282366920938463463374607431768211455", uint8(0))
	f.Add("1,234.5", uint8(3))
	f.Add("0.000000000000000001", uint8(18))
	f.Fuzz(func(t *testing.T, text string, scale uint8) {
		a := money.Asset{Code: "ABC", Scale: scale % 39}
		v, err := a.ParseAmount(text)
		if err != nil {
			return
		}
		if strings.Trim(text, "0123456789.") != "" || strings.Count(text, ".") > 1 {
			t.Fatalf("%q is %v", text, v)
		}
		// What was read is what was meant: the same number, whatever zeros it was written with.
		if got, want := trim(a.Format(v)), trim(text); got != want {
			t.Fatalf("%q became %s", text, a.Format(v))
		}
	})
}

// trim takes the zeros off that do not count.
func trim(number string) string {
	whole, frac, _ := strings.Cut(number, ".")
	return strings.TrimLeft(whole, "0") + "." + strings.TrimRight(frac, "0")
}

func FuzzResolveAsset(f *testing.F) {
	f.Add("CNY")
	f.Add("CNY/2")
	f.Add("XAU/18")
	f.Fuzz(func(t *testing.T, text string) {
		a, err := money.ResolveAsset(text)
		if err != nil {
			return
		}
		if again, err := money.ResolveAsset(a.String()); err != nil || again != a || !a.Valid() {
			t.Fatalf("%q is %s, and that is %s, %v", text, a, again, err)
		}
	})
}
