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
	Changed   []AccountEffect // accounts whose metadata was replaced
	Bookings  []BookingEffect
	Expired   []ExpiryEffect
	Moved     []MovedEffect
}

// Reset makes e empty and keeps its memory.
func (e *Effects) Reset() {
	e.Transfers, e.Inherited = e.Transfers[:0], e.Inherited[:0]
	e.History, e.Accounts, e.Changed = e.History[:0], e.Accounts[:0], e.Changed[:0]
	e.Bookings, e.Expired, e.Moved = e.Bookings[:0], e.Expired[:0], e.Moved[:0]
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

// HistoryRow is what the balances of an account were after a transfer. Accounts with the history flag have one for each
// of their transfers. All others have some (Sampled is set): about one in SampleEvery, and one wherever a post releases
// more than it posts. So the balances at any moment follow from the last row before it and the few transfers since: a
// transfer moves or reserves its amount; a post releases what it posts, and a void its amount.
type HistoryRow struct {
	Account  uint32
	Sampled  bool
	Position journal.Position
	Balances Balances
}

// SampleEvery is how many positions lie between two whose balances are kept, on average.
const SampleEvery = 16

// Sampled reports whether the balances after a transfer at p are kept for accounts without a history of their own. It
// chooses positions evenly, so that neither a hot account nor one with a rhythm of its own goes without rows.
func Sampled(p journal.Position) bool {
	return uint64(p)*0x9E3779B97F4A7C15>>60 == 0
}

// BookingEffect is a created transfer whose booking date is not the day of its timestamp.
type BookingEffect struct {
	Event uint32
	Date  journal.Date
}

// ExpiryEffect is a reservation that expired: its index among the block's expiries, its accounts, where it stands, and
// what was released.
type ExpiryEffect struct {
	Index, Debit, Credit uint32
	Pending              journal.Position
	Amount               money.U128
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
	Position   journal.Position
	Attachment string // see journal.Details; "" where there is none
}
