package local_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/sterlingrun/sterling/cell"
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/store/local"
)

// TestRecordsReadAgain reads records twice, on a real disk, where the second time is not by a system call; then alters
// each sector, and then cuts the file.
func TestRecordsReadAgain(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, options(vfs.Default))
	defer closeStore(t, s)
	blocks := writer.Chain(0, journal.Hash{}, 6, 3, 9)
	appendAll(t, s, blocks)
	readAll := func() (failed []error) {
		for _, b := range blocks {
			for at := 0; at+journal.RecordSize <= len(b.Raw); at += journal.RecordSize {
				p := make([]byte, journal.RecordSize)
				if err := s.ReadAt(context.Background(), b.Header.Seq, p, at); err != nil {
					failed = append(failed, err)
				} else if !bytes.Equal(p, b.Raw[at:at+journal.RecordSize]) {
					t.Fatalf("block %d, offset %d: other bytes", b.Header.Seq, at)
				}
			}
		}
		return failed
	}
	for range 3 {
		if failed := readAll(); len(failed) > 0 {
			t.Fatal(failed)
		}
	}
	path := segmentPath(dir, 1)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	damaged := func(what string) {
		t.Helper()
		failed := readAll()
		if len(failed) == 0 {
			t.Fatalf("%s: nobody noticed", what)
		}
		var d *local.DamageError
		if !errors.Is(failed[0], cell.ErrDamaged) || !errors.As(failed[0], &d) {
			t.Fatalf("%s: %v", what, failed[0])
		}
	}
	for sector := 1; sector <= 4; sector++ {
		at := int64(sector*512 + 100)
		if _, err := file.WriteAt([]byte{whole[at] ^ 4}, at); err != nil {
			t.Fatal(err)
		}
		damaged("altered")
		if _, err := file.WriteAt(whole[at:at+1], at); err != nil {
			t.Fatal(err)
		}
		if failed := readAll(); len(failed) > 0 {
			t.Fatalf("mended, but %v", failed)
		}
	}
	if err := file.Truncate(512); err != nil {
		t.Fatal(err)
	}
	damaged("cut")
}
