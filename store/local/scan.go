package local

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/sterlingrun/sterling/journal"
)

// Bytes read at a time: by who needs every sector, and by who hops from block to block.
const (
	readAll = 1 << 20
	readHop = 16 << 10
)

// scanner walks through one segment file.
type scanner struct {
	seg   *segment
	file  vfs.File
	coder codec
	buf   []byte
	base  uint32 // first sector in buf
	have  uint32 // sectors in buf
}

func newScanner(g *segment, file vfs.File, window int) *scanner {
	return &scanner{seg: g, file: file, coder: g.codec(), buf: make([]byte, window)}
}

// sector returns sector n, valid until the next call.
func (c *scanner) sector(n uint32) ([]byte, error) {
	if n < c.base || n >= c.base+c.have {
		want := min(int64(len(c.buf)), c.seg.header.Size-offsetOf(n))
		got, err := c.file.ReadAt(c.buf[:want], offsetOf(n))
		if int64(got) < want {
			if err == nil || errors.Is(err, io.EOF) {
				return nil, damaged(c.seg.path, offsetOf(n)+int64(got), "the file ends here, it had %d bytes", c.seg.header.Size)
			}
			return nil, fmt.Errorf("read %s at offset %d: %w", c.seg.path, offsetOf(n), err)
		}
		c.base, c.have = n, uint32(want/sectorSize) //nolint:gosec // ≤ len(buf)
	}
	at := (n - c.base) * sectorSize
	return c.buf[at : at+sectorSize], nil
}

// block is what the scanner found of one block.
type block struct {
	seq    uint64
	sector uint32
	length int
	hash   journal.Hash
}

func (b *block) sectors() uint32 { return sectorsFor(b.length) }

// read looks for block seq with predecessor prev at a sector. It reports present, or absent where its first sector
// was never written, or (only if whole, which checks every sector) some other one wasn't; b has the length where the
// first one was. Anything else is damage.
func (c *scanner) read(sector uint32, seq uint64, prev journal.Hash, whole bool) (b block, st state, err error) {
	if sector >= c.seg.sectors() {
		return b, absent, nil
	}
	first, err := c.sector(sector)
	if err != nil {
		return b, bad, err
	}
	switch c.coder.check(first, sector, seq, 0) {
	case absent:
		return b, absent, nil
	case bad:
		return b, bad, damaged(c.seg.path, offsetOf(sector), "block %d does not begin here as it was written", seq)
	}
	length, ok := frameLength(first, seq)
	if !ok || sector+sectorsFor(length) > c.seg.sectors() {
		return b, bad, damaged(c.seg.path, offsetOf(sector), "the frame of block %d makes no sense", seq)
	}
	raw := first[sectorHead+frameSize : sectorHead+frameSize+journal.HeaderSize]
	h, err := journal.DecodeHeader(raw)
	if err != nil {
		return b, bad, errors.Join(damaged(c.seg.path, offsetOf(sector), "block %d", seq), err)
	}
	switch {
	case h.Seq != seq || h.Cell != c.seg.header.Cell || journal.HeaderSize+h.BodySize() != length:
		return b, bad, damaged(c.seg.path, offsetOf(sector), "block %d is expected, here is block %d of cell %d", seq, h.Seq, h.Cell)
	case h.Prev != prev:
		return b, bad, damaged(c.seg.path, offsetOf(sector), "block %d follows %v, but the block before it is %v", seq, h.Prev, prev)
	}
	b = block{seq: seq, sector: sector, length: length, hash: sha256.Sum256(raw)}
	if !whole {
		return b, present, nil
	}
	for i := uint32(1); i < b.sectors(); i++ {
		next, err := c.sector(sector + i)
		if err != nil {
			return b, bad, err
		}
		switch c.coder.check(next, sector+i, seq, i) {
		case absent:
			return b, absent, nil
		case bad:
			return b, bad, damaged(c.seg.path, offsetOf(sector+i), "sector %d of block %d is not as it was written", i, seq)
		}
	}
	return b, present, nil
}

// end is where a walk through a segment stopped: the first sector without a whole block, and which block is next.
type end struct {
	sector uint32
	next   uint64
	hash   journal.Hash // of the block before next
	torn   int          // length of the block that begins there but isn't whole; 0 if none begins
}

// walk reads the segment's blocks from the first one on, those from verify on with every sector, and gives them to
// visit.
func (c *scanner) walk(verify uint64, visit func(block)) (end, error) {
	e := end{sector: 1, next: c.seg.header.First, hash: c.seg.header.Prev}
	for {
		b, st, err := c.read(e.sector, e.next, e.hash, e.next >= verify)
		if err != nil {
			return e, err
		}
		if st == absent {
			e.torn = b.length
			return e, nil
		}
		visit(b)
		e.sector += b.sectors()
		e.next++
		e.hash = b.hash
	}
}

// tail looks at what follows the last whole block. At most one append can have been outstanding, of block e.next: its
// sectors may be there or not. Anything else of this generation means that blocks which had been durable are gone,
// which is damage. It returns how many sectors from e.sector on the torn block reaches.
func (c *scanner) tail(e end) (torn uint32, err error) {
	window := uint32(maxSectors)
	if e.torn > 0 {
		window = sectorsFor(e.torn)
	}
	for n := e.sector; n < c.seg.sectors(); n++ {
		b, err := c.sector(n)
		if err != nil {
			return 0, err
		}
		i := n - e.sector
		if i >= window {
			if binary.LittleEndian.Uint32(b) >= c.coder.generation {
				return 0, damaged(c.seg.path, offsetOf(n), "there is data after the end of the journal; block %d should begin at offset %d", e.next, offsetOf(e.sector))
			}
			continue
		}
		switch c.coder.check(b, n, e.next, i) {
		case present:
			torn = i + 1
		case bad:
			return 0, damaged(c.seg.path, offsetOf(n), "this is not part of block %d, which should begin at offset %d", e.next, offsetOf(e.sector))
		}
	}
	return torn, nil
}
