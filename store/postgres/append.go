package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/sterlingrun/sterling/cell"
	"github.com/sterlingrun/sterling/journal"
)

// Append implements cell.Log: exactly one attempt, of one statement in one round trip. With cell.ErrOutcomeUnknown the
// connection was dropped, and the server may still be at it: appending the same bytes again waits for that. When ctx
// ends, the outcome is unknown. cell.ErrFull says that the database's disk is full. Any other error but
// cell.ErrConflict says that the engine refused the statement itself (no such table, no permission).
//
// Finding b there already returns nil, as the contract has it. That is no proof that it is durable: a server may show
// a commit that its standbys don't have.
func (s *Store) Append(ctx context.Context, b *journal.Block) error {
	if err := s.fits(b); err != nil {
		return blockError("append", b.Header.Seq, err)
	}
	ctx, cancel := s.bounded(ctx)
	defer cancel()
	select {
	case <-s.appending:
	case <-ctx.Done():
		return blockError("append", b.Header.Seq, unknown(context.Cause(ctx)))
	}
	defer func() { s.appending <- struct{}{} }()
	if err := s.append(ctx, b); err != nil {
		return blockError("append", b.Header.Seq, err)
	}
	return nil
}

func (s *Store) append(ctx context.Context, b *journal.Block) error {
	select {
	case <-s.closed:
		return errClosed
	default:
	}
	if s.writer == nil {
		w, err := connectWriter(ctx, s.config, s.insert)
		if err != nil {
			return judge(fmt.Errorf("connect: %w", err))
		}
		s.writer = w
		s.log.Info("connected for appends", "server", w.wire.RemoteAddr().String())
	}
	var verdict error
	err := s.writer.during(ctx, func() (err error) {
		verdict, err = s.writer.append(b)
		return err
	})
	if err == nil {
		return verdict
	}
	s.writer.drop()
	s.writer = nil
	return judge(s.doubt(err))
}

// append tries once. An error is a doubt about the connection or the statement; the verdict is the engine's.
func (w *writer) append(b *journal.Block) (verdict, err error) {
	inserted, err := w.insert(b)
	var refused *pgconn.PgError
	switch {
	case inserted:
		return nil, nil
	case errors.As(err, &refused) && refused.Code == uniqueViolation: // engines whose ON CONFLICT sees less
	case err != nil:
		return nil, err
	}
	here, before, err := w.look(&b.Header)
	switch {
	case err != nil:
		return nil, err
	case here != nil && *here == b.Hash: // the header has the body's hash: the same hash is the same block
		return nil, nil
	case here != nil:
		return fmt.Errorf("%w: block %d has hash %v, not %v", cell.ErrConflict, b.Header.Seq, *here, b.Hash), nil
	case before != nil && *before != b.Header.Prev:
		return fmt.Errorf("%w: it follows a block %d with hash %v; the journal's has %v", cell.ErrConflict, b.Header.Seq-1, b.Header.Prev, *before), nil
	case before == nil:
		return nil, fmt.Errorf("block %d is not there (yet)", b.Header.Seq-1)
	}
	return nil, errors.New("its place was free and its predecessor there, and still it was not inserted")
}

var errClosed = errors.New("the store is closed")

// Codes of PostgreSQL's errors, and the classes of those that say that the statement itself is refused.
const (
	diskFull        = "53100"
	uniqueViolation = "23505"

	classData       = "22"
	classConstraint = "23"
	classAccess     = "42"
)

func unknown(err error) error { return fmt.Errorf("%w: %w", cell.ErrOutcomeUnknown, err) }

// judge says what an error means for the block. In doubt the outcome is unknown.
func judge(err error) error {
	var refused *pgconn.PgError
	if !errors.As(err, &refused) || len(refused.Code) != 5 {
		return unknown(err)
	}
	switch {
	case refused.Code == diskFull:
		return fmt.Errorf("%w: %w", cell.ErrFull, err)
	case refused.Code == uniqueViolation:
		return unknown(err)
	}
	switch refused.Code[:2] {
	case classData, classConstraint, classAccess:
		return err
	}
	return unknown(err)
}
