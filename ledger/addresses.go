package ledger

import (
	"encoding/binary"

	"github.com/sterlingrun/sterling/money"
)

// addresses holds texts one after the other, in memory that never moves. A text is named by where it stands and how
// long it is: place<<8 | length.
type addresses struct {
	alloc Alloc
	parts [][]byte
	used  uint64 // bytes, over all parts
}

const addressPart = 1 << 20

// add keeps a text of 1 to 255 bytes. It never crosses two parts.
func (a *addresses) add(text string) uint64 {
	n := uint64(len(text))
	if a.used%addressPart+n > addressPart {
		a.used = (a.used/addressPart + 1) * addressPart
	}
	for a.used/addressPart >= uint64(len(a.parts)) {
		a.parts = append(a.parts, a.alloc(addressPart))
	}
	copy(a.parts[a.used/addressPart][a.used%addressPart:], text)
	place := a.used<<8 | n
	a.used += n
	return place
}

func (a *addresses) text(place uint64) string {
	at, n := place>>8, place&0xFF
	if n == 0 {
		return ""
	}
	return string(a.parts[at/addressPart][at%addressPart:][:n])
}

// text hashes a text with the key.
func (k hasher) text(s string) uint64 {
	h := uint64(len(s)) * 0x9E3779B97F4A7C15
	for len(s) > 0 {
		var b [16]byte
		s = s[copy(b[:], s):]
		h = k.hash(money.U128{Lo: binary.LittleEndian.Uint64(b[:]) ^ h, Hi: binary.LittleEndian.Uint64(b[8:]) ^ h<<32})
	}
	return h
}
