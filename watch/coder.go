package watch

import (
	"bufio"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
)

// ErrSnapshot is a snapshot that is not whole, of another cell, or of another version.
var ErrSnapshot = errors.New("snapshot")

// coder writes a state, or reads it: one description of the format serves both, so that they can't differ. After the
// first error it does nothing more.
type coder struct {
	w   *bufio.Writer
	r   io.Reader
	sum hash.Hash
	err error
	buf [8]byte
}

func (c *coder) reading() bool { return c.r != nil }

func (c *coder) fail(format string, args ...any) {
	if c.err == nil {
		c.err = fmt.Errorf("%w: %s", ErrSnapshot, fmt.Sprintf(format, args...))
	}
}

func (c *coder) bytes(b []byte) {
	switch {
	case c.err != nil:
		clear(b)
	case c.reading():
		if _, err := io.ReadFull(c.r, b); err != nil {
			c.fail("it ends early: %v", err)
			clear(b)
			return
		}
		c.sum.Write(b)
	default:
		c.sum.Write(b)
		if _, err := c.w.Write(b); err != nil {
			c.err = err
		}
	}
}

func (c *coder) u64(v *uint64) {
	binary.LittleEndian.PutUint64(c.buf[:], *v)
	c.bytes(c.buf[:8])
	*v = binary.LittleEndian.Uint64(c.buf[:])
}

func (c *coder) u32(v *uint32) {
	binary.LittleEndian.PutUint32(c.buf[:], *v)
	c.bytes(c.buf[:4])
	*v = binary.LittleEndian.Uint32(c.buf[:])
}

func (c *coder) u16(v *uint16) {
	binary.LittleEndian.PutUint16(c.buf[:], *v)
	c.bytes(c.buf[:2])
	*v = binary.LittleEndian.Uint16(c.buf[:])
}

func (c *coder) u8(v *uint8) {
	c.buf[0] = *v
	c.bytes(c.buf[:1])
	*v = c.buf[0]
}

func (c *coder) boolean(v *bool) {
	b := bit(*v)
	c.u8(&b)
	*v = b == 1
}

func (c *coder) integer(v *int) {
	u := uint64(*v) //nolint:gosec // G115: wraps, and back
	c.u64(&u)
	*v = int(u) //nolint:gosec // G115: wraps, and back
}

func (c *coder) amount(a *Amount) { c.u64(&a.Lo); c.u64(&a.Hi) }

func (c *coder) number(n *number) { c.boolean(&n.negative); c.amount(&n.size) }

func (c *coder) id(id *ID) { c.bytes(id[:]) }

const longestText = 1 << 16

func (c *coder) text(s *string) {
	n := uint32(len(*s)) //nolint:gosec // G115: texts are short
	if c.u32(&n); n > longestText {
		c.fail("a text of %d bytes", n)
		return
	}
	if !c.reading() {
		c.bytes([]byte(*s))
		return
	}
	b := make([]byte, n)
	c.bytes(b)
	*s = string(b)
}

// length writes or reads how many there are of something.
func (c *coder) length(n, most int) int {
	u := uint64(n)                   //nolint:gosec // G115: a length
	if c.u64(&u); u > uint64(most) { //nolint:gosec // G115: a length
		c.fail("a list of %d: at most %d", u, most)
		return 0
	}
	return int(u) //nolint:gosec // G115: checked
}

// codeList writes a list, or reads it and lets it grow as it comes.
func codeList[T any](c *coder, list *[]T, most int, each func(*T)) {
	n := c.length(len(*list), most)
	if c.reading() {
		*list = (*list)[:0:0]
	}
	for i := 0; i < n && c.err == nil; i++ {
		if c.reading() {
			*list = append(*list, *new(T))
		}
		each(&(*list)[i])
	}
}

// codeSlab writes the records that are in use, with their places, or reads them.
func codeSlab[T any](c *coder, s *slab[T], each func(uint32, *T)) {
	codeList(c, &s.free, many, c.u32)
	c.u32(&s.size)
	if s.size > many || len(s.free) >= max(int(s.size), 1) {
		c.fail("%d places, %d of them free", s.size, len(s.free))
	}
	if c.err != nil {
		return
	}
	free := make(map[uint32]bool, len(s.free))
	for _, i := range s.free {
		free[i] = true
	}
	for i := uint32(1); i < s.size && c.err == nil; i++ {
		if int(i>>pageBits) == len(s.pages) {
			s.pages = append(s.pages, make([]T, 1<<pageBits))
		}
		if !free[i] {
			each(i, s.at(i))
		}
	}
}

// many bounds lists of which there may be as many as people like.
const many = 1<<30 - 1

// finish writes the checksum, or compares it.
func (c *coder) finish() error {
	if c.err != nil {
		return c.err
	}
	sum := c.sum.Sum(nil)
	if c.reading() {
		var got [sha256.Size]byte
		if _, err := io.ReadFull(c.r, got[:]); err != nil || string(got[:]) != string(sum) {
			return fmt.Errorf("%w: its checksum is wrong", ErrSnapshot)
		}
		return nil
	}
	if _, err := c.w.Write(sum); err != nil {
		return fmt.Errorf("write the checksum: %w", err)
	}
	if err := c.w.Flush(); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	return nil
}
