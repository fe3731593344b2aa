package audit

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"

	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/rfc6962"
)

// reader reads tiles and bundles of a log of one size. What it returns is only as good as the files: what proves them
// is that hashes add up to a root that was signed. It keeps the last bundle and a tile of each level.
type reader struct {
	files  Files
	size   uint64
	bundle struct {
		file
		entries [][]byte
	}
	tiles map[uint64]*tile // by level
}

type tile struct {
	file
	nodes [][]byte
}

func newReader(files Files, size uint64) *reader {
	return &reader{files: files, size: size, tiles: map[uint64]*tile{}}
}

// fetch reads a file. Where only a fuller one is left of a tile that was partial, it reads that one.
func (r *reader) fetch(ctx context.Context, f file) ([]byte, file, error) {
	b, err := r.files.File(ctx, f.path(), f.maxSize())
	if errors.Is(err, fs.ErrNotExist) && f.partial != 0 {
		full := f
		full.partial = 0
		if b, fullErr := r.files.File(ctx, full.path(), f.maxSize()); fullErr == nil {
			return b, full, nil
		}
	}
	return b, f, err
}

// entries returns the entries of a bundle, as many as the log of this size has in it.
func (r *reader) entries(ctx context.Context, index uint64) ([][]byte, error) {
	want := bundleOf(index, r.size)
	if r.bundle.entries != nil && r.bundle.file == want {
		return r.bundle.entries, nil
	}
	b, got, err := r.fetch(ctx, want)
	if err != nil {
		return nil, err
	}
	list, err := parseBundle(b, got.width())
	if err != nil {
		return nil, &fileError{got.path(), err}
	}
	r.bundle.file, r.bundle.entries = want, list[:want.width()]
	return r.bundle.entries, nil
}

// fileError is a file whose content is no file of a log.
type fileError struct {
	path string
	err  error
}

func (e *fileError) Error() string { return e.path + ": " + e.err.Error() }
func (e *fileError) Unwrap() error { return e.err }

// entry reads one entry; its signature is not checked.
func (r *reader) entry(ctx context.Context, index uint64) (Entry, error) {
	list, err := r.entries(ctx, index/tileWidth)
	if err != nil {
		return Entry{}, err
	}
	return ParseEntry(index, list[index%tileWidth])
}

// node returns the hash of a node that stands in a tile, by the tile's level.
func (r *reader) node(ctx context.Context, level, index uint64) ([]byte, error) {
	want := tileOf(level, index/tileWidth, r.size)
	t := r.tiles[level]
	if t == nil || t.file != want {
		b, got, err := r.fetch(ctx, want)
		if err != nil {
			return nil, err
		}
		nodes, err := parseTile(b, got.width())
		if err != nil {
			return nil, &fileError{got.path(), err}
		}
		t = &tile{want, nodes[:want.width()]}
		r.tiles[level] = t
	}
	return t.nodes[index%tileWidth], nil
}

// subtree returns the hash of any complete subtree, from the tile that its top stands in.
func (r *reader) subtree(ctx context.Context, id compact.NodeID) ([]byte, error) {
	level, below := uint64(id.Level)/tileHeight, uint64(id.Level)%tileHeight
	grown := newRange(0)
	for i := id.Index << below; i < (id.Index+1)<<below; i++ {
		hash, err := r.node(ctx, level, i)
		if err != nil {
			return nil, err
		}
		if err := grown.Append(hash, nil); err != nil {
			return nil, err
		}
	}
	return grown.GetRootHash(nil)
}

// rangeTo returns the compact range over the first size entries, by the tiles.
func (r *reader) rangeTo(ctx context.Context, size uint64) (*compact.Range, error) {
	var hashes [][]byte
	for _, id := range compact.RangeNodes(0, size, nil) {
		hash, err := r.subtree(ctx, id)
		if err != nil {
			return nil, err
		}
		hashes = append(hashes, hash)
	}
	return factory().NewRange(0, size, hashes)
}

func factory() *compact.RangeFactory {
	return &compact.RangeFactory{Hash: rfc6962.DefaultHasher.HashChildren}
}

func newRange(begin uint64) *compact.Range { return factory().NewEmptyRange(begin) }

func rootOf(r *compact.Range) (root [sha256.Size]byte, err error) {
	if r.End() == 0 {
		return [sha256.Size]byte(rfc6962.DefaultHasher.EmptyRoot()), nil
	}
	hash, err := r.GetRootHash(nil)
	if err != nil {
		return root, fmt.Errorf("root of %d entries: %w", r.End(), err)
	}
	return [sha256.Size]byte(hash), nil
}
