package api

import (
	"context"
	"time"

	"github.com/sterlingrun/sterling/auth"
	"github.com/sterlingrun/sterling/cell"
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/ledger"
	"github.com/sterlingrun/sterling/money"
)

// Tokens verifies bearer tokens. [auth.Store] does.
type Tokens interface {
	Verify(token string, now time.Time) (auth.Principal, error)
}

// Writer records requests. [cell.Cell] does.
type Writer interface {
	// Do returns once the outcome is durable. It owns r until then, and for good
	// if it returns an error.
	Do(ctx context.Context, r *cell.Request) error
}

// Reader reads the cell's current state, linearizably. [cell.Cell] does.
type Reader interface {
	LookupAccounts(ctx context.Context, ids []money.U128) ([]journal.Account, error)
	LookupTransfers(ctx context.Context, ids []money.U128) ([]ledger.Transfer, error)
	Freezes(ctx context.Context, inForce bool) ([]ledger.Freeze, error)
	Assets() *ledger.Catalogue
	Head() uint64 // sequence number of the last durable block
}

// Cell is what the calls that write and look up need.
type Cell interface {
	Writer
	Reader
}

// AccountFilter selects rows of one account. Zero means: not filtered by.
type AccountFilter struct {
	AccountID    money.U128
	UserData128  money.U128
	UserData64   uint64
	UserData32   uint32
	Code         uint16
	TimestampMin uint64 // ns, inclusive
	TimestampMax uint64 // ns, inclusive
	Limit        uint32 // 1 to 8,190
	Debits       bool   // at least one of Debits and Credits is set
	Credits      bool
	Reversed     bool
}

// QueryFilter selects rows of the ledger. Zero means: not filtered by.
type QueryFilter struct {
	UserData128  money.U128
	UserData64   uint64
	UserData32   uint32
	Asset        uint32
	Code         uint16
	TimestampMin uint64 // ns, inclusive
	TimestampMax uint64 // ns, inclusive
	Limit        uint32 // 1 to 8,190
	Reversed     bool
}

// Balance is what an account's balances were right after a transfer.
type Balance struct {
	ledger.Balances
	Timestamp uint64 // ns, of the transfer
}

// Queries lists rows by timestamp from an index that follows the journal.
type Queries interface {
	AccountTransfers(ctx context.Context, f AccountFilter) ([]ledger.Transfer, error)
	AccountBalances(ctx context.Context, f AccountFilter) ([]Balance, error)
	Accounts(ctx context.Context, f QueryFilter) ([]journal.Account, error)
	Transfers(ctx context.Context, f QueryFilter) ([]ledger.Transfer, error)
}

// Progress tells how far the index is.
type Progress interface {
	Applied() uint64 // sequence number of the last block that queries see
	WaitFor(ctx context.Context, seq uint64) error
}

// Index is what the queries need.
type Index interface {
	Queries
	Progress
}

// NodeStatus is where a node stands.
type NodeStatus struct {
	Cell        uint32
	Seq         uint64 // last block applied in memory
	Epoch       uint64
	Head        uint64 // last durable block
	IndexSeq    uint64 // last block in the index
	Accounts    uint64
	Transfers   uint64
	MemoryBytes uint64 // resident
	ClockHeld   bool   // writes wait for AcceptClock
	DiskFull    bool   // writes are refused
	Version     string
}

// Node is what operators see and steer.
type Node interface {
	Status(ctx context.Context) (NodeStatus, error)
	AcceptClock(ctx context.Context, by auth.Principal) error
}
