package enginestest_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"testing"

	_ "github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5"

	"github.com/sterlingrun/sterling/engines"
	"github.com/sterlingrun/sterling/engines/enginestest"
)

func TestPostgresIsFreshAndShared(t *testing.T) {
	first, second := enginestest.Postgres(t), enginestest.Postgres(t)
	if first.Port() != second.Port() {
		t.Fatal("two servers, want one")
	}
	for _, p := range []*engines.Postgres{first, second} { // the second CREATE fails in a database that is not fresh
		c, err := pgx.Connect(t.Context(), p.DSN())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close(context.Background()) }()
		if _, err := c.Exec(t.Context(), "CREATE TABLE x (id int)"); err != nil {
			t.Fatal(err)
		}
	}
}

func TestMariaDBIsFreshAndShared(t *testing.T) {
	first, second := enginestest.MariaDB(t), enginestest.MariaDB(t)
	if first.Port() != second.Port() {
		t.Fatal("two servers, want one")
	}
	for _, m := range []*engines.MariaDB{first, second} {
		db, err := sql.Open("mysql", m.DSN())
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		if _, err := db.ExecContext(t.Context(), "CREATE TABLE x (id int)"); err != nil {
			t.Fatal(err)
		}
	}
}

// recorder notes how Check ends a test.
type recorder struct {
	testing.TB
	skipped, failed bool
}

func (*recorder) Helper()                {}
func (r *recorder) Skipf(string, ...any) { r.skipped = true }
func (r *recorder) Fatal(...any)         { r.failed = true }

func TestCheck(t *testing.T) {
	missing := fmt.Errorf("start: %w", engines.ErrMissing)
	for name, x := range map[string]struct {
		err            error
		ci, required   string
		skips, failing bool
	}{
		"started":                {nil, "true", "1", false, false},
		"missing":                {missing, "", "", true, false},
		"missing, in CI":         {missing, "true", "", false, true},
		"missing, though wanted": {missing, "", "1", false, true},
		"does not start":         {errors.New("no"), "", "", false, true},
	} {
		t.Setenv("CI", x.ci)
		t.Setenv("STERLING_REQUIRE_ENGINES", x.required)
		r := &recorder{TB: t}
		enginestest.Check(r, x.err)
		if r.skipped != x.skips || r.failed != x.failing {
			t.Errorf("%s: skipped %t, failed %t; want %t, %t", name, r.skipped, r.failed, x.skips, x.failing)
		}
	}
}
