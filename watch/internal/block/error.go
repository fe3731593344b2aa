package block

import (
	"errors"
	"fmt"
)

// ErrMalformed is what every [Error] is.
var ErrMalformed = errors.New("malformed block")

// Fault says which rule of the format is broken.
type Fault uint8

// The faults.
const (
	Size        Fault = 1 + iota // fewer or more bytes than the header counts
	Magic                        // not a block at all
	Version                      // a version that is not known, or not the oldest that can express the block
	Bounds                       // a number beyond what the format allows
	Reserved                     // bytes set that have to be zero
	Body                         // the body is not what its hash says
	Requests                     // requests that do not add up to the events, or parts of a request that can't be
	Outcomes                     // outcomes out of order, or of events that aren't there
	Attachments                  // attachments out of order, with gaps, or not in their canonical form
)

// Error is a block that is none.
type Error struct {
	Fault  Fault
	Seq    uint64 // that the header gives; 0: it could not be read
	Detail string
}

// Error implements error.
func (e *Error) Error() string {
	if e.Seq == 0 {
		return fmt.Sprintf("malformed block: %s", e.Detail)
	}
	return fmt.Sprintf("malformed block %d: %s", e.Seq, e.Detail)
}

// Unwrap makes every Error an ErrMalformed.
func (e *Error) Unwrap() error { return ErrMalformed }

func (b *Block) fault(f Fault, format string, args ...any) error {
	return &Error{Fault: f, Seq: b.Seq, Detail: fmt.Sprintf(format, args...)}
}
