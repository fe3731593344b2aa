// Package money holds the integers and names that money is counted in: 128-bit unsigned amounts in minor units with
// checked arithmetic, and assets ("CNY/2"). It never rounds, never uses floats and never wraps around silently.
// Start reading at U128.
package money

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
)

// U128 is an unsigned 128-bit integer: an amount in minor units, or an id. The zero value is zero. In memory it is
// little-endian (Lo first), which is the layout of the journal's records.
type U128 struct{ Lo, Hi uint64 }

// Max is 2^128 - 1.
func Max() U128 { return U128{^uint64(0), ^uint64(0)} }

// From converts v.
func From(v uint64) U128 { return U128{Lo: v} }

// Add returns a + b, and whether it went beyond 2^128 - 1 (the sum is then wrapped and must not be used).
func (a U128) Add(b U128) (sum U128, overflow bool) {
	lo, c := bits.Add64(a.Lo, b.Lo, 0)
	hi, c := bits.Add64(a.Hi, b.Hi, c)
	return U128{lo, hi}, c != 0
}

// Sub returns a - b, and whether it went below zero (the difference is then wrapped and must not be used).
func (a U128) Sub(b U128) (diff U128, underflow bool) {
	lo, c := bits.Sub64(a.Lo, b.Lo, 0)
	hi, c := bits.Sub64(a.Hi, b.Hi, c)
	return U128{lo, hi}, c != 0
}

// Cmp returns -1, 0 or +1 as a is less than, equal to or greater than b.
func (a U128) Cmp(b U128) int {
	switch {
	case a == b:
		return 0
	case a.Less(b):
		return -1
	default:
		return 1
	}
}

// Less reports whether a < b.
func (a U128) Less(b U128) bool { return a.Hi < b.Hi || a.Hi == b.Hi && a.Lo < b.Lo }

// IsZero reports whether a is 0.
func (a U128) IsZero() bool { return a.Lo|a.Hi == 0 }

// IsMax reports whether a is 2^128 - 1.
func (a U128) IsMax() bool { return a.Lo&a.Hi == ^uint64(0) }

// Min returns the smaller of a and b.
func (a U128) Min(b U128) U128 {
	if b.Less(a) {
		return b
	}
	return a
}

// ErrSyntax and ErrRange are what parsing returns, wrapped with the text.
var (
	ErrSyntax = errors.New("not a decimal number")
	ErrRange  = errors.New("larger than 2^128 - 1")
)

// Parse reads a decimal number: digits only, no sign, no spaces, at most 39 digits.
func Parse(s string) (U128, error) { return parse(s) }

// ParseBytes is Parse for bytes, without an allocation.
func ParseBytes(b []byte) (U128, error) { return parse(b) }

func parse[T string | []byte](s T) (U128, error) {
	if len(s) == 0 {
		return U128{}, fmt.Errorf("%q: %w", string(s), ErrSyntax)
	}
	if len(s) <= 19 { // fits 64 bits whatever the digits are
		var v uint64
		for i := 0; i < len(s); i++ {
			d := s[i] - '0'
			if d > 9 {
				return U128{}, syntaxError(s)
			}
			v = v*10 + uint64(d)
		}
		return U128{Lo: v}, nil
	}
	return parseLong(s)
}

func parseLong[T string | []byte](s T) (U128, error) {
	var v U128
	for i := 0; i < len(s); i++ {
		d := s[i] - '0'
		if d > 9 {
			return U128{}, syntaxError(s)
		}
		over, lo := bits.Mul64(v.Lo, 10)
		top, hi := bits.Mul64(v.Hi, 10)
		hi, c := bits.Add64(hi, over, 0)
		lo, c2 := bits.Add64(lo, uint64(d), 0)
		hi, c3 := bits.Add64(hi, 0, c2)
		if top|c|c3 != 0 || len(s) > 128 {
			return U128{}, fmt.Errorf("%.48q: %w", string(s), ErrRange)
		}
		v = U128{lo, hi}
	}
	return v, nil
}

func syntaxError[T string | []byte](s T) error { return fmt.Errorf("%.48q: %w", string(s), ErrSyntax) }

// String returns the decimal digits of a.
func (a U128) String() string { return string(a.AppendDecimal(make([]byte, 0, 39))) }

// PutLE writes a to the first 16 bytes of b, little-endian.
func (a U128) PutLE(b []byte) {
	binary.LittleEndian.PutUint64(b, a.Lo)
	binary.LittleEndian.PutUint64(b[8:], a.Hi)
}

// LE reads the first 16 bytes of b, little-endian.
func LE(b []byte) U128 {
	return U128{binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[8:])}
}

// PutBE writes a to the first 16 bytes of b, big-endian: keys in this form sort like the numbers.
func (a U128) PutBE(b []byte) {
	binary.BigEndian.PutUint64(b, a.Hi)
	binary.BigEndian.PutUint64(b[8:], a.Lo)
}

// BE reads the first 16 bytes of b, big-endian.
func BE(b []byte) U128 {
	return U128{Hi: binary.BigEndian.Uint64(b), Lo: binary.BigEndian.Uint64(b[8:])}
}
