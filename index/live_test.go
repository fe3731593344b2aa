package index_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/sterlingrun/sterling/index"
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/ledger"
	"github.com/sterlingrun/sterling/money"
)

// blockLog is a journal that may be held up before a block, or fail at it.
type blockLog struct {
	*books
	mu     sync.Mutex
	holdAt uint64        // 0: nowhere
	held   chan struct{} // told when a reader waits
	goOn   chan struct{} // closed to let it go on
	failAt uint64
}

var errRead = errors.New("the disk does not answer")

func (l *blockLog) Read(ctx context.Context, seq uint64, dst []byte) ([]byte, error) {
	l.mu.Lock()
	hold, fail := l.holdAt == seq, l.failAt == seq
	if hold {
		l.holdAt = 0
	}
	l.mu.Unlock()
	if fail {
		return nil, errRead
	}
	if hold {
		l.held <- struct{}{}
		select {
		case <-l.goOn:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return append(dst[:0], l.blocks[seq-1].Raw...), nil
}

func newBlockLog(t *testing.T, seed uint64, blocks int) *blockLog {
	t.Helper()
	l := &blockLog{books: newBooks(seed, 0), held: make(chan struct{}, 1), goOn: make(chan struct{})}
	for range blocks {
		if err := l.addBlock(3); err != nil {
			t.Fatal(err)
		}
	}
	return l
}

func (l *blockLog) openLive(t *testing.T, fs vfs.FS) *index.Live {
	t.Helper()
	x, err := index.OpenLive("data/index", index.Options{FS: fs, RunEntries: 40})
	if err != nil {
		t.Fatal(err)
	}
	x.Start(l)
	return x
}

func (l *blockLog) follow(t *testing.T, x *index.Live, from, to int) {
	t.Helper()
	for i := from - 1; i < to; i++ {
		if err := x.Add(l.blocks[i], l.effects[i]); err != nil {
			t.Fatal(err)
		}
	}
}

// checkLive compares everything that the index says with the books.
func (l *blockLog) checkLive(t *testing.T, x *index.Live) {
	t.Helper()
	(&past{books: l.books, q: x.Queries(l.books)}).compare(t)
}

// TestBuildInTheBackground: an index that begins in the middle answers UNAVAILABLE with its progress, catches up with
// the ledger, which goes on, and then says what one that followed from the start says.
func TestBuildInTheBackground(t *testing.T) {
	l := newBlockLog(t, 11, 40)
	l.holdAt = 21
	x := l.openLive(t, vfs.NewMem())
	l.follow(t, x, 31, 31) // the cell began with a snapshot of block 30
	<-l.held
	_, err := x.Queries(l).BalanceAt(t.Context(), l.accounts[0].ref, 1)
	building := (*index.BuildingError)(nil)
	if !errors.As(err, &building) || !errors.Is(err, index.ErrBuilding) || building.Build.Done != 20 || building.Build.Total != 31 || building.Build.Percent() != 64 {
		t.Fatalf("a query during the build: %v", err)
	}
	if err := x.WaitFor(t.Context(), 1); !errors.Is(err, index.ErrBuilding) {
		t.Fatalf("waiting during the build: %v", err)
	}
	if err := x.Flush(t.Context()); err != nil {
		t.Fatalf("a snapshot during the build: %v", err)
	}
	if err := x.Rebuild(); !errors.Is(err, index.ErrBuilding) {
		t.Fatalf("a second build: %v", err)
	}
	l.follow(t, x, 32, 35)
	close(l.goOn)
	l.follow(t, x, 36, 40)
	if err := errors.Join(x.AwaitBuilt(t.Context()), x.WaitFor(t.Context(), 40)); err != nil {
		t.Fatal(err)
	}
	if s := x.Building(); s.Running || !s.Whole || s.Percent() != 100 {
		t.Fatalf("after the build: %+v", s)
	}
	l.checkLive(t, x)
	if err := x.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestRebuildOnDemand: while an index is built anew, the present one answers; afterwards only the new one is there.
func TestRebuildOnDemand(t *testing.T) {
	fs := vfs.NewMem()
	l := newBlockLog(t, 12, 40)
	x := l.openLive(t, fs)
	l.follow(t, x, 1, 25)
	l.holdAt = 10
	if err := x.Rebuild(); err != nil {
		t.Fatal(err)
	}
	<-l.held
	if s := x.Building(); !s.Running || !s.Whole || s.Done != 9 || s.Total != 25 {
		t.Fatalf("during the rebuild: %+v", s)
	}
	l.follow(t, x, 26, 40)
	l.checkLive(t, x)
	close(l.goOn)
	if err := x.AwaitBuilt(t.Context()); err != nil {
		t.Fatal(err)
	}
	l.checkLive(t, x)
	if names, err := fs.List("data/index"); err != nil || fmt.Sprint(names) != "[2]" {
		t.Errorf("the folder has %v, %v", names, err)
	}
	if err := x.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestBuildIsCutShort: a crash in a build that nothing stands in for goes on where it was durable; one of a rebuild
// leaves the old index.
func TestBuildIsCutShort(t *testing.T) {
	for _, rebuild := range []bool{false, true} {
		fs := vfs.NewCrashableMem()
		l := newBlockLog(t, 13, 40)
		x := l.openLive(t, fs)
		l.holdAt = 30
		if rebuild {
			l.follow(t, x, 1, 40)
			if err := errors.Join(x.Flush(t.Context()), x.Rebuild()); err != nil {
				t.Fatal(err)
			}
		} else {
			l.follow(t, x, 40, 40)
		}
		<-l.held
		crashed := fs.CrashClone(vfs.CrashCloneCfg{})
		if err := x.Close(); err != nil {
			t.Fatal(err)
		}
		x = l.openLive(t, crashed)
		if got := x.Applied(); rebuild && got != 40 || !rebuild && got >= 40 {
			t.Fatalf("rebuild %v: after the crash the index has block %d", rebuild, got)
		}
		l.follow(t, x, 40, 40)
		if err := errors.Join(x.AwaitBuilt(t.Context()), x.WaitFor(t.Context(), 40)); err != nil {
			t.Fatal(err)
		}
		l.checkLive(t, x)
		if err := x.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestBuildFails: a journal that can't be read stops the build and not the ledger; another build may be asked for.
func TestBuildFails(t *testing.T) {
	l := newBlockLog(t, 14, 30)
	l.failAt = 12
	x := l.openLive(t, vfs.NewMem())
	l.follow(t, x, 25, 30)
	if err := x.AwaitBuilt(t.Context()); !errors.Is(err, errRead) {
		t.Fatalf("the build ended with %v", err)
	}
	if s := x.Building(); s.Running || s.Whole || !errors.Is(s.Failure, errRead) {
		t.Fatalf("after the fault: %+v", s)
	}
	l.mu.Lock()
	l.failAt = 0
	l.mu.Unlock()
	if err := errors.Join(x.Rebuild(), x.AwaitBuilt(t.Context())); err != nil {
		t.Fatal(err)
	}
	l.checkLive(t, x)
	if err := x.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestForeignFilesGo: what an earlier layout left in the folder is removed, and the index begins anew.
func TestForeignFilesGo(t *testing.T) {
	fs := vfs.NewMem()
	l := newBlockLog(t, 15, 20)
	old, err := index.Open("data/index", index.Options{FS: fs})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(l.addTo(old), old.Flush(t.Context()), old.Close()); err != nil {
		t.Fatal(err)
	}
	x := l.openLive(t, fs)
	if x.Applied() != 0 {
		t.Fatalf("it begins with block %d", x.Applied())
	}
	l.follow(t, x, 1, 20)
	l.checkLive(t, x)
	if err := x.Close(); err != nil {
		t.Fatal(err)
	}
}

func (l *blockLog) addTo(x *index.Index) error {
	for i := range l.blocks {
		if err := x.Add(l.blocks[i], l.effects[i]); err != nil {
			return err
		}
	}
	return nil
}

// TestDeriverRefuses: a block that does not follow, and one that moves what nobody has.
func TestDeriverRefuses(t *testing.T) {
	l := newBlockLog(t, 16, 10)
	var fx ledger.Effects
	if err := index.NewDeriver().Derive(l.blocks[3], &fx); !errors.Is(err, index.ErrDerive) {
		t.Errorf("block 4 first: %v", err)
	}
	for name, b := range map[string]func(b *journal.Builder){
		"unknown accounts": func(b *journal.Builder) {
			b.AddRequest(journal.KindTransfers, journal.Actor{}, journal.Bytes([]journal.Transfer{{ID: money.From(1)}}))
		},
		"unknown reservation": func(b *journal.Builder) {
			b.AddRequest(journal.KindTransfers, journal.Actor{}, journal.Bytes([]journal.Transfer{{ID: money.From(1), Flags: journal.TransferVoid}}))
		},
		"unknown expiry": func(b *journal.Builder) { b.AddExpiry(journal.Expiry{Pending: money.From(1)}) },
		"metadata of nobody": func(b *journal.Builder) {
			b.AddRequest(journal.KindMetadata, journal.Actor{}, journal.Bytes([]journal.MetadataChange{{ID: money.From(1)}}))
		},
	} {
		builder := journal.NewBuilder()
		b(builder)
		if err := index.NewDeriver().Derive(builder.Seal(journal.Header{Kind: journal.BlockNormal, Seq: 1, Time: 1}), &fx); !errors.Is(err, index.ErrDerive) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
