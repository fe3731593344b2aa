package books

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"

	"github.com/sterlingrun/sterling/watch/internal/count"
)

// ErrSnapshot is a snapshot that is damaged, cut short, or of another version or cell.
var ErrSnapshot = errors.New("not a snapshot of these books")

// A snapshot is a magic word, its version u16, then chunks, each a length u32 and that many bytes, an empty chunk, and the
// SHA-256 of all before. So a reader never takes a byte beyond it: others may write behind.
const (
	snapshotMagic   = "STERLWBK"
	snapshotVersion = 3 // version 1 has no transfers across cells, version 2 no buckets that moved
	maxChunk        = 64 << 10
)

// coder writes values, or reads them back: one description of the state serves both ways, so that they can't differ.
type coder struct {
	w   io.Writer // one of the two
	r   io.Reader
	buf []byte // not written yet; or of the chunk, not read yet
	all [maxChunk]byte
	sum hash.Hash
	err error

	version uint16
}

func newWriter(w io.Writer) *coder {
	c := &coder{w: w, sum: sha256.New(), version: snapshotVersion}
	c.buf = c.all[:0]
	c.emit(binary.LittleEndian.AppendUint16([]byte(snapshotMagic), snapshotVersion))
	return c
}

func newReader(r io.Reader) *coder {
	c := &coder{r: r, sum: sha256.New()}
	var head [len(snapshotMagic) + 2]byte
	c.take(head[:])
	if c.err == nil && string(head[:8]) != snapshotMagic {
		c.fail("it does not begin with %s", snapshotMagic)
	}
	if c.version = binary.LittleEndian.Uint16(head[8:]); c.err == nil && (c.version == 0 || c.version > snapshotVersion) {
		c.fail("version %d, this program reads up to version %d", c.version, snapshotVersion)
	}
	return c
}

func (c *coder) reading() bool { return c.r != nil }

func (c *coder) fail(format string, args ...any) {
	if c.err == nil {
		c.err = fmt.Errorf("%w: %s", ErrSnapshot, fmt.Sprintf(format, args...))
	}
}

func (c *coder) emit(b []byte) {
	if c.err == nil {
		_, _ = c.sum.Write(b) // a hash never fails
		_, c.err = c.w.Write(b)
	}
}

func (c *coder) take(b []byte) {
	if c.err != nil {
		return
	}
	if _, err := io.ReadFull(c.r, b); err != nil {
		c.err = fmt.Errorf("%w: it is cut short: %w", ErrSnapshot, err)
		return
	}
	_, _ = c.sum.Write(b) // a hash never fails
}

// finish ends a snapshot that is written, or checks the end of one that is read.
func (c *coder) finish() error {
	if !c.reading() {
		c.flush()
		c.emit(make([]byte, 4))
		c.emit(c.sum.Sum(nil))
		return c.err
	}
	if len(c.buf) > 0 {
		c.fail("%d bytes too many", len(c.buf))
	}
	var length [4]byte
	if c.take(length[:]); c.err == nil && length != [4]byte{} {
		c.fail("bytes behind its end")
	}
	want := c.sum.Sum(nil)
	var got [sha256.Size]byte
	if c.take(got[:]); c.err == nil && !bytes.Equal(got[:], want) {
		c.fail("its checksum is wrong")
	}
	return c.err
}

func (c *coder) flush() {
	if len(c.buf) > 0 {
		c.emit(binary.LittleEndian.AppendUint32(nil, uint32(len(c.buf)))) //nolint:gosec // ≤ maxChunk
		c.emit(c.buf)
		c.buf = c.all[:0]
	}
}

// fill reads the next chunk.
func (c *coder) fill() {
	var length [4]byte
	c.take(length[:])
	n := binary.LittleEndian.Uint32(length[:])
	if c.err == nil && (n == 0 || n > maxChunk) {
		c.fail("a chunk of %d bytes", n)
	}
	if c.err == nil {
		c.buf = c.all[:n]
		c.take(c.buf)
	}
}

// bytes writes b, or reads into it; what can't be read is zero.
func (c *coder) bytes(b []byte) {
	if !c.reading() {
		for len(b) > 0 && c.err == nil {
			n := min(len(b), maxChunk-len(c.buf))
			c.buf = append(c.buf, b[:n]...)
			if b = b[n:]; len(c.buf) == maxChunk {
				c.flush()
			}
		}
		return
	}
	for len(b) > 0 {
		if len(c.buf) == 0 {
			c.fill()
		}
		if c.err != nil {
			clear(b)
			return
		}
		n := copy(b, c.buf)
		b, c.buf = b[n:], c.buf[n:]
	}
}

func (c *coder) u64(v *uint64) {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], *v)
	c.bytes(b[:])
	*v = binary.LittleEndian.Uint64(b[:])
}

func (c *coder) u32(v *uint32) {
	x := uint64(*v)
	c.u64(&x)
	*v = uint32(x) //nolint:gosec // as it was written
	if uint64(*v) != x {
		c.fail("number %d", x)
	}
}

func (c *coder) u16(v *uint16) {
	var b [2]byte
	binary.LittleEndian.PutUint16(b[:], *v)
	c.bytes(b[:])
	*v = binary.LittleEndian.Uint16(b[:])
}

func (c *coder) u8(v *uint8) {
	b := [1]byte{*v}
	c.bytes(b[:])
	*v = b[0]
}

func (c *coder) amount(v *count.Amount) {
	c.u64(&v.Lo)
	c.u64(&v.Hi)
}

func (c *coder) total(v *count.Sum) {
	for i := range v {
		c.u64(&v[i])
	}
}

// text writes or reads a short text.
func (c *coder) text(s *string) {
	b := []byte(*s)
	n := c.length(len(b), 1<<12)
	if c.reading() {
		b = make([]byte, n)
	}
	c.bytes(b)
	*s = string(b)
}

// length writes a length, or reads one of at most most. Who reads a list allocates as it comes, not by its length.
func (c *coder) length(n, most int) int {
	v := uint64(n) //nolint:gosec // not negative
	c.u64(&v)
	if c.err == nil && v > uint64(most) { //nolint:gosec // not negative
		c.fail("a list of %d, at most %d", v, most)
	}
	if c.err != nil {
		return 0
	}
	return int(v) //nolint:gosec // ≤ most
}
