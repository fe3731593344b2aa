// Package books is watch's own recomputation of the ledger from its journal: it decodes blocks from docs/formats.md by
// itself, checks their chain, adds every balance up, and finds what the ledger must never have recorded. It knows no
// flows: those are its parent's. It never reads a disk or a clock. Start reading at Model.
package books

import (
	"github.com/sterlingrun/sterling/watch/internal/block"
	"github.com/sterlingrun/sterling/watch/internal/count"
)

// Phase says what a movement did.
type Phase uint8

// The phases: money moved at once; was reserved; a reservation was captured (in part: see Movement.Left); what was left
// of it released by a void; or by time. What is handed over between cells moves nothing that anybody ordered.
const (
	Single Phase = 1 + iota
	Reserve
	Capture
	Release
	Expire
	// With a bucket that moves: a reservation left for another cell; one arrived from there; an account did either.
	Leave
	Arrive
	Hand
)

// Movement is a transfer, or an expiry, that the journal recorded as done.
type Movement struct {
	Seq      uint64 // of the block
	Index    int    // in the block, in the order of time: expiries first; position = Seq<<14 | Index
	Time     uint64 // ns since 1970 UTC: when it was recorded, of an imported transfer too
	Transfer count.ID
	// Debit, Credit, Asset, Code and the user data of a capture, release or expiry are those of its reservation where
	// the record leaves them out.
	Debit, Credit count.ID
	Reservation   count.ID // of a capture, release or expiry
	Amount        count.Amount
	Left          count.Amount // after a capture: what is still reserved
	Freed         count.Amount // by a capture that ends its reservation: what was reserved beyond Amount
	Asset         uint32
	Code          uint16
	Flags         uint16 // as in the record, internal bits cleared
	Phase         Phase
	UserData128   count.ID
	UserData64    uint64
	UserData32    uint32
	Actor         count.ID
	// Transit is set where it is a step of a transfer across cells; Debit and Credit are the step's. It is only valid
	// during the call.
	Transit *block.Transit
}

// Finding is something that the ledger must never have recorded.
type Finding struct {
	Class    string // one of the classes of package watch
	Seq      uint64
	Index    int // -1: the block
	Time     uint64
	Accounts []count.ID
	Transfer count.ID
	Amount   count.Amount // at risk, minor units
	Asset    uint32
	Summary  string // one sentence
	Fields   []Field
}

// Field is what a record said and what it should have said.
type Field struct{ Name, Value, Want string }

// Total is what all accounts of an asset add up to. An amount is 2^128-1 where its sum has more bits; Exact has it then.
type Total struct {
	Asset                                                      uint32
	DebitsPosted, CreditsPosted, DebitsPending, CreditsPending count.Amount
	Transfers                                                  uint64 // created
	Exact                                                      Sums
	// What is in transit, reserved for transfers to other cells and from other cells, and in how many reservations.
	TransitOut, TransitIn count.Amount
	Outgoing, Incoming    uint64
}

// Sums are the four sums of all accounts of an asset, in 256 bits.
type Sums struct{ DebitsPosted, CreditsPosted, DebitsPending, CreditsPending count.Sum }

// Balanced reports whether debits are credits, posted and pending.
func (s *Sums) Balanced() bool {
	return s.DebitsPosted == s.CreditsPosted && s.DebitsPending == s.CreditsPending
}

// Balances are an account's four sums, minor units, by watch's own count.
type Balances struct {
	Account                                                    count.ID
	Asset                                                      uint32
	DebitsPosted, CreditsPosted, DebitsPending, CreditsPending count.Amount
}

// The classes of findings: the constants of the same values are in package watch, which a test holds these against.
const (
	tamperedHistory = "tampered_history"
	fork            = "fork"
	lostUpdate      = "lost_update"
	unbalanced      = "unbalanced"
	limitExceeded   = "limit_exceeded"
	movedFrozen     = "moved_while_frozen"
	duplicateID     = "duplicate_id"
	clockJump       = "clock_jump"
	sourceGap       = "source_gap"
)
