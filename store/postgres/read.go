package postgres

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/sterlingrun/sterling/cell"
	"github.com/sterlingrun/sterling/journal"
)

const (
	headSQL = `SELECT seq, hash FROM sterling_block WHERE cell = $1 ORDER BY seq DESC LIMIT 1`
	readSQL = `SELECT seq, hash, prev, epoch, kind, time, acknowledged, size, body FROM sterling_block WHERE cell = $1 AND seq = $2`
	partSQL = `SELECT size, octet_length(body), substring(body, $3::integer, $4::integer) FROM sterling_block WHERE cell = $1 AND seq = $2`
	sizeSQL = `SELECT seq, size FROM sterling_block WHERE cell = $1 AND seq >= $2 ORDER BY seq LIMIT $3`
	spanSQL = `SELECT seq, hash, prev, epoch, kind, time, acknowledged, size, body FROM sterling_block WHERE cell = $1 AND seq >= $2 AND seq <= $3 ORDER BY seq`
)

// Head implements cell.Log. It is answered only by a server that takes writes: a standby may lag.
func (s *Store) Head(ctx context.Context) (uint64, journal.Hash, error) {
	ctx, cancel := s.bounded(ctx)
	defer cancel()
	var seq int64
	var hash []byte
	err := s.readers.QueryRow(ctx, headSQL, key(s.cell)).Scan(&seq, &hash)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return 0, journal.Hash{}, nil
	case err != nil:
		return 0, journal.Hash{}, fmt.Errorf("read the head of cell %d: %w", s.cell, s.doubt(err))
	case seq <= 0 || len(hash) != len(journal.Hash{}):
		return 0, journal.Hash{}, fmt.Errorf("read the head of cell %d: %w", s.cell, s.damaged(seq, "a hash of %d bytes", len(hash)))
	}
	return uint64(seq), journal.Hash(hash), nil
}

// Read implements cell.Log. What it returns has been checked against the row's columns and its own hashes; a row that
// disagrees is cell.ErrDamaged.
func (s *Store) Read(ctx context.Context, seq uint64, dst []byte) ([]byte, error) {
	ctx, cancel := s.bounded(ctx)
	defer cancel()
	if seq == 0 || seq > journal.MaxSeq {
		return nil, blockError("read", seq, cell.ErrNotFound)
	}
	rows, err := s.readers.Query(ctx, readSQL, key(s.cell), key(seq))
	if err != nil {
		return nil, blockError("read", seq, s.doubt(err))
	}
	dst = dst[:0]
	found := false
	for rows.Next() {
		_, raw, err := s.row(rows)
		if err != nil {
			rows.Close()
			return nil, blockError("read", seq, err)
		}
		dst, found = append(dst, raw...), true
	}
	switch {
	case rows.Err() != nil:
		return nil, blockError("read", seq, s.doubt(rows.Err()))
	case !found:
		return nil, blockError("read", seq, cell.ErrNotFound)
	}
	return dst, nil
}

// ReadAt implements cell.Log. Only the bytes asked for are read from the database and sent; so what it returns is not
// checked against the block's hash.
func (s *Store) ReadAt(ctx context.Context, seq uint64, p []byte, offset int) error {
	ctx, cancel := s.bounded(ctx)
	defer cancel()
	switch {
	case seq == 0 || seq > journal.MaxSeq:
		return blockError("read bytes of", seq, cell.ErrNotFound)
	case offset < 0 || offset > journal.MaxBlock || len(p) > journal.MaxBlock:
		return blockError("read bytes of", seq, fmt.Errorf("%d bytes at offset %d: %w", len(p), offset, io.ErrUnexpectedEOF))
	}
	rows, err := s.readers.Query(ctx, partSQL, key(s.cell), key(seq), offset+1, len(p))
	if err != nil {
		return blockError("read bytes of", seq, s.doubt(err))
	}
	err = cell.ErrNotFound
	for rows.Next() {
		var size, stored int64
		var part pgtype.DriverBytes
		if err = rows.Scan(&size, &stored, &part); err != nil {
			break
		}
		switch {
		case size != stored:
			err = s.damaged(key(seq), "%d bytes are stored, its header says %d", stored, size)
		case int64(offset)+int64(len(p)) > size:
			err = fmt.Errorf("%d bytes at offset %d of %d: %w", len(p), offset, size, io.ErrUnexpectedEOF)
		case len(part) != len(p):
			err = s.damaged(key(seq), "%d bytes were read for %d", len(part), len(p))
		default:
			copy(p, part)
		}
	}
	rows.Close()
	if rows.Err() != nil {
		err = s.doubt(rows.Err())
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
	rows, err := s.readers.Query(ctx, sizeSQL, key(s.cell), key(seq), maxBlocks)
	if err != nil {
		return 0, s.doubt(err)
	}
	last = seq - 1
	total, ended := int64(0), false
	for rows.Next() {
		var at, size int64
		if err := rows.Scan(&at, &size); err != nil {
			rows.Close()
			return 0, err
		}
		total += size
		ended = ended || at != key(last+1) || (last >= seq && total > int64(maxBytes))
		if !ended {
			last++
		}
	}
	return last, s.doubt(rows.Err())
}

// readSpan reads blocks seq to last, which are there. Waiting for one of them is bounded, fn is not.
func (s *Store) readSpan(ctx context.Context, seq, last uint64, fn func(seq uint64, raw []byte) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	silence := time.AfterFunc(s.timeout, func() { cancel(fmt.Errorf("no answer within %v", s.timeout)) })
	defer silence.Stop()
	rows, err := s.readers.Query(ctx, spanSQL, key(s.cell), key(seq), key(last))
	if err != nil {
		return s.doubt(err)
	}
	defer rows.Close()
	for ; rows.Next(); seq++ {
		silence.Stop()
		at, raw, err := s.row(rows)
		if err == nil && at != seq {
			err = s.damaged(key(seq), "it was there and is not any more")
		}
		if err == nil {
			err = fn(seq, raw)
		}
		silence.Reset(s.timeout)
		if err != nil {
			return err
		}
	}
	return s.doubt(rows.Err())
}

// row reads one block and checks its body against its columns and its hashes. The bytes are valid until the next row.
func (s *Store) row(rows pgx.Rows) (uint64, []byte, error) {
	var seq, epoch, at, acknowledged int64
	var kind, size int32
	var hash, prev, body pgtype.DriverBytes
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
