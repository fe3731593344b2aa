package mysql

import (
	"encoding/hex"
	"strconv"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/money"
	"github.com/sterlingrun/sterling/readmodel"
)

// Statements carry their values as literals, because marks are limited to 65,535 and cost a round trip. Numbers are
// digits; everything else is hexadecimal digits, which mean the same in every mode of the server and have nothing to
// escape. A literal of digits is exact up to 65 of them, and compares with a DECIMAL exactly; a text in its place would be
// compared as a double.
type literals struct {
	buf   []byte
	field bool // the row has fields already
}

func (l *literals) raw(s string) { l.buf = append(l.buf, s...) }

// begin opens a row.
func (l *literals) begin() {
	l.buf = append(l.buf, '(')
	l.field = false
}

func (l *literals) end() { l.buf = append(l.buf, ')') }

func (l *literals) next() {
	if l.field {
		l.buf = append(l.buf, ',')
	}
	l.field = true
}

func (l *literals) null() {
	l.next()
	l.raw("NULL")
}

func (l *literals) int(v int64) {
	l.next()
	l.buf = strconv.AppendInt(l.buf, v, 10)
}

func (l *literals) uint(v uint64) {
	l.next()
	l.buf = strconv.AppendUint(l.buf, v, 10)
}

func (l *literals) u128(v money.U128) {
	l.next()
	l.buf = v.AppendDecimal(l.buf)
}

// optional writes an id that may be missing.
func (l *literals) optional(v money.U128) {
	if v.IsZero() {
		l.null()
		return
	}
	l.u128(v)
}

// optionalNs writes a timestamp that may be missing. A reservation may expire beyond what the timeline has; then it never
// does.
func (l *literals) optionalNs(v uint64) {
	if v == 0 || v > journal.MaxTimestamp {
		l.null()
		return
	}
	l.uint(v)
}

func (l *literals) bool(v bool) {
	if v {
		l.uint(1)
	} else {
		l.uint(0)
	}
}

func (l *literals) text(s string) {
	l.next()
	if s == "" {
		l.raw("''")
		return
	}
	l.raw("_utf8mb4 0x")
	l.buf = hex.AppendEncode(l.buf, []byte(s))
}

// optionalText writes a text that is NULL where it is empty.
func (l *literals) optionalText(s string) {
	if s == "" {
		l.null()
		return
	}
	l.text(s)
}

func (l *literals) bytes(b []byte) {
	if b == nil {
		l.null()
		return
	}
	l.next()
	l.raw("X'")
	l.buf = hex.AppendEncode(l.buf, b)
	l.raw("'")
}

// digits writes a decimal number that is made of digits only.
func (l *literals) digits(s string) {
	l.next()
	l.raw(s)
}

func (l *literals) position(p journal.Position) { l.uint(uint64(p)) }

func (l *literals) delta(d readmodel.Delta) {
	l.next()
	l.buf = d.AppendDecimal(l.buf)
}

func (l *literals) userData(u *readmodel.UserData) {
	l.u128(u.D128)
	l.uint(u.D64)
	l.uint(uint64(u.D32))
}
