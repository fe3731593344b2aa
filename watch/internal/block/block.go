// Package block is watch's own decoder of the journal's blocks, written from docs/formats.md alone. It bounds and checks
// everything that the page lets one check, and gives views into the bytes: it allocates nothing for an event. It never
// decides what an event does, and shares no code with package journal: golden vectors bind the two.
// Start reading at Block.
package block

import (
	"crypto/sha256"
	"encoding/binary"

	"github.com/sterlingrun/sterling/watch/internal/count"
)

// Sizes of the format in bytes, and its bounds.
const (
	HeaderSize     = 256
	EventSize      = 128
	expirySize     = 32
	requestSize    = 32
	outcomeSize    = 48
	attachmentSize = 16

	MaxEvents    = 8190
	MaxBlock     = 2 << 20
	maxSeq       = 1<<48 - 1
	MaxTimestamp = 1<<63 - 1
	maxTime      = MaxTimestamp - 16_380
)

const magic = "STERLBLK"

// The kinds of blocks.
const (
	Normal  = 1
	Epoch   = 2
	Barrier = 3
)

// Header is a block's header. Seq counts from 1; Time is in ns since 1970 UTC.
type Header struct {
	Version, Rules, Kind                 uint16
	Cell, Seq, Epoch                     uint64
	Incarnation                          [16]byte
	Time                                 uint64
	Prev                                 [32]byte
	Acked                                uint64
	Events, Expiries, Requests, Outcomes uint32
	Attachments, AttachmentBytes         uint32
	StateDigest, Body                    [32]byte
}

// End is the first time that the next block may have.
func (h *Header) End() uint64 { return h.Time + max(1, uint64(h.Events)+uint64(h.Expiries)) }

// Block is a decoded block: views into the bytes that Decode was given, valid as long as those are. Decode may be called
// again and again on the same one.
type Block struct {
	Header
	Hash [32]byte

	events, expiries, requests, outcomes, entries, data []byte
}

// Decode reads a block. It refuses, with an [Error], whatever docs/formats.md says that a decoder refuses or that cannot
// be; the contents of events and attachments are not looked at (see Parts and CheckDetails). It keeps raw, and does not
// change it.
func (b *Block) Decode(raw []byte) error {
	*b = Block{}
	if err := b.header(raw); err != nil {
		return err
	}
	rest := raw[HeaderSize:]
	if want := b.size(); uint64(len(rest)) != want {
		return b.fault(Size, "%d bytes after the header, it counts %d", len(rest), want)
	}
	if sha256.Sum256(rest) != b.Body {
		return b.fault(Body, "the body is not what the header's hash says")
	}
	b.Hash = sha256.Sum256(raw[:HeaderSize])
	cut := func(n uint32, size int) []byte {
		part := rest[: int(n)*size : int(n)*size]
		rest = rest[int(n)*size:]
		return part
	}
	b.events, b.expiries = cut(b.Events, EventSize), cut(b.Expiries, expirySize)
	b.requests, b.outcomes = cut(b.Requests, requestSize), cut(b.Outcomes, outcomeSize)
	b.entries, b.data = cut(b.Attachments, attachmentSize), cut(b.AttachmentBytes, 1)
	if err := b.checkRequests(); err != nil {
		return err
	}
	if err := b.checkOutcomes(); err != nil {
		return err
	}
	if err := b.checkAttachments(); err != nil {
		return err
	}
	return b.checkVersion()
}

// header reads the header and bounds it.
func (b *Block) header(raw []byte) error {
	if len(raw) < HeaderSize {
		return &Error{Fault: Size, Detail: "shorter than a header"}
	}
	if string(raw[:8]) != magic {
		return &Error{Fault: Magic, Detail: "it does not begin with " + magic}
	}
	le := binary.LittleEndian
	b.Header = Header{
		Version: le.Uint16(raw[8:]), Rules: le.Uint16(raw[10:]), Kind: le.Uint16(raw[12:]), Cell: le.Uint64(raw[16:]),
		Seq: le.Uint64(raw[24:]), Epoch: le.Uint64(raw[32:]), Incarnation: [16]byte(raw[40:]), Time: le.Uint64(raw[56:]),
		Prev: [32]byte(raw[64:]), Acked: le.Uint64(raw[96:]), Events: le.Uint32(raw[104:]), Expiries: le.Uint32(raw[108:]),
		Requests: le.Uint32(raw[112:]), Outcomes: le.Uint32(raw[116:]), Attachments: le.Uint32(raw[120:]),
		AttachmentBytes: le.Uint32(raw[124:]), StateDigest: [32]byte(raw[128:]), Body: [32]byte(raw[160:]),
	}
	switch {
	case b.Version < 1 || b.Version > 3:
		return b.fault(Version, "format version %d", b.Version)
	case !zero(raw[14:16]) || !zero(raw[192:HeaderSize]):
		return b.fault(Reserved, "reserved bytes of the header are set")
	case b.Kind < Normal || b.Kind > Barrier:
		return b.fault(Bounds, "block kind %d", b.Kind)
	case b.Seq == 0 || b.Seq > maxSeq:
		return b.fault(Bounds, "sequence number %d", b.Seq)
	case b.Acked >= b.Seq:
		return b.fault(Bounds, "block %d is said to be acknowledged", b.Acked)
	case b.Time > maxTime:
		return b.fault(Bounds, "time %d", b.Time)
	}
	return b.counts()
}

// counts bounds the counts before anything is sliced by them.
func (b *Block) counts() error {
	switch {
	case b.Events > MaxEvents || b.Expiries > MaxEvents || b.Requests > b.Events || b.Outcomes > b.Events:
		return b.fault(Bounds, "%d events, %d expiries, %d requests, %d outcomes", b.Events, b.Expiries, b.Requests, b.Outcomes)
	case b.Attachments > b.Events || b.AttachmentBytes > MaxBlock || b.AttachmentBytes%8 != 0 || (b.Attachments == 0) != (b.AttachmentBytes == 0):
		return b.fault(Bounds, "%d attachments of %d bytes", b.Attachments, b.AttachmentBytes)
	case b.Version == 1 && b.Attachments != 0:
		return b.fault(Version, "attachments in a block of version 1")
	case HeaderSize+b.size() > MaxBlock:
		return b.fault(Bounds, "%d bytes", HeaderSize+b.size())
	}
	return nil
}

// size is what the header says that the body has.
func (b *Block) size() uint64 {
	return uint64(b.Events)*EventSize + uint64(b.Expiries)*expirySize + uint64(b.Requests)*requestSize +
		uint64(b.Outcomes)*outcomeSize + uint64(b.Attachments)*attachmentSize + uint64(b.AttachmentBytes)
}

// checkRequests: kinds that are known, and events that add up.
func (b *Block) checkRequests() error {
	events := uint64(0)
	for i := range int(b.Requests) {
		r := b.Request(i)
		if r.Kind < Accounts || r.Kind > Takes || r.Count == 0 {
			return b.fault(Requests, "request %d has kind %d and %d events", i, r.Kind, r.Count)
		}
		events += uint64(r.Count)
	}
	if events != uint64(b.Events) {
		return b.fault(Requests, "the requests have %d events, the header says %d", events, b.Events)
	}
	return nil
}

// checkVersion: the oldest version that can express the block.
func (b *Block) checkVersion() error {
	needs := uint16(1)
	for i := range int(b.Requests) {
		switch kind := b.Request(i).Kind; {
		case kind > Erasure:
			needs = 3
		case kind > Limits:
			needs = max(needs, 2)
		}
	}
	if b.Attachments > 0 {
		needs = max(needs, 2)
	}
	for i := 0; i < int(b.Attachments) && needs < 3; i++ {
		e := b.entries[i*attachmentSize:]
		at, n := binary.LittleEndian.Uint32(e[4:]), binary.LittleEndian.Uint32(e[8:])
		if _, ok := TransitOf(b.data[at : at+n]); ok {
			needs = 3
		}
	}
	if needs != b.Version {
		return b.fault(Version, "version %d, what it holds is of version %d", b.Version, needs)
	}
	return nil
}

func (b *Block) checkOutcomes() error {
	next := uint32(0)
	for i := range int(b.Outcomes) {
		event := binary.LittleEndian.Uint32(b.outcomes[i*outcomeSize:])
		if event < next || event >= b.Events {
			return b.fault(Outcomes, "outcome %d is of event %d", i, event)
		}
		next = event + 1
	}
	return nil
}

// checkAttachments: in the order of their events, without gaps, padded with zeros.
func (b *Block) checkAttachments() error {
	le := binary.LittleEndian
	next, end := uint32(0), uint64(0)
	for i := range int(b.Attachments) {
		e := b.entries[i*attachmentSize:][:attachmentSize]
		event, offset, length := le.Uint32(e), uint64(le.Uint32(e[4:])), uint64(le.Uint32(e[8:]))
		padded := (length + 7) &^ 7
		switch {
		case event < next || event >= b.Events:
			return b.fault(Attachments, "attachment %d is of event %d", i, event)
		case offset != end || length == 0 || end+padded > uint64(len(b.data)):
			return b.fault(Attachments, "attachment %d has %d bytes at %d", i, length, offset)
		case !zero(e[12:]) || !zero(b.data[offset+length:end+padded]):
			return b.fault(Attachments, "attachment %d is not padded with zeros", i)
		}
		next, end = event+1, end+padded
	}
	if end != uint64(len(b.data)) {
		return b.fault(Attachments, "the attachments have %d bytes, the header says %d", end, len(b.data))
	}
	return nil
}

func zero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}

// Request is an entry of the list of requests.
type Request struct {
	Kind  Kind
	Count uint32 // events
	Actor count.ID
}

// Request returns request i.
func (b *Block) Request(i int) Request {
	r := b.requests[i*requestSize:][:requestSize]
	return Request{Kind(r[0]), binary.LittleEndian.Uint32(r[4:]), count.ID(r[16:32])}
}

// Expiry returns the reservation that expiry i ends, and what it releases.
func (b *Block) Expiry(i int) (pending count.ID, amount count.Amount) {
	e := b.expiries[i*expirySize:][:expirySize]
	return count.ID(e[:16]), amountAt(e[16:])
}

// Outcome is what was recorded of an event. Times are in ns, Amount in minor units.
type Outcome struct {
	Event           uint32
	Status          uint16
	Timestamp       uint64
	Amount          count.Amount
	PendingPosition uint64 // seq<<14 | index
}

// Created is the status of what was created, of every kind.
const Created = 1

// OutcomeEvent returns the event of outcome i, 0 ≤ i < Outcomes.
func (b *Block) OutcomeEvent(i int) int {
	return int(binary.LittleEndian.Uint32(b.outcomes[i*outcomeSize:]))
}

// Outcome returns outcome i, 0 ≤ i < Outcomes.
func (b *Block) Outcome(i int) Outcome {
	le := binary.LittleEndian
	o := b.outcomes[i*outcomeSize:][:outcomeSize]
	return Outcome{le.Uint32(o), le.Uint16(o[4:]), le.Uint64(o[8:]), amountAt(o[16:]), le.Uint64(o[32:])}
}

// Attachment returns what is attached to an event, nil where nothing is.
func (b *Block) Attachment(event int) []byte {
	le := binary.LittleEndian
	from, to := 0, int(b.Attachments)
	for from < to {
		mid := (from + to) / 2
		e := b.entries[mid*attachmentSize:]
		switch got := int(le.Uint32(e)); {
		case got < event:
			from = mid + 1
		case got > event:
			to = mid
		default:
			at, n := le.Uint32(e[4:]), le.Uint32(e[8:])
			return b.data[at : at+n : at+n]
		}
	}
	return nil
}

// EventBytes returns the bytes of n events from event first on.
func (b *Block) EventBytes(first, n int) []byte {
	return b.events[first*EventSize : (first+n)*EventSize]
}

func amountAt(b []byte) count.Amount {
	return count.Amount{Lo: binary.LittleEndian.Uint64(b), Hi: binary.LittleEndian.Uint64(b[8:])}
}
