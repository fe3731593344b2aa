package ledger

import (
	"iter"
	"slices"
	"unsafe"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/must"
)

// DefaultGeneration is how many ids a generation takes where nothing else is asked for.
const DefaultGeneration = 2 << 20

// Generation is a set of ids that takes no more: entries of hash and value (position<<2 | how its reservation ended).
// It never changes, so the runner may read it from any goroutine until it calls Settle. An entry whose two lowest bits
// are not zero may stand for an id of an older generation, whose reservation ended in this one.
type Generation struct {
	number      uint32
	first, last uint64
	words       int
	table       *table
}

// GenerationRef names a generation that was written out. A snapshot lists those that it relies on.
type GenerationRef struct {
	Number      uint32 // from 1
	Words       uint32 // length of its filter
	Count       uint64 // entries
	First, Last uint64 // sequence numbers of the blocks that its entries were made in
	Sum         [32]byte
}

// Number counts the generations from 1.
func (g *Generation) Number() uint32 { return g.number }

// Ref returns the name of the generation, as far as it is known before it is written: without its sum.
func (g *Generation) Ref() GenerationRef {
	return GenerationRef{Number: g.number, Words: uint32(g.words), Count: uint64(g.table.n), First: g.first, Last: g.last} //nolint:gosec // bounded by Config
}

// Entries returns all entries, sorted by hash, then by value.
func (g *Generation) Entries() iter.Seq2[uint64, uint64] {
	return func(yield func(hash, value uint64) bool) {
		sorted := make([]slot, segmentSlots)
		var before *segment
		for _, seg := range g.table.dir { // in the order of the hashes' leading bits
			if seg == before {
				continue
			}
			before = seg
			for _, e := range seg.sorted(sorted) {
				if !yield(e.hash, e.value) {
					return
				}
			}
		}
	}
}

// sorted returns the segment's entries by hash, then value, in buf. They are spread by the bits of their hashes that
// follow those which all share; what is still in disorder then has neighbours to change places with.
func (s *segment) sorted(buf []slot) []slot {
	bucket := func(hash uint64) uint64 { return hash << s.depth >> (64 - segmentBits) }
	var ends [segmentSlots + 1]uint32
	for i := range s.slots {
		if s.slots[i].value != 0 {
			ends[bucket(s.slots[i].hash)+1]++
		}
	}
	for i := range segmentSlots {
		ends[i+1] += ends[i]
	}
	list := buf[:s.used]
	for i := range s.slots {
		if e := &s.slots[i]; e.value != 0 {
			at := &ends[bucket(e.hash)]
			list[*at] = *e
			*at++
		}
	}
	for i := 1; i < len(list); i++ {
		e, k := list[i], i
		for ; k > 0 && (list[k-1].hash > e.hash || list[k-1].hash == e.hash && list[k-1].value > e.value); k-- {
			list[k] = list[k-1]
		}
		list[k] = e
	}
	return list
}

// Filter returns the generation's filter, which stays in memory when its entries go.
func (g *Generation) Filter() []uint64 {
	words := make([]uint64, g.words)
	for _, seg := range g.table.segs {
		for i := range seg.slots {
			if seg.slots[i].value != 0 {
				word, bits := filterPlace(seg.slots[i].hash, g.words)
				words[word] |= bits
			}
		}
	}
	return words
}

// generations are the ids of a state but for the youngest, which State.ids takes.
type generations struct {
	size     int             // ids of a generation; 0: State.ids keeps all
	sealed   []*Generation   // that take no more and are still in memory, oldest first
	settled  []GenerationRef // of which only the filter is in memory, oldest first
	filters  filters
	through  uint64 // last block of the youngest of them
	released uint64 // last block that can be read from the log
	pool     segmentPool
}

// segmentPool gives out segments again that a settled generation does not need any more.
type segmentPool struct {
	fresh Alloc
	spare []*segment
}

func (p *segmentPool) alloc(n int) []byte {
	last := len(p.spare) - 1
	if last < 0 || n != int(unsafe.Sizeof(segment{})) {
		return p.fresh(n)
	}
	s := p.spare[last]
	p.spare = p.spare[:last]
	*s = segment{}
	return unsafe.Slice((*byte)(unsafe.Pointer(s)), n)
}

func (s *State) newIDs() *table { return newTable(s.gens.pool.alloc, 0) }

// seal ends the youngest generation if it is full. It is asked at the end of every block, so that a replay makes the
// same generations.
func (s *State) seal() {
	if s.gens.size > 0 && s.ids.n >= s.gens.size {
		s.sealTable(s.ids, s.gens.through+1)
		s.gens.through, s.ids = s.seq, s.newIDs()
	}
}

func (s *State) sealTable(t *table, first uint64) {
	s.gens.sealed = append(s.gens.sealed, &Generation{
		number: uint32(len(s.gens.settled)+len(s.gens.sealed)) + 1, //nolint:gosec // far below 2^32
		first:  first, last: s.seq, words: filterWords(s.gens.size), table: t,
	})
}

// NextSealed returns the oldest generation that the runner has to write out, or nil. Its blocks were all released:
// whatever it names, the log can tell.
func (s *State) NextSealed() *Generation {
	if g := &s.gens; len(g.sealed) > 0 && g.sealed[0].last <= g.released {
		return g.sealed[0]
	}
	return nil
}

// Unsettled is how many generations take no more ids and are still in memory.
func (s *State) Unsettled() int { return len(s.gens.sealed) }

// Settle tells that the generation that NextSealed returned is durable: from here on its ids are asked for by Needs,
// behind its filter. The generation must not be used any more.
func (s *State) Settle(ref GenerationRef, filter []uint64) {
	g := s.NextSealed()
	must.True(g != nil && g.number == ref.Number && len(filter) == g.words, "generation %d was not to be settled", ref.Number)
	s.gens.sealed = append(s.gens.sealed[:0], s.gens.sealed[1:]...)
	s.gens.settled = append(s.gens.settled, ref)
	s.gens.filters.add(filter)
	if s.snapshot != nil && s.snapshot.ids == g.table {
		return // the snapshot gives it back
	}
	s.recycle(g.table)
}

func (s *State) recycle(t *table) {
	s.gens.pool.spare = append(s.gens.pool.spare, t.segs...)
	t.segs, t.dir = nil, nil
}

// entries returns what is known of a hash, in memory or from what was told: one value for each position. It is valid
// until the next call.
func (s *State) entries(hash uint64) []uint64 {
	list := s.ids.entries(hash, s.found[:0])
	for _, g := range s.gens.sealed {
		list = g.table.entries(hash, list)
	}
	if s.gens.filters.any(hash) {
		told, ok := s.facts.IDs[hash]
		must.True(ok, "nobody told what the settled generations know of hash %x", hash)
		list = append(list, told...)
	}
	if len(list) > 1 {
		list = mergeEnds(list)
	}
	s.found = list
	return list
}

// mergeEnds joins the values of equal positions: that of an open reservation and that of its end.
func mergeEnds(list []uint64) []uint64 {
	merged := list[:0]
	for _, v := range list {
		i := slices.IndexFunc(merged, func(m uint64) bool { return m>>2 == v>>2 })
		if i >= 0 {
			merged[i] |= v
		} else {
			merged = append(merged, v)
		}
	}
	return merged
}

// entries appends the values of hash to dst.
func (t *table) entries(hash uint64, dst []uint64) []uint64 {
	seg := t.segment(hash)
	for p, v := seg.find(hash, 0); p >= 0; p, v = seg.find(hash, p+1) {
		dst = append(dst, v)
	}
	return dst
}

// endEntry notes how the reservation at p ended. What is older than the youngest generation does not change: the end
// becomes an entry of its own.
func (s *State) endEntry(hash uint64, p journal.Position, how uint64) {
	open := uint64(p) << 2
	if p.Seq() > s.gens.through {
		s.ids.replace(hash, open, open|how)
	} else {
		s.ids.insert(hash, open|how)
	}
}

// undoEnd is the opposite of endEntry, in the same block.
func (s *State) undoEnd(hash uint64, p journal.Position, how uint64) {
	open := uint64(p) << 2
	if p.Seq() > s.gens.through {
		s.ids.replace(hash, open|how, open)
	} else {
		s.ids.remove(hash, open|how)
	}
}
