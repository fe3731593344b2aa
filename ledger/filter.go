package ledger

import (
	"math/bits"
	"unsafe"
)

const (
	filterBits   = 24 // of a filter for each id; with 6 bits set, one of about 1,000 unknown ids passes
	filterGroup  = 8  // generations whose filters lie in the same cache lines
	filterFactor = 0x9E3779B97F4A7C15
)

// filterWords is the length of the filter for a generation of n ids.
func filterWords(n int) int { return max(1, n*filterBits/64) }

// filterPlace returns the word of a filter that belongs to hash, by its leading bits, and the bits that are set there.
func filterPlace(hash uint64, words int) (word int, set uint64) {
	high, _ := bits.Mul64(hash, uint64(words)) //nolint:gosec // a length
	x := hash * filterFactor
	set = 1<<(x>>58) | 1<<(x>>52&63) | 1<<(x>>46&63) | 1<<(x>>40&63) | 1<<(x>>34&63) | 1<<(x>>28&63)
	return int(high), set //nolint:gosec // below words
}

// filterLine has the same word of all filters of a group: one cache line answers for 8 generations.
type filterLine [filterGroup]uint64

// filters are the filters of the settled generations, in their order.
type filters struct {
	alloc  Alloc
	groups []filtersOfGroup
}

type filtersOfGroup struct {
	first int // index of the group's first generation
	n     int
	lines []filterLine
}

// add adds the filter of the next generation.
func (f *filters) add(words []uint64) {
	last := len(f.groups) - 1
	if last < 0 || f.groups[last].n == filterGroup || len(f.groups[last].lines) != len(words) {
		first := 0
		if last >= 0 {
			first = f.groups[last].first + f.groups[last].n
		}
		b := f.alloc(len(words) * int(unsafe.Sizeof(filterLine{})))
		lines := unsafe.Slice((*filterLine)(unsafe.Pointer(unsafe.SliceData(b))), len(words))
		f.groups = append(f.groups, filtersOfGroup{first: first, lines: lines})
		last++
	}
	g := &f.groups[last]
	for i, w := range words {
		g.lines[i][g.n] = w
	}
	g.n++
}

// touch reads the cache lines that any will read; the sum only keeps the reads alive.
func (f *filters) touch(hash uint64) (sum uint64) {
	for i := range f.groups {
		word, _ := filterPlace(hash, len(f.groups[i].lines))
		sum += f.groups[i].lines[word][0]
	}
	return sum
}

// any reports whether any generation may know hash.
func (f *filters) any(hash uint64) bool {
	for i := range f.groups {
		word, set := filterPlace(hash, len(f.groups[i].lines))
		line := &f.groups[i].lines[word]
		for k := range line {
			if line[k]&set == set {
				return true
			}
		}
	}
	return false
}

// which appends the numbers of the generations that may know hash.
func (f *filters) which(hash uint64, dst []uint32) []uint32 {
	for i := range f.groups {
		g := &f.groups[i]
		word, set := filterPlace(hash, len(g.lines))
		for k, w := range g.lines[word] {
			if w&set == set {
				dst = append(dst, uint32(g.first+k+1)) //nolint:gosec // far below 2^32
			}
		}
	}
	return dst
}
