package local

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/sterlingrun/sterling/cell"
	"github.com/sterlingrun/sterling/ledger"
)

// IDs implements cell.IDFiles in the same folder. Its files are laid out in idpages.go. They stay open: one for some
// millions of ids.
type IDs struct {
	s    *Store
	mu   sync.RWMutex
	open map[uint32]*idFile
}

// idFile is a generation's file, for reading.
type idFile struct {
	file   vfs.File
	path   string
	layout idLayout
}

// IDs returns the folder's generations of ids. They may be used while blocks are appended, until Close.
func (s *Store) IDs() *IDs { return s.ids }

func newIDs(s *Store) *IDs { return &IDs{s: s, open: map[uint32]*idFile{}} }

func (d *IDs) path(number uint32) string {
	return d.s.path(idsDir, fmt.Sprintf("ids-%016x.gen", number))
}

// removeUnfinished deletes files that never got their names.
func (d *IDs) removeUnfinished() error {
	names, err := d.s.fs.List(d.s.path(idsDir))
	if err != nil {
		return fmt.Errorf("list the files of ids: %w", err)
	}
	for _, name := range names {
		if !strings.HasSuffix(name, tmpSuffix) {
			continue
		}
		if err := d.s.fs.Remove(d.s.path(idsDir, name)); err != nil {
			return fmt.Errorf("remove unfinished file of ids: %w", err)
		}
	}
	return nil
}

// Write implements cell.IDFiles.
func (d *IDs) Write(g *ledger.Generation) (ledger.GenerationRef, []uint64, error) {
	ref, filter, path := g.Ref(), g.Filter(), d.path(g.Number())
	layout, err := d.writeFile(path+tmpSuffix, g, &ref, filter)
	if err != nil {
		err = fmt.Errorf("write %s: %w", path, err)
		if _, there := d.s.fs.Stat(path + tmpSuffix); there == nil {
			err = errors.Join(err, d.s.fs.Remove(path+tmpSuffix)) // it may be what fills the disk
		}
		return ref, nil, err
	}
	if err := d.s.fs.Rename(path+tmpSuffix, path); err != nil {
		return ref, nil, fmt.Errorf("name %s: %w", path, full(err))
	}
	if err := d.s.syncDir(d.s.path(idsDir)); err != nil {
		return ref, nil, err
	}
	f, err := d.s.fs.Open(path, vfs.RandomReadsOption)
	if err != nil {
		return ref, nil, fmt.Errorf("open %s: %w", path, err)
	}
	return ref, filter, d.keep(ref.Number, &idFile{f, path, layout})
}

func (d *IDs) writeFile(tmp string, g *ledger.Generation, ref *ledger.GenerationRef, filter []uint64) (idLayout, error) {
	f, err := d.s.fs.Create(tmp, vfs.WriteCategoryUnspecified)
	if err != nil {
		return idLayout{}, full(err)
	}
	w := newIDWriter(f, d.s.opts.Cell, ref)
	w.entries(g)
	w.filter(filter)
	layout := w.end(ref)
	err = w.err
	if err == nil {
		if err = f.Sync(); err != nil && full(err) == err { //nolint:errorlint // full returns any other error as it is
			err = fmt.Errorf("%w: %w", ErrSyncFailed, err)
		}
	}
	return layout, full(errors.Join(err, f.Close()))
}

// keep holds an open file, in place of another one of its number.
func (d *IDs) keep(number uint32, f *idFile) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	was := d.open[number]
	d.open[number] = f
	if was == nil {
		return nil
	}
	if err := was.file.Close(); err != nil {
		return fmt.Errorf("close %s: %w", was.path, err)
	}
	return nil
}

// Load implements cell.IDFiles. It checks the head, the filter and the size; each page of entries is checked when it is
// read.
func (d *IDs) Load(ref ledger.GenerationRef) ([]uint64, error) {
	path := d.path(ref.Number)
	f, err := d.s.fs.Open(path, vfs.RandomReadsOption)
	if errors.Is(err, os.ErrNotExist) {
		return nil, damaged(path, 0, "the file is not there")
	}
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	x := &idFile{file: f, path: path}
	words, err := x.load(d.s.opts.Cell, ref)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return words, d.keep(ref.Number, x)
}

// Find implements cell.IDFiles.
func (d *IDs) Find(number uint32, hash uint64, dst []uint64) ([]uint64, error) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	f := d.open[number]
	if f == nil {
		return dst, fmt.Errorf("%s: %w", d.path(number), ErrClosed)
	}
	return f.find(hash, dst)
}

func (d *IDs) close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	var errs []error
	for number, f := range d.open {
		if err := f.file.Close(); err != nil {
			errs = append(errs, fmt.Errorf("close %s: %w", f.path, err))
		}
		delete(d.open, number)
	}
	return errors.Join(errs...)
}

var _ cell.IDFiles = (*IDs)(nil)
