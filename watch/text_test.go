package watch_test

import (
	"crypto/sha256"
	"testing"

	"github.com/sterlingrun/sterling/money"
	"github.com/sterlingrun/sterling/watch"
)

func TestKeyOf(t *testing.T) {
	for text, want := range map[string]string{
		"":     "0",
		"0":    "0",
		"42":   "42",
		"0042": "42",
		"340282366920938463463374607431768211455": "340282366920938463463374607431768211455",
		"order-7": sha256Key(t, "order-7"),
		"340282366920938463463374607431768211456": sha256Key(t, "340282366920938463463374607431768211456"),
		"-1":  sha256Key(t, "-1"),
		"+1":  sha256Key(t, "+1"),
		" 1":  sha256Key(t, " 1"),
		"0x1": sha256Key(t, "0x1"),
	} {
		id := watch.KeyOf(text)
		if got := watch.DecimalID(id); got != want {
			t.Errorf("key %q: %s, want %s", text, got, want)
		}
		back, err := watch.ParseHexID(watch.HexID(id))
		if err != nil || back != id {
			t.Errorf("%q: %v, %v", watch.HexID(id), back, err)
		}
	}
	if got := watch.HexID(watch.KeyOf("258")); got != "00000000000000000000000000000102" {
		t.Errorf("258 is %s", got)
	}
	for _, bad := range []string{"", "12", "0102030405060708090a0b0c0d0e0f", "zz02030405060708090a0b0c0d0e0f10", "0102030405060708090a0b0c0d0e0f1011"} {
		if _, err := watch.ParseHexID(bad); err == nil {
			t.Errorf("%q is an id", bad)
		}
	}
}

// sha256Key computes the rule by the ledger's own arithmetic.
func sha256Key(t *testing.T, text string) string {
	t.Helper()
	h := sum(text)
	var v money.U128
	for i := range 8 {
		v.Lo |= uint64(h[i]) << (8 * i)
		v.Hi |= uint64(h[8+i]) << (8 * i)
	}
	return v.String()
}

func TestAlerts(t *testing.T) {
	b := &watch.Break{ID: watch.ID{1}, Class: watch.DuplicatePost, Flow: "card-payment", Summary: "order 7 was booked twice"}
	one, two, none := watch.AlertOfBreaks(b, 1, 5, 9), watch.AlertOfBreaks(b, 2, 5, 9), watch.AlertOfBreaks(b, 0, 5, 9)
	if one.Key() != two.Key() || one.Key() != none.Key() {
		t.Error("the same alert has several keys")
	}
	if one.Summary != "order 7 was booked twice" || two.Summary != "2 breaks duplicate_post, the newest: order 7 was booked twice" {
		t.Errorf("%q, %q", one.Summary, two.Summary)
	}
	if one.Until != 0 || none.Until != 9 || none.Summary != "no break duplicate_post is open any more in flow card-payment" || one.Severity != watch.Critical {
		t.Errorf("%+v, %+v", one, none)
	}
	f := &watch.Freeze{Selector: watch.FreezeAccount, Account: watch.KeyOf("42"), Reason: "duplicate_post"}
	made := watch.AlertOfFreeze(f, "card-payment", 1)
	f.Withheld = "asked"
	if asked := watch.AlertOfFreeze(f, "card-payment", 1); made.Summary != "account 42 was frozen: duplicate_post" ||
		asked.Summary != "freeze of account 42 is not made (asked): duplicate_post" || made.Key() == asked.Key() {
		t.Errorf("%+v, %+v", made, asked)
	}
	silent := watch.AlertOfSource(&watch.SourceState{Name: "orders", Heard: 1_000_000_000}, 2)
	if silent.Summary != "source orders is silent since 1970-01-01 00:00:01.000" || silent.Severity != watch.Warning {
		t.Errorf("%+v", silent)
	}
}

func sum(text string) [32]byte { return sha256.Sum256([]byte(text)) }
