package local_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/sterlingrun/sterling/cell"
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/store/local"
)

// written is a closed journal in memory, with its blocks and where each begins and ends: the offsets are those of the
// format (docs/formats.md), not of the package.
type written struct {
	fs     *vfs.MemFS
	blocks []*journal.Block
	first  []uint64 // first block of each segment
	path   []string // of each block's segment
	from   []int
	to     []int
}

func write(t *testing.T, n int, sizes ...int) *written {
	t.Helper()
	w := &written{fs: vfs.NewMem(), blocks: writer.Chain(0, journal.Hash{}, n, sizes...)}
	s := open(t, "data", options(w.fs))
	appendAll(t, s, w.blocks)
	closeStore(t, s)
	at := segmentSize
	for _, b := range w.blocks {
		size := (16 + len(b.Raw) + 503) / 504 * 512
		if at+size > segmentSize {
			w.first = append(w.first, b.Header.Seq)
			at = 512
		}
		w.path = append(w.path, segmentPath("data", w.first[len(w.first)-1]))
		w.from, w.to = append(w.from, at), append(w.to, at+size)
		at += size
	}
	return w
}

// alter changes one file in a copy of the folder.
func (w *written) alter(t *testing.T, path string, change func(b []byte) []byte) vfs.FS {
	t.Helper()
	fs := w.copy(t)
	if err := writeFile(fs, path, change(file(t, fs, path))); err != nil {
		t.Fatal(err)
	}
	return fs
}

func (w *written) copy(t *testing.T) vfs.FS {
	t.Helper()
	fs := vfs.NewMem()
	if _, err := vfs.Clone(w.fs, fs, "data", "data"); err != nil {
		t.Fatal(err)
	}
	return fs
}

// buffer is the memory of a file, to be altered in place: quicker than a copy of the folder for each byte.
func (w *written) buffer(t *testing.T, path string) []byte {
	t.Helper()
	b, err := w.fs.UnsafeGetFileDataBuffer(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// wantDamage opens a store that must name file and offset of the damage.
func wantDamage(t *testing.T, fs vfs.FS, path string, from, to int) {
	t.Helper()
	s, err := local.Open("data", options(fs))
	if err == nil {
		_ = s.Close()
	}
	var d *local.DamageError
	if !errors.Is(err, cell.ErrDamaged) || !errors.As(err, &d) {
		t.Fatalf("got error %v, want damage", err)
	}
	if d.File != path || d.Offset < int64(from) || d.Offset >= int64(to) {
		t.Fatalf("got %v, want %s at offset %d to %d", d, path, from, to)
	}
	if !strings.Contains(err.Error(), path) {
		t.Fatalf("the message %q doesn't name the file", err)
	}
}

// TestFlippedBit flips a bit of every byte of a whole segment of acknowledged blocks, one at a time.
func TestFlippedBit(t *testing.T) {
	w := write(t, 9, 1, 5, 0)
	end := w.to[len(w.to)-1]
	path := w.path[0]
	b := w.buffer(t, path)
	for at := range end {
		bit := byte(1) << (at * 5 % 8)
		b[at] ^= bit
		if at < 16 || at >= 20 {
			wantDamage(t, w.fs, path, at/512*512, at/512*512+512)
		} else if _, err := local.Open("data", options(w.fs)); !errors.Is(err, local.ErrVersion) {
			t.Fatalf("byte %d, of the version: got error %v, want ErrVersion", at, err)
		}
		b[at] ^= bit
	}
	wantBlocks(t, open(t, "data", options(w.fs)), w.blocks)
}

// TestFlippedGeneration: every bit of a generation, the field that tells torn from damaged.
func TestFlippedGeneration(t *testing.T) {
	w := write(t, 40, 3, 100) // so that the last segment's generation has more bits
	last := len(w.blocks) - 1
	b := w.buffer(t, w.path[last])
	for sector := w.from[last]; sector < w.to[last]; sector += 512 {
		for bit := range 32 {
			b[sector+bit/8] ^= 1 << (bit % 8)
			wantDamage(t, w.fs, w.path[last], sector, sector+512)
			b[sector+bit/8] ^= 1 << (bit % 8)
		}
	}
	wantBlocks(t, open(t, "data", options(w.fs)), w.blocks)
}

// TestTornTail takes away every kind of selection of the last block's sectors: it is cut, and the journal goes on.
func TestTornTail(t *testing.T) {
	w := write(t, 12, 2, 9)
	last := len(w.blocks) - 1
	sectors := (w.to[last] - w.from[last]) / 512
	if sectors < 3 {
		t.Fatalf("the last block has %d sectors", sectors)
	}
	for lost := 1; lost < 1<<sectors; lost++ {
		for _, old := range []bool{false, true} {
			fs := w.alter(t, w.path[last], func(b []byte) []byte {
				for i := range sectors {
					if lost>>i&1 == 1 {
						stale(b[w.from[last]+i*512:][:512], old)
					}
				}
				return b
			})
			cut, err := recovered(t.Context(), fs, w.blocks, uint64(last))
			if err != nil {
				t.Fatalf("sectors %b lost: %v", lost, err)
			}
			if all := lost == 1<<sectors-1; cut == all {
				t.Fatalf("sectors %b lost: cut is %v", lost, cut)
			}
		}
	}
}

// stale makes a sector one that was never written: zeros, or what an older file had there.
func stale(b []byte, old bool) {
	clear(b)
	if old {
		for i := range b[4:] {
			b[4+i] = byte(i * 7)
		}
	}
}

// TestTornTailBehindFloor: the block that looks torn had been seen by an index: nothing may be cut.
func TestTornTailBehindFloor(t *testing.T) {
	w := write(t, 12, 2, 9)
	last := len(w.blocks) - 1
	fs := w.alter(t, w.path[last], func(b []byte) []byte { clear(b[w.to[last]-512 : w.to[last]]); return b })
	before := file(t, fs, w.path[last])
	o := options(fs)
	o.Floor = uint64(last + 1)
	_, err := local.Open("data", o)
	if !errors.Is(err, local.ErrBehind) || !strings.Contains(err.Error(), w.path[last]) {
		t.Fatalf("got error %v, want ErrBehind naming %s", err, w.path[last])
	}
	if !bytes.Equal(before, file(t, fs, w.path[last])) {
		t.Fatal("it was cut all the same")
	}
	o.Floor--
	if s := open(t, "data", o); !s.Recovery().Cut {
		t.Fatal("with a floor before the torn block it wasn't cut")
	}
}

// TestLostSectorsBeforeTheEnd: what was never written lies before something that was. No single append can do that.
func TestLostSectorsBeforeTheEnd(t *testing.T) {
	w := write(t, 12, 2, 9)
	for i := range len(w.blocks) - 1 {
		for at := w.from[i]; at < w.to[i]; at += 512 {
			for _, old := range []bool{false, true} {
				fs := w.alter(t, w.path[i], func(b []byte) []byte { stale(b[at:at+512], old); return b })
				wantDamage(t, fs, w.path[i], at, w.to[i]+512)
			}
		}
		fs := w.alter(t, w.path[i], func(b []byte) []byte { clear(b[w.from[i]:w.to[i]]); return b })
		wantDamage(t, fs, w.path[i], w.from[i], w.to[i]+512)
	}
}

// TestDataFarAfterTheEnd: beyond what one append can reach nothing of this generation may stand.
func TestDataFarAfterTheEnd(t *testing.T) {
	fs := vfs.NewMem()
	o := options(fs)
	o.SegmentSize = 4 << 20
	s := open(t, "data", o)
	appendAll(t, s, writer.Chain(0, journal.Hash{}, 3, 1))
	closeStore(t, s)
	b := file(t, fs, segmentPath("data", 1))
	at := len(b) - 512
	copy(b[at:], b[512:1024])
	if err := writeFile(fs, segmentPath("data", 1), b); err != nil {
		t.Fatal(err)
	}
	wantDamage(t, fs, segmentPath("data", 1), at, at+512)
}

// TestMisplacedSectors: right checksums in wrong places don't pass.
func TestMisplacedSectors(t *testing.T) {
	w := write(t, 40, 3, 100)
	other := writer
	other.Incarnation = 8
	elsewhere := vfs.NewMem()
	s := open(t, "data", options(elsewhere))
	appendAll(t, s, other.Chain(0, journal.Hash{}, 40, 3, 100))
	closeStore(t, s)
	foreign := file(t, elsewhere, w.path[len(w.path)-1])
	last := len(w.blocks) - 1
	for name, change := range map[string]func(b []byte) []byte{
		"the next sector twice":    func(b []byte) []byte { copy(b[w.from[last]+512:], b[w.from[last]:w.from[last]+512]); return b },
		"a sector of another file": func(b []byte) []byte { copy(b[w.from[last]:w.to[last]], foreign[w.from[last]:]); return b },
		"another journal's file":   func([]byte) []byte { return foreign },
	} {
		t.Run(name, func(t *testing.T) {
			wantDamage(t, w.alter(t, w.path[last], change), w.path[last], 0, w.to[last])
		})
	}
}

func TestMissingSegment(t *testing.T) {
	w := write(t, 60, 3, 100)
	if len(w.first) < 4 {
		t.Fatalf("only %d segments", len(w.first))
	}
	for i, first := range w.first {
		fs := w.copy(t)
		if err := fs.Remove(segmentPath("data", first)); err != nil {
			t.Fatal(err)
		}
		o := options(fs)
		o.Floor = 60
		o.VerifyFrom = 60
		want := local.ErrMissing
		if i == len(w.first)-1 {
			want = local.ErrBehind // nothing comes after it: only the floor tells
		}
		if _, err := local.Open("data", o); !errors.Is(err, want) || !errors.Is(err, cell.ErrDamaged) {
			t.Fatalf("without segment %d: got error %v, want %v", i+1, err, want)
		}
	}
	fs := w.copy(t)
	for _, first := range w.first {
		if err := fs.Remove(segmentPath("data", first)); err != nil {
			t.Fatal(err)
		}
	}
	o := options(fs)
	o.Floor = 1
	if _, err := local.Open("data", o); !errors.Is(err, local.ErrBehind) {
		t.Fatalf("without any segment: got error %v, want ErrBehind", err)
	}
}

func TestSegmentFilesThatAreNotRight(t *testing.T) {
	w := write(t, 40, 3, 100)
	path := w.path[20]
	for name, change := range map[string]func(b []byte) []byte{
		"empty":     func([]byte) []byte { return nil },
		"no header": func(b []byte) []byte { return b[:100] },
		"cut short": func(b []byte) []byte { return b[:len(b)-512] },
		"longer":    func(b []byte) []byte { return append(b, make([]byte, 512)...) },
		"zeros":     func(b []byte) []byte { return make([]byte, len(b)) },
		"renamed":   func([]byte) []byte { return file(t, w.fs, w.path[0]) },
	} {
		t.Run(name, func(t *testing.T) { wantDamage(t, w.alter(t, path, change), path, 0, segmentSize+1) })
	}
}

func TestUnknownVersions(t *testing.T) {
	w := write(t, 3, 1)
	bump := func(b []byte) []byte { binary.LittleEndian.PutUint32(b[16:], 2); return b }
	for path, fs := range map[string]vfs.FS{
		w.path[0]:     w.alter(t, w.path[0], bump),
		"data/FORMAT": w.alter(t, "data/FORMAT", func(b []byte) []byte { return bytes.Replace(b, []byte("1"), []byte("2"), 1) }),
	} {
		_, err := local.Open("data", options(fs))
		if !errors.Is(err, local.ErrVersion) || !strings.Contains(err.Error(), "2") {
			t.Fatalf("%s: got error %v, want ErrVersion with the number", path, err)
		}
	}
	wantDamage(t, w.alter(t, "data/FORMAT", func([]byte) []byte { return []byte("hello") }), "data/FORMAT", 0, 1)
	fs := w.copy(t)
	if err := fs.Remove("data/FORMAT"); err != nil {
		t.Fatal(err)
	}
	wantDamage(t, fs, "data/FORMAT", 0, 1)
}

func TestWrongCell(t *testing.T) {
	w := write(t, 3, 1)
	o := options(w.fs)
	o.Cell = 2
	if _, err := local.Open("data", o); !errors.Is(err, local.ErrWrongCell) {
		t.Fatalf("open another cell's folder: got error %v", err)
	}
	s := open(t, "data", options(w.fs))
	other := writer
	other.Cell = 2
	if err := s.Append(t.Context(), other.Block(4, w.blocks[2].Hash, 1)); !errors.Is(err, local.ErrWrongCell) {
		t.Fatalf("append another cell's block: got error %v", err)
	}
}

// TestVerifyFrom: damage in an old segment doesn't keep the journal from opening where only the newer blocks are
// asked for; whoever reads it, and Verify, finds it.
func TestVerifyFrom(t *testing.T) {
	w := write(t, 60, 3, 100)
	hurt := 3 // a block of many sectors in the first segment
	fs := w.alter(t, w.path[hurt], func(b []byte) []byte { b[w.to[hurt]-600] ^= 1; return b })
	o := options(fs)
	o.VerifyFrom = w.first[1]
	s := open(t, "data", o)
	for _, b := range w.blocks {
		raw, err := s.Read(t.Context(), b.Header.Seq, nil)
		if int(b.Header.Seq) == hurt+1 {
			var d *local.DamageError
			if !errors.As(err, &d) || d.File != w.path[hurt] {
				t.Fatalf("read the damaged block: got error %v", err)
			}
		} else if err != nil || !bytes.Equal(raw, b.Raw) {
			t.Fatalf("read block %d: %v", b.Header.Seq, err)
		}
	}
	if err := s.Verify(t.Context(), nil); !errors.Is(err, cell.ErrDamaged) {
		t.Fatalf("verify: got error %v, want damage", err)
	}
	o.VerifyFrom = 1
	closeStore(t, s)
	if _, err := local.Open("data", o); !errors.Is(err, cell.ErrDamaged) {
		t.Fatalf("open and check everything: got error %v, want damage", err)
	}
}

// TestRandomDamage overwrites random bytes of acknowledged blocks: whatever happens, no altered block is ever read,
// and no block is ever silently dropped.
func TestRandomDamage(t *testing.T) {
	w := write(t, 30, 3, 100, 0)
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 2))
		i := r.IntN(len(w.blocks))
		fs := w.alter(t, w.path[i], func(b []byte) []byte {
			at := w.from[i] + r.IntN(w.to[i]-w.from[i])
			for k := range 1 + r.IntN(2000) {
				if at+k < w.to[i] {
					b[at+k] = byte(r.Uint32()) | 1
				}
			}
			return b
		})
		o := options(fs)
		o.Floor = uint64(len(w.blocks))
		s, err := local.Open("data", o)
		if err == nil {
			err = s.Verify(t.Context(), nil)
			_ = s.Close()
		}
		if !errors.Is(err, cell.ErrDamaged) {
			t.Fatalf("seed %d: got error %v, want damage", seed, err)
		}
	}
}

func TestSnapshotOfUnknownVersionOrAnotherCell(t *testing.T) {
	fs := vfs.NewMem()
	s := open(t, "data", options(fs))
	w, err := s.Snapshots().Create(0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, "state"); err != nil {
		t.Fatal(err)
	}
	if err := w.Commit(); err != nil {
		t.Fatal(err)
	}
	path := snapshotPath("data", 0)
	b := file(t, fs, path)
	b[8] = 9
	if err := writeFile(fs, path, b); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Snapshots().Open(0); !errors.Is(err, local.ErrVersion) {
		t.Fatalf("got error %v, want ErrVersion", err)
	}
	b[8] = 1
	if err := writeFile(fs, path, b[:len(b)-20]); err != nil {
		t.Fatal(err)
	}
	r, err := s.Snapshots().Open(0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = io.ReadAll(r)
	var d *local.DamageError
	if !errors.As(err, &d) || d.File != path || d.Offset != int64(len(b)-20) {
		t.Fatalf("a truncated snapshot: got error %v, want damage at %s offset %d", err, path, len(b)-20)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	closeStore(t, s)
	o := options(fs)
	o.Cell = 2
	if _, err := open(t, "data", o).Snapshots().Open(0); !errors.Is(err, local.ErrWrongCell) {
		t.Fatalf("got error %v, want ErrWrongCell", err)
	}
}

// TestUnfinishedSnapshotsGo: what a crash left of a snapshot is cleared away.
func TestUnfinishedSnapshotsGo(t *testing.T) {
	w := write(t, 3, 1)
	tmp := snapshotPath("data", 3) + ".tmp"
	if err := writeFile(w.fs, tmp, []byte("half")); err != nil {
		t.Fatal(err)
	}
	s := open(t, "data", options(w.fs))
	if list, err := s.Snapshots().List(); err != nil || len(list) > 0 {
		t.Fatalf("the snapshots are %v, error %v", list, err)
	}
	if _, err := readFile(w.fs, tmp); err == nil {
		t.Fatalf("%s is still there", tmp)
	}
}
