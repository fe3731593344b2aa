package codec

import (
	"fmt"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// scanner walks over JSON text. The first fault sticks: after it every method
// returns zero values, so that callers check once per loop. It does not check
// that strings are valid UTF-8, because every string of the hot calls is a
// number, a name of a field, an asset or an enum, which are ASCII: anything else
// is refused when it is looked up.
type scanner struct {
	data []byte
	pos  int
	err  error

	list  string // for paths: the list that is being read, "" outside
	index int
	field string

	scratch []byte // unescaped string
}

// syntax reports a fault at the current place.
func (s *scanner) syntax(want string) {
	if s.err != nil {
		return
	}
	if s.pos >= len(s.data) {
		s.err = &Error{Reason: "invalid JSON: it ends where " + want + " should follow"}
		return
	}
	s.err = &Error{Reason: fmt.Sprintf("invalid JSON at byte %d: found %q where %s should stand", s.pos, s.data[s.pos], want)}
}

// refuse reports that a value does not fit its field.
func (s *scanner) refuse(reason string) {
	if s.err != nil {
		return
	}
	path := s.field
	if s.list != "" {
		path = element(s.list, s.index, s.field)
	}
	s.err = &Error{Field: path, Reason: reason}
}

func (s *scanner) skipSpace() {
	for s.pos < len(s.data) {
		switch s.data[s.pos] {
		case ' ', '\n', '\r', '\t':
			s.pos++
		default:
			return
		}
	}
}

// is consumes c if it comes next.
func (s *scanner) is(c byte) bool {
	s.skipSpace()
	if s.err == nil && s.pos < len(s.data) && s.data[s.pos] == c {
		s.pos++
		return true
	}
	return false
}

// open consumes the beginning of an object or a list.
func (s *scanner) open(c byte) {
	if !s.is(c) {
		s.syntax(strconv.QuoteRune(rune(c)))
	}
}

// more reports whether another element follows, and consumes the comma before it
// or the end after the last one. n is how many elements came before.
func (s *scanner) more(n int, end byte) bool {
	switch {
	case s.err != nil:
		return false
	case s.is(end):
		return false
	case n == 0:
		return true
	case s.is(','):
		return true
	default:
		s.syntax("',' or " + strconv.QuoteRune(rune(end)))
		return false
	}
}

// end checks that nothing follows.
func (s *scanner) end() {
	s.skipSpace()
	if s.err == nil && s.pos != len(s.data) {
		s.syntax("the end")
	}
}

// null consumes a null if it comes next.
func (s *scanner) null() bool {
	s.skipSpace()
	if s.err != nil || s.pos+4 > len(s.data) || string(s.data[s.pos:s.pos+4]) != "null" {
		return false
	}
	if s.pos+4 < len(s.data) && notDelimiter(s.data[s.pos+4]) {
		return false
	}
	s.pos += 4
	return true
}

// notDelimiter tells the characters that may not follow a literal or a number.
func notDelimiter(c byte) bool {
	return c == '-' || c == '+' || c == '.' || c == '_' ||
		'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}

// key consumes the name of a field and its colon. The bytes are valid until the
// next string is read.
func (s *scanner) key() []byte {
	s.skipSpace()
	if s.pos >= len(s.data) || s.data[s.pos] != '"' {
		s.syntax("a field name")
		return nil
	}
	name := s.text()
	if s.err == nil && !s.is(':') {
		s.syntax("':'")
	}
	return name
}

// seen marks field bit of an object and refuses it the second time.
func (s *scanner) seen(mask *uint32, bit uint32) {
	if *mask&(1<<bit) != 0 {
		s.refuse("given twice")
	}
	*mask |= 1 << bit
}

// text consumes a string and returns its content, valid until the next one.
func (s *scanner) text() []byte {
	s.skipSpace()
	if s.err != nil {
		return nil
	}
	if s.pos >= len(s.data) || s.data[s.pos] != '"' {
		s.syntax("a string")
		return nil
	}
	start := s.pos + 1
	for i := start; i < len(s.data); i++ {
		switch c := s.data[i]; {
		case c == '"':
			s.pos = i + 1
			return s.data[start:i]
		case c == '\\':
			return s.escaped(start, i)
		case c < ' ':
			s.pos = i
			s.syntax("a character of a string")
			return nil
		}
	}
	s.pos = len(s.data)
	s.syntax("the end of the string")
	return nil
}

// escaped goes on with a string at its first escape.
func (s *scanner) escaped(start, at int) []byte {
	out := append(s.scratch[:0], s.data[start:at]...)
	s.pos = at
	for s.pos < len(s.data) {
		switch c := s.data[s.pos]; {
		case c == '"':
			s.pos++
			s.scratch = out
			return out
		case c < ' ':
			s.syntax("a character of a string")
			return nil
		case c != '\\':
			out = append(out, c)
			s.pos++
		default:
			r, n := escape(s.data[s.pos:])
			if n == 0 {
				s.syntax("a valid escape")
				return nil
			}
			out = utf8.AppendRune(out, r)
			s.pos += n
		}
	}
	s.syntax("the end of the string")
	return nil
}

// escape decodes the escape at the beginning of b; n is 0 if it is none.
func escape(b []byte) (r rune, n int) {
	if len(b) < 2 {
		return 0, 0
	}
	switch b[1] {
	case '"', '\\', '/':
		return rune(b[1]), 2
	case 'b':
		return '\b', 2
	case 'f':
		return '\f', 2
	case 'n':
		return '\n', 2
	case 'r':
		return '\r', 2
	case 't':
		return '\t', 2
	case 'u':
	default:
		return 0, 0
	}
	first, ok := hex4(b)
	if !ok {
		return 0, 0
	}
	if !utf16.IsSurrogate(first) {
		return first, 6
	}
	second, ok := hex4(b[6:])
	if pair := utf16.DecodeRune(first, second); ok && pair != utf8.RuneError {
		return pair, 12
	}
	return 0, 0
}

// hex4 decodes \uXXXX.
func hex4(b []byte) (rune, bool) {
	if len(b) < 6 || b[0] != '\\' || b[1] != 'u' {
		return 0, false
	}
	var r rune
	for _, c := range b[2:6] {
		switch {
		case '0' <= c && c <= '9':
			r = r<<4 | rune(c-'0')
		case 'a' <= c && c <= 'f':
			r = r<<4 | rune(c-'a'+10)
		case 'A' <= c && c <= 'F':
			r = r<<4 | rune(c-'A'+10)
		default:
			return 0, false
		}
	}
	return r, true
}

// number consumes a number, or a string that holds one, and returns its text:
// the digits if it is a plain natural number, otherwise (plain is false) all of
// it with its quotes.
func (s *scanner) number() (text []byte, plain bool) {
	s.skipSpace()
	if s.err != nil {
		return nil, false
	}
	if s.pos >= len(s.data) {
		s.syntax("a number")
		return nil, false
	}
	start := s.pos
	if s.data[start] == '"' {
		text = s.text()
		if s.err != nil {
			return nil, false
		}
		if natural(text) {
			return text, true
		}
		return s.data[start:s.pos], false
	}
	for s.pos < len(s.data) && notDelimiter(s.data[s.pos]) {
		s.pos++
	}
	if s.pos == start {
		s.syntax("a number")
		return nil, false
	}
	text = s.data[start:s.pos]
	return text, natural(text)
}

// natural reports whether text is digits without a leading zero that fit 64 bits
// in any case.
func natural(text []byte) bool {
	if len(text) == 0 || len(text) > 19 || text[0] == '0' && len(text) > 1 {
		return false
	}
	for _, c := range text {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}

func digits(text []byte) (v uint64) {
	for _, c := range text {
		v = v*10 + uint64(c-'0')
	}
	return v
}

// uint64 consumes a u64. Rare spellings (1.0, 1e3, "\u0031") are left to
// protojson, so that they mean the same here.
func (s *scanner) uint64() uint64 {
	text, plain := s.number()
	if s.err != nil {
		return 0
	}
	if plain {
		return digits(text)
	}
	var v wrapperspb.UInt64Value
	if protojson.Unmarshal(text, &v) != nil {
		s.refuse("want a whole number from 0 to 2^64-1")
		return 0
	}
	return v.GetValue()
}

// uint32 consumes a u32 that is at most limit.
func (s *scanner) uint32(limit uint32) uint32 {
	text, plain := s.number()
	if s.err != nil {
		return 0
	}
	n := uint64(1) << 32
	if plain {
		n = digits(text)
	} else if v := (&wrapperspb.UInt32Value{}); protojson.Unmarshal(text, v) == nil {
		n = uint64(v.GetValue())
	}
	if n > uint64(limit) {
		s.refuse("want a whole number from 0 to " + strconv.FormatUint(uint64(limit), 10))
		return 0
	}
	return uint32(n) //nolint:gosec // at most limit
}

// enum consumes an enum's name or number.
func (s *scanner) enum(values map[string]int32) int32 {
	s.skipSpace()
	if s.err == nil && s.pos < len(s.data) && s.data[s.pos] == '"' {
		name := s.text()
		if s.err != nil {
			return 0
		}
		n, ok := values[string(name)]
		if !ok {
			s.refuse(fmt.Sprintf("%.64q is unknown", name))
		}
		return n
	}
	text, _ := s.number()
	if s.err != nil {
		return 0
	}
	var v wrapperspb.Int32Value
	if protojson.Unmarshal(text, &v) != nil {
		s.refuse("want the name of a flag")
	}
	return v.GetValue()
}
