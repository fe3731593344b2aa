package feed

import (
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/money"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

// ShowTransit gives a step of a transfer across cells, by what is attached to it, the accounts that people know, and
// returns what it is a step of; nil for any other transfer. docs/cells.md has the rule. An account that is hidden from the
// reader, zero, stays so.
func ShowTransit(t *journal.Transfer, attachment []byte) *ledgerv1.Transit {
	about, is := journal.TransitOf(attachment)
	if !is {
		return nil
	}
	debit, credit, own := about.Shown(t.Debit, t.Credit)
	if !t.Debit.IsZero() {
		t.Debit = debit
	}
	if !t.Credit.IsZero() {
		t.Credit = credit
	}
	if t.Flags.Has(journal.TransferHold) { // its record names the transfer there
		t.PendingID = money.U128{}
	}
	return &ledgerv1.Transit{TransferId: about.Transfer.String(), Step: ledgerv1.TransitStep(about.Step), Peer: about.Peer, AccountId: own.String()}
}
