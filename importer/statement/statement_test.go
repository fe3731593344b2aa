package statement_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sterlingrun/sterling/importer/statement"
)

func read(t testing.TB, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// show writes a statement in lines, for comparison.
func show(list []statement.Statement) (lines []string) {
	for _, s := range list {
		lines = append(lines, fmt.Sprintf("%s %s %v..%v through %s pending %d", s.ID, s.Account, s.Opening, s.Closing, s.Through().Format("2006-01-02T15:04"), s.Pending))
		for _, e := range s.Entries {
			lines = append(lines, fmt.Sprintf("%d: %v %s %s %s %q %q", e.Line, e.Amount, e.Amount.Asset, e.Booked.Format("2006-01-02"), e.Reference, e.EndToEnd, e.Text))
		}
	}
	return lines
}

func TestBothVersionsSayTheSame(t *testing.T) {
	want := []string{
		"S-2026-59 XX00TEST0000000001 10000..7050 through 2026-03-02T00:00 pending 1",
		`11: 5000 EUR/2 2026-03-01 B-1 "order-1" "thanks"`,
		`16: -2950 EUR/2 2026-03-01 B-2-1 "order-2" ""`,
		`16: -5000 EUR/2 2026-03-01 B-2-2 "order-3" ""`,
	}
	for _, name := range []string{"v02.xml", "v08.xml"} {
		list, err := statement.ReadCamt(strings.NewReader(read(t, name)))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if d := cmp.Diff(want, show(list)); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
}

func TestBadCamt(t *testing.T) {
	good := read(t, "v08.xml")
	for _, c := range []struct {
		old, new string
		want     error
		text     string
	}{
		{`>70.5<`, `>70.51<`, statement.ErrSums, "closes with 7051"},
		{`>29.50<`, `>29.51<`, statement.ErrSums, "the 2 transactions of the batch"},
		{`Ccy="EUR">50.00`, `Ccy="XQX">50.00`, statement.ErrCurrency, "line 11: Ntry/Amt: unknown currency"},
		{`Ccy="EUR">50.00`, `Ccy="EUR">50.001`, statement.ErrMalformed, "Ntry/Amt"},
		{`Ccy="EUR">50.00`, `Ccy="EUR">5e1`, statement.ErrMalformed, "Ntry/Amt"},
		{`Ccy="EUR">50.00`, `Ccy="EUR">-50.00`, statement.ErrMalformed, "Ntry/Amt"},
		{`Ccy="EUR">50.00`, `Ccy="USD">50.00`, statement.ErrSums, "an entry in USD/2"},
		{`<CdtDbtInd>CRDT</CdtDbtInd><Sts>`, `<CdtDbtInd>IN</CdtDbtInd><Sts>`, statement.ErrMalformed, "want CRDT or DBIT"},
		{`<BookgDt><Dt>2026-03-01</Dt></BookgDt><ValDt>`, `<BookgDt><Dt>1.3.26</Dt></BookgDt><ValDt>`, statement.ErrMalformed, "Ntry/BookgDt"},
		{`<BookgDt><Dt>2026-03-01</Dt></BookgDt><ValDt>`, `<ValDt>`, statement.ErrMalformed, "it is missing"},
		{`<IBAN>XX00TEST0000000001</IBAN>`, ``, statement.ErrMalformed, "no IBAN"},
		{`<Document `, `<!DOCTYPE a [<!ENTITY b "bbbb">]><Document `, statement.ErrMalformed, "type definition"},
		{`<GrpHdr>`, `<GrpHdr>` + strings.Repeat("<a>", 100), statement.ErrMalformed, "nested"},
		{`</Stmt>`, ``, statement.ErrMalformed, ""},
		{`camt.053`, `camt.052`, statement.ErrMalformed, "want a Document of camt.053"},
		{`>thanks<`, `>&b;<`, statement.ErrMalformed, "entity"},
	} {
		list, err := statement.ReadCamt(strings.NewReader(strings.Replace(good, c.old, c.new, 1)))
		var placed *statement.Error
		if !errors.Is(err, c.want) || !errors.As(err, &placed) || placed.Line < 1 || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s → %.60s: %v, %v; want %v: %s", c.old, c.new, list, err, c.want, c.text)
		}
	}
	for _, text := range []string{"", "x", "<Document/>"} {
		if _, err := statement.ReadCamt(strings.NewReader(text)); !errors.Is(err, statement.ErrMalformed) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

const mapping = `
delimiter: ";"
account: XX00TEST0000000001
currency: $Currency
booked: $Date
dates: DD.MM.YYYY
amount: $Amount
decimal_comma: true
reference: $Ref
end_to_end: $Order
balance: $Balance
newest_first: true
`

const lines = `Date;Ref;Order;Amount;Currency;Balance
02.03.2026;B-2;order-2;-1.029,50;EUR;-879,50
01.03.2026;B-1;order-1;50,00;EUR;150,00
`

func TestCSV(t *testing.T) {
	m, err := statement.ParseMapping([]byte(mapping))
	if err != nil {
		t.Fatal(err)
	}
	list, err := statement.ReadCSV(strings.NewReader(lines), m)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"2026-03-01/2026-03-02 XX00TEST0000000001 10000..-87950 through 2026-03-03T00:00 pending 0",
		`3: 5000 EUR/2 2026-03-01 B-1 "order-1" ""`,
		`2: -102950 EUR/2 2026-03-02 B-2 "order-2" ""`,
	}
	if d := cmp.Diff(want, show(list)); d != "" {
		t.Error(d)
	}
	for _, c := range []struct {
		old, new string
		want     error
		text     string
	}{
		{"-1.029,50", "-1.029,51", statement.ErrSums, "line 2: balance"},
		{"50,00", "5.0,00", statement.ErrMalformed, "line 3: amount"},
		{"EUR", "XQX", statement.ErrCurrency, "line 2: currency"},
		{"02.03.2026", "2.3.26", statement.ErrMalformed, "line 2: booked"},
		{";Balance", ";Saldo", statement.ErrMalformed, `no column "Balance"`},
		{"B-2;", "\"B-2;", statement.ErrMalformed, ""},
	} {
		_, err := statement.ReadCSV(strings.NewReader(strings.Replace(lines, c.old, c.new, 1)), m)
		var placed *statement.Error
		if !errors.Is(err, c.want) || !errors.As(err, &placed) || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s → %s: %v; want %v: %s", c.old, c.new, err, c.want, c.text)
		}
	}
	for _, c := range [][2]string{{"amount: $Amount", ""}, {"delimiter: \";\"", "delimiter: ab"}, {"DD.MM.YYYY", "DD.MM"}, {"balance:", "saldo:"}, {"currency:", "direction: $x\ncurrency:"}} {
		if _, err := statement.ParseMapping([]byte(strings.Replace(mapping, c[0], c[1], 1))); !errors.Is(err, statement.ErrMapping) {
			t.Errorf("%s → %s: %v", c[0], c[1], err)
		}
	}
}

func FuzzReadCamt(f *testing.F) {
	f.Add(read(f, "v02.xml"))
	f.Add(read(f, "v08.xml"))
	f.Fuzz(func(t *testing.T, text string) {
		list, err := statement.ReadCamt(strings.NewReader(text))
		check(t, list, err)
	})
}

func FuzzReadCSV(f *testing.F) {
	f.Add(mapping, lines)
	f.Fuzz(func(t *testing.T, mapping, lines string) {
		m, err := statement.ParseMapping([]byte(mapping))
		if err != nil {
			return
		}
		list, err := statement.ReadCSV(strings.NewReader(lines), m)
		check(t, list, err)
	})
}

// check holds what is read against what is promised: an error with a place, or texts that are bounded.
func check(t *testing.T, list []statement.Statement, err error) {
	t.Helper()
	if err != nil {
		var placed *statement.Error
		if !errors.As(err, &placed) || placed.Line < 1 {
			t.Fatalf("an error without a place: %v", err)
		}
		return
	}
	if len(list) == 0 {
		t.Fatal("neither statement nor error")
	}
	for _, s := range list {
		for _, e := range s.Entries {
			if len(e.Text) > statement.MaxText || e.Booked.IsZero() || e.Amount.Asset == "" {
				t.Fatalf("%+v", e)
			}
		}
	}
}
