package ledger_test

import (
	"fmt"
	"slices"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/ledger"
)

// idFiles stand for the files of settled generations, in the plainest form.
type idFiles struct {
	entries map[uint32]map[uint64][]uint64
	filters map[uint32][]uint64
	refs    map[uint32]ledger.GenerationRef
	found   int // entries that were asked for and were there
}

func newIDFiles() *idFiles {
	return &idFiles{entries: map[uint32]map[uint64][]uint64{}, filters: map[uint32][]uint64{}, refs: map[uint32]ledger.GenerationRef{}}
}

func (f *idFiles) config(key [2]uint64, size int) ledger.Config {
	return ledger.Config{HashKey: key, Generation: size, Filter: f.filter}
}

func (f *idFiles) filter(ref ledger.GenerationRef) ([]uint64, error) {
	if f.refs[ref.Number] != ref {
		return nil, fmt.Errorf("generation %+v is not there", ref)
	}
	return f.filters[ref.Number], nil
}

// write writes a generation out, and settles it.
func (f *idFiles) write(s *ledger.State, g *ledger.Generation) {
	ref := g.Ref()
	entries := map[uint64][]uint64{}
	before, n := uint64(0), uint64(0)
	for hash, value := range g.Entries() {
		if hash < before {
			panic("entries are not sorted")
		}
		before, n = hash, n+1
		entries[hash] = append(entries[hash], value)
		ref.Sum[n%32] ^= byte(hash ^ value)
	}
	if n != ref.Count {
		panic(fmt.Sprintf("%d entries, not %d", n, ref.Count))
	}
	if was, ok := f.refs[ref.Number]; ok && was != ref {
		panic(fmt.Sprintf("generation %+v was made once more as %+v", was, ref))
	}
	f.entries[ref.Number], f.refs[ref.Number], f.filters[ref.Number] = entries, ref, g.Filter()
	s.Settle(ref, f.filters[ref.Number])
}

// settle settles all generations that can be.
func (f *idFiles) settle(s *ledger.State) {
	for g := s.NextSealed(); g != nil; g = s.NextSealed() {
		f.write(s, g)
	}
}

// answer puts what the generations have of a hash into facts, and returns the positions.
func (f *idFiles) answer(n ledger.Need, facts *ledger.Facts) (list []journal.Position) {
	var values []uint64
	for _, g := range n.Generations {
		values = append(values, f.entries[g][n.Hash]...)
	}
	f.found += len(values)
	if facts.IDs == nil {
		facts.IDs = map[uint64][]uint64{}
	}
	facts.IDs[n.Hash] = values
	for _, v := range values {
		if p := journal.Position(v >> 2); p != n.Skip && !slices.Contains(list, p) {
			list = append(list, p)
		}
	}
	return list
}
