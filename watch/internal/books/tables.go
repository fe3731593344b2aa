package books

import (
	"encoding/binary"
	"math/bits"

	"github.com/sterlingrun/sterling/watch/internal/count"
)

// hashID spreads ids. The key comes from outside (see Options), so that nobody chooses ids that meet; nothing that a model
// says depends on it.
func hashID(id *count.ID, key uint64) uint64 {
	hi, lo := bits.Mul64(binary.LittleEndian.Uint64(id[:8])^key^0x9E3779B97F4A7C15, binary.LittleEndian.Uint64(id[8:])^bits.RotateLeft64(key, 32)^0xD6E8FEB86659FD93)
	hi, lo = bits.Mul64(hi^lo^key, 0xA0761D6478BD642F)
	return hi ^ lo
}

// table finds numbers by hash: open addressing with linear probing, no pointers. An entry is the upper half of the hash
// and the number; so it grows without asking anybody. A hash may come more than once.
type table struct {
	slots []uint64
	n     int
}

const firstSlots = 1 << 10

func (t *table) home(h uint32) int { return int(uint64(h) * uint64(len(t.slots)) >> 32) }

func (t *table) insert(hash uint64, number uint32) {
	if 10*(t.n+1) > 7*len(t.slots) {
		t.grow()
	}
	t.put(hash&^(1<<32-1) | uint64(number))
	t.n++
}

func (t *table) put(entry uint64) {
	at := t.home(uint32(entry >> 32))
	for t.slots[at] != 0 {
		if at++; at == len(t.slots) {
			at = 0
		}
	}
	t.slots[at] = entry
}

func (t *table) grow() {
	old := t.slots
	t.slots = make([]uint64, max(firstSlots, len(old)+len(old)/2))
	for _, e := range old {
		if e != 0 {
			t.put(e)
		}
	}
}

// first returns the first place with this hash from its home on, next the one after a place; number 0: there is none.
func (t *table) first(hash uint64) (number uint32, at int) {
	if len(t.slots) == 0 {
		return 0, 0
	}
	return t.from(t.home(uint32(hash>>32)), hash)
}

func (t *table) next(at int, hash uint64) (uint32, int) {
	if at++; at == len(t.slots) {
		at = 0
	}
	return t.from(at, hash)
}

func (t *table) from(at int, hash uint64) (uint32, int) {
	for {
		e := t.slots[at]
		if e == 0 {
			return 0, at
		}
		if e>>32 == hash>>32 {
			return uint32(e), at //nolint:gosec // the lower half
		}
		if at++; at == len(t.slots) {
			at = 0
		}
	}
}

// remove empties a place and moves up what only stands further on because it was taken.
func (t *table) remove(hole int) {
	t.n--
	for at := hole; ; {
		if at++; at == len(t.slots) {
			at = 0
		}
		e := t.slots[at]
		if e == 0 {
			t.slots[hole] = 0
			return
		}
		home := t.home(uint32(e >> 32))
		if hole <= at && (home <= hole || home > at) || hole > at && home <= hole && home > at {
			t.slots[hole] = e
			hole = at
		}
	}
}

// idSet is a set of ids other than 0.
type idSet struct {
	slots []count.ID
	n     int
}

func (s *idSet) place(id *count.ID, hash uint64) (at int, there bool) {
	hi, _ := bits.Mul64(hash, uint64(len(s.slots)))
	for at = int(hi); ; { //nolint:gosec // < len
		switch s.slots[at] {
		case count.ID{}:
			return at, false
		case *id:
			return at, true
		}
		if at++; at == len(s.slots) {
			at = 0
		}
	}
}

// add adds an id and reports whether it was there already.
func (s *idSet) add(id *count.ID, h, key uint64) (there bool) {
	if 10*(s.n+1) > 7*len(s.slots) {
		old := s.slots
		s.slots = make([]count.ID, max(firstSlots, len(old)+len(old)/2))
		for i := range old {
			if !old[i].IsZero() {
				at, _ := s.place(&old[i], hashID(&old[i], key))
				s.slots[at] = old[i]
			}
		}
	}
	at, there := s.place(id, h)
	if !there {
		s.slots[at] = *id
		s.n++
	}
	return there
}

func (s *idSet) has(id *count.ID, hash uint64) bool {
	if s.n == 0 {
		return false
	}
	_, there := s.place(id, hash)
	return there
}

// segments is how many sets the ids are spread over, so that none takes long to grow.
const segments = 64

// seen remembers ids of transfers: all of them, or the youngest. In the latter case the younger half is full at window
// ids; then it becomes the older one, and what was that is forgotten.
type seen struct {
	window int // 0: all are kept
	young  [segments]idSet
	old    [segments]idSet
	n      int // in young
}

// add adds an id and reports whether it was there already.
func (s *seen) add(id *count.ID, key uint64) bool {
	if id.IsZero() {
		return false // zero is no id; whoever recorded it is told otherwise
	}
	h := hashID(id, key)
	k := h % segments
	if s.young[k].add(id, h, key) || s.old[k].has(id, h) {
		return true
	}
	s.n++
	if s.window > 0 && s.n >= s.window {
		s.old, s.young = s.young, s.old
		for i := range s.young {
			clear(s.young[i].slots)
			s.young[i].n = 0
		}
		s.n = 0
	}
	return false
}

// touch brings near what add of this id will read.
func (s *seen) touch(id *count.ID, key uint64) byte {
	h := hashID(id, key)
	var x byte
	for _, set := range [2]*idSet{&s.young[h%segments], &s.old[h%segments]} {
		if len(set.slots) > 0 {
			hi, _ := bits.Mul64(h, uint64(len(set.slots)))
			x += set.slots[hi][0]
		}
	}
	return x
}

// chunk is how many records of a kind lie together.
const (
	chunkBits = 12
	chunkSize = 1 << chunkBits
)

// chunks is a list of records, numbered from 1, that grows without being copied.
type chunks[T any] struct {
	parts []*[chunkSize]T
	n     uint32
}

func (c *chunks[T]) at(n uint32) *T { return &c.parts[(n-1)>>chunkBits][(n-1)&(chunkSize-1)] }

// extend adds an empty record and returns its number.
func (c *chunks[T]) extend() uint32 {
	if int(c.n)>>chunkBits == len(c.parts) {
		c.parts = append(c.parts, new([chunkSize]T))
	}
	c.n++
	return c.n
}

// heap is the appointments of reservations, the earliest first. One whose reservation ended is passed over.
type heap []appointment

type appointment struct {
	at, position uint64 // ns; of the reservation
	place        uint32
}

func (a *appointment) before(b *appointment) bool {
	return a.at < b.at || a.at == b.at && a.position < b.position
}

func (h *heap) push(a appointment) {
	*h = append(*h, a)
	l := *h
	for i := len(l) - 1; i > 0; {
		up := (i - 1) / 2
		if !l[i].before(&l[up]) {
			return
		}
		l[i], l[up] = l[up], l[i]
		i = up
	}
}

func (h *heap) pop() {
	l := *h
	last := len(l) - 1
	l[0] = l[last]
	*h = l[:last]
	h.sink(0)
}

func (h *heap) sink(i int) {
	l := *h
	for {
		least := i
		for k := 2*i + 1; k <= 2*i+2 && k < len(l); k++ {
			if l[k].before(&l[least]) {
				least = k
			}
		}
		if least == i {
			return
		}
		l[i], l[least] = l[least], l[i]
		i = least
	}
}
