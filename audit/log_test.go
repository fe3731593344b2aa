package audit_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sterlingrun/sterling/audit"
	"github.com/sterlingrun/sterling/clock"
	"github.com/sterlingrun/sterling/money"
)

// stated is a statement that goes on from the one of n-1.
func stated(n uint64) audit.Statement {
	amount := money.From(100 * n)
	return audit.Statement{
		Cell: 1, Seq: n, Hash: sha256.Sum256(fmt.Append(nil, n)), Time: 1_000 * n, SafeThrough: 900 * n, Made: 1_001 * n, Events: 2 * n,
		Totals: []audit.Total{
			{Asset: "CNY/2", DebitsPosted: amount, CreditsPosted: amount, Transfers: n},
			{Asset: "USD/2", DebitsPending: money.Max(), CreditsPending: money.Max()},
		},
		Sources: []audit.Source{{Name: "bank:icbc", ThroughSeq: n, Digest: sha256.Sum256([]byte{byte(n)})}, {Name: "orders"}},
	}
}

func newKey(t testing.TB) *audit.Key {
	t.Helper()
	k, err := audit.OpenKey(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func open(t testing.TB, key *audit.Key, dir string) *audit.Log {
	t.Helper()
	l, err := audit.OpenLog(t.Context(), key, audit.LogOptions{Dir: dir, Cell: 1, Clock: clock.NewSystem()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeLog(t, l) })
	return l
}

func closeLog(t testing.TB, l *audit.Log) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := l.Close(ctx); err != nil {
		t.Errorf("close: %v", err)
	}
}

// add appends the statements from and through these numbers.
func add(t testing.TB, l *audit.Log, from, through uint64) {
	t.Helper()
	for n := from; n <= through; n++ {
		at, err := l.Append(t.Context(), stated(n))
		if err != nil {
			t.Fatalf("append %d: %v", n, err)
		}
		if at != n-1 {
			t.Fatalf("statement %d is entry %d", n, at)
		}
	}
}

func trust(k *audit.Key) audit.Trusted { return audit.Trusted{Key: k.Public(), Cell: 1} }

func verify(t testing.TB, k *audit.Key, files audit.Files, since *audit.State) (*audit.Report, error) {
	t.Helper()
	return audit.VerifyLog(t.Context(), audit.VerifyOptions{Files: files, Trusted: trust(k), Since: since})
}

func TestLogIsAppendedAndVerified(t *testing.T) {
	key, dir := newKey(t), filepath.Join(t.TempDir(), "log")
	l := open(t, key, dir)
	if r, err := verify(t, key, audit.Folder{Dir: dir}, nil); err != nil || r.Size != 0 || r.Last != nil {
		t.Fatalf("an empty log: %+v, %v", r, err)
	}
	add(t, l, 1, 3)
	if c := l.Published(); c.Size != 3 {
		t.Fatalf("published %d entries, want 3: Append returned before a checkpoint had them", c.Size)
	}
	first, err := verify(t, key, audit.Folder{Dir: dir}, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := stated(3)
	if diff := cmp.Diff(&want, first.Last); diff != "" || first.Size != 3 || first.From != 0 {
		t.Fatalf("%+v\n%s", first, diff)
	}
	add(t, l, 4, 6)
	saved, err := first.State.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	since, err := audit.ReadState(saved, trust(key))
	if err != nil {
		t.Fatal(err)
	}
	var seen []uint64
	second, err := audit.VerifyLog(t.Context(), audit.VerifyOptions{
		Files: audit.Folder{Dir: dir}, Trusted: trust(key), Since: since,
		Entry: func(index uint64, s *audit.Statement) error { seen = append(seen, index, s.Seq); return nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]uint64{3, 4, 4, 5, 5, 6}, seen); diff != "" || second.From != 3 || second.Size != 6 {
		t.Errorf("%+v\n%s", second, diff)
	}
	list, err := l.Entries(t.Context(), 0, 2)
	if err != nil || len(list) != 2 || list[0].Index != 5 || list[1].Index != 4 {
		t.Fatalf("the newest two: %+v, %v", list, err)
	}
	if s, err := list[1].Open(key.Public()); err != nil || s.Seq != 5 {
		t.Errorf("entry 4 states %+v, %v", s, err)
	}
	if list, err := l.Entries(t.Context(), 2, 500); err != nil || len(list) != 2 || list[1].Index != 0 {
		t.Errorf("before entry 2: %+v, %v", list, err)
	}
}

func TestAppendRefusesWhatContradicts(t *testing.T) {
	key := newKey(t)
	l := open(t, key, t.TempDir())
	add(t, l, 1, 2)
	for name, change := range map[string]func(*audit.Statement){
		"seq":          func(s *audit.Statement) { s.Seq = 1 },
		"time":         func(s *audit.Statement) { s.Time = 1_999 },
		"made":         func(s *audit.Statement) { s.Made = 2_001 },
		"another hash": func(s *audit.Statement) { *s = stated(2); s.Hash[0]++ },
		"source":       func(s *audit.Statement) { s.Sources[0].ThroughSeq = 1 },
		"digest":       func(s *audit.Statement) { s.Sources[0].ThroughSeq = 2 },
		"asset":        func(s *audit.Statement) { s.Totals = s.Totals[:1] },
		"transfers":    func(s *audit.Statement) { s.Totals[0].Transfers = 1 },
	} {
		s := stated(3)
		change(&s)
		if _, err := l.Append(t.Context(), s); !errors.Is(err, audit.ErrContradiction) {
			t.Errorf("%s: %v, want ErrContradiction", name, err)
		}
	}
	s := stated(3)
	s.Cell = 2
	if _, err := l.Append(t.Context(), s); !errors.Is(err, audit.ErrStatement) {
		t.Errorf("another cell: %v", err)
	}
	if size := l.Published().Size; size != 2 {
		t.Errorf("%d entries, want 2", size)
	}
	add(t, l, 3, 3)
}

// TestLogGoesOnAfterACrash leaves behind what a crash may leave: files of an append that never became part of the tree,
// temporary files, and a tree that is ahead of its checkpoint.
func TestLogGoesOnAfterACrash(t *testing.T) {
	key, dir := newKey(t), t.TempDir()
	l := open(t, key, dir)
	add(t, l, 1, 2)
	published := read(t, dir, "checkpoint")
	add(t, l, 3, 3)
	closeLog(t, l)
	put(t, dir, "checkpoint", published)
	put(t, dir, "tile/entries/000.p/4", []byte("\x00\xffcut sho"))
	put(t, dir, "tile/0/000.p/4", []byte("half a hash"))
	put(t, dir, "tile/entries/000.p/412345", []byte("temporary"))
	put(t, dir, ".state/treeState8888", []byte("{"))

	l = open(t, key, dir)
	if size := l.Published().Size; size != 3 {
		t.Fatalf("%d entries after the crash, want 3", size)
	}
	if s, ok := l.Last(); !ok || s.Seq != 3 {
		t.Fatalf("the last statement is %+v, %v", s, ok)
	}
	add(t, l, 4, 5)
	if r, err := verify(t, key, audit.Folder{Dir: dir}, nil); err != nil || r.Size != 5 {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestDamagedLogIsNotOpened(t *testing.T) {
	for name, damage := range map[string]func(t *testing.T, dir string){
		"tile":        func(t *testing.T, dir string) { flip(t, dir, "tile/0/000.p/3", 40) },
		"tile cut":    func(t *testing.T, dir string) { put(t, dir, "tile/0/000.p/3", []byte("short")) },
		"entry":       func(t *testing.T, dir string) { flip(t, dir, "tile/entries/000.p/3", -100) },
		"signature":   func(t *testing.T, dir string) { flip(t, dir, "tile/entries/000.p/3", -10) },
		"no entries":  func(t *testing.T, dir string) { remove(t, dir, "tile/entries/000.p/3") },
		"checkpoint":  func(t *testing.T, dir string) { flip(t, dir, "checkpoint", 20) },
		"tree's size": func(t *testing.T, dir string) { put(t, dir, ".state/treeState", []byte("{")) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			key, dir := newKey(t), t.TempDir()
			l := open(t, key, dir)
			add(t, l, 1, 3)
			closeLog(t, l)
			damage(t, dir)
			if _, err := audit.OpenLog(t.Context(), key, audit.LogOptions{Dir: dir, Cell: 1, Clock: clock.NewSystem()}); !errors.Is(err, audit.ErrDamaged) {
				t.Errorf("got %v, want ErrDamaged", err)
			}
		})
	}
}

func TestLogOfAnotherKeyOrCellIsNotOpened(t *testing.T) {
	key, dir := newKey(t), t.TempDir()
	closeLog(t, open(t, key, dir))
	for name, try := range map[string]struct {
		key  *audit.Key
		cell uint64
	}{"another key": {newKey(t), 1}, "another cell": {key, 2}} {
		if _, err := audit.OpenLog(t.Context(), try.key, audit.LogOptions{Dir: dir, Cell: try.cell, Clock: clock.NewSystem()}); !errors.Is(err, audit.ErrDamaged) {
			t.Errorf("%s: %v, want ErrDamaged", name, err)
		}
	}
}

// TestAppendFailsTyped takes the log's folder away under an open log: an error, not the end of the process.
func TestAppendFailsTyped(t *testing.T) {
	key, dir := newKey(t), filepath.Join(t.TempDir(), "log")
	l := open(t, key, dir)
	add(t, l, 1, 1)
	if err := os.Rename(dir, dir+".away"); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Append(t.Context(), stated(2)); !errors.Is(err, audit.ErrLog) {
		t.Errorf("got %v, want ErrLog", err)
	}
	if err := os.Rename(dir+".away", dir); err != nil {
		t.Fatal(err)
	}
	add(t, l, 2, 3)
	bundles := filepath.Join(dir, "tile/entries/000.p")
	if err := os.Rename(bundles, bundles+".away"); err != nil {
		t.Fatal(err)
	}
	put(t, dir, "tile/entries/000.p", []byte("no folder: nothing can be written into it"))
	if _, err := l.Append(t.Context(), stated(4)); !errors.Is(err, audit.ErrLog) {
		t.Errorf("got %v, want ErrLog", err)
	}
	remove(t, dir, "tile/entries/000.p")
	if err := os.Rename(bundles+".away", bundles); err != nil {
		t.Fatal(err)
	}
	add(t, l, 4, 4)
	if r, err := verify(t, key, audit.Folder{Dir: dir}, nil); err != nil || r.Size != 4 {
		t.Errorf("%+v, %v", r, err)
	}
}

// TestAppendReadsBack has a write of the driver fail in a way that the driver takes for success.
func TestAppendReadsBack(t *testing.T) {
	key, dir := newKey(t), t.TempDir()
	l := open(t, key, dir)
	add(t, l, 1, 1)
	if err := os.Mkdir(filepath.Join(dir, "tile/entries/000.p/2"), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Append(t.Context(), stated(2)); !errors.Is(err, audit.ErrDamaged) {
		t.Errorf("got %v, want ErrDamaged", err)
	}
}

func TestFilesAreServedOnceTheyAreSigned(t *testing.T) {
	key, dir := newKey(t), t.TempDir()
	l := open(t, key, dir)
	add(t, l, 1, 3)
	put(t, dir, "tile/entries/000.p/4", []byte("not signed yet"))
	put(t, dir, "tile/0/000.p/4", []byte("not signed yet"))
	for _, path := range []string{"checkpoint", "tile/0/000.p/3", "tile/entries/000.p/3", "tile/entries/000.p/1"} {
		got, err := l.File(t.Context(), path)
		if err != nil || !bytes.Equal(got, read(t, dir, path)) {
			t.Errorf("%s: %v", path, err)
		}
	}
	for _, path := range []string{
		"", "/checkpoint", "checkpoint/", ".state/treeState", "../signing.key", "tile/0/000", "tile/0/000.p/4", "tile/entries/000.p/4", "tile/entries/000",
		"tile/1/000.p/1", "tile/0/000.p/03", "tile/0/0.p/3", "tile/0/000.p/3/", "tile/00/000.p/3", "tile/0/x000/000.p/3", "tile/0/../0/000.p/3",
		"tile/8/000.p/1", "tile/0/x281/x474/x976/x710/656", "tile/entries/001.p/1", "tile/0/000.p/256", "tile/0/000.p/0", "tile/0/x18/x446/x744/x073/x709/x551/615",
	} {
		if _, err := l.File(t.Context(), path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%q: %v, want ErrNotExist", path, err)
		}
	}
}

func read(t testing.TB, dir, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, path))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func put(t testing.TB, dir, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, path), b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func remove(t testing.TB, dir, path string) {
	t.Helper()
	if err := os.Remove(filepath.Join(dir, path)); err != nil {
		t.Fatal(err)
	}
}

// flip turns a bit of a file around; a negative offset counts from its end.
func flip(t testing.TB, dir, path string, at int) {
	t.Helper()
	b := read(t, dir, path)
	if at < 0 {
		at += len(b)
	}
	b[at] ^= 1
	put(t, dir, path, b)
}
