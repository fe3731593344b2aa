package accesslog

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	dirPerm    = 0o700
	filePerm   = 0o600
	maxBuffer  = 8 << 20 // bytes that may wait for a disk that does not take them
	fullBuffer = 256 << 10
	suffix     = ".jsonl"
)

// disk is what a file is written through; a test puts a broken one in place.
type disk interface {
	OpenFile(name string, flag int, perm fs.FileMode) (appended, error)
}

// appended is an open file.
type appended interface {
	io.WriteCloser
	Stat() (fs.FileInfo, error)
	Sync() error
}

type system struct{}

// OpenFile implements disk.
func (system) OpenFile(name string, flag int, perm fs.FileMode) (appended, error) {
	return os.OpenFile(name, flag, perm)
}

// file is one growing file and its predecessors. Lock order: writing, buffering.
type file struct {
	disk    disk
	dir     string
	name    string // without suffix
	maxSize int64
	keep    int
	room    int // bytes of the buffer
	failing atomic.Bool

	buffering sync.Mutex
	buffer    []byte
	lost      uint64 // lines

	writing sync.Mutex
	open    appended // nil: not open
	size    int64
	day     string // UTC, of the first line
	torn    bool   // the file ends within a line, whose rest comes first
	spare   []byte
}

// add puts a line into the buffer, and reports whether it should be flushed soon.
func (f *file) add(line []byte) (full bool) {
	f.buffering.Lock()
	defer f.buffering.Unlock()
	if len(f.buffer)+len(line) > f.room {
		f.lost++
		return true
	}
	f.buffer = append(f.buffer, line...)
	return len(f.buffer) >= fullBuffer
}

func (f *file) lostLines() uint64 {
	f.buffering.Lock()
	defer f.buffering.Unlock()
	return f.lost
}

// flush writes what is in the buffer. What could not be written stays for the
// next time, as far as there is room.
func (f *file) flush(now time.Time, sync bool) error {
	f.writing.Lock()
	defer f.writing.Unlock()
	f.buffering.Lock()
	data := f.buffer
	f.buffer = f.spare[:0]
	f.buffering.Unlock()

	n, err := f.write(data, now)
	if err == nil && sync && f.open != nil {
		err = f.open.Sync()
	}
	if err != nil {
		if f.open != nil { // opened anew next time: the fault may be of this descriptor
			err = errors.Join(err, f.open.Close())
			f.open = nil
		}
		f.restore(data[n:])
		return fmt.Errorf("write the access log %s: %w", f.path(), err)
	}
	f.spare = data[:0]
	return nil
}

// restore puts bytes back before what has come since. It takes their memory.
func (f *file) restore(rest []byte) {
	f.buffering.Lock()
	defer f.buffering.Unlock()
	fresh := f.buffer
	f.spare = fresh[:0]
	if room := max(0, f.room-len(rest)); len(fresh) > room {
		end := bytes.LastIndexByte(fresh[:room], '\n') + 1
		f.lost += uint64(bytes.Count(fresh[end:], []byte{'\n'})) //nolint:gosec // a count
		fresh = fresh[:end]
	}
	f.buffer = append(rest, fresh...)
}

func (f *file) path() string { return filepath.Join(f.dir, f.name+suffix) }

const dayFormat = "2006-01-02"

// write appends data, in a new file if the old one is full or of another day.
func (f *file) write(data []byte, now time.Time) (n int, err error) {
	if len(data) == 0 {
		return 0, nil
	}
	if err := f.ready(now); err != nil {
		return 0, err
	}
	if f.size > 0 && !f.torn && (f.size+int64(len(data)) > f.maxSize || f.day != now.UTC().Format(dayFormat)) {
		if err := f.rotate(now); err != nil {
			return 0, err
		}
	}
	n, err = f.open.Write(data)
	f.size += int64(n)
	if n > 0 {
		f.torn = data[n-1] != '\n'
	}
	return n, err
}

// ready opens the file.
func (f *file) ready(now time.Time) error {
	if f.open != nil {
		return nil
	}
	if err := os.MkdirAll(f.dir, dirPerm); err != nil {
		return err
	}
	open, err := f.disk.OpenFile(f.path(), os.O_WRONLY|os.O_CREATE|os.O_APPEND, filePerm)
	if err != nil {
		return err
	}
	info, err := open.Stat()
	if err != nil {
		return errors.Join(err, open.Close())
	}
	f.open, f.size, f.day = open, info.Size(), now.UTC().Format(dayFormat)
	if f.size > 0 {
		f.day = info.ModTime().UTC().Format(dayFormat)
	}
	return f.closeLine()
}

// closeLine ends a line that a crash has cut off, so that the next one is whole.
func (f *file) closeLine() error {
	if f.size == 0 || f.torn {
		return nil // what is missing is in the buffer
	}
	old, err := os.Open(f.path())
	if err != nil {
		return err
	}
	var last [1]byte
	_, err = old.ReadAt(last[:], f.size-1)
	if err = errors.Join(err, old.Close()); err != nil || last[0] == '\n' {
		return err
	}
	n, err := f.open.Write([]byte{'\n'})
	f.size += int64(n)
	return err
}

// rotate gives the file a name of its own, begins a new one, and removes the
// oldest of those that were kept.
func (f *file) rotate(now time.Time) error {
	err := f.open.Close()
	f.open = nil
	if err != nil {
		return err
	}
	old := ""
	for at := now.UTC(); ; at = at.Add(1) { // a clock that was set back must not overwrite
		old = filepath.Join(f.dir, f.name+"-"+at.Format("20060102T150405.000000000Z")+suffix)
		if _, err := os.Lstat(old); errors.Is(err, fs.ErrNotExist) {
			break
		} else if err != nil {
			return err
		}
	}
	if err := os.Rename(f.path(), old); err != nil {
		return err
	}
	if err := f.prune(); err != nil {
		return err
	}
	return f.ready(now)
}

func (f *file) prune() error {
	entries, err := os.ReadDir(f.dir) // sorted by name, so by time
	if err != nil {
		return err
	}
	var old []string
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), f.name+"-") && strings.HasSuffix(e.Name(), suffix) {
			old = append(old, e.Name())
		}
	}
	for _, name := range old[:max(0, len(old)-f.keep)] {
		if err := os.Remove(filepath.Join(f.dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

func (f *file) close() error {
	f.writing.Lock()
	defer f.writing.Unlock()
	if f.open == nil {
		return nil
	}
	err := errors.Join(f.open.Sync(), f.open.Close())
	f.open = nil
	return err
}
