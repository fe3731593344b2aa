package local

import (
	"encoding/binary"
	"hash/crc32"

	"github.com/sterlingrun/sterling/journal"
)

// The layout of a segment file, in bytes. A block starts on a sector of its own, so nothing that was acknowledged is
// ever written again; a disk writes a sector whole or not at all.
const (
	sectorSize    = 512
	sectorHead    = 8                       // generation u32, checksum u32
	payloadSize   = sectorSize - sectorHead // bytes of the block's frame in a sector
	frameSize     = 16                      // length u32, zero u32, seq u64: before the block's bytes
	formatVersion = 1
)

// maxSectors is how many sectors the largest block takes: how far one outstanding append can reach.
const maxSectors = (frameSize + journal.MaxBlock + payloadSize - 1) / payloadSize

// sectorsFor is how many sectors a block of n bytes takes.
func sectorsFor(n int) uint32 {
	return uint32((frameSize + n + payloadSize - 1) / payloadSize) //nolint:gosec // n ≤ journal.MaxBlock
}

// state is what a sector turns out to be where a given sector of a given block is expected.
type state int

const (
	absent  state = iota // zeros or an older generation: it was never written
	present              // the sector that is expected
	bad                  // of this generation, but not what was written
)

// codec computes checksums for one segment. It holds scratch memory: one for each goroutine.
type codec struct {
	generation uint32
	seed       uint32 // checksum of the segment's header: binds every sector to its file
	scratch    [20]byte
}

// sum is the CRC32C of generation, sector number, block sequence number, index of the sector in its block, and
// payload, so that a sector in a wrong place or of another block never passes.
func (c *codec) sum(sector uint32, seq uint64, index uint32, payload []byte) uint32 {
	table := crc32.MakeTable(crc32.Castagnoli)
	le := binary.LittleEndian
	le.PutUint32(c.scratch[0:], c.generation)
	le.PutUint32(c.scratch[4:], sector)
	le.PutUint64(c.scratch[8:], seq)
	le.PutUint32(c.scratch[16:], index)
	return crc32.Update(crc32.Update(c.seed, table, c.scratch[:]), table, payload)
}

// frame lays block raw out in dst, which has sectorsFor(len(raw)) sectors, to stand at sector at.
func (c *codec) frame(dst, raw []byte, at uint32, seq uint64) {
	le := binary.LittleEndian
	for i := uint32(0); len(dst) > 0; i++ {
		sector := dst[:sectorSize]
		payload := sector[sectorHead:]
		rest := payload
		if i == 0 {
			le.PutUint32(payload, uint32(len(raw))) //nolint:gosec // ≤ journal.MaxBlock
			le.PutUint32(payload[4:], 0)
			le.PutUint64(payload[8:], seq)
			rest = payload[frameSize:]
		}
		n := copy(rest, raw)
		raw = raw[n:]
		clear(rest[n:])
		le.PutUint32(sector, c.generation)
		le.PutUint32(sector[4:], c.sum(at+i, seq, i, payload))
		dst = dst[sectorSize:]
	}
}

// check tells what stands in a sector where sector index of block seq is expected.
func (c *codec) check(b []byte, sector uint32, seq uint64, index uint32) state {
	le := binary.LittleEndian
	generation := le.Uint32(b)
	if generation == 0 && zero(b) {
		return absent
	}
	// An altered generation must not pass as an old sector: the checksum is that of the generation expected here.
	ours := le.Uint32(b[4:]) == c.sum(sector, seq, index, b[sectorHead:sectorSize])
	switch {
	case generation == c.generation && ours:
		return present
	case generation < c.generation && !ours:
		return absent
	}
	return bad
}

// length returns the length of the block that begins in this sector, and whether it can be one.
func frameLength(sector []byte, seq uint64) (n int, ok bool) {
	le := binary.LittleEndian
	payload := sector[sectorHead:]
	n = int(le.Uint32(payload))
	ok = n >= journal.HeaderSize && n <= journal.MaxBlock && le.Uint32(payload[4:]) == 0 && le.Uint64(payload[8:]) == seq
	return n, ok
}

// unframe moves the payload of sectors b to the front, drops the frame and returns the n bytes of the block.
func unframe(b []byte, n int) []byte {
	at := copy(b, b[sectorHead+frameSize:sectorSize])
	for from := sectorSize; at < n; from += sectorSize {
		at += copy(b[at:], b[from+sectorHead:from+sectorSize])
	}
	return b[:n]
}

func zero(b []byte) bool {
	for len(b) >= 8 {
		if binary.LittleEndian.Uint64(b) != 0 {
			return false
		}
		b = b[8:]
	}
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}
