package local

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"slices"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/sterlingrun/sterling/cell"
)

// The layout of a snapshot file, in bytes.
const (
	snapshotMagic   = "STERLSNP"
	snapshotHead    = 48      // magic, version u32, zero u32, cell u64, seq u64, zero[12], checksum u32
	snapshotChunk   = 1 << 20 // at most so much data in a chunk
	chunkHead       = 8       // length u32, checksum u32
	snapshotTrailer = 48      // zero u32, checksum u32, data bytes u64, SHA-256 of the data
)

// Snapshots implements cell.Snapshots in the same folder.
type Snapshots struct{ s *Store }

// Snapshots returns the folder's snapshots. They may be used while blocks are appended.
func (s *Store) Snapshots() *Snapshots { return &Snapshots{s} }

func (p *Snapshots) path(seq uint64) string {
	return p.s.path(snapshotDir, fmt.Sprintf("snapshot-%016x.snap", seq))
}

// List implements cell.Snapshots. It looks at names only: whether a snapshot is whole shows when it is read.
func (p *Snapshots) List() ([]uint64, error) {
	names, err := p.s.fs.List(p.s.path(snapshotDir))
	if err != nil {
		return nil, fmt.Errorf("list snapshots: %w", err)
	}
	var list []uint64
	for _, name := range names {
		if seq, ok := parseName(name, "snapshot-", ".snap"); ok {
			list = append(list, seq)
		}
	}
	slices.Sort(list)
	slices.Reverse(list)
	return list, nil
}

// Remove implements cell.Snapshots.
func (p *Snapshots) Remove(seq uint64) error {
	if err := p.s.fs.Remove(p.path(seq)); err != nil {
		return fmt.Errorf("remove snapshot %d: %w", seq, err)
	}
	return p.s.syncDir(p.s.path(snapshotDir))
}

// removeUnfinished deletes snapshots that were never committed.
func (p *Snapshots) removeUnfinished() error {
	names, err := p.s.fs.List(p.s.path(snapshotDir))
	if err != nil {
		return fmt.Errorf("list snapshots: %w", err)
	}
	for _, name := range names {
		if !strings.HasSuffix(name, tmpSuffix) {
			continue
		}
		if err := p.s.fs.Remove(p.s.path(snapshotDir, name)); err != nil {
			return fmt.Errorf("remove unfinished snapshot: %w", err)
		}
	}
	return nil
}

// Create implements cell.Snapshots. One snapshot of a sequence number is written at a time.
func (p *Snapshots) Create(seq uint64) (cell.SnapshotWriter, error) {
	path := p.path(seq)
	f, err := p.s.fs.Create(path+tmpSuffix, vfs.WriteCategoryUnspecified)
	if err != nil {
		return nil, fmt.Errorf("create snapshot %d: %w", seq, full(err))
	}
	w := &snapshotWriter{p: p, seq: seq, path: path, file: f, sum: sha256.New(), buf: make([]byte, chunkHead, chunkHead+snapshotChunk)}
	if err := w.put(encodeSnapshotHead(p.s.opts.Cell, seq)); err != nil {
		return nil, errors.Join(err, w.Abort())
	}
	return w, nil
}

func encodeSnapshotHead(cellNumber, seq uint64) []byte {
	b := make([]byte, snapshotHead)
	le := binary.LittleEndian
	copy(b, snapshotMagic)
	le.PutUint32(b[8:], formatVersion)
	le.PutUint64(b[16:], cellNumber)
	le.PutUint64(b[24:], seq)
	le.PutUint32(b[44:], crc32.Checksum(b[:44], crc32.MakeTable(crc32.Castagnoli)))
	return b
}

// chunkSum is the CRC32C of snapshot, number of the chunk, the length in its head (zero for the trailer) and data: a
// chunk of elsewhere never passes.
func chunkSum(seq, number uint64, length uint32, data []byte) uint32 {
	table := crc32.MakeTable(crc32.Castagnoli)
	var b [20]byte
	binary.LittleEndian.PutUint64(b[0:], seq)
	binary.LittleEndian.PutUint64(b[8:], number)
	binary.LittleEndian.PutUint32(b[16:], length)
	return crc32.Update(crc32.Checksum(b[:], table), table, data)
}

type snapshotWriter struct {
	p      *Snapshots
	seq    uint64
	path   string
	file   vfs.File
	buf    []byte // head of a chunk, then its data
	chunks uint64
	total  uint64
	at     int64 // bytes in the file
	sum    hash.Hash
	failed error
}

// Write implements io.Writer.
func (w *snapshotWriter) Write(data []byte) (int, error) {
	n := 0
	for len(data) > 0 && w.failed == nil {
		k := min(len(data), cap(w.buf)-len(w.buf))
		w.buf = append(w.buf, data[:k]...)
		data, n = data[k:], n+k
		if len(w.buf) == cap(w.buf) {
			w.failed = w.chunk()
		}
	}
	return n, w.failed
}

// chunk writes the buffer out and starts the disk on it, so that Commit finds little left to do and an append in the
// meantime doesn't wait behind all of it.
func (w *snapshotWriter) chunk() error {
	data := w.buf[chunkHead:]
	if len(data) == 0 {
		return nil
	}
	length := uint32(len(data)) //nolint:gosec // ≤ snapshotChunk
	binary.LittleEndian.PutUint32(w.buf, length)
	binary.LittleEndian.PutUint32(w.buf[4:], chunkSum(w.seq, w.chunks, length, data))
	w.sum.Write(data)
	w.chunks++
	w.total += uint64(len(data))
	err := w.put(w.buf)
	w.buf = w.buf[:chunkHead]
	if err != nil {
		return err
	}
	if _, err := w.file.SyncTo(w.at); err != nil {
		return fmt.Errorf("sync snapshot %d: %w", w.seq, full(err))
	}
	return nil
}

func (w *snapshotWriter) put(b []byte) error {
	n, err := w.file.Write(b)
	w.at += int64(n)
	if err != nil {
		return fmt.Errorf("write snapshot %d: %w", w.seq, full(err))
	}
	return nil
}

// Commit implements cell.SnapshotWriter.
func (w *snapshotWriter) Commit() error {
	err := w.failed
	if err == nil {
		err = w.finish()
	}
	if err != nil {
		return errors.Join(err, w.Abort())
	}
	closeErr := w.file.Close()
	w.file = nil
	if closeErr != nil {
		return errors.Join(fmt.Errorf("close snapshot %d: %w", w.seq, full(closeErr)), w.p.s.fs.Remove(w.path+tmpSuffix))
	}
	if err := w.p.s.fs.Rename(w.path+tmpSuffix, w.path); err != nil {
		return fmt.Errorf("name snapshot %d: %w", w.seq, full(err))
	}
	return w.p.s.syncDir(w.p.s.path(snapshotDir))
}

func (w *snapshotWriter) finish() error {
	if err := w.chunk(); err != nil {
		return err
	}
	b := make([]byte, snapshotTrailer)
	binary.LittleEndian.PutUint64(b[8:], w.total)
	w.sum.Sum(b[:16])
	binary.LittleEndian.PutUint32(b[4:], chunkSum(w.seq, w.chunks, 0, b[8:]))
	if err := w.put(b); err != nil {
		return err
	}
	if err := w.file.Sync(); err != nil {
		return fmt.Errorf("sync snapshot %d: %w", w.seq, full(err))
	}
	return nil
}

// Abort implements cell.SnapshotWriter.
func (w *snapshotWriter) Abort() error {
	if w.file == nil {
		return nil
	}
	err := w.file.Close()
	w.file = nil
	if err := errors.Join(err, w.p.s.fs.Remove(w.path+tmpSuffix)); err != nil {
		return fmt.Errorf("give up snapshot %d: %w", w.seq, err)
	}
	return nil
}

// Open implements cell.Snapshots. Every chunk is checked before any of it is handed out.
func (p *Snapshots) Open(seq uint64) (io.ReadCloser, error) {
	path := p.path(seq)
	f, err := p.s.fs.Open(path, vfs.SequentialReadsOption)
	if err != nil {
		return nil, fmt.Errorf("open snapshot %d: %w", seq, err)
	}
	r := &snapshotReader{path: path, seq: seq, file: f, sum: sha256.New()}
	if err := r.head(p.s.opts.Cell); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return r, nil
}

type snapshotReader struct {
	path   string
	seq    uint64
	file   vfs.File
	at     int64
	buf    []byte
	data   []byte // what of buf is still to be handed out
	chunks uint64
	total  uint64
	sum    hash.Hash
	err    error
}

func (r *snapshotReader) head(cellNumber uint64) error {
	b, err := r.next(snapshotHead)
	if err != nil {
		return err
	}
	le := binary.LittleEndian
	switch v := le.Uint32(b[8:]); {
	case string(b[:8]) != snapshotMagic:
		return damaged(r.path, 0, "it does not begin with %q", snapshotMagic)
	case v != formatVersion:
		return fmt.Errorf("open %s: %w: %d, this program knows %d", r.path, ErrVersion, v, formatVersion)
	case le.Uint32(b[44:]) != crc32.Checksum(b[:44], crc32.MakeTable(crc32.Castagnoli)):
		return damaged(r.path, 0, "the checksum of its header is wrong")
	case le.Uint64(b[16:]) != cellNumber:
		return fmt.Errorf("open %s: %w: cell %d, this is cell %d", r.path, ErrWrongCell, le.Uint64(b[16:]), cellNumber)
	case !bytes.Equal(b, encodeSnapshotHead(cellNumber, r.seq)):
		return damaged(r.path, 0, "its header is that of snapshot %d", le.Uint64(b[24:]))
	}
	return nil
}

// next reads the following n bytes, valid until the next call.
func (r *snapshotReader) next(n int) ([]byte, error) {
	if cap(r.buf) < n {
		r.buf = make([]byte, n)
	}
	b := r.buf[:n]
	k, err := io.ReadFull(r.file, b)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, damaged(r.path, r.at+int64(k), "the file ends here")
	}
	if err != nil {
		return nil, fmt.Errorf("read %s at offset %d: %w", r.path, r.at, err)
	}
	r.at += int64(n)
	return b, nil
}

// Read implements io.Reader.
func (r *snapshotReader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for len(r.data) == 0 && r.err == nil {
		r.data, r.err = r.chunk()
	}
	if r.err != nil {
		return 0, r.err
	}
	n := copy(p, r.data)
	r.data = r.data[n:]
	return n, nil
}

// chunk reads the next chunk, or io.EOF after the trailer and nothing else.
func (r *snapshotReader) chunk() ([]byte, error) {
	start := r.at
	b, err := r.next(chunkHead)
	if err != nil {
		return nil, err
	}
	n, sum := binary.LittleEndian.Uint32(b), binary.LittleEndian.Uint32(b[4:])
	if n > snapshotChunk {
		return nil, damaged(r.path, start, "a chunk of %d bytes", n)
	}
	size := int(n)
	if n == 0 {
		size = snapshotTrailer - chunkHead
	}
	if b, err = r.next(size); err != nil {
		return nil, err
	}
	if chunkSum(r.seq, r.chunks, n, b) != sum {
		return nil, damaged(r.path, start, "the checksum of chunk %d is wrong", r.chunks)
	}
	if n == 0 {
		return nil, r.end(start, b)
	}
	r.chunks++
	r.total += uint64(n)
	r.sum.Write(b)
	return b, nil
}

func (r *snapshotReader) end(start int64, trailer []byte) error {
	if total := binary.LittleEndian.Uint64(trailer); total != r.total {
		return damaged(r.path, start, "it has %d bytes of data, its trailer says %d", r.total, total)
	}
	if !bytes.Equal(r.sum.Sum(nil), trailer[8:]) {
		return damaged(r.path, start, "its data does not match its hash")
	}
	if k, err := r.file.Read(make([]byte, 1)); k > 0 {
		return damaged(r.path, r.at, "there is more after its end")
	} else if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read %s at offset %d: %w", r.path, r.at, err)
	}
	return io.EOF
}

// Close implements io.Closer.
func (r *snapshotReader) Close() error {
	if err := r.file.Close(); err != nil {
		return fmt.Errorf("close snapshot %d: %w", r.seq, err)
	}
	return nil
}
