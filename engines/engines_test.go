package engines_test

import (
	"context"
	"database/sql"
	"log/slog"
	"os"
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
