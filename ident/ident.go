// Package ident makes 128-bit identifiers that sort by the time they were made,
// so that neighbours in time are neighbours in tables and files.
//
// It never reads a clock or a source of randomness of its own, and it knows
// nothing of what the identifiers name. Start reading at [Generator.Next].
package ident

import (
	"encoding/binary"
	"fmt"
	"io"
	"sync"
	"time"
)

// ID is a 128-bit identifier: 48 bits of milliseconds since 1970 UTC, then 80
// random bits. It is never zero and never the maximum of 128 bits, for any clock
// between 1970 and the year 10889.
type ID struct {
	Hi, Lo uint64
}

// Time returns the millisecond in which the identifier was made. Identifiers
// made faster than randomness allows, or while the clock stood still or ran
// back, carry a time slightly ahead.
func (id ID) Time() time.Time {
	return time.UnixMilli(int64(id.Hi >> 16)).UTC()
}

// Compare returns -1, 0 or +1 as id is less than, equal to or greater than other.
func (id ID) Compare(other ID) int {
	switch {
	case id.Hi != other.Hi && id.Hi < other.Hi, id.Hi == other.Hi && id.Lo < other.Lo:
		return -1
	case id == other:
		return 0
	default:
		return 1
	}
}

// Generator makes identifiers that strictly increase within the process, also
// within a millisecond and when the clock runs back. It is safe for concurrent
// use.
type Generator struct {
	now    func() time.Time
	random io.Reader

	mu     sync.Mutex
	millis uint64
	last   ID
}

// NewGenerator returns a generator over a clock and a source of randomness,
// usually time.Now and crypto/rand.Reader.
func NewGenerator(now func() time.Time, random io.Reader) *Generator {
	return &Generator{now: now, random: random}
}

const (
	millisMask = 1<<48 - 1
	randomHigh = 1<<16 - 1 // the random bits of Hi
)

// Next returns the next identifier. The error is that of the source of
// randomness, which is read once per millisecond.
func (g *Generator) Next() (ID, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	millis := uint64(max(0, g.now().UnixMilli())) & millisMask
	if millis > g.millis {
		return g.fresh(millis)
	}
	next := ID{Hi: g.last.Hi, Lo: g.last.Lo + 1}
	if next.Lo == 0 {
		if next.Hi&randomHigh == randomHigh { // 2^80 exhausted: borrow a millisecond
			return g.fresh(g.millis + 1)
		}
		next.Hi++
	}
	g.last = next
	return next, nil
}

func (g *Generator) fresh(millis uint64) (ID, error) {
	var b [16]byte
	if _, err := io.ReadFull(g.random, b[6:]); err != nil {
		return ID{}, fmt.Errorf("read randomness for an id: %w", err)
	}
	id := ID{Hi: binary.BigEndian.Uint64(b[:8]) | millis<<16, Lo: binary.BigEndian.Uint64(b[8:])}
	g.millis, g.last = millis, id
	return id, nil
}
