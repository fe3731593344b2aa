package index_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/sterlingrun/sterling/index"
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/ledger"
	"github.com/sterlingrun/sterling/money"
)

// TestChain: only the block after the last one is taken, and only on top of the same chain.
func TestChain(t *testing.T) {
	x := mustOpen(t, vfs.NewMem(), 0)
	w := someBlocks(4)
	if err := x.Add(w.blocks[1], w.effects[1]); !errors.Is(err, index.ErrGap) {
		t.Fatalf("block 2 first: %v", err)
	}
	mustAdd(t, x, w, 1)
	mustAdd(t, x, w, 1) // skipped
	if x.Applied() != 4 {
		t.Fatalf("applied %d", x.Applied())
	}
	next := journal.NewBuilder().Seal(journal.Header{Kind: journal.BlockBarrier, Cell: 7, Seq: 6, Time: w.time})
	if err := x.Add(next, &ledger.Effects{}); !errors.Is(err, index.ErrGap) {
		t.Errorf("block 6 after 4: %v", err)
	}
	other := journal.NewBuilder().Seal(journal.Header{Kind: journal.BlockBarrier, Cell: 7, Seq: 5, Time: w.time, Prev: journal.Hash{1}})
	if err := x.Add(other, &ledger.Effects{}); !errors.Is(err, index.ErrRebuild) {
		t.Errorf("a block on another chain: %v", err)
	}
	fork := journal.NewBuilder().Seal(journal.Header{Kind: journal.BlockBarrier, Cell: 7, Seq: 4, Time: w.time})
	if err := x.Add(fork, &ledger.Effects{}); !errors.Is(err, index.ErrRebuild) {
		t.Errorf("another last block: %v", err)
	}
	cell := journal.NewBuilder().Seal(journal.Header{Kind: journal.BlockBarrier, Cell: 8, Seq: 5, Time: w.time, Prev: w.blocks[3].Hash})
	if err := x.Add(cell, &ledger.Effects{}); !errors.Is(err, index.ErrRebuild) {
		t.Errorf("a block of another cell: %v", err)
	}
	if x.Applied() != 4 {
		t.Errorf("applied %d after refusals", x.Applied())
	}
}

// flushed returns a disk with an index of some blocks, closed.
func flushed(t *testing.T) (*vfs.MemFS, *world) {
	t.Helper()
	fs, w := vfs.NewMem(), someBlocks(30)
	x := mustOpen(t, fs, 50)
	mustAdd(t, x, w, 1)
	if err := errors.Join(x.Flush(t.Context()), x.Close()); err != nil {
		t.Fatal(err)
	}
	return fs, w
}

// alter changes the bytes of the files whose names have a part, and fails if there is none.
func alter(t *testing.T, fs vfs.FS, part string, change func([]byte) []byte) {
	t.Helper()
	names, err := fs.List("idx")
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for _, n := range names {
		if !strings.Contains(n, part) {
			continue
		}
		found = true
		path := fs.PathJoin("idx", n)
		f, err := fs.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(f)
		if err = errors.Join(err, f.Close(), fs.Remove(path)); err != nil {
			t.Fatal(err)
		}
		if b = change(b); b == nil {
			continue
		}
		writeFile(t, fs, path, b)
	}
	if !found {
		t.Fatalf("no file has %q in its name: %v", part, names)
	}
}

func writeFile(t *testing.T, fs vfs.FS, path string, b []byte) {
	t.Helper()
	f, err := fs.Create(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	if _, err = f.Write(b); errors.Join(err, f.Close()) != nil {
		t.Fatal(err)
	}
}

// quiet is a logger of Pebble that says nothing.
type quiet struct{}

func (quiet) Infof(string, ...any)           {}
func (quiet) Errorf(string, ...any)          {}
func (quiet) Fatalf(format string, a ...any) { panic(fmt.Sprintf(format, a...)) }

func TestRebuild(t *testing.T) {
	for name, damage := range map[string]func(*testing.T, *vfs.MemFS){
		"manifest gone": func(t *testing.T, fs *vfs.MemFS) { alter(t, fs, "MANIFEST-", func([]byte) []byte { return nil }) },
		"manifest overwritten": func(t *testing.T, fs *vfs.MemFS) {
			alter(t, fs, "MANIFEST-", func(b []byte) []byte { return make([]byte, len(b)) })
		},
		"tables gone": func(t *testing.T, fs *vfs.MemFS) { alter(t, fs, ".sst", func([]byte) []byte { return nil }) },
		"tables cut":  func(t *testing.T, fs *vfs.MemFS) { alter(t, fs, ".sst", func(b []byte) []byte { return b[:len(b)/2] }) },
		"tables overwritten": func(t *testing.T, fs *vfs.MemFS) {
			alter(t, fs, ".sst", func(b []byte) []byte { return make([]byte, len(b)) })
		},
		"format from the future": func(t *testing.T, fs *vfs.MemFS) {
			alter(t, fs, "marker.format-version.", func([]byte) []byte { return nil })
			writeFile(t, fs, "idx/marker.format-version.000999.999", nil)
		},
		"other files": func(t *testing.T, fs *vfs.MemFS) {
			if err := errors.Join(fs.RemoveAll("idx"), fs.MkdirAll("idx", 0o700)); err != nil {
				t.Fatal(err)
			}
			writeFile(t, fs, "idx/holiday.jpg", []byte("…"))
		},
		"a database of something else": func(t *testing.T, fs *vfs.MemFS) { foreign(t, fs, "k", "v") },
		"another layout":               func(t *testing.T, fs *vfs.MemFS) { foreign(t, fs, "m", "\x02…") },
	} {
		t.Run(name, func(t *testing.T) {
			fs, w := flushed(t)
			damage(t, fs)
			x, err := index.Open("idx", index.Options{FS: fs})
			if !errors.Is(err, index.ErrRebuild) {
				if err == nil {
					_ = x.Close()
				}
				t.Fatalf("open: %v", err)
			}
			if err := fs.RemoveAll("idx"); err != nil {
				t.Fatal(err)
			}
			x = mustOpen(t, fs, 50)
			mustAdd(t, x, w, 1)
			page, err := index.NewQueries(x, w).Transfers(t.Context(), index.QueryFilter{Limit: 8190})
			if err != nil || len(page.Rows) != len(w.transfers) {
				t.Fatalf("%d of %d transfers after the rebuild: %v", len(page.Rows), len(w.transfers), err)
			}
		})
	}
}

// foreign replaces the index with a database of one key.
func foreign(t *testing.T, fs *vfs.MemFS, key, value string) {
	t.Helper()
	if err := fs.RemoveAll("idx"); err != nil {
		t.Fatal(err)
	}
	db, err := pebble.Open("idx", &pebble.Options{FS: fs, Logger: quiet{}})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(db.Set([]byte(key), []byte(value), pebble.Sync), db.Close()); err != nil {
		t.Fatal(err)
	}
}

// TestDamageWhileRunning: a flipped bit that only a query meets is never an answer, and stops the writing.
func TestDamageWhileRunning(t *testing.T) {
	fs, w := vfs.NewMem(), someBlocks(1000)
	x := mustOpen(t, fs, 1<<20)
	mustAdd(t, x, w, 1)
	if err := errors.Join(x.Flush(t.Context()), x.Close()); err != nil {
		t.Fatal(err)
	}
	alter(t, fs, ".sst", func(b []byte) []byte {
		b[2000] ^= 0x10 // transfers of the first account; what Open reads is far behind
		return b
	})
	x = mustOpen(t, fs, 0)
	a := w.accounts[0]
	_, err := index.NewQueries(x, w).AccountTransfers(t.Context(), a.number, index.AccountFilter{AccountID: a.ID, Limit: 8190})
	if !errors.Is(err, index.ErrRebuild) {
		t.Errorf("query of a damaged table: %v", err)
	}
	next := journal.NewBuilder().Seal(journal.Header{Kind: journal.BlockBarrier, Cell: 7, Seq: 1001, Time: w.time, Prev: w.blocks[999].Hash})
	if err := x.Add(next, &ledger.Effects{}); !errors.Is(err, index.ErrRebuild) {
		t.Errorf("add to a damaged index: %v", err)
	}
}

// TestLeftover: a run that a crash left behind, even as a second name of a table in use, does no harm.
func TestLeftover(t *testing.T) {
	fs, w := flushed(t)
	names, err := fs.List("idx")
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range names {
		if strings.HasSuffix(n, ".sst") {
			if err := fs.Link("idx/"+n, "idx/run.tmp"); err != nil {
				t.Fatal(err)
			}
			break
		}
	}
	x := mustOpen(t, fs, 50)
	if _, err := fs.Stat("idx/run.tmp"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the leftover is still there: %v", err)
	}
	w.addBlock(3)
	mustAdd(t, x, w, 31)
	if err := errors.Join(x.Flush(t.Context()), x.Close()); err != nil {
		t.Fatal(err)
	}
	x = mustOpen(t, fs, 0)
	page, err := index.NewQueries(x, w).Transfers(t.Context(), index.QueryFilter{Limit: 8190})
	if err != nil || len(page.Rows) != len(w.transfers) {
		t.Fatalf("%d of %d transfers: %v", len(page.Rows), len(w.transfers), err)
	}
}

// TestWrongIndex: an index that names a transfer of another account says that it is wrong.
func TestWrongIndex(t *testing.T) {
	x := mustOpen(t, vfs.NewMem(), 0)
	w := someBlocks(5)
	mustAdd(t, x, w, 1)
	_, err := index.NewQueries(x, w).AccountTransfers(t.Context(), w.accounts[0].number, index.AccountFilter{AccountID: money.From(5), Limit: 1})
	if !errors.Is(err, index.ErrRebuild) {
		t.Fatalf("another account's transfers: %v", err)
	}
}

// TestSecondProcess: the folder of a running index is refused, and not called damaged.
func TestSecondProcess(t *testing.T) {
	dir := t.TempDir()
	x, err := index.Open(dir, index.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	if _, err := index.Open(dir, index.Options{}); err == nil || errors.Is(err, index.ErrRebuild) {
		t.Fatalf("second open: %v", err)
	}
}

// TestDiskFull: while runs can't be written, what was applied is still answered; when there is space again, it
// becomes durable, and the block that was refused is taken.
func TestDiskFull(t *testing.T) {
	var full atomic.Bool
	fs := errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
		if full.Load() && strings.Contains(op.Path, "run.tmp") && op.Kind.ReadOrWrite() == errorfs.OpIsWrite {
			return syscall.ENOSPC
		}
		return nil
	}))
	x := mustOpen(t, fs, 20)
	w := someBlocks(60)
	full.Store(true)
	if err := x.Add(w.blocks[0], w.effects[0]); err != nil {
		t.Fatal(err)
	}
	if err := x.Flush(t.Context()); !errors.Is(err, syscall.ENOSPC) || errors.Is(err, index.ErrRebuild) {
		t.Fatalf("flush onto a full disk: %v", err)
	}
	if err := w.addTo(x, 1); !errors.Is(err, syscall.ENOSPC) || errors.Is(err, index.ErrRebuild) {
		t.Fatalf("add with a full disk: %v", err)
	}
	if err := x.Room(); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("room on a full disk: %v", err)
	}
	applied := x.Applied()
	if s := x.Stats(); applied == 0 || applied >= 60 || s.Durable != 0 || s.InFlight == 0 || s.Failures == 0 {
		t.Fatalf("applied %d of 60, %+v", applied, s)
	}
	page, err := index.NewQueries(x, w).Transfers(t.Context(), index.QueryFilter{Limit: 8190})
	if n := len(page.Rows); err != nil || n == 0 || page.Rows[n-1].Position.Seq() > applied {
		t.Fatalf("%d transfers on a full disk: %v", n, err)
	}
	full.Store(false)
	mustAdd(t, x, w, applied+1)
	if err := x.Flush(t.Context()); err != nil || x.Durable() != 60 || x.Room() != nil {
		t.Fatalf("durable %d after space returned: %v", x.Durable(), err)
	}
	page, err = index.NewQueries(x, w).Transfers(t.Context(), index.QueryFilter{Limit: 8190})
	if err != nil || len(page.Rows) != len(w.transfers) {
		t.Fatalf("%d of %d transfers: %v", len(page.Rows), len(w.transfers), err)
	}
}

// TestNoSpaceLeft: Pebble ends the process when its manifest can't be written, so a disk that is nearly full gets
// nothing. It is a fault of the machine and not called damage: deleting the folder would not help.
func TestNoSpaceLeft(t *testing.T) {
	fs, w := flushed(t)
	fs.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: 1 << 20, TotalBytes: 1 << 30, UsedBytes: 1<<30 - 1<<20})
	if _, err := index.Open("idx", index.Options{FS: fs}); !errors.Is(err, syscall.ENOSPC) || errors.Is(err, index.ErrRebuild) {
		t.Fatalf("open on a full disk: %v", err)
	}
	fs.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: 1 << 29, TotalBytes: 1 << 30, UsedBytes: 1 << 29})
	x := mustOpen(t, fs, 0)
	if x.Applied() != 30 {
		t.Fatalf("applied %d after a failed open", x.Applied())
	}
	fs.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: 1 << 20, TotalBytes: 1 << 30, UsedBytes: 1<<30 - 1<<20})
	w.addBlock(3)
	mustAdd(t, x, w, 31)
	if err := x.Flush(t.Context()); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("flush onto a full disk: %v", err)
	}
}
