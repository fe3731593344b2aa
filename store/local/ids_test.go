package local_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/sterlingrun/sterling/cell"
	"github.com/sterlingrun/sterling/cell/celltest"
	"github.com/sterlingrun/sterling/ledger"
	"github.com/sterlingrun/sterling/store/local"
)

func idPath(number uint32) string { return fmt.Sprintf("bank/ids/ids-%016x.gen", number) }

// TestIDs runs the suite that every store of generations passes.
func TestIDs(t *testing.T) {
	celltest.IDs(t, func(t *testing.T) celltest.IDHarness {
		fs := vfs.NewMem()
		s := open(t, "bank", options(fs))
		return celltest.IDHarness{
			IDs: s.IDs(),
			Reopen: func() (cell.IDFiles, error) {
				if err := s.Close(); err != nil {
					return nil, err
				}
				var err error
				s, err = local.Open("bank", options(fs))
				if err != nil {
					return nil, err
				}
				return s.IDs(), nil
			},
			Stored:  func(number uint32) ([]byte, error) { return readFile(fs, idPath(number)) },
			Replace: func(number uint32, b []byte) error { return writeFile(fs, idPath(number), b) },
		}
	})
}

// generation makes one generation of n ids and has it written.
func generation(ids cell.IDFiles, key uint64, n int) (ref ledger.GenerationRef, entries map[uint64]uint64, err error) {
	entries = map[uint64]uint64{}
	err = celltest.Generations(key, 1, n, func(g *ledger.Generation) (ledger.GenerationRef, []uint64, error) {
		for hash, value := range g.Entries() {
			entries[hash] = value
		}
		r, filter, err := ids.Write(g)
		ref = r
		return r, filter, err
	})
	return ref, entries, err
}

// TestDamagedPageOfIDs: a look-up that meets a damaged page names the file and the offset, and never answers that there
// is nothing.
func TestDamagedPageOfIDs(t *testing.T) {
	fs := vfs.NewMem()
	s := open(t, "bank", options(fs))
	ref, entries, err := generation(s.IDs(), 1, 3000)
	if err != nil {
		t.Fatal(err)
	}
	closeStore(t, s)
	b := file(t, fs, idPath(1))
	const page, at = 4096, 5
	b[at*page+99] ^= 4
	if err := writeFile(fs, idPath(1), b); err != nil {
		t.Fatal(err)
	}
	s = open(t, "bank", options(fs))
	if _, err := s.IDs().Load(ref); err != nil {
		t.Fatal(err)
	}
	hit := 0
	for hash, value := range entries {
		got, err := s.IDs().Find(1, hash, nil)
		var damage *local.DamageError
		switch {
		case err == nil && slices.Equal(got, []uint64{value}):
		case errors.As(err, &damage) && damage.File == idPath(1) && damage.Offset == at*page && errors.Is(err, cell.ErrDamaged):
			hit++
		default:
			t.Fatalf("hash %x: found %x, error %v", hash, got, err)
		}
	}
	if hit < 150 || hit > 255 {
		t.Errorf("%d look-ups met the damaged page", hit)
	}
}

// TestPowerCutWhileIDsAreWritten cuts the power before every change that writing a generation makes to the disk, in
// place of an older one. Afterwards the file is the old one, the new one, or not usable: never something between.
func TestPowerCutWhileIDsAreWritten(t *testing.T) {
	for _, keep := range []int{0, 50, 100} {
		outcomes := [3]int{}
		for cut := 1; ; cut++ {
			fs := vfs.NewCrashableMem()
			s := open(t, "bank", options(fs))
			old, oldEntries, err := generation(s.IDs(), 1, 3000)
			if err != nil {
				t.Fatal(err)
			}
			closeStore(t, s)
			broken := newFaultFS(fs)
			s = open(t, "bank", options(broken))
			var after *vfs.MemFS
			steps := 0
			broken.set(func(f *faultFS) {
				f.step = func() {
					if steps++; steps == cut {
						after = fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: keep, RNG: rand.New(rand.NewPCG(uint64(cut), 1))})
					}
				}
			})
			now, nowEntries, err := generation(s.IDs(), 2, 3000)
			if err != nil {
				t.Fatal(err)
			}
			broken.set(func(f *faultFS) { f.step = nil })
			closeStore(t, s)
			written := after == nil
			if written {
				after = fs.CrashClone(vfs.CrashCloneCfg{})
			}
			s = open(t, "bank", options(after))
			outcomes[whichIDs(t, s.IDs(), old, oldEntries, now, nowEntries)]++
			if names, err := after.List("bank/ids"); err != nil || len(names) != 1 {
				t.Errorf("cut %d: %v is left, error %v", cut, names, err)
			}
			closeStore(t, s)
			if written {
				break
			}
		}
		if outcomes[0] < 3 || outcomes[1] == 0 {
			t.Errorf("keep %d%%: the old one, the new one or none was there: %v", keep, outcomes)
		}
	}
}

// whichIDs returns 0 where the old generation is there, 1 for the new one, 2 for none.
func whichIDs(t *testing.T, ids *local.IDs, old ledger.GenerationRef, oldEntries map[uint64]uint64, now ledger.GenerationRef, nowEntries map[uint64]uint64) int {
	t.Helper()
	entries, which := oldEntries, 0
	_, err := ids.Load(old)
	if err != nil {
		if _, err2 := ids.Load(now); err2 != nil {
			if !errors.Is(err, cell.ErrDamaged) || !errors.Is(err2, cell.ErrDamaged) {
				t.Errorf("neither loads: %v; %v", err, err2)
			}
			return 2
		}
		entries, which = nowEntries, 1
	}
	for hash, value := range entries {
		if got, err := ids.Find(1, hash, nil); err != nil || !slices.Equal(got, []uint64{value}) {
			t.Fatalf("generation %d, hash %x: found %x, error %v", which, hash, got, err)
		}
	}
	return which
}

// TestIDsOnAFullDisk: what was there stays, nothing half written is left, and once there is space it works.
func TestIDsOnAFullDisk(t *testing.T) {
	fs := newFaultFS(vfs.NewMem())
	s := open(t, "bank", options(fs))
	old, _, err := generation(s.IDs(), 1, 3000)
	if err != nil {
		t.Fatal(err)
	}
	for _, space := range []int64{0, 1, 5000} {
		fs.set(func(f *faultFS) { f.space = space })
		if _, _, err := generation(s.IDs(), 2, 3000); !errors.Is(err, cell.ErrFull) {
			t.Errorf("with %d bytes left: %v", space, err)
		}
		if names, err := fs.List("bank/ids"); err != nil || len(names) != 1 {
			t.Errorf("with %d bytes left: %v, error %v", space, names, err)
		}
		if _, err := s.IDs().Load(old); err != nil {
			t.Errorf("with %d bytes left: %v", space, err)
		}
	}
	fs.set(func(f *faultFS) { f.space = -1 })
	if _, _, err := generation(s.IDs(), 2, 3000); err != nil {
		t.Errorf("with space: %v", err)
	}
}

// TestIDsThatTheDiskDidNotTake: a sync that fails is no success.
func TestIDsThatTheDiskDidNotTake(t *testing.T) {
	fs := newFaultFS(vfs.NewMem())
	s := open(t, "bank", options(fs))
	fs.set(func(f *faultFS) { f.syncError = syscall.EIO })
	if _, _, err := generation(s.IDs(), 1, 300); !errors.Is(err, local.ErrSyncFailed) {
		t.Errorf("got %v", err)
	}
	fs.set(func(f *faultFS) { f.syncError = nil })
}

// FuzzIDFile reads any bytes as a generation: errors, but no panic, and nothing without end.
func FuzzIDFile(f *testing.F) {
	fs := vfs.NewMem()
	s, err := local.Open("bank", options(fs))
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = s.Close() })
	ref, _, err := generation(s.IDs(), 1, 300)
	if err != nil {
		f.Fatal(err)
	}
	b, err := readFile(fs, idPath(1))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b, uint64(1), uint32(1))
	f.Add(b[:8192], uint64(1)<<63, uint32(0))
	f.Add([]byte{}, uint64(0), uint32(1<<28))
	f.Fuzz(func(t *testing.T, b []byte, hash uint64, words uint32) {
		if err := writeFile(fs, idPath(1), b); err != nil {
			t.Fatal(err)
		}
		r := ref
		if words > 0 {
			r.Words = words
		}
		if _, err := s.IDs().Load(r); err != nil {
			if !errors.Is(err, cell.ErrDamaged) {
				t.Fatal(err)
			}
			return
		}
		if list, err := s.IDs().Find(1, hash, nil); err == nil && len(list) > 300 {
			t.Fatalf("%d values", len(list))
		}
	})
}
