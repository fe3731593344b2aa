// Package wire appends fields of protobuf messages to bytes, for the few answers that are written without messages. It
// knows no message, and reads nothing. Start reading at Begin.
package wire

import (
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/sterlingrun/sterling/money"
)

// Varint appends a whole number; it leaves a zero out, as proto3 does.
func Varint(dst []byte, number protowire.Number, v uint64) []byte {
	if v == 0 {
		return dst
	}
	dst = protowire.AppendTag(dst, number, protowire.VarintType)
	return protowire.AppendVarint(dst, v)
}

// Text appends a string; it leaves an empty one out.
func Text(dst []byte, number protowire.Number, text string) []byte {
	if text == "" {
		return dst
	}
	dst = protowire.AppendTag(dst, number, protowire.BytesType)
	return protowire.AppendString(dst, text)
}

// Decimal appends a number of 128 bits as a string of digits, also a zero.
func Decimal(dst []byte, number protowire.Number, v money.U128) []byte {
	dst = protowire.AppendTag(dst, number, protowire.BytesType)
	dst = append(dst, 0)
	at := len(dst)
	dst = v.AppendDecimal(dst)
	dst[at-1] = byte(len(dst) - at) //nolint:gosec // at most 39 digits
	return dst
}

// Begin starts an embedded message; Finish, given what Begin returned, puts its length in place.
func Begin(dst []byte, number protowire.Number) (grown []byte, at int) {
	dst = protowire.AppendTag(dst, number, protowire.BytesType)
	return append(dst, 0, 0), len(dst) + 2
}

// Finish ends the message that began at at. One of 16 KiB or more is moved to make room for its length.
func Finish(dst []byte, at int) []byte {
	n := len(dst) - at
	switch {
	case n < 1<<7: // the short form, as proto writes it
		copy(dst[at-1:], dst[at:])
		dst[at-2] = byte(n) //nolint:gosec // checked
		return dst[:len(dst)-1]
	case n < 1<<14:
		dst[at-2] = byte(n&0x7f | 0x80) //nolint:gosec // masked
		dst[at-1] = byte(n >> 7)
		return dst
	}
	body := append([]byte(nil), dst[at:]...)
	dst = protowire.AppendVarint(dst[:at-2], uint64(n))
	return append(dst, body...)
}
