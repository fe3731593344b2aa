package keystore

import (
	"context"
	"fmt"
	"iter"
)

// Erasure is an erasure that the journal has recorded.
type Erasure struct {
	Subject Hash
	When    uint64   // ns since 1970
	By, ID  [16]byte // who, and the id of the record
}

// enter waits until no erasure, export or change of master is under way.
func (s *Store) enter(ctx context.Context) (leave func(), err error) {
	select {
	case s.whole <- struct{}{}:
		return func() { <-s.whole }, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for another erasure or export of keys: %w", ctx.Err())
	}
}

// Erase destroys the keys of subjects, and remembers that they were erased, whether or not they had one. On return that
// is durable. Subjects that were erased before keep when and by whom. It returns how many were not.
//
// The records that share a file with an erased one, up to 16,383, are written again under a new key; the old file and
// the old keyring are overwritten. Erasing many subjects in one call is cheaper than one by one.
func (s *Store) Erase(ctx context.Context, list ...Erasure) (erased int, err error) {
	leave, err := s.enter(ctx)
	if err != nil {
		return 0, err
	}
	defer leave()
	s.writing.Lock()
	defer s.writing.Unlock()
	keys, absent, files, err := s.toErase(list)
	if err != nil {
		return 0, err
	}
	if err := s.add(ctx, absent); err != nil {
		return 0, err
	}
	if len(keys) > 0 {
		if err := s.rewrite(ctx, files, keys); err != nil {
			return len(absent), err
		}
	}
	return len(absent) + len(keys), nil
}

// toErase sorts erasures: of subjects with keys, and in which files those are, and of subjects that are not known.
func (s *Store) toErase(list []Erasure) (keys map[Hash]record, absent []record, files []*segment, err error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if err := s.usable(); err != nil {
		return nil, nil, nil, err
	}
	keys, seen, in := map[Hash]record{}, map[Hash]bool{}, map[uint32]bool{}
	for _, e := range list {
		if seen[e.Subject] {
			continue
		}
		seen[e.Subject] = true
		old, found, err := s.find(e.Subject)
		if err != nil {
			return nil, nil, nil, err
		}
		r := record{kind: recordErased, subject: e.Subject, when: e.When, by: e.By, id: e.ID}
		switch {
		case !found:
			absent = append(absent, r)
		case old.kind == recordKey:
			keys[e.Subject] = r
			if id := s.positions[short(e.Subject)] / segmentRecords; !in[id] {
				in[id] = true
				files = append(files, s.segments[id])
			}
		}
	}
	return keys, absent, files, nil
}

// ApplyErasures erases what the journal says was erased and this store does not know yet: after a crash between the
// two, and where the keys come from an older copy. It returns how many those were.
func (s *Store) ApplyErasures(ctx context.Context, journaled iter.Seq[Erasure]) (applied int, err error) {
	var missing []Erasure
	for e := range journaled {
		s.mu.RLock()
		r, found, err := s.find(e.Subject)
		s.mu.RUnlock()
		if err != nil {
			return 0, err
		}
		if !found || r.kind == recordKey {
			missing = append(missing, e)
		}
	}
	if len(missing) == 0 {
		return 0, nil
	}
	return s.Erase(ctx, missing...)
}
