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
	"github.com/sterlingrun/sterling/store/local"
	"github.com/sterlingrun/sterling/store/postgres"
	"github.com/sterlingrun/sterling/store/storetest"
)

var (
	leader = celltest.Writer{Cell: 1, Epoch: 1, Incarnation: 0xa1}

	schemas atomic.Uint64
)

// database returns the DSN of a database: an empty one of the test binary's own server, or STERLING_TEST_DSN, which may
// be any engine that speaks PostgreSQL's protocol.
func database(t testing.TB) string {
	t.Helper()
	if dsn := os.Getenv("STERLING_TEST_DSN"); strings.HasPrefix(dsn, "postgres") {
		return dsn
	}
	return enginestest.Postgres(t).DSN()
}

// fresh returns the DSN of an empty schema.
func fresh(t testing.TB) string {
	t.Helper()
	return freshSchema(t, database(t))
}

// freshSchema returns dsn with an empty schema of its own, which is dropped when the test ends.
func freshSchema(t testing.TB, dsn string) string {
	t.Helper()
	name := fmt.Sprintf("sterling_test_%d_%d", os.Getpid(), schemas.Add(1))
	run(t, dsn, "CREATE SCHEMA "+name)
	t.Cleanup(func() { run(t, dsn, "DROP SCHEMA "+name+" CASCADE") })
	return with(dsn, "search_path", name)
}

// with adds a parameter to a DSN, which may name several hosts.
func with(dsn, name, value string) string {
	separator := "?"
	if strings.Contains(dsn, "?") {
		separator = "&"
	}
	return dsn + separator + name + "=" + url.QueryEscape(value)
}

// run executes one statement on a connection of its own.
func run(t testing.TB, dsn, statement string, args ...any) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	c, err := pgx.Connect(ctx, dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close(ctx) }()
	if _, err := c.Exec(ctx, statement, args...); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

// ask returns the one value that a query gives.
func ask[V any](t testing.TB, dsn, query string, args ...any) (v V) {
	t.Helper()
	c := connect(t, dsn)
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
	t.Parallel()
	db := database(t)
	celltest.Logs(t, func(t *testing.T) celltest.LogHarness {
		dsn := freshSchema(t, db)
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
	storetest.ReadFrom(t, open(t, dsn), func(seq uint64) {
		run(t, dsn, fmt.Sprintf("DELETE FROM sterling_block WHERE cell = 1 AND seq = %d", seq))
	})
}

// TestDamage alters a stored row in every column: no read may return it.
func TestDamage(t *testing.T) {
	t.Parallel()
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
	storetest.Leases(t, open(t, dsn), open(t, dsn))
}

func TestMaps(t *testing.T) {
	dsn := fresh(t)
	one, two := open(t, dsn), open(t, dsn, func(o *postgres.Options) { o.Cell = 2 })
	storetest.Maps(t, one, two)
	storetest.MapContention(t, []storetest.Mapper{one, two, open(t, dsn)}, 20)
}

func TestDocuments(t *testing.T) {
	dsn := fresh(t)
	storetest.KeepsDocuments(t, open(t, dsn), open(t, dsn), open(t, dsn, func(o *postgres.Options) { o.Cell = 2 }))
}

func TestLedgerDocuments(t *testing.T) {
	dsn := fresh(t)
	two := open(t, dsn, func(o *postgres.Options) { o.Cell = 2 })
	storetest.KeepsLedgerDocuments(t, open(t, dsn), two, open(t, dsn))
	if names, err := two.Documents(t.Context(), ""); err != nil || len(names) != 0 {
		t.Errorf("they are documents %q of a cell, error %v", names, err)
	}
}

func TestLeaseContention(t *testing.T) {
	dsn := fresh(t)
	stores := make([]cell.Leases, 4)
	for i := range stores {
		stores[i] = open(t, dsn)
	}
	storetest.Contention(t, stores, 10)
}

func TestCell(t *testing.T) {
	dsn := fresh(t)
	storetest.Cell(t, func() cell.Log { return open(t, dsn) }, func() cell.Snapshots { return snapshots(t) })
}

// snapshots is an empty place for snapshots: a local disk's.
func snapshots(t testing.TB) cell.Snapshots {
	t.Helper()
	disk, err := local.Open(t.TempDir(), local.Options{Cell: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = disk.Close() })
	return disk.Snapshots()
}

// TestRace is a race of 16 writers, each with connections of its own.
func TestRace(t *testing.T) {
	t.Parallel()
	dsn := fresh(t)
	logs := make([]cell.Log, 16)
	for i := range logs {
		logs[i] = open(t, dsn)
	}
	if err := storetest.Race(t.Context(), logs, 25, 1); err != nil {
		t.Fatal(err)
	}
}

// TestRaceWithBrokenConnections is a race in which the server breaks all connections now and then: some outcomes are
// unknown.
func TestRaceWithBrokenConnections(t *testing.T) {
	dsn := enginestest.Postgres(t).DSN() // it ends all sessions of the database
	logs := make([]cell.Log, 6)
	for i := range logs {
		logs[i] = open(t, dsn)
	}
	result := make(chan error)
	go func() { result <- storetest.Race(t.Context(), logs, 60, 2) }()
	for seq := 5; seq <= 25; seq += 10 {
		until(t, dsn, fmt.Sprintf("SELECT MAX(seq) >= %d FROM sterling_block", seq))
		breakAll(t, dsn)
	}
	if err := <-result; err != nil {
		t.Fatal(err)
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
	if n := ask[int](t, dsn, "SELECT count(*) FROM sterling_store_version WHERE version_id > 0"); n != 4 {
		t.Errorf("%d migrations are noted, want 4", n)
	}
}

// TestLeastPrivileges: once the schema is there, a user needs no more than the documentation says.
func TestLeastPrivileges(t *testing.T) {
	dsn := enginestest.Postgres(t).DSN()
	open(t, dsn)
	role := fmt.Sprintf("clerk_%d", schemas.Add(1))
	for _, statement := range []string{
		"CREATE ROLE " + role + " LOGIN PASSWORD 'pw'",
		"GRANT SELECT ON sterling_store_version TO " + role,
		"GRANT SELECT, INSERT ON sterling_block TO " + role,
		"GRANT SELECT, INSERT ON sterling_map TO " + role,
		"GRANT SELECT, INSERT, UPDATE, DELETE ON sterling_lease TO " + role,
		"GRANT SELECT, INSERT, UPDATE, DELETE ON sterling_document TO " + role,
	} {
		run(t, dsn, statement)
	}
	t.Cleanup(func() { run(t, dsn, "DROP OWNED BY "+role); run(t, dsn, "DROP ROLE "+role) })
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword(role, "pw")
	s := open(t, u.String())
	blocks := leader.Chain(0, journal.Hash{}, 2, 1)
	appendAll(t, s, blocks)
	appendAll(t, s, blocks[1:])
	wantHead(t, s, blocks[1])
	storetest.Leases(t, s, s)
	storetest.Maps(t, s, s)
	storetest.KeepsDocuments(t, s, s, open(t, u.String(), func(o *postgres.Options) { o.Cell = 2 }))
	if r, err := s.Check(t.Context()); err != nil || !r.Fit() {
		t.Errorf("%+v, error %v", r, err)
	}
}
