package count

import (
	"errors"
	"fmt"
	"strings"
)

// ErrNumber is a text that is no number, or one beyond the bounds.
var ErrNumber = errors.New("not a number of at most 128 bits")

// MaxScale is the greatest number of decimal places.
const MaxScale = 38

// Parse reads a whole number: decimal digits only, at most 39 of them.
func Parse(s string) (Amount, error) {
	if s == "" || len(s) > 39 {
		return Amount{}, fmt.Errorf("%w: %d characters", ErrNumber, len(s))
	}
	var a Amount
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return Amount{}, fmt.Errorf("%w: %q", ErrNumber, s)
		}
		next, ok := a.Mul(Of(10))
		if ok {
			next, ok = next.Add(Of(uint64(s[i] - '0')))
		}
		if !ok {
			return Amount{}, fmt.Errorf("%w: %s", ErrNumber, s)
		}
		a = next
	}
	return a, nil
}

// ParseDecimal reads an amount of money such as "12.34" as minor units of an asset with so many decimal places, 0 to
// MaxScale. Places that are left out are zeros; one too many is an error, even if it is a zero: nothing is rounded.
func ParseDecimal(s string, scale int) (Amount, error) {
	if scale < 0 || scale > MaxScale {
		return Amount{}, fmt.Errorf("%w: %d decimal places", ErrNumber, scale)
	}
	whole, places, point := strings.Cut(s, ".")
	if len(places) > scale || point && places == "" || whole == "" || len(whole) > 39 {
		return Amount{}, fmt.Errorf("%w: %.60q with %d decimal places", ErrNumber, s, scale)
	}
	digits := strings.TrimLeft(whole+places+strings.Repeat("0", scale-len(places)), "0")
	if digits == "" {
		return Amount{}, nil
	}
	return Parse(digits)
}

// String returns the amount as a decimal number.
func (a Amount) String() string { return (&Sum{a.Lo, a.Hi}).String() }

// Decimal returns the amount with a decimal point before the last scale digits: 1234 with 2 is "12.34".
func (a Amount) Decimal(scale int) string {
	s := a.String()
	if scale <= 0 {
		return s
	}
	if len(s) <= scale {
		s = strings.Repeat("0", scale+1-len(s)) + s
	}
	return s[:len(s)-scale] + "." + s[len(s)-scale:]
}

// String returns the sum as a decimal number.
func (s *Sum) String() string {
	var digits [78]byte
	at := len(digits)
	rest := *s
	for {
		var r uint64
		rest, r = rest.tenth()
		at--
		digits[at] = byte('0' + r) //nolint:gosec // a digit
		if rest.IsZero() {
			return string(digits[at:])
		}
	}
}

// tenth divides by ten, 32 bits at a time.
func (s *Sum) tenth() (q Sum, rest uint64) {
	for i := 3; i >= 0; i-- {
		hi := rest<<32 | s[i]>>32
		lo := hi%10<<32 | s[i]&(1<<32-1)
		q[i], rest = hi/10<<32|lo/10, lo%10
	}
	return q, rest
}

// String returns the id as a decimal number.
func (i ID) String() string { return i.Amount().String() }

// ParseID reads an id as Parse reads a number.
func ParseID(s string) (ID, error) {
	a, err := Parse(s)
	return IDOf(a), err
}
