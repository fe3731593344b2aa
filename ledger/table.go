package ledger

import (
	"math/bits"
	"unsafe"

	"github.com/sterlingrun/sterling/money"
	"github.com/sterlingrun/sterling/must"
)

// Alloc returns n bytes of zeroed memory, aligned to 64 bytes, that are never given back. The default takes them from
// the Go heap; a node gives memory outside of it, which the garbage collector need not count.
type Alloc func(n int) []byte

func heapAlloc(n int) []byte {
	words := make([]uint64, (n+7)/8)
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(words))), n)
}

const (
	segmentBits  = 10
	segmentSlots = 1 << segmentBits
)

// splitAt are the numbers of entries at which segments split, from 46 to 92 % of their slots in equal ratios. Were it
// one number for all, all segments would split at about the same time, and the table's memory would double in a step.
var splitAt = [16]uint32{471, 492, 514, 536, 560, 585, 611, 638, 666, 696, 726, 759, 792, 827, 864, 902}

type slot struct {
	hash  uint64
	value uint64 // 0: empty
}

// segment is an open-addressing table of its own; within it, probing is linear and wraps around.
type segment struct {
	slots [segmentSlots]slot
	used  uint32
	full  uint32 // entries at which it splits
	depth uint8  // how many leading bits of the hash its entries share
}

// table maps 64-bit hashes to non-zero values by extendible hashing: it grows a segment at a time, so that no insert
// waits for a rehash of everything. Several entries may share a hash; the caller tells them apart.
type table struct {
	alloc Alloc
	dir   []*segment // by the hash's leading bits
	segs  []*segment // all of them, in the order of creation
	shift uint       // 64 minus the number of leading bits that choose a segment
	n     int
}

func newTable(alloc Alloc, expect int) *table {
	t := &table{alloc: alloc, shift: 64}
	depth := 0
	for expect > segmentSlots*6/10 {
		expect, depth = expect/2, depth+1
	}
	t.shift -= uint(depth)
	for range 1 << depth {
		t.dir = append(t.dir, t.newSegment(uint8(depth)))
	}
	return t
}

func (t *table) newSegment(depth uint8) *segment {
	b := t.alloc(int(unsafe.Sizeof(segment{})))
	s := (*segment)(unsafe.Pointer(unsafe.SliceData(b)))
	s.depth = depth
	t.segs = append(t.segs, s)
	s.full = splitAt[len(t.segs)*0x9E3779B1>>8%len(splitAt)]
	return s
}

func (t *table) segment(hash uint64) *segment { return t.dir[hash>>t.shift] }

// touch reads the cache line in which a look-up of hash begins; the sum only keeps the read alive.
func (t *table) touch(hash uint64) uint64 { return t.segment(hash).slots[hash%segmentSlots].hash }

// find returns the place of the next entry of hash in its segment, at or after probe number from, or -1.
func (s *segment) find(hash uint64, from int) (probe int, value uint64) {
	for p := from; p < segmentSlots; p++ {
		e := &s.slots[(hash+uint64(p))%segmentSlots] //nolint:gosec // p ≥ 0
		if e.value == 0 {
			return -1, 0
		}
		if e.hash == hash {
			return p, e.value
		}
	}
	return -1, 0
}

func (t *table) insert(hash, value uint64) {
	if !t.room(hash) {
		must.True(false, "hash table of %d entries: too many hashes begin like %x", t.n, hash)
	}
	t.segment(hash).put(hash, value)
	t.n++
}

// room makes room for an entry of hash. It reports false where chance can't be why so many entries share their leading
// bits: whoever reads hashes from outside must refuse them then, because each split may double the directory.
func (t *table) room(hash uint64) bool {
	s := t.segment(hash)
	for s.used >= s.full {
		if int(s.depth) > bits.Len(uint(t.n)) {
			return false
		}
		t.split(s, hash)
		s = t.segment(hash)
	}
	return true
}

func (s *segment) put(hash, value uint64) {
	i := hash % segmentSlots
	for s.slots[i].value != 0 {
		i = (i + 1) % segmentSlots
	}
	s.slots[i] = slot{hash, value}
	s.used++
}

// has reports whether there is an entry of this hash and value.
func (t *table) has(hash, value uint64) bool {
	s := t.segment(hash)
	p, v := s.find(hash, 0)
	for p >= 0 && v != value {
		p, v = s.find(hash, p+1)
	}
	return p >= 0
}

// replace changes an entry's value.
func (t *table) replace(hash, old, value uint64) {
	s := t.segment(hash)
	for p := 0; p < segmentSlots; p++ {
		e := &s.slots[(hash+uint64(p))%segmentSlots]
		if e.hash == hash && e.value == old {
			e.value = value
			return
		}
	}
	must.True(false, "no entry %x of hash %x", old, hash)
}

// remove deletes an entry and closes the gap, so that later probes need no tombstones.
func (t *table) remove(hash, value uint64) {
	s := t.segment(hash)
	p, v := s.find(hash, 0)
	for p >= 0 && v != value {
		p, v = s.find(hash, p+1)
	}
	must.True(p >= 0, "no entry %x of hash %x", value, hash)
	gap := (hash + uint64(p)) % segmentSlots //nolint:gosec // p ≥ 0
	for i := (gap + 1) % segmentSlots; s.slots[i].value != 0; i = (i + 1) % segmentSlots {
		home := s.slots[i].hash % segmentSlots
		if (i-home)%segmentSlots >= (i-gap)%segmentSlots {
			s.slots[gap] = s.slots[i]
			gap = i
		}
	}
	s.slots[gap] = slot{}
	s.used--
	t.n--
}

// split halves the segment that hash belongs to by one more leading bit.
func (t *table) split(s *segment, hash uint64) {
	if uint(s.depth) == 64-t.shift {
		t.double()
	}
	old := *s
	s.slots, s.used, s.depth = [segmentSlots]slot{}, 0, old.depth+1
	high := t.newSegment(old.depth + 1)
	bit := 63 - uint(old.depth)
	for i := range old.slots {
		if e := old.slots[i]; e.value != 0 {
			if e.hash>>bit&1 == 0 {
				s.put(e.hash, e.value)
			} else {
				high.put(e.hash, e.value)
			}
		}
	}
	span := uint64(1) << (64 - t.shift - uint(old.depth)) // directory entries that the old segment had
	first := hash >> t.shift &^ (span - 1)
	for i := first + span/2; i < first+span; i++ {
		t.dir[i] = high
	}
}

func (t *table) double() {
	dir := make([]*segment, 2*len(t.dir))
	for i, s := range t.dir {
		dir[2*i], dir[2*i+1] = s, s
	}
	t.dir = dir
	t.shift--
}

// hasher hashes ids with a key, so that nobody outside can choose ids that collide.
type hasher struct{ k0, k1 uint64 }

func (k hasher) hash(id money.U128) uint64 {
	h, l := bits.Mul64(id.Lo^k.k0, id.Hi^k.k1)
	h, l = bits.Mul64(h^l^id.Lo, 0x9E3779B97F4A7C15)
	return h ^ l
}

const (
	chunkBits = 12
	chunkLen  = 1 << chunkBits
)

// chunked is an array that grows without moving what it holds.
type chunked[T any] struct {
	alloc Alloc
	parts []*[chunkLen]T
}

func (c *chunked[T]) at(i uint32) *T { return &c.parts[i>>chunkBits][i%chunkLen] }

// grow makes room for index i.
func (c *chunked[T]) grow(i uint32) {
	for int(i>>chunkBits) >= len(c.parts) {
		var t [chunkLen]T
		b := c.alloc(int(unsafe.Sizeof(t)))
		c.parts = append(c.parts, (*[chunkLen]T)(unsafe.Pointer(unsafe.SliceData(b))))
	}
}
