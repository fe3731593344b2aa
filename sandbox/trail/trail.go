// Package trail is the record of what a sandbox did: lines of text, each with a SHA-256 over the one before it and
// itself, from a begin to an end. A change, a removed, repeated or reordered line is found by Verify; lines that are
// missing at the end are found because the end is missing; a whole record written anew is found by whoever knows its
// head. What was lost on the way into the record is a line of its own, a gap.
//
// It knows neither what an event means nor where it comes from, and it reads and writes no file. The format is in
// docs/sandbox.md. Start reading at Chain.
package trail

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
)

// MaxLine bounds a line in bytes, its newline included.
const MaxLine = 128 << 10

// Hash is what binds a line to all before it.
type Hash [sha256.Size]byte

// String is the hash in hexadecimal.
func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// MarshalText is String.
func (h Hash) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

// UnmarshalText reads what String wrote.
func (h *Hash) UnmarshalText(text []byte) error {
	if len(text) != hex.EncodedLen(len(h)) {
		return errors.New("a hash has 64 hexadecimal digits")
	}
	_, err := hex.Decode(h[:], text)
	return err
}

// Kind says what a line is about.
type Kind string

// The kinds of lines.
const (
	KindBegin Kind = "begin" // the first line: a Begin
	KindEvent Kind = "event" // what the sandbox's kernel says that a task did
	KindGap   Kind = "gap"   // a Gap: the record is not all that happened
	KindHost  Kind = "host"  // a Host: what the host saw of the sandbox, without asking it
	KindAlert Kind = "alert" // an Alert: a rule fired
	KindEnd   Kind = "end"   // the last line: an End
)

// Begin is the body of the first line.
type Begin struct {
	Format    int    `json:"format"` // Format when it was written
	Sandbox   string `json:"sandbox"`
	Policy    string `json:"policy"`    // SHA-256 of the policy's document, hexadecimal
	Root      string `json:"root"`      // digest of the image, or the folder
	Isolation string `json:"isolation"` // such as "gvisor-systrap"
	Nonce     string `json:"nonce"`     // random: two records of one sandbox's name never share a line
	// Unseen are things that the sandbox's kernel does not tell of, whatever the policy asks for; none with gVisor.
	Unseen []string `json:"unseen,omitempty"`
}

// Format is the version of the format that is written. Version 1, which is read, too, has no hosts and alerts.
const Format = 2

// Gap is the body of a line that says what the record does not show.
type Gap struct {
	Reason string `json:"reason"`         // one of the constants
	Lost   uint64 `json:"lost,omitempty"` // events that are known to be lost; 0: it is not known how many
	Detail string `json:"detail,omitempty"`
}

// Reasons of gaps.
const (
	GapDropped   = "dropped"       // the sandbox's kernel counted events that it could not send
	GapMalformed = "malformed"     // a message that is no event: its kernel or its version is not what it should be
	GapOpenTasks = "open-tasks"    // tasks without an end: events after the last one may be lost
	GapNoSession = "no-session"    // no event at all came
	GapExitCode  = "exit-differs"  // the host saw another exit status than the events claim
	GapRunner    = "runner-lost"   // the process that ran the sandbox ended without a word
	GapCollector = "recorder-lost" // the process that wrote the record ended; a torn line was cut, where there was one
)

// GapHost is a gap: what the host saw is not what the sandbox's kernel claims.
const GapHost = "host-differs"

// Host is the body of a line with what the host's own kernel and the runner counted since the sandbox began. The
// sandbox's kernel has no say in it. A count that the host could not take is absent.
type Host struct {
	CPU         *uint64  `json:"cpu,omitempty"`           // ns
	Memory      *uint64  `json:"memory,omitempty"`        // bytes now
	MemoryPeak  *uint64  `json:"memory_peak,omitempty"`   // bytes
	Tasks       *uint64  `json:"tasks,omitempty"`         // threads of the host now
	OutOfMemory *uint64  `json:"out_of_memory,omitempty"` // times that the host killed for lack of memory
	Egress      []Egress `json:"egress,omitempty"`        // by socket of the policy, in its order
	// Network is the bytes that went through interfaces of the sandbox's own network, which has none but loopback.
	Network *uint64 `json:"network,omitempty"`
	// Leaked says that a process of the sandbox is in the host's own network namespace.
	Leaked bool `json:"leaked,omitempty"`
}

// Egress is what went through one of the policy's sockets.
type Egress struct {
	Name        string `json:"name"`
	Connections uint64 `json:"connections"`
	Sent        uint64 `json:"sent"`     // bytes from the workload
	Received    uint64 `json:"received"` // bytes to it
}

// Alert is the body of a line that says that a rule fired.
type Alert struct {
	Rule   string `json:"rule"`
	Action string `json:"action"` // "alert", "pause" or "kill"
	Of     uint64 `json:"of"`     // number of the line that it is about
	// Fault is why the rule could not be decided, and so fired; empty: it was.
	Fault string `json:"fault,omitempty"`
}

// End is the body of the last line.
type End struct {
	Exit   int    `json:"exit"`   // status as the host saw it; 128 + signal; -1: not known
	Reason string `json:"reason"` // why it ended: "exited", "stopped", "time limit", …
	Events uint64 `json:"events"`
	Gaps   uint64 `json:"gaps"`
	Lost   uint64 `json:"lost"` // events known to be lost
	Alerts uint64 `json:"alerts,omitempty"`
}

// Chain makes the lines of one record. Its zero value is the beginning. Not safe for concurrent use.
type Chain struct {
	head Hash
	next uint64
	last uint64
}

// domain keeps these hashes apart from all others.
const domain = "sterling sandbox trail 1\n"

// Head is the hash of the last line, and how many there are.
func (c *Chain) Head() (Hash, uint64) { return c.head, c.next }

// Append makes the next line, newline included, and appends it to dst. The time is in nanoseconds since 1970 (UTC);
// one before the last line's counts as the last line's. The body is JSON without newlines, which the caller vouches
// for.
func (c *Chain) Append(dst []byte, time uint64, kind Kind, body []byte) []byte {
	c.last = max(c.last, time)
	start := len(dst)
	dst = append(dst, blank...)
	dst = append(dst, `{"seq":`...)
	dst = strconv.AppendUint(dst, c.next, 10)
	dst = append(dst, `,"time":`...)
	dst = strconv.AppendUint(dst, c.last, 10)
	dst = append(dst, `,"kind":"`...)
	dst = append(dst, kind...)
	dst = append(dst, `","body":`...)
	dst = append(dst, body...)
	dst = append(dst, '}')
	c.head = link(c.head, dst[start+hashColumn:])
	c.next++
	hex.Encode(dst[start:], c.head[:])
	return append(dst, '\n')
}

// hashColumn is where the JSON of a line begins: after the hash and a space.
const hashColumn = 2*sha256.Size + 1

var blank = strings.Repeat(" ", hashColumn)

func link(prev Hash, text []byte) Hash {
	h := sha256.New()
	h.Write([]byte(domain))
	h.Write(prev[:])
	h.Write(text)
	var out Hash
	h.Sum(out[:0])
	return out
}

// Body encodes what is not an event.
func Body[T Begin | Gap | Host | Alert | End](v T) []byte {
	text, err := json.Marshal(v)
	if err != nil {
		return []byte("null") // strings and numbers: can't happen
	}
	return text
}

// Record is one line, decoded.
type Record struct {
	Seq  uint64          `json:"seq"`
	Time uint64          `json:"time"`
	Kind Kind            `json:"kind"`
	Body json.RawMessage `json:"body"`
	Hash Hash            `json:"-"` // of this line
}
