package sim

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"

	"github.com/sterlingrun/sterling/cell"
	"github.com/sterlingrun/sterling/ledger"
)

// idFiles is cell.IDFiles in memory. What was written survives a crash, unless its medium loses it.
type idFiles struct {
	kept map[uint32]idFile
}

type idFile struct {
	ref     ledger.GenerationRef
	filter  []uint64
	entries map[uint64][]uint64
}

func newIDFiles() *idFiles { return &idFiles{kept: map[uint32]idFile{}} }

// Write implements cell.IDFiles.
func (f *idFiles) Write(g *ledger.Generation) (ledger.GenerationRef, []uint64, error) {
	x := idFile{ref: g.Ref(), filter: g.Filter(), entries: map[uint64][]uint64{}}
	n := 0
	for hash, value := range g.Entries() {
		x.entries[hash] = append(x.entries[hash], value)
		for i, b := range fmt.Appendf(nil, "%016x%016x", hash, value) {
			x.ref.Sum[(n+i)%len(x.ref.Sum)] = x.ref.Sum[(n+i)%len(x.ref.Sum)]*31 + b
		}
		n++
	}
	f.kept[x.ref.Number] = x
	return x.ref, x.filter, nil
}

// Load implements cell.IDFiles.
func (f *idFiles) Load(ref ledger.GenerationRef) ([]uint64, error) {
	x, ok := f.kept[ref.Number]
	if !ok || x.ref != ref {
		return nil, fmt.Errorf("generation %d of ids: %w", ref.Number, cell.ErrDamaged)
	}
	return x.filter, nil
}

// Find implements cell.IDFiles.
func (f *idFiles) Find(number uint32, hash uint64, dst []uint64) ([]uint64, error) {
	return append(dst, f.kept[number].entries[hash]...), nil
}

// lose forgets one generation, if there is any.
func (f *idFiles) lose(rng *rand.Rand) (number uint32) {
	list := slices.Sorted(maps.Keys(f.kept))
	if len(list) == 0 {
		return 0
	}
	number = list[rng.IntN(len(list))]
	delete(f.kept, number)
	return number
}

// countedIDs counts what a run does with the files of ids.
type countedIDs struct {
	cell.IDFiles
	report  *Report
	forgets bool // planted
}

// Write implements cell.IDFiles.
func (c countedIDs) Write(g *ledger.Generation) (ledger.GenerationRef, []uint64, error) {
	ref, filter, err := c.IDFiles.Write(g)
	if err == nil {
		c.report.Settled++
	}
	return ref, filter, err
}

// Find implements cell.IDFiles.
func (c countedIDs) Find(number uint32, hash uint64, dst []uint64) ([]uint64, error) {
	if c.forgets {
		return dst, nil
	}
	list, err := c.IDFiles.Find(number, hash, dst)
	if len(list) > len(dst) {
		c.report.Found++
	}
	return list, err
}
