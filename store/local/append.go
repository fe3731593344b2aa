package local

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/sterlingrun/sterling/cell"
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/must"
)

// Append implements cell.Log. It returns nil only once the block is durable: one write and one fdatasync (a new
// segment takes a few more). With cell.ErrFull or cell.ErrConflict nothing of it is in the log; with ErrSyncFailed it
// may be, and the process has to exit. It does not return cell.ErrOutcomeUnknown. ctx is looked at only before the
// write: a block under way is never given up.
func (s *Store) Append(ctx context.Context, b *journal.Block) error {
	leave, err := s.enter()
	if err != nil {
		return err
	}
	defer leave()
	s.appending.Lock()
	defer s.appending.Unlock()
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("append block %d: %w", b.Header.Seq, err)
	}
	if err := s.append(b); err != nil {
		if errors.Is(err, ErrSyncFailed) && s.failed == nil {
			s.failed = err
		}
		return fmt.Errorf("append block %d: %w", b.Header.Seq, err)
	}
	return nil
}

func (s *Store) append(b *journal.Block) error {
	if s.failed != nil {
		return s.failed
	}
	h := &b.Header
	hash := journal.Hash(sha256.Sum256(b.Raw[:journal.HeaderSize]))
	must.True(hash == b.Hash && len(b.Raw) == journal.HeaderSize+h.BodySize() && len(b.Raw) <= journal.MaxBlock,
		"block %d of %d bytes has hash %v, not %v", h.Seq, len(b.Raw), hash, b.Hash)
	if h.Cell != s.opts.Cell {
		return fmt.Errorf("%w: the block is of cell %d, the folder of cell %d", ErrWrongCell, h.Cell, s.opts.Cell)
	}
	if h.Seq == s.head && hash == s.hash { // the header has the body's hash: the same header is the same block
		return nil
	}
	if h.Seq != s.head+1 || h.Prev != s.hash {
		return fmt.Errorf("%w: it follows block %d with hash %v; the journal ends with block %d with hash %v",
			cell.ErrConflict, h.Seq-1, h.Prev, s.head, s.hash)
	}
	if err := s.clean(); err != nil {
		return err
	}
	if err := s.roll(sectorsFor(len(b.Raw))); err != nil {
		return err
	}
	if err := s.write(b.Raw, h.Seq); err != nil {
		return err
	}
	at := place{sector: s.tail, length: uint32(len(b.Raw))} //nolint:gosec // ≤ MaxBlock
	s.tail += sectorsFor(len(b.Raw))
	s.mu.Lock()
	s.active = append(s.active, at)
	s.head, s.hash = h.Seq, hash
	s.mu.Unlock()
	s.pace()
	return nil
}

// write frames a block at the tail and makes it durable. A write that went wrong is wiped out, at once or before the
// next one, so that no rest of it is ever taken for part of another block.
func (s *Store) write(raw []byte, seq uint64) error {
	n := sectorsFor(len(raw))
	if size := int(n) * sectorSize; cap(s.buf) < size {
		s.buf = make([]byte, size, max(size, min(2*cap(s.buf), maxSectors*sectorSize)))
	}
	buf := s.buf[:int(n)*sectorSize]
	s.coder.frame(buf, raw, s.tail, seq)
	file := s.last().file
	if _, err := file.WriteAt(buf, offsetOf(s.tail)); err != nil {
		s.dirty = n
		err = fmt.Errorf("write %s at offset %d: %w", s.last().path, offsetOf(s.tail), full(err))
		return errors.Join(err, s.clean())
	}
	if err := file.SyncData(); err != nil {
		return fmt.Errorf("%w: %s: %w", ErrSyncFailed, s.last().path, err)
	}
	return nil
}

// clean wipes out what a failed write may have left.
func (s *Store) clean() error {
	if s.dirty == 0 {
		return nil
	}
	if err := wipe(s.last().file, s.tail, s.dirty); err != nil {
		return fmt.Errorf("wipe out a failed write at offset %d of %s: %w", offsetOf(s.tail), s.last().path, err)
	}
	s.dirty = 0
	return nil
}

// roll makes room for n sectors: where the active segment hasn't it, the prepared one becomes active. Only the holder
// of appending changes segments, so it reads them without mu.
func (s *Store) roll(n uint32) error {
	if len(s.segments) > 0 && s.tail+n <= s.last().sectors() {
		return nil
	}
	first := len(s.segments) == 0 // nobody is used to anything yet: let it be filled
	file, size, err := s.prepare.take(max(s.opts.SegmentSize, offsetOf(n+1)), first)
	if err != nil {
		return err
	}
	g, err := s.begin(file, size)
	if err != nil {
		s.prepare.discard(file)
		return err
	}
	x := s.seal()
	s.files.pin(g, file)
	if x != nil {
		s.files.unpin(s.last())
	}
	s.mu.Lock()
	if x != nil {
		s.last().index, s.last().end = x, g.header.First
	}
	s.segments, s.active = append(s.segments, g), nil
	s.mu.Unlock()
	s.tail, s.coder = 1, g.codec()
	s.prepare.ask(s.opts.SegmentSize, false)
	return nil
}

// begin writes the header into a prepared file and gives it its name, durably, before any block is in it.
func (s *Store) begin(file vfs.File, size int64) (*segment, error) {
	h := segmentHeader{
		Generation: uint32(len(s.segments)) + 1, //nolint:gosec // number of files
		Cell:       s.opts.Cell, First: s.head + 1, Size: size, Prev: s.hash,
	}
	path := s.path(journalDir, segmentName(h.First))
	var b [sectorSize]byte
	h.encode(b[:])
	if _, err := file.WriteAt(b[:], 0); err != nil {
		return nil, fmt.Errorf("write %s: %w", path, full(err))
	}
	if err := file.SyncData(); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrSyncFailed, path, err)
	}
	if err := s.fs.Rename(s.prepare.path, path); err != nil {
		return nil, fmt.Errorf("name segment: %w", full(err))
	}
	if err := s.syncDir(s.path(journalDir)); err != nil {
		return nil, err
	}
	_, seed, err := decodeSegment(path, size, b[:])
	must.NoError(err, "the header of "+path)
	return &segment{header: h, path: path, seed: seed}, nil
}

// seal returns the index of the active segment, nil where there is none.
func (s *Store) seal() *index {
	if len(s.segments) == 0 {
		return nil
	}
	x := new(index)
	for _, p := range s.active {
		x.add(sectorsFor(int(p.length)))
	}
	return x
}

// pace lets the next segment's preparation go a little further than the active one is full, so that it is there in
// time and the disk has no more to do at one time than at another.
func (s *Store) pace() {
	if len(s.segments) > 0 {
		s.space.Store(int64(s.last().sectors()) - int64(s.tail))
	}
	if len(s.segments) == 0 {
		s.prepare.allow(math.MaxInt64)
		return
	}
	s.prepare.allow(fillAhead + offsetOf(s.tail)/4*5)
}

// spare is how many sectors have to be left, or a segment prepared, for Room to let a block be made: as much as the
// blocks take that a cell may have on their way already, and this one.
const spare = 4 * maxSectors

// Room implements cell.Roomer: it tells whether the blocks that are made now will find space, and asks for it again
// where the last attempt found none. Safe for concurrent use; it never waits.
func (s *Store) Room() error {
	failure := s.prepare.failure.Load()
	if failure == nil || s.space.Load() >= spare || s.prepare.ready.Load() {
		return nil
	}
	if s.appending.TryLock() {
		s.prepare.retry(s.opts.SegmentSize)
		s.appending.Unlock()
	}
	return *failure
}

func (s *Store) last() *segment { return s.segments[len(s.segments)-1] }
