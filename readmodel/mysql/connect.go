package mysql

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"sync/atomic"

	"github.com/go-sql-driver/mysql"
)

// servers opens connections to the first of several servers that takes writes. It implements driver.Connector.
type servers struct {
	names []string // host:port
	each  []driver.Connector
	first atomic.Uint32 // the one to try first
}

// newServers reads a DSN of go-sql-driver, or a URL mysql://user:password@host:port,host:port/database?parameters, and sets
// what the target relies on, whatever the DSN and the server say.
func newServers(dsn string, logger *slog.Logger) (*servers, error) {
	config, names, err := parseDSN(dsn)
	if err != nil {
		return nil, err
	}
	if config.Timeout == 0 {
		config.Timeout = connectTimeout
	}
	if config.ReadTimeout == 0 {
		config.ReadTimeout = ioTimeout
	}
	if config.WriteTimeout == 0 {
		config.WriteTimeout = ioTimeout
	}
	config.ClientFoundRows = true // an UPDATE tells how many rows were there, not how many became others
	config.ParseTime, config.MultiStatements, config.InterpolateParams = false, false, true
	config.Logger = driverLog{logger}
	if config.Params == nil {
		config.Params = map[string]string{}
	}
	config.Params["sql_mode"] = "'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION'" // what does not fit is an error
	config.Params["time_zone"] = "'+00:00'"
	s := &servers{names: names}
	for _, name := range names {
		c := config.Clone()
		if c.Net == "tcp" {
			c.Addr = name
		}
		connector, err := mysql.NewConnector(c)
		if err != nil {
			return nil, err
		}
		s.each = append(s.each, connector)
	}
	return s, nil
}

// driverLog is where the driver tells of connections that broke; their errors are returned, too.
type driverLog struct{ to *slog.Logger }

// Print implements mysql.Logger.
func (l driverLog) Print(v ...any) {
	l.to.Debug("mysql", "message", strings.TrimSpace(fmt.Sprintln(v...)))
}

// parseDSN returns what a DSN says, and its servers. Its errors never tell a password.
func parseDSN(dsn string) (*mysql.Config, []string, error) {
	text, isURL := strings.CutPrefix(dsn, "mysql://")
	if !isURL {
		config, err := mysql.ParseDSN(dsn)
		if err != nil {
			return nil, nil, err
		}
		return config, []string{config.Addr}, nil
	}
	authority, rest, _ := strings.Cut(text, "/")
	at := strings.LastIndexByte(authority, '@')
	names := strings.Split(authority[at+1:], ",")
	for i, name := range names {
		if name == "" {
			return nil, nil, errors.New("the DSN has a server without a name")
		}
		if !strings.Contains(name, ":") {
			names[i] = name + ":3306"
		}
	}
	config, err := mysql.ParseDSN("tcp(" + names[0] + ")/" + rest)
	if err != nil {
		return nil, nil, err
	}
	user, password, _ := strings.Cut(authority[:max(at, 0)], ":")
	var errUser, errPassword error
	config.User, errUser = url.PathUnescape(user)
	config.Passwd, errPassword = url.PathUnescape(password)
	if errUser != nil || errPassword != nil {
		return nil, nil, errors.New("the DSN has a malformed user name or password")
	}
	return config, names, nil
}

// Driver implements driver.Connector.
func (*servers) Driver() driver.Driver { return mysql.MySQLDriver{} }

// Connect implements driver.Connector: it tries each server once, beginning with the one that was good last.
func (s *servers) Connect(ctx context.Context) (driver.Conn, error) {
	first := s.first.Load()
	var failed error
	for i := range s.each {
		n := (int(first) + i) % len(s.each)
		conn, err := s.each[n].Connect(ctx)
		if err == nil && len(s.each) > 1 {
			err = takesWrites(ctx, conn)
		}
		if err == nil {
			s.first.Store(uint32(n)) //nolint:gosec // an index
			return conn, nil
		}
		if conn != nil {
			err = errors.Join(err, conn.Close())
		}
		failed = errors.Join(failed, fmt.Errorf("%s: %w", s.names[n], err))
		if ctx.Err() != nil {
			break
		}
	}
	return nil, failed
}

var errReadOnly = errors.New("the server takes no writes")

// takesWrites refuses a replica. A node outside of its cluster's majority refuses the question itself.
func takesWrites(ctx context.Context, conn driver.Conn) error {
	rows, err := conn.(driver.QueryerContext).QueryContext(ctx, "SELECT CAST(@@global.read_only AS CHAR)", nil)
	if err != nil {
		return err
	}
	defer rows.Close() //nolint:errcheck // it was only read
	value := make([]driver.Value, 1)
	if err := rows.Next(value); err != nil {
		return err
	}
	if v := fmt.Sprintf("%s", value[0]); v != "0" && v != "OFF" {
		return fmt.Errorf("%w: read_only is %s", errReadOnly, v)
	}
	return nil
}

// with runs fn with the connection. After an error nothing is known of it, nor of its server: it is closed, and the next
// one may go to another server.
func (t *Target) with(ctx context.Context, fn func(c *sql.Conn) error) error {
	c, err := t.db.Conn(ctx)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	if err = fn(c); err != nil {
		_ = c.Raw(func(any) error { return driver.ErrBadConn }) // so that it is closed
		return err
	}
	return c.Close() // gives it back
}
