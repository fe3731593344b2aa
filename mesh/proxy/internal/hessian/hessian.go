// Package hessian reads past values in Hessian 2.0 (hessian.caucho.com, Hessian 2.0 Serialization Protocol), as far as a
// proxy needs that looks for texts before and after them: it tells where a value ends, and what strings and numbers say.
//
// It never makes objects, follows references or allocates what a length claims, and it refuses whatever two readers could
// take for different things: strings in overlong or four-byte UTF-8, classes that nobody defined, lengths beyond the
// bytes. Start reading at [Reader].
package hessian

import (
	"encoding/binary"
	"errors"
	"math"
	"unicode/utf16"
)

// maxDepth is how deep values may lie in each other.
const maxDepth = 64

// ErrMalformed is what is no value of Hessian 2.0, or one that can't be read past.
var ErrMalformed = errors.New("malformed Hessian")

// Reader reads values one after the other. What it returns are slices of its bytes, unless it says otherwise.
type Reader struct {
	b       []byte
	at      int
	classes []int // how many fields each class has, in the order of their definitions
}

// NewReader reads b, which stays the caller's.
func NewReader(b []byte) *Reader { return &Reader{b: b} }

// At is how many bytes have been read.
func (r *Reader) At() int { return r.at }

// Next is the first byte of the next value, 0 and false at the end.
func (r *Reader) Next() (code byte, ok bool) {
	if r.at >= len(r.b) {
		return 0, false
	}
	return r.b[r.at], true
}

// take reads n bytes.
func (r *Reader) take(n int) ([]byte, error) {
	if n < 0 || n > len(r.b)-r.at {
		return nil, ErrMalformed
	}
	out := r.b[r.at : r.at+n]
	r.at += n
	return out, nil
}

// Byte reads one byte that is no value, such as the end of a map.
func (r *Reader) Byte() (byte, error) {
	b, err := r.take(1)
	if err != nil {
		return 0, err
	}
	return b[0], nil
}

// Text reads a string; one in several pieces is put together. It is well-formed UTF-8, except that characters beyond the
// basic plane are pairs of surrogates of three bytes each, as Java writes them.
func (r *Reader) Text() ([]byte, error) {
	var whole []byte
	for pieces := 0; ; pieces++ {
		code, err := r.Byte()
		if err != nil {
			return nil, err
		}
		length, last, err := r.textLength(code)
		if err != nil {
			return nil, err
		}
		piece, err := r.chars(length)
		if err != nil {
			return nil, err
		}
		if last && pieces == 0 {
			return piece, nil
		}
		if whole = append(whole, piece...); last {
			return whole, nil
		}
	}
}

// textLength reads how many characters (of UTF-16) follow, and whether they are the last ones of their string.
func (r *Reader) textLength(code byte) (length int, last bool, err error) {
	switch {
	case code <= 0x1f:
		return int(code), true, nil
	case code >= 0x30 && code <= 0x33:
		low, err := r.Byte()
		return int(code-0x30)<<8 | int(low), true, err
	case code == 'S' || code == 'R':
		b, err := r.take(2)
		if err != nil {
			return 0, false, err
		}
		return int(binary.BigEndian.Uint16(b)), code == 'S', nil
	}
	return 0, false, ErrMalformed
}

// chars reads n characters. Java's reader does not look at what follows a leading byte; this one wants it to be the only
// way to spell the character, so that no name can be spelt so that just one of the two recognises it.
func (r *Reader) chars(n int) ([]byte, error) {
	start := r.at
	for range n {
		lead, err := r.Byte()
		if err != nil {
			return nil, err
		}
		follow := 0
		switch {
		case lead < 0x80:
			continue
		case lead >= 0xc2 && lead < 0xe0:
			follow = 1
		case lead >= 0xe0 && lead < 0xf0:
			follow = 2
		default:
			return nil, ErrMalformed
		}
		rest, err := r.take(follow)
		if err != nil || lead == 0xe0 && rest[0] < 0xa0 {
			return nil, ErrMalformed
		}
		for _, c := range rest {
			if c&0xc0 != 0x80 {
				return nil, ErrMalformed
			}
		}
	}
	return r.b[start:r.at], nil
}

// Int reads an int.
func (r *Reader) Int() (int, error) {
	code, err := r.Byte()
	if err != nil {
		return 0, err
	}
	switch {
	case code >= 0x80 && code <= 0xbf:
		return int(code) - 0x90, nil
	case code >= 0xc0 && code <= 0xcf:
		b, err := r.take(1)
		if err != nil {
			return 0, err
		}
		return (int(code)-0xc8)<<8 + int(b[0]), nil
	case code >= 0xd0 && code <= 0xd7:
		b, err := r.take(2)
		if err != nil {
			return 0, err
		}
		return (int(code)-0xd4)<<16 + int(binary.BigEndian.Uint16(b)), nil
	case code == 'I':
		b, err := r.take(4)
		if err != nil {
			return 0, err
		}
		return int(int32(binary.BigEndian.Uint32(b))), nil //nolint:gosec // that is what it means
	}
	return 0, ErrMalformed
}

// Number reads an int or a long; ok is false, and nothing is read, where the next value is neither.
func (r *Reader) Number() (n int64, ok bool) {
	start := r.at
	if v, err := r.Int(); err == nil {
		return int64(v), true
	}
	r.at = start
	code, _ := r.Next()
	width, fixed := fixedWidth(code)
	if !fixed || !isLong(code) {
		return 0, false
	}
	b, err := r.take(1 + width)
	if err != nil {
		return 0, false
	}
	switch {
	case code >= 0xd8 && code <= 0xef:
		return int64(code) - 0xe0, true
	case code >= 0xf0:
		return (int64(code)-0xf8)<<8 + int64(b[1]), true
	case code >= 0x38 && code <= 0x3f:
		return (int64(code)-0x3c)<<16 + int64(binary.BigEndian.Uint16(b[1:])), true
	case code == 0x59:
		return int64(int32(binary.BigEndian.Uint32(b[1:]))), true //nolint:gosec // that is what it means
	}
	return int64(binary.BigEndian.Uint64(b[1:])), true //nolint:gosec // the same
}

func isLong(code byte) bool {
	return code >= 0xd8 || code >= 0x38 && code <= 0x3f || code == 0x59 || code == 'L'
}

// IsText tells whether a value that begins with code is a string.
func IsText(code byte) bool {
	return code <= 0x1f || code >= 0x30 && code <= 0x33 || code == 'S' || code == 'R'
}

// fixedWidth is how many bytes follow the code of a value without a length: null, booleans, numbers and dates.
func fixedWidth(code byte) (n int, ok bool) {
	switch {
	case code == 'N', code == 'T', code == 'F', code == 0x5b, code == 0x5c, code >= 0x80 && code <= 0xbf, code >= 0xd8 && code <= 0xef:
		return 0, true
	case code >= 0xc0 && code <= 0xcf, code >= 0xf0, code == 0x5d:
		return 1, true
	case code >= 0xd0 && code <= 0xd7, code >= 0x38 && code <= 0x3f, code == 0x5e:
		return 2, true
	case code == 'I', code == 0x59, code == 0x5f, code == 0x4b:
		return 4, true
	case code == 'L', code == 'D', code == 0x4a:
		return 8, true
	}
	return 0, false
}

// SkipValue reads past a value.
func (r *Reader) SkipValue() error { return r.skip(0) }

func (r *Reader) skip(depth int) error {
	if depth > maxDepth {
		return ErrMalformed
	}
	code, ok := r.Next()
	for ok && code == 'C' { // definitions come before the object that needs them
		if err := r.define(); err != nil {
			return err
		}
		code, ok = r.Next()
	}
	if !ok {
		return ErrMalformed
	}
	if IsText(code) {
		_, err := r.Text()
		return err
	}
	r.at++
	if width, ok := fixedWidth(code); ok {
		_, err := r.take(width)
		return err
	}
	switch {
	case code >= 0x20 && code <= 0x2f:
		_, err := r.take(int(code - 0x20))
		return err
	case code >= 0x34 && code <= 0x37:
		low, err := r.Byte()
		if err == nil {
			_, err = r.take(int(code-0x34)<<8 | int(low))
		}
		return err
	case code == 'A' || code == 'B':
		return r.skipBinary(code)
	case code == 'Q':
		_, err := r.Int()
		return err
	}
	return r.skipMany(code, depth+1)
}

// skipBinary reads past pieces of bytes, up to the last one.
func (r *Reader) skipBinary(code byte) error {
	for {
		size, err := r.take(2)
		if err != nil {
			return err
		}
		if _, err := r.take(int(binary.BigEndian.Uint16(size))); err != nil || code == 'B' {
			return err
		}
		if code, err = r.Byte(); err != nil {
			return err
		}
		switch { // the last piece may be short
		case code == 'A' || code == 'B':
		case code >= 0x20 && code <= 0x2f, code >= 0x34 && code <= 0x37:
			r.at--
			return r.skip(0)
		default:
			return ErrMalformed
		}
	}
}

// skipMany reads past what has values in it: lists, maps and objects.
func (r *Reader) skipMany(code byte, depth int) (err error) {
	count := math.MaxInt // up to the end mark
	switch {
	case code == 'U' || code == 'M':
		err = r.skipType()
	case code == 'W' || code == 'H':
	case code == 'V':
		if err = r.skipType(); err == nil {
			count, err = r.Int()
		}
	case code == 'X':
		count, err = r.Int()
	case code >= 0x70 && code <= 0x77:
		count, err = int(code-0x70), r.skipType()
	case code >= 0x78 && code <= 0x7f:
		count = int(code - 0x78)
	case code == 'O':
		var class int
		if class, err = r.Int(); err == nil {
			count, err = r.fields(class)
		}
	case code >= 0x60 && code <= 0x6f:
		count, err = r.fields(int(code - 0x60))
	default:
		return ErrMalformed
	}
	if err != nil || count < 0 {
		return errors.Join(err, ErrMalformed)
	}
	pair := code == 'H' || code == 'M'
	for i := range count {
		if next, _ := r.Next(); count == math.MaxInt && next == 'Z' {
			if pair && i%2 == 1 {
				return ErrMalformed
			}
			r.at++
			return nil
		}
		if err := r.skip(depth); err != nil {
			return err
		}
	}
	return nil
}

// skipType reads past the name of a type, or the number of one that was named before.
func (r *Reader) skipType() error {
	if code, ok := r.Next(); ok && IsText(code) {
		_, err := r.Text()
		return err
	}
	_, err := r.Int()
	return err
}

// SkipType reads past the name of a typed map, after its 'M'.
func (r *Reader) SkipType() error { return r.skipType() }

func (r *Reader) fields(class int) (int, error) {
	if class < 0 || class >= len(r.classes) {
		return 0, ErrMalformed
	}
	return r.classes[class], nil
}

// define reads the definition of a class: its name, and those of its fields.
func (r *Reader) define() error {
	r.at++
	if _, err := r.Text(); err != nil {
		return err
	}
	n, err := r.Int()
	if err != nil || n < 0 {
		return ErrMalformed
	}
	for range n {
		if _, err := r.Text(); err != nil {
			return err
		}
	}
	r.classes = append(r.classes, n)
	return nil
}

// MaxText is the longest string that AppendText writes, in bytes.
const MaxText = math.MaxUint16

// AppendText writes a string of at most MaxText bytes, as Text returns it or in UTF-8; what is beyond is cut off.
func AppendText(b, s []byte) []byte {
	s = s[:min(len(s), MaxText)]
	length, plain := 0, true
	for _, c := range s {
		if c&0xc0 != 0x80 {
			length++
		}
		plain = plain && c < 0xf0
	}
	if !plain { // Java has no characters of four bytes
		var pairs []byte
		units := utf16.Encode([]rune(string(s)))
		for _, u := range units {
			switch {
			case u < 0x80:
				pairs = append(pairs, byte(u))
			case u < 0x800:
				pairs = append(pairs, 0xc0|byte(u>>6), 0x80|byte(u&0x3f))
			default:
				pairs = append(pairs, 0xe0|byte(u>>12), 0x80|byte(u>>6&0x3f), 0x80|byte(u&0x3f))
			}
		}
		s, length = pairs, len(units)
	}
	if length <= 0x1f {
		return append(append(b, byte(length)), s...)
	}
	b = append(b, 'S')
	b = binary.BigEndian.AppendUint16(b, uint16(length))
	return append(b, s...)
}
