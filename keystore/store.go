package keystore

import (
	"crypto/cipher"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/sterlingrun/sterling/clock"
)

const (
	keyringFile = "keyring"
	keyringNext = "keyring.tmp"
	lockFile    = "LOCK"
)

// Options say where keys lie and what wraps them. All but FS are required.
type Options struct {
	Dir    string // DIR/keys; made if it is not there
	Master Master
	Clock  clock.Clock
	FS     vfs.FS // default: the operating system's
}

// Store holds the keys of subjects. It is safe for concurrent use, and has no goroutine of its own.
//
// Where more than one lock is taken, it is in this order: whole, writing, mu; asked stands alone.
type Store struct {
	fs     vfs.FS
	dir    string
	master Master
	clock  clock.Clock
	lock   io.Closer

	whole   chan struct{} // one place: an erasure, an export or a change of master at a time
	writing sync.Mutex    // whoever changes files

	mu         sync.RWMutex // what follows; held to change it, not while files are written
	segments   []*segment   // by id
	positions  map[[16]byte]uint32
	erased     int
	generation uint64
	broken     error // why nothing can be written any more
	closed     bool

	asked   sync.Mutex
	waiting map[Hash]struct{} // subjects that want a key: whoever writes next makes those of all
}

// segment is a file of records, all wrapped with the same key.
type segment struct {
	id         uint32
	generation uint64 // of the keyring that first named this file
	count      uint32 // records
	batch      uint32 // the last one
	key        [keySize]byte
	aead       cipher.AEAD
	path       string
	file       vfs.File
}

// Stats are the sizes of a key store.
type Stats struct {
	Subjects int // with a key
	Erased   int
	Files    int
}

// newSegment returns a segment without its file.
func (s *Store) newSegment(id uint32, e *entry) (*segment, error) {
	aead, err := newAEAD(e.key[:])
	if err != nil {
		return nil, err
	}
	return &segment{
		id: id, generation: e.generation, count: e.count, key: e.key, aead: aead,
		path: s.fs.PathJoin(s.dir, fmt.Sprintf("keys-%08x-%016x.seg", id, e.generation)),
	}, nil
}

// freshSegment returns a segment with a new key.
func (s *Store) freshSegment(id uint32, generation uint64) (*segment, error) {
	e := entry{generation: generation}
	if err := random(e.key[:]); err != nil {
		return nil, err
	}
	return s.newSegment(id, &e)
}

func short(h Hash) [16]byte { return [16]byte(h[:]) }

func position(segment, slot uint32) uint32 { return segment*segmentRecords + slot }

// find returns the record of a subject, by its file. The caller holds mu.
func (s *Store) find(h Hash) (r record, found bool, err error) {
	if s.closed {
		return record{}, false, s.usable()
	}
	at, found := s.positions[short(h)]
	if !found {
		return record{}, false, nil
	}
	g, slot := s.segments[at/segmentRecords], at%segmentRecords
	var b [recordSize]byte
	if _, err := g.file.ReadAt(b[:], segmentHeaderSize+int64(slot)*recordSize); err != nil {
		return record{}, true, fmt.Errorf("read the key of a subject from %s: %w", g.path, err)
	}
	r, err = g.readRecord(b[:], slot)
	if err == nil && r.subject != h {
		err = g.damaged(slot, "it is of another subject")
	}
	return r, true, err
}

// State is what a store knows of a subject.
type State int

// The states of a subject.
const (
	Unknown State = iota // it never had personal data here
	Active               // it has a key
	Erased               // its key was destroyed
)

// Subject is what a store knows of a subject.
type Subject struct {
	State State
	Since uint64   // ns since 1970: when the key was made, or destroyed
	By    [16]byte // who erased it
	ID    [16]byte // of the journaled erasure
}

// Subject tells how a subject stands.
func (s *Store) Subject(name string) (Subject, error) {
	if err := CheckSubject(name); err != nil {
		return Subject{}, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	r, found, err := s.find(HashOf(name))
	switch {
	case err != nil || !found:
		return Subject{}, err
	case r.kind == recordKey:
		return Subject{State: Active, Since: r.when}, nil
	}
	return Subject{State: Erased, Since: r.when, By: r.by, ID: r.id}, nil
}

// Stats counts what is there.
func (s *Store) Stats() Stats {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return Stats{Subjects: len(s.positions) - s.erased, Erased: s.erased, Files: len(s.segments)}
}

// Err returns why nothing can be written any more, or nil.
func (s *Store) Err() error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.usable()
}

// usable is what writers ask first. The caller holds mu.
func (s *Store) usable() error {
	switch {
	case s.closed:
		return fmt.Errorf("%w: it is closed", ErrBroken)
	case s.broken != nil:
		return fmt.Errorf("%w: %w", ErrBroken, s.broken)
	}
	return nil
}

// wrote notes an error of a write: what the disk has is unknown from then on.
func (s *Store) wrote(err error) error {
	if err == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken == nil {
		s.broken = err
	}
	return fmt.Errorf("%w: %w", ErrBroken, err)
}

// Close waits for what is under way and closes the files.
func (s *Store) Close() error {
	s.whole <- struct{}{}
	defer func() { <-s.whole }()
	s.writing.Lock()
	defer s.writing.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	return s.closeFiles()
}

func (s *Store) closeFiles() error {
	var errs []error
	for _, g := range s.segments {
		if g != nil && g.file != nil {
			errs = append(errs, g.file.Close())
		}
	}
	s.segments, s.positions = nil, nil
	errs = append(errs, s.lock.Close())
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("close the key store: %w", err)
	}
	return nil
}
