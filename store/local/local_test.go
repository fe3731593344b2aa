package local_test

import (
	"fmt"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/sterlingrun/sterling/cell"
	"github.com/sterlingrun/sterling/cell/celltest"
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/store/local"
)

const segmentSize = 64 << 10 // small, so that the tests cross many segments

var writer = celltest.Writer{Cell: 1, Epoch: 1, Incarnation: 7}

func options(fs vfs.FS) local.Options {
	return local.Options{FS: fs, Cell: 1, SegmentSize: segmentSize}
}

// open opens a store that is closed at the end of the test, if nobody did before.
func open(t *testing.T, dir string, o local.Options) *local.Store {
	t.Helper()
	s, err := local.Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func closeStore(t *testing.T, s *local.Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func appendAll(t *testing.T, s *local.Store, blocks []*journal.Block) {
	t.Helper()
	for _, b := range blocks {
		if err := s.Append(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	}
}

// wantBlocks checks that the store has exactly these blocks.
func wantBlocks(t *testing.T, s *local.Store, blocks []*journal.Block) {
	t.Helper()
	i := 0
	err := s.Verify(t.Context(), func(b *journal.Block) error {
		if i >= len(blocks) || b.Hash != blocks[i].Hash {
			t.Fatalf("block %d has hash %v, want %d blocks", b.Header.Seq, b.Hash, len(blocks))
		}
		i++
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if i != len(blocks) {
		t.Fatalf("there are %d blocks, want %d", i, len(blocks))
	}
}

// file returns the contents of a file.
func file(t *testing.T, fs vfs.FS, path string) []byte {
	t.Helper()
	b, err := readFile(fs, path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func readFile(fs vfs.FS, path string) ([]byte, error) {
	f, err := fs.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(f)
}

func writeFile(fs vfs.FS, path string, b []byte) error {
	f, err := fs.Create(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	if _, err := f.Write(append([]byte(nil), b...)); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	return f.Close()
}

// disks are the file systems that the suites run on, each with an empty folder.
func disks() map[string]func(t *testing.T) (vfs.FS, string) {
	return map[string]func(t *testing.T) (vfs.FS, string){
		"disk":   func(t *testing.T) (vfs.FS, string) { return vfs.Default, t.TempDir() + "/a/b" },
		"memory": func(*testing.T) (vfs.FS, string) { return vfs.NewCrashableMem(), "data" },
	}
}

func TestConformanceOfLog(t *testing.T) {
	for name, disk := range disks() {
		t.Run(name, func(t *testing.T) {
			celltest.Logs(t, func(t *testing.T) celltest.LogHarness {
				fs, dir := disk(t)
				s := open(t, dir, options(fs))
				return celltest.LogHarness{Log: s, Other: s, Reopen: func() (cell.Log, error) {
					closeStore(t, s)
					if mem, ok := fs.(*vfs.MemFS); ok { // only what was synced survives
						return open(t, dir, options(mem.CrashClone(vfs.CrashCloneCfg{}))), nil
					}
					return open(t, dir, options(fs)), nil
				}}
			})
		})
	}
}

func TestConformanceOfSnapshots(t *testing.T) {
	for name, disk := range disks() {
		t.Run(name, func(t *testing.T) {
			celltest.Snapshots(t, func(t *testing.T) celltest.SnapshotHarness {
				fs, dir := disk(t)
				s := open(t, dir, options(fs))
				return celltest.SnapshotHarness{
					Snapshots: s.Snapshots(),
					Stored:    func(seq uint64) ([]byte, error) { return readFile(fs, snapshotPath(dir, seq)) },
					Replace:   func(seq uint64, b []byte) error { return writeFile(fs, snapshotPath(dir, seq), b) },
				}
			})
		})
	}
}

// crash is a copy of the disk as a power loss may leave it: all that was synced, and each unsynced page or name with
// a probability in percent.
func crash(fs *vfs.MemFS, percent int, seed uint64) *vfs.MemFS {
	return fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: rand.New(rand.NewPCG(seed, 1))})
}

func snapshotPath(dir string, seq uint64) string {
	return fmt.Sprintf("%s/snapshots/snapshot-%016x.snap", dir, seq)
}

func segmentPath(dir string, first uint64) string {
	return fmt.Sprintf("%s/journal/journal-%016x.seg", dir, first)
}
