package transit

import (
	"errors"
	"fmt"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/money"
)

// ErrNotOurs is a reservation that is neither a reserve nor a marker.
var ErrNotOurs = errors.New("no reservation that a transfer across cells goes on from")

// Todo is what an open attempt waits for.
type Todo int

// What is to be done.
const (
	Decide Todo = iota + 1 // hold, then commit or abort
	Wait                   // the transfer is pending: ask again once it has ended
	Finish                 // confirm with what was posted, then settle
)

// Open is a reservation that is open at home, as the ledger has it.
type Open struct {
	Record   journal.Transfer // as it is kept
	Attached []byte
	Ended    bool       // of a marker that commits: the transfer has ended
	Posted   money.U128 // and so much of it was posted
}

// Resumed is an attempt to go on with. A committed one knows of what the caller asked for only what the rest needs.
type Resumed struct {
	Attempt
	Todo   Todo
	Posted money.U128     // with Finish
	Status journal.Status // with Finish: Created, or what the transfer was refused with; 0: refused for now
}

// Resume tells from a reserve or a marker how to go on with its attempt: after a crash, this is all there is to know. A
// hold, which is the other cell's to end, and any reservation of another kind is ErrNotOurs.
func Resume(home uint64, a money.Asset, o *Open) (Resumed, error) {
	d, err := journal.DecodeDetails(o.Attached)
	if err != nil {
		return Resumed{}, fmt.Errorf("read what is attached to reservation %v: %w", o.Record.ID, err)
	}
	x := d.Transit
	if x == nil || x.Step != journal.TransitReserve && x.Step != journal.TransitMarker {
		return Resumed{}, fmt.Errorf("reservation %v: %w", o.Record.ID, ErrNotOurs)
	}
	asked := o.Record
	asked.ID, asked.Debit, asked.Credit, asked.PendingID = x.Transfer, x.Debit, x.Credit, money.U128{}
	asked.Flags, asked.Timeout, asked.Timestamp = x.Flags, x.Timeout, 0
	r := Resumed{Attempt: Attempt{
		Asked: asked, Date: d.BookingDate, Metadata: d.Metadata, Asset: a, Home: home, Peer: x.Peer, Reserve: x.Reserve,
	}}
	switch {
	case x.Step == journal.TransitReserve:
		r.Todo = Decide
	case x.Status == journal.Created && !o.Ended:
		r.Todo = Wait
	default:
		r.Todo, r.Posted, r.Status = Finish, o.Posted, x.Status
	}
	return r, nil
}

// Decision is what the results of a commit or an abort mean.
type Decision int

// What a decision came to.
const (
	Made    Decision = iota + 1 // as it was sent
	Before                      // there was one already: the marker says which
	Refused                     // there is none yet: abort with the status
)

// Decided reads the results of a commit or an abort; the status goes with Refused.
func Decided(results []journal.Result) (Decision, journal.Status) {
	for i, r := range results {
		switch {
		case r.Status == journal.Created || r.Status == journal.TransferLinkedEventFailed:
		case i == 0: // the reserve is not open any more
			return Before, 0
		default:
			return Refused, r.Status
		}
	}
	return Made, 0
}

// Held reports whether the result of a hold means that the peer holds the money. Any other status refuses the transfer.
func Held(status journal.Status) bool {
	return status == journal.Created || status == journal.TransferExists
}

// Confirmation is what the result of a confirmation means.
type Confirmation int

// What a confirmation came to.
const (
	Done      Confirmation = iota + 1 // the peer knows: settle
	SendPlain                         // the peer's books of that day are closed: send it without the date
	Wrong                             // it can't be: the cells contradict each other
)

// Confirmed reads the result of a confirmation with posted.
func Confirmed(status journal.Status, posted money.U128) Confirmation {
	switch status {
	case journal.Created, journal.TransferExists, journal.TransferExistsWithDifferentBookingDate:
		return Done
	case journal.TransferPendingTransferNotFound, journal.TransferPendingTransferNotPending, journal.TransferPendingTransferAlreadyVoided:
		// nothing is held, and nothing will be: the hold's id is burned, or something else has it
		if posted.IsZero() {
			return Done
		}
	case journal.TransferPendingTransferAlreadyPosted: // with another id
		if !posted.IsZero() {
			return Done
		}
	case journal.TransferBookingDayClosed, journal.TransferBookingDateOutOfRange:
		return SendPlain
	}
	return Wrong
}

// Settled is Confirmed for the settlement of an attempt.
func Settled(status journal.Status, posted money.U128) Confirmation {
	switch status {
	case journal.TransferPendingTransferNotFound, journal.TransferPendingTransferNotPending, journal.TransferExistsWithDifferentBookingDate,
		journal.TransferBookingDayClosed, journal.TransferBookingDateOutOfRange:
		return Wrong
	}
	return Confirmed(status, posted)
}
