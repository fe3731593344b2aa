package journal

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
)

// Hash is a SHA-256 hash. A block's hash is that of its header, which holds its body's; so a chain of headers can be
// checked without the bodies.
type Hash [32]byte

// String returns the first 8 bytes in hexadecimal.
func (h Hash) String() string { return fmt.Sprintf("%x", h[:8]) }

// BlockKind says why a block was written.
type BlockKind uint16

// The kinds of a block: requests of clients, a leader that takes over, or nothing (an idle leader confirms the
// blocks before).
const (
	BlockNormal  BlockKind = 1
	BlockEpoch   BlockKind = 2
	BlockBarrier BlockKind = 3
)

// FormatVersion is the newest version of the block format. A block is written in the oldest version that can express
// it: version 2 has attachments and more kinds of requests, version 3 transfers across cells. All are read.
const FormatVersion = 3

var magic = [8]byte{'S', 'T', 'E', 'R', 'L', 'B', 'L', 'K'}

// Header begins every block.
type Header struct {
	Version     uint16 // of the format; 0 means 1. Seal sets it
	Rules       uint16 // version of the rules its events were validated by; rises only in an epoch block
	Kind        BlockKind
	Cell        uint64
	Seq         uint64 // from 1, without gaps
	Epoch       uint64 // rises with every takeover
	Incarnation [16]byte
	Time        uint64 // ns since 1970; event i happened at Time + i, expiries counted first
	Prev        Hash   // of the block before; zero for the first
	Acked       uint64 // highest acknowledged sequence number when the block was written
	Events      uint32
	Expiries    uint32
	Requests    uint32
	Outcomes    uint32
	Attachments uint32 // how many, and how many bytes they have together, rounded up to 8
	AttachBytes uint32
	StateDigest [32]byte // every DigestInterval blocks, otherwise zero
	Body        Hash
}

// DigestInterval is how many blocks lie between two that carry a digest of the state.
const DigestInterval = 4096

// ErrFormat is a block that is not one of ours: wrong magic, unknown version, impossible counts, altered bytes.
var ErrFormat = errors.New("malformed block")

// BodySize is the number of bytes after the header.
func (h *Header) BodySize() int {
	return int(h.Events)*RecordSize + int(h.Expiries)*ExpirySize + int(h.Requests)*RequestSize + int(h.Outcomes)*OutcomeSize +
		int(h.Attachments)*AttachmentSize + int(h.AttachBytes)
}

// End is the first timestamp after the block's own: the block's time plus all of its indices, at least one.
func (h *Header) End() uint64 { return h.Time + max(1, uint64(h.Events)+uint64(h.Expiries)) }

// Encode writes the header to b[:HeaderSize].
func (h *Header) Encode(b []byte) {
	le := binary.LittleEndian
	clear(b[:HeaderSize])
	copy(b, magic[:])
	le.PutUint16(b[8:], max(1, h.Version))
	le.PutUint16(b[10:], h.Rules)
	le.PutUint16(b[12:], uint16(h.Kind))
	le.PutUint64(b[16:], h.Cell)
	le.PutUint64(b[24:], h.Seq)
	le.PutUint64(b[32:], h.Epoch)
	copy(b[40:], h.Incarnation[:])
	le.PutUint64(b[56:], h.Time)
	copy(b[64:], h.Prev[:])
	le.PutUint64(b[96:], h.Acked)
	le.PutUint32(b[104:], h.Events)
	le.PutUint32(b[108:], h.Expiries)
	le.PutUint32(b[112:], h.Requests)
	le.PutUint32(b[116:], h.Outcomes)
	le.PutUint32(b[120:], h.Attachments)
	le.PutUint32(b[124:], h.AttachBytes)
	copy(b[128:], h.StateDigest[:])
	copy(b[160:], h.Body[:])
}

// DecodeHeader reads and bounds a header; it does not know whether the body fits it.
func DecodeHeader(b []byte) (Header, error) {
	var h Header
	if len(b) < HeaderSize {
		return h, fmt.Errorf("%w: %d bytes, a header has %d", ErrFormat, len(b), HeaderSize)
	}
	if [8]byte(b) != magic {
		return h, fmt.Errorf("%w: it does not begin with %q", ErrFormat, magic[:])
	}
	le := binary.LittleEndian
	v := le.Uint16(b[8:])
	if v == 0 || v > FormatVersion {
		return h, fmt.Errorf("%w: format version %d, this program reads versions 1 to %d", ErrFormat, v, FormatVersion)
	}
	h = Header{
		Version: v, Rules: le.Uint16(b[10:]), Kind: BlockKind(le.Uint16(b[12:])), Cell: le.Uint64(b[16:]), Seq: le.Uint64(b[24:]),
		Epoch: le.Uint64(b[32:]), Incarnation: [16]byte(b[40:56]), Time: le.Uint64(b[56:]), Prev: Hash(b[64:96]),
		Acked: le.Uint64(b[96:]), Events: le.Uint32(b[104:]), Expiries: le.Uint32(b[108:]), Requests: le.Uint32(b[112:]),
		Outcomes: le.Uint32(b[116:]), Attachments: le.Uint32(b[120:]), AttachBytes: le.Uint32(b[124:]), StateDigest: [32]byte(b[128:160]), Body: Hash(b[160:192]),
	}
	return h, h.check(b)
}

func (h *Header) check(b []byte) error {
	switch {
	case h.Kind < BlockNormal || h.Kind > BlockBarrier:
		return fmt.Errorf("%w: block kind %d", ErrFormat, h.Kind)
	case h.Seq == 0 || h.Seq > MaxSeq:
		return fmt.Errorf("%w: sequence number %d", ErrFormat, h.Seq)
	case h.Acked >= h.Seq:
		return fmt.Errorf("%w: block %d says that %d is acknowledged", ErrFormat, h.Seq, h.Acked)
	case h.Events > MaxEvents || h.Expiries > MaxEvents || h.Requests > h.Events || h.Outcomes > h.Events:
		return fmt.Errorf("%w: block %d has %d events, %d expiries, %d requests, %d outcomes", ErrFormat, h.Seq, h.Events, h.Expiries, h.Requests, h.Outcomes)
	case h.Attachments > h.Events || h.AttachBytes > MaxBlock || h.AttachBytes%8 != 0 || (h.Attachments == 0) != (h.AttachBytes == 0):
		return fmt.Errorf("%w: block %d has %d attachments of %d bytes", ErrFormat, h.Seq, h.Attachments, h.AttachBytes)
	case HeaderSize+h.BodySize() > MaxBlock:
		return fmt.Errorf("%w: block %d has %d bytes, at most %d", ErrFormat, h.Seq, HeaderSize+h.BodySize(), MaxBlock)
	case h.Version < 2 && h.Attachments != 0:
		return fmt.Errorf("%w: block %d of version %d has attachments", ErrFormat, h.Seq, h.Version)
	case h.Time > MaxTimestamp-2*MaxEvents:
		return fmt.Errorf("%w: block %d has time %d", ErrFormat, h.Seq, h.Time)
	}
	if !zero(b[14:16]) || !zero(b[192:HeaderSize]) {
		return fmt.Errorf("%w: block %d has reserved bytes set", ErrFormat, h.Seq)
	}
	return nil
}

// Hash returns the block's hash.
func (h *Header) Hash() Hash {
	var b [HeaderSize]byte
	h.Encode(b[:])
	return sha256.Sum256(b[:])
}

func zero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}
