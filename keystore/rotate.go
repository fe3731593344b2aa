package keystore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// MasterFile is where the master key lies in the folder of the keys, unless it is told to lie elsewhere.
const MasterFile = "master.key"

// Rotate has another master wrap the keys. From then on the old one opens nothing that is here now; once it is
// destroyed, all older copies and exports of the keys are worthless.
func (s *Store) Rotate(ctx context.Context, next Master) error {
	leave, err := s.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	s.writing.Lock()
	defer s.writing.Unlock()
	s.mu.RLock()
	err = s.usable()
	s.mu.RUnlock()
	if err != nil {
		return err
	}
	old := s.master
	s.master = next
	if err := s.commit(ctx, s.segments); err != nil {
		s.master = old
		return fmt.Errorf("change the master key: %w", err)
	}
	return nil
}

// RotateFile makes a new master key in the place of the one in a file, and overwrites the old one. A crash in between
// is mended by [OpenMaster].
func (s *Store) RotateFile(ctx context.Context, path string) error {
	if _, err := os.Lstat(path + rotating); err == nil {
		return fmt.Errorf("%w: %s is there: a change of the master key was interrupted, restart first", ErrMaster, path+rotating)
	}
	next, err := CreateMaster(path + rotating)
	if err != nil {
		return err
	}
	if err := s.Rotate(ctx, next); err != nil {
		return err // which of the two keys it is now, the next OpenMaster finds out
	}
	return settleMaster(path)
}

// settleMaster puts the next master key in the place of the old one.
func settleMaster(path string) error {
	if err := scrubFile(path); err != nil {
		return err
	}
	if err := os.Rename(path+rotating, path); err != nil {
		return fmt.Errorf("put the new master key in place: %w", err)
	}
	return syncFolder(filepath.Dir(path))
}

// OpenMaster returns the master key of the keys in dir, from a file. It makes one where there are no keys yet, and
// completes a change of the master key that was interrupted. A key that is missing, or another one, is an [ErrMaster]:
// none is made in its place.
func OpenMaster(ctx context.Context, dir, path string) (*FileMaster, error) {
	ring := filepath.Join(dir, keyringFile)
	b, err := readAll(vfs.Default, ring, maxKeyring)
	if errors.Is(err, fs.ErrNotExist) {
		return firstMaster(dir, path)
	}
	if err != nil {
		return nil, err
	}
	fits := func(path string) (*FileMaster, error) {
		m, err := LoadMaster(path)
		if err == nil {
			_, _, err = decodeKeyring(ctx, m, b, ring)
		}
		return m, err
	}
	m, err := fits(path)
	if _, statErr := os.Lstat(path + rotating); errors.Is(statErr, fs.ErrNotExist) {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("%w: %s is missing: put it back; without it no personal data can be read: %w", ErrMaster, path, err)
		}
		return m, err
	}
	if err == nil { // the change had not happened
		return m, scrubFile(path + rotating)
	}
	next, nextErr := fits(path + rotating)
	if nextErr != nil {
		return nil, errors.Join(err, nextErr)
	}
	return next, settleMaster(path)
}

// RestoredMaster is [OpenMaster] for a folder that a restore may have put an export beside. Then the master key must be
// there: a new one would not open the export.
func RestoredMaster(ctx context.Context, dir, path, export string) (*FileMaster, error) {
	_, keysErr := os.Lstat(filepath.Join(dir, keyringFile))
	_, exportErr := os.Lstat(export)
	if !errors.Is(keysErr, fs.ErrNotExist) || errors.Is(exportErr, fs.ErrNotExist) {
		return OpenMaster(ctx, dir, path)
	}
	m, err := LoadMaster(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %s was restored, and the master key that opens it is not at %s: put it there; or remove the export, and do without all personal data",
			ErrMaster, export, path)
	}
	return m, err
}

// firstMaster returns the master of an empty store.
func firstMaster(dir, path string) (*FileMaster, error) {
	files, err := filepath.Glob(filepath.Join(dir, "keys-*.seg"))
	if err != nil {
		return nil, fmt.Errorf("list the keys: %w", err)
	}
	m, err := LoadMaster(path)
	if errors.Is(err, fs.ErrNotExist) && len(files) == 0 {
		return CreateMaster(path)
	}
	return m, err
}
