package local

import (
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// maxOpen is how many sealed segments are kept open.
const maxOpen = 64

// errRetired: the segment was moved to the archive; look it up again.
var errRetired = errors.New("the segment was moved")

// files opens segments when they are read and closes those that were not used for longest.
type files struct {
	fs   vfs.FS
	mu   sync.Mutex
	open []*segment
	tick uint64
	warm warmPages
}

// acquire returns g's file, which stays open until release.
func (f *files) acquire(g *segment) (vfs.File, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.tick++
	g.used = f.tick
	if g.retired && g.file == nil {
		return nil, errRetired
	}
	if g.file == nil {
		file, err := f.fs.Open(g.path)
		if err != nil {
			return nil, fmt.Errorf("open segment: %w", err)
		}
		f.add(g, file)
	}
	g.refs++
	return g.file, nil
}

// release gives a file back.
func (f *files) release(g *segment) {
	f.mu.Lock()
	defer f.mu.Unlock()
	g.refs--
	f.closeRetired(g)
}

// retire closes g's file as soon as nobody reads it any more. It is not opened again.
func (f *files) retire(g *segment) {
	f.mu.Lock()
	defer f.mu.Unlock()
	g.retired = true
	f.closeRetired(g)
}

func (f *files) closeRetired(g *segment) {
	if !g.retired || g.refs > 0 || g.file == nil {
		return
	}
	_ = g.close() // it was only read
	f.open = slices.DeleteFunc(f.open, func(other *segment) bool { return other == g })
}

// pin keeps g open with this file, the one that it is written through, until unpin.
func (f *files) pin(g *segment, file vfs.File) {
	f.mu.Lock()
	defer f.mu.Unlock()
	g.pinned = true
	f.add(g, file)
}

func (f *files) unpin(g *segment) {
	f.mu.Lock()
	defer f.mu.Unlock()
	g.pinned = false
}

func (f *files) add(g *segment, file vfs.File) {
	if len(f.open) >= maxOpen {
		f.evict()
	}
	g.file, g.mapped = file, mapFile(f.fs, file, g.header.Size)
	f.open = append(f.open, g)
}

// evict closes the file that was not used for longest. Closing a file that was only read can't lose anything.
func (f *files) evict() {
	oldest := -1
	for i, g := range f.open {
		if g.refs == 0 && !g.pinned && (oldest < 0 || g.used < f.open[oldest].used) {
			oldest = i
		}
	}
	if oldest < 0 {
		return
	}
	g := f.open[oldest]
	_ = g.close()
	f.open = append(f.open[:oldest], f.open[oldest+1:]...)
}

// close closes all files and returns the first error.
func (f *files) close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	var first error
	for _, g := range f.open {
		if err := g.close(); err != nil && first == nil {
			first = fmt.Errorf("close segment: %w", err)
		}
	}
	f.open = nil
	return first
}

// close closes g's file, which nobody reads any more.
func (g *segment) close() error {
	g.mapped.unmap()
	err := g.file.Close()
	g.file, g.mapped = nil, nil
	return err
}
