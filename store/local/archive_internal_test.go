package local

import (
	"errors"
	"testing"

	"github.com/sterlingrun/sterling/cell"
)

// FuzzArchiveRecord: any text is a record that is written the same again, or refused.
func FuzzArchiveRecord(f *testing.F) {
	f.Add(archiveRecord{segments: 3, next: 77, dir: "/mnt/old journal"}.encode())
	f.Add("sterling archive, format 2\nsegments 1\nnext 1\nfolder x\n")
	f.Add("sterling archive, format 1\nsegments 01\nnext +1\nfolder \n")
	f.Fuzz(func(t *testing.T, text string) {
		r, err := decodeArchive("ARCHIVE", text)
		if err == nil && (r.encode() != text || r.segments < 1 || r.next < 1 || r.dir == "") {
			t.Errorf("%q is read as %+v", text, r)
		}
		if err != nil && !errors.Is(err, cell.ErrDamaged) && !errors.Is(err, ErrVersion) {
			t.Errorf("%v", err)
		}
	})
}
