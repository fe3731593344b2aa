package mysql_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	driver "github.com/go-sql-driver/mysql"

	"github.com/sterlingrun/sterling/cell"
	"github.com/sterlingrun/sterling/cell/celltest"
	"github.com/sterlingrun/sterling/engines"
	"github.com/sterlingrun/sterling/engines/enginestest"
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/store/mysql"
	"github.com/sterlingrun/sterling/store/storetest"
)

var rival = celltest.Writer{Cell: 1, Epoch: 2, Incarnation: 0xb2}

// server starts a server of the test's own, for what would disturb others.
func server(t *testing.T, settings map[string]string) *engines.MariaDB {
	t.Helper()
	m, err := engines.StartMariaDB(t.Context(), engines.Options{Settings: settings})
	enginestest.Check(t, err)
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
	return m
}

func brief(o *mysql.Options) { o.Timeout = 2 * time.Second }

// until asks until the answer is 1; for half a minute.
func until(t *testing.T, dsn, query string, args ...any) {
	t.Helper()
	db := connect(t, dsn)
	defer db.Close()
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); {
		var yes sql.NullInt64
		if err := db.QueryRowContext(t.Context(), query, args...).Scan(&yes); err != nil {
			t.Fatalf("%s: %v", query, err)
		}
		if yes.Int64 == 1 {
			return
		}
	}
	t.Fatalf("never: %s", query)
}

// breakAll ends the sessions of all others in the database.
func breakAll(t *testing.T, dsn string) {
	t.Helper()
	db := connect(t, dsn)
	defer db.Close()
	rows, err := db.QueryContext(t.Context(), "SELECT id FROM information_schema.processlist WHERE db = DATABASE() AND id <> CONNECTION_ID()")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var id int64
		if err := rows.Scan(&id); err != nil {
			t.Fatal(err)
		}
		_, _ = db.ExecContext(t.Context(), fmt.Sprintf("KILL %d", id)) // it may have ended by itself
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
}

// TestPlantedFence removes the predecessor check: the cases of the suite that a unique key alone can't keep go red.
func TestPlantedFence(t *testing.T) {
	t.Parallel()
	red := map[string]bool{"another predecessor conflicts": true, "a gap is refused": true, "a deposed leader's late appends conflict": true}
	for _, c := range celltest.LogCases() {
		if strings.Contains(c.Name, "contenders") || strings.Contains(c.Name, "survives") {
			continue
		}
		dsn := enginestest.MariaDB(t).DSN()
		a, b := open(t, dsn, mysql.Unfenced), open(t, dsn, mysql.Unfenced)
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
		change func(*mysql.Options)
		enters bool
	}{
		"fenced":              {func(*mysql.Options) {}, false},
		"planted: not fenced": {mysql.Unfenced, true},
	} {
		t.Run(name, func(t *testing.T) {
			db := enginestest.MariaDB(t)
			proxy, far := through(t, db)
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
			until(t, db.DSN(), "SELECT COUNT(*) <= ? FROM information_schema.processlist WHERE db = DATABASE()", 1+next.Connections())
			_, err := next.Read(t.Context(), 4, nil)
			if entered := err == nil; entered != c.enters {
				t.Fatalf("block 4 of the deposed leader is there: %v, error %v", entered, err)
			}
		})
	}
}

// through returns a proxy to the database, and the DSN through it.
func through(t *testing.T, db *engines.MariaDB) (*engines.Proxy, string) {
	t.Helper()
	c, err := driver.ParseDSN(db.DSN())
	if err != nil {
		t.Fatal(err)
	}
	proxy, err := engines.NewProxy(net.JoinHostPort("127.0.0.1", fmt.Sprint(db.Port())))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = proxy.Close() })
	c.Addr = proxy.Addr()
	return proxy, c.FormatDSN()
}

// TestRowLock: another connection is still inserting the own bytes. The append waits, gives up with nothing written,
// and comes through later, whatever became of the other.
func TestRowLock(t *testing.T) {
	t.Parallel()
	for _, end := range []string{"COMMIT", "ROLLBACK"} {
		t.Run(end, func(t *testing.T) {
			dsn := enginestest.MariaDB(t).DSN()
			s, second := open(t, dsn), open(t, enginestest.MariaDB(t).DSN())
			blocks := leader.Chain(0, journal.Hash{}, 3, 1)
			appendAll(t, s, blocks[:1])
			appendAll(t, second, blocks[:2])
			holder := connect(t, dsn)
			defer holder.Close()
			tx, err := holder.BeginTx(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			insertCopy(t, tx, blocks[1])
			err = s.Append(t.Context(), blocks[1])
			wantError(t, err, cell.ErrOutcomeUnknown)
			if !strings.Contains(err.Error(), "1205") {
				t.Errorf("the server did not give up by itself: %v", err)
			}
			finish := map[string]func() error{"COMMIT": tx.Commit, "ROLLBACK": tx.Rollback}
			if err := finish[end](); err != nil {
				t.Fatal(err)
			}
			appendAll(t, s, blocks[1:])
			wantHead(t, s, blocks[2])
		})
	}
}

// insertCopy inserts a block as a store would, in a transaction that stays open.
func insertCopy(t *testing.T, tx *sql.Tx, b *journal.Block) {
	t.Helper()
	h := &b.Header
	_, err := tx.ExecContext(t.Context(), "INSERT INTO sterling_block VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
		h.Cell, h.Seq, b.Hash[:], h.Prev[:], h.Epoch, h.Kind, h.Time, h.Acked, len(b.Raw), b.Raw)
	if err != nil {
		t.Fatal(err)
	}
}

// TestAppendThatNobodyWaitsFor: its context ends while it waits for a lock. The same bytes again settle it.
func TestAppendThatNobodyWaitsFor(t *testing.T) {
	dsn := enginestest.MariaDB(t).DSN()
	s := open(t, dsn)
	blocks := leader.Chain(0, journal.Hash{}, 2, 1)
	appendAll(t, s, blocks[:1])
	holder := connect(t, dsn)
	defer holder.Close()
	tx, err := holder.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	insertCopy(t, tx, blocks[1])
	ctx, cancel := context.WithCancel(t.Context())
	result := make(chan error)
	go func() { result <- s.Append(ctx, blocks[1]) }()
	until(t, dsn, "SELECT COUNT(*) > 0 FROM information_schema.processlist WHERE db = DATABASE() AND command = 'Execute' AND info LIKE 'INSERT INTO sterling_block%'")
	cancel()
	wantError(t, <-result, cell.ErrOutcomeUnknown)
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	appendAll(t, s, blocks[1:])
	wantHead(t, s, blocks[1])
}

// TestServerCrashes kills the whole server under load.
func TestServerCrashes(t *testing.T) {
	t.Parallel()
	m := server(t, nil)
	s := open(t, m.DSN(), func(o *mysql.Options) { o.Timeout = 10 * time.Second })
	storetest.Crashes(t, s, 3, func() error { return errors.Join(m.Kill(), m.Restart(t.Context())) })
}

// TestServerStops: a server that answers nothing makes an unknown outcome in time, and the same bytes come through when
// it goes on.
func TestServerStops(t *testing.T) {
	t.Parallel()
	m := server(t, nil)
	s := open(t, m.DSN(), brief)
	blocks := leader.Chain(0, journal.Hash{}, 3, 1)
	appendAll(t, s, blocks[:1])
	if err := m.Stop(); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the connection that hangs, and one that can't be made
		wantError(t, s.Append(t.Context(), blocks[1]), cell.ErrOutcomeUnknown)
	}
	if _, _, err := s.Head(t.Context()); err == nil {
		t.Error("a stopped server answers")
	}
	if err := m.Continue(); err != nil {
		t.Fatal(err)
	}
	appendAll(t, s, blocks[1:])
	wantHead(t, s, blocks[2])
}

// TestServerTurnsReadOnly under open connections, of a superuser: what takes no writes is no place to append to, nor
// to recover from.
func TestServerTurnsReadOnly(t *testing.T) {
	t.Parallel()
	m := server(t, nil)
	s := open(t, m.DSN())
	blocks := leader.Chain(0, journal.Hash{}, 2, 1)
	appendAll(t, s, blocks[:1])
	run(t, m.DSN(), "SET GLOBAL read_only = ON")
	for range 2 { // the open connection, and a new one
		wantError(t, s.Append(t.Context(), blocks[1]), cell.ErrOutcomeUnknown)
	}
	for range 5 { // more than connections that were there before
		if _, _, err := s.Head(t.Context()); err == nil {
			t.Fatal("a server that takes no writes gave a head")
		}
	}
	if _, err := mysql.Open(t.Context(), mysql.Options{DSN: m.DSN(), Cell: 1}); err == nil {
		t.Fatal("a server that takes no writes was opened")
	}
	run(t, m.DSN(), "SET GLOBAL read_only = OFF")
	appendAll(t, s, blocks[1:])
	wantHead(t, s, blocks[1])
}

// TestSecondServer: of several servers the one that takes writes is used, and found again.
func TestSecondServer(t *testing.T) {
	t.Parallel()
	m := server(t, nil)
	c, err := driver.ParseDSN(m.DSN())
	if err != nil {
		t.Fatal(err)
	}
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := closed.Addr().String()
	closed.Close()
	dsn := fmt.Sprintf("mysql://%s:%s@%s,%s/%s", c.User, c.Passwd, nobody, c.Addr, c.DBName)
	s := open(t, dsn)
	blocks := leader.Chain(0, journal.Hash{}, 2, 1)
	appendAll(t, s, blocks[:1])
	if err := errors.Join(m.Kill(), m.Restart(t.Context())); err != nil {
		t.Fatal(err)
	}
	wantError(t, s.Append(t.Context(), blocks[1]), cell.ErrOutcomeUnknown)
	appendAll(t, s, blocks[1:])
	wantHead(t, s, blocks[1])
}

// TestServerThatHangs: of several servers one takes connections and never answers; the other is used within the time of
// one append.
func TestServerThatHangs(t *testing.T) {
	t.Parallel()
	db := enginestest.MariaDB(t)
	hung, _ := through(t, db)
	hung.Cut()
	c, err := driver.ParseDSN(db.DSN())
	if err != nil {
		t.Fatal(err)
	}
	s := open(t, fmt.Sprintf("mysql://%s:%s@%s,%s/%s", c.User, c.Passwd, hung.Addr(), c.Addr, c.DBName))
	blocks := leader.Chain(0, journal.Hash{}, 2, 1)
	appendAll(t, s, blocks)
	wantHead(t, s, blocks[1])
}

// TestServerIsCutOff: the server that a store talks to falls silent. One append and one read run into it; the next ones
// are made to the other server, whatever connections were open.
func TestServerIsCutOff(t *testing.T) {
	t.Parallel()
	db := enginestest.MariaDB(t)
	first, _ := through(t, db)
	c, err := driver.ParseDSN(db.DSN())
	if err != nil {
		t.Fatal(err)
	}
	s := open(t, fmt.Sprintf("mysql://%s:%s@%s,%s/%s", c.User, c.Passwd, first.Addr(), c.Addr, c.DBName),
		func(o *mysql.Options) { o.Timeout = 2 * time.Second })
	blocks := leader.Chain(0, journal.Hash{}, 3, 1)
	appendAll(t, s, blocks[:1])
	manyReads(t, s, blocks[0])
	first.Cut()
	if _, _, err := s.Head(t.Context()); err == nil {
		t.Fatal("a silent server gave a head")
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
	db := enginestest.MariaDB(t)
	proxy, far := through(t, db)
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
func manyReads(t *testing.T, s *mysql.Store, b *journal.Block) {
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

// TestRefused: what the engine says of the statement itself, by a trigger that says it.
func TestRefused(t *testing.T) {
	dsn := enginestest.MariaDB(t).DSN()
	s := open(t, dsn)
	b := leader.Block(1, journal.Hash{}, 1)
	for number, want := range map[int]error{
		1114: cell.ErrFull, 1021: cell.ErrFull,
		1213: cell.ErrOutcomeUnknown, 1205: cell.ErrOutcomeUnknown, 1290: cell.ErrOutcomeUnknown,
		1047: cell.ErrOutcomeUnknown, 1105: cell.ErrOutcomeUnknown,
		1146: nil, 1142: nil, 1406: nil, 1118: nil,
	} {
		run(t, dsn, fmt.Sprintf("CREATE TRIGGER refuse BEFORE INSERT ON sterling_block FOR EACH ROW SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO = %d, MESSAGE_TEXT = 'planted'", number))
		err := s.Append(t.Context(), b)
		for _, e := range []error{cell.ErrFull, cell.ErrOutcomeUnknown, cell.ErrConflict} {
			if err == nil || errors.Is(err, e) != errors.Is(want, e) {
				t.Errorf("%d: got error %v, want %v", number, err, want)
			}
		}
		run(t, dsn, "DROP TRIGGER refuse")
	}
	appendAll(t, s, []*journal.Block{b})
}

// TestNoTable: an append that no repetition helps is not to be repeated, on the open connection or on a new one.
func TestNoTable(t *testing.T) {
	dsn := enginestest.MariaDB(t).DSN()
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

// TestSession: whatever the server's defaults are, our sessions are fit.
func TestSession(t *testing.T) {
	t.Parallel()
	m := server(t, nil)
	run(t, m.DSN(), `SET GLOBAL sql_mode = '', GLOBAL tx_isolation = 'SERIALIZABLE', GLOBAL time_zone = '+05:30', GLOBAL autocommit = 0,
GLOBAL character_set_server = latin1, GLOBAL collation_connection = latin1_german2_ci`)
	s := open(t, m.DSN())
	appendAll(t, s, leader.Chain(0, journal.Hash{}, 3, journal.MaxEvents))
	r, err := s.Check(t.Context())
	if err != nil || !r.Fit() || r.Failover {
		t.Fatalf("%+v, error %v, %v", r, err, r.Err())
	}
	l, err := s.Lease(t.Context(), cell.LeaseRequest{Holder: [16]byte{1}, Address: "a:1", TTL: time.Minute})
	if err != nil || !l.Held || l.Remaining <= 50*time.Second {
		t.Fatalf("%+v, error %v", l, err)
	}
}

// TestUnfit: a server that may forget is found out.
func TestUnfit(t *testing.T) {
	t.Parallel()
	m := server(t, map[string]string{
		"innodb_flush_log_at_trx_commit": "2", "innodb_doublewrite": "OFF", "log_bin": "ON", "sync_binlog": "0",
		"max_allowed_packet": "3M", "innodb_log_file_size": "8M",
	})
	r, err := open(t, m.DSN()).Check(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if r.Fit() || r.Engine != mysql.MariaDB || !strings.Contains(r.Version, "MariaDB") {
		t.Errorf("%+v", r)
	}
	for _, name := range []string{"innodb_flush_log_at_trx_commit is 2", "innodb_doublewrite is OFF", "sync_binlog is 0", "max_allowed_packet is 3145728", "innodb_log_file_size is 8388608"} {
		if !strings.Contains(fmt.Sprint(r.Err()), name) {
			t.Errorf("the report does not say that %s: %v", name, r.Err())
		}
	}
}

// TestTooLargeForTheServer: a block that the server does not take is refused for good, not again and again.
func TestTooLargeForTheServer(t *testing.T) {
	t.Parallel()
	m := server(t, map[string]string{"max_allowed_packet": "1M"})
	s := open(t, m.DSN())
	err := s.Append(t.Context(), leader.Block(1, journal.Hash{}, journal.MaxEvents))
	if err == nil || errors.Is(err, cell.ErrOutcomeUnknown) {
		t.Fatalf("got error %v, want a refusal", err)
	}
}
