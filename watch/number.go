package watch

import "github.com/sterlingrun/sterling/watch/internal/count"

// number is a signed whole number with a magnitude of up to 128 bits: what rules count with. It is never negative zero.
type number struct {
	negative bool
	size     Amount
}

func numberOf(v int64) number {
	if v < 0 {
		return number{true, Amount{Lo: -uint64(v)}} //nolint:gosec // G115: two's complement, meant so
	}
	return number{false, Amount{Lo: uint64(v)}}
}

func positive(a Amount) number { return number{false, a} }

func signed(negative bool, size Amount) number { return number{negative && !size.IsZero(), size} }

// small returns n as an int64; ok is false where it has more bits.
func (n number) small() (v int64, ok bool) {
	if n.size.Hi != 0 || n.size.Lo > 1<<63-1 {
		return 0, false
	}
	if n.negative {
		return -int64(n.size.Lo), true
	}
	return int64(n.size.Lo), true
}

func (n number) compare(o number) int {
	switch {
	case n.negative != o.negative && n.negative:
		return -1
	case n.negative != o.negative:
		return 1
	case n.negative:
		return o.size.Compare(n.size)
	default:
		return n.size.Compare(o.size)
	}
}

func (n number) negate() number { return signed(!n.negative, n.size) }

// add returns n+o; ok is false where the magnitude has more than 128 bits.
func (n number) add(o number) (number, bool) {
	if n.negative == o.negative {
		sum, ok := n.size.Add(o.size)
		return signed(n.negative, sum), ok
	}
	if n.size.Less(o.size) {
		return signed(o.negative, o.size.SubSat(n.size)), true
	}
	return signed(n.negative, n.size.SubSat(o.size)), true
}

func (n number) mul(o number) (number, bool) {
	product, ok := n.size.Mul(o.size)
	return signed(n.negative != o.negative, product), ok
}

// div cuts towards zero, as CEL does; ok is false for a division by zero.
func (n number) div(o number) (q, rest number, ok bool) {
	quotient, remainder, ok := n.size.Div(o.size)
	return signed(n.negative != o.negative, quotient), signed(n.negative, remainder), ok
}

// idNumber reads an id as a number, which is how rules compare accounts and keys.
func idNumber(id ID) number { return positive(id.Amount()) }

// apart returns |a-b|.
func apart(a, b Amount) Amount {
	if a.Less(b) {
		return b.SubSat(a)
	}
	return a.SubSat(b)
}

// powerOfTen reports whether a and b differ by a factor of 10, 100, … 1,000,000.
func powerOfTen(a, b Amount) bool {
	if a.Less(b) {
		a, b = b, a
	}
	if b.IsZero() || a == b {
		return false
	}
	quotient, rest, ok := a.Div(b)
	if !ok || !rest.IsZero() {
		return false
	}
	for n := uint64(10); n <= 1_000_000; n *= 10 {
		if quotient == count.Of(n) {
			return true
		}
	}
	return false
}
