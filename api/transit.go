package api

import (
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/money"
)

// refuseOwnIDs turns ids that are kept for the ledger's own events into one that the ledger refuses: whoever took the id of
// a step of a transfer between cells before that step would stop it.
func refuseOwnIDs(transfers []journal.Transfer) {
	for i := range transfers {
		t := &transfers[i]
		t.ID, t.PendingID = callersID(t.ID), callersID(t.PendingID)
	}
}

func callersID(id money.U128) money.U128 {
	if journal.Own(id) {
		return money.Max()
	}
	return id
}

// reservedFlag is a bit that no account has: the ledger refuses it.
const reservedFlag = 1 << 13

// refuseTransit turns the flag and the ids of a cell's own accounts, which callers may not use, into some that the ledger
// refuses.
func refuseTransit(accounts []journal.Account) {
	for i := range accounts {
		a := &accounts[i]
		if a.ID = callersID(a.ID); a.Flags.Has(journal.AccountTransit) {
			a.Flags = a.Flags&^journal.AccountTransit | reservedFlag
		}
	}
}
