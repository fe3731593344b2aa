package node

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"
)

// accessFile is the file of a node's access log. One that was renamed away, as log rotation does, is made anew.
type accessFile struct {
	path string

	mu   sync.Mutex
	file *os.File
}

// openAccessFile opens the file; "" is none, and a nil writer.
func openAccessFile(path string) (io.WriteCloser, error) {
	if path == "" {
		return nil, nil //nolint:nilnil // no log is no error
	}
	a := &accessFile{path: path}
	if err := a.reopen(); err != nil {
		return nil, err
	}
	return a, nil
}

func (a *accessFile) reopen() error {
	next, err := os.OpenFile(a.path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("open the access log: %w", err)
	}
	if a.file != nil {
		_ = a.file.Close() // all of it was written
	}
	a.file = next
	return nil
}

// Write appends whole lines: each call has some.
func (a *accessFile) Write(lines []byte) (int, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	there, err := os.Stat(a.path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return 0, fmt.Errorf("look for the access log: %w", err)
	}
	if here, statErr := a.file.Stat(); err != nil || statErr != nil || !os.SameFile(here, there) {
		if err := a.reopen(); err != nil {
			return 0, err
		}
	}
	return a.file.Write(lines)
}

// Close implements io.Closer.
func (a *accessFile) Close() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.file.Close()
}
