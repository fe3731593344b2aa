package run

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"sync"

	"github.com/sterlingrun/sterling/qualify"
	"github.com/sterlingrun/sterling/qualify/appends"
	"github.com/sterlingrun/sterling/store/local"
)

// stores are local stores by their scratch cell. A folder admits one process and one store at a time, so writers of one
// cell share it.
type stores struct {
	dir  string
	mu   sync.Mutex
	open map[uint64]*shared
}

type shared struct {
	*local.Store
	stores *stores
	cell   uint64
	users  int
}

// Close closes the store when its last user does.
func (s *shared) Close() error {
	s.stores.mu.Lock()
	defer s.stores.mu.Unlock()
	if s.users--; s.users > 0 {
		return nil
	}
	delete(s.stores.open, s.cell)
	return s.Store.Close()
}

func (s *stores) log(_ context.Context, cell uint64, _ int) (qualify.Log, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if one := s.open[cell]; one != nil {
		one.users++
		return one, nil
	}
	store, err := openCell(s.dir, cell)
	if err != nil {
		return nil, err
	}
	one := &shared{Store: store, stores: s, cell: cell, users: 1}
	s.open[cell] = one
	return one, nil
}

// segmentSize is what a scratch journal grows by, in bytes: little, since most of it stays empty.
const segmentSize = 64 << 20

func openCell(dir string, cell uint64) (*local.Store, error) {
	store, err := local.Open(filepath.Join(dir, "cell-"+strconv.FormatUint(cell, 10)), local.Options{Cell: cell, SegmentSize: segmentSize})
	if err != nil {
		return nil, fmt.Errorf("open a scratch journal: %w", err)
	}
	return store, nil
}

// openLocal makes a scratch folder below the one that was named.
func (t *target) openLocal() error {
	folder := t.addresses[0].Folder
	if info, err := os.Stat(folder); err != nil || !info.IsDir() {
		return fmt.Errorf("%w: %s is no folder that is there; name one on the disk that matters", ErrConfig, folder)
	}
	dir, err := os.MkdirTemp(folder, "sterling-qualify-")
	if err != nil {
		return fmt.Errorf("make a scratch folder: %w", err)
	}
	t.later(func() error { return os.RemoveAll(dir) })
	t.folder, t.scratch = folder, dir
	t.OpenLog = (&stores{dir: dir, open: map[uint64]*shared{}}).log
	return nil
}

// Write appends to a scratch journal in a folder until it is killed, and tells w what was acknowledged: the process that
// a qualification of the local store kills.
func Write(ctx context.Context, dir, cell string, w io.Writer) error {
	number, err := strconv.ParseUint(cell, 10, 64)
	if err != nil || number == 0 {
		return fmt.Errorf("%w: %q is no cell's number", ErrConfig, cell)
	}
	store, err := openCell(dir, number)
	if err != nil {
		return err
	}
	defer func() { _ = store.Close() }() // what was acknowledged is durable without it
	return appends.WriteUntilKilled(ctx, store, number, w)
}
