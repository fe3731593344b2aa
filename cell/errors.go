package cell

import "errors"

// What Do and the reads return, wrapped with details. ErrOutcomeUnknown and ErrFull of the log come through too.
var (
	// ErrStopped: the cell is shutting down or has stopped on a fault. What was sent may or may not have happened.
	ErrStopped = errors.New("the cell has stopped")
	// ErrTooLarge: more events than one request may have (journal.MaxEvents).
	ErrTooLarge = errors.New("too many events in one request")
	// ErrClockHeld: the machine's clock jumped forward; no writes until an operator accepts it.
	ErrClockHeld = errors.New("writes are held: the clock jumped forward")
	// ErrOverloaded: the queue is full; nothing was done.
	ErrOverloaded = errors.New("the cell's queue is full")
	// ErrInTransit: a transfer of the request closes an account on which a transfer across cells is open; nothing was done.
	// It can be sent again: transfers across cells end soon, those that are pending when they are posted, voided or expire.
	ErrInTransit = errors.New("an account to close has transfers across cells that are open")
)

// ErrNotLeader says that another node leads the cell; nothing was done.
var ErrNotLeader = errors.New("this node does not lead the cell")

// ErrUnsure says that the journal's answers get lost, one after the other: what was decided is in doubt, and the cell
// stops. It can be opened again.
var ErrUnsure = errors.New("the journal's answers get lost")

// ErrHalfway says that the journal could not be read in the middle of a block: a standby that was at it is of no more
// use, and must be opened anew. Nothing is wrong with the journal.
var ErrHalfway = errors.New("a block was replayed in part")

// ErrDeposed says that the node led, and leads no more.
var ErrDeposed = errors.New("another node leads the cell")

// NotLeaderError says who leads. It is ErrNotLeader.
type NotLeaderError struct {
	Leader string // host:port of its API; empty: nobody is known to lead at the moment
}

// Error implements error.
func (e *NotLeaderError) Error() string {
	if e.Leader == "" {
		return ErrNotLeader.Error() + ", and nobody does at the moment: try again"
	}
	return ErrNotLeader.Error() + ": " + e.Leader + " does"
}

// Is makes it ErrNotLeader.
func (e *NotLeaderError) Is(target error) bool { return target == ErrNotLeader }
