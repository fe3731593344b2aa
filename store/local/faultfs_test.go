package local_test

import (
	"io"
	"strings"
	"sync"
	"syscall"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// faultFS is a file system whose disk lies, fails, fills up or stops on command.
type faultFS struct {
	vfs.FS
	mu sync.Mutex

	lies      bool  // syncs report success and do nothing
	syncError error // what syncs fail with
	space     int64 // bytes that may still be reserved or written beyond what was reserved; negative: no bound
	tears     int   // so many of the next writes of more than tearAfter bytes stop after them, with ENOSPC
	tearAfter int
	step      func()
	files     map[string]*faultFile // created ones, by their present names
}

func newFaultFS(fs vfs.FS) *faultFS {
	return &faultFS{FS: fs, space: -1, files: make(map[string]*faultFile)}
}

func (f *faultFS) set(change func(f *faultFS)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(f)
}

// at calls the hook of a step that changes the disk, before it happens.
func (f *faultFS) at() {
	f.mu.Lock()
	step := f.step
	f.mu.Unlock()
	if step != nil {
		step()
	}
}

// take reserves n bytes.
func (f *faultFS) take(n int64) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.space < 0 || n <= 0 {
		return nil
	}
	if n > f.space {
		return syscall.ENOSPC
	}
	f.space -= n
	return nil
}

func (f *faultFS) sync(do func() error) error {
	f.at()
	f.mu.Lock()
	lies, err := f.lies, f.syncError
	f.mu.Unlock()
	switch {
	case err != nil:
		return err
	case lies:
		return nil
	}
	return do()
}

func (f *faultFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	f.at()
	if err := f.take(1); err != nil {
		return nil, err
	}
	file, err := f.FS.Create(name, c)
	if err != nil {
		return nil, err
	}
	created := &faultFile{File: file, fs: f}
	f.set(func(f *faultFS) { f.files[name] = created })
	return created, nil
}

func (f *faultFS) OpenReadWrite(name string, c vfs.DiskWriteCategory, o ...vfs.OpenOption) (vfs.File, error) {
	file, err := f.FS.OpenReadWrite(name, c, o...)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	return &faultFile{File: file, fs: f, reserved: info.Size(), segment: true}, nil
}

func (f *faultFS) OpenDir(name string) (vfs.File, error) {
	file, err := f.FS.OpenDir(name)
	if err != nil {
		return nil, err
	}
	return &faultFile{File: file, fs: f}, nil
}

func (f *faultFS) Rename(from, to string) error {
	f.at()
	f.set(func(f *faultFS) {
		if file := f.files[from]; file != nil && strings.HasSuffix(to, ".seg") {
			file.segment = true
		}
	})
	return f.FS.Rename(from, to)
}

func (f *faultFS) Remove(name string) error {
	f.at()
	return f.FS.Remove(name)
}

func (f *faultFS) Lock(name string) (io.Closer, error) { return f.FS.Lock(name) }
func (f *faultFS) Unwrap() vfs.FS                      { return f.FS }

type faultFile struct {
	vfs.File
	fs       *faultFS
	reserved int64
	written  int64 // by Write
	segment  bool  // it has its name: only such a file's writes are torn
}

func (f *faultFile) reserve(end int64) error {
	if err := f.fs.take(end - f.reserved); err != nil {
		return err
	}
	f.reserved = max(f.reserved, end)
	return nil
}

func (f *faultFile) Preallocate(offset, length int64) error {
	if err := f.reserve(offset + length); err != nil {
		return err
	}
	return f.File.Preallocate(offset, length)
}

func (f *faultFile) Write(b []byte) (int, error) {
	f.fs.at()
	if err := f.reserve(f.written + int64(len(b))); err != nil {
		return 0, err
	}
	n, err := f.File.Write(b)
	f.written += int64(n)
	return n, err
}

func (f *faultFile) WriteAt(b []byte, offset int64) (int, error) {
	f.fs.at()
	if err := f.reserve(offset + int64(len(b))); err != nil {
		return 0, err
	}
	f.fs.mu.Lock()
	tear, at := f.segment && f.fs.tears > 0 && f.fs.tearAfter < len(b), f.fs.tearAfter
	if tear {
		f.fs.tears--
	}
	f.fs.mu.Unlock()
	if tear {
		n, err := f.File.WriteAt(b[:at], offset)
		if err == nil {
			err = syscall.ENOSPC
		}
		return n, err
	}
	return f.File.WriteAt(b, offset)
}

func (f *faultFile) Sync() error     { return f.fs.sync(f.File.Sync) }
func (f *faultFile) SyncData() error { return f.fs.sync(f.File.SyncData) }
