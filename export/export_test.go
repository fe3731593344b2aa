package export_test

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/sterlingrun/sterling/export"
	"github.com/sterlingrun/sterling/money"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

func run(t *testing.T, c export.Ledger, o export.Options) (string, export.Summary) {
	t.Helper()
	if o.Now == 0 {
		o.Now = uint64(time.Now().UnixNano())
	}
	var b bytes.Buffer
	s, err := export.Run(t.Context(), c, &b, o)
	if err != nil {
		t.Fatal(err)
	}
	return b.String(), s
}

// table reads an exported CSV file: one map a row.
func table(t *testing.T, text string) []map[string]string {
	t.Helper()
	if strings.Count(text, "\n") != strings.Count(text, "\r\n") {
		t.Error("lines do not end with CR LF")
	}
	rows, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var list []map[string]string
	for _, r := range rows[1:] {
		m := map[string]string{}
		for i, name := range rows[0] {
			m[name] = r[i]
		}
		list = append(list, m)
	}
	return list
}

// mixed is a ledger with a bit of everything, and amounts of all sizes.
func mixed(t *testing.T) *world {
	t.Helper()
	w := newWorld(t, 3)
	for _, asset := range []string{"CNY/2", "JPY/0", "ETH/18"} {
		w.live(asset, 30)
	}
	giant(w)
	w.settle()
	return w
}

func TestBalancesAreTheLedgers(t *testing.T) {
	t.Parallel()
	w := mixed(t)
	accounts := w.accounts()
	text, s := run(t, w.c, export.Options{What: export.Balances, Format: export.CSV})
	rows := table(t, text)
	if len(rows) != len(accounts) || s.Rows != len(accounts) {
		t.Fatalf("%d rows, %+v, %d accounts", len(rows), s, len(accounts))
	}
	for i, a := range accounts {
		r := rows[i]
		for name, minor := range map[string]string{
			"debits_posted": a.GetDebitsPosted(), "credits_posted": a.GetCreditsPosted(),
			"debits_pending": a.GetDebitsPending(), "credits_pending": a.GetCreditsPending(),
		} {
			if r[name+"_minor"] != minor || r[name] != decimal(t, minor, a.GetAsset()) {
				t.Errorf("account %s: %s is %s (%s), want %s", a.GetId(), name, r[name+"_minor"], r[name], minor)
			}
		}
		if r["id"] != a.GetId() || r["asset"] != a.GetAsset() || r["code"] != fmt.Sprint(a.GetCode()) || r["balance"] != net(t, a) {
			t.Errorf("%v is not %v", r, a)
		}
	}
}

func TestJSONLinesAreTheAPIs(t *testing.T) {
	t.Parallel()
	w := mixed(t)
	text, _ := run(t, w.c, export.Options{What: export.Accounts, Format: export.JSONL})
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	accounts := w.accounts()
	if len(lines) != len(accounts) {
		t.Fatalf("%d lines, %d accounts", len(lines), len(accounts))
	}
	for i, a := range accounts {
		got := &ledgerv1.Account{}
		if err := protojson.Unmarshal([]byte(lines[i]), got); err != nil || !proto.Equal(got, a) {
			t.Errorf("%s is not %v: %v", lines[i], a, err)
		}
	}
	text, _ = run(t, w.c, export.Options{What: export.Transfers, Format: export.JSONL})
	lines = strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	i := 0
	w.each(func(x *ledgerv1.Transfer) {
		got := &ledgerv1.Transfer{}
		if err := protojson.Unmarshal([]byte(lines[i]), got); err != nil || !proto.Equal(got, x) {
			t.Errorf("%s is not %v: %v", lines[i], x, err)
		}
		i++
	})
	if i != len(lines) {
		t.Errorf("%d lines, %d transfers", len(lines), i)
	}
	text, _ = run(t, w.c, export.Options{What: export.Balances, Format: export.JSONL})
	var first struct {
		ID    string `json:"id"`
		Code  int    `json:"code"`
		Minor string `json:"debits_posted_minor"`
	}
	line, _, _ := strings.Cut(text, "\n")
	if err := json.Unmarshal([]byte(line), &first); err != nil || first.ID != accounts[0].GetId() || first.Code != 1 || first.Minor != accounts[0].GetDebitsPosted() {
		t.Errorf("%s: %+v %v", line, first, err)
	}
}

// TestParquetHoldsWhatCSVHolds reads Parquet back, column by column.
func TestParquetHoldsWhatCSVHolds(t *testing.T) {
	t.Parallel()
	w := mixed(t)
	for _, what := range []export.What{export.Accounts, export.Transfers, export.Balances} {
		text, _ := run(t, w.c, export.Options{What: what, Format: export.CSV})
		want := table(t, text)
		data, _ := run(t, w.c, export.Options{What: what, Format: export.Parquet})
		f, err := parquet.OpenFile(strings.NewReader(data), int64(len(data)))
		if err != nil {
			t.Fatal(err)
		}
		head, _, _ := strings.Cut(text, "\r\n")
		var names []string
		for _, c := range f.Schema().Columns() {
			names = append(names, c[0])
		}
		if strings.Join(names, ",") != head {
			t.Fatalf("%s: columns %v, want %s", what, names, head)
		}
		nulls, n := 0, 0
		for _, row := range rowsOf(t, f) {
			for i, v := range row {
				if v.IsNull() {
					nulls++
					continue
				}
				if got := readable(f.Schema().Fields()[i], v); !sameNumber(got, want[n][names[i]]) {
					t.Errorf("%s row %d: %s is %q, in CSV %q", what, n, names[i], got, want[n][names[i]])
				}
			}
			n++
		}
		// 2^128 - 1 of MAX/0, MAX/7 and MAX/18 do not fit 38 digits; they are on two accounts each, and in one transfer.
		if n != len(want) || nulls == 0 {
			t.Errorf("%s: %d rows, want %d; %d nulls", what, n, len(want), nulls)
		}
	}
}

func rowsOf(t *testing.T, f *parquet.File) []parquet.Row {
	t.Helper()
	var all []parquet.Row
	for _, g := range f.RowGroups() {
		rows := g.Rows()
		for buffer := make([]parquet.Row, 10); ; {
			n, err := rows.ReadRows(buffer)
			for _, r := range buffer[:n] {
				all = append(all, r.Clone())
			}
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if err := rows.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

// readable writes a value of Parquet as CSV has it, by the types that the file declares.
func readable(field parquet.Field, v parquet.Value) string {
	var kind any
	if l := field.Type().LogicalType(); l != nil {
		kind = l.Value
	}
	switch kind := kind.(type) {
	case *format.DecimalType:
		n := new(big.Int).SetBytes(v.ByteArray())
		if v.ByteArray()[0]&0x80 != 0 {
			n.Sub(n, new(big.Int).Lsh(big.NewInt(1), uint(8*len(v.ByteArray()))))
		}
		return new(big.Rat).SetFrac(n, new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(kind.Scale)), nil)).FloatString(int(kind.Scale))
	case *format.TimestampType:
		if _, nanos := kind.Unit.Value.(*format.NanoSeconds); !nanos || !kind.IsAdjustedToUTC {
			return kind.String()
		}
		return time.Unix(0, v.Int64()).UTC().Format("2006-01-02T15:04:05.000000000Z")
	case *format.IntType:
		return fmt.Sprint(v.Uint64())
	default:
		return string(v.ByteArray())
	}
}

func sameNumber(a, b string) bool {
	x, ok := new(big.Rat).SetString(a)
	y, ok2 := new(big.Rat).SetString(b)
	return a == b || ok && ok2 && x.Cmp(y) == 0
}

// TestFiltersChoose compares filtered exports with the rows of the whole.
func TestFiltersChoose(t *testing.T) {
	t.Parallel()
	w := mixed(t)
	text, _ := run(t, w.c, export.Options{What: export.Transfers, Format: export.CSV})
	all := table(t, text)
	middle, last := all[len(all)/3]["timestamp"], all[2*len(all)/3]["timestamp"]
	number := func(s string) uint64 { v, _ := money.Parse(s); return v.Lo }
	one, two := all[3]["debit_account_id"], all[5]["credit_account_id"]
	id := func(s string) money.U128 { v, _ := money.Parse(s); return v }
	touches := func(r map[string]string, ids ...string) bool {
		for _, id := range ids {
			if r["debit_account_id"] == id || r["credit_account_id"] == id {
				return true
			}
		}
		return false
	}
	for name, c := range map[string]struct {
		options export.Options
		keep    func(r map[string]string) bool
	}{
		"times":    {export.Options{Since: number(middle), Until: number(last)}, func(r map[string]string) bool { return r["timestamp"] >= middle && r["timestamp"] <= last }},
		"asset":    {export.Options{Asset: "JPY/0"}, func(r map[string]string) bool { return r["asset"] == "JPY/0" }},
		"code":     {export.Options{Code: uint32(number(all[0]["code"]))}, func(r map[string]string) bool { return r["code"] == all[0]["code"] }},
		"account":  {export.Options{Accounts: []money.U128{id(one)}}, func(r map[string]string) bool { return touches(r, one) }},
		"accounts": {export.Options{Accounts: []money.U128{id(one), id(two)}}, func(r map[string]string) bool { return touches(r, one, two) }},
		"both":     {export.Options{Accounts: []money.U128{id(one)}, Asset: "ETH/18"}, func(r map[string]string) bool { return touches(r, one) && r["asset"] == "ETH/18" }},
		"none":     {export.Options{Asset: "XYZ/1"}, func(map[string]string) bool { return false }},
		"past":     {export.Options{Until: 1}, func(map[string]string) bool { return false }},
	} {
		c.options.What, c.options.Format = export.Transfers, export.CSV
		text, _ := run(t, w.c, c.options)
		got := fmt.Sprint(table(t, text))
		var kept []map[string]string
		for _, r := range all {
			if c.keep(r) {
				kept = append(kept, r)
			}
		}
		if want := fmt.Sprint(kept); got != want {
			t.Errorf("%s:\n%s\nwant\n%s", name, got, want)
		}
	}
	text, _ = run(t, w.c, export.Options{What: export.Accounts, Format: export.CSV, Accounts: []money.U128{id(one)}})
	if rows := table(t, text); len(rows) != 1 || rows[0]["id"] != one {
		t.Errorf("one account: %v", rows)
	}
}

// busy is a ledger where something happens before every answer but the first.
type busy struct {
	export.Ledger
	happen func()
	asked  int
}

func (b *busy) before() {
	if b.asked++; b.asked > 2 {
		b.happen()
	}
}

func (b *busy) QueryAccounts(ctx context.Context, f *ledgerv1.QueryFilter, since *ledgerv1.Position) (*ledgerv1.QueryAccountsResponse, error) {
	b.before()
	return b.Ledger.QueryAccounts(ctx, f, since)
}

func (b *busy) QueryTransfers(ctx context.Context, f *ledgerv1.QueryFilter, since *ledgerv1.Position) (*ledgerv1.QueryTransfersResponse, error) {
	b.before()
	return b.Ledger.QueryTransfers(ctx, f, since)
}

// TestAnExportIsOfOneMoment moves money and opens accounts while the export reads, and looks back afterwards.
func TestAnExportIsOfOneMoment(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 5)
	ids := w.open("CNY/2", 1, 2001)
	var list []*ledgerv1.Transfer
	for range 9000 { // more than a page
		list = append(list, w.move(ids[0], ids[1], "CNY/2", "1", "", 0))
	}
	w.send(list...)
	hold := w.move(ids[0], ids[1], "CNY/2", "77", "", 0, pending)
	w.send(hold)
	for _, c := range []struct {
		what   export.What
		format export.Format
	}{{export.Accounts, export.CSV}, {export.Balances, export.JSONL}, {export.Transfers, export.CSV}, {export.Journal, export.HLedger}, {export.Journal, export.Beancount}} {
		o := export.Options{What: c.what, Format: c.format, Now: uint64(time.Now().UnixNano())}
		quiet, before := run(t, w.c, o)
		b := &busy{Ledger: w.c, happen: func() {
			more := w.open("CNY/2", 1)
			w.send(w.move(ids[0], more[0], "CNY/2", "5", "", 0))
			w.send(w.move("", "", "", "1", hold.GetId(), 0, post, remainder))
		}}
		text, s := run(t, b, o)
		if text != quiet || s.Through != before.Through {
			t.Errorf("%s as %s differs from the ledger when it began", c.what, c.format)
		}
		if b.asked < 4 {
			t.Errorf("%s: nothing happened meanwhile", c.what)
		}
		// The same moment can be asked for later.
		o.Until = before.Through
		if c.what == export.Transfers || c.what == export.Balances {
			if later, _ := run(t, w.c, o); later != quiet {
				t.Errorf("%s as of then differ from then", c.what)
			}
		}
	}
}

// scoped leaves out the last row, as a ledger does for a token that may not see it, and tells where to go on.
type scoped struct{ export.Ledger }

func (s scoped) QueryTransfers(ctx context.Context, f *ledgerv1.QueryFilter, since *ledgerv1.Position) (*ledgerv1.QueryTransfersResponse, error) {
	r, err := s.Ledger.QueryTransfers(ctx, f, since)
	if f.GetReversed() && f.GetTimestampMax() == 0 {
		r.Transfers = nil
	}
	return r, err
}

func TestTheLastRowMayBeOutOfScope(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 8)
	ids := w.open("CNY/2", 1, 1)
	w.send(w.move(ids[0], ids[1], "CNY/2", "5", "", 0), w.move(ids[0], ids[1], "CNY/2", "7", "", 0))
	o := export.Options{What: export.Transfers, Format: export.CSV}
	all, _ := run(t, w.c, o)
	text, _ := run(t, scoped{w.c}, o)
	if rows, kept := table(t, all), table(t, text); len(rows) != 2 || len(kept) != 1 || kept[0]["amount_minor"] != "5" {
		t.Errorf("%v of %v", kept, rows)
	}
}

// faulty answers what no ledger answers.
type faulty struct {
	export.Ledger
	change func(*ledgerv1.QueryTransfersResponse) error
}

func (f *faulty) QueryTransfers(ctx context.Context, q *ledgerv1.QueryFilter, since *ledgerv1.Position) (*ledgerv1.QueryTransfersResponse, error) {
	r, err := f.Ledger.QueryTransfers(ctx, q, since)
	if err == nil && !q.GetReversed() {
		err = f.change(r)
	}
	return r, err
}

func TestWhatTheLedgerCantAnswerEndsTheExport(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 6)
	ids := w.open("CNY/2", 1, 1)
	hold := w.move(ids[0], ids[1], "CNY/2", "7", "", 0, pending)
	w.send(w.move(ids[0], ids[1], "CNY/2", "5", "", 0), hold, w.move("", "", "", "", hold.GetId(), 0, post))
	lost := errors.New("connection lost")
	text := func(s string) *string { return &s }
	for name, c := range map[string]struct {
		change func(*ledgerv1.QueryTransfersResponse) error
		want   string
	}{
		"lost":     {func(*ledgerv1.QueryTransfersResponse) error { return lost }, "connection lost"},
		"backward": {func(r *ledgerv1.QueryTransfersResponse) error { r.NextTimestamp = 1; r.Transfers = nil; return nil }, ""},
		"no hold":  {func(r *ledgerv1.QueryTransfersResponse) error { r.Transfers = r.GetTransfers()[2:]; return nil }, "is not pending"},
		"more":     {func(r *ledgerv1.QueryTransfersResponse) error { r.GetTransfers()[2].Amount = text("8"); return nil }, "more than transfer"},
		"negative": {func(r *ledgerv1.QueryTransfersResponse) error { r.GetTransfers()[0].Amount = text("-8"); return nil }, "not a decimal number"},
		"overflow": {func(r *ledgerv1.QueryTransfersResponse) error {
			r.GetTransfers()[0].Amount = text("340282366920938463463374607431768211455")
			return nil
		}, "beyond 2^128"},
	} {
		var b bytes.Buffer
		_, err := export.Run(t.Context(), &faulty{w.c, c.change}, &b, export.Options{What: export.Balances, Format: export.CSV})
		if c.want == "" { // a page that goes back is read twice: the second time it does not move on
			c.want = "goes back"
		}
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	_, err := export.Run(t.Context(), &faulty{w.c, func(r *ledgerv1.QueryTransfersResponse) error {
		r.GetTransfers()[0].Asset = "yuan"
		return nil
	}}, io.Discard, export.Options{What: export.Transfers, Format: export.CSV})
	if !errors.Is(err, money.ErrAsset) {
		t.Errorf("an asset that is none: %v", err)
	}
}

func TestOptionsThatMakeNoSense(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]export.Options{
		"format of a table":   {What: export.Accounts, Format: export.HLedger},
		"format of a journal": {What: export.Journal, Format: export.CSV},
		"format":              {What: export.Accounts, Format: "xml"},
		"since":               {What: export.Balances, Format: export.CSV, Since: 1},
		"backwards":           {What: export.Transfers, Format: export.CSV, Since: 2, Until: 1},
		"half a journal":      {What: export.Journal, Format: export.HLedger, Code: 1},
		"asset":               {What: export.Transfers, Format: export.CSV, Asset: "CNY"},
		"too many":            {What: export.Transfers, Format: export.CSV, Accounts: make([]money.U128, 8191)},
	} {
		if _, err := export.Run(t.Context(), nil, io.Discard, o); !errors.Is(err, export.ErrOptions) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAnEmptyLedger(t *testing.T) {
	t.Parallel()
	c := serve(t)
	for _, o := range []export.Options{
		{What: export.Accounts, Format: export.CSV}, {What: export.Transfers, Format: export.Parquet}, {What: export.Journal, Format: export.Beancount},
	} {
		if _, s := run(t, c, o); s.Rows != 0 || s.Through != 0 {
			t.Errorf("%+v: %+v", o, s)
		}
	}
}
