package importer_test

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sterlingrun/sterling/auth"
	"github.com/sterlingrun/sterling/client"
	"github.com/sterlingrun/sterling/importer"
	"github.com/sterlingrun/sterling/money"
	"github.com/sterlingrun/sterling/node"
)

// serve starts a ledger in this process and returns a client of it.
func serve(t *testing.T) *client.Client {
	t.Helper()
	config := node.DefaultConfig()
	config.Data, config.Listen = filepath.Join(t.TempDir(), "data"), "127.0.0.1:0"
	n, err := node.Start(t.Context(), config, slog.New(slog.DiscardHandler), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := n.Stop(ctx); err != nil {
			t.Error(err)
		}
	})
	token, err := os.ReadFile(filepath.Join(config.Data, auth.AdminFile))
	if err != nil {
		t.Fatal(err)
	}
	c, err := client.Dial(n.Address(), strings.TrimSpace(string(token)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func mapping(t *testing.T, text string) *importer.Mapping {
	t.Helper()
	m, err := importer.ParseMapping([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// payments moves money from one account to another, with a fee in the same row.
const payments = `
asset: CNY/2
tables: {kind: {"": 9, rent: 1, "": 9}}
accounts:
  payer: {id: $from, code: 1}
  payee: {id: $to, code: 1}
  bank: {id: "900", code: 2}
transfers:
  - {id: [payment, $no], debit: payer, credit: payee, amount: $amount, code: {value: $kind, table: kind}, user_data_64: $ref}
  - {id: [fee, $no], debit: payer, credit: bank, amount: "0.10", code: 3}
`

var simple = strings.Replace(payments, `, "": 9}`, "}", 1)

// run imports and returns the summary, the faults as told, and the error.
func run(t *testing.T, c *client.Client, m *importer.Mapping, path string, skip bool) (importer.Summary, []string, error) {
	t.Helper()
	var faults []string
	format := importer.CSV
	if strings.HasSuffix(path, ".jsonl") {
		format = importer.JSONL
	}
	s, err := importer.Run(t.Context(), c, m, importer.Options{File: path, Format: format, Skip: skip, Report: func(f *importer.Fault) {
		faults = append(faults, strings.TrimPrefix(f.Error(), filepath.Dir(path)+"/"))
	}})
	return s, faults, err
}

func TestImportTwice(t *testing.T) {
	t.Parallel()
	c := serve(t)
	m := mapping(t, simple)
	csv := write(t, "p.csv", "no,from,to,amount,kind,ref\n1,1,2,12.34,rent,7\n2,1,3,\"5\", ,\n")
	s, faults, err := run(t, c, m, csv, false)
	if err != nil || len(faults) != 0 || s != (importer.Summary{Rows: 2, AccountsCreated: 4, TransfersCreated: 4}) {
		t.Fatalf("%+v %v %v", s, faults, err)
	}
	// The same rows in another form are the same transfers.
	jsonl := write(t, "p.jsonl", `{"no":"1","from":1,"to":"2","amount":12.34,"kind":"rent","ref":7}`+"\n\n"+`{"no":2,"from":1,"to":3,"amount":5.00,"kind":null,"ref":null}`+"\n")
	s, faults, err = run(t, c, m, jsonl, false)
	if err != nil || len(faults) != 0 || s != (importer.Summary{Rows: 2, AccountsExisting: 4, TransfersExisting: 4}) {
		t.Fatalf("%+v %v %v", s, faults, err)
	}
	list, err := c.LookupAccounts(t.Context(), money.From(1), money.From(900))
	if err != nil || len(list) != 2 || list[0].GetDebitsPosted() != "1754" || list[1].GetCreditsPosted() != "20" {
		t.Fatalf("%v %v", list, err)
	}
	// A row that has changed since is refused, whichever of its transfers changed.
	for _, change := range []string{"1,1,2,12.35,rent,7", "1,1,2,12.34,,7", "1,1,2,12.34,rent,8"} {
		changed := write(t, "p.csv", "no,from,to,amount,kind,ref\n"+change+"\n")
		s, faults, err = run(t, c, m, changed, false)
		if !errors.Is(err, importer.ErrFaults) || s.Refused != 1 || len(faults) != 1 || !strings.HasPrefix(faults[0], "p.csv:2: transfer ") {
			t.Fatalf("%s: %+v %v %v", change, s, faults, err)
		}
	}
	dearer := mapping(t, strings.Replace(simple, "0.10", "0.20", 1)) // the second transfer of the row
	if s, faults, err = run(t, c, dearer, csv, true); !errors.Is(err, importer.ErrFaults) || s.Refused != 2 || !strings.Contains(faults[0], "imported before, with other fields") {
		t.Fatalf("%+v %v %v", s, faults, err)
	}
}

func TestBadRows(t *testing.T) {
	t.Parallel()
	c := serve(t)
	m := mapping(t, simple)
	path := write(t, "bad.csv", strings.Join([]string{
		"no,from,to,amount,kind,ref",
		"1,11,12,1.00,rent,1",
		"2,11,12,1.005,rent,1",
		"3,11,12,,rent,1",
		"4,11,12,-1,rent,1",
		"5,11,12,1,food,1",
		"6,11,12,1,rent",
		"7,x,12,1,rent,1",
		",11,12,1,rent,1",
		"9,11,12,1,rent,18446744073709551616",
		"10,11,\"12\"x,1,rent,1",
		"11,11,13,2.00,rent,1", "",
	}, "\n"))
	want := []string{
		`bad.csv:3: transfers[0].amount: "1.005": CNY/2 has only 2 decimal places`,
		`bad.csv:4: transfers[0].amount: is blank`,
		`bad.csv:5: transfers[0].amount: "-100": not a decimal number`,
		`bad.csv:6: transfers[0].code: table kind has no "food"`,
		`bad.csv:7: wrong number of fields`,
		`bad.csv:8: accounts.payer.id: "x": not a decimal number`,
		`bad.csv:9: transfers[0].id: $no is blank`,
		`bad.csv:10: transfers[0].user_data_64: "18446744073709551616" is no whole number from 0 to 18446744073709551615`,
		`bad.csv:11: extraneous or missing " in quoted-field`,
	}
	s, faults, err := run(t, c, m, path, false)
	if !errors.Is(err, importer.ErrFaults) || s != (importer.Summary{Rows: 11, Skipped: 9}) || strings.Join(faults, "\n") != strings.Join(want, "\n") {
		t.Fatalf("%+v %v\n%s", s, err, strings.Join(faults, "\n"))
	}
	if list, err := c.LookupAccounts(t.Context(), money.From(11)); err != nil || len(list) != 0 {
		t.Fatalf("a file with faults was imported in part: %v %v", list, err)
	}
	s, faults, err = run(t, c, m, path, true)
	if !errors.Is(err, importer.ErrFaults) || s != (importer.Summary{Rows: 11, Skipped: 9, AccountsCreated: 4, TransfersCreated: 4}) || len(faults) != 9 {
		t.Fatalf("%+v %v %v", s, faults, err)
	}
}

// TestRefusedAccount imports over an account that is of another asset: no row that names it may move anything.
func TestRefusedAccount(t *testing.T) {
	t.Parallel()
	c := serve(t)
	if _, err := c.CreateAccounts(t.Context(), &client.Account{Id: "12", Asset: "USD/2", Code: 1}); err != nil {
		t.Fatal(err)
	}
	m := mapping(t, simple)
	path := write(t, "p.csv", "no,from,to,amount,kind,ref\n1,11,12,1,rent,1\n2,11,13,1,rent,1\n3,13,12,1,rent,1\n")
	s, faults, err := run(t, c, m, path, true)
	if !errors.Is(err, importer.ErrFaults) || s.Refused != 2 || s.TransfersCreated != 2 || len(faults) != 2 || !strings.Contains(faults[0], "p.csv:2: account 12: CREATE_ACCOUNT_STATUS_EXISTS_WITH_DIFFERENT_LEDGER") {
		t.Fatalf("%+v %v %v", s, faults, err)
	}
	if s, _, err = run(t, c, m, path, false); !errors.Is(err, importer.ErrFaults) || s.Refused != 1 {
		t.Fatalf("%+v %v", s, err)
	}
}

func TestBadFiles(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ file, text, want string }{
		"empty":          {"a.csv", "", "a.csv:1: the file is empty"},
		"column twice":   {"a.csv", "a,a\n", `a.csv:1: column "a"`},
		"open quote":     {"a.csv", "no,from,to,amount,kind,ref\n1,\"" + strings.Repeat("x", 2<<20), "is a quote not closed"},
		"no such column": {"a.csv", "no,from,to,amount,kind\n1,1,2,1,rent\n", `there is no column "ref"`},
		"not JSON":       {"a.jsonl", "{\n", "a.jsonl:1: unexpected end"},
		"nested":         {"a.jsonl", `{"no":[1]}` + "\n", "a.jsonl:1: no: want a text"},
		"long line":      {"a.jsonl", `{"no":"` + strings.Repeat("x", 2<<20), "token too long"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := write(t, c.file, c.text)
			format := importer.Format(strings.TrimPrefix(filepath.Ext(path), "."))
			var told []string
			_, err := importer.Check(t.Context(), mapping(t, simple), importer.Options{File: path, Format: format, Report: func(f *importer.Fault) { told = append(told, f.Error()) }})
			if text := strings.Join(append(told, errorText(err)), "\n"); !strings.Contains(text, c.want) {
				t.Fatalf("%q, want %q", text, c.want)
			}
		})
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestBadMappings(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ text, want string }{
		"empty":           {"{}", "want at least one"},
		"unknown key":     {"acounts: {}", "field acounts not found"},
		"unknown in code": {"accounts: {a: {id: $a, asset: X/0, code: {valeu: 1}}}", "field valeu not found"},
		"delimiter":       {"delimiter: ab\naccounts: {a: {id: $a, asset: X/0}}", "want one character"},
		"no id":           {"accounts: {a: {asset: X/0}}", "accounts.a.id is missing"},
		"constant id":     {"accounts: {a: {id: [x], asset: X/0}}", "every row would have the same"},
		"asset":           {"accounts: {a: {id: $a, asset: yuan}}", "accounts.a.asset"},
		"no asset":        {"accounts: {a: {id: $a}}", "accounts.a.asset"},
		"table":           {"accounts: {a: {id: $a, asset: X/0, code: {value: $b, table: t}}}", `tables has no "t"`},
		"flag":            {"accounts: {a: {id: $a, asset: X/0, flags: [fast]}}", `"fast" is unknown`},
		"debit":           {"asset: X/0\ntransfers: [{id: $a, debit: b, credit: c, amount: $d}]", `transfers[0].debit: accounts has no "b"`},
		"amount":          {"asset: X/0\naccounts: {a: {id: $a}}\ntransfers: [{id: $a, debit: a, credit: a}]", "transfers[0].amount is missing"},
		"linked":          {"asset: X/0\naccounts: {a: {id: $a}}\ntransfers: [{id: $a, debit: a, credit: a, amount: $a, flags: [linked]}]", "set by the importer"},
		"twice":           {payments, "already defined"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := importer.ParseMapping([]byte(c.text))
			if !errors.Is(err, importer.ErrMapping) || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("%v, want %q", err, c.want)
			}
		})
	}
}
