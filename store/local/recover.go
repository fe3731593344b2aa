package local

import (
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// recover reads the segments, checks what Options ask for, cuts a torn tail and sets the fields that Append and the
// reads stand on.
func (s *Store) recover() error {
	if err := s.listSegments(); err != nil {
		return err
	}
	if err := errors.Join(s.Snapshots().removeUnfinished(), s.ids.removeUnfinished()); err != nil {
		return err
	}
	floor, err := s.floor()
	if err != nil {
		return err
	}
	if len(s.segments) == 0 {
		if floor > 0 {
			return fmt.Errorf("open %s: %w: it has no blocks, but block %d is known to have been durable", s.path(journalDir), ErrBehind, floor)
		}
		return nil
	}
	if err := s.checkSealed(); err != nil {
		return err
	}
	return s.recoverLast(floor)
}

// floor is the highest block known to have been durable: what the caller knows, and the newest snapshot.
func (s *Store) floor() (uint64, error) {
	list, err := s.Snapshots().List()
	if err != nil || len(list) == 0 {
		return s.opts.Floor, err
	}
	return max(s.opts.Floor, list[0]), nil
}

// listSegments reads the headers of all segments and checks that none is missing.
func (s *Store) listSegments() error {
	if err := s.listArchived(); err != nil {
		return fmt.Errorf("open %s: %w", s.dir, err)
	}
	names, err := s.fs.List(s.path(journalDir))
	if err != nil {
		return fmt.Errorf("list segments: %w", err)
	}
	slices.Sort(names)
	for _, name := range names {
		path := s.path(journalDir, name)
		first, ok := parseName(name, "journal-", ".seg")
		if !ok {
			if strings.HasSuffix(name, tmpSuffix) {
				if err := s.fs.Remove(path); err != nil {
					return fmt.Errorf("remove %s: %w", path, err)
				}
			}
			continue
		}
		if s.leftArchived(first) {
			continue
		}
		g, err := s.openSegment(path)
		if err != nil {
			return err
		}
		if g.header.First != first {
			return damaged(path, 0, "its header says that it begins with block %d", g.header.First)
		}
		s.segments = append(s.segments, g)
	}
	for i, g := range s.segments {
		if want := uint32(i + 1); g.header.Generation != want {
			return fmt.Errorf("open %s: %w: number %d of the journal, before block %d", s.path(journalDir), ErrMissing, want, g.header.First)
		}
		if i > 0 {
			s.segments[i-1].end = g.header.First
		}
	}
	if len(s.segments) > 0 && s.segments[0].header.First != 1 {
		return damaged(s.segments[0].path, 0, "the journal begins with block %d", s.segments[0].header.First)
	}
	return nil
}

// openSegment reads and checks a segment's header.
func (s *Store) openSegment(path string) (*segment, error) {
	f, err := s.fs.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open segment: %w", err)
	}
	var b [sectorSize]byte
	_, err = f.ReadAt(b[:], 0)
	info, statErr := f.Stat()
	if closeErr := errors.Join(statErr, f.Close()); closeErr != nil {
		return nil, fmt.Errorf("open segment %s: %w", path, closeErr)
	}
	if info.Size() < sectorSize && (err == nil || errors.Is(err, io.EOF)) {
		return nil, damaged(path, info.Size(), "the file ends within its header")
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	h, seed, err := decodeSegment(path, info.Size(), b[:])
	if err != nil {
		return nil, err
	}
	if h.Cell != s.opts.Cell {
		return nil, fmt.Errorf("open %s: %w: cell %d, this is cell %d", path, ErrWrongCell, h.Cell, s.opts.Cell)
	}
	return &segment{header: h, path: path, seed: seed}, nil
}

// checkSealed checks the segments before the last one, as far as VerifyFrom asks for it.
func (s *Store) checkSealed() error {
	for i, g := range s.segments[:len(s.segments)-1] {
		if g.end <= s.opts.VerifyFrom {
			continue
		}
		e, err := s.build(g, s.opts.VerifyFrom, readAll)
		if err != nil {
			return err
		}
		if next := s.segments[i+1]; next.header.Prev != e.hash {
			return damaged(next.path, 0, "it follows a block with hash %v, but block %d has %v", next.header.Prev, g.end-1, e.hash)
		}
	}
	return nil
}

// build makes the index of a sealed segment; blocks from verify on are checked whole.
func (s *Store) build(g *segment, verify uint64, window int) (end, error) {
	file, err := s.files.acquire(g)
	if err != nil {
		return end{}, err
	}
	defer s.files.release(g)
	x := new(index)
	e, err := newScanner(g, file, window).walk(verify, func(b block) { x.add(b.sectors()) })
	if err != nil {
		return e, err
	}
	if e.next != g.end {
		return e, damaged(g.path, offsetOf(e.sector), "block %d is not here, but the next segment begins with block %d", e.next, g.end)
	}
	g.index = x
	return e, nil
}

// find returns where block seq of a sealed segment may stand, as index.find does; it builds the index first where
// that has not been done.
func (s *Store) find(g *segment, seq uint64) (sector, pairEnd uint32, err error) {
	g.scan.Lock()
	defer g.scan.Unlock()
	if g.index == nil {
		if _, err := s.build(g, math.MaxUint64, readHop); err != nil {
			return 0, 0, err
		}
	}
	sector, pairEnd = g.index.find(seq - g.header.First)
	return sector, pairEnd, nil
}

// recoverLast checks all of the last segment, cuts a torn tail and makes it the active one.
func (s *Store) recoverLast(floor uint64) error {
	g := s.segments[len(s.segments)-1]
	file, err := s.fs.OpenReadWrite(g.path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return fmt.Errorf("open segment: %w", err)
	}
	s.files.pin(g, file)
	c := newScanner(g, file, readAll)
	e, err := c.walk(0, func(b block) {
		s.active = append(s.active, place{sector: b.sector, length: uint32(b.length)}) //nolint:gosec // ≤ MaxBlock
	})
	if err != nil {
		return err
	}
	torn, err := c.tail(e)
	if err != nil {
		return err
	}
	if floor >= e.next {
		return fmt.Errorf("open %s at offset %d: %w: with block %d, but block %d is known to have been durable",
			g.path, offsetOf(e.sector), ErrBehind, e.next-1, floor)
	}
	s.tail, s.head, s.hash, s.coder = e.sector, e.next-1, e.hash, g.codec()
	if torn == 0 {
		return nil
	}
	if err := wipe(file, e.sector, torn); err != nil {
		return fmt.Errorf("cut the torn tail of %s: %w", g.path, err)
	}
	s.recovery = Recovery{Cut: true, File: g.path, Offset: offsetOf(e.sector), Sectors: int(torn)}
	return nil
}

// wipe writes zeros over n sectors and makes that durable.
func wipe(file vfs.File, sector, n uint32) error {
	if _, err := file.WriteAt(make([]byte, offsetOf(n)), offsetOf(sector)); err != nil {
		return full(err)
	}
	if err := file.SyncData(); err != nil {
		return fmt.Errorf("%w: %w", ErrSyncFailed, err)
	}
	return nil
}
