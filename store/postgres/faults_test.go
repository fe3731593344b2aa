package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sterlingrun/sterling/cell"
	"github.com/sterlingrun/sterling/cell/celltest"
	"github.com/sterlingrun/sterling/engines"
	"github.com/sterlingrun/sterling/engines/enginestest"
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/store/postgres"
	"github.com/sterlingrun/sterling/store/storetest"
)

var rival = celltest.Writer{Cell: 1, Epoch: 2, Incarnation: 0xb2}

// server starts a server of the test's own, for what would disturb others.
func server(t *testing.T, settings map[string]string) *engines.Postgres {
	t.Helper()
	p, err := engines.StartPostgres(t.Context(), engines.Options{Settings: settings})
	enginestest.Check(t, err)
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

func brief(o *postgres.Options) { o.Timeout = 2 * time.Second }

// connect returns a connection that is closed when the test ends.
func connect(t testing.TB, dsn string) *pgx.Conn {
	t.Helper()
	c, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close(context.Background()) })
	return c
}

// until asks until the answer is yes; for half a minute.
func until(t *testing.T, dsn, query string, args ...any) {
	t.Helper()
	c := connect(t, dsn)
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); {
		var yes *bool
		if err := c.QueryRow(t.Context(), query, args...).Scan(&yes); err != nil {
			t.Fatalf("%s: %v", query, err)
		}
		if yes != nil && *yes {
			return
		}
	}
	t.Fatalf("never: %s", query)
}

// breakAll ends the sessions of all others in the database.
func breakAll(t *testing.T, dsn string) {
	t.Helper()
	run(t, dsn, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()")
}

// TestPlantedFence removes the predecessor check: the cases of the suite that a unique key alone can't keep go red.
func TestPlantedFence(t *testing.T) {
	t.Parallel()
	dsn := enginestest.Postgres(t).DSN()
	red := map[string]bool{"another predecessor conflicts": true, "a gap is refused": true, "a deposed leader's late appends conflict": true}
	for _, c := range celltest.LogCases() {
		if strings.Contains(c.Name, "contenders") || strings.Contains(c.Name, "survives") {
			continue
		}
		dsn := freshSchema(t, dsn)
		a, b := open(t, dsn, postgres.Unfenced), open(t, dsn, postgres.Unfenced)
		if err := c.Run(t.Context(), celltest.LogHarness{Log: a, Other: b}); (err != nil) != red[c.Name] {
			t.Errorf("%s: %v; without the predecessor check it has to fail: %v", c.Name, err, red[c.Name])
		}
	}
}

// TestLateAppendOfADeposedLeader: a leader's block 4 is under way, held up in the network, when another leader takes
// number 3. It arrives, and is free to be inserted by its key alone.
func TestLateAppendOfADeposedLeader(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*postgres.Options)
		enters bool
	}{
		"fenced":              {func(*postgres.Options) {}, false},
		"planted: not fenced": {postgres.Unfenced, true},
	} {
		t.Run(name, func(t *testing.T) {
			db := enginestest.Postgres(t)
			proxy, far := through(t, db, "deposed")
			old := open(t, far, brief, c.change)
			blocks := leader.Chain(0, journal.Hash{}, 4, 2)
			appendAll(t, old, blocks[:2])
			proxy.Cut()
			wantError(t, old.Append(t.Context(), blocks[3]), cell.ErrOutcomeUnknown)
			next := open(t, db.DSN())
			epoch := rival.Block(3, blocks[1].Hash, 0)
			appendAll(t, next, []*journal.Block{epoch})
			if err := old.Close(); err != nil {
				t.Fatal(err)
			}
			proxy.Heal() // now it arrives, and then the end of its connection
			until(t, db.DSN(), "SELECT count(*) = 0 FROM pg_stat_activity WHERE application_name = 'deposed'")
			_, err := next.Read(t.Context(), 4, nil)
			if entered := err == nil; entered != c.enters {
				t.Fatalf("block 4 of the deposed leader is there: %v, error %v", entered, err)
			}
		})
	}
}

// through returns a proxy to the database, and the DSN through it under an application's name.
func through(t *testing.T, db *engines.Postgres, application string) (*engines.Proxy, string) {
	t.Helper()
	u, err := url.Parse(db.DSN())
	if err != nil {
		t.Fatal(err)
	}
	proxy, err := engines.NewProxy(net.JoinHostPort("127.0.0.1", fmt.Sprint(db.Port())))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = proxy.Close() })
	u.Host = proxy.Addr()
	return proxy, with(u.String(), "application_name", application)
}

// TestAppendIsNeverCancelled: an append whose context ends is left to the server. It waits for a table lock; once that
// is gone it is there, though nobody waits for it any more. The same bytes again are no second block.
func TestAppendIsNeverCancelled(t *testing.T) {
	dsn := enginestest.Postgres(t).DSN()
	s := open(t, dsn)
	blocks := leader.Chain(0, journal.Hash{}, 2, 1)
	appendAll(t, s, blocks[:1])
	c := connect(t, dsn)
	for _, statement := range []string{"BEGIN", "LOCK TABLE sterling_block IN SHARE ROW EXCLUSIVE MODE"} {
		if _, err := c.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	result := make(chan error)
	go func() { result <- s.Append(ctx, blocks[1]) }()
	until(t, dsn, "SELECT count(*) > 0 FROM pg_locks WHERE NOT granted AND relation = 'sterling_block'::regclass")
	cancel()
	wantError(t, <-result, cell.ErrOutcomeUnknown)
	if _, err := c.Exec(t.Context(), "COMMIT"); err != nil {
		t.Fatal(err)
	}
	until(t, dsn, "SELECT count(*) = 2 FROM sterling_block")
	appendAll(t, s, blocks)
	wantHead(t, s, blocks[1])
}

// TestLockTimeout: the own bytes' commit is still under way elsewhere; the append gives up, and comes through later.
func TestLockTimeout(t *testing.T) {
	t.Parallel()
	dsn := enginestest.Postgres(t).DSN()
	s := open(t, dsn)
	b := leader.Block(1, journal.Hash{}, 1)
	c := connect(t, dsn)
	for _, statement := range []string{"BEGIN", "LOCK TABLE sterling_block IN SHARE ROW EXCLUSIVE MODE"} {
		if _, err := c.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	err := s.Append(t.Context(), b)
	wantError(t, err, cell.ErrOutcomeUnknown)
	if !strings.Contains(err.Error(), "55P03") {
		t.Errorf("the server did not give up by itself: %v", err)
	}
	if _, err := c.Exec(t.Context(), "COMMIT"); err != nil {
		t.Fatal(err)
	}
	appendAll(t, s, []*journal.Block{b})
}

// TestServerCrashes kills the whole server under load.
func TestServerCrashes(t *testing.T) {
	t.Parallel()
	p := server(t, nil)
	s := open(t, p.DSN(), func(o *postgres.Options) { o.Timeout = 10 * time.Second })
	storetest.Crashes(t, s, 3, func() error { return errors.Join(p.Kill(), p.Restart(t.Context())) })
}

// TestServerStops: a server that answers nothing makes an unknown outcome in time, and the same bytes come through when
// it goes on.
func TestServerStops(t *testing.T) {
	t.Parallel()
	p := server(t, nil)
	s := open(t, p.DSN(), brief)
	blocks := leader.Chain(0, journal.Hash{}, 3, 1)
	appendAll(t, s, blocks[:1])
	if err := p.Stop(); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the connection that hangs, and one that can't be made
		wantError(t, s.Append(t.Context(), blocks[1]), cell.ErrOutcomeUnknown)
	}
	if _, _, err := s.Head(t.Context()); err == nil {
		t.Error("a stopped server answers")
	}
	if err := p.Continue(); err != nil {
		t.Fatal(err)
	}
	appendAll(t, s, blocks[1:])
	wantHead(t, s, blocks[2])
}

// TestHostThatHangs: of several hosts one takes connections and never answers; the other is used within the time of one
// append.
func TestHostThatHangs(t *testing.T) {
	t.Parallel()
	db := enginestest.Postgres(t)
	hung, _ := through(t, db, "hung")
	hung.Cut()
	real := net.JoinHostPort("127.0.0.1", fmt.Sprint(db.Port()))
	s := open(t, strings.Replace(db.DSN(), real, hung.Addr()+","+real, 1), func(o *postgres.Options) { o.Timeout = 2 * time.Second })
	blocks := leader.Chain(0, journal.Hash{}, 2, 1)
	appendAll(t, s, blocks)
	wantHead(t, s, blocks[1])
}

// TestHostIsCutOff: the host that a store talks to falls silent. One append and one read run into it; the next ones are
// made to the other host, whatever connections were open.
func TestHostIsCutOff(t *testing.T) {
	t.Parallel()
	db := enginestest.Postgres(t)
	first, _ := through(t, db, "first")
	real := net.JoinHostPort("127.0.0.1", fmt.Sprint(db.Port()))
	s := open(t, strings.Replace(db.DSN(), real, first.Addr()+","+real, 1), func(o *postgres.Options) { o.Timeout = 2 * time.Second })
	blocks := leader.Chain(0, journal.Hash{}, 3, 1)
	appendAll(t, s, blocks[:1])
	manyReads(t, s, blocks[0])
	first.Cut()
	if _, _, err := s.Head(t.Context()); err == nil {
		t.Fatal("a silent host gave a head")
	}
	wantHead(t, s, blocks[0])
	wantError(t, s.Append(t.Context(), blocks[1]), cell.ErrOutcomeUnknown)
	appendAll(t, s, blocks[1:])
	wantHead(t, s, blocks[2])
}

// TestSilenceInTheMiddle: the server falls silent between two blocks that are read in bulk. That is found in time, without
// a time-out of the caller's.
func TestSilenceInTheMiddle(t *testing.T) {
	t.Parallel()
	db := enginestest.Postgres(t)
	proxy, far := through(t, db, "bulk")
	s, near := open(t, far, brief), open(t, db.DSN())
	var prev journal.Hash
	for seq := uint64(1); seq <= 12; seq++ { // more than what can be under way
		b := storetest.Largest(seq, prev)
		appendAll(t, near, []*journal.Block{b})
		prev = b.Hash
	}
	blocks := 0
	err := s.ReadFrom(context.WithoutCancel(t.Context()), 1, 12, 64<<20, func(uint64, []byte) error {
		proxy.Cut()
		blocks++
		return nil
	})
	if err == nil || blocks == 0 || blocks == 12 {
		t.Fatalf("%d blocks, error %v; want a few and an error", blocks, err)
	}
}

// manyReads makes a store open all the connections for reads that it may have.
func manyReads(t *testing.T, s *postgres.Store, b *journal.Block) {
	t.Helper()
	results := make(chan error)
	for range 32 {
		go func() {
			_, err := s.Read(t.Context(), b.Header.Seq, nil)
			results <- err
		}()
	}
	for range 32 {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
}

// TestWarningAtCommit: a commit waits for a standby that isn't there, an administrator cancels it, and the server says
// COMMIT, with a warning. That is no acknowledgement.
func TestWarningAtCommit(t *testing.T) {
	t.Parallel()
	p := server(t, nil)
	s := open(t, p.DSN(), func(o *postgres.Options) { o.Timeout = 20 * time.Second })
	type outcome struct {
		b   *journal.Block
		err error
	}
	result := make(chan outcome)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() { // until the server has taken note of its new settings
		for b := leader.Block(1, journal.Hash{}, 1); ; b = leader.Block(b.Header.Seq+1, b.Hash, 1) {
			if err := s.Append(ctx, b); err != nil {
				result <- outcome{b, err}
				return
			}
		}
	}()
	run(t, p.DSN(), "ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
	run(t, p.DSN(), "SELECT pg_reload_conf()")
	waiting := "FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
	until(t, p.DSN(), "SELECT count(*) = 1 "+waiting)
	run(t, p.DSN(), "SELECT pg_cancel_backend(pid) "+waiting)
	doubtful := <-result
	err := doubtful.err
	wantError(t, err, cell.ErrOutcomeUnknown)
	if !strings.Contains(err.Error(), "WARNING") {
		t.Errorf("the error does not tell the warning: %v", err)
	}
	r, err := s.Check(t.Context())
	if err != nil || r.Fit() || r.Failover {
		t.Errorf("without the standby that commits wait for: %+v, error %v", r, err)
	}
	run(t, p.DSN(), "ALTER SYSTEM RESET synchronous_standby_names")
	run(t, p.DSN(), "SELECT pg_reload_conf()")
	until(t, p.DSN(), "SELECT setting = '' FROM pg_settings WHERE name = 'synchronous_standby_names'")
	next := leader.Block(doubtful.b.Header.Seq+1, doubtful.b.Hash, 1)
	appendAll(t, s, []*journal.Block{doubtful.b, next})
	wantHead(t, s, next)
}

// TestReadOnlyServer: what takes no writes is no place to append to, nor to recover from.
func TestReadOnlyServer(t *testing.T) {
	db := enginestest.Postgres(t)
	s := open(t, db.DSN())
	blocks := leader.Chain(0, journal.Hash{}, 2, 1)
	appendAll(t, s, blocks[:1])
	name := ask[string](t, db.DSN(), "SELECT current_database()")
	run(t, db.DSN(), "ALTER DATABASE "+name+" SET default_transaction_read_only = on")
	run(t, db.DSN(), "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1 AND pid <> pg_backend_pid()", name)
	for range 2 {
		wantError(t, s.Append(t.Context(), blocks[1]), cell.ErrOutcomeUnknown)
	}
	for range 5 { // more than connections that were there before
		if _, _, err := s.Head(t.Context()); err == nil {
			t.Fatal("a server that takes no writes gave a head")
		}
	}
	if _, err := postgres.Open(t.Context(), postgres.Options{DSN: db.DSN(), Cell: 1}); err == nil {
		t.Fatal("a server that takes no writes was opened")
	}
	run(t, enginestest.Postgres(t).DSN(), "ALTER DATABASE "+name+" RESET default_transaction_read_only")
	appendAll(t, s, blocks[1:])
}

// TestRefused: what the engine says of the statement itself, by a trigger that says it.
func TestRefused(t *testing.T) {
	dsn := enginestest.Postgres(t).DSN()
	s := open(t, dsn)
	b := leader.Block(1, journal.Hash{}, 1)
	for code, want := range map[string]error{
		"53100": cell.ErrFull,
		"40001": cell.ErrOutcomeUnknown, "40P01": cell.ErrOutcomeUnknown, "57P01": cell.ErrOutcomeUnknown,
		"25006": cell.ErrOutcomeUnknown, "XX000": cell.ErrOutcomeUnknown,
		"42501": nil, "23514": nil, "22001": nil,
	} {
		run(t, dsn, fmt.Sprintf(`CREATE OR REPLACE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'planted' USING ERRCODE = '%s'; END $$`, code))
		run(t, dsn, "CREATE TRIGGER refuse BEFORE INSERT ON sterling_block EXECUTE FUNCTION refuse()")
		err := s.Append(t.Context(), b)
		for _, e := range []error{cell.ErrFull, cell.ErrOutcomeUnknown, cell.ErrConflict} {
			if err == nil || errors.Is(err, e) != errors.Is(want, e) {
				t.Errorf("%s: got error %v, want %v", code, err, want)
			}
		}
		run(t, dsn, "DROP TRIGGER refuse ON sterling_block")
	}
	appendAll(t, s, []*journal.Block{b})
}

// TestNoTable: an append that no repetition helps is not to be repeated, on the open connection or on a new one.
func TestNoTable(t *testing.T) {
	dsn := enginestest.Postgres(t).DSN()
	s := open(t, dsn)
	blocks := leader.Chain(0, journal.Hash{}, 2, 1)
	appendAll(t, s, blocks[:1])
	run(t, dsn, "ALTER TABLE sterling_block RENAME TO elsewhere")
	for range 2 {
		err := s.Append(t.Context(), blocks[1])
		if err == nil || errors.Is(err, cell.ErrOutcomeUnknown) || errors.Is(err, cell.ErrConflict) {
			t.Fatalf("got error %v, want a refusal", err)
		}
	}
	run(t, dsn, "ALTER TABLE elsewhere RENAME TO sterling_block")
	appendAll(t, s, blocks[1:])
}

// TestSession: whatever the defaults of the role are, an append's session is fit.
func TestSession(t *testing.T) {
	dsn := enginestest.Postgres(t).DSN()
	name, other := ask[string](t, dsn, "SELECT current_database()"), enginestest.Postgres(t).DSN()
	for setting, value := range map[string]string{
		"synchronous_commit": "off", "statement_timeout": "1", "client_min_messages": "error",
		"default_transaction_isolation": "serializable", "lock_timeout": "1",
	} {
		run(t, other, "ALTER DATABASE "+name+" SET "+setting+" = '"+value+"'")
	}
	s := open(t, with(dsn, "statement_timeout", "10000")) // of reads and migrations, which are the caller's to bound
	appendAll(t, s, leader.Chain(0, journal.Hash{}, 3, journal.MaxEvents))
	r, err := s.Check(t.Context())
	if err != nil || !r.Fit() || r.Failover {
		t.Fatalf("%+v, error %v, %v", r, err, r.Err())
	}
}

// TestUnfit: a server that may forget is found out.
func TestUnfit(t *testing.T) {
	t.Parallel()
	p := server(t, map[string]string{"fsync": "off", "full_page_writes": "off"})
	r, err := open(t, p.DSN()).Check(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if r.Fit() || r.Engine != postgres.PostgreSQL || !strings.Contains(r.Version, "PostgreSQL") {
		t.Errorf("%+v", r)
	}
	for _, name := range []string{"fsync is off", "full_page_writes is off"} {
		if !strings.Contains(r.Err().Error(), name) {
			t.Errorf("the report does not say that %s: %v", name, r.Err())
		}
	}
}
