package qualify_test

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/go-sql-driver/mysql"
	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/sterlingrun/sterling/qualify"
)

func TestParseAddress(t *testing.T) {
	for text, want := range map[string][]string{
		"postgres://me:secret@db:5433/bank?sslmode=disable":       {"postgres://me@db:5433/bank"},
		"postgresql://me:secret@db1:1,db2:2/bank?sslmode=disable": {"postgres://me@db1:1,db2:2/bank"},
		"mysql://me:secret@db:3307/bank":                          {"mysql://me@db:3307/bank"},
		"mysql://me:s%40cret@n1,n2:7,n3/bank?timeout=1s":          {"mysql://me@n1:3306/bank", "mysql://me@n2:7/bank", "mysql://me@n3:3306/bank"},
		"me:secret@tcp(db:3306)/bank":                             {"mysql://me@db:3306/bank"},
		"mysql://me:secret@tcp(db:3306)/bank?tls=preferred":       {"mysql://me@db:3306/bank"},
		"me:secret@unix(/run/mysqld.sock)/bank":                   {"mysql://me@/run/mysqld.sock/bank"},
		"local:/srv/ledger":                                       {"local:/srv/ledger"},
		"file:///srv/ledger":                                      {"local:/srv/ledger"},
		"local:":                                                  nil,
		"postgres://me:secret@db:port/bank":                       nil,
		"mysql://me:secret@/bank":                                 nil,
		"mysql://me:%zz@db/bank":                                  nil,
		"secret":                                                  nil,
		"":                                                        nil,
		"me:secret@nowhere":                                       nil,
		"mysql://me:secret@db/bank?parseTime=perhaps":             nil,
		"postgres://me:secret@db/bank?sslmode=sometimes&password=more": nil,
	} {
		list, err := qualify.ParseAddress(text)
		var got []string
		for _, a := range list {
			got = append(got, a.String())
		}
		if diff := cmp.Diff(want, got); diff != "" || (err == nil) != (want != nil) {
			t.Errorf("%q: error %v, %s", text, err, diff)
		}
		if err != nil && (!errors.Is(err, qualify.ErrAddress) || strings.Contains(err.Error(), "secret")) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestAnotherSchema(t *testing.T) {
	for text, want := range map[string]string{
		"postgres://me:secret@db/bank":                     "postgres://me:secret@db/bank?search_path=scratch",
		"postgres://me:secret@a:1,b:2/bank?sslmode=prefer": "postgres://me:secret@a:1,b:2/bank?sslmode=prefer&search_path=scratch",
		"me:secret@tcp(db:3306)/bank":                      "me:secret@tcp(db:3306)/scratch",
	} {
		list, err := qualify.ParseAddress(text)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := list[0].In("scratch"); err != nil || got != want {
			t.Errorf("%q: %q, error %v; want %q", text, got, err, want)
		}
	}
}

func TestRebind(t *testing.T) {
	const query = "INSERT INTO t (a, b) VALUES (?, ?)"
	if got := qualify.PostgreSQL.Rebind(query); got != "INSERT INTO t (a, b) VALUES ($1, $2)" {
		t.Error(got)
	}
	if got := qualify.MySQL.Rebind(query); got != query {
		t.Error(got)
	}
}

func TestClassify(t *testing.T) {
	for _, c := range []struct {
		err  error
		want qualify.ErrorClass
	}{
		{&pgconn.PgError{Code: "23505"}, qualify.Duplicate},
		{&pgconn.PgError{Code: "40001"}, qualify.Retryable},
		{&pgconn.PgError{Code: "40P01"}, qualify.Retryable},
		{&pgconn.PgError{Code: "57P02"}, qualify.Lost},
		{&pgconn.PgError{Code: "42601"}, qualify.Other},
		{&mysql.MySQLError{Number: 1062}, qualify.Duplicate},
		{&mysql.MySQLError{Number: 1213}, qualify.Retryable},
		{&mysql.MySQLError{Number: 1047}, qualify.Lost},
		{&mysql.MySQLError{Number: 1064}, qualify.Other},
		{driver.ErrBadConn, qualify.Lost},
		{io.ErrUnexpectedEOF, qualify.Lost},
		{context.DeadlineExceeded, qualify.Lost},
		{&net.OpError{Op: "read", Err: errors.New("reset")}, qualify.Lost},
		{errors.New("gremlins"), qualify.Other},
		{nil, qualify.Other},
	} {
		if got := qualify.Classify(c.err); got != c.want {
			t.Errorf("%v: class %d, want %d", c.err, got, c.want)
		}
		if c.err == nil {
			continue
		}
		if got := qualify.Classify(fmt.Errorf("commit: %w", c.err)); got != c.want {
			t.Errorf("wrapped %v: class %d, want %d", c.err, got, c.want)
		}
	}
}

// FuzzParseAddress: whatever the text, there is an address that can be shown and opened, or an error.
func FuzzParseAddress(f *testing.F) {
	for _, text := range []string{"postgres://a:b@c/d", "mysql://a:b@c,d:1/e?f=g", "a:b@tcp(c:1)/d", "local:/x", "file:", "mysql://@,/", "postgres://%", "/?"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		list, err := qualify.ParseAddress(text)
		if err != nil {
			if !errors.Is(err, qualify.ErrAddress) {
				t.Fatal(err)
			}
			return
		}
		for _, a := range list {
			if a.String() == "" {
				t.Fatal("an address without a text")
			}
			if a.Dialect == qualify.Local {
				continue
			}
			if db, err := a.Open("scratch", 1); err == nil {
				if err := db.Close(); err != nil {
					t.Fatal(err)
				}
			} else if !errors.Is(err, qualify.ErrAddress) {
				t.Fatal(err)
			}
		}
	})
}
