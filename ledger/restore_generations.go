package ledger

import (
	"fmt"
	"math/bits"
)

const (
	maxGenerations = 1 << 20 // that a snapshot may name: a bound, far above what disks hold
	maxFilterWords = 1 << 28
)

// restoreGenerations reads the generations that the snapshot relies on, and has their filters loaded: a snapshot
// without all of them would forget ids, and a payment could be made twice.
func (in *restoring) restoreGenerations() error {
	var list snapshotGenerations
	if err := in.read(&list); err != nil {
		return err
	}
	if list.Settled > maxGenerations || list.Through > in.head.Seq || (list.Settled == 0) != (list.Through == 0) {
		return fmt.Errorf("%w: it relies on %d generations of ids, up to block %d", ErrSnapshot, list.Settled, list.Through)
	}
	last := uint64(0)
	for n := range uint32(list.Settled) {
		var ref GenerationRef
		if err := in.read(&ref); err != nil {
			return err
		}
		if ref.Number != n+1 || ref.Words == 0 || ref.Words > maxFilterWords || ref.Last < last || ref.First > ref.Last || ref.Last > list.Through {
			return fmt.Errorf("%w: its generation %d of ids is number %d, of blocks %d to %d", ErrSnapshot, n+1, ref.Number, ref.First, ref.Last)
		}
		last = ref.Last
		if in.filter == nil {
			return fmt.Errorf("%w: it relies on generations of ids, and there are no files of them", ErrSnapshot)
		}
		words, err := in.filter(ref)
		if err != nil {
			return fmt.Errorf("generation %d of ids: %w", ref.Number, err)
		}
		if uint64(len(words)) != uint64(ref.Words) {
			return fmt.Errorf("%w: the filter of generation %d has %d words, not %d", ErrSnapshot, ref.Number, len(words), ref.Words)
		}
		in.gens.settled = append(in.gens.settled, ref)
		in.gens.filters.add(words)
	}
	if last != list.Through {
		return fmt.Errorf("%w: its generations of ids end with block %d, not %d", ErrSnapshot, last, list.Through)
	}
	in.gens.through = list.Through
	return nil
}

// divideIDs makes generations of more ids than one takes.
func (in *restoring) divideIDs() error {
	size, all := in.gens.size, in.ids
	if size == 0 || all.n < 2*size {
		return nil
	}
	parts := make([]*table, (all.n+size-1)/size)
	for i := range parts {
		parts[i] = in.newIDs()
	}
	for _, seg := range all.segs {
		for i := range seg.slots {
			e := &seg.slots[i]
			if e.value == 0 {
				continue
			}
			part, _ := bits.Mul64(e.hash*filterFactor, uint64(len(parts)))
			if !parts[part].room(e.hash) {
				return fmt.Errorf("%w: the hash of an id begins like too many others", ErrSnapshot)
			}
			parts[part].insert(e.hash, e.value)
		}
		in.gens.pool.spare = append(in.gens.pool.spare, seg)
	}
	first := in.gens.through + 1
	for _, t := range parts {
		in.sealTable(t, first)
	}
	in.gens.through, in.ids = in.head.Seq, in.newIDs()
	return nil
}
