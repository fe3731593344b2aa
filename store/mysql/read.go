package mysql

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/sterlingrun/sterling/cell"
	"github.com/sterlingrun/sterling/journal"
)

const (
	headSQL = `SELECT seq, hash FROM sterling_block WHERE cell = ? ORDER BY seq DESC LIMIT 1`
	readSQL = `SELECT seq, hash, prev, epoch, kind, time, acknowledged, size, body FROM sterling_block WHERE cell = ? AND seq = ?`
	partSQL = `SELECT size, LENGTH(body), SUBSTRING(body, ?, ?) FROM sterling_block WHERE cell = ? AND seq = ?`
	sizeSQL = `SELECT seq, size FROM sterling_block WHERE cell = ? AND seq >= ? ORDER BY seq LIMIT ?`
	spanSQL = `SELECT seq, hash, prev, epoch, kind, time, acknowledged, size, body FROM sterling_block WHERE cell = ? AND seq BETWEEN ? AND ? ORDER BY seq`
	// writableSQL is asked in front of a head: a server can turn read-only under an open connection.
	writableSQL = `SELECT @@global.read_only`
)

// Head implements cell.Log. It is answered only by a server that takes writes: a replica may lag.
func (s *Store) Head(ctx context.Context) (uint64, journal.Hash, error) {
	ctx, cancel := s.bounded(ctx)
	defer cancel()
	var seq int64
	var hash []byte
	err := s.onWritable(ctx, func(c *sql.Conn) error {
		err := c.QueryRowContext(ctx, headSQL, key(s.cell)).Scan(&seq, &hash)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		return err
	})
	switch {
	case err != nil:
		return 0, journal.Hash{}, fmt.Errorf("read the head of cell %d: %w", s.cell, err)
	case hash == nil:
		return 0, journal.Hash{}, nil
	case seq <= 0 || len(hash) != len(journal.Hash{}):
		return 0, journal.Hash{}, fmt.Errorf("read the head of cell %d: %w", s.cell, s.damaged(seq, "a hash of %d bytes", len(hash)))
	}
	return uint64(seq), journal.Hash(hash), nil
}

// onWritable runs f on a connection whose server takes writes now. A connection that fails is not used again.
func (s *Store) onWritable(ctx context.Context, f func(*sql.Conn) error) error {
	c, err := s.readers.Conn(ctx)
	if err != nil {
		return s.renew(err)
	}
	var readOnly string
	if err = c.QueryRowContext(ctx, writableSQL).Scan(&readOnly); err == nil && readOnly != "0" && readOnly != "OFF" {
		err = fmt.Errorf("%w: read_only is %s", errReadOnly, readOnly)
	}
	if err == nil {
		err = f(c)
	}
	if err != nil {
		s.discard(c)
		return s.renew(err)
	}
	return c.Close()
}

// discard ends a connection instead of giving it back.
func (*Store) discard(c *sql.Conn) {
	_ = c.Raw(func(any) error { return driver.ErrBadConn })
	_ = c.Close()
}

// Read implements cell.Log. What it returns has been checked against the row's columns and its own hashes; a row that
// disagrees is cell.ErrDamaged.
func (s *Store) Read(ctx context.Context, seq uint64, dst []byte) ([]byte, error) {
	ctx, cancel := s.bounded(ctx)
	defer cancel()
	if seq == 0 || seq > journal.MaxSeq {
		return nil, blockError("read", seq, cell.ErrNotFound)
	}
	dst = dst[:0]
	found := false
	err := s.query(ctx, func(rows *sql.Rows) error {
		_, raw, err := s.row(rows)
		if err != nil {
			return err
		}
		dst, found = append(dst, raw...), true
		return nil
	}, readSQL, key(s.cell), key(seq))
	if err == nil && !found {
		err = cell.ErrNotFound
	}
	if err != nil {
		return nil, blockError("read", seq, err)
	}
	return dst, nil
}

// query gives each row to f, whose error ends it.
func (s *Store) query(ctx context.Context, f func(*sql.Rows) error, query string, args ...any) error {
	rows, err := s.readers.QueryContext(ctx, query, args...)
	if err != nil {
		return s.renew(err)
	}
	for rows.Next() {
		if err := f(rows); err != nil {
			return errors.Join(err, rows.Close())
		}
	}
	return s.renew(errors.Join(rows.Err(), rows.Close()))
}

// renew is called with an error of the engine or the way to it. If it isn't the engine's word, or that of a node
// outside of its cluster, the other connections may lead to the same dead end: those that are idle are closed, and the
// next one begins with another server.
func (s *Store) renew(err error) error {
	if n := number(err); err != nil && (n == 0 || n == outOfCluster) && !errors.Is(err, sql.ErrNoRows) {
		s.toRead.avoid()
		s.readers.SetMaxIdleConns(0)
		s.readers.SetMaxIdleConns(s.idle)
	}
	return err
}

// ReadAt implements cell.Log. Only the bytes asked for are sent; so what it returns is not checked against the block's
// hash.
func (s *Store) ReadAt(ctx context.Context, seq uint64, p []byte, offset int) error {
	ctx, cancel := s.bounded(ctx)
	defer cancel()
	switch {
	case seq == 0 || seq > journal.MaxSeq:
		return blockError("read bytes of", seq, cell.ErrNotFound)
	case offset < 0 || offset > journal.MaxBlock || len(p) > journal.MaxBlock:
		return blockError("read bytes of", seq, fmt.Errorf("%d bytes at offset %d: %w", len(p), offset, io.ErrUnexpectedEOF))
	}
	found := false
	err := s.query(ctx, func(rows *sql.Rows) error {
		var size, stored int64
		var part sql.RawBytes
		if err := rows.Scan(&size, &stored, &part); err != nil {
			return err
		}
		found = true
		switch {
		case size != stored:
			return s.damaged(key(seq), "%d bytes are stored, its header says %d", stored, size)
		case int64(offset)+int64(len(p)) > size:
			return fmt.Errorf("%d bytes at offset %d of %d: %w", len(p), offset, size, io.ErrUnexpectedEOF)
		case len(part) != len(p):
			return s.damaged(key(seq), "%d bytes were read for %d", len(part), len(p))
		}
		copy(p, part)
		return nil
	}, partSQL, offset+1, len(p), key(s.cell), key(seq))
	if err == nil && !found {
		err = cell.ErrNotFound
	}
	if err != nil {
		return blockError("read bytes of", seq, err)
	}
	return nil
}

// ReadFrom reads blocks in order from seq on, for catching up: in two round trips as many as there are, at most
// maxBlocks, and maxBytes together (but one at least). It stops before a gap and never skips one. Each block is checked
// as in Read and given to fn, with bytes that are valid only during that call; fn's error ends it and is returned.
// Where block seq is not there yet, fn is not called. Both limits are at least 1.
func (s *Store) ReadFrom(ctx context.Context, seq uint64, maxBlocks, maxBytes int, fn func(seq uint64, raw []byte) error) error {
	if seq == 0 || seq > journal.MaxSeq || maxBlocks < 1 || maxBytes < 1 {
		return fmt.Errorf("read up to %d blocks, %d bytes, from block %d on: out of range", maxBlocks, maxBytes, seq)
	}
	last, err := s.span(ctx, seq, maxBlocks, maxBytes)
	if err == nil && last >= seq {
		err = s.readSpan(ctx, seq, last, fn)
	}
	if err != nil {
		return fmt.Errorf("read from block %d on: %w", seq, err)
	}
	return nil
}

// span returns the last block of those without a gap from seq on that fit the limits; less than seq if there are none.
func (s *Store) span(ctx context.Context, seq uint64, maxBlocks, maxBytes int) (last uint64, err error) {
	ctx, cancel := s.bounded(ctx)
	defer cancel()
	last = seq - 1
	total, ended := int64(0), false
	err = s.query(ctx, func(rows *sql.Rows) error {
		var at, size int64
		if err := rows.Scan(&at, &size); err != nil {
			return err
		}
		total += size
		ended = ended || at != key(last+1) || (last >= seq && total > int64(maxBytes))
		if !ended {
			last++
		}
		return nil
	}, sizeSQL, key(s.cell), key(seq), maxBlocks)
	return last, err
}

// readSpan reads blocks seq to last, which are there. Waiting for one of them is bounded, fn is not.
func (s *Store) readSpan(ctx context.Context, seq, last uint64, fn func(seq uint64, raw []byte) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	silence := time.AfterFunc(s.timeout, func() { cancel(fmt.Errorf("no answer within %v", s.timeout)) })
	defer silence.Stop()
	return s.query(ctx, func(rows *sql.Rows) error {
		silence.Stop()
		defer silence.Reset(s.timeout)
		at, raw, err := s.row(rows)
		if err != nil {
			return err
		}
		if at != seq {
			return s.damaged(key(seq), "it was there and is not any more")
		}
		seq++
		return fn(at, raw)
	}, spanSQL, key(s.cell), key(seq), key(last))
}

// row reads one block and checks its body against its columns and its hashes. The bytes are valid until the next row.
func (s *Store) row(rows *sql.Rows) (uint64, []byte, error) {
	var seq, epoch, at, acknowledged int64
	var kind, size int32
	var hash, prev, body sql.RawBytes
	if err := rows.Scan(&seq, &hash, &prev, &epoch, &kind, &at, &acknowledged, &size, &body); err != nil {
		return 0, nil, err
	}
	if int(size) != len(body) {
		return 0, nil, s.damaged(seq, "%d bytes are stored, its header says %d", len(body), size)
	}
	h, err := journal.DecodeHeader(body)
	if err != nil {
		return 0, nil, s.damaged(seq, "%v", err)
	}
	own := h.Hash()
	switch {
	case h.Cell != s.cell || key(h.Seq) != seq || key(h.Epoch) != epoch || int32(h.Kind) != kind || key(h.Time) != at || key(h.Acked) != acknowledged:
		return 0, nil, s.damaged(seq, "its columns and its header disagree: the header is of cell %d, block %d, epoch %d", h.Cell, h.Seq, h.Epoch)
	case !bytes.Equal(hash, own[:]) || !bytes.Equal(prev, h.Prev[:]):
		return 0, nil, s.damaged(seq, "its columns have hash %x after %x, its header %v after %v", first8(hash), first8(prev), own, h.Prev)
	case len(body) != journal.HeaderSize+h.BodySize() || sha256.Sum256(body[journal.HeaderSize:]) != h.Body:
		return 0, nil, s.damaged(seq, "its %d bytes don't have the hash that its header says", len(body))
	}
	return h.Seq, body, nil
}

func first8(b []byte) []byte { return b[:min(8, len(b))] }

func (s *Store) damaged(seq int64, format string, args ...any) error {
	return fmt.Errorf("%w: table sterling_block, cell %d, seq %d: %s", cell.ErrDamaged, s.cell, seq, fmt.Sprintf(format, args...))
}
