package readmodel

import (
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/money"
)

// Batch is what a run of blocks changes in the tables, netted: at most one row of each kind for each thing. Amounts are in
// minor units of their asset, timestamps in nanoseconds since 1970. It shares no memory with the blocks but what Data and
// Sealed bytes of metadata are; all of it is valid while [Target.Apply] runs.
type Batch struct {
	From Position // where the tables stand
	To   Position // where they stand afterwards

	Assets       []Asset
	Accounts     []Account       // new ones, with their balances after the batch
	Balances     []BalanceChange // of accounts that were there, ascending by account: rows are locked in one order
	Closed       []ClosedChange  // of accounts that were there
	Transfers    []Transfer
	Reserved     []Reservation // new ones, as they are after the batch
	Resolved     []Reservation // those that were there and have changed
	Transactions []Transaction
	// Replaced are accounts that were there and whose metadata is deleted before Metadata is inserted.
	Replaced []money.U128
	Metadata []Metadata
	Freezes  []Freeze
	Lifts    []Lift // perhaps of freezes of the batch: to be written after them
	Closes   []DayClose

	// Of buckets that move between cells. Whatever is in Renewed is deleted, if it is there, before Accounts, Transfers,
	// Reserved and Freezes are inserted; Gone are accounts that went to another cell: AccountMoved is set in their flags.
	Renewed   Renewed
	Gone      []money.U128
	Handovers []Handover
}

// Renewed are things that may have been there before: what comes back from another cell.
type Renewed struct{ Accounts, Transfers, Freezes []money.U128 }

// Handover is a row of handovers: one of the two postings that an account leaves or arrives with, against the account for
// clearing with the other cell.
type Handover struct {
	ID            money.U128 // of the move
	Position      journal.Position
	Side          uint8 // 1 what the account is debited by, 2 what it is credited by
	Timestamp     uint64
	Booked        journal.Date
	Debit, Credit money.U128
	Amount        money.U128
	Asset         uint32
	Actor         journal.Actor
}

// Rows is how many rows the batch writes.
func (b *Batch) Rows() int {
	n := len(b.Assets) + 2*len(b.Accounts) + len(b.Balances) + len(b.Closed) + len(b.Transfers) + len(b.Reserved) +
		len(b.Resolved) + len(b.Transactions) + len(b.Replaced) + len(b.Metadata) + len(b.Freezes) + len(b.Lifts) + len(b.Closes) + len(b.Handovers) + len(b.Gone)
	for i := range b.Closes {
		n += len(b.Closes[i].Lines)
	}
	return n
}

// Asset is a row of assets.
type Asset struct {
	Number    uint32 // in the order of registration, from 1
	Code      string
	Scale     uint8 // decimal places
	Position  journal.Position
	Timestamp uint64
}

// UserData are the fields that the ledger keeps for its callers.
type UserData struct {
	D128 money.U128
	D64  uint64
	D32  uint32
}

// Account is a row of accounts and one of balances.
type Account struct {
	ID        money.U128
	Position  journal.Position
	Timestamp uint64 // an imported account's is what the import gave
	Asset     uint32
	Code      uint16
	Flags     journal.AccountFlags // as it was created: [AccountFlags]
	Closed    bool
	Address   string // "" for none
	UserData  UserData
	Actor     journal.Actor
	Balances  Balances
}

// Balances are an account's sums.
type Balances struct{ DebitsPending, DebitsPosted, CreditsPending, CreditsPosted money.U128 }

// BalanceChange is by how much the sums of an account change.
type BalanceChange struct {
	Account                                                    money.U128
	DebitsPending, DebitsPosted, CreditsPending, CreditsPosted Delta
}

// ClosedChange is an account that is closed, or open again.
type ClosedChange struct {
	Account money.U128
	Closed  bool
}

// Kind is what a transfer does.
type Kind string

// What a transfer does, as the tables name it.
const (
	KindTransfer Kind = "transfer" // moves its amount at once
	KindPending  Kind = "pending"  // reserves its amount
	KindPost     Kind = "post"     // moves what was reserved, or part of it
	KindVoid     Kind = "void"     // releases what was reserved
	KindArrived  Kind = "arrived"  // was reserved in another cell, and came from there
)

// Transfer is a row of transfers: accounts, asset, code and user data are filled in from the reservation where a post or
// void left them out.
type Transfer struct {
	ID          money.U128
	Position    journal.Position
	Timestamp   uint64 // an imported transfer's is what the import gave
	Booked      journal.Date
	Kind        Kind
	Debit       money.U128
	Credit      money.U128
	Amount      money.U128 // that was moved or reserved; of a void: that was released
	Released    money.U128 // what a post or void took off the pending sums of both accounts; otherwise 0
	Asset       uint32
	Code        uint16
	Flags       journal.TransferFlags // [TransferFlags]
	Timeout     uint32                // seconds
	PendingID   money.U128            // zero: none
	Transaction money.U128            // that it is a leg of; zero: none
	UserData    UserData
	Actor       journal.Actor
}

// State is how a reservation stands.
type State string

// How a reservation stands, as the tables name it.
const (
	StateOpen    State = "open"
	StatePosted  State = "posted" // what a post did not take was released with it
	StateVoided  State = "voided"
	StateExpired State = "expired"
	StateMoved   State = "moved" // it is open, or has ended, in another cell
)

// Reservation is a row of reservations, joined with its transfer's.
type Reservation struct {
	ID        money.U128
	Remaining money.U128 // still reserved; 0 once it has ended
	State     State
	Expires   uint64 // 0: never
	Ended     uint64 // 0: it is open

	// Of its row of transfers, for posts and voids.
	Debit, Credit money.U128
	Asset         uint32
	Code          uint16
	Flags         journal.TransferFlags
	UserData      UserData
}

// Transaction is a row of transactions: what its legs, which are transfers, have in common.
type Transaction struct {
	ID        money.U128
	Position  journal.Position
	Timestamp uint64
	Legs      uint32
	Code      uint16
	UserData  UserData
	Actor     journal.Actor
}

// Owner is what metadata belongs to.
type Owner string

// What metadata belongs to, as the tables name it.
const (
	OwnerAccount     Owner = "account"
	OwnerTransfer    Owner = "transfer"
	OwnerTransaction Owner = "transaction"
)

// Metadata is a row of metadata.
type Metadata struct {
	Owner   Owner
	OwnerID money.U128
	Key     string
	Type    string // text, integer, truth, amount, time, bytes, personal
	// Value is the value as a text that every engine can hold: a text itself, a decimal number, true or false. HasValue is
	// false for bytes, for personal values, and for texts with a zero byte, which PostgreSQL has no place for.
	Value    string
	HasValue bool
	Data     []byte // what Value can't hold; of a personal value: sealed, as the journal has it
	Subject  string // whose a personal value is
}

// Freeze is a row of freezes.
type Freeze struct {
	ID        money.U128
	Position  journal.Position
	Timestamp uint64
	Selector  string     // account, code, cell
	Account   money.U128 // with selector account
	Code      uint16     // with selector code
	Mode      string     // debit, credit, all
	Reason    string
	Actor     journal.Actor
}

// Lift ends a freeze.
type Lift struct {
	Freeze    money.U128
	ID        money.U128
	Timestamp uint64
	Reason    string
	Actor     journal.Actor
}

// DayClose is a row of day_closes: the books of a day and all before it are closed, or a day and all after it reopened.
type DayClose struct {
	ID        money.U128
	Position  journal.Position
	Timestamp uint64
	Date      journal.Date
	Reopened  bool
	Reason    string
	Actor     journal.Actor
	Lines     []TrialLine // its trial balance
}

// TrialLine is a row of day_close_lines: posted sums of an asset and code, as decimal numbers below 2^192.
type TrialLine struct {
	Asset                         uint32
	Code                          uint16
	OpeningDebits, OpeningCredits string // of all days before the first one that is closed
	LateDebits, LateCredits       string // part of opening: booked into closed days since the close before
	PeriodDebits, PeriodCredits   string // of the days that are closed
}
