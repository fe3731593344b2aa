package api

import (
	"slices"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/ledger"
	"github.com/sterlingrun/sterling/money"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

// docs/cells.md has the rule by which steps of transfers across cells are shown.

// showTransit gives a step of a transfer across cells the accounts that people know. It comes before scopes, which then
// hide the account in the other cell.
func showTransit(t *ledger.Transfer) {
	about, is := journal.TransitOf([]byte(t.Attachment))
	if !is {
		return
	}
	t.Debit, t.Credit = about.Shown(t.Debit, t.Credit)
	if t.Flags.Has(journal.TransferHold) { // it names the transfer: so does its transit field
		t.PendingID = money.U128{}
	}
}

func showTransits(rows []ledger.Transfer) {
	for i := range rows {
		showTransit(&rows[i])
	}
}

// listed leaves what lists of the whole cell have: of a transfer across cells what moves or reserves its money, and not
// how the cells agree on it. It keeps the order, in place.
func listed(rows []ledger.Transfer) []ledger.Transfer {
	rows = slices.DeleteFunc(rows, func(t ledger.Transfer) bool {
		about, is := journal.TransitOf([]byte(t.Attachment))
		return is && about.Bookkeeping(t.Flags)
	})
	showTransits(rows)
	return rows
}

func transitMessage(t *journal.Transit) *ledgerv1.Transit {
	if t == nil {
		return nil
	}
	return &ledgerv1.Transit{TransferId: t.Transfer.String(), Step: ledgerv1.TransitStep(t.Step), Peer: t.Peer}
}

// reservedFlag is a bit that no account has: the ledger refuses it.
const reservedFlag = 1 << 13

// refuseTransit turns the flag of a cell's own accounts, which callers may not set, into one that the ledger refuses.
func refuseTransit(accounts []journal.Account) {
	for i := range accounts {
		if a := &accounts[i]; a.Flags.Has(journal.AccountTransit) {
			a.Flags = a.Flags&^journal.AccountTransit | reservedFlag
		}
	}
}
