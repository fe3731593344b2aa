package readmodeltest

import (
	"encoding/csv"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/ledger"
	"github.com/sterlingrun/sterling/money"
)

const (
	minuteNs = 60 * secondNs
	hourNs   = 60 * minuteNs
)

// NewKnown returns the ledger of the example reports in docs/sql: a payment company with a bank account, two merchants, a
// wallet, accounts in transit and fees, from 2026-01-01 to 2026-02-20. Its amounts in USD are beyond 64 bits, so that a
// report that is not exact is wrong.
func NewKnown() *World {
	w := NewWorld(1, 1)
	w.still, w.now = true, uint64(knownDay(1, 1))*dayNs+10*hourNs
	w.Do(journal.KindAssets, 1, journal.Bytes([]journal.Asset{
		ledger.AssetRecord(money.Asset{Code: "CNY", Scale: 2}), ledger.AssetRecord(money.Asset{Code: "USD", Scale: 2}),
	}))
	w.knownAccounts()
	huge := money.U128{Hi: 1 << 62, Lo: 12_345} // 85070591730234615865843651857942065209
	w.pay(11, 101, 201, money.From(150_000), 0) // the bank received money for merchant 1001
	w.pay(12, 101, 202, money.From(99_999), 0)
	w.pay(13, 102, 203, huge, 0)
	w.Advance(dayNs) // 2026-01-02
	w.pay(14, 201, 401, money.From(900), 0)
	w.pay(15, 201, 191, money.From(100_000), 0) // a payout on its way
	w.pay(16, 191, 101, money.From(100_000), 0) // it left the bank
	w.pay(17, 102, 203, huge, knownDay(1, 1))   // late: it belongs to the day before
	w.Advance(dayNs)                            // 2026-01-03
	w.pay(18, 202, 191, money.From(50_000), 0)  // a payout that has not left yet
	w.pay(19, 203, 192, money.From(7), 0)
	w.pay(22, 201, 301, money.From(60_000), 0)       // more than the merchant has
	w.hold(31, 101, 301, money.From(1_000), 0)       // the oldest reservation
	w.hold(32, 102, 203, huge, 0)                    //
	w.hold(33, 101, 201, money.From(500), 10*60)     // expires
	w.resolve(34, 31, money.From(400), true)         // 600 are left
	w.hold(35, 101, 202, money.From(2_000), 0)       //
	w.resolve(36, 35, money.From(1_500), false)      // 500 are released
	w.Seal()                                         //
	w.Advance(40 * dayNs)                            // 2026-02-12
	w.pay(20, 401, 101, money.From(25), 0)           // fees are paid out
	w.pay(23, 101, 201, money.From(20_000), 0)       //
	w.hold(37, 101, 201, money.From(70), 30*24*3600) // a week and a day old in the end
	w.Seal()
	w.Advance(6 * dayNs) // 2026-02-18
	w.hold(38, 101, 202, money.From(80), 0)
	w.Seal()
	w.Advance(2*dayNs - 3*hourNs)
	w.hold(39, 101, 301, money.From(90), 0) // three hours old
	w.Seal()
	w.Advance(3*hourNs - 5*minuteNs)
	w.hold(40, 101, 301, money.From(5), 0) // five minutes old
	w.hold(41, 101, 301, money.From(6), 0)
	w.Seal()
	w.Advance(5 * minuteNs)
	w.pay(21, 101, 301, money.From(1), 0) // 2026-02-20
	w.Seal()
	return w
}

func knownDay(month, day int) journal.Date {
	d, _ := journal.NewDate(2026, month, day)
	return d
}

func (w *World) knownAccounts() {
	list := []struct {
		id      uint64
		asset   uint32
		code    uint16
		address string
	}{
		{101, 1, 1010, "bank:icbc"},
		{102, 2, 1010, "bank:citi"},
		{191, 1, 1900, "transit:payouts"},
		{192, 2, 1900, "transit:payouts-usd"},
		{193, 1, 1900, "transit:refunds"},
		{201, 1, 2010, "merchant:1001:settlement"},
		{202, 1, 2010, "merchant:1002:settlement"},
		{203, 2, 2010, "merchant:1001:settlement-usd"},
		{301, 1, 2020, "wallet:7"},
		{401, 1, 4010, "fees"},
	}
	accounts := make([]journal.Account, len(list))
	attached := make([]journal.Attachment, len(list))
	for i, a := range list {
		accounts[i] = journal.Account{ID: money.From(a.id), Asset: a.asset, Code: a.code, Flags: journal.AccountAttached}
		attached[i] = journal.Attachment{Event: i, Data: (&journal.Details{Address: a.address}).Append(nil)}
	}
	w.Do(journal.KindAccounts, 1, journal.Bytes(accounts), attached...)
}

// known makes one transfer, which must succeed.
func (w *World) one(t journal.Transfer, booked journal.Date) {
	var attached []journal.Attachment
	if booked != 0 {
		t.Flags |= journal.TransferAttached
		attached = []journal.Attachment{{Data: (&journal.Details{BookingDate: booked}).Append(nil)}}
	}
	r := w.Do(journal.KindTransfers, 1, journal.Bytes([]journal.Transfer{t}), attached...)
	if r[0].Status != journal.Created {
		panic("transfer " + t.ID.String() + " has status " + r[0].Status.Name(journal.KindTransfers))
	}
	w.Seal()
}

func (w *World) assetOf(account uint64) uint32 {
	a, _ := w.State.Account(money.From(account))
	return a.Asset
}

func (w *World) pay(id, debit, credit uint64, amount money.U128, booked journal.Date) {
	w.one(journal.Transfer{ID: money.From(id), Debit: money.From(debit), Credit: money.From(credit), Amount: amount, Asset: w.assetOf(debit), Code: 1}, booked)
}

func (w *World) hold(id, debit, credit uint64, amount money.U128, timeout uint32) {
	w.one(journal.Transfer{
		ID: money.From(id), Debit: money.From(debit), Credit: money.From(credit), Amount: amount, Asset: w.assetOf(debit), Code: 2,
		Flags: journal.TransferPending, Timeout: timeout,
	}, 0)
}

func (w *World) resolve(id, pending uint64, amount money.U128, keep bool) {
	t := journal.Transfer{ID: money.From(id), PendingID: money.From(pending), Amount: amount, Flags: journal.TransferPost}
	if keep {
		t.Flags |= journal.TransferKeepRemainder
	}
	w.one(t, 0)
}

// Reports runs the example reports of an engine, docs/sql/ENGINE/*.sql, on the known ledger, and compares them with
// docs/sql/expected: what comes out is the same for all engines, but for zeros before a number. Docs is the path of
// docs/sql. The expected files were worked out by hand from NewKnown and NewCrossings.
func Reports(t *testing.T, h Harness, docs, engine string) {
	w := NewKnown()
	target := h.Open(t)
	defer closed(t, target)
	for _, w := range []*World{w, NewCrossings()} {
		project(t, target, w, w.Cell, len(w.Blocks), nil)
		check(t, w, h)
	}
	expected, err := filepath.Glob(filepath.Join(docs, "expected", "*.csv"))
	if err != nil || len(expected) == 0 {
		t.Fatalf("no expected reports: %v", err)
	}
	for _, path := range expected {
		name := strings.TrimSuffix(filepath.Base(path), ".csv")
		t.Run(name, func(t *testing.T) {
			text, err := os.ReadFile(filepath.Join(docs, engine, name+".sql"))
			if err != nil {
				t.Fatal(err)
			}
			rows, err := query(t.Context(), h.DB, strings.TrimRight(string(text), "; \n"))
			if err != nil {
				t.Fatal(err)
			}
			var got strings.Builder
			if err := csv.NewWriter(&got).WriteAll(rows); err != nil {
				t.Fatal(err)
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			_, body, _ := strings.Cut(string(want), "\n") // the first line names the columns
			if got.String() != body {
				t.Errorf("%s gives\n%s\nexpected is\n%s", name, got.String(), body)
			}
		})
	}
}
