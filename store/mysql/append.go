package mysql

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/go-sql-driver/mysql"

	"github.com/sterlingrun/sterling/cell"
	"github.com/sterlingrun/sterling/journal"
)

// The append, in parts, so that a test can leave one out and see what then goes wrong.
const (
	insertColumns = `INSERT INTO sterling_block (cell, seq, hash, prev, epoch, kind, time, acknowledged, size, body)
SELECT ?, ?, ?, ?, ?, ?, ?, ?, ?, ? FROM DUAL`
	// insertWritable refuses a server that turned read-only meanwhile, of which a superuser would not hear.
	insertWritable = `
WHERE @@global.read_only IN ('0', 'OFF')`
	// insertFence is the fence: a unique key alone would let a deposed leader's late block n+1 in after another's n.
	insertFence = `
AND (? = 1 OR EXISTS (SELECT 1 FROM sterling_block AS p WHERE p.cell = ? AND p.seq = ? AND p.hash = ?))`
	insertSQL = insertColumns + insertWritable + insertFence

	// lookSQL tells why nothing was inserted: what stands in the block's place and before it.
	lookSQL = `SELECT seq, hash FROM sterling_block WHERE cell = ? AND seq IN (?, ?)`
)

// writer is the connection that appends. Whoever holds Store.appending owns it.
type writer struct {
	conn         driver.Conn
	insert, look driver.Stmt
	args         []driver.NamedValue
}

// Append implements cell.Log: exactly one attempt, of one statement in one round trip. With cell.ErrOutcomeUnknown the
// connection was dropped, and the server may still be at it: appending the same bytes again waits for that. When ctx
// ends, the outcome is unknown. cell.ErrFull says that the database's disk is full. Any other error but
// cell.ErrConflict says that the engine refused the statement itself (no such table, no permission, too large).
//
// Finding b there already returns nil, as the contract has it. That is no proof that it is durable.
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
	if ctx.Err() != nil {
		return unknown(context.Cause(ctx))
	}
	if s.writer == nil {
		w, err := s.connectWriter(ctx)
		if err != nil {
			return judge(fmt.Errorf("connect: %w", err))
		}
		s.writer = w
		s.log.Info("connected for appends", "server", s.toAppend.server())
	}
	verdict, err := s.writer.append(ctx, b)
	if err == nil {
		return verdict
	}
	s.writer.drop()
	s.writer = nil
	s.toAppend.avoid()
	if ctx.Err() != nil {
		return unknown(errors.Join(context.Cause(ctx), s.renew(err)))
	}
	return judge(s.renew(err))
}

func (s *Store) connectWriter(ctx context.Context) (w *writer, err error) {
	conn, err := s.toAppend.Connect(ctx)
	if err != nil {
		return nil, err
	}
	w = &writer{conn: conn, args: make([]driver.NamedValue, 14)}
	prepare := conn.(driver.ConnPrepareContext)
	if w.insert, err = prepare.PrepareContext(ctx, s.insert); err != nil {
		return nil, errors.Join(fmt.Errorf("prepare the append: %w", err), conn.Close())
	}
	if w.look, err = prepare.PrepareContext(ctx, lookSQL); err != nil {
		return nil, errors.Join(fmt.Errorf("prepare the look: %w", err), conn.Close())
	}
	return w, nil
}

// append tries once. An error is a doubt about the connection or the statement; the verdict is the engine's.
func (w *writer) append(ctx context.Context, b *journal.Block) (verdict, err error) {
	inserted, err := w.insertBlock(ctx, b)
	switch {
	case inserted:
		return nil, nil
	case err != nil && number(err) != duplicateKey:
		return nil, err
	}
	here, before, err := w.lookFor(ctx, &b.Header)
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
	return nil, errors.New("its place is free and its predecessor there, and still it was not inserted: the server may have turned read-only")
}

func (w *writer) insertBlock(ctx context.Context, b *journal.Block) (bool, error) {
	h := &b.Header
	cellKey, seq, hash, prev := key(h.Cell), key(h.Seq), b.Hash[:], h.Prev[:]
	args := w.bind(
		cellKey, seq, hash, prev, key(h.Epoch), int64(h.Kind), key(h.Time), key(h.Acked), int64(len(b.Raw)), b.Raw,
		seq, cellKey, seq-1, prev,
	)
	result, err := w.insert.(driver.StmtExecContext).ExecContext(ctx, args[:w.insert.NumInput()])
	clear(w.args) // the block is its maker's
	if err != nil {
		return false, err
	}
	n, err := result.RowsAffected()
	return n == 1, err
}

func (w *writer) bind(values ...driver.Value) []driver.NamedValue {
	for i, v := range values {
		w.args[i] = driver.NamedValue{Ordinal: i + 1, Value: v}
	}
	return w.args[:len(values)]
}

// lookFor returns the hashes at a block's place and before it; nil where there is none.
func (w *writer) lookFor(ctx context.Context, h *journal.Header) (here, before *journal.Hash, err error) {
	seq := key(h.Seq)
	rows, err := w.look.(driver.StmtQueryContext).QueryContext(ctx, w.bind(key(h.Cell), seq, seq-1))
	if err != nil {
		return nil, nil, err
	}
	defer rows.Close() //nolint:errcheck // read to the end, or the connection is dropped
	row := make([]driver.Value, 2)
	for {
		err := rows.Next(row)
		if errors.Is(err, io.EOF) {
			return here, before, nil
		}
		if err != nil {
			return nil, nil, err
		}
		at, isNumber := row[0].(int64)
		bytes, isBytes := row[1].([]byte)
		if !isNumber || !isBytes || len(bytes) != len(journal.Hash{}) {
			return nil, nil, fmt.Errorf("%T and %T where a number and a hash were asked for", row[0], row[1])
		}
		hash := journal.Hash(bytes)
		if at == seq {
			here = &hash
		} else {
			before = &hash
		}
	}
}

// drop ends the connection. What the server is doing goes on: the protocol has no way to stop it but another
// connection's KILL, which is never sent.
func (w *writer) drop() { _ = w.conn.Close() }

var errClosed = errors.New("the store is closed")

func unknown(err error) error { return fmt.Errorf("%w: %w", cell.ErrOutcomeUnknown, err) }

// Numbers of the family's errors.
const (
	duplicateKey = 1062
	lockTimeout  = 1205
	deadlock     = 1213
	outOfCluster = 1047 // a Galera node without a majority

	diskFull      = 1021
	tableFull     = 1114
	fromEngine    = 1030 // with the operating system's number in its text
	anyError      = 1105
	packetTooLong = 1153
	rowTooLong    = 1118 // also: too large for the redo log
)

// number is the server's number of an error; 0 where it isn't the server's.
func number(err error) uint16 {
	var refused *mysql.MySQLError
	if errors.As(err, &refused) {
		return refused.Number
	}
	return 0
}

// judge says what an error means for the block. In doubt the outcome is unknown: so it is for a deadlock or a lock
// not had in time (1213, 1205), for a server that turned read-only (1290, 1836) and for a Galera node that left its
// cluster (1047).
func judge(err error) error {
	switch number(err) {
	case diskFull, tableFull:
		return fmt.Errorf("%w: %w", cell.ErrFull, err)
	case fromEngine:
		if strings.Contains(err.Error(), "error 28 ") {
			return fmt.Errorf("%w: %w", cell.ErrFull, err)
		}
	case anyError: // MariaDB's number for this one, among others
		if strings.Contains(err.Error(), "max_allowed_packet") {
			return err
		}
	case packetTooLong, rowTooLong,
		1044, 1142, 1143, // access denied
		1146, 1054, 1136, 1064, // no such table, no such column, another number of them, syntax
		1048, 1264, 1364, 1366, 1406, 3819, 4025: // a value that a column does not take
		return err
	}
	if errors.Is(err, mysql.ErrPktTooLarge) { // never sent
		return err
	}
	return unknown(err)
}
