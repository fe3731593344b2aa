// Package watch is a second, independent witness of all money. It recomputes the ledger from its journal with a decoder
// and an arithmetic of its own, joins what was ordered, booked and paid by flows that people declare, and says through
// when everything is proven safe, or what is wrong. It is pure: a run replays exactly from its inputs, in their order.
// It never reads a disk, a clock or a network, and imports neither the ledger nor the journal's codec nor money.
//
// Start reading at Engine. flow.go is what people declare, classes.go what can be wrong, internal/books the recomputed
// ledger, internal/count the arithmetic.
package watch

import (
	"github.com/sterlingrun/sterling/watch/internal/books"
	"github.com/sterlingrun/sterling/watch/internal/count"
)

// Amount is an unsigned number of 128 bits, minor units.
type Amount = count.Amount

// ID is a u128, 16 bytes, the low half first: of an account, a transfer, a key.
type ID = count.ID

// Movement is a transfer, or an expiry, that the journal recorded as done.
type Movement = books.Movement

// AssetTotal is what all accounts of an asset add up to.
type AssetTotal = books.Total

// ObservationKind says what a source saw.
type ObservationKind uint8

// The kinds of observations.
const (
	Instruction ObservationKind = 1 + iota
	Receipt
	StatementEntry
	Balance
	Heartbeat
)

// Outcome is a channel's word on a payment.
type Outcome uint8

// The outcomes of a receipt.
const (
	Settled Outcome = 1 + iota
	Failed
	Refunded
	ChargedBack
)

// Observation is one thing that a source saw. Texts are bounded by the API (see watch.proto); the engine keeps no
// reference to them beyond the call unless they become evidence.
type Observation struct {
	Seq     uint64 // of the source: 1, 2, 3, …
	Kind    ObservationKind
	Outcome Outcome
	Time    uint64 // ns since 1970 UTC, by the source's clock
	Through uint64 // the source has told everything up to here; 0: no promise
	Flow    string
	Key     ID
	KeyText string // as it was given, for people
	ID      ID     // of the receipt, order or line; unique for the source
	IDText  string
	Amount  Amount
	Minus   bool   // the amount is negative (of a balance or a statement's line: a debit)
	Asset   string // such as "CNY/2"
	Debit   ID     // account ids, zero where there is none
	Credit  ID
	OfKey   ID // of a refund: the payment's key
	Terms   []Term
	Text    string
}

// Term is what an order or a receipt says beyond the amount. The list is ascending by name.
type Term struct {
	Name  string
	Value int64
}

// Break is something wrong.
type Break struct {
	ID        ID // of class, flow, key and cause: the same fault always has the same
	Class     Class
	Flow      string // empty: of the journal or of a source
	Key       ID
	KeyText   string
	AtRisk    Amount
	Asset     string
	Happened  uint64 // ns: when it went wrong, by the evidence
	FirstSeen uint64 // ns: the engine's time
	Group     ID     // id of the first break with the same cause
	Summary   string // one sentence
	Accounts  []ID
	Evidence  []Evidence
	Repair    []RepairTransfer
	State     BreakState
}

// BreakState is what became of a break.
type BreakState uint8

// The states of a break.
const (
	Open BreakState = 1 + iota
	Explained
	Repaired
	Accepted
)

// Evidence is a record that a break stands on.
type Evidence struct {
	What   string // "transfer", "expiry", "block", "instruction", "receipt", "statement entry", "balance"
	Source string // "journal" or the source's name
	Seq    uint64
	Index  int
	Time   uint64
	Fields []Field
}

// Field is a value of a record, for people.
type Field struct {
	Name, Value string
	Wrong       bool
}

// RepairTransfer would mend a break.
type RepairTransfer struct {
	Debit, Credit ID
	Amount        Amount
	Asset         string
	Code          uint16
	// What lets the flow see what it is for: such as the key and the number of the leg.
	UserData128 ID
	UserData64  uint64
	UserData32  uint32
}

// EffectKind says what an effect is.
type EffectKind uint8

// The kinds of effects.
const (
	BreakOpened  EffectKind = 1 + iota // Effect.Break
	BreakChanged                       // Effect.Break has its new state, group or evidence
	FreezeWanted                       // Effect.Freeze
	KeyClosed                          // Effect.Closed: leaves memory
)

// Effect is what the runner has to do or to keep. Effects are numbered without gaps from 1 on: after a restart the same
// inputs give the same effects with the same numbers, so that none is done or told twice.
type Effect struct {
	Number uint64
	Kind   EffectKind
	Break  *Break
	Freeze *Freeze
	Closed *Closed
	Who    string // of a change: a person's token, or "watch"
	Why    string
	Time   uint64
}

// FreezeSelector says what a freeze covers.
type FreezeSelector uint8

// What a freeze covers.
const (
	FreezeAccount FreezeSelector = 1 + iota
	FreezeCode                   // all transfers of one code: a flow
	FreezeCell
)

// Freeze asks for a freeze of the ledger, or reports one that is not made.
type Freeze struct {
	ID       ID // of the break and the selector: sent twice, it is one
	Break    ID
	Selector FreezeSelector
	Account  ID
	Code     uint16
	Reason   string // up to 64 bytes
	// Withheld says why it must not be made: "dry run", or "asked" where it is beyond the budget. Empty: make it.
	Withheld string
}

// Closed is what is kept of a key that is complete: enough to recognise what comes late, again, or back (refunds).
type Closed struct {
	Flow  string
	Key   ID
	State []byte // the engine's own form, up to 512 bytes, with its digest
}

// Proof says how far everything is safe.
type Proof struct {
	Through uint64 // ns; 0: not yet
	Reason  string // why it stands; empty while it follows
	Flows   []FlowProof
	Open    uint64 // breaks
	AtRisk  []AtRisk
	Keys    uint64 // open cases
	Events  uint64 // movements and observations since the beginning
}

// AtRisk is the money in open breaks, of root causes only.
type AtRisk struct {
	Asset  string
	Amount Amount
}

// FlowProof is the proof of one flow.
type FlowProof struct {
	Flow, Title              string
	Proven                   bool // two independent witnesses speak for it
	Through                  uint64
	Reason                   string
	Keys, Breaks             uint64
	Closed, Late             uint64
	Sources                  []string
	LatenessP50, LatenessP99 uint64 // ns
}

// SourceState is how far a source has told.
type SourceState struct {
	Name         string
	Seq          uint64 // all up to here was taken
	Through      uint64 // ns, by its clock
	Heard        uint64 // ns, the engine's time
	Observations uint64
	Silent       bool
	MissingFrom  uint64 // observations wait for these; 0: for none
	MissingTo    uint64
	Digest       [32]byte // SHA-256 chained over all observations
}
