package local

import (
	"runtime/debug"
	"sync/atomic"
	"syscall"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Records are read by the hundred for one statement, from as many places, and a read by system call costs more than
// everything else that is done with a record. So segments are mapped into memory as well, and a page that a system call
// has read not long ago, which is therefore still in the page cache, is read through the mapping. All others are read
// by a system call: to wait for the disk within a mapping would hold up a processor, and with it the garbage collector.
// What is read is checked all the same.

// mapping is a segment's file in memory; nil where it isn't mapped.
type mapping []byte

// mapFile maps a file to be read, if it is one of the real file system's. It returns nil where that can't be done.
func mapFile(fs vfs.FS, file vfs.File, size int64) mapping {
	if fs != vfs.Default || size <= 0 || int64(int(size)) != size {
		return nil
	}
	b, err := syscall.Mmap(int(file.Fd()), 0, int(size), syscall.PROT_READ, syscall.MAP_SHARED)
	if err != nil {
		return nil
	}
	return b
}

func (m mapping) unmap() {
	if m != nil {
		_ = syscall.Munmap(m) // it was only read
	}
}

// copy fills b from an offset on and reports whether it could: not beyond the end of the file, nor where the disk
// fails. The system call that then is tried says what is wrong.
func (m mapping) copy(b []byte, offset int64) (ok bool) {
	if offset < 0 || offset > int64(len(m))-int64(len(b)) {
		return false
	}
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if fault := recover(); fault != nil {
			if _, is := fault.(interface{ Addr() uintptr }); !is { // of a fault in memory, see SetPanicOnFault
				panic(fault)
			}
			ok = false
		}
	}()
	copy(b, m[offset:])
	return true
}

const (
	pageBits = 12
	warmBits = 18 // 1 GB of pages; the table has 2 MB
)

// warmPages remembers pages that were read by system calls. A place has one page; those that share it take turns, so
// what was read long ago is forgotten, and it is never more than fits into a machine's page cache.
type warmPages struct {
	places [1 << warmBits]atomic.Uint64
}

// page names a page of all segments. Segments have less than 2^26 pages, and generations count from 1.
func page(generation uint32, offset int64) uint64 {
	return uint64(generation)<<26 | uint64(offset)>>pageBits //nolint:gosec // ≥ 0
}

func (w *warmPages) place(page uint64) *atomic.Uint64 {
	return &w.places[page*0x9E3779B97F4A7C15>>(64-warmBits)]
}

// has reports whether all pages of n bytes from offset on were read lately.
func (w *warmPages) has(generation uint32, offset int64, n int) bool {
	first, last := page(generation, offset), page(generation, offset+int64(n)-1)
	for p := first; p <= last; p++ {
		if w.place(p).Load() != p {
			return false
		}
	}
	return true
}

func (w *warmPages) add(generation uint32, offset int64, n int) {
	first, last := page(generation, offset), page(generation, offset+int64(n)-1)
	for p := first; p <= last; p++ {
		w.place(p).Store(p)
	}
}
