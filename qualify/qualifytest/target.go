// Package qualifytest gives the tests below qualify an engine to examine: a fresh database of the test binary's
// server. It is for tests only. Start reading at PostgreSQL.
package qualifytest

import (
	"testing"

	"github.com/sterlingrun/sterling/engines/enginestest"
	"github.com/sterlingrun/sterling/qualify"
)

// PostgreSQL returns a fresh database of a PostgreSQL server; where there is none, the test is skipped.
func PostgreSQL(t testing.TB) *qualify.Target {
	t.Helper()
	return target(t, enginestest.Postgres(t).DSN(), qualify.PostgreSQL)
}

// MariaDB returns a fresh database of a MariaDB server; where there is none, the test is skipped.
func MariaDB(t testing.TB) *qualify.Target {
	t.Helper()
	return target(t, enginestest.MariaDB(t).DSN(), qualify.MySQL)
}

func target(t testing.TB, dsn string, want qualify.Dialect) *qualify.Target {
	t.Helper()
	list, err := qualify.ParseAddress(dsn)
	if err != nil || len(list) != 1 || list[0].Dialect != want {
		t.Fatalf("addresses %v, error %v; want one of the dialect %s", list, err, want)
	}
	db, err := list[0].Open("", 24)
	if err != nil {
		t.Fatal(err)
	}
	node := &qualify.Target{Dialect: want}
	node.Nodes = append(node.Nodes, db)
	t.Cleanup(func() { _ = db.Close() })
	return node
}

// Both runs a test on each engine.
func Both(t *testing.T, test func(t *testing.T, target *qualify.Target)) {
	t.Run("PostgreSQL", func(t *testing.T) { test(t, PostgreSQL(t)) })
	t.Run("MariaDB", func(t *testing.T) { test(t, MariaDB(t)) })
}
