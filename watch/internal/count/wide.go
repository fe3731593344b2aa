package count

import (
	"encoding/binary"
	"math/bits"
)

// Max is the greatest amount, 2^128-1.
func Max() Amount { return Amount{Lo: ^uint64(0), Hi: ^uint64(0)} }

// Less reports whether a < b.
func (a Amount) Less(b Amount) bool { return a.Hi < b.Hi || a.Hi == b.Hi && a.Lo < b.Lo }

// Min returns the smaller one.
func (a Amount) Min(b Amount) Amount {
	if b.Less(a) {
		return b
	}
	return a
}

// AddSat returns a+b, or 2^128-1 where that has more bits.
func (a Amount) AddSat(b Amount) Amount {
	sum, ok := a.Add(b)
	if !ok {
		return Max()
	}
	return sum
}

// SubSat returns a-b, or 0 where b is greater.
func (a Amount) SubSat(b Amount) Amount {
	d, ok := a.Sub(b)
	if !ok {
		return Amount{}
	}
	return d
}

// Mul returns a·b; ok is false where that has more than 128 bits.
func (a Amount) Mul(b Amount) (product Amount, ok bool) {
	hi, lo := mul(a, b)
	return lo, hi.IsZero()
}

// Div returns the whole quotient of a and b, rounded down, and the rest; ok is false where b is 0.
func (a Amount) Div(b Amount) (quotient, rest Amount, ok bool) {
	if b.IsZero() {
		return Amount{}, Amount{}, false
	}
	q, r := divide(Amount{}, a, b)
	return q, r, true
}

// MulDiv returns a·b/c rounded down, exact in between; ok is false where c is 0 or the result has more than 128 bits.
func (a Amount) MulDiv(b, c Amount) (quotient, rest Amount, ok bool) {
	hi, lo := mul(a, b)
	if c.IsZero() || !hi.Less(c) {
		return Amount{}, Amount{}, false
	}
	q, r := divide(hi, lo, c)
	return q, r, true
}

// mul returns the 256 bits of a·b in two halves.
func mul(a, b Amount) (hi, lo Amount) {
	h0, l0 := bits.Mul64(a.Lo, b.Lo)
	h1, l1 := bits.Mul64(a.Lo, b.Hi)
	h2, l2 := bits.Mul64(a.Hi, b.Lo)
	h3, l3 := bits.Mul64(a.Hi, b.Hi)
	var c, d uint64
	lo.Lo = l0
	lo.Hi, c = bits.Add64(h0, l1, 0)
	lo.Hi, d = bits.Add64(lo.Hi, l2, 0)
	hi.Lo, c = bits.Add64(h1, h2, c)
	hi.Lo, d = bits.Add64(hi.Lo, l3, d)
	hi.Hi = h3 + c + d
	return hi, lo
}

// divide returns the quotient of hi·2^128+lo by d, which must be greater than hi, bit by bit: the plain school method,
// since nothing here divides often.
func divide(hi, lo, d Amount) (q, r Amount) {
	if hi.IsZero() && d.Hi == 0 { // the usual case
		q.Hi = lo.Hi / d.Lo
		q.Lo, r.Lo = bits.Div64(lo.Hi%d.Lo, lo.Lo, d.Lo)
		return q, r
	}
	r = hi
	for range 128 {
		top := r.Hi >> 63
		r = Amount{Hi: r.Hi<<1 | r.Lo>>63, Lo: r.Lo<<1 | lo.Hi>>63}
		lo = Amount{Hi: lo.Hi<<1 | lo.Lo>>63, Lo: lo.Lo << 1}
		q = Amount{Hi: q.Hi<<1 | q.Lo>>63, Lo: q.Lo << 1}
		if top == 1 || !r.Less(d) {
			lo2, borrow := bits.Sub64(r.Lo, d.Lo, 0)
			hi2, _ := bits.Sub64(r.Hi, d.Hi, borrow)
			r, q.Lo = Amount{Lo: lo2, Hi: hi2}, q.Lo|1
		}
	}
	return q, r
}

// Sum is an unsigned number of 256 bits, the lowest 64 first: what no number of amounts can overflow.
type Sum [4]uint64

// Add adds an amount.
func (s *Sum) Add(a Amount) {
	var c uint64
	s[0], c = bits.Add64(s[0], a.Lo, 0)
	s[1], c = bits.Add64(s[1], a.Hi, c)
	if c != 0 {
		s[2], c = bits.Add64(s[2], 0, c)
		s[3] += c
	}
}

// Sub takes an amount off; ok is false, and s unchanged, where that would be negative.
func (s *Sum) Sub(a Amount) (ok bool) {
	var d Sum
	var b uint64
	d[0], b = bits.Sub64(s[0], a.Lo, 0)
	d[1], b = bits.Sub64(s[1], a.Hi, b)
	d[2], b = bits.Sub64(s[2], 0, b)
	d[3], b = bits.Sub64(s[3], 0, b)
	if b != 0 {
		return false
	}
	*s = d
	return true
}

// AddSum adds a sum. Sums of fewer than 2^127 amounts do not overflow.
func (s *Sum) AddSum(o Sum) {
	var c uint64
	for i := range s {
		s[i], c = bits.Add64(s[i], o[i], c)
	}
}

// IsZero reports whether s is 0.
func (s *Sum) IsZero() bool { return s[0]|s[1]|s[2]|s[3] == 0 }

// Amount returns s where it has at most 128 bits; ok is false, and the amount the greatest there is, where it has more.
func (s *Sum) Amount() (a Amount, ok bool) {
	if s[2]|s[3] != 0 {
		return Max(), false
	}
	return Amount{Lo: s[0], Hi: s[1]}, true
}

// Amount returns the id as a number.
func (i ID) Amount() Amount {
	return Amount{Lo: binary.LittleEndian.Uint64(i[:8]), Hi: binary.LittleEndian.Uint64(i[8:])}
}

// IDOf returns the id that is the number a.
func IDOf(a Amount) (i ID) {
	binary.LittleEndian.PutUint64(i[:8], a.Lo)
	binary.LittleEndian.PutUint64(i[8:], a.Hi)
	return i
}
