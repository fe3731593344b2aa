package readmodel

import "github.com/sterlingrun/sterling/money"

// Delta is by how much a sum changes, in minor units: from -(2^128 - 1) to 2^128 - 1. The zero value is no change.
type Delta struct {
	Negative bool // never of zero
	Size     money.U128
}

// IsZero reports whether nothing changes.
func (d Delta) IsZero() bool { return d.Size.IsZero() }

// AppendDecimal appends d as a decimal number, with a minus where it is negative.
func (d Delta) AppendDecimal(b []byte) []byte {
	if d.Negative {
		b = append(b, '-')
	}
	return d.Size.AppendDecimal(b)
}

// String returns d as a decimal number.
func (d Delta) String() string { return string(d.AppendDecimal(nil)) }

// To returns v changed by d; ok is false where that is below zero or beyond 2^128 - 1.
func (d Delta) To(v money.U128) (sum money.U128, ok bool) {
	var wrapped bool
	if d.Negative {
		sum, wrapped = v.Sub(d.Size)
	} else {
		sum, wrapped = v.Add(d.Size)
	}
	return sum, !wrapped
}

// plus returns d + v, minus d - v; ok is false beyond the range. Balances lie between 0 and 2^128 - 1, so the difference
// of any two of them is within it.
func (d Delta) plus(v money.U128) (Delta, bool) {
	if d.Negative {
		return difference(v, d.Size), true
	}
	sum, over := d.Size.Add(v)
	return Delta{Size: sum}, !over
}

func (d Delta) minus(v money.U128) (Delta, bool) {
	if !d.Negative {
		return difference(d.Size, v), true
	}
	sum, over := d.Size.Add(v)
	return Delta{Negative: true, Size: sum}, !over
}

func difference(a, b money.U128) Delta {
	if a.Less(b) {
		size, _ := b.Sub(a)
		return Delta{Negative: true, Size: size}
	}
	size, _ := a.Sub(b)
	return Delta{Size: size}
}
