// Package enginestest gives tests a database: one server for each engine and test binary, a fresh database for each
// call. It is for tests that only talk to an engine; a test that kills, stops or reconfigures one starts its own with
// package engines. Nothing is left behind, however the test binary ends. Start reading at Postgres.
package enginestest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/sterlingrun/sterling/engines"
)

// A shared server lives as long as the test binary and dies with it; so does its folder.
type shared[S any] struct {
	start  func(context.Context, engines.Options) (S, error)
	once   sync.Once
	server S
	err    error
}

func (s *shared[S]) get(t testing.TB) S {
	t.Helper()
	// Not the test's context: the server outlives the test.
	s.once.Do(func() { s.server, s.err = s.start(context.WithoutCancel(t.Context()), engines.Options{}) })
	Check(t, s.err)
	return s.server
}

var (
	postgres = shared[*engines.Postgres]{start: engines.StartPostgres}
	mariadb  = shared[*engines.MariaDB]{start: engines.StartMariaDB}
	counter  atomic.Uint64 // numbers databases
)

// Postgres returns a fresh, empty database of the test binary's PostgreSQL server; it is dropped when the test ends.
// Where PostgreSQL is missing, the test is skipped, or fails (see Check).
func Postgres(t testing.TB) *engines.Postgres {
	t.Helper()
	server, name := postgres.get(t), freshName()
	database, err := server.CreateDatabase(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { drop(t, server.DropDatabase, name) })
	return database
}

// MariaDB is Postgres for MariaDB.
func MariaDB(t testing.TB) *engines.MariaDB {
	t.Helper()
	server, name := mariadb.get(t), freshName()
	database, err := server.CreateDatabase(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { drop(t, server.DropDatabase, name) })
	return database
}

func freshName() string { return fmt.Sprintf("test_%d", counter.Add(1)) }

func drop(t testing.TB, drop func(context.Context, string) error, name string) {
	if err := drop(context.Background(), name); err != nil {
		t.Error(err)
	}
}

// Check is for the error of a start: a missing engine skips the test, with a message that says what to install, but
// fails it where CI=true or STERLING_REQUIRE_ENGINES=1 says that engines have to be there. Any other error fails it.
func Check(t testing.TB, err error) {
	t.Helper()
	switch {
	case err == nil:
	case errors.Is(err, engines.ErrMissing) && os.Getenv("CI") != "true" && os.Getenv("STERLING_REQUIRE_ENGINES") != "1":
		t.Skipf("needs a database server: %v", err)
	default:
		t.Fatal(err)
	}
}
