package local_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/sterlingrun/sterling/cell"
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/store/local"
)

// everything archives all sealed segments.
func everything() local.ArchiveOptions {
	return local.ArchiveOptions{Dir: "archive", Below: math.MaxUint64, Before: math.MaxUint64}
}

// aged is a journal of several segments.
func aged(t *testing.T, fs vfs.FS) (*local.Store, []*journal.Block) {
	t.Helper()
	s := open(t, "data", options(fs))
	blocks := writer.Chain(0, journal.Hash{}, 40, 60, 3, 120, 0)
	appendAll(t, s, blocks)
	return s, blocks
}

func list(t *testing.T, fs vfs.FS, dir string) []string {
	t.Helper()
	names, err := fs.List(dir)
	if err != nil {
		t.Fatal(err)
	}
	names = slices.DeleteFunc(names, func(n string) bool { return !strings.HasSuffix(n, ".seg") })
	slices.Sort(names)
	return names
}

func TestArchivedSegmentsAreReadAsBefore(t *testing.T) {
	t.Parallel()
	fs := vfs.NewMem()
	s, blocks := aged(t, fs)
	before := list(t, fs, "data/journal")
	a, err := s.Archive(t.Context(), everything())
	if err != nil {
		t.Fatal(err)
	}
	if n := len(before) - 1; a.Segments != n || a.Through != s.Sealed()-1 || n < 3 || a.Bytes != int64(n)*segmentSize {
		t.Fatalf("%+v of %d segments", a, len(before))
	}
	if got := list(t, fs, "data/journal"); len(got) != 1 || len(list(t, fs, "archive")) != a.Segments {
		t.Fatalf("left: %v", got)
	}
	wantBlocks(t, s, blocks)
	more := writer.Chain(40, blocks[39].Hash, 20, 200)
	appendAll(t, s, more)
	blocks = append(blocks, more...)
	closeStore(t, s)
	s = open(t, "data", options(fs))
	wantBlocks(t, s, blocks)
	for _, b := range blocks { // single records, in any order
		p := make([]byte, 64)
		if err := s.ReadAt(t.Context(), b.Header.Seq, p, 32); err != nil || string(p) != string(b.Raw[32:96]) {
			t.Fatalf("block %d: %v", b.Header.Seq, err)
		}
	}
	again, err := s.Archive(t.Context(), everything())
	if err != nil || again.Segments == 0 || again.Through != s.Sealed()-1 {
		t.Fatalf("%+v, %v", again, err)
	}
	if none, err := s.Archive(t.Context(), everything()); err != nil || none.Segments != 0 || none.Through != again.Through {
		t.Fatalf("%+v, %v", none, err)
	}
	wantBlocks(t, s, blocks)
}

func TestArchiveBounds(t *testing.T) {
	t.Parallel()
	fs := vfs.NewMem()
	s, blocks := aged(t, fs)
	for _, below := range []uint64{1, 5, 17, 30, math.MaxUint64} {
		for i := range blocks {
			o := everything()
			o.Below, o.Before = below, blocks[i].Header.Time
			a, err := s.Archive(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			if a.Segments > 0 && (a.Through >= below || a.Through > uint64(i)) {
				t.Fatalf("below %d and before block %d: archived through %d", below, i+1, a.Through)
			}
		}
	}
	if _, err := s.Archive(t.Context(), everything()); err != nil {
		t.Fatal(err)
	}
	wantBlocks(t, s, blocks)
}

// TestPowerLossDuringArchive stops the disk before each of its steps, with all, some or nothing of what was not synced:
// no block is lost, and the next Archive ends the work.
func TestPowerLossDuringArchive(t *testing.T) {
	t.Parallel()
	steps := 0
	for step := 1; ; step++ {
		mem := vfs.NewCrashableMem()
		disk := newFaultFS(mem)
		s, blocks := aged(t, disk)
		var n atomic.Int64
		var clones []*vfs.MemFS
		var once sync.Once
		disk.set(func(f *faultFS) {
			f.step = func() {
				if n.Add(1) == int64(step) {
					once.Do(func() {
						clones = append(clones, crash(mem, 0, 1), crash(mem, 50, uint64(step)), crash(mem, 100, 1))
					})
				}
			}
		})
		if _, err := s.Archive(t.Context(), everything()); err != nil {
			t.Fatal(err)
		}
		disk.set(func(f *faultFS) { f.step = nil })
		for i, clone := range clones {
			r, err := local.Open("data", options(clone))
			if err != nil {
				t.Fatalf("step %d, clone %d: %v", step, i, err)
			}
			wantBlocks(t, r, blocks)
			a, err := r.Archive(t.Context(), everything())
			if err != nil || a.Through != r.Sealed()-1 || len(list(t, clone, "data/journal")) != 1 {
				t.Fatalf("step %d, clone %d: %+v, %v", step, i, a, err)
			}
			wantBlocks(t, r, blocks)
			closeStore(t, r)
		}
		closeStore(t, s)
		if clones == nil {
			break
		}
		steps = step
	}
	if steps < 20 {
		t.Fatalf("only %d steps", steps)
	}
}

// TestArchiveOntoAFullOrBrokenDisk: the journal stays as it is and goes on.
func TestArchiveOntoAFullOrBrokenDisk(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]struct {
		change func(f *faultFS)
		want   error
	}{
		"full":   {func(f *faultFS) { f.space = segmentSize * 3 / 2 }, cell.ErrFull},
		"broken": {func(f *faultFS) { f.syncError = errors.New("broken") }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			disk := newFaultFS(vfs.NewMem())
			s, blocks := aged(t, disk)
			disk.set(fault.change)
			if _, err := s.Archive(t.Context(), everything()); err == nil || fault.want != nil && !errors.Is(err, fault.want) {
				t.Fatal(err)
			}
			wantBlocks(t, s, blocks)
			disk.set(func(f *faultFS) { f.space, f.syncError = -1, nil })
			if a, err := s.Archive(t.Context(), everything()); err != nil || a.Through != s.Sealed()-1 {
				t.Fatalf("%+v, %v", a, err)
			}
			wantBlocks(t, s, blocks)
		})
	}
}

// TestCopyThatIsNotTheSegment: the archive folder has another journal's segment, or a damaged copy. Nothing is removed.
func TestCopyThatIsNotTheSegment(t *testing.T) {
	t.Parallel()
	fs := vfs.NewMem()
	s, blocks := aged(t, fs)
	b := file(t, fs, segmentPath("data", 1))
	b[5000] ^= 1
	if err := errors.Join(fs.MkdirAll("archive", 0o700), writeFile(fs, "archive/journal-0000000000000001.seg", b)); err != nil {
		t.Fatal(err)
	}
	a, err := s.Archive(t.Context(), everything())
	if !errors.Is(err, local.ErrArchive) || a.Segments != 0 {
		t.Fatalf("%+v, %v", a, err)
	}
	wantBlocks(t, s, blocks)
	for _, dir := range []string{"", "data", "data/journal", "a\nb"} {
		o := everything()
		o.Dir = dir
		if _, err := s.Archive(t.Context(), o); !errors.Is(err, local.ErrArchive) {
			t.Errorf("%q: %v", dir, err)
		}
	}
}

// TestMissingArchive: a journal whose archive is not whole is not opened, and the error says what is missing.
func TestMissingArchive(t *testing.T) {
	t.Parallel()
	fs := vfs.NewMem()
	s, blocks := aged(t, fs)
	a, err := s.Archive(t.Context(), everything())
	if err != nil {
		t.Fatal(err)
	}
	closeStore(t, s)
	names := list(t, fs, "archive")
	for _, name := range names {
		if err := fs.Rename("archive/"+name, "aside"); err != nil {
			t.Fatal(err)
		}
		_, err := local.Open("data", options(fs))
		if !errors.Is(err, local.ErrMissing) || !strings.Contains(err.Error(), fmt.Sprintf("blocks 1 to %d are archived in archive", a.Through)) {
			t.Errorf("without %s: %v", name, err)
		}
		if err := fs.Rename("aside", "archive/"+name); err != nil {
			t.Fatal(err)
		}
	}
	if err := fs.Rename("archive", "moved"); err != nil {
		t.Fatal(err)
	}
	if _, err := local.Open("data", options(fs)); !errors.Is(err, local.ErrArchive) || !errors.Is(err, local.ErrMissing) {
		t.Errorf("without the folder: %v", err)
	}
	o := options(fs)
	o.Archive = "moved"
	closeStore(t, open(t, "data", o))
	s = open(t, "data", options(fs)) // where it is now was recorded
	wantBlocks(t, s, blocks)
	appendAll(t, s, writer.Chain(40, blocks[39].Hash, 20, 200))
	if _, err := s.Archive(t.Context(), everything()); !errors.Is(err, local.ErrArchive) {
		t.Errorf("a second folder: %v", err)
	}
	into := everything()
	into.Dir = "moved"
	if a, err := s.Archive(t.Context(), into); err != nil || a.Segments == 0 {
		t.Fatalf("%+v, %v", a, err)
	}
}

// TestDamagedArchive: one flipped bit is found when it is read, and by Verify, with file and offset.
func TestDamagedArchive(t *testing.T) {
	t.Parallel()
	fs := vfs.NewMem()
	s, _ := aged(t, fs)
	if _, err := s.Archive(t.Context(), everything()); err != nil {
		t.Fatal(err)
	}
	closeStore(t, s)
	path := "archive/" + list(t, fs, "archive")[1]
	b := file(t, fs, path)
	b[600] ^= 1
	if err := writeFile(fs, path, b); err != nil {
		t.Fatal(err)
	}
	var damage *local.DamageError
	_, err := local.Open("data", options(fs))
	if !errors.As(err, &damage) || damage.File != path || damage.Offset != 512 {
		t.Errorf("open: %v", err)
	}
	o := options(fs)
	o.VerifyFrom = math.MaxUint64
	s = open(t, "data", o)
	if err := s.Verify(t.Context(), nil); !errors.As(err, &damage) || damage.File != path {
		t.Errorf("verify: %v", err)
	}
}

// TestReadsAndAppendsDuringArchive: nobody notices that segments move. Run it under the race detector.
func TestReadsAndAppendsDuringArchive(t *testing.T) {
	t.Parallel()
	for _, fs := range []vfs.FS{vfs.NewMem(), vfs.Default} {
		dir, archive := "data", "archive"
		if fs == vfs.Default {
			dir, archive = t.TempDir(), t.TempDir()
		}
		s := open(t, dir, options(fs))
		blocks := writer.Chain(0, journal.Hash{}, 120, 60, 3, 120, 0)
		appendAll(t, s, blocks[:60])
		ctx, stop := context.WithCancel(t.Context())
		var group sync.WaitGroup
		for worker := range 3 {
			group.Go(func() {
				for i := worker; ctx.Err() == nil; i = (i*7 + 3) % 60 {
					b := blocks[i]
					raw, err := s.Read(context.Background(), b.Header.Seq, nil)
					if err != nil || string(raw) != string(b.Raw) {
						t.Errorf("block %d: %v", b.Header.Seq, err)
						return
					}
				}
			})
		}
		for at := 60; at < 120; at += 10 {
			o := everything()
			o.Dir = archive
			if _, err := s.Archive(t.Context(), o); err != nil {
				t.Fatal(err)
			}
			appendAll(t, s, blocks[at:at+10])
		}
		stop()
		group.Wait()
		wantBlocks(t, s, blocks)
	}
}

// TestAlteredArchiveRecord: ARCHIVE is whole or refused.
func TestAlteredArchiveRecord(t *testing.T) {
	t.Parallel()
	fs := vfs.NewMem()
	s, _ := aged(t, fs)
	if _, err := s.Archive(t.Context(), everything()); err != nil {
		t.Fatal(err)
	}
	closeStore(t, s)
	good := string(file(t, fs, "data/ARCHIVE"))
	if !strings.HasPrefix(good, "sterling archive, format 1\nsegments ") || !strings.HasSuffix(good, "\nfolder archive\n") {
		t.Fatalf("%q", good)
	}
	for name, text := range map[string]string{
		"empty": "", "cut": good[:40], "more": good + "x\n", "other format": strings.Replace(good, "format 1", "format 2", 1),
		"no number": strings.Replace(good, "next ", "next x", 1), "zero": strings.Replace(good, "next ", "next 0", 1),
		"fewer segments": "sterling archive, format 1\nsegments 1\nnext 2\nfolder archive\n",
	} {
		if err := writeFile(fs, "data/ARCHIVE", []byte(text)); err != nil {
			t.Fatal(err)
		}
		s, err := local.Open("data", options(fs))
		if err == nil {
			_ = s.Close()
		}
		if !errors.Is(err, cell.ErrDamaged) && !errors.Is(err, local.ErrVersion) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := fs.Remove("data/ARCHIVE"); err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	if _, err := local.Open("data", options(fs)); !errors.Is(err, local.ErrMissing) {
		t.Errorf("without it: %v", err)
	}
}
