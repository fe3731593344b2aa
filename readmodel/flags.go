package readmodel

import "github.com/sterlingrun/sterling/journal"

// The flags that the tables have: those of callers, and what marks transfers across cells, which are booked on the cell's
// own accounts.
const (
	AccountFlags  = journal.AccountFlagsKnown | journal.AccountTransit
	AccountGone   = journal.AccountMoved // set while the account is another cell's
	TransferFlags = journal.TransferFlagsKnown | journal.TransferTransit | journal.TransferHold
)
