// Package count is watch's own arithmetic: unsigned whole numbers of 128 and 256 bits, checked. It shares no code with
// money, so that a fault in one shows against the other. It never rounds and never panics on overflow: it says so.
// Start reading at Amount.
package count

import "math/bits"

// Amount is an unsigned number of 128 bits: minor units, or an id.
type Amount struct{ Lo, Hi uint64 }

// ID is a u128 as the journal has it: 16 bytes, the low half first. It is the same type as Amount's bytes, apart, so
// that ids are not added.
type ID [16]byte

// IsZero reports whether all bytes are zero.
func (i ID) IsZero() bool { return i == ID{} }

// Of returns v as an amount.
func Of(v uint64) Amount { return Amount{Lo: v} }

// IsZero reports whether a is 0.
func (a Amount) IsZero() bool { return a.Lo|a.Hi == 0 }

// Compare returns -1, 0 or 1.
func (a Amount) Compare(b Amount) int {
	switch {
	case a.Hi < b.Hi || a.Hi == b.Hi && a.Lo < b.Lo:
		return -1
	case a == b:
		return 0
	default:
		return 1
	}
}

// Add returns a+b; ok is false where that has more than 128 bits.
func (a Amount) Add(b Amount) (sum Amount, ok bool) {
	lo, carry := bits.Add64(a.Lo, b.Lo, 0)
	hi, carry := bits.Add64(a.Hi, b.Hi, carry)
	return Amount{lo, hi}, carry == 0
}

// Sub returns a-b; ok is false where b is greater.
func (a Amount) Sub(b Amount) (difference Amount, ok bool) {
	lo, borrow := bits.Sub64(a.Lo, b.Lo, 0)
	hi, borrow := bits.Sub64(a.Hi, b.Hi, borrow)
	return Amount{lo, hi}, borrow == 0
}
