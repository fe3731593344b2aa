package journal

import (
	"unsafe"

	"github.com/sterlingrun/sterling/money"
)

// Sizes of the format, in bytes, and how much a block holds. docs/formats.md is the specification.
const (
	HeaderSize  = 256
	RecordSize  = 128
	ExpirySize  = 32
	RequestSize = 32
	OutcomeSize = 48

	MaxEvents   = 8190    // events (and, apart from them, expiries) in one block
	MaxBlock    = 2 << 20 // bytes in one block
	MaxReason   = 64      // bytes in the reason of a freeze
	NoAsset     = ^uint32(0)
	MaxTimeout  = ^uint32(0)
	maxTimeline = 1<<63 - 1
)

// MaxTimestamp is the largest valid timestamp in nanoseconds since 1970.
const MaxTimestamp uint64 = maxTimeline

// Kind tells what the events of a request are.
type Kind uint8

// The kinds of a request.
const (
	KindAccounts  Kind = 1
	KindTransfers Kind = 2
	KindAssets    Kind = 3
	KindFreeze    Kind = 4
	KindUnfreeze  Kind = 5
	KindLimits    Kind = 6

	// Since version 2 of the format.
	KindTransaction Kind = 7  // its first event is the head (a Transfer with TransferHead), then its legs
	KindDayClose    Kind = 8  // DayClose
	KindReopen      Kind = 9  // Reopen; only in a decision
	KindProposal    Kind = 10 // Proposal, with what is proposed attached
	KindDecision    Kind = 11 // its first event is a Decision, then, if it approves, what was proposed
	KindPolicy      Kind = 12 // Policy
	KindPrincipals  Kind = 13 // Principal, its scope attached; only in a decision
	KindMetadata    Kind = 14 // MetadataChange, the account's new metadata attached
	KindErasure     Kind = 15 // Erasure

	// Since version 3 of the format: the move of a bucket to another cell.
	KindCarry   Kind = 16 // records of transfers of another cell, with Details.Carried attached
	KindBuckets Kind = 17 // BucketMove
	KindGive    Kind = 18 // Handover; the ledger attaches what leaves
	KindTake    Kind = 19 // Handover, with what arrives attached

	lastKind           = KindTake
	lastKindOfVersion1 = KindLimits
	lastKindOfVersion2 = KindErasure
)

// Valid reports whether k is one of the kinds.
func (k Kind) Valid() bool { return k >= KindAccounts && k <= lastKind }

// Actor is who sent a request: the id of the token it was authorised with.
type Actor [16]byte

// AccountFlags are an account's flags.
type AccountFlags uint16

// The flags of an account.
const (
	AccountLinked AccountFlags = 1 << iota
	AccountDebitsMustNotExceedCredits
	AccountCreditsMustNotExceedDebits
	AccountHistory
	AccountImported
	AccountClosed

	AccountFlagsKnown = 1<<iota - 1

	// AccountMoved marks an account that went to another cell with its bucket, AccountTransit one of a cell's own,
	// through which transfers to and from other cells pass, AccountAttached one that has an attachment. The ledger's
	// own: callers neither set nor see them.
	AccountMoved    AccountFlags = 1 << 13
	AccountTransit  AccountFlags = 1 << 14
	AccountAttached AccountFlags = 1 << 15
)

// TransferFlags are a transfer's flags.
type TransferFlags uint16

// The flags of a transfer. KeepRemainder (on a post: the rest of the reservation stays pending) and Fence (on a void:
// an unknown pending id is burned) are ours.
const (
	TransferLinked TransferFlags = 1 << iota
	TransferPending
	TransferPost
	TransferVoid
	TransferBalancingDebit
	TransferBalancingCredit
	TransferClosingDebit
	TransferClosingCredit
	TransferImported
	TransferKeepRemainder
	TransferFence

	TransferFlagsKnown = 1<<iota - 1

	// TransferTransit marks the steps of a transfer across cells (see Transit), TransferHold those that reserve.
	// TransferHead marks the head of a transaction, TransferCycles one whose legs may lead back to where they began,
	// TransferAttached an event that has an attachment. The ledger's own: callers neither set nor see them.
	TransferTransit  TransferFlags = 1 << 11
	TransferHold     TransferFlags = 1 << 12
	TransferCycles   TransferFlags = 1 << 13
	TransferHead     TransferFlags = 1 << 14
	TransferAttached TransferFlags = 1 << 15
)

// Has reports whether any of the flags in mask is set.
func (f TransferFlags) Has(mask TransferFlags) bool { return f&mask != 0 }

// Has reports whether any of the flags in mask is set.
func (f AccountFlags) Has(mask AccountFlags) bool { return f&mask != 0 }

// Account is an account as it is asked for and as it is kept: 128 bytes, the layout of the format. In a request the
// balances and the timestamp are zero (but for an imported account's timestamp).
type Account struct {
	ID             money.U128
	DebitsPending  money.U128
	DebitsPosted   money.U128
	CreditsPending money.U128
	CreditsPosted  money.U128
	UserData128    money.U128
	UserData64     uint64
	UserData32     uint32
	Reserved       uint32
	Asset          uint32 // number in the catalogue of assets
	Code           uint16
	Flags          AccountFlags
	Timestamp      uint64 // ns since 1970
}

// Transfer is a transfer as it is asked for: 128 bytes, the layout of the format. Amount is 2^128-1 where a post
// means all that is pending and 0 where a void does. Timestamp is zero unless the transfer is imported.
type Transfer struct {
	ID          money.U128
	Debit       money.U128 // account id
	Credit      money.U128 // account id
	Amount      money.U128 // minor units
	PendingID   money.U128
	UserData128 money.U128
	UserData64  uint64
	UserData32  uint32
	Timeout     uint32 // seconds, pending transfers only
	Asset       uint32 // number in the catalogue of assets
	Code        uint16
	Flags       TransferFlags
	Timestamp   uint64 // ns since 1970
}

// Asset registers an asset: its number is the next free one, counted from 1.
type Asset struct {
	Code     [16]byte // padded with zeros
	Scale    uint8
	Reserved [111]byte
}

// Selector says what a freeze covers.
type Selector uint8

// What a freeze covers: one account, all transfers of one code, or the whole cell.
const (
	SelectAccount Selector = 1
	SelectCode    Selector = 2
	SelectCell    Selector = 3
)

// FreezeMode says which side of a transfer a freeze stops.
type FreezeMode uint8

// The sides a freeze stops; a mask.
const (
	FreezeDebit  FreezeMode = 1
	FreezeCredit FreezeMode = 2
	FreezeAll    FreezeMode = 3
)

// Freeze stops money until it is lifted. Void, expiry and the confirmation of transfers in transit pass all the same.
type Freeze struct {
	ID       money.U128 // chosen by the caller, makes the call idempotent
	Account  money.U128 // with SelectAccount
	Code     uint16     // with SelectCode
	Selector Selector
	Mode     FreezeMode
	_        [4]byte
	Reason   [64]byte // UTF-8, padded with zeros
	_        [24]byte
}

// Unfreeze lifts a freeze. The actor of its request must be another one than the freeze's.
type Unfreeze struct {
	ID       money.U128
	FreezeID money.U128
	_        [8]byte
	Reason   [64]byte // UTF-8, padded with zeros
	_        [24]byte
}

// Limit bounds what one side of an account may move in an hour and in a day (windows of the UTC calendar, by the
// events' timestamps). A zero means no bound. A limit replaces the one before it on the same side; reservations
// count when they are made, and posting, voiding or expiry give nothing back.
type Limit struct {
	ID         money.U128
	Account    money.U128
	HourAmount money.U128
	DayAmount  money.U128
	HourCount  uint32
	DayCount   uint32
	Side       FreezeMode // FreezeDebit or FreezeCredit
	_          [55]byte
}

// Expiry records that what was still pending of a transfer has been released.
type Expiry struct {
	Pending money.U128 // id of the pending transfer
	Amount  money.U128 // minor units released
}

// RequestEntry stands in a block's directory for one request: its events follow those of the entries before it.
type RequestEntry struct {
	Kind  Kind
	_     [3]byte
	Count uint32
	_     [8]byte
	Actor Actor
}

// Outcome tells what became of an event where that isn't the default: created, at block time plus index (or, when
// imported, at the time asked for), with the amount asked for. Every post and void that was created has one.
type Outcome struct {
	Event           uint32 // index among the block's events
	Status          Status
	_               [2]byte
	Timestamp       uint64 // ns; exists: the original's; other failures: time of validation
	Amount          money.U128
	PendingPosition Position // of the pending transfer that a post or void refers to
	_               [8]byte
}

// Result answers one event.
type Result struct {
	Status    Status
	Timestamp uint64 // ns
}

// Position names one event of one cell's journal for ever: block sequence number and index in the block, in 48 and
// 14 bits. Expiries have the first indices of a block, events the ones after. Positions order like timestamps.
type Position uint64

const indexBits = 14

// MaxSeq is the largest sequence number: 48 bits, so that a position leaves two bits to spare in a 64-bit word.
const MaxSeq = 1<<48 - 1

// ShadowCells is the first number of the cells of shadows, which have it in addition to a number of their own. As every
// block has the number, nothing of a shadow can be taken for a part of the ledger that it is the shadow of.
const ShadowCells = 1 << 31

// At returns the position of index in block seq.
func At(seq uint64, index int) Position { return Position(seq<<indexBits | uint64(index)) } //nolint:gosec // index < 2^14

// Seq is the block's sequence number.
func (p Position) Seq() uint64 { return uint64(p) >> indexBits }

// Index is the index in the block, counted from its first expiry.
func (p Position) Index() int { return int(p & (1<<indexBits - 1)) }

// Record is any of the types that are laid out like the format.
type Record interface {
	Account | Transfer | Asset | Freeze | Unfreeze | Limit | Expiry | RequestEntry | Outcome | attachmentEntry |
		DayClose | Reopen | Proposal | Decision | Policy | Principal | MetadataChange | Erasure | BucketMove | Handover
}

// View returns b as records without copying. b must be a whole number of records, aligned to 8 bytes (as buffers of
// this package and of make are); the records share its memory. Machines are little-endian, as the format is.
func View[T Record](b []byte) []T {
	var t T
	n := len(b) / int(unsafe.Sizeof(t))
	if n == 0 {
		return nil
	}
	p := unsafe.Pointer(unsafe.SliceData(b))
	if uintptr(p)%8 != 0 {
		panic("journal: view of unaligned bytes")
	}
	return unsafe.Slice((*T)(p), n)
}

// Bytes returns the memory of records without copying.
func Bytes[T Record](records []T) []byte {
	if len(records) == 0 {
		return nil
	}
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(records))), len(records)*int(unsafe.Sizeof(records[0])))
}

// Aligned returns b itself if its memory is aligned to 8 bytes, and otherwise a copy that is.
func Aligned(b []byte) []byte {
	if len(b) == 0 || uintptr(unsafe.Pointer(unsafe.SliceData(b)))%8 == 0 {
		return b
	}
	return append(make([]byte, 0, len(b)), b...)
}
