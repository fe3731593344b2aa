package h1

import (
	"bytes"
	"io"
)

// A Kind is how the end of a body is found.
type Kind uint8

// The kinds of framing.
const (
	None       Kind = iota // no body
	Length                 // as many bytes as Content-Length says
	Chunked                // chunks, then trailers; or whatever frames a body of unknown length elsewhere
	UntilClose             // until the sender closes: responses only
)

// Body is a body that is read as it arrives.
type Body struct {
	Kind Kind
	// Trailers are there once the body is done, valid until the reader's Done.
	Trailers []Field

	from  Source // nil: r
	r     *Reader
	left  int64 // bytes of the body, or of the current chunk
	state chunkState
}

type chunkState uint8

const (
	chunkSize chunkState = iota
	chunkData
	chunkEnd
	chunkTrailers
	chunkDone
)

// Bounds of the line that starts a chunk.
const (
	maxSizeDigits = 15
	maxExtension  = 256
)

// Left is how many bytes are still to come of a body of known length, else -1.
func (b *Body) Left() int64 {
	switch b.Kind {
	case None:
		return 0
	case Length:
		return b.left
	}
	return -1
}

// Over tells whether nothing of the body is to come, not even trailers.
func (b *Body) Over() bool {
	return b.Kind == None || b.Kind == Length && b.left == 0 && b.from == nil
}

// Step returns what is buffered of the body, without its framing; the bytes stay valid until the next Fill. Where data
// is empty and done is false, more must be read; where Fill then says io.EOF, ask End.
func (b *Body) Step() (data []byte, done bool, err error) {
	if b.from != nil {
		data, done, err = b.from.Step(b)
		if b.Kind == Length {
			b.left -= int64(len(data))
		}
		return data, done, err
	}
	switch b.Kind {
	case None:
		return nil, true, nil
	case Length:
		if b.left == 0 {
			return nil, true, nil
		}
		data = b.take()
		return data, b.left == 0, nil
	case UntilClose:
		return b.r.Take(), false, nil
	}
	return b.chunk()
}

// End tells what the end of the connection means for an unfinished body: nil where it is the body's end.
func (b *Body) End() error {
	if b.Kind == UntilClose {
		return nil
	}
	return io.ErrUnexpectedEOF
}

func (b *Body) take() []byte {
	have := b.r.Buffered()
	if int64(len(have)) > b.left {
		have = have[:b.left]
	}
	b.r.r += len(have)
	b.left -= int64(len(have))
	return have
}

// chunk goes through the framing up to the next data.
func (b *Body) chunk() (data []byte, done bool, err error) {
	for {
		switch b.state {
		case chunkSize:
			if ok, err := b.size(); !ok {
				return nil, false, err
			}
		case chunkData:
			data = b.take()
			if b.left == 0 {
				b.state = chunkEnd
			}
			return data, false, nil
		case chunkEnd:
			have := b.r.Buffered()
			if len(have) > 0 && have[0] != '\r' || len(have) > 1 && have[1] != '\n' {
				return nil, false, ErrChunkEnd
			}
			if len(have) < 2 {
				return nil, false, nil
			}
			b.r.r += 2
			b.state = chunkSize
		case chunkTrailers:
			if ok, err := b.trailers(); !ok {
				return nil, false, err
			}
			b.state = chunkDone
		case chunkDone:
			return nil, true, nil
		}
	}
}

// size reads SIZE [;EXTENSIONS] CRLF. Extensions mean nothing to anyone here and are not passed on.
func (b *Body) size() (ok bool, err error) {
	have := b.r.Buffered()
	end := bytes.IndexByte(have, '\n')
	line := have
	if end >= 0 {
		line = have[:end]
	}
	if len(line) > maxSizeDigits+maxExtension {
		return false, ErrChunkLine
	}
	digits, size := 0, uint64(0)
	for digits < len(line) {
		v, hex := hexDigit(line[digits])
		if !hex {
			break
		}
		if digits == maxSizeDigits {
			return false, ErrChunkSize
		}
		size = size<<4 | v
		digits++
	}
	// What can be judged is judged before the line is whole.
	if len(line) > 0 && digits == 0 || len(line) > digits && line[digits] != ';' && line[digits] != '\r' {
		return false, ErrChunkSize
	}
	if end < 0 {
		return false, nil
	}
	if len(line) == 0 || line[len(line)-1] != '\r' {
		return false, ErrBareLF
	}
	if !fieldValue(line[:len(line)-1]) {
		return false, ErrChunkSize
	}
	b.r.r += end + 1
	b.left, b.state = int64(size), chunkData
	if size == 0 {
		b.state = chunkTrailers
	}
	return true, nil
}

// trailers reads the fields after the last chunk.
func (b *Body) trailers() (ok bool, err error) {
	have := b.r.Buffered()
	for line := 0; ; {
		i := bytes.IndexByte(have[line:], '\n')
		if i < 0 {
			if len(have) > MaxTrailers {
				return false, ErrTrailersLarge
			}
			return false, nil
		}
		end := line + i
		if end == line || have[end-1] != '\r' {
			return false, ErrBareLF
		}
		if end > MaxTrailers {
			return false, ErrTrailersLarge
		}
		if end-1 > line {
			line = end + 1
			continue
		}
		if b.Trailers, err = parseFields(have[:end+1], b.Trailers[:0]); err != nil {
			return false, err
		}
		b.r.r += end + 1
		break
	}
	for i := range b.Trailers {
		if b.Trailers[i].Known != Other {
			return false, ErrTrailer
		}
	}
	return true, nil
}
