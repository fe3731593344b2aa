package mysql_test

import (
	"database/sql"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	driver "github.com/go-sql-driver/mysql"

	"github.com/sterlingrun/sterling/clock"
	"github.com/sterlingrun/sterling/engines"
	"github.com/sterlingrun/sterling/engines/enginestest"
	"github.com/sterlingrun/sterling/readmodel"
	"github.com/sterlingrun/sterling/readmodel/mysql"
	"github.com/sterlingrun/sterling/readmodel/readmodeltest"
)

func harness(t testing.TB) readmodeltest.Harness { dsn := fresh(t); return harnessOf(t, dsn, dsn) }

// fresh returns the DSN of an empty database: of the test binary's own server, or of STERLING_TEST_DSN, a DSN of
// go-sql-driver to any engine that speaks MySQL's protocol.
func fresh(t testing.TB) string {
	t.Helper()
	dsn := os.Getenv("STERLING_TEST_DSN")
	config, err := driver.ParseDSN(dsn)
	if dsn == "" || err != nil { // none, or one of another engine
		return enginestest.MariaDB(t).DSN()
	}
	config.DBName = fmt.Sprintf("sterling_readmodel_%d_%d", os.Getpid(), time.Now().UnixNano())
	run(t, dsn, "CREATE DATABASE "+config.DBName)
	t.Cleanup(func() { run(t, dsn, "DROP DATABASE "+config.DBName) })
	return config.FormatDSN()
}

func run(t testing.TB, dsn, statement string) {
	t.Helper()
	db, err := sql.Open("mysql", dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec(statement); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

// harnessOf has targets of one DSN, and reads by another, which is go-sql-driver's.
func harnessOf(t testing.TB, dsn, read string) readmodeltest.Harness {
	h := readmodeltest.Harness{Open: func(t testing.TB) readmodeltest.Target {
		target, err := mysql.Open(t.Context(), mysql.Options{DSN: dsn, Clock: clock.NewSystem()})
		if err != nil {
			t.Fatal(err)
		}
		return target
	}}
	h.Open(t).Close() // makes the tables
	db, err := sql.Open("mysql", read)
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
	readmodeltest.ServerKilled(t, harnessOf(t, server.DSN(), server.DSN()), server)
}

func TestNewerSchemaIsRefused(t *testing.T) {
	dsn := fresh(t)
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
	dsn := fresh(t)
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

func BenchmarkLive(b *testing.B) { readmodeltest.BenchLive(b, harness) }
