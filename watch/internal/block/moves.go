package block

import (
	"crypto/sha256"
	"encoding/binary"

	"github.com/sterlingrun/sterling/watch/internal/count"
)

// Buckets is how many buckets there are.
const Buckets = 1024

// Bucket is the bucket of an account, by its id.
func Bucket(id *count.ID) uint16 {
	lo, hi := binary.LittleEndian.Uint64(id[:8]), binary.LittleEndian.Uint64(id[8:])
	x := lo ^ hi*0x9E3779B97F4A7C15
	x = (x ^ x>>30) * 0xBF58476D1CE4E5B9
	x = (x ^ x>>27) * 0x94D049BB133111EB
	return uint16((x ^ x>>31) >> 54)
}

// MoveStep is a step of the move of a bucket from one cell, the giver, to another, the taker.
type MoveStep uint8

// The steps, by their numbers in the format.
const (
	MoveClose  MoveStep = 1 // giver
	MoveCancel MoveStep = 2 // giver; then the taker
	MoveGiven  MoveStep = 3 // giver
	MoveArrive MoveStep = 4 // taker
	MoveTaken  MoveStep = 5 // taker
	MoveGone   MoveStep = 6 // giver
)

// Move is a step of a move, as it is recorded.
type Move struct {
	ID                     count.ID
	Peer, Version          uint64
	Accounts, Reservations uint64 // of given and taken, and the sum of the digests of what was handed over
	Digest                 count.Amount
	Bucket                 uint16
	Step                   MoveStep
}

// Move reads the record as a step of a move.
func (r *Record) Move() Move {
	return Move{
		ID: r.ID(0), Peer: r.U64(16), Version: r.U64(24), Accounts: r.U64(32), Reservations: r.U64(40), Digest: r.Amount(48),
		Bucket: r.U16(64), Step: MoveStep(r[66]),
	}
}

// Handover is an account that is handed over, as it is recorded.
type Handover struct{ Move, Account, Clearing count.ID }

// Handover reads the record as a handover.
func (r *Record) Handover() Handover {
	return Handover{r.ID(0), r.ID(16), r.ID(32)}
}

// HandoverDigest is what a handover adds to the digest of its move: of kind 'a' with what is attached, of kind 'r' with
// what remains.
func HandoverDigest(kind byte, id count.ID, data []byte) count.Amount {
	h := sha256.New()
	_, _ = h.Write(append([]byte{kind}, id[:]...)) // a hash never fails
	_, _ = h.Write(data)
	return amountAt(h.Sum(nil))
}

// Standings of a reservation that was carried: the last three hand over one that is open.
const (
	StandsOpen = 0 // elsewhere, or it is none
	Arrives    = 4 // taker: from here on it is open here
	Leaves     = 5 // giver: from here on it is open in the other cell
	Stays      = 6 // giver: the half of one that is split which stays open here
)

// Carried is what an attachment says of an event that happened in another cell. Time is in ns, amounts in minor units.
type Carried struct {
	Status            uint16
	Standing          uint8
	Time              uint64
	Amount, Remaining count.Amount
}

const carriedSize = 2 + 1 + 8 + 2*16

func readCarried(b []byte) Carried {
	return Carried{binary.LittleEndian.Uint16(b), b[2], binary.LittleEndian.Uint64(b[3:]), amountAt(b[11:]), amountAt(b[27:])}
}

func validCarried(v []byte) bool {
	if len(v) != carriedSize {
		return false
	}
	c := readCarried(v)
	return c.Status != 0 && (c.Status == Created || c.Amount.IsZero() && c.Standing == StandsOpen) && c.Standing <= Stays &&
		c.Time > 0 && c.Time <= MaxTimestamp && c.Amount.Compare(c.Remaining) >= 0 && (c.Standing >= Arrives || c.Remaining.IsZero())
}

// CarriedOf returns what an attachment says of an event of another cell; ok is false where it says nothing.
func CarriedOf(data []byte) (c Carried, ok bool) {
	for len(data) > 0 {
		f, rest, ok := nextField(data)
		if !ok {
			break
		}
		if f.tag == fieldCarried && len(f.value) == carriedSize {
			return readCarried(f.value), true
		}
		data = rest
	}
	return c, false
}

// Sizes of what an account takes along, in bytes.
const (
	belongingsHead = EventSize + 16 + 1 + 16 + 3*4
	windowSize     = 8 + 16 + 4
	limitSize      = EventSize + 2*windowSize
	limitRecord    = EventSize + 16 + 8
	freezeSize     = EventSize + 16 + 8 + 1 + 16 + 16 + 8 + 64
)

// Belongings are views into what an account takes along when it is handed over.
type Belongings struct {
	Account *Account
	Code    [16]byte // of its asset
	Scale   uint8

	limits, freezes []byte
}

// Window is what was counted for a limit since a moment, ns.
type Window struct {
	Start  uint64
	Amount count.Amount
	Times  uint32
}

// BelongingsOf reads what is attached to a handover; ok is false where that is malformed.
func BelongingsOf(data []byte) (g Belongings, ok bool) {
	b := Payload(data)
	if len(b) < belongingsHead {
		return g, false
	}
	le := binary.LittleEndian
	limits, records, freezes := uint64(le.Uint32(b[161:])), uint64(le.Uint32(b[165:])), uint64(le.Uint32(b[169:]))
	if limits > 2 || limits*limitSize+records*limitRecord+freezes*freezeSize != uint64(len(b)-belongingsHead) { //nolint:gosec // not negative
		return g, false
	}
	rest := b[belongingsHead:]
	g = Belongings{Account: (*Account)(b), Code: [16]byte(b[128:]), Scale: b[144]}
	g.limits, g.freezes = rest[:limits*limitSize], rest[limits*limitSize+records*limitRecord:]
	return g, true
}

// Limits is how many limits are in force.
func (g *Belongings) Limits() int { return len(g.limits) / limitSize }

// Limit returns the record of a limit in force, and what was counted for it in its hour and its day.
func (g *Belongings) Limit(i int) (r *Record, hour, day Window) {
	b := g.limits[i*limitSize:][:limitSize]
	return (*Record)(b), readWindow(b[EventSize:]), readWindow(b[EventSize+windowSize:])
}

func readWindow(b []byte) Window {
	return Window{binary.LittleEndian.Uint64(b), amountAt(b[8:]), binary.LittleEndian.Uint32(b[24:])}
}

// Freezes is how many freezes there ever were.
func (g *Belongings) Freezes() int { return len(g.freezes) / freezeSize }

// Freeze returns the record of a freeze, and whether it is in force no more.
func (g *Belongings) Freeze(i int) (r *Record, lifted bool) {
	b := g.freezes[i*freezeSize:][:freezeSize]
	return (*Record)(b), b[EventSize+16+8] != 0
}

// Balance returns one of the account's sums, at its offset in the record.
func (a *Account) Balance(at int) count.Amount { return amountAt(a[at:]) }

// Offsets of an account's sums.
const (
	DebitsPendingAt  = 16
	DebitsPostedAt   = 32
	CreditsPendingAt = 48
	CreditsPostedAt  = 64
)

// Own reports whether an account is the cell's own, and so in no bucket: those that stand for another account are not.
func (a *Account) Own() bool {
	return a.Flags()&TransitAccount != 0 && zero(a[80:96])
}
