package export_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/sterlingrun/sterling/client"
	"github.com/sterlingrun/sterling/export"
	"github.com/sterlingrun/sterling/money"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

// nasty is metadata that a journal's language must not take for its own.
func nasty() client.Metadata {
	return client.Metadata{
		"date": client.Text("2020-01-01"), "a.b": client.Text(`"quoted" \ and, balance:7 ; = [2020-01-01]`), "a_b": client.Text("two\nlines\r\n  Assets:1  5 CNY\u2028x"),
		"Z-9": client.Int(-4), "yes": client.Bool(true), "sum": client.AmountValue(money.From(19)), "at": client.Time(time.Unix(1_700_000_000, 5)),
		"raw": client.Data([]byte{0, 255}), "who": client.Personal("customer-7", client.Text("Zhao, Min")), "none": client.Text(""), "1": client.Text("汉字"),
	}
}

func day(offset int) string { return time.Now().UTC().AddDate(0, 0, offset).Format(time.DateOnly) }

// attached is a ledger of addresses, metadata and booking dates far from today.
func attached(t *testing.T) *world {
	t.Helper()
	w := newWorld(t, 11)
	addresses := []string{"merchant:1001:settlement", "merchant:1001", "id-7:-x:_y", "merchant.1001", ""}
	var accounts []*ledgerv1.Account
	for i, address := range addresses {
		a := &ledgerv1.Account{Id: fmt.Sprint(i + 1), Asset: "CNY/2", Code: 2001, Address: address}
		if address != "" {
			a.Metadata = nasty()
		}
		accounts = append(accounts, a)
	}
	response, err := w.c.CreateAccounts(t.Context(), accounts...)
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range response.GetResults() {
		if r.GetStatus() != ledgerv1.CreateAccountStatus_CREATE_ACCOUNT_STATUS_CREATED {
			t.Fatalf("account %d: %v", i+1, r.GetStatus())
		}
	}
	for i, offset := range []int{-360, -1, 0, 1, 360} {
		x := w.move(fmt.Sprint(i+1), fmt.Sprint((i+1)%5+1), "CNY/2", fmt.Sprint(100+i), "", 0)
		x.BookingDate, x.Metadata = day(offset), nasty()
		w.send(x)
	}
	w.send(w.move("1", "2", "CNY/2", "7", "", 0))
	return w
}

func TestTablesHoldWhatIsAttached(t *testing.T) {
	t.Parallel()
	w := attached(t)
	for _, format := range []export.Format{export.CSV, export.JSONL} {
		text, _ := run(t, w.c, export.Options{What: export.Transfers, Format: format})
		if format == export.JSONL {
			got := &ledgerv1.Transfer{}
			line, _, _ := strings.Cut(text, "\n")
			if err := protojson.Unmarshal([]byte(line), got); err != nil || got.GetBookingDate() != day(-360) || len(got.GetMetadata()) != len(nasty()) {
				t.Errorf("%s: %v", line, err)
			}
			continue
		}
		rows := table(t, text)
		if rows[0]["booking_date"] != day(-360) || rows[5]["booking_date"] != "" || rows[5]["metadata"] != "" {
			t.Errorf("%v, %v", rows[0], rows[5])
		}
		sameMetadata(t, rows[0]["metadata"])
	}
	for _, what := range []export.What{export.Accounts, export.Balances} {
		text, _ := run(t, w.c, export.Options{What: what, Format: export.CSV})
		rows := table(t, text)
		if rows[0]["address"] != "merchant:1001:settlement" || rows[4]["address"] != "" {
			t.Errorf("%s: %v", what, rows)
		}
		if what == export.Accounts {
			sameMetadata(t, rows[0]["metadata"])
		}
	}
}

func sameMetadata(t *testing.T, text string) {
	t.Helper()
	var entries map[string]json.RawMessage
	if err := json.Unmarshal([]byte(text), &entries); err != nil || len(entries) != len(nasty()) {
		t.Fatalf("%s: %v", text, err)
	}
	for key, want := range nasty() {
		got := &ledgerv1.MetadataValue{}
		if err := protojson.Unmarshal(entries[key], got); err != nil || !proto.Equal(got, want) {
			t.Errorf("%s is %v, want %v: %v", key, got, want, err)
		}
	}
}

// namedByAddress are the accounts of attached.
func namedByAddress(a *ledgerv1.Account) (string, string) {
	parts := map[string]string{
		"merchant:1001:settlement": ":Merchant:1001:Settlement", "merchant:1001": ":Merchant:1001", "id-7:-x:_y": ":X-Id-7:X--x:X--y", "merchant.1001": ":Merchant-1001",
	}[a.GetAddress()]
	return "Liabilities:2001" + parts + ":Id-" + a.GetId(), "CNY"
}

// TestToolsAgreeOnWhatIsAttached: bookings before an account was opened, and after today, count all the same.
func TestToolsAgreeOnWhatIsAttached(t *testing.T) {
	t.Parallel()
	w := attached(t)
	for _, c := range []struct {
		format        export.Format
		command, pack string
		count         func(*testing.T, string) map[string]balance
		want          []string
	}{
		{export.HLedger, "hledger", "hledger", ofHledger, []string{"\n    ; meta-who:Zhao; Min\n", ", address:merchant:1001\n", "\n    ; meta-a_b-2:two lines"}},
		{export.Beancount, "bean-check", "beancount", func(t *testing.T, path string) map[string]balance { return ofBeancount(t, path) }, []string{
			"\n  meta-who: \"Zhao, Min\"\n", "\n  address: \"merchant:1001\"\n", `  meta-a_b: "\"quoted\" \\ and`, "\n  meta-a_b-2: \"two lines",
		}},
	} {
		t.Run(string(c.format), func(t *testing.T) {
			need(t, c.command, c.pack)
			path, _ := journalOf(t, w.c, export.Options{Format: c.format})
			agree(t, c.count(t, path), w.accounts(), namedByAddress)
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			for _, want := range append(c.want, "\n"+day(-360)+" * ", "\n"+day(360)+" * ") {
				if !strings.Contains(string(text), want) {
					t.Errorf("no %q in\n%s", want, text)
				}
			}
		})
	}
}

func TestDaysOfAZone(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 12)
	ids := w.open("CNY/2", 1, 1)
	x := w.move(ids[0], ids[1], "CNY/2", "5", "", 0)
	w.send(x)
	var at time.Time
	w.each(func(x *ledgerv1.Transfer) { at = time.Unix(0, int64(x.GetTimestamp())).UTC() })
	// An offset that makes it another day than in UTC.
	other := 18 * 60
	if at.Hour() < 6 {
		other = -18 * 60
	}
	shows := func(name string, offset *int, minutes int) {
		t.Helper()
		text, _ := run(t, w.c, export.Options{What: export.Journal, Format: export.HLedger, UTCOffset: offset})
		if want := fmt.Sprintf("\n%s * (%s) transfer", at.Add(time.Duration(minutes)*time.Minute).Format(time.DateOnly), x.GetId()); !strings.Contains(text, want) {
			t.Errorf("%s: no %q in\n%s", name, want, text)
		}
	}
	zero := 0
	shows("no policy", nil, 0)
	shows("asked for", &other, other)
	if _, err := w.c.SetPolicy(t.Context(), &ledgerv1.SetPolicyRequest{UtcOffsetMinutes: int32(other)}); err != nil {
		t.Fatal(err)
	}
	shows("the ledger's", nil, other)
	shows("asked for UTC", &zero, 0)
	far := 18*60 + 1
	for _, o := range []export.Options{{What: export.Journal, Format: export.HLedger, UTCOffset: &far}, {What: export.Transfers, Format: export.CSV, UTCOffset: &zero}} {
		if _, err := export.Run(t.Context(), nil, io.Discard, o); !errors.Is(err, export.ErrOptions) {
			t.Errorf("%+v: %v", o, err)
		}
	}
}
