package journal

import (
	"encoding/binary"

	"github.com/sterlingrun/sterling/money"
)

// Buckets is how many buckets the accounts of all cells are divided into.
const Buckets = 1024

// Bucket returns the bucket of an account, 0 to Buckets-1. The formula is part of the format: docs/formats.md.
func Bucket(id money.U128) uint16 {
	x := id.Lo ^ id.Hi*0x9E3779B97F4A7C15
	x = (x ^ x>>30) * 0xBF58476D1CE4E5B9
	x = (x ^ x>>27) * 0x94D049BB133111EB
	return uint16((x ^ x>>31) >> 54)
}

// Own reports whether an id is one of those that are kept for a ledger's own events and accounts: 2^128 - 2^96 and above.
// Callers' ids are never there, so nobody can take one before the ledger does.
func Own(id money.U128) bool { return id.Hi>>32 == 1<<32-1 }

// MakeOwn makes an id one of those, by its upper 32 bits.
func MakeOwn(id money.U128) money.U128 {
	id.Hi |= (1<<32 - 1) << 32
	if id.IsMax() { // no id; nobody will ever see it
		id.Lo--
	}
	return id
}

// TransitStep says what an event does for a transfer across cells. Home is the cell that owns the transfer's debit
// account; the other one is the peer.
type TransitStep uint8

// The steps, in the order they are made. A commit is a chain of decide, marker and transfer; an abort one of decide and
// marker.
const (
	TransitReserve  TransitStep = 1 // home: pending, debit account → in transit
	TransitHold     TransitStep = 2 // peer: pending, clearing with home → credit account
	TransitDecide   TransitStep = 3 // home: void of the reserve
	TransitMarker   TransitStep = 4 // home: pending, in transit → clearing with the peer
	TransitTransfer TransitStep = 5 // home: the transfer itself, debit account → in transit
	TransitConfirm  TransitStep = 6 // peer: post or void of the hold
	TransitSettle   TransitStep = 7 // home: post or void of the marker
	TransitEnd      TransitStep = 8 // home: the caller's post or void of the transfer, where that is pending
)

// Transit is what each event of a transfer across cells says of the transfer, so that any of them is enough to go on
// with it.
type Transit struct {
	Transfer money.U128    // id of the transfer
	Reserve  money.U128    // id of the attempt's reserve, from which the ids of its other steps are derived
	Debit    money.U128    // the transfer's own accounts: one of them lies in the other cell
	Credit   money.U128    //
	Peer     uint64        // the other cell: of the hold and the confirm that is home
	Timeout  uint32        // the transfer's, in seconds
	Flags    TransferFlags // the transfer's as asked for: none, or TransferPending
	Status   Status        // of a marker: Created commits, any other refuses with it, 0 refuses for now; else 0
	Step     TransitStep
}

const transitSize = 4*16 + 8 + 4 + 2 + 2 + 1

// TransitField is how many bytes a Transit adds to an attachment.
const TransitField = 1 + 4 + transitSize

func (t *Transit) append(dst []byte) []byte {
	le := binary.LittleEndian
	for _, id := range [4]money.U128{t.Transfer, t.Reserve, t.Debit, t.Credit} {
		dst = le.AppendUint64(le.AppendUint64(dst, id.Lo), id.Hi)
	}
	dst = le.AppendUint32(le.AppendUint64(dst, t.Peer), t.Timeout)
	dst = le.AppendUint16(le.AppendUint16(dst, uint16(t.Flags)), uint16(t.Status))
	return append(dst, byte(t.Step))
}

// readTransit reads transitSize bytes.
func readTransit(b []byte) Transit {
	le := binary.LittleEndian
	return Transit{
		Transfer: money.LE(b), Reserve: money.LE(b[16:]), Debit: money.LE(b[32:]), Credit: money.LE(b[48:]), Peer: le.Uint64(b[64:]),
		Timeout: le.Uint32(b[72:]), Flags: TransferFlags(le.Uint16(b[76:])), Status: Status(le.Uint16(b[78:])), Step: TransitStep(b[80]),
	}
}

// valid reports whether t is of a step, and of a transfer that can cross cells. That its ids exist is not known here.
func (t *Transit) valid() bool {
	return t.Step >= TransitReserve && t.Step <= TransitEnd && !t.Transfer.IsZero() && !t.Reserve.IsZero() &&
		t.Flags&^TransferPending == 0 && (t.Flags != 0 || t.Timeout == 0) && (t.Status == 0 || t.Step == TransitMarker)
}

// AppendTransit appends to what a caller attached what the event says of a transfer across cells.
func AppendTransit(asked []byte, t *Transit) []byte {
	b := append(make([]byte, 0, len(asked)+TransitField), asked...)
	b = binary.LittleEndian.AppendUint32(append(b, fieldTransit), transitSize)
	return t.append(b)
}

// TransitOf returns what an attachment that was checked says of a transfer across cells, without reading the rest of it.
// Of one that was not checked it may return anything.
func TransitOf(attachment []byte) (t Transit, ok bool) {
	for b := attachment; len(b) >= 5; {
		tag, n := b[0], binary.LittleEndian.Uint32(b[1:])
		if b = b[5:]; uint64(n) > uint64(len(b)) {
			break
		}
		if tag == fieldTransit && n == transitSize {
			return readTransit(b), true
		}
		b = b[n:]
	}
	return Transit{}, false
}
