package local

import (
	"errors"
	"fmt"
	"syscall"

	"github.com/sterlingrun/sterling/cell"
)

// What Open, Append and the reads return, wrapped with details. Damage is cell.ErrDamaged, mostly as a *DamageError.
var (
	// ErrSyncFailed: the disk could not say that data is durable. What the page cache holds can't be trusted from here
	// on, so every later Append fails alike: the process has to exit, and a new one to recover.
	ErrSyncFailed = errors.New("the disk failed to make data durable")
	// ErrVersion: a file of a format version that this program does not know.
	ErrVersion = errors.New("unknown format version")
	// ErrWrongCell: the folder belongs to another cell.
	ErrWrongCell = errors.New("the folder belongs to another cell")
	// ErrMissing: a segment file is not there. It is damage too (cell.ErrDamaged).
	ErrMissing = fmt.Errorf("%w: a segment is missing", cell.ErrDamaged)
	// ErrBehind: the journal ends before a block that something else has already seen. It is damage too.
	ErrBehind = fmt.Errorf("%w: the journal ends too early", cell.ErrDamaged)
	// ErrLocked: another process uses the folder.
	ErrLocked = errors.New("the data folder is in use")
	// ErrClosed: Close was called.
	ErrClosed = errors.New("the journal is closed")
)

// DamageError says where a file is not what was written there. It is cell.ErrDamaged.
type DamageError struct {
	File   string
	Offset int64 // bytes from the beginning of File
	Reason string
}

// Error names the file, the offset and what is wrong there.
func (e *DamageError) Error() string {
	return fmt.Sprintf("%v: %s at offset %d: %s", cell.ErrDamaged, e.File, e.Offset, e.Reason)
}

// Unwrap returns cell.ErrDamaged.
func (e *DamageError) Unwrap() error { return cell.ErrDamaged }

func damaged(file string, offset int64, format string, args ...any) error {
	return &DamageError{File: file, Offset: offset, Reason: fmt.Sprintf(format, args...)}
}

// full maps a full disk or an exhausted quota to cell.ErrFull and leaves every other error as it is.
func full(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fmt.Errorf("%w: %w", cell.ErrFull, err)
	}
	return err
}
