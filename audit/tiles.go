package audit

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"
	"strings"

	"github.com/transparency-dev/tessera/api/layout"
)

// The log is a folder of files, the same ones that are served: C2SP tlog-tiles. `checkpoint` is a signed note, tiles hold
// the hashes of the Merkle tree, 256 each, and bundles the entries.

const (
	tileWidth  = layout.TileWidth
	tileHeight = layout.TileHeight
	hashSize   = sha256.Size

	maxTile   = tileWidth * hashSize
	maxBundle = tileWidth * (2 + math.MaxUint16)
	// maxLevel is the highest level of tiles in a log of 2^64 entries.
	maxLevel = 7
	// maxIndex bounds the index of a tile, so that what it covers is counted in 64 bits.
	maxIndex = 1 << 48
)

const entriesLevel = "entries"

// file is one of the log's files.
type file struct {
	checkpoint bool
	entries    bool
	level      uint64
	index      uint64
	partial    uint8 // 0: full
}

// parseFile reads the path of a file below the log; other paths than the log's own are not ok.
func parseFile(path string) (f file, ok bool) {
	if path == layout.CheckpointPath {
		return file{checkpoint: true}, true
	}
	rest, ok := strings.CutPrefix(path, "tile/")
	if !ok {
		return f, false
	}
	level, index, ok := strings.Cut(rest, "/")
	if !ok {
		return f, false
	}
	var err error
	if f.entries = level == entriesLevel; !f.entries {
		if f.level, err = layout.ParseTileLevel(level); err != nil || f.level > maxLevel {
			return f, false
		}
	}
	if f.index, f.partial, err = layout.ParseTileIndexPartial(index); err != nil || f.index >= maxIndex>>(tileHeight*min(f.level, 5)) {
		return f, false
	}
	return f, f.path() == path
}

// path is where the file lies below the log.
func (f file) path() string {
	switch {
	case f.checkpoint:
		return layout.CheckpointPath
	case f.entries:
		return layout.EntriesPath(f.index, f.partial)
	}
	return layout.TilePath(f.level, f.index, f.partial)
}

// width is how many hashes or entries the file holds.
func (f file) width() uint64 {
	if f.partial != 0 {
		return uint64(f.partial)
	}
	return tileWidth
}

// needs is the size of the smallest log that has the file.
func (f file) needs() uint64 {
	last := f.index*tileWidth + f.width()
	shift := tileHeight * f.level
	if last > math.MaxUint64>>shift {
		return math.MaxUint64
	}
	return last << shift
}

// maxSize bounds the file in bytes.
func (f file) maxSize() int {
	switch {
	case f.checkpoint:
		return maxNote
	case f.entries:
		return maxBundle
	}
	return maxTile
}

// bundleOf and tileOf are the files of a log of this size.
func bundleOf(index, size uint64) file {
	return file{entries: true, index: index, partial: layout.PartialTileSize(0, index, size)}
}

func tileOf(level, index, size uint64) file {
	return file{level: level, index: index, partial: layout.PartialTileSize(level, index, size)}
}

// parseBundle parts a bundle of exactly n entries, which share its memory.
func parseBundle(b []byte, n uint64) ([][]byte, error) {
	var list [][]byte
	for len(b) > 0 {
		if len(b) < 2 {
			return nil, fmt.Errorf("%d bytes after entry %d", len(b), len(list))
		}
		size := int(binary.BigEndian.Uint16(b))
		if b = b[2:]; size > len(b) {
			return nil, fmt.Errorf("entry %d has %d bytes, of which %d are there", len(list), size, len(b))
		}
		if uint64(len(list)) == n {
			return nil, fmt.Errorf("more than %d entries", n)
		}
		list = append(list, b[:size:size])
		b = b[size:]
	}
	if uint64(len(list)) != n {
		return nil, fmt.Errorf("%d entries, want %d", len(list), n)
	}
	return list, nil
}

// parseTile parts a tile of exactly n hashes, which share its memory.
func parseTile(b []byte, n uint64) ([][]byte, error) {
	if uint64(len(b)) != n*hashSize {
		return nil, fmt.Errorf("%d bytes, want %d hashes of %d", len(b), n, hashSize)
	}
	list := make([][]byte, 0, n)
	for ; len(b) > 0; b = b[hashSize:] {
		list = append(list, b[:hashSize:hashSize])
	}
	return list, nil
}
