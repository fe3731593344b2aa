package block

import (
	"encoding/binary"

	"github.com/sterlingrun/sterling/watch/internal/count"
)

// Step says what an event does for a transfer across cells. The home cell owns the debit account and decides; the peer
// owns the credit account.
type Step uint8

// The steps, by their numbers in the format. Reserve, hold and marker open a reservation; decide, confirm and settle end
// it.
const (
	StepReserve  Step = 1 // home: debit account → in transit
	StepHold     Step = 2 // peer: clearing with home → credit account
	StepDecide   Step = 3 // home: void of the reserve
	StepMarker   Step = 4 // home: in transit → clearing with the peer
	StepTransfer Step = 5 // home: the transfer itself, debit account → in transit
	StepConfirm  Step = 6 // peer: post or void of the hold
	StepSettle   Step = 7 // home: post or void of the marker
	StepEnd      Step = 8 // home: the caller's post or void of the transfer, which was pending
)

// Transit is what an event says of the transfer across cells that it is a step of.
type Transit struct {
	Transfer, Reserve count.ID // Reserve: of the attempt
	Debit, Credit     count.ID // the transfer's own
	Peer              uint64   // the other cell
	Timeout           uint32   // the transfer's, seconds
	Flags             uint16   // the transfer's: 0 or Pending
	Status            uint16   // of a marker: Created commits; any other refuses
	Step              Step
}

const transitSize = 4*16 + 8 + 4 + 2 + 2 + 1

func readTransit(b []byte) Transit {
	le := binary.LittleEndian
	return Transit{
		Transfer: count.ID(b[:16]), Reserve: count.ID(b[16:32]), Debit: count.ID(b[32:48]), Credit: count.ID(b[48:64]), Peer: le.Uint64(b[64:]),
		Timeout: le.Uint32(b[72:]), Flags: le.Uint16(b[76:]), Status: le.Uint16(b[78:]), Step: Step(b[80]),
	}
}

func validTransit(v []byte) bool {
	if len(v) != transitSize {
		return false
	}
	t := readTransit(v)
	return t.Step >= StepReserve && t.Step <= StepEnd && !t.Transfer.IsZero() && !t.Reserve.IsZero() &&
		t.Flags&^Pending == 0 && (t.Flags != 0 || t.Timeout == 0) && (t.Status == 0 || t.Step == StepMarker)
}

// TransitOf returns what an attachment says of a transfer across cells; ok is false where it says nothing. What else it
// says is not looked at: see CheckDetails.
func TransitOf(data []byte) (t Transit, ok bool) {
	for len(data) >= 5 {
		tag, n := data[0], binary.LittleEndian.Uint32(data[1:])
		if data = data[5:]; uint64(n) > uint64(len(data)) {
			break
		}
		if tag == fieldTransit && n == transitSize {
			return readTransit(data), true
		}
		data = data[n:]
	}
	return t, false
}
