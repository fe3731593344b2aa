package journal

import (
	"crypto/sha256"
	"encoding/binary"

	"github.com/sterlingrun/sterling/money"
)

// The head of a transaction is a Transfer record with TransferHead among its flags: ID is the transaction's, Debit and
// Credit are the two halves of LegsDigest, Timeout is the number of legs; code and user data are free, the rest is zero.
// Flags may also have TransferCycles and TransferAttached.

// LegID returns the id of leg i, from 0, of a transaction: the first 16 bytes of SHA-256(transaction id ‖ i), both
// little-endian, i as u32.
func LegID(transaction money.U128, i uint32) money.U128 {
	le := binary.LittleEndian
	b := le.AppendUint64(le.AppendUint64(make([]byte, 0, 20), transaction.Lo), transaction.Hi)
	sum := sha256.Sum256(le.AppendUint32(b, i))
	id := money.LE(sum[:16])
	if id.IsZero() || id.IsMax() { // neither is an id; nobody will ever see it
		id = money.From(1)
	}
	return id
}

// LegsDigest returns the SHA-256 of the legs' records and attachments, as the two ids that the head holds it in.
func LegsDigest(legs []Transfer, attached []Attachment) (hi, lo money.U128) {
	h := sha256.New()
	_, _ = h.Write(Bytes(legs)) // a hash never fails
	for _, a := range attached {
		le := binary.LittleEndian
		head := le.AppendUint16(make([]byte, 0, 4), uint16(a.Event)) //nolint:gosec // ≤ MaxEvents
		_, _ = h.Write(le.AppendUint16(head, uint16(len(a.Data))))   //nolint:gosec // ≤ MaxDetails
		_, _ = h.Write(a.Data)
	}
	sum := h.Sum(nil)
	return money.LE(sum), money.LE(sum[16:])
}

// DayClose closes the books of a day and all days before it. The ledger attaches the trial balance.
type DayClose struct {
	ID     money.U128
	Date   Date
	_      [4]byte
	Reason [64]byte // UTF-8, padded with zeros
	_      [40]byte
}

// Reopen opens a closed day, and all days after it, again.
type Reopen struct {
	ID     money.U128
	Date   Date
	_      [4]byte
	Reason [64]byte // UTF-8, padded with zeros
	_      [40]byte
}

// Proposal is a request that another person has to approve. The request is attached: Payload.
type Proposal struct {
	ID      money.U128
	Expires uint64   // ns; a decision must come before; 0: never
	Inner   Kind     // of the request that is proposed
	_       [7]byte  //
	Reason  [64]byte // UTF-8, padded with zeros
	_       [32]byte
}

// Verdict is what was decided about a proposal.
type Verdict uint8

// The verdicts. A proposal that is approved is carried out at once, whole or not at all.
const (
	Approve Verdict = 1
	Reject  Verdict = 2
)

// Decision approves or rejects a proposal. Its actor must be another one than the proposal's.
type Decision struct {
	ID       money.U128
	Proposal money.U128
	Inner    Kind // that of the proposal
	Verdict  Verdict
	_        [6]byte
	Reason   [64]byte // UTF-8, padded with zeros
	_        [24]byte
}

// PolicyFlags are rules of the house that the ledger enforces.
type PolicyFlags uint32

// The rules of the house. Setting one is one person's act; taking one away needs a decision.
const (
	// PolicyImportsApproved: imported accounts and transfers come only through a decision.
	PolicyImportsApproved PolicyFlags = 1 << iota
	// PolicyUnfreezeApproved: unfreezing comes only through a decision.
	PolicyUnfreezeApproved

	PolicyFlagsKnown = 1<<iota - 1
)

// Policy sets the rules of the house, and the zone by which timestamps have a day.
type Policy struct {
	ID        money.U128
	Flags     PolicyFlags
	UTCOffset int32 // minutes ahead of UTC, -1,080 to 1,080
	_         [8]byte
	Reason    [64]byte // UTF-8, padded with zeros
	_         [32]byte
}

// Principal gives a token its rights, or takes them away (Role 0).
type Principal struct {
	Token   Actor
	Secret  Hash // SHA-256 of the token's secret
	Role    uint8
	_       [7]byte
	Expires uint64   // ns; 0: never
	Name    [64]byte // UTF-8, padded with zeros
}

// MetadataChange replaces all metadata of an account; its address stays. Its id is kept among those of transfers, and
// its flags stand where a transfer's do.
type MetadataChange struct {
	ID      money.U128
	Account money.U128
	_       [86]byte
	Flags   TransferFlags // TransferHead
	_       [8]byte
}

// Erasure records that the key of a subject was destroyed, with who and why.
type Erasure struct {
	ID      money.U128
	Subject Hash     // SHA-256 of the subject's name
	Reason  [64]byte // UTF-8, padded with zeros
	_       [16]byte
}
