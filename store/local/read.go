package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sort"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/sterlingrun/sterling/cell"
	"github.com/sterlingrun/sterling/journal"
)

// scratch is what a short read needs: a few sectors and a codec.
type scratch struct {
	coder codec
	buf   [16 * sectorSize]byte
}

var scratches = sync.Pool{New: func() any { return new(scratch) }}

// Head implements cell.Log.
func (s *Store) Head(context.Context) (uint64, journal.Hash, error) {
	leave, err := s.enter()
	if err != nil {
		return 0, journal.Hash{}, err
	}
	defer leave()
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.head, s.hash, nil
}

// Read implements cell.Log. It checks every sector that it reads; damage is a *DamageError.
func (s *Store) Read(ctx context.Context, seq uint64, dst []byte) ([]byte, error) {
	leave, err := s.enter()
	if err != nil {
		return nil, err
	}
	defer leave()
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("read block %d: %w", seq, err)
	}
	r, err := s.reader(seq)
	if err != nil {
		return nil, err
	}
	defer r.close()
	if err := r.needLength(); err != nil {
		return nil, err
	}
	n := sectorsFor(r.length)
	if size := int(n) * sectorSize; cap(dst) < size {
		dst = make([]byte, size)
	}
	dst = dst[:int(n)*sectorSize]
	if err := r.sectors(dst, 0); err != nil {
		return nil, err
	}
	return unframe(dst, r.length), nil
}

// ReadAt implements cell.Log: one read of the file for a block of the active segment, two for an older one (at times
// three where p reaches into the block's last sector).
func (s *Store) ReadAt(ctx context.Context, seq uint64, p []byte, offset int) error {
	leave, err := s.enter()
	if err != nil {
		return err
	}
	defer leave()
	return s.readAt(ctx, seq, p, offset)
}

// readAt is ReadAt within a call.
func (s *Store) readAt(ctx context.Context, seq uint64, p []byte, offset int) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("read block %d: %w", seq, err)
	}
	r, err := s.reader(seq)
	if err != nil {
		return err
	}
	defer r.close()
	if end := uint64(max(offset, 0)) + uint64(len(p)) + frameSize; r.length > 0 || r.count == 0 || end > uint64(r.count-1)*payloadSize {
		if err := r.needLength(); err != nil {
			return err
		}
	}
	if offset < 0 || r.length > 0 && len(p) > r.length-offset {
		return fmt.Errorf("read bytes %d to %d of block %d: it has %d: %w", offset, offset+len(p), seq, r.length, io.ErrUnexpectedEOF)
	}
	buf := r.scratch.buf[:]
	for at := offset + frameSize; len(p) > 0; {
		first := at / payloadSize
		skip := at % payloadSize
		count := min((skip+len(p)+payloadSize-1)/payloadSize, len(buf)/sectorSize)
		if err := r.sectors(buf[:count*sectorSize], uint32(first)); err != nil { //nolint:gosec // ≤ maxSectors
			return err
		}
		for i := 0; i < count && len(p) > 0; i++ {
			n := copy(p, buf[i*sectorSize+sectorHead+skip:(i+1)*sectorSize])
			p, at, skip = p[n:], at+n, 0
		}
	}
	return nil
}

// reader reads one block.
type reader struct {
	store   *Store
	seg     *segment
	file    vfs.File
	seq     uint64
	sector  uint32 // where the block begins
	count   uint32 // its sectors; 0: not known
	length  int    // its bytes; 0: not known yet
	scratch *scratch
}

// reader finds a durable block, again where its segment is moved to the archive at this moment.
func (s *Store) reader(seq uint64) (*reader, error) {
	r, err := s.findBlock(seq)
	for errors.Is(err, errRetired) {
		r, err = s.findBlock(seq)
	}
	return r, err
}

func (s *Store) findBlock(seq uint64) (*reader, error) {
	s.mu.RLock()
	if seq == 0 || seq > s.head {
		head := s.head
		s.mu.RUnlock()
		return nil, fmt.Errorf("read block %d: %w: the journal ends with block %d", seq, cell.ErrNotFound, head)
	}
	i := sort.Search(len(s.segments), func(i int) bool { return s.segments[i].header.First > seq }) - 1
	r := &reader{store: s, seg: s.segments[i], seq: seq}
	active := i == len(s.segments)-1
	if active {
		p := s.active[seq-r.seg.header.First]
		r.sector, r.length = p.sector, int(p.length)
	}
	s.mu.RUnlock()
	var pairEnd uint32
	if !active {
		var err error
		if r.sector, pairEnd, err = s.find(r.seg, seq); err != nil {
			return nil, fmt.Errorf("read block %d: %w", seq, err)
		}
	}
	file, err := s.files.acquire(r.seg)
	if err != nil {
		return nil, fmt.Errorf("read block %d: %w", seq, err)
	}
	r.file = file
	r.scratch = scratches.Get().(*scratch)
	r.scratch.coder.generation, r.scratch.coder.seed = r.seg.header.Generation, r.seg.seed
	if odd := (seq-r.seg.header.First)%2 == 1; !active && odd {
		if err := r.skip(pairEnd); err != nil {
			r.close()
			return nil, err
		}
	}
	return r, nil
}

func (r *reader) close() {
	r.store.files.release(r.seg)
	scratches.Put(r.scratch)
}

// skip goes on from the first block of a pair to the second.
func (r *reader) skip(pairEnd uint32) error {
	r.seq--
	if err := r.needLength(); err != nil {
		return err
	}
	r.seq++
	r.sector += sectorsFor(r.length)
	r.length, r.count = 0, pairEnd-r.sector
	if r.sector >= pairEnd {
		return damaged(r.seg.path, offsetOf(r.sector), "block %d should begin before", r.seq)
	}
	return nil
}

// needLength reads the block's length where it isn't known.
func (r *reader) needLength() error {
	if r.length > 0 {
		return nil
	}
	b := r.scratch.buf[:sectorSize]
	if err := r.sectors(b, 0); err != nil {
		return err
	}
	n, ok := frameLength(b, r.seq)
	if !ok {
		return damaged(r.seg.path, offsetOf(r.sector), "the frame of block %d makes no sense", r.seq)
	}
	r.length = n
	return nil
}

// sectors fills b with the block's sectors from index first on and checks each.
func (r *reader) sectors(b []byte, first uint32) error {
	from := r.sector + first
	if err := r.bytes(b, offsetOf(from)); err != nil {
		return err
	}
	for i := uint32(0); len(b) > 0; i++ {
		if r.scratch.coder.check(b, from+i, r.seq, first+i) != present {
			return damaged(r.seg.path, offsetOf(from+i), "sector %d of block %d is not as it was written", first+i, r.seq)
		}
		b = b[sectorSize:]
	}
	return nil
}

// bytes fills b from the file: short reads through the mapping, where they need not wait.
func (r *reader) bytes(b []byte, offset int64) error {
	generation, warm := r.seg.header.Generation, &r.store.files.warm
	short := len(b) <= len(r.scratch.buf) && r.seg.mapped != nil
	if short && warm.has(generation, offset, len(b)) && r.seg.mapped.copy(b, offset) {
		return nil
	}
	if n, err := r.file.ReadAt(b, offset); n < len(b) {
		if err == nil || errors.Is(err, io.EOF) {
			return damaged(r.seg.path, offset+int64(n), "the file ends here, within block %d", r.seq)
		}
		return fmt.Errorf("read block %d: %s at offset %d: %w", r.seq, r.seg.path, offset, err)
	}
	if short {
		warm.add(generation, offset, len(b))
	}
	return nil
}
