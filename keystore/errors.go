package keystore

import (
	"errors"
	"fmt"
)

var (
	// ErrSubject is a name that no subject may have: see [CheckSubject].
	ErrSubject = errors.New("name of a subject refused")
	// ErrErased is personal data of a subject whose key was destroyed. It is the cause of every [ErasedError].
	ErrErased = errors.New("the subject was erased")
	// ErrDamaged is a file that is not as it was written, or not there; the message names it and the offset.
	ErrDamaged = errors.New("key store damaged")
	// ErrMaster is a master key that is missing, or another one than the keys were wrapped with.
	ErrMaster = errors.New("wrong master key")
	// ErrValue is a value that can't be sealed, or a sealed one that was not sealed for this event, metadata key and
	// subject, or was altered.
	ErrValue = errors.New("personal value refused")
	// ErrBroken is returned by everything that writes after a write or a sync went wrong: what is on the disk is then
	// unknown until the folder is opened again. What is there can still be read.
	ErrBroken = errors.New("key store can't write any more: restart")
	// ErrNotEmpty is an import into a folder that has keys.
	ErrNotEmpty = errors.New("folder has keys already")
)

// ErasedError says which value of a call was of an erased subject.
type ErasedError struct {
	Index   int // in the values of the call
	Subject string
}

// Error names the subject.
func (e *ErasedError) Error() string {
	return fmt.Sprintf("subject %q: %v: no personal data is taken for it any more", e.Subject, ErrErased)
}

// Unwrap returns [ErrErased].
func (e *ErasedError) Unwrap() error { return ErrErased }
