package watch

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/bits"
	"slices"
	"time"
)

// MaxKey is how long the text of a key may be, bytes.
const MaxKey = 64

// KeyOf returns the key that a text stands for: a u128 in decimal is itself, any other text the first 16 bytes of its
// SHA-256, which is how transfers carry it in user_data_128. Empty: zero.
func KeyOf(text string) ID {
	if text == "" {
		return ID{}
	}
	if id, ok := parseDecimalID(text); ok {
		return id
	}
	sum := sha256.Sum256([]byte(text))
	return ID(sum[:16])
}

// parseDecimalID reads digits without a sign or separators, up to 2^128-1. Leading zeros count for nothing.
func parseDecimalID(text string) (id ID, ok bool) {
	var hi, lo uint64
	for i := range len(text) {
		digit := text[i] - '0'
		if digit > 9 {
			return id, false
		}
		top, high := bits.Mul64(hi, 10)
		over, low := bits.Mul64(lo, 10)
		low, carry := bits.Add64(low, uint64(digit), 0)
		high, carry = bits.Add64(high, over, carry)
		if top|carry != 0 {
			return id, false
		}
		hi, lo = high, low
	}
	binary.LittleEndian.PutUint64(id[:8], lo)
	binary.LittleEndian.PutUint64(id[8:], hi)
	return id, len(text) > 0
}

// DecimalID writes an id as the API does: a u128 in decimal.
func DecimalID(id ID) string { return id.String() }

// HexID writes the id of a break: a u128 as 32 hexadecimal digits.
func HexID(id ID) string { return hexOf(id) }

// ParseHexID reads what HexID writes.
func ParseHexID(text string) (id ID, err error) {
	b, err := hex.DecodeString(text)
	if err != nil || len(b) != len(id) {
		return id, fmt.Errorf("%.80q: want 32 hexadecimal digits", text)
	}
	slices.Reverse(b)
	return ID(b), nil
}

// clockTime writes ns since 1970 for people, in UTC to the millisecond.
func clockTime(ns uint64) string {
	if ns == 0 {
		return "the beginning"
	}
	return time.Unix(0, int64(ns)).UTC().Format("2006-01-02 15:04:05.000") //nolint:gosec // until 2262
}
