package cell

import (
	"context"
	"errors"
	"io"

	"github.com/sterlingrun/sterling/journal"
)

// Log is where a cell's journal lives. Its whole contract is a conditional append; any engine with a unique key and a
// transaction can give it. Implementations pass the suite in celltest. One append is outstanding at a time; reads may
// come at any time, from any goroutine.
type Log interface {
	// Append makes b durable if its sequence number is free and the block before it has the hash b.Header.Prev (block
	// 1 needs no predecessor), and then returns nil. Otherwise: ErrConflict, another block stands there or the
	// predecessor is another one; ErrOutcomeUnknown, it may or may not be there, and appending the same bytes again
	// tells; ErrFull, nothing was written and there is no space. Appending a block that is already there, byte for
	// byte, as the last one, returns nil. Append does not keep b.
	Append(ctx context.Context, b *journal.Block) error
	// Head returns the sequence number and hash of the last block; 0 where there is none.
	Head(ctx context.Context) (seq uint64, hash journal.Hash, err error)
	// Read appends the bytes of block seq to dst[:0] and returns them; ErrNotFound where there is none.
	Read(ctx context.Context, seq uint64, dst []byte) ([]byte, error)
	// ReadAt fills p with bytes of block seq from offset on (counted from the block's header): for single records.
	ReadAt(ctx context.Context, seq uint64, p []byte, offset int) error
}

// Snapshots keeps copies of the state, so that a start need not replay the whole journal. A copy that was cut short
// or altered is never opened: it is reported with ErrDamaged, and an older one serves.
type Snapshots interface {
	// Create begins the snapshot of the state after block seq. It counts only once Commit returned nil.
	Create(seq uint64) (SnapshotWriter, error)
	// List returns the sequence numbers of the committed snapshots, newest first.
	List() ([]uint64, error)
	// Open reads a snapshot; reading to its end has verified all of it.
	Open(seq uint64) (io.ReadCloser, error)
	// Remove deletes a snapshot.
	Remove(seq uint64) error
}

// SnapshotWriter writes one snapshot. Exactly one of Commit and Abort ends it.
type SnapshotWriter interface {
	io.Writer
	Commit() error // makes it durable, under its name
	Abort() error
}

// Errors of a Log, wrapped with what was tried. The cell's own are in errors.go.
var (
	ErrConflict       = errors.New("another block stands in its place")
	ErrOutcomeUnknown = errors.New("outcome unknown: send the same ids again")
	ErrFull           = errors.New("no space left for the journal")
	ErrNotFound       = errors.New("no such block")
	ErrDamaged        = errors.New("damaged")
)
