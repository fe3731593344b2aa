package feed

import (
	"context"
	"errors"
	"time"

	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

// Delivery is a run of events on its way to a sink.
type Delivery struct {
	ID     string // stable: the same events have the same id whenever they are sent again
	Events []*ledgerv1.FeedEvent
	Resume Position // everything up to here is delivered with it
}

// Sink brings events to a receiver. Sub-packages implement it, and know nothing of cursors, retries and dead letters.
type Sink interface {
	// Deliver returns nil once the receiver has acknowledged everything. It keeps nothing of d, ends with ctx, and is
	// called by one goroutine at a time. After an error some of d may have arrived; all of it is sent again.
	Deliver(ctx context.Context, d *Delivery) error
	// Close ends the connections.
	Close() error
}

// SinkOptions say how a sink is served.
type SinkOptions struct {
	Name   string // a file name: 1 to 64 of a-z, 0-9, '-', '_'
	Kind   string // shown to operators
	Sink   Sink
	Filter Filter
	Start  Start // where there is no cursor yet; the zero value: from the beginning

	Timeout    time.Duration // of one attempt; 0: 30 s
	Attempts   int           // until a delivery is given up; 0: never
	Stop       bool          // what was given up is not a dead letter: nothing passes it, and it is tried now and then
	FirstPause time.Duration // after the first failure; 0: 200 ms
	LastPause  time.Duration // pauses double up to this; 0: 1 min
	DeadBytes  int64         // of dead letters at most: then nothing passes; 0: 256 MiB
}

// Errors of Runners, wrapped with what was tried.
var (
	ErrNotFound = errors.New("not found")
	ErrDelivery = errors.New("the receiver did not take it")
)

// permanent is an error that repeating the delivery does not mend.
type permanent struct{ err error }

func (p permanent) Error() string { return p.err.Error() }
func (p permanent) Unwrap() error { return p.err }

// Permanent marks an error of a sink: repeating the delivery does not mend it.
func Permanent(err error) error { return permanent{err} }

func (o *SinkOptions) defaults() {
	if o.Timeout == 0 {
		o.Timeout = 30 * time.Second
	}
	if o.FirstPause == 0 {
		o.FirstPause = 200 * time.Millisecond
	}
	if o.LastPause == 0 {
		o.LastPause = time.Minute
	}
	if o.DeadBytes == 0 {
		o.DeadBytes = 256 << 20
	}
	if o.Start == (Start{}) {
		o.Start = Beginning()
	}
}

// ValidSinkName reports whether name can name a sink.
func ValidSinkName(name string) bool {
	if len(name) == 0 || len(name) > 64 {
		return false
	}
	for _, c := range []byte(name) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' {
			return false
		}
	}
	return true
}
