package export_test

import (
	"errors"
	"regexp"
	"strings"
	"testing"

	"github.com/sterlingrun/sterling/export"
)

func TestNamesByCode(t *testing.T) {
	t.Parallel()
	names, err := export.ParseNames([]byte("default: Equity:Other\ncodes:\n  1: Liabilities:Customers\n  1000-1999: Assets:Banks\n"))
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, 9)
	ids := w.open("CNY/2", 1, 1000, 1999, 2000)
	text, _ := run(t, w.c, export.Options{What: export.Journal, Format: export.HLedger, Names: names})
	for i, want := range []string{"Liabilities:Customers", "Assets:Banks", "Assets:Banks", "Equity:Other:2000"} {
		if line := "\naccount " + want + ":Id-" + ids[i] + "  ;"; !strings.Contains(text, line) {
			t.Errorf("no %q in\n%s", line, text)
		}
	}
}

func TestNamesThatCantBe(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"default: Money":                         "begins with none of",
		"codes: {1: Money}":                      "begins with none of",
		"codes: {1: Assets:cash}":                "a part is a capital letter",
		"codes: {1: Assets:Id-7}":                "and not Id-",
		"codes: {1: 'Assets:'}":                  "a part is a capital letter",
		"codes: {0: Assets}":                     "want a code from 1",
		"codes: {70000: Assets}":                 "want a code from 1",
		"codes: {5-4: Assets}":                   "want a code from 1",
		"codes: {x: Assets}":                     "want a code from 1",
		"codes: {1-5: Assets, 5-9: Liabilities}": "overlaps",
		"code: {}":                               "field code not found",
		"[":                                      "",
	} {
		if _, err := export.ParseNames([]byte(text)); !errors.Is(err, export.ErrNames) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
	if _, err := export.LoadNames("no/such/file.yaml"); !errors.Is(err, export.ErrNames) {
		t.Error(err)
	}
}

// FuzzNames checks that names that were accepted are names that the tools accept.
func FuzzNames(f *testing.F) {
	f.Add("default: Assets\ncodes: {1: Liabilities:Customers, 2-9: Income}", uint16(5))
	f.Add("codes: {1000-1999: Assets:1}", uint16(1000))
	valid := regexp.MustCompile(`^(Assets|Liabilities|Equity|Income|Expenses)(:[A-Z0-9][A-Za-z0-9-]*)*:Id-7$`)
	f.Fuzz(func(t *testing.T, text string, code uint16) {
		names, err := export.ParseNames([]byte(text))
		if err != nil {
			return
		}
		if name := export.AccountName(names, uint32(code), "7"); !valid.MatchString(name) {
			t.Errorf("%q makes %q", text, name)
		}
	})
}
