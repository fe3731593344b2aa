package keystore

import (
	"context"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// commit writes the keyring that names these segments: the one step by which a change happens. A new root key wraps
// their keys, and the old keyring is overwritten. The caller holds writing, or has the store for itself.
func (s *Store) commit(ctx context.Context, next []*segment) error {
	entries := make([]entry, len(next))
	for i, g := range next {
		entries[i] = entry{g.generation, g.count, g.key}
	}
	b, err := encodeKeyring(ctx, s.master, s.generation+1, entries)
	if err != nil {
		return err
	}
	if err := s.replaceKeyring(b); err != nil {
		return s.wrote(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.generation++
	s.segments = next
	return nil
}

func (s *Store) replaceKeyring(b []byte) error {
	path, next := s.fs.PathJoin(s.dir, keyringFile), s.fs.PathJoin(s.dir, keyringNext)
	f, err := create(s.fs, next, b)
	if err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return fmt.Errorf("close %s: %w", next, err)
	}
	var old vfs.File
	if s.generation > 0 { // held open, so that it can be overwritten once it has no name
		if old, err = s.fs.OpenReadWrite(path, keysCategory); err != nil {
			return fmt.Errorf("open %s to overwrite it: %w", path, err)
		}
	}
	err = s.fs.Rename(next, path)
	if err == nil {
		err = syncDir(s.fs, s.dir)
	}
	if old == nil {
		return err
	}
	if err != nil {
		return fmt.Errorf("put %s in place: %w", path, errors.Join(err, old.Close()))
	}
	return scrub(old)
}

// extend adds an empty segment. The caller holds writing.
func (s *Store) extend(ctx context.Context) error {
	if len(s.segments) >= maxSegments {
		return fmt.Errorf("make a key: there are %d subjects, and no room for more", len(s.positions))
	}
	g, err := s.freshSegment(uint32(len(s.segments)), s.generation+1) //nolint:gosec // < maxSegments
	if err != nil {
		return err
	}
	if err := s.build(g, g.header()); err != nil {
		return s.wrote(err)
	}
	if err := s.commit(ctx, append(s.segments[:len(s.segments):len(s.segments)], g)); err != nil {
		return errors.Join(err, g.file.Close())
	}
	return nil
}

// build writes a segment's file, durably.
func (s *Store) build(g *segment, b []byte) (err error) {
	if g.file, err = create(s.fs, g.path, b); err != nil {
		return err
	}
	if err := syncDir(s.fs, s.dir); err != nil {
		return errors.Join(err, g.file.Close())
	}
	// Files that were created can be appended to only; this one is read, too.
	if err := g.file.Close(); err != nil {
		return fmt.Errorf("close %s: %w", g.path, err)
	}
	if g.file, err = s.fs.OpenReadWrite(g.path, keysCategory); err != nil {
		return fmt.Errorf("open %s: %w", g.path, err)
	}
	return nil
}

// add appends records of subjects that have none: one write and one sync for those that fit in a segment. They are
// durable, and found, on return. The caller holds writing.
func (s *Store) add(ctx context.Context, records []record) error {
	for len(records) > 0 {
		if n := len(s.segments); n == 0 || s.segments[n-1].count == segmentRecords {
			if err := s.extend(ctx); err != nil {
				return err
			}
		}
		g := s.segments[len(s.segments)-1]
		n := min(len(records), int(segmentRecords-g.count))
		b := make([]byte, 0, n*recordSize)
		for i := range n {
			var nonce [nonceSize]byte
			if err := random(nonce[:]); err != nil {
				return err
			}
			b = g.appendRecord(b, &records[i], g.count+uint32(i), g.batch+1, nonce)
		}
		_, err := g.file.WriteAt(b, segmentHeaderSize+int64(g.count)*recordSize)
		if err == nil {
			err = g.file.Sync()
		}
		if err != nil {
			return s.wrote(fmt.Errorf("append %d records to %s: %w", n, g.path, err))
		}
		s.mu.Lock()
		for i := range n {
			s.positions[short(records[i].subject)] = position(g.id, g.count+uint32(i))
			if records[i].kind == recordErased {
				s.erased++
			}
		}
		g.count += uint32(n)
		g.batch++
		s.mu.Unlock()
		records = records[n:]
	}
	return nil
}

// rewrite writes segments again, each with a new key, and with the records of erased subjects in the place of their
// keys; then it destroys the old ones. The caller holds writing.
func (s *Store) rewrite(ctx context.Context, old []*segment, erased map[Hash]record) error {
	next, err := s.replacements(old, erased)
	if err != nil {
		return err
	}
	if err := s.commit(ctx, next); err != nil {
		return errors.Join(err, closeNew(next, s.segments))
	}
	s.mu.Lock() // whoever still read from an old file has ended
	s.erased += len(erased)
	s.mu.Unlock()
	for _, g := range old {
		if err := scrub(g.file); err != nil {
			return s.wrote(fmt.Errorf("%s: %w", g.path, err))
		}
		if err := s.fs.Remove(g.path); err != nil {
			return s.wrote(fmt.Errorf("remove the overwritten %s: %w", g.path, err))
		}
	}
	if err := syncDir(s.fs, s.dir); err != nil {
		return s.wrote(err)
	}
	return nil
}

// replacements returns the segments with new ones, on the disk already, in the place of old.
func (s *Store) replacements(old []*segment, erased map[Hash]record) ([]*segment, error) {
	next := append([]*segment(nil), s.segments...)
	for _, g := range old {
		fresh, err := s.freshSegment(g.id, s.generation+1)
		if err != nil {
			return nil, errors.Join(err, closeNew(next, s.segments))
		}
		b, err := s.rewritten(g, fresh, erased)
		if err != nil {
			return nil, errors.Join(err, closeNew(next, s.segments))
		}
		if err := s.build(fresh, b); err != nil {
			return nil, s.wrote(errors.Join(err, closeNew(next, s.segments)))
		}
		next[g.id] = fresh
	}
	return next, nil
}

// closeNew closes the files of segments that did not become ours.
func closeNew(next, ours []*segment) error {
	var errs []error
	for i, g := range next {
		if g != ours[i] {
			errs = append(errs, g.file.Close())
		}
	}
	return errors.Join(errs...)
}

// rewritten returns the file of fresh, which takes the place of g.
func (s *Store) rewritten(g, fresh *segment, erased map[Hash]record) ([]byte, error) {
	b := make([]byte, segmentHeaderSize+int(g.count)*recordSize)
	if _, err := g.file.ReadAt(b, 0); err != nil {
		return nil, fmt.Errorf("read %s: %w", g.path, err)
	}
	fresh.batch = 1
	out := append(make([]byte, 0, len(b)), fresh.header()...)
	for slot := range g.count {
		r, err := g.readRecord(b[segmentHeaderSize+int(slot)*recordSize:][:recordSize], slot)
		if err != nil {
			return nil, err
		}
		if e, ok := erased[r.subject]; ok {
			r = e
		}
		var nonce [nonceSize]byte
		if err := random(nonce[:]); err != nil {
			return nil, err
		}
		out = fresh.appendRecord(out, &r, slot, fresh.batch, nonce)
	}
	fresh.count = g.count
	return out, nil
}
