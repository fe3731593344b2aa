package h1

import (
	"bytes"
	"io"
	"sync"
)

// Bounds of one message.
const (
	MaxHead     = 32 << 10 // bytes of a head, start line included
	MaxTarget   = 8 << 10  // bytes of a request target
	MaxFields   = 128      // header fields of a head; as many again in trailers
	MaxTrailers = 8 << 10  // bytes of the trailers

	smallBuffer = 4 << 10  // what an idle connection holds
	largeBuffer = 64 << 10 // what one holds while it reads a large message; more than MaxHead
)

var largeBuffers = sync.Pool{New: func() any { return new([largeBuffer]byte) }}

// Reader is the unread bytes of one direction of a connection. Its methods other than Fill do no I/O: they say that
// more bytes are needed, and the caller, who knows the deadlines, calls Fill. Not safe for concurrent use.
type Reader struct {
	src   io.Reader
	small []byte
	large *[largeBuffer]byte // nil while small is in use
	buf   []byte
	r, w  int // unread: buf[r:w]
	base  int // bytes below belong to the head of the current message and are not overwritten

	line, scan int  // of the head being read, from r: begin of its current line, and where no line feed has been looked for
	lines      int  // of that head
	blank      bool // an empty line before the head has been skipped
	filled     bool // the last read filled the buffer: more is coming
}

// NewReader returns a reader of src. It reads only in Fill.
func NewReader(src io.Reader) *Reader {
	small := make([]byte, smallBuffer)
	return &Reader{src: src, small: small, buf: small}
}

// Buffered returns the bytes read and not yet consumed. They stay valid until the next Fill.
func (r *Reader) Buffered() []byte { return r.buf[r.r:r.w] }

// Take consumes all buffered bytes and returns them: what came after the head of a message that opens a tunnel.
func (r *Reader) Take() []byte {
	b := r.buf[r.r:r.w]
	r.r = r.w
	return b
}

// Fill reads once from the connection. It makes room first: heads returned before stay valid until Done.
func (r *Reader) Fill() error {
	if r.r == r.w {
		r.r, r.w = r.base, r.base
	}
	if r.w == len(r.buf) || r.filled && r.large == nil {
		r.makeRoom()
	}
	n, err := r.src.Read(r.buf[r.w:])
	r.w += n
	r.filled = r.w == len(r.buf)
	if n > 0 {
		return nil // an error comes again with the next call
	}
	if err == nil {
		return io.ErrNoProgress
	}
	return err
}

func (r *Reader) makeRoom() {
	if r.large == nil {
		// The head stays where it is, in small; only what is unread moves.
		r.large = largeBuffers.Get().(*[largeBuffer]byte)
		n := copy(r.large[:], r.buf[r.r:r.w])
		r.buf, r.base, r.r, r.w = r.large[:], 0, 0, n
		return
	}
	n := copy(r.buf[r.base:], r.buf[r.r:r.w])
	r.r, r.w = r.base, r.base+n
}

// Done ends the current message: its head is no longer valid. A large buffer goes back when what is unread fits.
func (r *Reader) Done() {
	r.base, r.filled = 0, false
	if r.large != nil && r.w-r.r <= smallBuffer/2 {
		n := copy(r.small, r.buf[r.r:r.w])
		largeBuffers.Put(r.large)
		r.large, r.buf, r.r, r.w = nil, r.small, 0, n
	}
}

// Close gives buffers back. The reader and the heads it returned are of no further use.
func (r *Reader) Close() {
	if r.large != nil {
		largeBuffers.Put(r.large)
	}
	r.large, r.buf, r.small, r.r, r.w = nil, nil, nil, 0, 0
}

// head looks for a whole head and returns it with its final empty line, nil while more is to be read.
func (r *Reader) head() ([]byte, error) {
	for {
		have := r.buf[r.r:r.w]
		if r.line == 0 && len(have) > 0 && !tokenByte[have[0]] && have[0] != '\r' && have[0] != '\n' {
			return nil, ErrStart // not HTTP: no need to wait for its end
		}
		i := bytes.IndexByte(have[r.scan:], '\n')
		if i < 0 {
			r.scan = len(have)
			if len(have) > MaxHead {
				return nil, r.tooLarge()
			}
			return nil, nil
		}
		end := r.scan + i
		if end == 0 || have[end-1] != '\r' {
			return nil, ErrBareLF
		}
		if end+1 > MaxHead {
			return nil, r.tooLarge()
		}
		if end-1 > r.line {
			if r.lines++; r.lines > MaxFields+1 {
				return nil, ErrFieldsMany
			}
			r.line, r.scan = end+1, end+1
			continue
		}
		if r.line > 0 {
			r.r += end + 1
			r.base = r.r
			r.line, r.scan, r.lines, r.blank = 0, 0, 0, false
			return have[:end+1], nil
		}
		// RFC 9112, 2.2: one empty line before a request is forgiven.
		if r.blank {
			return nil, ErrStart
		}
		r.blank = true
		r.r += 2
		r.scan = 0
	}
}

func (r *Reader) tooLarge() error {
	if r.line == 0 {
		return ErrTargetLong
	}
	return ErrHeadLarge
}
