package gvisor

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
)

// maxOutput bounds what is kept of a workload's output, in bytes.
const maxOutput = 64 << 20

// fileOlder is the older half of the output, where there is more than half of maxOutput.
const fileOlder = fileOutput + ".1"

// An outputLog keeps the end of an output, in two files of half the bound: when the newer one is full, it becomes the
// older one. It is written by two pipes at once.
type outputLog struct {
	mu   sync.Mutex
	path string
	half int // bytes
	file *os.File
	left int // bytes in the newer file
}

func openLog(path string, bound int) (*outputLog, error) {
	l := &outputLog{path: path, half: bound / 2}
	if err := l.open(); err != nil {
		return nil, err
	}
	return l, nil
}

func (l *outputLog) open() (err error) {
	l.left = l.half
	if l.file, err = os.OpenFile(l.path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600); err != nil {
		return fmt.Errorf("make the log: %w", err)
	}
	return nil
}

// Write implements io.Writer. It never fails: a log that can't be written is no reason to end a workload.
func (l *outputLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for rest := p; len(rest) > 0 && l.file != nil; {
		part := rest[:min(len(rest), l.left)]
		_, _ = l.file.Write(part)
		rest = rest[len(part):]
		if l.left -= len(part); l.left > 0 {
			continue
		}
		_ = l.file.Close()
		l.file = nil
		if os.Rename(l.path, l.path+".1") == nil {
			_ = l.open()
		}
	}
	return len(p), nil
}

// moved tells that the folder has another name now.
func (l *outputLog) moved(path string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.path = path
}

func (l *outputLog) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file != nil {
		_ = l.file.Close()
		l.file = nil
	}
}

// OpenLogs opens what is kept of a workload's output, at most its last 64 MiB, as it is now. The caller closes it. The
// error wraps ErrNotFound.
func (r *Runner) OpenLogs(id string) (io.ReadCloser, error) {
	older, err := r.open(id, fileOlder)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return nil, err
	}
	newer, err := r.open(id, fileOutput)
	switch {
	case older == nil:
		return newer, err
	case errors.Is(err, ErrNotFound): // in the middle of a change
		return older, nil
	case err != nil:
		return nil, errors.Join(err, older.Close())
	}
	return struct {
		io.Reader
		io.Closer
	}{io.MultiReader(older, newer), closers{older, newer}}, nil
}

type closers []io.Closer

func (c closers) Close() error {
	var errs []error
	for _, one := range c {
		errs = append(errs, one.Close())
	}
	return errors.Join(errs...)
}
