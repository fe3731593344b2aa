package ledger_test

import (
	"sort"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/ledger"
	"github.com/sterlingrun/sterling/money"
)

// fields are the key=value words of one line; the first word stands for the event in the output.
type fields struct {
	t      *testing.T
	pos    string
	first  string
	values map[string]string
}

// newFields reads a line; nil where it is empty or a comment.
func newFields(t *testing.T, pos, line string) *fields {
	line, _, _ = strings.Cut(line, "#")
	words := strings.Fields(line)
	if len(words) == 0 {
		return nil
	}
	f := &fields{t: t, pos: pos, first: words[0], values: map[string]string{}}
	for i, w := range words {
		key, value, ok := strings.Cut(w, "=")
		switch {
		case i == 0 && !ok:
			key, value = "id", w
		case !ok:
			t.Fatalf("%s: %q is not key=value", pos, w)
		}
		f.values[key] = value
	}
	return f
}

func (f *fields) has(key string) bool { _, ok := f.values[key]; return ok }

func (f *fields) take(key string) string {
	v := f.values[key]
	delete(f.values, key)
	return v
}

// done fails for keys that nobody asked for.
func (f *fields) done() {
	for key := range f.values {
		f.t.Fatalf("%s: unknown field %q", f.pos, key)
	}
}

func (f *fields) u128(key string) money.U128 {
	v := f.take(key)
	if v == "" {
		return money.U128{}
	}
	return parseU128(f.t, v)
}

// parseU128 reads a decimal number, or "max", or "max-5".
func parseU128(t *testing.T, text string) money.U128 {
	t.Helper()
	rest, isMax := strings.CutPrefix(text, "max")
	if isMax && rest == "" {
		return money.Max()
	}
	v, err := money.Parse(strings.TrimPrefix(rest, "-"))
	if err != nil {
		t.Fatal(err)
	}
	if isMax {
		v, _ = money.Max().Sub(v)
	}
	return v
}

func (f *fields) uint(key string, bits int, otherwise uint64) uint64 {
	if !f.has(key) {
		return otherwise
	}
	text := f.take(key)
	if text == "max" {
		return 1<<bits - 1
	}
	v, err := strconv.ParseUint(text, 10, bits)
	if err != nil {
		f.t.Fatalf("%s: %s: %v", f.pos, key, err)
	}
	return v
}

// timestamp reads a duration since 1970, or a plain number of nanoseconds.
func (f *fields) timestamp(key string) uint64 {
	text := f.take(key)
	if d, err := time.ParseDuration(text); err == nil {
		return uint64(d)
	}
	if text == "" {
		return 0
	}
	v, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		f.t.Fatalf("%s: %s: %v", f.pos, key, err)
	}
	return v
}

var accountFlagNames = map[string]journal.AccountFlags{
	"linked": journal.AccountLinked, "debits_must_not_exceed_credits": journal.AccountDebitsMustNotExceedCredits,
	"credits_must_not_exceed_debits": journal.AccountCreditsMustNotExceedDebits, "history": journal.AccountHistory,
	"imported": journal.AccountImported, "closed": journal.AccountClosed, "unknown": 1 << 15, "transit": journal.AccountTransit,
}

var transferFlagNames = map[string]journal.TransferFlags{
	"linked": journal.TransferLinked, "pending": journal.TransferPending, "post": journal.TransferPost,
	"void": journal.TransferVoid, "balancing_debit": journal.TransferBalancingDebit,
	"balancing_credit": journal.TransferBalancingCredit, "closing_debit": journal.TransferClosingDebit,
	"closing_credit": journal.TransferClosingCredit, "imported": journal.TransferImported,
	"keep_remainder": journal.TransferKeepRemainder, "fence": journal.TransferFence, "unknown": 1 << 15,
	"transit": journal.TransferTransit, "hold": journal.TransferHold,
}

func flagsOf[T ~uint16](f *fields, names map[string]T) (flags T) {
	if !f.has("flags") {
		return 0
	}
	for _, name := range strings.Split(f.take("flags"), ",") {
		v, ok := names[name]
		if !ok {
			known := make([]string, 0, len(names))
			for k := range names {
				known = append(known, k)
			}
			sort.Strings(known)
			f.t.Fatalf("%s: flag %q is none of %v", f.pos, name, known)
		}
		flags |= v
	}
	return flags
}

func parseAccount(f *fields) journal.Account {
	return journal.Account{
		ID: f.u128("id"), DebitsPending: f.u128("debits_pending"), DebitsPosted: f.u128("debits_posted"),
		CreditsPending: f.u128("credits_pending"), CreditsPosted: f.u128("credits_posted"), UserData128: f.u128("ud128"),
		UserData64: f.uint("ud64", 64, 0), UserData32: uint32(f.uint("ud32", 32, 0)), Reserved: uint32(f.uint("reserved", 32, 0)),
		Asset: uint32(f.uint("asset", 32, 1)), Code: uint16(f.uint("code", 16, 1)), Flags: flagsOf(f, accountFlagNames),
		Timestamp: f.timestamp("timestamp"),
	}
}

// parseTransfer fills in what the API does: an absent amount is the maximum on a post and zero on a void; asset and
// code are 1 where they are left out, but for posts and voids.
func parseTransfer(f *fields) journal.Transfer {
	x := journal.Transfer{Flags: flagsOf(f, transferFlagNames)}
	resolves := x.Flags.Has(journal.TransferPost | journal.TransferVoid)
	ones := uint64(1)
	if resolves {
		ones = 0
	}
	switch {
	case f.has("amount"):
		x.Amount = f.u128("amount")
	case x.Flags.Has(journal.TransferPost):
		x.Amount = money.Max()
	case !resolves:
		f.t.Fatalf("%s: transfer %s has no amount", f.pos, f.first)
	}
	x.ID, x.Debit, x.Credit, x.PendingID = f.u128("id"), f.u128("debit"), f.u128("credit"), f.u128("pending")
	x.UserData128, x.UserData64, x.UserData32 = f.u128("ud128"), f.uint("ud64", 64, 0), uint32(f.uint("ud32", 32, 0))
	x.Timeout, x.Timestamp = uint32(f.uint("timeout", 32, 0)), f.timestamp("timestamp")
	x.Asset, x.Code = uint32(f.uint("asset", 32, ones)), uint16(f.uint("code", 16, ones))
	if f.take("mark") != "" { // set by transit
		x.Flags |= journal.TransferTransit
	}
	return x
}

func parseAsset(f *fields) journal.Asset {
	code, scale, _ := strings.Cut(f.take("id"), "/")
	n, err := strconv.ParseUint(scale, 10, 8)
	if err != nil {
		f.t.Fatalf("%s: scale: %v", f.pos, err)
	}
	return ledger.AssetRecord(money.Asset{Code: code, Scale: uint8(n)})
}

var modeNames = map[string]journal.FreezeMode{
	"": 0, "debit": journal.FreezeDebit, "credit": journal.FreezeCredit, "all": journal.FreezeAll, "unknown": 9,
}

var selectorNames = map[string]journal.Selector{
	"": 0, "account": journal.SelectAccount, "code": journal.SelectCode, "cell": journal.SelectCell, "unknown": 9,
}

// reason reads a text; "torn" has bytes after its end.
func (f *fields) reason() (b [journal.MaxReason]byte) {
	text := f.take("reason")
	copy(b[:], text)
	if text == "torn" {
		b[journal.MaxReason-1] = 'x'
	}
	return b
}

func parseFreeze(f *fields) journal.Freeze {
	return journal.Freeze{
		ID: f.u128("id"), Account: f.u128("account"), Code: uint16(f.uint("code", 16, 0)),
		Selector: selectorNames[f.take("selector")], Mode: modeNames[f.take("mode")], Reason: f.reason(),
	}
}

func parseUnfreeze(f *fields) journal.Unfreeze {
	return journal.Unfreeze{ID: f.u128("id"), FreezeID: f.u128("freeze"), Reason: f.reason()}
}

func parseLimit(f *fields) journal.Limit {
	return journal.Limit{
		ID: f.u128("id"), Account: f.u128("account"), HourAmount: f.u128("hour_amount"), DayAmount: f.u128("day_amount"),
		HourCount: uint32(f.uint("hour_count", 32, 0)), DayCount: uint32(f.uint("day_count", 32, 0)), Side: modeNames[f.take("side")],
	}
}
