package keystore

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/cockroachdb/pebble/v2/vfs"
)

const (
	exportMagic      = "STERLKEX"
	exportVersion    = 1
	exportHeaderSize = 16
)

// Export writes all keys, wrapped by the master, and all erasures to w, as one object for [Import]. Erasures wait until
// it returns, or an older object could take the place of the one that they write: so w must be in its place by then.
// See Publish. New subjects go on.
func (s *Store) Export(ctx context.Context, w io.Writer) error {
	return s.Publish(ctx, func(_ context.Context, r io.Reader, _ int64) error {
		_, err := io.Copy(w, r)
		return err
	})
}

// Publish has put write an export, of size bytes, where a backup keeps it: in the place of the one before. Erasures
// wait until put returns. After every erasure, publish again to each backup.
func (s *Store) Publish(ctx context.Context, put func(ctx context.Context, r io.Reader, size int64) error) error {
	leave, err := s.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	r, size, err := s.exported(ctx)
	if err != nil {
		return fmt.Errorf("export the keys: %w", err)
	}
	if err := put(ctx, r, size); err != nil {
		return fmt.Errorf("export the keys: %w", err)
	}
	return nil
}

// exported returns an export of what is there now. Nothing that it reads changes as long as whole is held: records are
// only added behind.
func (s *Store) exported(ctx context.Context) (io.Reader, int64, error) {
	s.mu.RLock()
	if s.closed {
		defer s.mu.RUnlock()
		return nil, 0, s.usable()
	}
	generation := s.generation
	entries := make([]entry, len(s.segments))
	files := make([]vfs.File, len(s.segments))
	for i, g := range s.segments {
		entries[i], files[i] = entry{g.generation, g.count, g.key}, g.file
	}
	s.mu.RUnlock()
	keyring, err := encodeKeyring(ctx, s.master, generation, entries)
	if err != nil {
		return nil, 0, err
	}
	head := make([]byte, exportHeaderSize, exportHeaderSize+len(keyring))
	copy(head, exportMagic)
	binary.LittleEndian.PutUint16(head[8:], exportVersion)
	head = append(head, keyring...)
	parts, size := []io.Reader{bytes.NewReader(head)}, int64(len(head))
	for i := range entries {
		n := segmentHeaderSize + int64(entries[i].count)*recordSize
		parts, size = append(parts, io.NewSectionReader(files[i], 0, n)), size+n
	}
	return io.MultiReader(parts...), size, nil
}

// Import puts an export into a folder that has no keys, for [Open]. Nothing is believed: every record has to open with
// the keys that o.Master unwraps. After it, the journal's erasures have to be applied ([Store.ApplyErasures]): the
// export may be older than the journal. What an interrupted import left is overwritten.
func Import(ctx context.Context, o Options, r io.Reader) (err error) {
	s, err := prepare(o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.closeFiles()) }()
	files, keyring, err := s.list()
	if err != nil {
		return err
	}
	if keyring {
		return fmt.Errorf("import keys into %s: %w", s.dir, ErrNotEmpty)
	}
	for _, name := range files {
		if err := discard(s.fs, s.fs.PathJoin(s.dir, name)); err != nil {
			return err
		}
	}
	b, generation, entries, err := readExport(ctx, s.master, r)
	if err != nil {
		return err
	}
	for i := range entries {
		if err := s.importSegment(uint32(i), &entries[i], r); err != nil {
			return fmt.Errorf("import segment %d of %d: %w", i+1, len(entries), err)
		}
	}
	if n, err := r.Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: the export goes on after its last segment (or can't be read: %w)", ErrDamaged, err)
	}
	s.generation = 0 // there is no keyring to overwrite
	if err := syncDir(s.fs, s.dir); err != nil {
		return err
	}
	if err := s.replaceKeyring(b); err != nil {
		return err
	}
	s.generation = generation
	return nil
}

// readExport reads the beginning of an export: up to its segments.
func readExport(ctx context.Context, master Master, r io.Reader) (keyring []byte, generation uint64, entries []entry, err error) {
	var head [exportHeaderSize + keyringHeaderSize]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, 0, nil, fmt.Errorf("%w: the export is cut short: %w", ErrDamaged, err)
	}
	if string(head[:8]) != exportMagic || !zero(head[10:exportHeaderSize]) {
		return nil, 0, nil, fmt.Errorf("%w: it is no export of keys", ErrDamaged)
	}
	if v := binary.LittleEndian.Uint16(head[8:]); v != exportVersion {
		return nil, 0, nil, fmt.Errorf("%w: the export has version %d, this program reads version %d", ErrDamaged, v, exportVersion)
	}
	size, err := keyringSize(head[exportHeaderSize:])
	if err != nil {
		return nil, 0, nil, fmt.Errorf("%w: the export's keyring: %w", ErrDamaged, err)
	}
	keyring = append(make([]byte, 0, size), head[exportHeaderSize:]...)[:size]
	if _, err := io.ReadFull(r, keyring[keyringHeaderSize:]); err != nil {
		return nil, 0, nil, fmt.Errorf("%w: the export is cut short: %w", ErrDamaged, err)
	}
	generation, entries, err = decodeKeyring(ctx, master, keyring, "the export's keyring")
	return keyring, generation, entries, err
}

func (s *Store) importSegment(id uint32, e *entry, r io.Reader) error {
	g, err := s.newSegment(id, e)
	if err != nil {
		return err
	}
	b := make([]byte, segmentHeaderSize+int(e.count)*recordSize)
	if _, err := io.ReadFull(r, b); err != nil {
		return fmt.Errorf("%w: the export is cut short: %w", ErrDamaged, err)
	}
	torn, err := g.parse(b, s.learn(g))
	if err != nil {
		return err
	}
	if torn || g.count != e.count {
		return fmt.Errorf("%w: it has %d records, its keyring says %d", ErrDamaged, g.count, e.count)
	}
	f, err := create(s.fs, g.path, b)
	if err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return fmt.Errorf("close %s: %w", g.path, err)
	}
	s.segments = append(s.segments, g)
	return nil
}

// ImportFile imports an export that lies in a file of the operating system, as a restore leaves it, and then overwrites
// and removes the file. Interrupted, it is done again. A file that is not there is no error.
func ImportFile(ctx context.Context, o Options, path string) (err error) {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("open the export of the keys: %w", err)
	}
	err = Import(ctx, o, bufio.NewReaderSize(f, 1<<20))
	if errors.Is(err, ErrNotEmpty) { // it was imported, and not removed
		err = nil
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("import the keys of %s: %w", path, err)
	}
	if err := discard(vfs.Default, path); err != nil {
		return err
	}
	return syncDir(vfs.Default, filepath.Dir(path))
}
