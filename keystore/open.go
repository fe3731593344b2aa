package keystore

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Open opens the keys of a folder, and checks every record. A folder without any becomes an empty store; a folder whose
// keyring is gone does not: that is an [ErrDamaged]. The context is for the master.
func Open(ctx context.Context, o Options) (s *Store, err error) {
	if s, err = prepare(o); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.closeFiles())
			s = nil
		}
	}()
	files, keyring, err := s.list()
	if err != nil {
		return s, err
	}
	if !keyring {
		if len(files) > 0 {
			return s, fmt.Errorf("%w: %s is not there, but %d files of keys are: put it back, or restore the keys from a backup",
				ErrDamaged, s.fs.PathJoin(s.dir, keyringFile), len(files))
		}
		return s, s.commit(ctx, nil)
	}
	b, err := readAll(s.fs, s.fs.PathJoin(s.dir, keyringFile), maxKeyring)
	if err != nil {
		return s, err
	}
	generation, entries, err := decodeKeyring(ctx, s.master, b, s.fs.PathJoin(s.dir, keyringFile))
	if err != nil {
		return s, err
	}
	s.generation = generation
	torn, err := s.load(entries)
	if err != nil {
		return s, err
	}
	if err := s.sweep(files); err != nil {
		return s, err
	}
	if torn { // nothing stands behind what was acknowledged when records are appended again
		return s, s.rewrite(ctx, []*segment{s.segments[len(s.segments)-1]}, nil)
	}
	return s, nil
}

func prepare(o Options) (*Store, error) {
	if o.FS == nil {
		o.FS = privateFS{vfs.Default}
	}
	if err := makeFolder(o.FS, o.Dir); err != nil {
		return nil, err
	}
	lock, err := o.FS.Lock(o.FS.PathJoin(o.Dir, lockFile))
	if err != nil {
		return nil, fmt.Errorf("lock %s, which one process may use at a time: %w", o.Dir, err)
	}
	return &Store{
		fs: o.FS, dir: o.Dir, master: o.Master, clock: o.Clock, lock: lock,
		whole: make(chan struct{}, 1), positions: map[[16]byte]uint32{}, waiting: map[Hash]struct{}{},
	}, nil
}

// list returns the names of the segments' files, and whether there is a keyring. An unfinished keyring is removed.
func (s *Store) list() (files []string, keyring bool, err error) {
	names, err := s.fs.List(s.dir)
	if err != nil {
		return nil, false, fmt.Errorf("list the keys: %w", err)
	}
	for _, name := range names {
		switch {
		case name == keyringFile:
			keyring = true
		case name == keyringNext:
			if err := discard(s.fs, s.fs.PathJoin(s.dir, name)); err != nil {
				return nil, false, err
			}
		case strings.HasSuffix(name, ".seg"):
			files = append(files, name)
		}
	}
	return files, keyring, nil
}

// load reads the segments that the keyring names.
func (s *Store) load(entries []entry) (torn bool, err error) {
	total := 0
	for i := range entries {
		total += int(entries[i].count)
	}
	s.positions = make(map[[16]byte]uint32, total)
	s.segments = make([]*segment, len(entries))
	for i := range entries {
		g, err := s.newSegment(uint32(i), &entries[i])
		if err != nil {
			return false, err
		}
		b, err := readAll(s.fs, g.path, segmentHeaderSize+segmentRecords*recordSize)
		if errors.Is(err, os.ErrNotExist) {
			return false, fmt.Errorf("%w: %s is not there, which the keyring names: %w", ErrDamaged, g.path, err)
		} else if err != nil {
			return false, err
		}
		if torn, err = g.parse(b, s.learn(g)); err != nil {
			return false, err
		}
		if last := i == len(entries)-1; !last && (torn || g.count != entries[i].count) {
			return false, fmt.Errorf("%w: %s has %d records, the keyring says %d", ErrDamaged, g.path, g.count, entries[i].count)
		}
		if g.file, err = s.fs.OpenReadWrite(g.path, keysCategory); err != nil {
			return false, fmt.Errorf("open %s: %w", g.path, err)
		}
		s.segments[i] = g
	}
	return torn, nil
}

// learn returns what notes a segment's records.
func (s *Store) learn(g *segment) func(slot uint32, r *record) error {
	return func(slot uint32, r *record) error {
		if at, twice := s.positions[short(r.subject)]; twice {
			return g.damaged(slot, fmt.Sprintf("its subject has record %d of segment %d already", at%segmentRecords, at/segmentRecords))
		}
		s.positions[short(r.subject)] = position(g.id, slot)
		if r.kind == recordErased {
			s.erased++
		}
		return nil
	}
}

// sweep overwrites and removes what an interrupted change left behind: the files that it replaced, or had written. A
// file with keys that nothing replaces is never removed: the keyring must be an older copy.
func (s *Store) sweep(files []string) error {
	swept := false
	for _, name := range files {
		var id uint32
		var generation uint64
		if n, err := fmt.Sscanf(name, "keys-%08x-%016x.seg", &id, &generation); n != 2 || err != nil {
			return fmt.Errorf("%w: %s is no file of keys", ErrDamaged, s.fs.PathJoin(s.dir, name))
		}
		known := int(id) < len(s.segments)
		if known && s.segments[id].generation == generation {
			continue
		}
		path := s.fs.PathJoin(s.dir, name)
		info, err := s.fs.Stat(path)
		if err != nil {
			return fmt.Errorf("inspect %s: %w", path, err)
		}
		if generation > s.generation+1 || !known && info.Size() > segmentHeaderSize {
			return fmt.Errorf("%w: %s is newer than the keyring: put the newer keyring back, or restore the keys from a backup", ErrDamaged, path)
		}
		if err := discard(s.fs, path); err != nil {
			return err
		}
		swept = true
	}
	if swept {
		return syncDir(s.fs, s.dir)
	}
	return nil
}
