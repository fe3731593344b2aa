package audit_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sterlingrun/sterling/audit"
)

// long is a log's worth of statements: two full tiles and a part of a third.
const long = 600

func statements(n uint64, change func(n uint64, s *audit.Statement)) (list []audit.Statement) {
	for i := uint64(1); i <= n; i++ {
		s := stated(i)
		if change != nil {
			change(i, &s)
		}
		list = append(list, s)
	}
	return list
}

// history is a log that has been verified when it was shorter, and its last word now.
func history(t *testing.T) (key *audit.Key, dir string, since *audit.State) {
	t.Helper()
	key, dir = newKey(t), t.TempDir()
	audit.MakeLog(t, key, dir, statements(300, nil))
	r, err := verify(t, key, audit.Folder{Dir: dir}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return key, dir, r.State
}

func grow(t *testing.T, key *audit.Key, dir string, from, through uint64) {
	t.Helper()
	audit.MakeLog(t, key, dir, statements(through, nil)[from:])
}

func TestVerifyLogOverTiles(t *testing.T) {
	key, dir, since := history(t)
	grow(t, key, dir, 300, long)
	var done uint64
	r, err := audit.VerifyLog(t.Context(), audit.VerifyOptions{Files: audit.Folder{Dir: dir}, Trusted: trust(key), Since: since, Progress: func(d, total uint64) {
		if done++; d != done || total != long-256 {
			t.Errorf("progress %d of %d after %d", d, total, done-1)
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	if r.Size != long || r.From != 300 || r.First.Seq != 301 || r.Last.Seq != long {
		t.Errorf("%+v", r)
	}
	all, err := verify(t, key, audit.Folder{Dir: dir}, nil)
	if err != nil || all.Root != r.Root || all.First.Seq != 1 {
		t.Errorf("from the beginning: %+v, %v", all, err)
	}
	if r, err := verify(t, key, audit.Folder{Dir: dir}, all.State); err != nil || r.First != nil || r.Last.Seq != long {
		t.Errorf("nothing new: %+v, %v", r, err)
	}
}

// TestVerifyLogWhileItGrows reads by a checkpoint whose last tiles have been filled and tidied away since.
func TestVerifyLogWhileItGrows(t *testing.T) {
	key, dir, since := history(t)
	grow(t, key, dir, 300, long)
	for _, path := range []string{"tile/entries/001.p", "tile/0/001.p"} {
		if err := os.RemoveAll(filepath.Join(dir, path)); err != nil {
			t.Fatal(err)
		}
	}
	put(t, dir, "checkpoint", since.Checkpoint().Note)
	if r, err := verify(t, key, audit.Folder{Dir: dir}, nil); err != nil || r.Size != 300 || r.Last.Seq != 300 {
		t.Errorf("%+v, %v", r, err)
	}
}

// refused expects a proof to fail, at a place.
func refused(t *testing.T, err error, proof, where string) {
	t.Helper()
	bad := (*audit.ProofError)(nil)
	if !errors.Is(err, audit.ErrUnproven) || !errors.As(err, &bad) {
		t.Fatalf("got %v, want ErrUnproven", err)
	}
	if bad.Proof != proof || bad.Where != where {
		t.Errorf("got %v, want %s of %s", err, proof, where)
	}
}

func TestVerifyLogFindsChangedFiles(t *testing.T) {
	key, dir := newKey(t), t.TempDir()
	audit.MakeLog(t, key, dir, statements(long, nil))
	partial := filepath.Join("tile/entries/002.p", "88")
	for _, c := range []struct {
		name         string
		change       func(dir string)
		proof, where string
	}{
		{"entry", func(dir string) { flip(t, dir, "tile/entries/000", 40) }, "signature", "entry 0"},
		{"length of an entry", func(dir string) { flip(t, dir, "tile/entries/001", 1) }, "inclusion", "tile/entries/001"},
		{"last entry's signature", func(dir string) { flip(t, dir, partial, -20) }, "signature", "entry 599"},
		{"bundle of another", func(dir string) { put(t, dir, "tile/entries/000", read(t, dir, "tile/entries/001")) }, "inclusion", "tile/0/000"},
		{"tile", func(dir string) { flip(t, dir, "tile/0/001", 32*3) }, "inclusion", "tile/0/001"},
		{"partial tile", func(dir string) { flip(t, dir, "tile/0/002.p/88", 0) }, "inclusion", "tile/0/002.p/88"},
		{"upper tile", func(dir string) { flip(t, dir, "tile/1/000.p/2", 32) }, "inclusion", "tile/1/000.p/2"},
		{"tile cut", func(dir string) { put(t, dir, "tile/0/000", read(t, dir, "tile/0/000")[1:]) }, "inclusion", "tile/0/000"},
		{"tile missing", func(dir string) { remove(t, dir, "tile/0/001") }, "inclusion", "tile/0/001"},
		{"bundle missing", func(dir string) { remove(t, dir, partial) }, "inclusion", "entry 512"},
		{"checkpoint", func(dir string) { flip(t, dir, "checkpoint", 12) }, "signature", "checkpoint"},
		{"checkpoint's signature", func(dir string) { flip(t, dir, "checkpoint", -5) }, "signature", "checkpoint"},
		{"checkpoint too large", func(dir string) {
			put(t, dir, "checkpoint", append(read(t, dir, "checkpoint"), make([]byte, 60_000)...))
		}, "signature", "checkpoint"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			copied := t.TempDir()
			if err := os.CopyFS(copied, os.DirFS(dir)); err != nil {
				t.Fatal(err)
			}
			c.change(copied)
			_, err := verify(t, key, audit.Folder{Dir: copied}, nil)
			refused(t, err, c.proof, c.where)
		})
	}
	_, err := verify(t, newKey(t), audit.Folder{Dir: dir}, nil)
	refused(t, err, "signature", "checkpoint")
	_, err = audit.VerifyLog(t.Context(), audit.VerifyOptions{Files: audit.Folder{Dir: dir}, Trusted: audit.Trusted{Key: key.Public(), Cell: 2}})
	refused(t, err, "signature", "checkpoint")
	if _, err := audit.VerifyLog(t.Context(), audit.VerifyOptions{Files: audit.Folder{Dir: dir}, Trusted: audit.Trusted{Key: key.Public()}}); err != nil {
		t.Errorf("a key that names no cell: %v", err)
	}
}

// TestVerifyLogFindsRewrittenHistory has the holder of the key make another log, whose every signature is good.
func TestVerifyLogFindsRewrittenHistory(t *testing.T) {
	key, _, since := history(t)
	lie := func(n uint64, s *audit.Statement) {
		if n == 17 {
			s.Events++
		}
	}
	for name, c := range map[string]struct {
		size         uint64
		change       func(uint64, *audit.Statement)
		where, words string
	}{
		"forked and longer":         {long, lie, "the first 300 entries", "rewritten"},
		"forked, in the same tile":  {400, lie, "the first 300 entries", "rewritten"},
		"forked, of the same size":  {300, lie, "checkpoint", "rewritten"},
		"cut short":                 {299, nil, "checkpoint", "cut short"},
		"forked in its last bundle": {long, func(n uint64, s *audit.Statement) { s.Events += n / 290 }, "the first 300 entries", "rewritten"},
	} {
		dir := t.TempDir()
		audit.MakeLog(t, key, dir, statements(c.size, c.change))
		if _, err := verify(t, key, audit.Folder{Dir: dir}, nil); err != nil {
			t.Errorf("%s, by itself: %v", name, err)
		}
		_, err := verify(t, key, audit.Folder{Dir: dir}, since)
		refused(t, err, "consistency", c.where)
		if !strings.Contains(err.Error(), c.words) {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, err := verify(t, key, audit.Folder{Dir: t.TempDir()}, since)
	refused(t, err, "consistency", "checkpoint")
	if _, err := verify(t, key, audit.Folder{Dir: t.TempDir()}, nil); errors.Is(err, audit.ErrUnproven) || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no log, of which nothing is known: %v", err)
	}
}

func TestVerifyLogFindsLies(t *testing.T) {
	for name, c := range map[string]struct {
		change       func(n uint64, s *audit.Statement)
		proof, where string
	}{
		"money made":          {func(n uint64, s *audit.Statement) { s.Totals[0].CreditsPosted.Lo += n / 9 }, "totals", "entry 8"},
		"money reserved":      {func(n uint64, s *audit.Statement) { s.Totals[1].DebitsPending.Lo -= n / 3 }, "totals", "entry 2"},
		"time goes back":      {func(n uint64, s *audit.Statement) { s.Time -= 2_000 * (n / 5) }, "chain", "entry 4"},
		"block with two hash": {func(n uint64, s *audit.Statement) { s.Seq = 7 }, "chain", "entry 1"},
		"cell":                {func(n uint64, s *audit.Statement) { s.Cell = 1 + n/4 }, "chain", "entry 3"},
		"source goes back":    {func(n uint64, s *audit.Statement) { s.Sources[1].ThroughSeq = 10 - n }, "chain", "entry 1"},
		// One that is left out for a while is still held to its word.
		"source comes back": {func(n uint64, s *audit.Statement) {
			if n == 3 {
				s.Sources = s.Sources[1:]
			}
			if n == 4 {
				s.Sources[0].ThroughSeq = 1
			}
		}, "chain", "entry 3"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			key, dir := newKey(t), t.TempDir()
			audit.MakeLog(t, key, dir, statements(9, c.change))
			_, err := verify(t, key, audit.Folder{Dir: dir}, nil)
			refused(t, err, c.proof, c.where)
		})
	}
}

// broken fails to deliver some files.
type broken struct {
	audit.Files
	path string
}

var errBroken = errors.New("connection reset")

func (b broken) File(ctx context.Context, path string, limit int) ([]byte, error) {
	if path == b.path {
		return nil, errBroken
	}
	return b.Files.File(ctx, path, limit)
}

func TestWhatCannotBeFetchedIsNoFailedProof(t *testing.T) {
	key, dir := newKey(t), t.TempDir()
	audit.MakeLog(t, key, dir, statements(long, nil))
	for _, path := range []string{"checkpoint", "tile/entries/001", "tile/0/002.p/88", "tile/1/000.p/2"} {
		if _, err := verify(t, key, broken{audit.Folder{Dir: dir}, path}, nil); !errors.Is(err, errBroken) || errors.Is(err, audit.ErrUnproven) {
			t.Errorf("%s: %v", path, err)
		}
	}
	stop := errors.New("stop")
	if _, err := audit.VerifyLog(t.Context(), audit.VerifyOptions{Files: audit.Folder{Dir: dir}, Trusted: trust(key), Entry: func(uint64, *audit.Statement) error { return stop }}); !errors.Is(err, stop) {
		t.Errorf("the caller's error: %v", err)
	}
}

func TestStateIsKept(t *testing.T) {
	key, dir, since := history(t)
	b, err := since.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	again, err := audit.ReadState(b, trust(key))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(since.Checkpoint(), again.Checkpoint()); diff != "" {
		t.Error(diff)
	}
	grow(t, key, dir, 300, 310)
	if _, err := verify(t, key, audit.Folder{Dir: dir}, again); err != nil {
		t.Error(err)
	}
	for name, bad := range map[string]string{
		"empty": "", "no JSON": "{", "more": string(b) + "{}", "format": strings.Replace(string(b), `"format": 1`, `"format": 2`, 1),
		"checkpoint": strings.Replace(string(b), `\n300\n`, `\n301\n`, 1), "unknown field": strings.Replace(string(b), `"format"`, `"more": 1, "format"`, 1),
		"digest": strings.Replace(string(b), `"digest": "`, `"digest": "z`, 1), "statement": strings.Replace(string(b), `seq 300`, `seq 0300`, 1),
		"no statement": strings.Replace(string(b), `"last"`, `"xlast"`, 1),
	} {
		if _, err := audit.ReadState([]byte(bad), trust(key)); !errors.Is(err, audit.ErrState) {
			t.Errorf("%s: %v, want ErrState", name, err)
		}
	}
	if _, err := audit.ReadState(b, trust(newKey(t))); !errors.Is(err, audit.ErrState) {
		t.Errorf("by another key: %v", err)
	}
}

func BenchmarkVerifyLog(b *testing.B) {
	const size = 10_000
	key, dir := newKey(b), b.TempDir()
	audit.MakeLog(b, key, dir, statements(size, nil))
	for b.Loop() {
		if _, err := verify(b, key, audit.Folder{Dir: dir}, nil); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)*size/b.Elapsed().Seconds(), "entries/s")
}

// TestAProofMayBeTakenBack: a break that comes to light late takes back what was proven. The ledger must be able to say so,
// and who verifies is told.
func TestAProofMayBeTakenBack(t *testing.T) {
	key, dir := newKey(t), t.TempDir()
	l := open(t, key, dir)
	add(t, l, 1, 4)
	s := stated(5)
	s.SafeThrough = 1_700
	if _, err := l.Append(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	r, err := verify(t, key, audit.Folder{Dir: dir}, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := audit.Withdrawal{Entry: 4, Made: 5_005, From: 3_600, To: 1_700}
	if r.Withdrawals != 1 || r.Withdrawn == nil || *r.Withdrawn != want || r.Last.SafeThrough != 1_700 {
		t.Errorf("%d withdrawals, the last %+v, want one: %+v", r.Withdrawals, r.Withdrawn, want)
	}
	if r, err := verify(t, key, audit.Folder{Dir: dir}, r.State); err != nil || r.Withdrawals != 0 || r.Withdrawn != nil {
		t.Errorf("nothing new: %+v, %v", r, err)
	}
}
