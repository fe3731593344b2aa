package local

import (
	"errors"
	"fmt"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// State is what a node keeps on its disk of a cell whose journal is elsewhere: snapshots and ids. All of it can be made
// again from the journal.
type State struct{ s *Store }

// ErrHasJournal means that a folder has a journal of its own, and another one was to be used with it.
var ErrHasJournal = errors.New("the folder has a journal of its own")

// OpenState opens the folder, which it creates where it isn't there. Of the options, FS and Cell count. Errors:
// ErrLocked, ErrVersion, ErrHasJournal.
func OpenState(dir string, o Options) (*State, error) {
	if o.FS == nil {
		o.FS = vfs.Default
	}
	s := &Store{fs: o.FS, dir: dir, opts: o, files: files{fs: o.FS}}
	s.ids = newIDs(s)
	if err := s.openFolder(); err != nil {
		return nil, err
	}
	err := s.noSegments()
	if err == nil {
		err = errors.Join(s.Snapshots().removeUnfinished(), s.ids.removeUnfinished())
	}
	if err != nil {
		return nil, errors.Join(err, s.lock.Close())
	}
	return &State{s}, nil
}

func (s *Store) noSegments() error {
	names, err := s.fs.List(s.path(journalDir))
	if err != nil {
		return fmt.Errorf("list segments: %w", err)
	}
	for _, name := range names {
		if strings.HasSuffix(name, ".seg") {
			return fmt.Errorf("open %s: %w (%s)", s.dir, ErrHasJournal, s.path(journalDir, name))
		}
	}
	return nil
}

// Snapshots are the folder's.
func (p *State) Snapshots() *Snapshots { return p.s.Snapshots() }

// IDs are the folder's.
func (p *State) IDs() *IDs { return p.s.ids }

// Close releases the folder, once the calls in progress have ended.
func (p *State) Close() error {
	s := p.s
	s.life.Lock()
	defer s.life.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	return errors.Join(s.ids.close(), s.lock.Close())
}
