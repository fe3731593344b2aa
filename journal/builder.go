package journal

import (
	"bytes"
	"crypto/sha256"

	"github.com/sterlingrun/sterling/must"
)

// Builder puts a block together in a buffer of its own, which it uses again after Reset. It is not safe for
// concurrent use. Blocks that it makes share its buffer: they are valid until Reset.
type Builder struct {
	buf      []byte // header, then events
	events   int
	expiries []Expiry
	requests []RequestEntry
	outcomes []Outcome
	attached []attachmentEntry
	data     []byte // of the attachments
}

// NewBuilder returns an empty builder. Its buffer grows with its blocks, to MaxBlock at most.
func NewBuilder() *Builder { return &Builder{buf: make([]byte, HeaderSize, 64<<10)} }

// Reset makes the builder empty.
func (b *Builder) Reset() {
	b.buf = b.buf[:HeaderSize]
	b.events, b.expiries, b.requests, b.outcomes = 0, b.expiries[:0], b.requests[:0], b.outcomes[:0]
	b.attached, b.data = b.attached[:0], b.data[:0]
}

// Events is the number of events so far, Expiries that of expiries.
func (b *Builder) Events() int { return b.events }

// Expiries is the number of expiries so far.
func (b *Builder) Expiries() int { return len(b.expiries) }

// Empty reports whether nothing was added.
func (b *Builder) Empty() bool { return b.events == 0 && len(b.expiries) == 0 }

// AddExpiry adds an expiry; all expiries come before the first request.
func (b *Builder) AddExpiry(e Expiry) {
	must.True(b.events == 0 && len(b.expiries) < MaxEvents, "expiry %d after %d events", len(b.expiries), b.events)
	b.expiries = append(b.expiries, e)
}

// AddRequest copies a request's events into the block and returns the copy, which stands at event number first.
func (b *Builder) AddRequest(kind Kind, actor Actor, events []byte) (first int, copied []byte) {
	n := len(events) / RecordSize
	must.True(n > 0 && n*RecordSize == len(events) && b.events+n <= MaxEvents, "%d bytes of events after %d events", len(events), b.events)
	first = b.events
	start := len(b.buf)
	b.buf = append(b.buf, events...)
	b.events += n
	b.requests = append(b.requests, RequestEntry{Kind: kind, Count: uint32(n), Actor: actor}) //nolint:gosec // n ≤ MaxEvents
	return first, b.buf[start:len(b.buf):len(b.buf)]
}

// DropRequest takes the last request back, with its outcomes.
func (b *Builder) DropRequest() {
	last := len(b.requests) - 1
	n := int(b.requests[last].Count)
	b.requests = b.requests[:last]
	b.events -= n
	b.buf = b.buf[:len(b.buf)-n*RecordSize]
	keep := len(b.outcomes)
	for keep > 0 && int(b.outcomes[keep-1].Event) >= b.events {
		keep--
	}
	b.outcomes = b.outcomes[:keep]
	b.dropAttachments()
}

// AddOutcome adds an outcome; outcomes come in the order of their events.
func (b *Builder) AddOutcome(o Outcome) {
	must.True(int(o.Event) < b.events, "outcome of event %d among %d", o.Event, b.events)
	b.outcomes = append(b.outcomes, o)
}

// Transfer returns event i, which must be of a request of transfers. Valid until the next AddRequest.
func (b *Builder) Transfer(i int) *Transfer {
	at := HeaderSize + i*RecordSize
	return &View[Transfer](b.buf[at : at+RecordSize])[0]
}

// Outcome returns event i's outcome, or nil where it is the default.
func (b *Builder) Outcome(i int) *Outcome { return FindOutcome(b.outcomes, i) }

// Seal fills in the counts and the body's hash of h, writes the header and returns the block. The builder must be
// left alone until the block is no longer used.
func (b *Builder) Seal(h Header) *Block {
	h.Events, h.Expiries = uint32(b.events), uint32(len(b.expiries))            //nolint:gosec // ≤ MaxEvents
	h.Requests, h.Outcomes = uint32(len(b.requests)), uint32(len(b.outcomes))   //nolint:gosec // ≤ MaxEvents
	h.Attachments, h.AttachBytes = uint32(len(b.attached)), uint32(len(b.data)) //nolint:gosec // ≤ MaxBlock
	h.Version = oldestVersion(b.requests, b.attached, b.data)
	raw := append(b.buf, Bytes(b.expiries)...)
	raw = append(raw, Bytes(b.requests)...)
	raw = append(raw, Bytes(b.outcomes)...)
	raw = append(raw, Bytes(b.attached)...)
	raw = append(raw, b.data...)
	must.True(len(raw) == HeaderSize+h.BodySize() && len(raw) <= MaxBlock, "block of %d bytes", len(raw))
	b.buf = raw[:len(b.buf)]
	h.Body = sha256.Sum256(raw[HeaderSize:])
	h.Encode(raw)
	k := &Block{Header: h, Hash: sha256.Sum256(raw[:HeaderSize]), Raw: raw}
	k.slice()
	return k
}

// SameAs reports whether the builder holds the same events, expiries, requests, outcomes and attachments as block k.
func (b *Builder) SameAs(k *Block) bool {
	return bytes.Equal(b.buf[HeaderSize:HeaderSize+b.events*RecordSize], k.events) &&
		bytes.Equal(Bytes(b.expiries), Bytes(k.Expiries)) && bytes.Equal(Bytes(b.requests), Bytes(k.Requests)) &&
		bytes.Equal(Bytes(b.outcomes), Bytes(k.Outcomes)) &&
		bytes.Equal(Bytes(b.attached), Bytes(k.attached)) && bytes.Equal(b.data, k.data)
}
