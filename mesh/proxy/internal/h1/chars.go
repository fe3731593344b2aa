package h1

import "encoding/binary"

// Character classes of RFC 9110 and RFC 3986.
var (
	tokenByte   = class("!#$%&'*+-.^_`|~", true)
	targetByte  = class("-._~:/?[]@!$&'()*+,;=%", true)
	hostByte    = class("-._~", true) // no percent: names in a mesh are DNS names
	upgradeByte = class("!#$%&'*+-.^_`|~/", true)
)

func class(others string, alphanumeric bool) (table [256]bool) {
	for i := 0; alphanumeric && i < 26; i++ {
		table['a'+i], table['A'+i] = true, true
	}
	for i := 0; alphanumeric && i < 10; i++ {
		table['0'+i] = true
	}
	for _, c := range []byte(others) {
		table[c] = true
	}
	return table
}

func all(b []byte, table *[256]bool) bool {
	for _, c := range b {
		if !table[c] {
			return false
		}
	}
	return len(b) > 0
}

// fieldValue tells whether b has no control characters but tabs. Eight bytes at a time: most of a head is values.
func fieldValue(b []byte) bool {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	for len(b) >= 8 {
		x := binary.LittleEndian.Uint64(b)
		del := x ^ ones*0x7f
		if ((x-ones*0x20)&^x|(del-ones)&^del)&highs != 0 && !slowValue(b[:8]) {
			return false
		}
		b = b[8:]
	}
	return slowValue(b)
}

func slowValue(b []byte) bool {
	for _, c := range b {
		if c < 0x20 && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}

// equalFold compares b with an ASCII text in lower case.
func equalFold(b []byte, lower string) bool {
	if len(b) != len(lower) {
		return false
	}
	for i := range b {
		if c := b[i]; c != lower[i] && (c < 'A' || c > 'Z' || c+0x20 != lower[i]) {
			return false
		}
	}
	return true
}

func trimSpace(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t') {
		b = b[1:]
	}
	for len(b) > 0 && (b[len(b)-1] == ' ' || b[len(b)-1] == '\t') {
		b = b[:len(b)-1]
	}
	return b
}

func hexDigit(c byte) (value uint64, ok bool) {
	switch {
	case c >= '0' && c <= '9':
		return uint64(c - '0'), true
	case c >= 'a' && c <= 'f':
		return uint64(c-'a') + 10, true
	case c >= 'A' && c <= 'F':
		return uint64(c-'A') + 10, true
	}
	return 0, false
}
