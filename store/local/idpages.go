package local

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"math/bits"
	"sort"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/sterlingrun/sterling/ledger"
)

// The layout of a file of ids: pages of 4 KiB. Page 0 is the head; then the entries, sorted by hash; then the filter;
// then the end. An entry belongs to the page that the leading bits of its hash point to, or to one after it where that
// is full: a look-up reads one page, rarely two.
const (
	idMagic    = "STERLIDS"
	idPage     = 4096
	idPageHead = 16 // checksum u32, entries or words u32, number of the page u64
	idEntry    = 16 // hash u64, value u64
	idsPerPage = (idPage - idPageHead) / idEntry
	idsAtHome  = 220 // per page on average: a page of 255 is rarely full then
	idWords    = (idPage - idPageHead) / 8
	idBuffer   = 256 * idPage // written at a time
)

// idLayout is what finding needs to know of a file.
type idLayout struct {
	seed  uint32 // checksum of the head, which those of the pages go on from: a page passes in its own file only
	homes uint64 // pages that entries belong to
	pages uint64 // pages of entries: the homes, and what did not fit into the last
}

func idHomes(count uint64) uint64 { return max(1, (count+idsAtHome-1)/idsAtHome) }

func encodeIDHead(cellNumber uint64, ref *ledger.GenerationRef) []byte {
	b := make([]byte, idPage)
	le := binary.LittleEndian
	copy(b, idMagic)
	le.PutUint32(b[8:], formatVersion)
	le.PutUint64(b[16:], cellNumber)
	le.PutUint32(b[24:], ref.Number)
	le.PutUint32(b[28:], ref.Words)
	le.PutUint64(b[32:], ref.Count)
	le.PutUint64(b[40:], ref.First)
	le.PutUint64(b[48:], ref.Last)
	le.PutUint32(b[idPage-4:], crc32.Checksum(b[:idPage-4], crc32.MakeTable(crc32.Castagnoli)))
	return b
}

func idPageSum(seed uint32, page []byte) uint32 {
	return crc32.Update(seed, crc32.MakeTable(crc32.Castagnoli), page[4:])
}

// idWriter writes a file of ids from its beginning to its end.
type idWriter struct {
	file   vfs.File
	layout idLayout
	buf    []byte
	number uint64 // of the next page
	at     int64  // bytes written
	sum    hash.Hash
	err    error // the first; nothing is written after it
}

func newIDWriter(f vfs.File, cellNumber uint64, ref *ledger.GenerationRef) *idWriter {
	head := encodeIDHead(cellNumber, ref)
	w := &idWriter{file: f, number: 1, sum: sha256.New(), buf: append(make([]byte, 0, idBuffer), head...)}
	w.layout.seed, w.layout.homes = binary.LittleEndian.Uint32(head[idPage-4:]), idHomes(ref.Count)
	w.sum.Write(head)
	return w
}

// page begins a page and returns where its content goes; seal ends it.
func (w *idWriter) page() []byte {
	n := len(w.buf)
	w.buf = w.buf[:n+idPage]
	clear(w.buf[n:])
	return w.buf[n:]
}

func (w *idWriter) seal(page []byte, n int) {
	le := binary.LittleEndian
	le.PutUint32(page[4:], uint32(n)) //nolint:gosec // below idPage
	le.PutUint64(page[8:], w.number)
	le.PutUint32(page, idPageSum(w.layout.seed, page))
	w.sum.Write(page[:idPageHead])
	w.number++
	if len(w.buf) == cap(w.buf) {
		w.flush()
	}
}

// flush writes what is buffered and starts the disk on it, so that the sync at the end finds little left to do.
func (w *idWriter) flush() {
	b := w.buf
	w.buf = w.buf[:0]
	if w.err != nil {
		return
	}
	n, err := w.file.Write(b)
	w.at += int64(n)
	if err == nil {
		_, err = w.file.SyncTo(w.at)
	}
	w.err = err
}

// entries writes the pages of entries.
func (w *idWriter) entries(g *ledger.Generation) {
	home, n := uint64(0), 0 // the page being filled
	page := w.page()
	next := func() {
		w.seal(page, n)
		page, home, n = w.page(), home+1, 0
	}
	for hash, value := range g.Entries() {
		for belongs, _ := bits.Mul64(hash, w.layout.homes); home < belongs; {
			next()
		}
		if n == idsPerPage {
			next()
		}
		e := page[idPageHead+n*idEntry:]
		binary.LittleEndian.PutUint64(e, hash)
		binary.LittleEndian.PutUint64(e[8:], value)
		n++
	}
	for home+1 < w.layout.homes {
		next()
	}
	w.seal(page, n)
	w.layout.pages = w.number - 1
}

func (w *idWriter) filter(words []uint64) {
	for len(words) > 0 {
		n := min(len(words), idWords)
		page := w.page()
		for i, v := range words[:n] {
			binary.LittleEndian.PutUint64(page[idPageHead+8*i:], v)
		}
		w.seal(page, n)
		words = words[n:]
	}
}

// end writes the last page, and tells ref its sum: of the head and of the heads of all pages between.
func (w *idWriter) end(ref *ledger.GenerationRef) idLayout {
	w.sum.Sum(ref.Sum[:0])
	page := w.page()
	binary.LittleEndian.PutUint64(page[idPageHead:], w.layout.pages)
	copy(page[idPageHead+8:], ref.Sum[:])
	w.seal(page, 0)
	w.flush()
	return w.layout
}

// load checks the head, the end and the filter, which it returns.
func (f *idFile) load(cellNumber uint64, ref ledger.GenerationRef) ([]uint64, error) {
	head, err := f.read(make([]byte, idPage), 0)
	if err != nil {
		return nil, err
	}
	want := encodeIDHead(cellNumber, &ref)
	if string(head) != string(want) {
		return nil, damaged(f.path, 0, "its head is not that of generation %d, of %d entries of blocks %d to %d", ref.Number, ref.Count, ref.First, ref.Last)
	}
	f.layout.seed, f.layout.homes = binary.LittleEndian.Uint32(head[idPage-4:]), idHomes(ref.Count)
	info, err := f.file.Stat()
	if err != nil {
		return nil, fmt.Errorf("measure %s: %w", f.path, err)
	}
	size := info.Size()
	last := uint64(size)/idPage - 1 //nolint:gosec // a size, of one page at least
	filterPages := (uint64(ref.Words) + idWords - 1) / idWords
	if size%idPage != 0 || last < 1+filterPages+f.layout.homes {
		return nil, damaged(f.path, size, "it ends here")
	}
	buf := make([]byte, idPage)
	if _, err := f.page(buf, last); err != nil {
		return nil, err
	}
	f.layout.pages = binary.LittleEndian.Uint64(buf[idPageHead:])
	if string(buf[idPageHead+8:idPageHead+40]) != string(ref.Sum[:]) || f.layout.pages != last-1-filterPages {
		return nil, damaged(f.path, int64(last*idPage), "it is another generation %d than was asked for", ref.Number) //nolint:gosec // inside the file
	}
	return f.loadFilter(int(ref.Words), buf)
}

func (f *idFile) loadFilter(length int, buf []byte) ([]uint64, error) {
	words := make([]uint64, 0, length)
	for number := f.layout.pages + 1; len(words) < length; number++ {
		n, err := f.page(buf, number)
		if err != nil {
			return nil, err
		}
		if n != min(idWords, length-len(words)) {
			return nil, damaged(f.path, int64(number*idPage), "a part of the filter of %d words", n) //nolint:gosec // inside the file
		}
		for i := range n {
			words = append(words, binary.LittleEndian.Uint64(buf[idPageHead+8*i:]))
		}
	}
	return words, nil
}

// read fills buf with bytes from an offset on.
func (f *idFile) read(buf []byte, offset int64) ([]byte, error) {
	n, err := f.file.ReadAt(buf, offset)
	if n == len(buf) {
		return buf, nil
	}
	if errors.Is(err, io.EOF) {
		return nil, damaged(f.path, offset+int64(n), "it ends here")
	}
	return nil, fmt.Errorf("read %s at offset %d: %w", f.path, offset, err)
}

// page reads a page into buf, checks it, and returns how many entries or words it has.
func (f *idFile) page(buf []byte, number uint64) (int, error) {
	offset := int64(number * idPage) //nolint:gosec // inside the file
	if _, err := f.read(buf, offset); err != nil {
		return 0, err
	}
	le := binary.LittleEndian
	if le.Uint32(buf) != idPageSum(f.layout.seed, buf) || le.Uint64(buf[8:]) != number {
		return 0, damaged(f.path, offset, "the checksum of page %d is wrong", number)
	}
	return int(le.Uint32(buf[4:])), nil
}

// find appends the values of all entries of hash.
func (f *idFile) find(hash uint64, dst []uint64) ([]uint64, error) {
	home, _ := bits.Mul64(hash, f.layout.homes)
	buf := make([]byte, idPage)
	for i := home; i < f.layout.pages; i++ {
		n, err := f.page(buf, 1+i)
		if err != nil {
			return dst, err
		}
		if n > idsPerPage {
			return dst, damaged(f.path, int64((1+i)*idPage), "a page of %d entries", n) //nolint:gosec // inside the file
		}
		at := func(k int) uint64 { return binary.LittleEndian.Uint64(buf[idPageHead+k*idEntry:]) }
		k := sort.Search(n, func(k int) bool { return at(k) >= hash })
		for ; k < n && at(k) == hash; k++ {
			dst = append(dst, binary.LittleEndian.Uint64(buf[idPageHead+k*idEntry+8:]))
		}
		if k < n || n < idsPerPage {
			break // what does not fit into a page is in the next one
		}
	}
	return dst, nil
}
