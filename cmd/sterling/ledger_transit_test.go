package main

import (
	"strings"
	"testing"

	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
	watchv1 "github.com/sterlingrun/sterling/proto/gen/sterling/watch/v1"
)

// TestStepsAreNamed: a step shows which transfer across cells it is of, anything else shows nothing more than before.
func TestStepsAreNamed(t *testing.T) {
	amount := "500"
	hold := &ledgerv1.Transfer{
		Id: "801", DebitAccountId: "1", CreditAccountId: "2", Amount: &amount, Asset: "CNY/2", Flags: []ledgerv1.TransferFlag{ledgerv1.TransferFlag_TRANSFER_FLAG_PENDING},
		Transit: &ledgerv1.Transit{TransferId: "700", Step: ledgerv1.TransitStep_TRANSIT_STEP_HOLD, Peer: 2, AccountId: "9"},
	}
	plain := &ledgerv1.Transfer{Id: "802", Amount: &amount, Asset: "CNY/2"}
	rows := transferRows([]*ledgerv1.Transfer{hold, plain}, nil)
	if got := rows[0][6]; got != "pending,hold of 700 (cell 2)" {
		t.Errorf("flags %q", got)
	}
	if got := rows[1][6]; got != "-" {
		t.Errorf("flags %q", got)
	}
	if askedID(hold) != "700" || askedID(plain) != "802" {
		t.Errorf("known by %s and %s", askedID(hold), askedID(plain))
	}
	p := &watchv1.GetProofResponse{Totals: []*watchv1.AssetTotals{
		{Asset: "USD/2"}, {Asset: "CNY/2", TransitOut: "1250", TransitIn: "70", Outgoing: 2, Incoming: 1},
	}}
	if got := transitText(p); got != "12.50 out, 0.70 in of CNY/2 (3)" {
		t.Errorf("in transit: %q", got)
	}
	if got := transitText(&watchv1.GetProofResponse{Totals: p.GetTotals()[:1]}); strings.TrimSpace(got) != "" {
		t.Errorf("in transit: %q", got)
	}
}
