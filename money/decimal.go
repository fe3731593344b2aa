package money

import "math/bits"

// pairs are the decimal numbers from 00 to 99.
const pairs = "00010203040506070809101112131415161718192021222324" +
	"25262728293031323334353637383940414243444546474849" +
	"50515253545556575859606162636465666768697071727374" +
	"75767778798081828384858687888990919293949596979899"

const (
	e8  = 100_000_000
	e19 = 10_000_000_000_000_000_000 // the largest power of ten in 64 bits
)

// AppendDecimal appends the decimal digits of a to b.
func (a U128) AppendDecimal(b []byte) []byte {
	var buf [40]byte
	i := len(buf)
	for a.Hi != 0 {
		hi, r := bits.Div64(0, a.Hi, e19)
		lo, rest := bits.Div64(r, a.Lo, e19)
		i -= 19
		put19((*[19]byte)(buf[i:]), rest)
		a = U128{lo, hi}
	}
	v := a.Lo
	for v >= e8 {
		i -= 8
		put8((*[8]byte)(buf[i:]), uint32(v%e8))
		v /= e8
	}
	for v >= 100 {
		i -= 2
		copy(buf[i:], pairs[2*(v%100):][:2])
		v /= 100
	}
	i -= 2
	copy(buf[i:], pairs[2*v:][:2])
	for i < len(buf)-1 && buf[i] == '0' {
		i++ // no leading zeros, also not of a group below where nothing is above
	}
	return append(b, buf[i:]...)
}

// put19 writes all 19 digits of v, which is below 10^19.
func put19(b *[19]byte, v uint64) {
	high := uint32(v / (e8 * e8)) //nolint:gosec // below 1,000
	low := v % (e8 * e8)
	b[0] = byte('0' + high/100) //nolint:gosec // a digit
	copy(b[1:], pairs[2*(high%100):][:2])
	put8((*[8]byte)(b[3:]), uint32(low/e8))
	put8((*[8]byte)(b[11:]), uint32(low%e8))
}

// put8 writes all 8 digits of v, which is below 10^8. The divisions of its halves don't wait for each other.
func put8(b *[8]byte, v uint32) {
	high, low := v/10_000, v%10_000
	copy(b[0:], pairs[2*(high/100):][:2])
	copy(b[2:], pairs[2*(high%100):][:2])
	copy(b[4:], pairs[2*(low/100):][:2])
	copy(b[6:], pairs[2*(low%100):][:2])
}
