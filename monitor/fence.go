package monitor

import (
	"errors"
	"io"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// errFenced is what an abandoned database gets from its file system.
var errFenced = errors.New("the database was abandoned")

// fence is a file system that can be shut. Pebble can't be closed after some faults, such as a manifest that can't be
// written: its goroutines then stand where they are, or go on without knowing. Behind a shut fence they change nothing
// that the next database does.
type fence struct {
	vfs.FS
	shut *atomic.Bool
}

func newFence(fs vfs.FS) fence { return fence{fs, new(atomic.Bool)} }

func (f fence) check() error {
	if f.shut.Load() {
		return errFenced
	}
	return nil
}

func (f fence) wrap(file vfs.File, err error) (vfs.File, error) {
	if err != nil {
		return nil, err
	}
	return fencedFile{file, f}, nil
}

// Create implements vfs.FS.
func (f fence) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	if err := f.check(); err != nil {
		return nil, err
	}
	return f.wrap(f.FS.Create(name, category))
}

// OpenReadWrite implements vfs.FS.
func (f fence) OpenReadWrite(name string, category vfs.DiskWriteCategory, opts ...vfs.OpenOption) (vfs.File, error) {
	if err := f.check(); err != nil {
		return nil, err
	}
	return f.wrap(f.FS.OpenReadWrite(name, category, opts...))
}

// ReuseForWrite implements vfs.FS.
func (f fence) ReuseForWrite(oldname, newname string, category vfs.DiskWriteCategory) (vfs.File, error) {
	if err := f.check(); err != nil {
		return nil, err
	}
	return f.wrap(f.FS.ReuseForWrite(oldname, newname, category))
}

// Link implements vfs.FS.
func (f fence) Link(oldname, newname string) error {
	if err := f.check(); err != nil {
		return err
	}
	return f.FS.Link(oldname, newname)
}

// Remove implements vfs.FS.
func (f fence) Remove(name string) error {
	if err := f.check(); err != nil {
		return err
	}
	return f.FS.Remove(name)
}

// RemoveAll implements vfs.FS.
func (f fence) RemoveAll(name string) error {
	if err := f.check(); err != nil {
		return err
	}
	return f.FS.RemoveAll(name)
}

// Rename implements vfs.FS.
func (f fence) Rename(oldname, newname string) error {
	if err := f.check(); err != nil {
		return err
	}
	return f.FS.Rename(oldname, newname)
}

// Lock implements vfs.FS. The monitor has locked the folder already, and holds it longer than one database lives.
func (f fence) Lock(string) (io.Closer, error) { return f, f.check() }

// Close implements io.Closer, for Lock.
func (f fence) Close() error { return nil }

// Unwrap implements vfs.FS.
func (f fence) Unwrap() vfs.FS { return f.FS }

type fencedFile struct {
	vfs.File
	fence fence
}

// Write implements io.Writer.
func (f fencedFile) Write(p []byte) (int, error) {
	if err := f.fence.check(); err != nil {
		return 0, err
	}
	return f.File.Write(p)
}

// WriteAt implements io.WriterAt.
func (f fencedFile) WriteAt(p []byte, offset int64) (int, error) {
	if err := f.fence.check(); err != nil {
		return 0, err
	}
	return f.File.WriteAt(p, offset)
}

// Sync implements vfs.File.
func (f fencedFile) Sync() error {
	if err := f.fence.check(); err != nil {
		return err
	}
	return f.File.Sync()
}

// SyncData implements vfs.File.
func (f fencedFile) SyncData() error {
	if err := f.fence.check(); err != nil {
		return err
	}
	return f.File.SyncData()
}

// SyncTo implements vfs.File.
func (f fencedFile) SyncTo(length int64) (bool, error) {
	if err := f.fence.check(); err != nil {
		return false, err
	}
	return f.File.SyncTo(length)
}
