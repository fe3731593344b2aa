package readmodel

import (
	"context"
	"errors"
	"fmt"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/money"
)

// Version is that of the projection: what is derived from blocks, and how. Tables of an older version are emptied and
// built anew. It is not that of the schema, which the migrations of each engine have.
const Version = 1

// Rules is the newest version of the ledger's rules whose blocks the projection understands.
const Rules = 3

// Target is a database with the tables. Implementations pass the suite readmodeltest. One goroutine uses it; others may
// project the same cell into the same tables at the same time, and then one of them gets ErrMoved.
type Target interface {
	// Position returns where the tables of a cell stand: with Seq 0 where nothing was projected.
	Position(ctx context.Context, cell uint64) (Position, error)
	// Apply changes the tables in one transaction. In it, it takes hold of the cell's position, which must be c.From
	// (otherwise ErrMoved), finds the reservations that are asked for, lets Complete make the batch of them, writes all
	// rows, and moves the position to the batch's To. An error of Complete is returned and nothing is written. After any
	// other error it is unknown whether the batch was written: Position tells. ErrTables: rows are missing that earlier
	// batches wrote.
	Apply(ctx context.Context, c *Change) error
	// Reset deletes all rows of a cell, a bounded number in each transaction, so that Position returns Seq 0. Cut short, it
	// leaves Emptying in the position, and has to be called again. Deleted is told how many rows are gone so far. ErrMoved:
	// somebody else has emptied the tables meanwhile, and perhaps begun to fill them.
	Reset(ctx context.Context, cell uint64, deleted func(rows int64)) error
	// Close gives up the database.
	Close() error
}

// Change is one transaction of a Target.
type Change struct {
	From Position
	// Pending are the ids of reservations to be found, ascending, without duplicates.
	Pending []money.U128
	// Complete returns the batch. Those of Pending that there are, are given to it in any order. It may be called more
	// than once.
	Complete func(found []Reservation) (*Batch, error)
}

// Position is a row of projected_through: how far the tables of a cell are, and what the next block needs to be known.
type Position struct {
	Cell      uint64
	Seq       uint64       // the last block whose rows are in the tables; 0: none
	Hash      journal.Hash // of that block
	Time      uint64       // of that block, ns since 1970
	Head      uint64       // the highest acknowledged block when it was projected
	Assets    uint32       // registered so far
	UTCOffset int32        // minutes ahead of UTC: the zone by which timestamps have a day
	Rules     uint16       // of the ledger, that the block was validated by
	Version   uint16       // of the projection
	Emptying  bool         // a Reset has begun and not ended
}

// Same reports whether both are the same place in the same journal.
func (p *Position) Same(o *Position) bool {
	return p.Cell == o.Cell && p.Seq == o.Seq && p.Hash == o.Hash && p.Emptying == o.Emptying
}

// Errors of targets and of the projector, wrapped with what was tried.
var (
	// ErrMoved: the tables are not where the batch begins; somebody else projects, too.
	ErrMoved = errors.New("the tables have moved on")
	// ErrTables: the tables lack what earlier blocks wrote: somebody has changed them.
	ErrTables = errors.New("the tables are not as they were projected: have them built anew")
	// ErrNewer: a newer program has been here.
	ErrNewer = errors.New("the tables were made by a newer release: use that one")
	// ErrJournal: a block does not say what a block can say.
	ErrJournal = errors.New("the block can't be projected")
)

// CheckFound reports ErrTables if not all rows that a batch changes were there.
func CheckFound(table string, found int64, want int) error {
	if found == int64(want) {
		return nil
	}
	return fmt.Errorf("%w: of %d rows of %s there are %d", ErrTables, want, table, found)
}
