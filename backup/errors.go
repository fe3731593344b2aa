package backup

import (
	"errors"
	"fmt"
)

// What Run, Restore and List return, wrapped with details.
var (
	// ErrDamaged: an object is not as it was written. Mostly an *ObjectError.
	ErrDamaged = errors.New("the backup is damaged")
	// ErrMissing: an object that a manifest names is not there. It is damage too.
	ErrMissing = fmt.Errorf("%w: an object is missing", ErrDamaged)
	// ErrAbsent is what a Repository's Get returns where there is no object of the name.
	ErrAbsent = errors.New("no such object")
	// ErrVersion: written by a newer program.
	ErrVersion = errors.New("unknown version of the backup format")
	// ErrDiverged: the repository has backups of another history than the journal's. Nothing was written.
	ErrDiverged = errors.New("the repository holds another history of this cell")
	// ErrNoBackup: the repository has no backup of the cell, or none of the id that was asked for.
	ErrNoBackup = errors.New("no such backup")
	// ErrOutOfReach: the position or time asked for lies outside what the backup has.
	ErrOutOfReach = errors.New("the backup does not reach there")
	// ErrTooSlow: the backup took longer than MaxDuration and was given up. The next one goes on where it ended.
	ErrTooSlow = errors.New("the backup took too long")
)

// ObjectError says which object is wrong, and how. Err is ErrDamaged, ErrMissing or ErrVersion.
type ObjectError struct {
	Object string // name in the repository
	Reason string
	Err    error
}

// Error names the object and what is wrong with it.
func (e *ObjectError) Error() string {
	if e.Reason == "" {
		return fmt.Sprintf("%v: %s", e.Err, e.Object)
	}
	return fmt.Sprintf("%v: %s: %s", e.Err, e.Object, e.Reason)
}

// Unwrap returns Err.
func (e *ObjectError) Unwrap() error { return e.Err }

func damaged(object, format string, args ...any) error {
	return &ObjectError{Object: object, Reason: fmt.Sprintf(format, args...), Err: ErrDamaged}
}
