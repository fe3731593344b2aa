package api

import "github.com/sterlingrun/sterling/journal"

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
