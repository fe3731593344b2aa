package backup

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"

	"github.com/sterlingrun/sterling/journal"
)

// The layout of a run of blocks, before compression.
const (
	runMagic   = "STERLRUN"
	runHead    = 32 // magic, version u32, zero u32, cell u64, first u64
	blockHead  = 8  // length u32, zero u32; both zero: the end
	defaultRun = 32 << 20
	maxRaw     = 128 << 20        // bytes of a run before compression that a reader takes
	maxObject  = maxRaw + 1<<20   // bytes of a stored run: what does not compress grows a little
	window     = 8 << 20          // bytes of history that the decompressor keeps
	minRun     = journal.MaxBlock // smallest bound of a run that can be asked for
)

// runWriter makes one object of consecutive blocks. It holds the compressed bytes in memory, nothing more.
type runWriter struct {
	cell        uint64
	zip         *zstd.Encoder
	out         bytes.Buffer
	raw         int64
	first, last uint64
}

// newRunWriter makes a writer whose output depends on its input only, so that a backup which goes on after another was
// cut short makes the same objects.
func newRunWriter(cell uint64) (*runWriter, error) {
	zip, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(2<<20),
		zstd.WithLowerEncoderMem(true), zstd.WithEncoderCRC(true))
	if err != nil {
		return nil, fmt.Errorf("start the compressor: %w", err)
	}
	return &runWriter{cell: cell, zip: zip}, nil
}

func (w *runWriter) empty() bool { return w.raw == 0 }

// add appends block seq; blocks come in order.
func (w *runWriter) add(seq uint64, raw []byte) error {
	le := binary.LittleEndian
	if w.empty() {
		w.out.Reset()
		w.zip.Reset(&w.out)
		var head [runHead]byte
		copy(head[:], runMagic)
		le.PutUint32(head[8:], FormatVersion)
		le.PutUint64(head[16:], w.cell)
		le.PutUint64(head[24:], seq)
		w.first = seq
		if err := w.write(head[:]); err != nil {
			return err
		}
	}
	var head [blockHead]byte
	le.PutUint32(head[:], uint32(len(raw))) //nolint:gosec // ≤ journal.MaxBlock
	w.last = seq
	if err := w.write(head[:]); err != nil {
		return err
	}
	return w.write(raw)
}

func (w *runWriter) write(b []byte) error {
	w.raw += int64(len(b))
	if _, err := w.zip.Write(b); err != nil {
		return fmt.Errorf("compress blocks: %w", err)
	}
	return nil
}

// finish ends the object and returns it; its bytes are valid until the next add.
func (w *runWriter) finish() (Object, []byte, error) {
	if err := w.write(make([]byte, blockHead)); err != nil {
		return Object{}, nil, err
	}
	if err := w.zip.Close(); err != nil {
		return Object{}, nil, fmt.Errorf("compress blocks: %w", err)
	}
	b := w.out.Bytes()
	o := Object{FirstSeq: w.first, LastSeq: w.last, Bytes: int64(len(b)), RawBytes: w.raw, SHA256: sha256.Sum256(b)}
	o.Name = runName(w.cell, o.FirstSeq, o.LastSeq, o.SHA256)
	w.raw = 0
	return o, b, nil
}

// readRun gives every block of a stored run to visit, which must not keep it. It checks the object against o, and
// that its blocks are as many as o says; not what is in them. Errors are *ObjectError, or visit's.
func readRun(ctx context.Context, cell uint64, o *Object, stored []byte, visit func(seq uint64, raw []byte) error) error {
	if int64(len(stored)) != o.Bytes {
		return damaged(o.Name, "it has %d bytes, the manifest says %d", len(stored), o.Bytes)
	}
	if Digest(sha256.Sum256(stored)) != o.SHA256 {
		return damaged(o.Name, "its hash is not the manifest's")
	}
	unzip, err := zstd.NewReader(bytes.NewReader(stored), zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(window),
		zstd.WithDecoderLowmem(true))
	if err != nil {
		return damaged(o.Name, "%v", err)
	}
	defer unzip.Close()
	r := &runReader{r: &io.LimitedReader{R: unzip, N: o.RawBytes}, name: o.Name}
	if err := r.head(cell, o.FirstSeq); err != nil {
		return err
	}
	for seq := o.FirstSeq; ; seq++ {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("read %s: %w", o.Name, err)
		}
		raw, err := r.block()
		if err != nil {
			return err
		}
		if raw == nil {
			if seq != o.LastSeq+1 {
				return damaged(o.Name, "it ends before block %d", seq)
			}
			return r.end(unzip)
		}
		if seq > o.LastSeq {
			return damaged(o.Name, "it goes on after block %d", o.LastSeq)
		}
		if err := visit(seq, raw); err != nil {
			return err
		}
	}
}

type runReader struct {
	r    *io.LimitedReader // ends where the manifest says
	name string
	buf  []byte
}

func (r *runReader) head(cell, first uint64) error {
	le := binary.LittleEndian
	var b [runHead]byte
	if _, err := io.ReadFull(r.r, b[:]); err != nil {
		return damaged(r.name, "it ends within its header: %v", err)
	}
	switch {
	case string(b[:8]) != runMagic:
		return damaged(r.name, "it does not begin with %q", runMagic)
	case le.Uint32(b[8:]) != FormatVersion:
		return &ObjectError{Object: r.name, Reason: fmt.Sprintf("it has %d, this program knows %d", le.Uint32(b[8:]), FormatVersion), Err: ErrVersion}
	case le.Uint32(b[12:]) != 0 || le.Uint64(b[16:]) != cell || le.Uint64(b[24:]) != first:
		return damaged(r.name, "its header is of block %d of cell %d", le.Uint64(b[24:]), le.Uint64(b[16:]))
	}
	return nil
}

// block returns the next block, valid until the next call; nil at the end mark.
func (r *runReader) block() ([]byte, error) {
	var head [blockHead]byte
	if _, err := io.ReadFull(r.r, head[:]); err != nil {
		return nil, damaged(r.name, "it is cut short: %v", err)
	}
	n := binary.LittleEndian.Uint32(head[:])
	if zero := binary.LittleEndian.Uint32(head[4:]); zero != 0 || n > journal.MaxBlock {
		return nil, damaged(r.name, "a block of %d bytes", n)
	}
	if n == 0 {
		return nil, nil
	}
	if cap(r.buf) < int(n) {
		r.buf = make([]byte, n)
	}
	if _, err := io.ReadFull(r.r, r.buf[:n]); err != nil {
		return nil, damaged(r.name, "it is cut short: %v", err)
	}
	return r.buf[:n], nil
}

// end checks that the end mark is where the manifest says, that nothing follows it, and that the compressor's own checksum
// is right.
func (r *runReader) end(unzip io.Reader) error {
	if r.r.N != 0 {
		return damaged(r.name, "it has %d bytes less than the manifest says", r.r.N)
	}
	var b [1]byte
	if _, err := io.ReadFull(unzip, b[:]); err != io.EOF {
		return damaged(r.name, "there is more after its end, or its checksum is wrong: %v", err)
	}
	return nil
}
