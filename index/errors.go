package index

import (
	"errors"
	"io/fs"
	"syscall"

	"github.com/cockroachdb/pebble/v2"
)

var (
	// ErrRebuild means: the folder holds no index of this journal (damaged, of another cell, or another layout). Delete it,
	// open it again and replay the journal from its first block.
	ErrRebuild = errors.New("the index must be rebuilt: delete its folder and replay the journal")
	// ErrGap means: a block came that is not the one after the last. Nothing was done.
	ErrGap = errors.New("blocks are missing")
	// ErrClosed means: the index was closed.
	ErrClosed = errors.New("the index is closed")
	// ErrFilter means: a filter that can't be: limit not within 1 to 8,190, no account, an empty range of time.
	ErrFilter = errors.New("invalid filter")
)

// rebuildError is a cause that calls for ErrRebuild.
type rebuildError struct{ cause error }

func (e *rebuildError) Error() string   { return ErrRebuild.Error() + ": " + e.cause.Error() }
func (e *rebuildError) Unwrap() []error { return []error{ErrRebuild, e.cause} }

// damage marks err as ErrRebuild where Pebble says that its files are corrupt.
func damage(err error) error {
	if err != nil && !errors.Is(err, ErrRebuild) && pebble.IsCorruptionError(err) {
		return &rebuildError{err}
	}
	return err
}

// surroundings reports whether err lies with the machine, so that deleting the folder would not help.
func surroundings(err error) bool {
	for _, e := range []error{
		fs.ErrPermission, syscall.ENOSPC, syscall.EDQUOT, syscall.EROFS, syscall.EIO,
		syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM, syscall.EAGAIN,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
