package ledger

import (
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/money"
)

// Effects tells what one block did, beyond what the block says of itself: which accounts (by number) its transfers
// moved money between, and balances of accounts that keep a history. The index is built from it. Account numbers are
// dense, count from 1 in the order of creation, and never change.
type Effects struct {
	Transfers []TransferEffect
	Inherited []Inherited
	History   []HistoryRow
	Accounts  []AccountEffect
}

// Reset makes e empty and keeps its memory.
func (e *Effects) Reset() {
	e.Transfers, e.Inherited = e.Transfers[:0], e.Inherited[:0]
	e.History, e.Accounts = e.History[:0], e.Accounts[:0]
}

// TransferEffect is a transfer that was created: event number in the block and both account numbers.
type TransferEffect struct {
	Event, Debit, Credit uint32
}

// Inherited are the user data that a post or void took over from its pending transfer, where it had none of its own.
type Inherited struct {
	Event       uint32
	UserData32  uint32
	UserData64  uint64
	UserData128 money.U128
}

// HistoryRow is what the balances of an account with the history flag were after a transfer.
type HistoryRow struct {
	Account  uint32
	Position journal.Position
	Balances Balances
}

// Balances are the four sums of an account in minor units.
type Balances struct {
	DebitsPending, DebitsPosted, CreditsPending, CreditsPosted money.U128
}

// AccountEffect is an account that was created: event number in the block, and its number.
type AccountEffect struct {
	Event, Number uint32
}

// Transfer is a transfer as it is kept: accounts, asset, code and user data filled in from the pending one where a
// post or void left them out, the amount that really moved (or is reserved), and its timestamp.
type Transfer struct {
	journal.Transfer
	Position journal.Position
}
