package storetest

import (
	"bytes"
	"errors"
	"testing"

	"github.com/sterlingrun/sterling/cell/celltest"
	"github.com/sterlingrun/sterling/journal"
)

// ReadFrom checks reading in bulk on an empty journal of cell 1. Remove deletes the row of one block, which nothing of
// ours ever does.
func ReadFrom(t *testing.T, s Store, remove func(seq uint64)) {
	t.Helper()
	blocks := celltest.Writer{Cell: 1, Epoch: 1, Incarnation: 1}.Chain(0, journal.Hash{}, 40, 1, 20, 0)
	size := func(from, to int) (n int) {
		for _, b := range blocks[from-1 : to] {
			n += len(b.Raw)
		}
		return n
	}
	for _, b := range blocks {
		if err := s.Append(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	}
	remove(31)
	for _, c := range []struct {
		from              uint64
		maxBlocks, maxLen int
		last              uint64 // from-1: none
	}{
		{1, 1, 1, 1},
		{1, 7, 1 << 20, 7},
		{1, 100, 1 << 20, 30},
		{2, 100, size(2, 9), 9},
		{2, 100, size(2, 9) - 1, 8},
		{2, 100, 1, 2},
		{30, 5, 1 << 20, 30},
		{31, 5, 1 << 20, 30},
		{32, 100, 1 << 20, 40},
		{41, 5, 1 << 20, 40},
		{journal.MaxSeq, 5, 1 << 20, journal.MaxSeq - 1},
	} {
		next := c.from
		err := s.ReadFrom(t.Context(), c.from, c.maxBlocks, c.maxLen, func(seq uint64, raw []byte) error {
			if seq != next || !bytes.Equal(raw, blocks[seq-1].Raw) {
				t.Fatalf("from %d: got block %d with %d bytes, want block %d", c.from, seq, len(raw), next)
			}
			next++
			return nil
		})
		if err != nil || next-1 != c.last {
			t.Errorf("%d blocks, %d bytes from %d: up to %d, error %v; want up to %d", c.maxBlocks, c.maxLen, c.from, next-1, err, c.last)
		}
	}
	enough := errors.New("enough")
	err := s.ReadFrom(t.Context(), 1, 10, 1<<20, func(seq uint64, _ []byte) error {
		if seq == 3 {
			return enough
		}
		return nil
	})
	if !errors.Is(err, enough) {
		t.Errorf("got error %v, want the callback's", err)
	}
	for _, c := range []struct {
		seq               uint64
		maxBlocks, maxLen int
	}{{0, 1, 1}, {1, 0, 1}, {1, 1, 0}} {
		if err := s.ReadFrom(t.Context(), c.seq, c.maxBlocks, c.maxLen, nil); err == nil {
			t.Errorf("%+v was taken", c)
		}
	}
}
