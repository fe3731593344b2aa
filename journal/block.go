// Package journal is the truth's format: blocks of whole requests with their outcomes, chained by hashes. It encodes
// and decodes them and knows what a record looks like; it never reads a disk, a clock or a network, and never decides
// what an event does. The specification is docs/formats.md. Start reading at Block and Builder.
package journal

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"sort"
)

// Block is a decoded block. Its slices share one buffer, which belongs to whoever made the block.
type Block struct {
	Header   Header
	Hash     Hash
	Raw      []byte // header and body as they stand in the log
	Expiries []Expiry
	Requests []RequestEntry
	Outcomes []Outcome // ascending by event

	events   []byte
	attached []attachmentEntry // ascending by event
	data     []byte            // of the attachments
}

// Decode reads a block, bounds everything in it and checks its body against its header. The block keeps b, or a copy
// where b's memory is not aligned to 8 bytes.
func Decode(b []byte) (*Block, error) {
	h, err := DecodeHeader(b)
	if err != nil {
		return nil, err
	}
	if want := HeaderSize + h.BodySize(); len(b) != want {
		return nil, fmt.Errorf("%w: block %d has %d bytes, its header says %d", ErrFormat, h.Seq, len(b), want)
	}
	if sha256.Sum256(b[HeaderSize:]) != h.Body {
		return nil, fmt.Errorf("%w: the body of block %d does not match its hash", ErrFormat, h.Seq)
	}
	k := &Block{Header: h, Hash: sha256.Sum256(b[:HeaderSize]), Raw: Aligned(b)}
	k.slice()
	return k, k.check()
}

// slice points the parts into Raw, by the counts of the header.
func (k *Block) slice() {
	b := k.Raw[HeaderSize:]
	cut := func(n int) []byte {
		part := b[:n:n]
		b = b[n:]
		return part
	}
	k.events = cut(int(k.Header.Events) * RecordSize)
	k.Expiries = View[Expiry](cut(int(k.Header.Expiries) * ExpirySize))
	k.Requests = View[RequestEntry](cut(int(k.Header.Requests) * RequestSize))
	k.Outcomes = View[Outcome](cut(int(k.Header.Outcomes) * OutcomeSize))
	k.attached = View[attachmentEntry](cut(int(k.Header.Attachments) * AttachmentSize))
	k.data = cut(int(k.Header.AttachBytes))
}

func (k *Block) check() error {
	var events uint64
	for i := range k.Requests {
		r := &k.Requests[i]
		if !r.Kind.Valid() || r.Count == 0 {
			return fmt.Errorf("%w: request %d of block %d has kind %d and %d events", ErrFormat, i, k.Header.Seq, r.Kind, r.Count)
		}
		events += uint64(r.Count)
	}
	if events != uint64(k.Header.Events) {
		return fmt.Errorf("%w: the requests of block %d have %d events, its header says %d", ErrFormat, k.Header.Seq, events, k.Header.Events)
	}
	for i := range k.Outcomes {
		o := &k.Outcomes[i]
		if o.Event >= k.Header.Events || i > 0 && o.Event <= k.Outcomes[i-1].Event {
			return fmt.Errorf("%w: outcome %d of block %d is of event %d", ErrFormat, i, k.Header.Seq, o.Event)
		}
	}
	if err := k.checkAttachments(); err != nil {
		return err
	}
	if needed := oldestVersion(k.Requests, k.attached, k.data); needed != k.Header.Version {
		return fmt.Errorf("%w: block %d is of version %d, what it holds is of version %d", ErrFormat, k.Header.Seq, k.Header.Version, needed)
	}
	return nil
}

// oldestVersion is the oldest version of the format that can express a block.
func oldestVersion(requests []RequestEntry, attached []attachmentEntry, data []byte) uint16 {
	for i := range attached {
		if _, ok := TransitOf(attached[i].of(data)); ok {
			return 3
		}
	}
	if len(attached) > 0 {
		return 2
	}
	for i := range requests {
		if requests[i].Kind > lastKindOfVersion1 {
			return 2
		}
	}
	return 1
}

// EventBytes returns the records of n events from event from on.
func (k *Block) EventBytes(from, n int) []byte {
	return k.events[from*RecordSize : (from+n)*RecordSize : (from+n)*RecordSize]
}

// Transfer returns event i, which must be of a request of transfers.
func (k *Block) Transfer(i int) *Transfer { return &View[Transfer](k.EventBytes(i, 1))[0] }

// Outcome returns event i's outcome, or nil where it is the default.
func (k *Block) Outcome(i int) *Outcome { return FindOutcome(k.Outcomes, i) }

// FindOutcome returns event i's entry in a block's ascending outcomes, or nil.
func FindOutcome(outcomes []Outcome, i int) *Outcome {
	at := sort.Search(len(outcomes), func(k int) bool { return int(outcomes[k].Event) >= i })
	if at < len(outcomes) && int(outcomes[at].Event) == i {
		return &outcomes[at]
	}
	return nil
}

// SameBody reports whether both blocks have the same events, expiries, requests and outcomes.
func (k *Block) SameBody(other *Block) bool {
	return bytes.Equal(k.Raw[HeaderSize:], other.Raw[HeaderSize:])
}
