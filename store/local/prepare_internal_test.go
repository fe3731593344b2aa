package local

import (
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// countingFS counts the bytes that are written by offset.
type countingFS struct {
	vfs.FS
	written atomic.Int64
}

type countingFile struct {
	vfs.File
	fs *countingFS
}

func (f *countingFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	file, err := f.FS.Create(name, c)
	return &countingFile{file, f}, err
}

func (f *countingFile) WriteAt(b []byte, at int64) (int, error) {
	f.fs.written.Add(int64(len(b)))
	return f.File.WriteAt(b, at)
}

// TestPreparationGivesWay: an append that needs the next segment doesn't wait until it is filled; it gets one that is
// reserved, of full size, and zero all the same.
func TestPreparationGivesWay(t *testing.T) {
	const size = 3 * fillAhead // more than may be filled before anything was appended
	for filled, want := range map[bool]int64{true: size + sectorSize, false: fillAhead + 2*fillStep} {
		fs := &countingFS{FS: vfs.NewMem()}
		p := newPreparer(fs, preparedName)
		p.ask(size, false)
		file, got, err := p.take(size, filled)
		if err != nil || got != size {
			t.Fatalf("took %d bytes, error %v", got, err)
		}
		if n := fs.written.Load(); filled && n != want || n > want {
			t.Errorf("filled %v: %d bytes were written, want %d", filled, n, want)
		}
		b := make([]byte, size+1)
		if n, _ := file.ReadAt(b, 0); n != size || !zero(b) { // at its end there is an error, and nothing else
			t.Errorf("filled %v: the file has %d bytes, zero is %v", filled, n, zero(b))
		}
		p.discard(file)
		p.close()
	}
}
