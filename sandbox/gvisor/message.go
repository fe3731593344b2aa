package gvisor

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
)

// Bounds of a message. The sandbox's kernel is not trusted: it is what a workload attacks first.
const (
	headerSize  = 8
	maxMessage  = 256 << 10 // bytes
	maxText     = 4096      // bytes of one text that are written down
	maxTexts    = 256       // entries of a list
	maxAllTexts = 16 << 10  // bytes of all texts of a message; in JSON six times as much, which a line of a record holds
)

// errMessage is wrapped by every error about a message that is no event.
var errMessage = errors.New("no event of the sandbox's kernel")

// header is what comes before each message: https://github.com/google/gvisor/tree/master/pkg/sentry/seccheck/sinks/remote/wire
type header struct {
	kind    uint16
	dropped uint32 // events lost since the session began, modulo 2^32
}

// claims are what the recorder itself uses of an event.
type claims struct {
	task    int64
	process int64
	// Of a clone.
	newTask, newProcess int64
	// Of an exit, as wait(2) has it.
	status int64
	// Of a connect: whether it succeeded, and the sockaddr, which is the message's.
	connected bool
	address   []byte
}

func parseHeader(message []byte) (h header, payload []byte, err error) {
	if len(message) < headerSize || len(message) > maxMessage {
		return h, nil, fmt.Errorf("%w: %d bytes", errMessage, len(message))
	}
	size := int(binary.LittleEndian.Uint16(message))
	if size < headerSize || size > len(message) {
		return h, nil, fmt.Errorf("%w: a header of %d bytes", errMessage, size)
	}
	h.kind, h.dropped = binary.LittleEndian.Uint16(message[2:]), binary.LittleEndian.Uint32(message[4:])
	return h, message[size:], nil
}

// appendEvent appends an event as JSON. Fields that are zero are absent, as in the message; fields that the table does
// not know are counted as "unknown"; "cut" says that texts were shortened. After an error dst has grown by nothing.
func appendEvent(dst []byte, kind uint16, payload []byte) ([]byte, claims, error) {
	p, ok := points[kind]
	if !ok {
		return dst, claims{}, fmt.Errorf("%w: type %d was not asked for", errMessage, kind)
	}
	e := eventWriter{out: append(append(append(dst, `{"point":"`...), p.name...), '"'), left: maxAllTexts}
	var s slots
	err := e.read(&s, &p.fields, payload)
	if err == nil {
		err = e.write(&p.fields, &s)
	}
	if err != nil {
		return dst, claims{}, err
	}
	if e.unknown > 0 {
		e.out = strconv.AppendInt(append(e.out, `,"unknown":`...), int64(e.unknown), 10)
	}
	if e.cut {
		e.out = append(e.out, `,"cut":true`...)
	}
	switch kind {
	case msgClone:
		e.claims.newTask, e.claims.newProcess = s[3].int(), s[4].int()
	case msgExit:
		e.claims.status = s[2].int()
	case msgConnect:
		var exit slots
		err = e.read(&exit, &exitFields, s[2].bytes) // as write has read it
		e.claims.connected, e.claims.address = err == nil && exit[2].number == 0, s[6].bytes
	}
	return append(e.out, '}'), e.claims, nil
}

// slot is the value of a field.
type slot struct {
	seen   bool
	number uint64
	bytes  []byte
	list   [][]byte
}

func (s *slot) int() int64 { return int64(s.number) } //nolint:gosec // protobuf: two's complement

type slots [maxField + 1]slot

// reset forgets a message. Few slots are used; to write all of them costs more than a rule does.
func (s *slots) reset() {
	for i := range s {
		if s[i].seen {
			s[i] = slot{}
		}
	}
}

type eventWriter struct {
	out     []byte
	left    int // of maxAllTexts
	cut     bool
	unknown int
	claims  claims
}

// read takes a message apart.
func (e *eventWriter) read(s *slots, known *fields, message []byte) error {
	for len(message) > 0 {
		number, wire, n := protowire.ConsumeTag(message)
		if n < 0 {
			return fmt.Errorf("%w: %w", errMessage, protowire.ParseError(n))
		}
		message = message[n:]
		if number > maxField || known[number].kind == 0 || known[number].kind == kindLeftOut {
			n = protowire.ConsumeFieldValue(number, wire, message)
			if n < 0 {
				return fmt.Errorf("%w: %w", errMessage, protowire.ParseError(n))
			}
			message = message[n:]
			if number > maxField || known[number].kind == 0 {
				e.unknown++
			}
			continue
		}
		n, err := e.value(&s[number], known[number].kind, wire, message)
		if err != nil {
			return fmt.Errorf("field %d: %w", number, err)
		}
		message = message[n:]
	}
	return nil
}

func (e *eventWriter) value(s *slot, k kind, wire protowire.Type, message []byte) (int, error) {
	if s.seen && k != kindTexts {
		return 0, fmt.Errorf("%w: twice", errMessage)
	}
	s.seen = true
	var n int
	switch {
	case k <= kindBool && wire == protowire.VarintType:
		s.number, n = protowire.ConsumeVarint(message)
	case k > kindBool && wire == protowire.BytesType:
		s.bytes, n = protowire.ConsumeBytes(message)
	default:
		return 0, fmt.Errorf("%w: wire type %d", errMessage, wire)
	}
	if n < 0 {
		return 0, fmt.Errorf("%w: %w", errMessage, protowire.ParseError(n))
	}
	if k == kindTexts {
		if len(s.list) < maxTexts {
			s.list = append(s.list, s.bytes)
		} else {
			e.cut = true
		}
	}
	return n, nil
}

// write appends the fields of a message in the order of their numbers, each after a comma.
func (e *eventWriter) write(known *fields, s *slots) error {
	for i := range s {
		if !s[i].seen {
			continue
		}
		f := &known[i]
		e.out = append(append(append(e.out, `,"`...), f.name...), `":`...)
		switch f.kind {
		case kindInt:
			e.out = strconv.AppendInt(e.out, s[i].int(), 10)
		case kindUint:
			e.out = strconv.AppendUint(e.out, s[i].number, 10)
		case kindBool:
			e.out = strconv.AppendBool(e.out, s[i].number != 0)
		case kindText:
			e.text(s[i].bytes)
		case kindTexts:
			e.texts(s[i].list)
		case kindHex:
			e.out = append(e.out, '"')
			e.out = hex.AppendEncode(e.out, e.clip(s[i].bytes))
			e.out = append(e.out, '"')
		case kindAddress:
			e.text([]byte(address(s[i].bytes)))
		case kindMessage:
			if err := e.message(f, s[i].bytes); err != nil {
				return fmt.Errorf("%s: %w", f.name, err)
			}
		}
	}
	return nil
}

// message appends a message within a message. The table is three deep, and so is this.
func (e *eventWriter) message(f *field, message []byte) error {
	var s slots
	if err := e.read(&s, f.of, message); err != nil {
		return err
	}
	if f.of == &contextFields {
		e.claims.task, e.claims.process = s[2].int(), s[4].int()
	}
	open := len(e.out)
	e.out = append(e.out, '{')
	if err := e.write(f.of, &s); err != nil {
		return err
	}
	if len(e.out) > open+1 { // the comma before the first field
		e.out = append(e.out[:open+1], e.out[open+2:]...)
	}
	e.out = append(e.out, '}')
	return nil
}

func (e *eventWriter) texts(list [][]byte) {
	e.out = append(e.out, '[')
	for i, s := range list {
		if i > 0 {
			e.out = append(e.out, ',')
		}
		e.text(s)
	}
	e.out = append(e.out, ']')
}

// clip takes what may still be written down of a text.
func (e *eventWriter) clip(s []byte) []byte {
	if most := min(maxText, e.left); len(s) > most {
		s, e.cut = s[:most], true
	}
	e.left -= len(s)
	return s
}

// text appends a text as a JSON string. Bytes that are no UTF-8 become U+FFFD.
func (e *eventWriter) text(s []byte) {
	const digits = "0123456789abcdef"
	s = e.clip(s)
	e.out = append(e.out, '"')
	for len(s) > 0 {
		c := s[0]
		if c < utf8.RuneSelf {
			switch {
			case c == '"' || c == '\\':
				e.out = append(e.out, '\\', c)
			case c < ' ' || c == 0x7f:
				e.out = append(e.out, '\\', 'u', '0', '0', digits[c>>4], digits[c&15])
			default:
				e.out = append(e.out, c)
			}
			s = s[1:]
			continue
		}
		r, size := utf8.DecodeRune(s)
		switch r {
		case utf8.RuneError, '\u2028', '\u2029': // the separators end lines for some readers
			e.out = append(e.out, `\ufffd`...)
		default:
			e.out = append(e.out, s[:size]...)
		}
		s = s[size:]
	}
	e.out = append(e.out, '"')
}

// Families of addresses, as Linux numbers them.
const (
	familyUnix  = 1
	familyInet  = 2
	familyInet6 = 10
)

// address writes a sockaddr as people do: "unix:/path", "192.0.2.1:443", or its bytes in hexadecimal.
func address(b []byte) string {
	if len(b) > 128 { // sizeof(struct sockaddr_storage)
		b = b[:128]
	}
	if len(b) < 2 {
		return "hex:" + hex.EncodeToString(b)
	}
	switch family := binary.LittleEndian.Uint16(b); {
	case family == familyUnix:
		end := 2
		for end < len(b) && (b[end] != 0 || end == 2) { // a name that begins with zero is abstract
			end++
		}
		return "unix:" + string(b[2:end])
	case family == familyInet && len(b) >= 8:
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte(b[4:8])), binary.BigEndian.Uint16(b[2:])).String()
	case family == familyInet6 && len(b) >= 24:
		return netip.AddrPortFrom(netip.AddrFrom16([16]byte(b[8:24])), binary.BigEndian.Uint16(b[2:])).String()
	}
	return "hex:" + hex.EncodeToString(b)
}
