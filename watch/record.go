package watch

import "errors"

// Record is a break as its runner keeps it: with what became of it.
type Record struct {
	Break
	Changed  uint64  // ns: when the newest entry of its history was made
	Others   int     // how many others its group has; only on the first of the group
	Stop     *Stop   // nil: nothing was to be frozen
	Proposal ID      // the newest proposal to repair it; zero: there is none
	History  []Entry // oldest first; lists leave it out
}

// Stop is a freeze that followed a break.
type Stop struct {
	Freeze
	State string // "frozen", "dry run", "asked" (beyond the budget: a person decides), "failed: …", "pending"
	Time  uint64 // ns: of the state
}

// Entry is one thing that was decided or noted about a break.
type Entry struct {
	Time     uint64 // ns
	State    BreakState
	Who, Why string // Who: a token's name, or "watch"
}

// Filter selects breaks. Zero fields match all.
type Filter struct {
	State BreakState
	Flow  string
	Class Class
	Group ID     // all of one group
	Roots bool   // only the first of each group
	Limit int    // at least 1
	After string // the next page: what the last one returned
}

// Definition is a flow as it is configured.
type Definition struct{ Name, Text string }

// Errors of those who hand observations to a runner, wrapped with what the sender is told.
var (
	// ErrSource is a source that no flow names.
	ErrSource = errors.New("no flow names this source")
	// ErrAhead are observations too far behind a gap: nothing of them was taken. Send what is missing first.
	ErrAhead = errors.New("too far ahead of what was taken")
	// ErrRepeat is a sequence number that was taken with another content. It is a break, too.
	ErrRepeat = errors.New("a sequence number was taken with another content")
	// ErrBehind is a runner that has too much to do. Nothing was taken; send again after a pause.
	ErrBehind = errors.New("the watch is behind")
	// ErrDown is a runner that can't take anything, such as one whose disk is full. Nothing was taken; send again later.
	ErrDown = errors.New("the watch does not run")
	// ErrStarting is a runner that is not ready yet: it reads its state. Nothing was taken; send again after a pause.
	ErrStarting = errors.New("the watch is starting")
	// ErrFilter is a filter that can't be followed, such as an After of something else.
	ErrFilter = errors.New("not a filter of breaks")
)
