package api_test

import (
	"strings"
	"testing"

	"github.com/sterlingrun/sterling/journal"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

// TestEnumsAreTheJournalsNumbers holds the enums of the API to the numbers that
// the journal keeps: the API hands them through without a table between.
func TestEnumsAreTheJournalsNumbers(t *testing.T) {
	for prefix, list := range map[string]struct {
		kind  journal.Kind
		names map[int32]string
	}{
		"CREATE_ACCOUNT_STATUS_":  {journal.KindAccounts, ledgerv1.CreateAccountStatus_name},
		"CREATE_TRANSFER_STATUS_": {journal.KindTransfers, ledgerv1.CreateTransferStatus_name},
		"CONTROL_STATUS_":         {journal.KindFreeze, ledgerv1.ControlStatus_name},
	} {
		last := journal.LastStatus(list.kind)
		if len(list.names) != int(last)+1 {
			t.Errorf("%s: %d values for %d statuses", prefix, len(list.names), last)
		}
		for s := journal.Status(1); s <= last; s++ {
			if want := prefix + strings.ToUpper(s.Name(list.kind)); list.names[int32(s)] != want {
				t.Errorf("%d is %s, want %s", s, list.names[int32(s)], want)
			}
		}
	}
	for bit, want := range map[journal.AccountFlags]string{
		journal.AccountLinked: "LINKED", journal.AccountDebitsMustNotExceedCredits: "DEBITS_MUST_NOT_EXCEED_CREDITS",
		journal.AccountCreditsMustNotExceedDebits: "CREDITS_MUST_NOT_EXCEED_DEBITS", journal.AccountHistory: "HISTORY",
		journal.AccountImported: "IMPORTED", journal.AccountClosed: "CLOSED",
	} {
		if got := ledgerv1.AccountFlag_name[int32(bit)]; got != "ACCOUNT_FLAG_"+want {
			t.Errorf("account flag %d is %s, want %s", bit, got, want)
		}
	}
	for bit, want := range map[journal.TransferFlags]string{
		journal.TransferLinked: "LINKED", journal.TransferPending: "PENDING", journal.TransferPost: "POST_PENDING_TRANSFER",
		journal.TransferVoid: "VOID_PENDING_TRANSFER", journal.TransferBalancingDebit: "BALANCING_DEBIT",
		journal.TransferBalancingCredit: "BALANCING_CREDIT", journal.TransferClosingDebit: "CLOSING_DEBIT",
		journal.TransferClosingCredit: "CLOSING_CREDIT", journal.TransferImported: "IMPORTED",
		journal.TransferKeepRemainder: "KEEP_REMAINDER", journal.TransferFence: "FENCE",
	} {
		if got := ledgerv1.TransferFlag_name[int32(bit)]; got != "TRANSFER_FLAG_"+want {
			t.Errorf("transfer flag %d is %s, want %s", bit, got, want)
		}
	}
	for mode, want := range map[journal.FreezeMode]string{journal.FreezeDebit: "DEBIT", journal.FreezeCredit: "CREDIT", journal.FreezeAll: "ALL"} {
		if got := ledgerv1.FreezeMode_name[int32(mode)]; got != "FREEZE_MODE_"+want {
			t.Errorf("freeze mode %d is %s, want %s", mode, got, want)
		}
	}
	if ledgerv1.TransferSide_TRANSFER_SIDE_DEBIT != ledgerv1.TransferSide(journal.FreezeDebit) || ledgerv1.TransferSide_TRANSFER_SIDE_CREDIT != ledgerv1.TransferSide(journal.FreezeCredit) {
		t.Error("the sides of limits are not the journal's")
	}
}
