package api

import (
	"context"
	"time"

	"github.com/sterlingrun/sterling/auth"
	"github.com/sterlingrun/sterling/cell"
	"github.com/sterlingrun/sterling/index"
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
	// Fresh is Head, with all in it that any node had acknowledged before the call.
	Fresh(ctx context.Context) (uint64, error)
	// Read calls fn with the state between two requests, and returns once
	// everything it saw is durable.
	Read(ctx context.Context, fn func(*ledger.State)) error
	// Attachment returns what is attached to the event at p, nil where nothing is.
	Attachment(ctx context.Context, p journal.Position) ([]byte, error)
	// Transaction returns the head of a transaction, nil where there is none.
	Transaction(ctx context.Context, id money.U128) (*ledger.Fact, error)
	// Header returns the header of a durable block.
	Header(ctx context.Context, seq uint64) (journal.Header, error)
}

// Numbers finds accounts by the numbers that the index knows them by. [cell.Cell]
// does.
type Numbers interface {
	AccountNumber(ctx context.Context, id money.U128) (uint32, error) // 0: there is none
	AccountsByNumber(ctx context.Context, numbers []uint32) ([]journal.Account, error)
	ScanAccounts(ctx context.Context, from uint32, reversed bool, visit func(n uint32, a *journal.Account) bool) error
}

// Cell is what the calls need of a cell.
type Cell interface {
	Writer
	Reader
	Numbers
	Pendings
}

// Queries lists rows by timestamp. [index.Queries] does.
type Queries interface {
	AccountTransfers(ctx context.Context, number uint32, f index.AccountFilter) (index.Page[ledger.Transfer], error)
	AccountBalances(ctx context.Context, number uint32, f index.AccountFilter) (index.Page[index.BalanceRow], error)
	Transfers(ctx context.Context, f index.QueryFilter) (index.Page[ledger.Transfer], error)
	AccountNumbers(ctx context.Context, f index.QueryFilter, keep func(number uint32) bool) (numbers []uint32, indexed bool, err error)
	History
}

// Progress tells how far the index is. [index.Index] does.
type Progress interface {
	Applied() uint64 // sequence number of the last block that queries see
	WaitFor(ctx context.Context, seq uint64) error
}

// NodeStatus is where a node stands.
type NodeStatus struct {
	Cell        uint64
	Seq         uint64 // last block applied in memory
	Epoch       uint64
	Head        uint64 // last durable block
	IndexSeq    uint64 // last block in the index
	Index       index.BuildStatus
	Accounts    uint64
	Transfers   uint64
	MemoryBytes uint64 // resident
	ClockHeld   bool   // writes wait for AcceptClock
	DiskFull    bool   // writes are refused
	Version     string
	Shared      bool   // several nodes may lead the cell
	Leads       bool   // this one does
	Leader      string // host:port; empty: nobody is known to
	Takeovers   uint64 // by this node, since it started
	StoodDown   uint64
}

// Node is what operators see and steer.
type Node interface {
	Status(ctx context.Context) (NodeStatus, error)
	AcceptClock(ctx context.Context, by auth.Principal) error
	// Drain stands down for another node; cell.ErrNotLeader where the node does not lead, or there is no other.
	Drain(ctx context.Context, by auth.Principal) error
	// RebuildIndex begins to build the index anew; index.ErrBuilding where that is going on already.
	RebuildIndex(ctx context.Context, by auth.Principal) error
}
