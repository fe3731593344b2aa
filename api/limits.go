package api

import (
	"time"

	"github.com/sterlingrun/sterling/clock"
	"github.com/sterlingrun/sterling/journal"
)

// MaxEvents is how many accounts, transfers or ids one call may carry.
const MaxEvents = journal.MaxEvents

// Limits bound what clients can make the server hold and how long they can make
// it wait.
type Limits struct {
	Message     int           // bytes of one request, decompressed
	HeaderBytes int           // of one request
	Connections int           // open at once; further ones are closed
	Streams     int           // calls in flight on one HTTP/2 connection
	InFlight    int           // messages of one CreateTransfersStream worked on at once
	Header      time.Duration // from a request's first byte to the end of its header
	Request     time.Duration // from a request's first byte to its last
	Answer      time.Duration // of one call in all, unless its own deadline is nearer
	Idle        time.Duration // between two requests of an HTTP/1.1 connection
}

// DefaultLimits are the limits a node runs with.
func DefaultLimits() Limits {
	return Limits{
		Message:     4 << 20,
		HeaderBytes: 16 << 10,
		Connections: 16 << 10,
		Streams:     1024,
		InFlight:    64,
		Header:      10 * time.Second,
		Request:     30 * time.Second,
		Answer:      60 * time.Second,
		Idle:        5 * time.Minute,
	}
}

func wall(c clock.Clock) time.Time {
	return time.Unix(0, int64(c.Wall())) //nolint:gosec // until the year 2262
}
