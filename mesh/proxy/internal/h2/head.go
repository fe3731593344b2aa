package h2

import (
	"bytes"
	"strconv"
	"time"

	"golang.org/x/net/http2/hpack"
)

// Field is a header field. Its name is in lower case.
type Field struct {
	Name, Value []byte
	// Once: the value is secret or will not come again: it is kept out of the peer's compression table.
	Once bool
}

// Head is the header block of a request or an answer, or the trailers after either. Whoever gets one owns its memory.
type Head struct {
	Method, Scheme, Authority, Path []byte // of a request; nil where missing
	Status                          int    // of an answer
	Fields                          []Field
	// TooLarge: beyond MaxList or MaxFields. What is there is a part of it.
	TooLarge bool

	end    bool  // of the stream
	length int64 // Content-Length; -1 without
}

// pseudo-header fields, by the bit that says they were seen.
const (
	method = 1 << iota
	scheme
	authority
	path
	status
)

// block is the header block that is being received.
type block struct {
	stream     uint32
	head       *Head
	since      time.Time // when it began; zero: none is open
	wire       int       // bytes
	pieces     int       // frames
	size       int       // of the list
	seen       int       // pseudo-header fields
	regular    bool      // a field that is not pseudo has come
	malformed  bool
	selfParent bool // its priority says that the stream depends on itself

	// Memory that this block and the next ones are put into, so that few need an allocation of their own.
	arena []byte
	room  []Field
}

const (
	arenaSize  = 2 << 10
	roomSize   = 32
	fieldsMost = 12 // of a head, mostly
)

func (b *block) begin(stream uint32, end bool, now time.Time) {
	if cap(b.room)-len(b.room) < fieldsMost {
		b.room = make([]Field, 0, roomSize)
	}
	*b = block{stream: stream, since: now, arena: b.arena, room: b.room}
	b.head = &Head{Fields: b.room[len(b.room):], end: end, length: -1}
}

// finish makes the head its owner's: what is put into memory from now on comes behind it.
func (b *block) finish() {
	if n := len(b.head.Fields); n <= cap(b.room)-len(b.room) {
		b.room = b.room[:len(b.room)+n]
		b.head.Fields = b.head.Fields[:n:n]
	}
}

// keep copies what the decoder owns. Earlier copies stay where they are when there is another arena.
func (b *block) keep(s string) []byte {
	if len(b.arena)+len(s) > cap(b.arena) {
		b.arena = make([]byte, 0, max(arenaSize, len(s)))
	}
	at := len(b.arena)
	b.arena = append(b.arena, s...)
	return b.arena[at:len(b.arena):len(b.arena)]
}

// emit takes a field from the decoder.
func (b *block) emit(f hpack.HeaderField) {
	b.size += int(f.Size())
	switch {
	case b.size > MaxList || len(b.head.Fields) == MaxFields:
		b.head.TooLarge = true // decoded to the end all the same: the table is the connection's
	case f.Name == "":
		b.malformed = true
	case f.Name[0] == ':':
		b.pseudo(f)
	default:
		b.field(f)
	}
}

func (b *block) pseudo(f hpack.HeaderField) {
	h, bit := b.head, 0
	switch f.Name {
	case ":method":
		h.Method, bit = b.keep(f.Value), method
	case ":scheme":
		h.Scheme, bit = b.keep(f.Value), scheme
	case ":authority":
		h.Authority, bit = b.keep(f.Value), authority
	case ":path":
		h.Path, bit = b.keep(f.Value), path
	case ":status":
		n, err := strconv.ParseUint(f.Value, 10, 16)
		b.malformed = b.malformed || err != nil || len(f.Value) != 3 || n < 100 || n > 599
		h.Status, bit = int(n), status
	}
	b.malformed = b.malformed || bit == 0 || b.seen&bit != 0 || b.regular || !visible(f.Value)
	b.seen |= bit
}

func (b *block) field(f hpack.HeaderField) {
	b.regular = true
	if !fieldName(f.Name) || !fieldValue(f.Value) {
		b.malformed = true
		return
	}
	switch f.Name {
	case "connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade":
		b.malformed = true // RFC 9113, 8.2.2: they would mean something to an HTTP/1.1 receiver
		return
	case "te":
		b.malformed = b.malformed || f.Value != "trailers"
	case "content-length":
		n, err := strconv.ParseUint(f.Value, 10, 62)
		b.malformed = b.malformed || err != nil || b.head.length >= 0
		b.head.length = int64(n)
	}
	b.head.Fields = append(b.head.Fields, Field{Name: b.keep(f.Name), Value: b.keep(f.Value)})
}

// wellFormed tells whether the block may be a request, an answer, or trailers (RFC 9113, 8.1 and 8.3).
func (b *block) wellFormed(server, trailers bool) bool {
	const wanted = method | scheme | path
	switch {
	case b.malformed || b.selfParent:
		return false
	case trailers:
		return b.seen == 0 && b.head.end
	case b.head.TooLarge:
		return true // what is missing may have been cut off
	case !server:
		return b.seen == status && b.head.Status != 101
	case bytes.Equal(b.head.Method, []byte("CONNECT")):
		return b.seen == method|authority
	}
	return b.seen&^authority == wanted && len(b.head.Path) > 0 && len(b.head.Method) > 0
}

// fieldName takes tokens in lower case.
func fieldName(s string) bool {
	for i := range len(s) {
		c := s[i]
		switch {
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9':
		case c == '!', c == '#', c == '$', c == '%', c == '&', c == '\'', c == '*', c == '+', c == '-', c == '.', c == '^', c == '_', c == '`', c == '|', c == '~':
		default:
			return false
		}
	}
	return true
}

// fieldValue refuses control characters and outer spaces (RFC 9113, 8.2.1, and stricter).
func fieldValue(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return s == "" || s[0] != ' ' && s[0] != '\t' && s[len(s)-1] != ' ' && s[len(s)-1] != '\t'
}

// visible takes visible ASCII.
func visible(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f {
			return false
		}
	}
	return true
}

// Length is the Content-Length, -1 where the head has none; end: no body follows.
func (h *Head) Length() (n int64, end bool) { return h.length, h.end }
