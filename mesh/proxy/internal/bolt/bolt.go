// Package bolt is the codec of SOFARPC's Bolt, version 1 and 2 (github.com/sofastack/sofa-bolt, its RpcProtocol and
// RpcProtocolV2): the fixed part of a message, its map of headers, and the names in a request of SOFARPC.
//
// It does no I/O, never decodes what is called with, and refuses what two readers could take for different things: a
// checksum that one version writes and the other one does not, a header that is there twice. Start reading at [Parse].
package bolt

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"math"
)

// Kind is what a message is.
type Kind uint8

// The kinds of messages, as the byte "type" has them.
const (
	Response Kind = iota
	Request
	OneWay // a request that gets no response
)

// What a message is about, as its command code has it.
const (
	Heartbeat   = 0
	RPCRequest  = 1
	RPCResponse = 2
)

// Hessian is the codec of a content in SOFA's Hessian.
const Hessian = 1

// Statuses of responses.
const (
	Success        = 0x00
	Failed         = 0x01 // ERROR
	ServerFailed   = 0x02 // SERVER_EXCEPTION
	Unknown        = 0x03
	Busy           = 0x04 // SERVER_THREADPOOL_BUSY
	Communication  = 0x05 // ERROR_COMM
	NoProcessor    = 0x06
	Timeout        = 0x07
	SendFailed     = 0x08 // CLIENT_SEND_ERROR
	Codec          = 0x09 // CODEC_EXCEPTION
	Closed         = 0x10 // CONNECTION_CLOSED
	SerialFailed   = 0x11 // SERVER_SERIAL_EXCEPTION
	DeserialFailed = 0x12 // SERVER_DESERIAL_EXCEPTION
)

// Bounds of a message.
const (
	Lead      = 3 // bytes that tell how long the fixed part is
	MaxHeader = 24
	maxPart   = math.MaxInt16 // of the class and of the headers: their lengths are signed in Java
)

// ErrMalformed is what is no message of Bolt.
var ErrMalformed = errors.New("malformed Bolt message")

// HeaderLen is the length of the fixed part of a message by its first Lead bytes.
func HeaderLen(b []byte) (int, error) {
	if len(b) < Lead {
		return 0, ErrMalformed
	}
	v2 := 0
	kind := Kind(b[1])
	switch {
	case b[0] == 1:
	case b[0] == 2 && (b[1] == 1 || b[1] == 2):
		v2, kind = 2, Kind(b[2])
	default:
		return 0, ErrMalformed
	}
	switch kind {
	case Response:
		return 20 + v2, nil
	case Request, OneWay:
		return 22 + v2, nil
	}
	return 0, ErrMalformed
}

// Message is a message. Its slices are those that it was parsed from.
type Message struct {
	Protocol byte // 1 or 2
	Version  byte // of protocol 2: 1, or 2 with checksums
	Kind     Kind
	Command  uint16
	ID       uint32
	Codec    byte
	CRC      bool // a checksum follows
	Timeout  int32
	Status   uint16

	ver2                    byte
	switches                byte
	classLen, headersLen    int
	contentLen              int64
	Class, Headers, Content []byte // once the body is there
}

// Parse reads the fixed part of a message, as long as HeaderLen says.
func Parse(b []byte) (Message, error) {
	n, err := HeaderLen(b)
	if err != nil || len(b) < n {
		return Message{}, ErrMalformed
	}
	m := Message{Protocol: b[0]}
	if b = b[1:n]; m.Protocol == 2 {
		m.Version, b = b[0], b[1:]
	}
	m.Kind, m.Command, m.ver2, m.ID, m.Codec = Kind(b[0]), binary.BigEndian.Uint16(b[1:]), b[3], binary.BigEndian.Uint32(b[4:]), b[8]
	if b = b[9:]; m.Protocol == 2 {
		m.switches, b = b[0], b[1:]
		if m.CRC = m.switches&1 != 0; m.CRC && m.Version != 2 {
			return Message{}, ErrMalformed // some write a checksum here, and some don't
		}
	}
	if m.Kind == Response {
		m.Status, b = binary.BigEndian.Uint16(b), b[2:]
	} else {
		m.Timeout, b = int32(binary.BigEndian.Uint32(b)), b[4:] //nolint:gosec // it is signed
	}
	m.classLen, m.headersLen, m.contentLen = int(binary.BigEndian.Uint16(b)), int(binary.BigEndian.Uint16(b[2:])), int64(binary.BigEndian.Uint32(b[4:]))
	if m.classLen > maxPart || m.headersLen > maxPart || m.contentLen > math.MaxInt32 {
		return Message{}, ErrMalformed
	}
	return m, nil
}

// BodyLen is how many bytes follow the fixed part.
func (m *Message) BodyLen() int64 {
	n := int64(m.classLen) + int64(m.headersLen) + m.contentLen
	if m.CRC {
		n += 4
	}
	return n
}

// SetBody takes the BodyLen bytes that follow head, the fixed part, and checks their sum.
func (m *Message) SetBody(head, body []byte) error {
	if int64(len(body)) != m.BodyLen() {
		return ErrMalformed
	}
	if m.CRC {
		end := len(body) - 4
		sum := crc32.Update(crc32.ChecksumIEEE(head), crc32.IEEETable, body[:end])
		if sum != binary.BigEndian.Uint32(body[end:]) {
			return ErrMalformed
		}
		body = body[:end]
	}
	m.Class, body = body[:m.classLen], body[m.classLen:]
	m.Headers, m.Content = body[:m.headersLen], body[m.headersLen:]
	return nil
}

// Append writes the message with what its fields say. An error is a class or headers too long.
func (m *Message) Append(b []byte) ([]byte, error) {
	if len(m.Class) > maxPart || len(m.Headers) > maxPart || len(m.Content) > math.MaxInt32 {
		return b, ErrMalformed
	}
	start := len(b)
	b = append(b, m.Protocol)
	if m.Protocol == 2 {
		b = append(b, m.Version)
	}
	b = append(b, byte(m.Kind))
	b = binary.BigEndian.AppendUint16(b, m.Command)
	b = append(b, m.ver2)
	b = binary.BigEndian.AppendUint32(b, m.ID)
	b = append(b, m.Codec)
	if m.Protocol == 2 {
		b = append(b, m.switches)
	}
	if m.Kind == Response {
		b = binary.BigEndian.AppendUint16(b, m.Status)
	} else {
		b = binary.BigEndian.AppendUint32(b, uint32(m.Timeout)) //nolint:gosec // it is signed
	}
	b = binary.BigEndian.AppendUint16(b, uint16(len(m.Class)))   //nolint:gosec // checked
	b = binary.BigEndian.AppendUint16(b, uint16(len(m.Headers))) //nolint:gosec // checked
	b = binary.BigEndian.AppendUint32(b, uint32(len(m.Content))) //nolint:gosec // checked
	b = append(append(append(b, m.Class...), m.Headers...), m.Content...)
	if m.CRC {
		b = binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b[start:]))
	}
	return b, nil
}

// Reply is the beginning of a response to m: same id, version and codec, no content.
func (m *Message) Reply(status uint16) Message {
	r := Message{
		Protocol: m.Protocol, Version: m.Version, Kind: Response, Command: RPCResponse, ID: m.ID, Codec: m.Codec, CRC: m.CRC,
		Status: status, ver2: m.ver2, switches: m.switches,
	}
	if m.Command == Heartbeat {
		r.Command = Heartbeat
	}
	return r
}

// Header is an entry of the map of headers.
type Header struct{ Name, Value []byte }

// ParseHeaders reads the map of headers into dst, at most limit of them. A value that is null counts as absent.
func ParseHeaders(dst []Header, b []byte, limit int) ([]Header, error) {
	seen := map[string]bool{}
	for len(b) > 0 {
		name, rest, _, err := part(b)
		if err != nil || len(name) == 0 {
			return nil, ErrMalformed
		}
		value, rest, null, err := part(rest)
		if err != nil || seen[string(name)] || len(seen) == limit {
			return nil, ErrMalformed
		}
		seen[string(name)] = true
		if b = rest; !null {
			dst = append(dst, Header{name, value})
		}
	}
	return dst, nil
}

// part reads a length of four bytes, -1 for null, and as many bytes.
func part(b []byte) (text, rest []byte, null bool, err error) {
	if len(b) < 4 {
		return nil, nil, false, ErrMalformed
	}
	n := int64(int32(binary.BigEndian.Uint32(b))) //nolint:gosec // it is signed
	switch b = b[4:]; {
	case n == -1:
		return nil, b, true, nil
	case n < 0 || n > int64(len(b)):
		return nil, nil, false, ErrMalformed
	}
	return b[:n], b[n:], false, nil
}

// AppendHeader writes an entry of the map of headers.
func AppendHeader(b, name, value []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(len(name))) //nolint:gosec // whole maps are bounded
	b = append(b, name...)
	b = binary.BigEndian.AppendUint32(b, uint32(len(value))) //nolint:gosec // the same
	return append(b, value...)
}
