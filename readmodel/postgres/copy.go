package postgres

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"strconv"

	"github.com/jackc/pgx/v5"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/money"
	"github.com/sterlingrun/sterling/readmodel"
)

// copier makes rows in the text format of COPY: fields between tabs, rows between line feeds, \N for NULL. The text
// format takes numbers of any size as their digits, which is what amounts are made into fastest.
type copier struct {
	buf   []byte
	rows  int
	field bool // the row has fields already
}

func (c *copier) reset() { c.buf, c.rows, c.field = c.buf[:0], 0, false }

func (c *copier) next() {
	if c.field {
		c.buf = append(c.buf, '\t')
	}
	c.field = true
}

// end ends a row.
func (c *copier) end() {
	c.buf = append(c.buf, '\n')
	c.rows++
	c.field = false
}

func (c *copier) null() {
	c.next()
	c.buf = append(c.buf, '\\', 'N')
}

func (c *copier) int(v int64) {
	c.next()
	c.buf = strconv.AppendInt(c.buf, v, 10)
}

func (c *copier) uint(v uint64) {
	c.next()
	c.buf = strconv.AppendUint(c.buf, v, 10)
}

func (c *copier) u128(v money.U128) {
	c.next()
	c.buf = v.AppendDecimal(c.buf)
}

// optional writes an id that may be missing.
func (c *copier) optional(v money.U128) {
	if v.IsZero() {
		c.null()
		return
	}
	c.u128(v)
}

// optionalNs writes a timestamp that may be missing. A reservation may expire beyond what the timeline has; then it never
// does.
func (c *copier) optionalNs(v uint64) {
	if v == 0 || v > journal.MaxTimestamp {
		c.null()
		return
	}
	c.uint(v)
}

func (c *copier) bool(v bool) {
	c.next()
	b := byte('f')
	if v {
		b = 't'
	}
	c.buf = append(c.buf, b)
}

// text writes a text, with a backslash before what COPY would take for its own.
func (c *copier) text(s string) {
	c.next()
	for i := range len(s) {
		switch b := s[i]; b {
		case '\\':
			c.buf = append(c.buf, '\\', '\\')
		case '\t':
			c.buf = append(c.buf, '\\', 't')
		case '\n':
			c.buf = append(c.buf, '\\', 'n')
		case '\r':
			c.buf = append(c.buf, '\\', 'r')
		default:
			c.buf = append(c.buf, b)
		}
	}
}

// optionalText writes a text that is NULL where it is empty.
func (c *copier) optionalText(s string) {
	if s == "" {
		c.null()
		return
	}
	c.text(s)
}

// bytes writes bytes as hexadecimal digits.
func (c *copier) bytes(b []byte) {
	if b == nil {
		c.null()
		return
	}
	c.next()
	c.buf = append(c.buf, '\\', '\\', 'x')
	c.buf = hex.AppendEncode(c.buf, b)
}

func (c *copier) position(p journal.Position) { c.uint(uint64(p)) }

func (c *copier) userData(u *readmodel.UserData) {
	c.u128(u.D128)
	c.uint(u.D64)
	c.uint(uint64(u.D32))
}

// send copies the rows into a table.
func (c *copier) send(ctx context.Context, conn *pgx.Conn, table, columns string) error {
	done, err := conn.PgConn().CopyFrom(ctx, bytes.NewReader(c.buf), "COPY "+table+" ("+columns+") FROM STDIN")
	if err != nil {
		return err
	}
	return readmodel.CheckFound(table, done.RowsAffected(), c.rows)
}

// decimals makes the numbers of a list an array of texts, for statements that take arrays.
func decimals[T any](list []T, value func(i int) fmt.Stringer) []string {
	texts := make([]string, len(list))
	for i := range list {
		texts[i] = value(i).String()
	}
	return texts
}
