package journal

import (
	"encoding/binary"

	"github.com/sterlingrun/sterling/money"
)

// BucketStep is a step of the move of a bucket from one cell, the giver, to another, the taker.
type BucketStep uint8

// The steps, in the order they are made: the ids of the bucket are carried before, and between closing and given.
const (
	BucketClose  BucketStep = 1 // giver: nothing new happens in the bucket from here on
	BucketCancel BucketStep = 2 // giver: the move is called off, as long as nothing was given; then the taker, likewise
	BucketGiven  BucketStep = 3 // giver: all was given; the bucket is the taker's
	BucketArrive BucketStep = 4 // taker: what is given will be taken
	BucketTaken  BucketStep = 5 // taker: all was taken; the bucket is open again
	BucketGone   BucketStep = 6 // giver: the map of cells says so, and nobody sends the giver anything for the bucket
)

// BucketMove is a step of a move. Accounts, Reservations and Digest stand in BucketGiven and BucketTaken: how many were
// handed over, and the sum of their digests, as docs/formats.md has them.
type BucketMove struct {
	ID           money.U128 // of the move
	Peer         uint64     // the other cell
	Version      uint64     // of the map of cells that comes of the move: it rises from one move of a bucket to the next
	Accounts     uint64
	Reservations uint64
	Digest       money.U128
	Bucket       uint16
	Step         BucketStep
	_            [61]byte
}

// Handover is one account that leaves a cell or arrives in one. What there is to know of it is attached: by the giver's
// ledger, and the same bytes where it is taken. Open reservations leave and arrive as records of KindCarry.
type Handover struct {
	Move     money.U128 // id of the move
	Account  money.U128
	Clearing money.U128 // the account for clearing with the other cell
	_        [70]byte
	Flags    TransferFlags // TransferAttached, where a transfer's flags stand; none where the ledger attaches
	_        [8]byte
}

// Carried is what an attachment says of a transfer, or another event with an id, that happened in another cell: what
// became of it there. The record that it is attached to is as it stands in the journal of that cell.
type Carried struct {
	Status    Status     // Created, or one that burned the id
	Standing  Standing   // of a reservation
	Timestamp uint64     // ns
	Amount    money.U128 // what moved or was reserved, minor units; 0 where it failed
	Remaining money.U128 // of a reservation that is handed over: what is still reserved, minor units; else 0
}

// Standing is what has become of a reservation.
type Standing uint8

// The standings. The last three hand over a reservation that is open. Its records are a group, which is made whole or not
// at all: the reservation alone; or, of a transfer across cells, its hold alone, or its marker and the transfer. The giver
// has one more: marker, transfer and hold of a reservation that is split, because one of its accounts stays.
const (
	StandingOpen    Standing = 0 // it is open in another cell, or it is no reservation
	StandingPosted  Standing = 1
	StandingVoided  Standing = 2
	StandingExpired Standing = 3
	StandingArrives Standing = 4 // taker: from here on it is open here
	StandingLeaves  Standing = 5 // giver: from here on it is open in the other cell
	StandingStays   Standing = 6 // giver: the half of a reservation that is split which stays open here
)

const carriedSize = 2 + 1 + 8 + 2*16

// CarriedField is how many bytes a Carried adds to an attachment.
const CarriedField = 1 + 4 + carriedSize

func (c *Carried) append(dst []byte) []byte {
	le := binary.LittleEndian
	dst = append(le.AppendUint16(dst, uint16(c.Status)), byte(c.Standing))
	dst = le.AppendUint64(dst, c.Timestamp)
	dst = le.AppendUint64(le.AppendUint64(dst, c.Amount.Lo), c.Amount.Hi)
	return le.AppendUint64(le.AppendUint64(dst, c.Remaining.Lo), c.Remaining.Hi)
}

// readCarried reads carriedSize bytes.
func readCarried(b []byte) Carried {
	le := binary.LittleEndian
	return Carried{
		Status: Status(le.Uint16(b)), Standing: Standing(b[2]), Timestamp: le.Uint64(b[3:]), Amount: money.LE(b[11:]), Remaining: money.LE(b[27:]),
	}
}

func (c *Carried) valid() bool {
	burned := c.Status.Transient() && c.Amount.IsZero() && c.Standing == StandingOpen
	return (c.Status == Created || burned) && c.Standing <= StandingStays && c.Timestamp > 0 && c.Timestamp <= MaxTimestamp &&
		!c.Amount.Less(c.Remaining) && (c.Standing >= StandingArrives || c.Remaining.IsZero())
}

// CarriedOf splits an attachment that was checked in what it says of an event in another cell, which comes last, and
// what was attached to that event there, nil for nothing. Of one that was not checked it may return anything.
func CarriedOf(attachment []byte) (c Carried, original []byte, ok bool) {
	for at := 0; len(attachment)-at >= 5; {
		tag, n := attachment[at], binary.LittleEndian.Uint32(attachment[at+1:])
		if uint64(n) > uint64(len(attachment)-at-5) { //nolint:gosec // not negative
			break
		}
		if tag == fieldCarried && n == carriedSize {
			if at > 0 {
				original = attachment[:at:at]
			}
			return readCarried(attachment[at+5:]), original, true
		}
		at += 5 + int(n)
	}
	return Carried{}, attachment, false
}

// AppendCarried appends to what was attached to an event in another cell what became of the event there.
func AppendCarried(original []byte, c Carried) []byte {
	b := append(make([]byte, 0, len(original)+CarriedField), original...)
	b = binary.LittleEndian.AppendUint32(append(b, fieldCarried), carriedSize)
	return c.append(b)
}

// AskedOf returns what of an attachment that was checked is the caller's: without what the cells say of it to each other,
// which comes last. Of one that was not checked it may return anything.
func AskedOf(attachment []byte) []byte {
	for at := 0; len(attachment)-at >= 5; {
		if attachment[at] >= fieldTransit {
			return attachment[:at:at]
		}
		n := binary.LittleEndian.Uint32(attachment[at+1:])
		if uint64(n) > uint64(len(attachment)-at-5) { //nolint:gosec // not negative
			break
		}
		at += 5 + int(n)
	}
	return attachment
}
