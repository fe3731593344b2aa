// Package speaker keeps who speaks for which source of observations: the first caller who does is bound to the source,
// durably, and nobody else may speak for it until it is released. So a witness can't be made up by somebody who merely
// has a token.
//
// It checks no tokens and no roles: those who call it have. It reads no clock. Start reading at [Store.Bind].
package speaker

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/sterlingrun/sterling/auth"
	"github.com/sterlingrun/sterling/durable"
)

// File is the name of the file in the data folder. It has mode 0600.
const File = "speakers.json"

// MaxSources is how many sources can be bound.
const MaxSources = 10_000

const (
	fileVersion = 1
	maxFile     = 16 << 20
)

// ErrFull is a store with [MaxSources] sources.
var ErrFull = errors.New("too many sources have speakers")

// Speaker is who speaks for a source.
type Speaker struct {
	ID   [16]byte // the caller's, as the journal has it for actors
	Name string   // of the caller when it was bound
}

// Store is the file of a data folder. Its methods may be called from any goroutine.
type Store struct {
	dir string

	mu    sync.Mutex
	bound map[string]Speaker
}

// entry is a source in the file.
type entry struct {
	Source string `json:"source"`
	ID     string `json:"id"` // 32 hexadecimal digits
	Name   string `json:"name"`
}

type file struct {
	Version int     `json:"version"`
	Sources []entry `json:"sources"`
}

// Open reads the file in dir; where there is none, nobody speaks for anything yet. A file that can't be read is an error:
// sources must not be free for all because of a damage.
func Open(dir string) (*Store, error) {
	s := &Store{dir: dir, bound: map[string]Speaker{}}
	data, err := read(filepath.Join(dir, File))
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err == nil {
		s.bound, err = parse(data)
	}
	if err != nil {
		return nil, fmt.Errorf("read who speaks for which source in %s: %w", filepath.Join(dir, File), err)
	}
	return s, nil
}

func read(path string) (data []byte, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	data, err = io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(data) > maxFile {
		err = fmt.Errorf("more than %d bytes", maxFile)
	}
	return data, err
}

func parse(data []byte) (map[string]Speaker, error) {
	var f file
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&f); err != nil {
		return nil, err
	}
	if f.Version != fileVersion {
		return nil, fmt.Errorf("version %d, and this program knows %d", f.Version, fileVersion)
	}
	bound := make(map[string]Speaker, len(f.Sources))
	for i, e := range f.Sources {
		id, err := hex.DecodeString(e.ID)
		if err != nil || len(id) != len(Speaker{}.ID) {
			return nil, fmt.Errorf("sources[%d]: the id is not 32 hexadecimal digits", i)
		}
		if _, twice := bound[e.Source]; twice || e.Source == "" {
			return nil, fmt.Errorf("sources[%d]: the source %q is empty or there twice", i, e.Source)
		}
		bound[e.Source] = Speaker{ID: [16]byte(id), Name: e.Name}
	}
	if len(bound) > MaxSources {
		return nil, ErrFull
	}
	return bound, nil
}

// Bind gives a source that nobody speaks for to a caller, and returns who speaks for it now: the caller, or somebody
// before. It returns once that is on the disk. Errors: [ErrFull], and what the disk says; then nothing has changed.
func (s *Store) Bind(source string, by auth.Principal) (Speaker, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if is, ok := s.bound[source]; ok {
		return is, nil
	}
	if len(s.bound) >= MaxSources {
		return Speaker{}, ErrFull
	}
	is := Speaker{ID: by.ID, Name: by.Name}
	next := maps.Clone(s.bound)
	next[source] = is
	if err := s.write(next); err != nil {
		return Speaker{}, fmt.Errorf("keep who speaks for %q: %w", source, err)
	}
	return is, nil
}

// Release lets the next caller speak for a source, and returns who did; false: nobody.
func (s *Store) Release(source string) (Speaker, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	was, ok := s.bound[source]
	if !ok {
		return Speaker{}, false, nil
	}
	next := maps.Clone(s.bound)
	delete(next, source)
	if err := s.write(next); err != nil {
		return was, true, fmt.Errorf("release %q: %w", source, err)
	}
	return was, true, nil
}

// Speaker returns who speaks for a source; false: nobody does.
func (s *Store) Speaker(source string) (Speaker, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	is, ok := s.bound[source]
	return is, ok
}

// write replaces the file, and then the map: a crash leaves the old or the new one, and a failure the old one.
func (s *Store) write(next map[string]Speaker) error {
	f := file{Version: fileVersion}
	for _, source := range slices.Sorted(maps.Keys(next)) {
		is := next[source]
		f.Sources = append(f.Sources, entry{Source: source, ID: hex.EncodeToString(is.ID[:]), Name: is.Name})
	}
	data, err := json.MarshalIndent(f, "", "  ")
	if err != nil {
		return err
	}
	if err := durable.WriteFile(filepath.Join(s.dir, File), append(data, '\n')); err != nil {
		return err
	}
	s.bound = next
	return nil
}
