package local

import (
	"testing"

	"pgregory.net/rapid"
)

// TestIndexFinds compares the packed index with a plain list of offsets.
func TestIndexFinds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sizes := rapid.SliceOfN(rapid.OneOf(rapid.Uint32Range(1, 3), rapid.Uint32Range(1, maxSectors)), 1, 700).Draw(t, "sizes")
		x := new(index)
		for _, n := range sizes {
			x.add(n)
		}
		at := uint32(1)
		for i := 0; i < len(sizes); i += 2 {
			end := at + sizes[i]
			if i+1 < len(sizes) {
				end += sizes[i+1]
			}
			for k := i; k < min(i+2, len(sizes)); k++ {
				if sector, pairEnd := x.find(uint64(k)); sector != at || pairEnd != end {
					t.Fatalf("block %d of %d: found %d to %d, want %d to %d", k, len(sizes), sector, pairEnd, at, end)
				}
			}
			at = end
		}
	})
}

// TestIndexIsSmall: the promise of the package's memory.
func TestIndexIsSmall(t *testing.T) {
	const blocks = 100_000
	x := new(index)
	for i := range uint32(blocks) {
		x.add(1 + i%60) // up to 30 KiB
	}
	if size := len(x.pairs) + 8*len(x.groups); size > blocks {
		t.Fatalf("the index of %d blocks takes %d bytes, more than one each", blocks, size)
	}
}
