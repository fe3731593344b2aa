package block

import (
	"encoding/binary"

	"github.com/sterlingrun/sterling/watch/internal/count"
)

// Kind says what a request's events are.
type Kind uint8

// The kinds of requests.
const (
	Accounts Kind = 1 + iota
	Transfers
	Assets
	Freezes
	Unfreezes
	Limits
	Transactions
	DayCloses
	Reopens
	Proposals
	Decisions
	Policies
	Principals
	Metadata
	Erasure
	Carries // events of other cells; since version 3, as the kinds after it
	Moves
	Gives
	Takes
)

// Flags of an account.
const (
	Linked                    = 1 // of transfers, too
	DebitsMustNotExceedCredit = 2
	CreditsMustNotExceedDebit = 4
	ImportedAccount           = 16
	Closed                    = 32
	MovedAccount              = 1 << 13 // gone to another cell; never in a block
	TransitAccount            = 1 << 14 // in transit between cells, or clearing with one
	Attached                  = 1 << 15 // of transfers, too
)

// Flags of a transfer.
const (
	Pending         = 2
	Post            = 4
	Void            = 8
	BalancingDebit  = 16
	BalancingCredit = 32
	ClosingDebit    = 64
	ClosingCredit   = 128
	Imported        = 256
	KeepRemainder   = 512
	Fence           = 1024
	TransferFlags   = 1<<11 - 1 // all that callers may set
	Across          = 1 << 11   // a step of a transfer across cells
	Hold            = 1 << 12   // and ended by a step of it only
	Cycles          = 1 << 13
	Head            = 1 << 14
)

// Transfer is the record of a transfer, or of a transaction's head.
type Transfer [EventSize]byte

// Account is the record of an account.
type Account [EventSize]byte

// Record is any event.
type Record [EventSize]byte

// Transfer returns event i as a transfer.
func (b *Block) Transfer(i int) *Transfer { return (*Transfer)(b.events[i*EventSize:]) }

// Account returns event i as an account.
func (b *Block) Account(i int) *Account { return (*Account)(b.events[i*EventSize:]) }

// Record returns event i.
func (b *Block) Record(i int) *Record { return (*Record)(b.events[i*EventSize:]) }

// ID is the transfer's.
func (t *Transfer) ID() count.ID { return count.ID(t[:16]) }

// Debit is the id of the account that is debited.
func (t *Transfer) Debit() count.ID { return count.ID(t[16:32]) }

// Credit is the id of the account that is credited.
func (t *Transfer) Credit() count.ID { return count.ID(t[32:48]) }

// Amount is what was asked for, minor units.
func (t *Transfer) Amount() count.Amount { return amountAt(t[48:]) }

// PendingID is the reservation of a post or void.
func (t *Transfer) PendingID() count.ID { return count.ID(t[64:80]) }

// UserData128 is the caller's.
func (t *Transfer) UserData128() count.ID { return count.ID(t[80:96]) }

// UserData64 is the caller's.
func (t *Transfer) UserData64() uint64 { return binary.LittleEndian.Uint64(t[96:]) }

// UserData32 is the caller's.
func (t *Transfer) UserData32() uint32 { return binary.LittleEndian.Uint32(t[104:]) }

// Timeout is in seconds; of a transaction's head it is the number of legs.
func (t *Transfer) Timeout() uint32 { return binary.LittleEndian.Uint32(t[108:]) }

// Asset is a number of the catalogue.
func (t *Transfer) Asset() uint32 { return binary.LittleEndian.Uint32(t[112:]) }

// Code is the kind of transfer.
func (t *Transfer) Code() uint16 { return binary.LittleEndian.Uint16(t[116:]) }

// Flags are the bits of the format.
func (t *Transfer) Flags() uint16 { return binary.LittleEndian.Uint16(t[118:]) }

// Timestamp is an imported transfer's own time, ns.
func (t *Transfer) Timestamp() uint64 { return binary.LittleEndian.Uint64(t[120:]) }

// ID is the account's.
func (a *Account) ID() count.ID { return count.ID(a[:16]) }

// Asset is a number of the catalogue.
func (a *Account) Asset() uint32 { return binary.LittleEndian.Uint32(a[112:]) }

// Code is the kind of account.
func (a *Account) Code() uint16 { return binary.LittleEndian.Uint16(a[116:]) }

// Flags are the bits of the format.
func (a *Account) Flags() uint16 { return binary.LittleEndian.Uint16(a[118:]) }

// Timestamp is an imported account's own time, ns.
func (a *Account) Timestamp() uint64 { return binary.LittleEndian.Uint64(a[120:]) }

// ID returns the id at an offset of the record: 0 is the event's own.
func (r *Record) ID(at int) count.ID { return count.ID(r[at : at+16]) }

// Amount returns the u128 at an offset.
func (r *Record) Amount(at int) count.Amount { return amountAt(r[at:]) }

// U64 returns the number at an offset.
func (r *Record) U64(at int) uint64 { return binary.LittleEndian.Uint64(r[at:]) }

// U32 returns the number at an offset.
func (r *Record) U32(at int) uint32 { return binary.LittleEndian.Uint32(r[at:]) }

// U16 returns the number at an offset.
func (r *Record) U16(at int) uint16 { return binary.LittleEndian.Uint16(r[at:]) }

// Part is a run of events of one kind in a request.
type Part struct {
	Kind     Kind
	First    int // event of the block
	Count    int
	Approved bool // it is what a decision carries
}

// Verdicts of a decision.
const (
	Approve = 1
	Reject  = 2
)

// Parts appends the parts of a request whose events begin with event first. Whatever the page says of heads and what
// they are the heads of is checked but the digest of legs: see CheckLegs.
func (b *Block) Parts(r Request, first int, dst []Part) ([]Part, error) {
	return b.parts(r.Kind, first, int(r.Count), false, dst)
}

func (b *Block) parts(kind Kind, first, n int, approved bool, dst []Part) ([]Part, error) {
	switch kind {
	case Transactions:
		if n < 2 || int64(b.Transfer(first).Timeout()) != int64(n-1) {
			return dst, b.fault(Requests, "a transaction of %d legs has %d", b.Transfer(first).Timeout(), n-1)
		}
		return append(dst, Part{Transactions, first, 1, approved}, Part{Transfers, first + 1, n - 1, approved}), nil
	case Decisions:
		d := b.Record(first)
		inner, verdict := Kind(d[32]), d[33]
		dst = append(dst, Part{Decisions, first, 1, false})
		switch {
		case verdict == Reject && n == 1:
			return dst, nil
		case verdict != Approve || n == 1 || !proposable(inner):
			return dst, b.fault(Requests, "a decision with verdict %d and %d events of kind %d", verdict, n-1, inner)
		}
		return b.parts(inner, first+1, n-1, true, dst)
	}
	return append(dst, Part{kind, first, n, approved}), nil
}

// proposable are the kinds that a decision may carry.
func proposable(k Kind) bool {
	switch k {
	case Accounts, Transfers, Transactions, Unfreezes, Reopens, Policies, Principals:
		return true
	}
	return false
}
