package mysql_test

import (
	"database/sql"
	"errors"
	"testing"

	"github.com/sterlingrun/sterling/clock"
	"github.com/sterlingrun/sterling/engines"
	"github.com/sterlingrun/sterling/engines/enginestest"
	"github.com/sterlingrun/sterling/readmodel"
	"github.com/sterlingrun/sterling/readmodel/mysql"
	"github.com/sterlingrun/sterling/readmodel/readmodeltest"
)

func harness(t testing.TB) readmodeltest.Harness { return harnessOf(t, enginestest.MariaDB(t).DSN()) }

func harnessOf(t testing.TB, dsn string) readmodeltest.Harness {
	h := readmodeltest.Harness{Open: func(t testing.TB) readmodeltest.Target {
		target, err := mysql.Open(t.Context(), mysql.Options{DSN: dsn, Clock: clock.NewSystem()})
		if err != nil {
			t.Fatal(err)
		}
		return target
	}}
	h.Open(t).Close() // makes the tables
	db, err := sql.Open("mysql", dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	h.DB = db
	return h
}

func TestSuite(t *testing.T) { readmodeltest.Run(t, harness) }

// TestReports runs the examples of docs/sql.
func TestReports(t *testing.T) { readmodeltest.Reports(t, harness(t), "../../docs/sql", "mysql") }

func TestServerKilled(t *testing.T) {
	server, err := engines.StartMariaDB(t.Context(), engines.Options{})
	enginestest.Check(t, err)
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	readmodeltest.ServerKilled(t, harnessOf(t, server.DSN()), server)
}

func TestNewerSchemaIsRefused(t *testing.T) {
	dsn := enginestest.MariaDB(t).DSN()
	open := func() error {
		target, err := mysql.Open(t.Context(), mysql.Options{DSN: dsn, Clock: clock.NewSystem()})
		if err == nil {
			target.Close()
		}
		return err
	}
	if err := open(); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("mysql", dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec("INSERT INTO readmodel_migrations (version_id, is_applied) VALUES (99, true)"); err != nil {
		t.Fatal(err)
	}
	if err := open(); !errors.Is(err, readmodel.ErrNewer) {
		t.Fatalf("a newer schema: %v", err)
	}
}

// Several nodes may start at the same time.
func TestOpenAtTheSameTime(t *testing.T) {
	dsn := enginestest.MariaDB(t).DSN()
	const nodes = 4
	ended := make(chan error, nodes)
	for range nodes {
		go func() {
			target, err := mysql.Open(t.Context(), mysql.Options{DSN: dsn, Clock: clock.NewSystem()})
			if err == nil {
				err = target.Close()
			}
			ended <- err
		}()
	}
	for range nodes {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}

func BenchmarkProject(b *testing.B) { readmodeltest.Bench(b, harness) }
