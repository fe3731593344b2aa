package engines_test

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sterlingrun/sterling/engines"
	"github.com/sterlingrun/sterling/engines/enginestest"
)

func TestPostgresSurvivesAKill(t *testing.T) {
	began := time.Now()
	p, err := engines.StartPostgres(t.Context(), engines.Options{})
	enginestest.Check(t, err)
	defer p.Close()
	t.Logf("PostgreSQL was ready after %v", time.Since(began))
	c := connect(t, p.DSN())
	mustExec(t, c, "CREATE TABLE x (id int PRIMARY KEY)")
	mustExec(t, c, "INSERT INTO x VALUES (7)")
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := c.Ping(t.Context()); err == nil {
		t.Fatal("a killed server answers")
	}
	if p.Pid() != 0 {
		t.Fatal("a killed server has a pid")
	}
	began = time.Now()
	if err := p.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Logf("PostgreSQL was back after %v", time.Since(began))
	again := connect(t, p.DSN())
	var id int
	if err := again.QueryRow(t.Context(), "SELECT id FROM x").Scan(&id); err != nil || id != 7 {
		t.Fatalf("after a kill: %d, %v; want 7", id, err)
	}
}

func connect(t *testing.T, dsn string) *pgx.Conn {
	t.Helper()
	c, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close(context.Background()) })
	return c
}

func mustExec(t *testing.T, c *pgx.Conn, statement string) {
	t.Helper()
	if _, err := c.Exec(t.Context(), statement); err != nil {
		t.Fatal(err)
	}
}

func TestPostgresStopped(t *testing.T) {
	p, err := engines.StartPostgres(t.Context(), engines.Options{})
	enginestest.Check(t, err)
	defer p.Close()
	c := connect(t, p.DSN())
	if err := p.Stop(); err != nil {
		t.Fatal(err)
	}
	answered := make(chan error, 1)
	go func() { answered <- c.Ping(context.Background()) }()
	select {
	case err := <-answered:
		t.Fatalf("a stopped server answers: %v", err)
	case <-time.After(200 * time.Millisecond):
	}
	if err := p.Continue(); err != nil {
		t.Fatal(err)
	}
	if err := <-answered; err != nil {
		t.Fatalf("after going on: %v", err)
	}
}

func TestMariaDBSurvivesAKill(t *testing.T) {
	began := time.Now()
	m, err := engines.StartMariaDB(t.Context(), engines.Options{})
	enginestest.Check(t, err)
	defer m.Close()
	t.Logf("MariaDB was ready after %v", time.Since(began))
	db, err := sql.Open("mysql", m.DSN())
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, statement := range []string{"CREATE TABLE x (id int PRIMARY KEY)", "INSERT INTO x VALUES (7)"} {
		if _, err := db.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	if err := m.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := db.PingContext(t.Context()); err == nil {
		t.Fatal("a killed server answers")
	}
	began = time.Now()
	if err := m.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Logf("MariaDB was back after %v", time.Since(began))
	var id int
	if err := db.QueryRowContext(t.Context(), "SELECT id FROM x").Scan(&id); err != nil || id != 7 {
		t.Fatalf("after a kill: %d, %v; want 7", id, err)
	}
}

func TestTemporaryFolderIsRemoved(t *testing.T) {
	p, err := engines.StartPostgres(t.Context(), engines.Options{})
	enginestest.Check(t, err)
	log := p.Log()
	if _, err := os.Stat(log); err != nil {
		t.Fatal(err)
	}
	for range 2 { // a second Close does nothing
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Stat(log); !os.IsNotExist(err) {
		t.Fatalf("the log is still there: %v", err)
	}
}

// testLog writes to the test's output.
func testLog(t *testing.T) *slog.Logger {
	return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
}

func TestOptions(t *testing.T) {
	dir, err := os.MkdirTemp("", "options-") // a test's own folder is closed to the servers' user
	must(t, err)
	defer os.RemoveAll(dir)
	must(t, os.Chmod(dir, 0o711))
	o := engines.Options{Dir: filepath.Join(dir, "new", "below"), Settings: map[string]string{"work_mem": "7MB", "application_name": "it's"}}
	p, err := engines.StartPostgres(t.Context(), o)
	enginestest.Check(t, err)
	defer p.Close()
	c := connect(t, p.DSN())
	for name, want := range map[string]string{
		"work_mem": "7MB", "application_name": "it's", "fsync": "on", "full_page_writes": "on", "data_checksums": "on", "lc_collate": "C.UTF-8",
	} {
		var got string
		must(t, c.QueryRow(t.Context(), "SELECT current_setting($1)", name).Scan(&got))
		if got != want {
			t.Errorf("%s is %s, want %s", name, got, want)
		}
	}
	wrong := strings.Replace(p.DSN(), "sterling:", "sterling:0", 1)
	if c, err := pgx.Connect(t.Context(), wrong); err == nil {
		_ = c.Close(t.Context())
		t.Error("a wrong password is let in")
	}
	if _, err := engines.StartPostgres(t.Context(), o); err == nil || !strings.Contains(err.Error(), "exists") {
		t.Errorf("a second server in the same folder: %v; want a refusal", err)
	}
	must(t, p.Close())
	if _, err := os.Stat(p.Log()); err != nil {
		t.Errorf("the caller's folder was removed: %v", err)
	}
	if err := p.Restart(t.Context()); err == nil {
		t.Error("a closed server was started")
	}
}

func TestFolderThatServersMayNotEnter(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root runs servers as another user")
	}
	dir := t.TempDir()
	must(t, os.Chmod(dir, 0o700))
	_, err := engines.StartPostgres(t.Context(), engines.Options{Dir: dir})
	if errors.Is(err, engines.ErrMissing) {
		enginestest.Check(t, err)
	}
	if err == nil || !strings.Contains(err.Error(), "may not enter") {
		t.Errorf("%v; want the folder that is closed", err)
	}
}

func TestStartThatTakesTooLong(t *testing.T) {
	probe, err := engines.StartPostgres(t.Context(), engines.Options{})
	enginestest.Check(t, err)
	must(t, probe.Close())
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := engines.StartPostgres(ctx, engines.Options{}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v; want the deadline", err)
	}
}
