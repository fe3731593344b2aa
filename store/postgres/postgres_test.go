package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sterlingrun/sterling/cell"
	"github.com/sterlingrun/sterling/cell/celltest"
	"github.com/sterlingrun/sterling/engines/enginestest"
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/store/postgres"
)

var (
	leader = celltest.Writer{Cell: 1, Epoch: 1, Incarnation: 0xa1}
	rival  = celltest.Writer{Cell: 1, Epoch: 2, Incarnation: 0xb2}

	schemas atomic.Uint64
)

// fresh returns the DSN of an empty schema: of the test binary's own server, or of STERLING_TEST_DSN, which may be any
// engine that speaks PostgreSQL's protocol.
func fresh(t testing.TB) string {
	t.Helper()
	if dsn := os.Getenv("STERLING_TEST_DSN"); strings.HasPrefix(dsn, "postgres") {
		return freshSchema(t, dsn)
	}
	return enginestest.Postgres(t).DSN()
}

// freshSchema returns dsn with an empty schema of its own, which is dropped when the test ends.
func freshSchema(t testing.TB, dsn string) string {
	t.Helper()
	name := fmt.Sprintf("sterling_test_%d_%d", os.Getpid(), schemas.Add(1))
	run(t, dsn, "CREATE SCHEMA "+name)
	t.Cleanup(func() { run(t, dsn, "DROP SCHEMA "+name+" CASCADE") })
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	q.Set("search_path", name)
	u.RawQuery = q.Encode()
	return u.String()
}

// run executes one statement on a connection of its own.
func run(t testing.TB, dsn, statement string, args ...any) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	c, err := pgx.Connect(ctx, dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(ctx)
	if _, err := c.Exec(ctx, statement, args...); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

// ask returns the one value that a query gives.
func ask[V any](t testing.TB, dsn, query string, args ...any) (v V) {
	t.Helper()
	c, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(context.Background())
	if err := c.QueryRow(t.Context(), query, args...).Scan(&v); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return v
}

func open(t testing.TB, dsn string, change ...func(*postgres.Options)) *postgres.Store {
	t.Helper()
	o := postgres.Options{DSN: dsn, Cell: 1}
	for _, f := range change {
		f(&o)
	}
	s, err := postgres.Open(t.Context(), o)
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

func appendAll(t testing.TB, l cell.Log, blocks []*journal.Block) {
	t.Helper()
	for _, b := range blocks {
		if err := l.Append(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	}
}

func wantHead(t testing.TB, l cell.Log, b *journal.Block) {
	t.Helper()
	seq, hash, err := l.Head(t.Context())
	if err != nil || seq != b.Header.Seq || hash != b.Hash {
		t.Fatalf("the head is block %d with hash %v, error %v; want block %d with %v", seq, hash, err, b.Header.Seq, b.Hash)
	}
}

func wantError(t testing.TB, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("got error %v, want %v", err, want)
	}
}

func TestConformance(t *testing.T) {
	celltest.Logs(t, func(t *testing.T) celltest.LogHarness {
		dsn := fresh(t)
		a, b := open(t, dsn), open(t, dsn)
		return celltest.LogHarness{Log: a, Other: b, Reopen: func() (cell.Log, error) {
			return open(t, dsn), errors.Join(a.Close(), b.Close())
		}}
	})
}

func TestCellsShareASchema(t *testing.T) {
	dsn := fresh(t)
	one, two := open(t, dsn), open(t, dsn, func(o *postgres.Options) { o.Cell = 2 })
	ours := leader.Chain(0, journal.Hash{}, 3, 1)
	theirs := celltest.Writer{Cell: 2, Epoch: 1, Incarnation: 3}.Chain(0, journal.Hash{}, 2, 1)
	appendAll(t, one, ours)
	appendAll(t, two, theirs)
	wantHead(t, one, ours[2])
	wantHead(t, two, theirs[1])
	wantError(t, one.Append(t.Context(), theirs[0]), postgres.ErrWrongCell)
}

func TestOptions(t *testing.T) {
	for name, o := range map[string]postgres.Options{
		"no cell":          {},
		"cell too large":   {Cell: 1 << 63},
		"short time-out":   {Cell: 1, Timeout: time.Millisecond},
		"too many readers": {Cell: 1, Readers: 65},
		"malformed DSN":    {Cell: 1, DSN: "postgres://x:secret@:port/"},
	} {
		s, err := postgres.Open(t.Context(), o)
		if err == nil {
			_ = s.Close()
			t.Errorf("%s: opened", name)
		} else if strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: the error tells the password: %v", name, err)
		}
	}
}

func TestClosed(t *testing.T) {
	s := open(t, fresh(t))
	b := leader.Block(1, journal.Hash{}, 1)
	appendAll(t, s, []*journal.Block{b})
	if err := errors.Join(s.Close(), s.Close()); err != nil {
		t.Fatal(err)
	}
	if err := s.Append(t.Context(), b); err == nil || errors.Is(err, cell.ErrOutcomeUnknown) {
		t.Fatalf("append to a closed store: %v", err)
	}
	if _, _, err := s.Head(t.Context()); err == nil {
		t.Fatal("a closed store has a head")
	}
}

func TestReadFrom(t *testing.T) {
	dsn := fresh(t)
	s := open(t, dsn)
	blocks := leader.Chain(0, journal.Hash{}, 40, 1, 20, 0)
	appendAll(t, s, blocks)
	size := func(from, to int) (n int) {
		for _, b := range blocks[from-1 : to] {
			n += len(b.Raw)
		}
		return n
	}
	run(t, dsn, "DELETE FROM sterling_block WHERE cell = 1 AND seq = 31") // nothing of ours makes such a gap
	for _, c := range []struct {
		from              uint64
		maxBlocks, maxLen int
		last              uint64 // from-1: none
	}{
		{1, 1, 1, 1},
		{1, 7, 1 << 20, 7},
		{1, 100, 1 << 20, 30},
		{2, 100, size(2, 9), 9},
		{2, 100, size(2, 9) - 1, 8},
		{2, 100, 1, 2},
		{30, 5, 1 << 20, 30},
		{31, 5, 1 << 20, 30},
		{32, 100, 1 << 20, 40},
		{41, 5, 1 << 20, 40},
		{journal.MaxSeq, 5, 1 << 20, journal.MaxSeq - 1},
	} {
		next := c.from
		err := s.ReadFrom(t.Context(), c.from, c.maxBlocks, c.maxLen, func(seq uint64, raw []byte) error {
			if seq != next || string(raw) != string(blocks[seq-1].Raw) {
				t.Fatalf("from %d: got block %d with %d bytes, want block %d", c.from, seq, len(raw), next)
			}
			next++
			return nil
		})
		if err != nil || next-1 != c.last {
			t.Errorf("%d blocks, %d bytes from %d: up to %d, error %v; want up to %d", c.maxBlocks, c.maxLen, c.from, next-1, err, c.last)
		}
	}
	enough := errors.New("enough")
	err := s.ReadFrom(t.Context(), 1, 10, 1<<20, func(seq uint64, _ []byte) error {
		if seq == 3 {
			return enough
		}
		return nil
	})
	wantError(t, err, enough)
	for _, c := range [][3]int{{0, 1, 1}, {1, 0, 1}, {1, 1, 0}} {
		if err := s.ReadFrom(t.Context(), uint64(c[0]), c[1], c[2], nil); err == nil {
			t.Errorf("%v was taken", c)
		}
	}
}

// TestDamage alters a stored row in every column: no read may return it.
func TestDamage(t *testing.T) {
	dsn := fresh(t)
	s := open(t, dsn)
	blocks := leader.Chain(0, journal.Hash{}, 3, 5)
	appendAll(t, s, blocks)
	for column, altered := range map[string]string{
		"hash": `sha256(hash)`, "prev": `sha256(prev)`, "epoch": "epoch + 1", "kind": "3", "time": "time + 1",
		"acknowledged": "acknowledged - 1", "size": "size - 1",
		"body":                                 `set_byte(body, 300, get_byte(body, 300) # 1)`,
		"body = ''::bytea, size":               "1",
		"body = body || 'x'::bytea, size":      "size + 1",
		"body = substring(body, 1, 300), size": "300",
	} {
		t.Run(column, func(t *testing.T) {
			run(t, dsn, "CREATE TABLE kept AS SELECT * FROM sterling_block WHERE seq = 2")
			run(t, dsn, "UPDATE sterling_block SET "+column+" = "+altered+" WHERE cell = 1 AND seq = 2")
			_, err := s.Read(t.Context(), 2, nil)
			wantError(t, err, cell.ErrDamaged)
			for _, part := range []string{"sterling_block", "cell 1", "seq 2"} {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("the error does not name %s: %v", part, err)
				}
			}
			wantError(t, s.ReadFrom(t.Context(), 1, 3, 1<<20, func(uint64, []byte) error { return nil }), cell.ErrDamaged)
			if column == "size" {
				wantError(t, s.ReadAt(t.Context(), 2, make([]byte, 8), 0), cell.ErrDamaged)
			}
			run(t, dsn, "DELETE FROM sterling_block WHERE seq = 2")
			run(t, dsn, "INSERT INTO sterling_block SELECT * FROM kept")
			run(t, dsn, "DROP TABLE kept")
			if _, err := s.Read(t.Context(), 2, nil); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestLease(t *testing.T) {
	dsn := fresh(t)
	s, other := open(t, dsn), open(t, dsn)
	ctx := t.Context()
	a, b := [16]byte{1}, [16]byte{2}
	take := func(s *postgres.Store, holder [16]byte, ttl time.Duration) cell.Lease {
		t.Helper()
		l, err := s.Lease(ctx, cell.LeaseRequest{Holder: holder, Address: fmt.Sprintf("host%d:1", holder[0]), TTL: ttl})
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	if l, err := s.Leader(ctx); err != nil || l.Holder != [16]byte{} || l.Remaining != 0 || l.Held || l.Now.IsZero() {
		t.Fatalf("nobody's lease: %+v, error %v", l, err)
	}
	if l := take(s, a, time.Minute); !l.Held || l.Holder != a || l.Address != "host1:1" || l.Remaining <= 50*time.Second || l.Remaining > time.Minute {
		t.Fatalf("the first lease: %+v", l)
	}
	if l := take(other, b, time.Minute); l.Held || l.Holder != a || l.Address != "host1:1" {
		t.Fatalf("a second holder: %+v", l)
	}
	if l := take(s, a, 10*time.Minute); !l.Held || l.Remaining <= 9*time.Minute {
		t.Fatalf("renewed: %+v", l)
	}
	if err := other.Release(ctx, b); err != nil {
		t.Fatal(err)
	}
	if l, err := other.Leader(ctx); err != nil || l.Holder != a || l.Held {
		t.Fatalf("after another's release: %+v, error %v", l, err)
	}
	if err := s.Release(ctx, a); err != nil {
		t.Fatal(err)
	}
	if l := take(other, b, 100*time.Millisecond); !l.Held || l.Holder != b {
		t.Fatalf("after the release: %+v", l)
	}
	for l := take(s, a, time.Minute); !l.Held; l = take(s, a, time.Minute) { // it ends by itself
		if l.Holder != b && l.Holder != [16]byte{} {
			t.Fatalf("waiting for b's lease to end: %+v", l)
		}
	}
	for _, r := range []cell.LeaseRequest{
		{TTL: time.Second},
		{Holder: a, TTL: 99 * time.Millisecond},
		{Holder: a, TTL: 11 * time.Minute},
		{Holder: a, TTL: time.Second, Address: strings.Repeat("x", 256)},
	} {
		if _, err := s.Lease(ctx, r); err == nil {
			t.Errorf("%+v was taken", r)
		}
	}
}

// TestSchemaOfANewerProgram: what a newer program made is not touched.
func TestSchemaOfANewerProgram(t *testing.T) {
	dsn := fresh(t)
	open(t, dsn)
	run(t, dsn, "INSERT INTO sterling_store_version (version_id, is_applied) VALUES (99, true)")
	s, err := postgres.Open(t.Context(), postgres.Options{DSN: dsn, Cell: 1})
	if err == nil {
		_ = s.Close()
	}
	wantError(t, err, postgres.ErrNewerSchema)
}

// TestOpenAtOnce: many nodes start on an empty database.
func TestOpenAtOnce(t *testing.T) {
	dsn := fresh(t)
	results := make(chan error)
	for range 8 {
		go func() {
			s, err := postgres.Open(t.Context(), postgres.Options{DSN: dsn, Cell: 1})
			if err == nil {
				err = s.Close()
			}
			results <- err
		}()
	}
	for range 8 {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
	if n := ask[int](t, dsn, "SELECT count(*) FROM sterling_store_version WHERE version_id > 0"); n != 2 {
		t.Errorf("%d migrations are noted, want 2", n)
	}
}
