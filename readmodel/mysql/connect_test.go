package mysql

import (
	"database/sql/driver"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"testing"

	"github.com/go-sql-driver/mysql"

	"github.com/sterlingrun/sterling/engines"
	"github.com/sterlingrun/sterling/engines/enginestest"
)

func TestParseDSN(t *testing.T) {
	for dsn, want := range map[string]string{
		"u:p@tcp(h:1)/d":                    "u p h:1 d",
		"mysql://u:p@h/d":                   "u p h:3306 d",
		"mysql://u:p%40%3A%2Fq@h:1,i,j:2/d": "u p@:/q h:1,i:3306,j:2 d",
		"mysql://u@h/d?timeout=1s":          "u  h:3306 d",
		"mysql://u:p@h,/d":                  "",
		"mysql:///d":                        "",
		"mysql://u:secret%zz@h/d":           "",
		"u:secret@tcp(h":                    "",
	} {
		config, names, err := parseDSN(dsn)
		got := ""
		if err == nil {
			got = strings.Join([]string{config.User, config.Passwd, strings.Join(names, ","), config.DBName}, " ")
		}
		if got != want {
			t.Errorf("%s is %q, want %q (%v)", dsn, got, want, err)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("the error of %s tells its password: %v", dsn, err)
		}
	}
}

// TestSeveralServers: one that does not answer is passed over, and one that takes no writes is refused.
func TestSeveralServers(t *testing.T) {
	server, err := engines.StartMariaDB(t.Context(), engines.Options{})
	enginestest.Check(t, err)
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	config, err := mysql.ParseDSN(server.DSN())
	if err != nil {
		t.Fatal(err)
	}
	s, err := newServers(fmt.Sprintf("mysql://%s:%s@127.0.0.1:1,%s/%s", config.User, url.PathEscape(config.Passwd), config.Addr, config.DBName), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	conn, err := s.Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if first := s.first.Load(); first != 1 {
		t.Errorf("the next connection begins with server %d, not with the one that answered", first)
	}
	if _, err := conn.(driver.ExecerContext).ExecContext(t.Context(), "SET GLOBAL read_only = 1", nil); err != nil {
		t.Fatal(err)
	}
	if replica, err := s.Connect(t.Context()); !errors.Is(err, errReadOnly) {
		t.Errorf("a replica gave %v: %v", replica, err)
	}
}
