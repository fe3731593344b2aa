package local

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/sterlingrun/sterling/journal"
)

const segmentMagic = "STERLSEG"

// segmentHeader is the first sector of a segment file.
type segmentHeader struct {
	Generation uint32 // 1 for the first segment of a journal, one more for each that follows
	Cell       uint64
	First      uint64 // sequence number of the first block
	Size       int64  // bytes of the file
	Prev       journal.Hash
}

func (h *segmentHeader) encode(b []byte) {
	le := binary.LittleEndian
	clear(b[:sectorSize])
	copy(b[8:], segmentMagic)
	le.PutUint32(b[16:], formatVersion)
	le.PutUint32(b[20:], sectorSize)
	le.PutUint64(b[24:], h.Cell)
	le.PutUint64(b[32:], h.First)
	le.PutUint64(b[40:], uint64(h.Size)) //nolint:gosec // a file's size
	copy(b[48:], h.Prev[:])
	le.PutUint32(b, h.Generation)
	c := codec{generation: h.Generation}
	le.PutUint32(b[4:], c.sum(0, 0, 0, b[sectorHead:sectorSize]))
}

// decodeSegment reads the header of file name, which has size bytes, and its checksum, the seed of the others.
func decodeSegment(name string, size int64, b []byte) (h segmentHeader, seed uint32, err error) {
	le := binary.LittleEndian
	if string(b[8:16]) != segmentMagic {
		return h, 0, damaged(name, 8, "it does not begin with %q", segmentMagic)
	}
	if v := le.Uint32(b[16:]); v != formatVersion {
		return h, 0, fmt.Errorf("open %s: %w: %d, this program knows %d", name, ErrVersion, v, formatVersion)
	}
	h = segmentHeader{
		Generation: le.Uint32(b), Cell: le.Uint64(b[24:]), First: le.Uint64(b[32:]),
		Size: int64(le.Uint64(b[40:])), Prev: journal.Hash(b[48:80]), //nolint:gosec // compared with the file's size
	}
	c := codec{generation: h.Generation}
	seed = c.sum(0, 0, 0, b[sectorHead:sectorSize])
	switch {
	case le.Uint32(b[4:]) != seed:
		return h, 0, damaged(name, 0, "the checksum of its header is wrong")
	case le.Uint32(b[20:]) != sectorSize || !zero(b[80:sectorSize]) || h.Generation == 0 || h.First == 0:
		return h, 0, damaged(name, 0, "its header makes no sense")
	case h.Size != size:
		return h, 0, damaged(name, min(size, h.Size), "it has %d bytes, its header says %d", size, h.Size)
	}
	return h, seed, nil
}

func segmentName(first uint64) string { return fmt.Sprintf("journal-%016x.seg", first) }

// parseName reads the number out of a file name of the form prefix, 16 hexadecimal digits, suffix.
func parseName(name, prefix, suffix string) (uint64, bool) {
	digits, ok := strings.CutPrefix(name, prefix)
	digits, ok2 := strings.CutSuffix(digits, suffix)
	if !ok || !ok2 || len(digits) != 16 || digits != strings.ToLower(digits) {
		return 0, false
	}
	n, err := strconv.ParseUint(digits, 16, 64)
	return n, err == nil
}

// segment is one file. Its index is complete once it is sealed and scanned; file and the fields beside it belong to
// the files that opened it.
type segment struct {
	header segmentHeader
	path   string
	seed   uint32

	end   uint64     // sequence number after its last block, once it is sealed
	scan  sync.Mutex // guards index of a sealed segment until it is built
	index *index

	file    vfs.File
	mapped  mapping // of file
	refs    int
	pinned  bool
	retired bool // another segment stands in its place: the archived one
	used    uint64
}

func (g *segment) codec() codec { return codec{generation: g.header.Generation, seed: g.seed} }

func (g *segment) sectors() uint32 { return uint32(g.header.Size / sectorSize) } //nolint:gosec // < 2^32 (Open)

func offsetOf(sector uint32) int64 { return int64(sector) * sectorSize }

// groupBlocks is how many blocks of an index lie between two whole entries.
const groupBlocks = 128

// index finds the blocks of a sealed segment in less than a byte each on average (more only for blocks above 32 KiB):
// the sectors of each two blocks as a varint, and a whole entry for every groupBlocks.
type index struct {
	groups []indexGroup
	pairs  []byte
	count  uint64 // blocks
	next   uint32 // sector after the last block
	half   uint32 // sectors of the last block, while it has no partner
}

type indexGroup struct {
	sector uint32
	at     uint32 // in pairs
}

// add enters the next block.
func (x *index) add(sectors uint32) {
	if x.count == 0 {
		x.next = 1
	}
	if x.count%groupBlocks == 0 {
		x.groups = append(x.groups, indexGroup{sector: x.next, at: uint32(len(x.pairs))}) //nolint:gosec // < 2^32
	}
	if x.count%2 == 0 {
		x.half = sectors
	} else {
		x.pairs = binary.AppendUvarint(x.pairs, uint64(x.half+sectors))
		x.half = 0
	}
	x.count++
	x.next += sectors
}

// find returns where the pair of block i begins; i is odd if it is the second one. end is the sector after the pair.
func (x *index) find(i uint64) (sector, end uint32) {
	group := x.groups[i/groupBlocks]
	sector = group.sector
	at := int(group.at)
	for k := i / groupBlocks * groupBlocks / 2; k < i/2; k++ {
		v, n := binary.Uvarint(x.pairs[at:])
		at += n
		sector += uint32(v) //nolint:gosec // sectors of two blocks
	}
	if at == len(x.pairs) {
		return sector, sector + x.half
	}
	v, _ := binary.Uvarint(x.pairs[at:])
	return sector, sector + uint32(v) //nolint:gosec // sectors of two blocks
}

// place is where a block stands in the active segment.
type place struct {
	sector uint32
	length uint32 // bytes of the block
}
