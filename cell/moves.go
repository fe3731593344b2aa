package cell

import (
	"context"
	"errors"
	"fmt"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/ledger"
	"github.com/sterlingrun/sterling/money"
)

// What moves of buckets answer: nothing was done, and no id was burned.
var (
	// ErrMoving: a bucket that the request touches is on its way to another cell. It can be sent again in a moment.
	ErrMoving = errors.New("a bucket is being moved to another cell")
	// ErrMoved: a bucket that the request touches is another cell's: see MovedError.
	ErrMoved = errors.New("a bucket is in another cell")
)

// MovedError says where a bucket went. It is ErrMoved.
type MovedError struct {
	Bucket uint16
	Cell   uint64
}

// Error implements error.
func (e *MovedError) Error() string { return fmt.Sprintf("bucket %d is in cell %d", e.Bucket, e.Cell) }

// Is makes it ErrMoved.
func (e *MovedError) Is(target error) bool { return target == ErrMoved }

func moveError(why ledger.Refusal) error {
	if why.Moved {
		return &MovedError{why.Bucket, why.Peer}
	}
	return fmt.Errorf("%w: bucket %d", ErrMoving, why.Bucket)
}

// away tells whether an account can't be read here, because its bucket moves or has moved; nil where it can.
func away(s *ledger.State, ids ...money.U128) error {
	for _, id := range ids {
		if why, refused := s.Unreadable(id); refused {
			return moveError(why)
		}
	}
	return nil
}

// Fact returns the event at p, as the move of a bucket carries it: see ledger.CarryOf. It reads the log and nothing else:
// p must be of a durable block.
func (c *Cell) Fact(ctx context.Context, p journal.Position) (ledger.Fact, error) {
	return c.fact(ctx, p)
}

// here reports whether the account is this cell's.
func here(a *journal.Account) bool { return !a.Flags.Has(journal.AccountMoved) }
