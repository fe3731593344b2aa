package router

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
)

// Define makes the map of a ledger's cells, in which each has as many buckets as any other, or one more. Where there is
// a map, it gives its cells these nodes; which cells there are, and which accounts each has, stays. Its error is an ErrMap
// where the cells can't be a map, or are others than the map's.
func Define(ctx context.Context, maps Maps, cells []Cell) (*Map, error) {
	if len(cells) == 0 {
		return nil, fmt.Errorf("%w: no cells", ErrMap)
	}
	m := Even(cells)
	if err := m.Check(); err != nil {
		return nil, err
	}
	version, raw, err := maps.Load(ctx)
	if err != nil {
		return nil, err
	}
	if version > 0 {
		old, err := DecodeMap(version, raw)
		if err != nil {
			return nil, err
		}
		if !slices.EqualFunc(old.Cells, m.Cells, func(a, b Cell) bool { return a.ID == b.ID }) {
			return nil, fmt.Errorf("%w: the one that is there has %d cells, others than these %d: their accounts would not be found any more", ErrMap, len(old.Cells), len(m.Cells))
		}
		m.Version, m.Buckets = version, old.Buckets
	}
	text, err := m.Encode()
	if err != nil || bytes.Equal(text, raw) {
		return m, err
	}
	swapped, err := maps.Swap(ctx, version, text)
	if err != nil {
		return nil, err
	}
	if !swapped {
		return nil, errors.New("replace the map of cells: another program has done so meanwhile")
	}
	m.Version = version + 1
	return m, nil
}
