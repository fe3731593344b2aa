package mysql

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/go-sql-driver/mysql"
)

// connector opens sessions that are fit for a journal, on the first server of several that takes writes. It
// implements driver.Connector.
type connector struct {
	config  *mysql.Config
	servers []string      // host:port
	first   atomic.Uint32 // the server to try first
	appends bool          // sessions for appends, not for reads
	within  time.Duration // what connecting to one server may take
}

// errReadOnly is a server that takes no writes: a replica, or a node outside of the cluster's majority. It is no place
// to append to, nor to recover from.
var errReadOnly = errors.New("the server takes no writes")

// parseDSN reads a DSN of go-sql-driver, or a URL mysql://user:password@host:port,host:port/database?parameters.
func parseDSN(dsn string) (*mysql.Config, []string, error) {
	rest, isURL := strings.CutPrefix(dsn, "mysql://")
	if !isURL {
		c, err := mysql.ParseDSN(dsn)
		if err != nil {
			return nil, nil, err
		}
		return c, []string{c.Addr}, nil
	}
	authority, path, _ := strings.Cut(rest, "/")
	at := strings.LastIndexByte(authority, '@')
	user, password, _ := strings.Cut(authority[:max(at, 0)], ":")
	servers := strings.Split(authority[at+1:], ",")
	for i, s := range servers {
		if s == "" {
			return nil, nil, errors.New("a server without a name")
		}
		if !strings.Contains(s, ":") {
			servers[i] = s + ":3306"
		}
	}
	c, err := mysql.ParseDSN("tcp(" + servers[0] + ")/" + path)
	if err != nil {
		return nil, nil, err
	}
	if c.User, err = url.PathUnescape(user); err != nil {
		return nil, nil, errors.New("a malformed user name")
	}
	if c.Passwd, err = url.PathUnescape(password); err != nil {
		return nil, nil, errors.New("a malformed password") // the error would tell it
	}
	return c, servers, nil
}

// newConnector completes the settings that this package relies on, whatever the DSN says.
func newConnector(c *mysql.Config, servers []string, o Options, appends bool) (*connector, error) {
	c = c.Clone()
	c.MaxAllowedPacket = 0 // the server's
	c.ParseTime = false
	c.ClientFoundRows = true
	c.InterpolateParams = !appends // one round trip for a read
	c.RejectReadOnly = false       // it would hide what happened
	c.MultiStatements = false
	c.Logger = driverLog{o.Logger}
	// A server that hangs leaves time for the others.
	within := min(o.Timeout/time.Duration(len(servers)+1), maxConnect)
	if c.Timeout > 0 {
		within = min(within, c.Timeout)
	}
	if err := c.Apply(mysql.Charset("binary", "")); err != nil { // bytes are bytes
		return nil, err
	}
	return &connector{config: c, servers: servers, appends: appends, within: within}, nil
}

type driverLog struct{ log *slog.Logger }

func (l driverLog) Print(v ...any) {
	l.log.Debug("mysql", "message", strings.TrimSpace(fmt.Sprintln(v...)))
}

// Driver implements driver.Connector.
func (*connector) Driver() driver.Driver { return mysql.MySQLDriver{} }

// Connect implements driver.Connector: it tries each server once.
func (c *connector) Connect(ctx context.Context) (driver.Conn, error) {
	first := c.first.Load()
	var failed error
	for i := range c.servers {
		n := (int(first) + i) % len(c.servers)
		conn, err := c.connectTo(ctx, c.servers[n])
		if err == nil {
			c.first.CompareAndSwap(first, uint32(n)) //nolint:gosec // an index
			return conn, nil
		}
		failed = errors.Join(failed, fmt.Errorf("%s: %w", c.servers[n], err))
		if ctx.Err() != nil {
			break
		}
	}
	return nil, failed
}

// server is the one that the next connection begins with: after Connect, the one that it connected to.
func (c *connector) server() string { return c.servers[int(c.first.Load())%len(c.servers)] }

// avoid makes the next connection begin with another server, if there are several.
func (c *connector) avoid() { c.first.Add(1) }

func (c *connector) connectTo(ctx context.Context, server string) (driver.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, c.within)
	defer cancel()
	config := c.config.Clone()
	if config.Net == "tcp" {
		config.Addr = server
	}
	dial, err := mysql.NewConnector(config)
	if err != nil {
		return nil, err
	}
	conn, err := dial.Connect(ctx)
	if err != nil {
		return nil, err
	}
	if err := c.setUp(ctx, conn); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return conn, nil
}

// setUp refuses a server that takes no writes and makes the session fit, whatever the server's defaults are.
func (c *connector) setUp(ctx context.Context, conn driver.Conn) error {
	has, err := pairs(ctx, conn, "SHOW VARIABLES")
	if err != nil {
		return fmt.Errorf("read the settings: %w", err)
	}
	if has["wsrep_on"] == "ON" {
		status, err := pairs(ctx, conn, "SHOW STATUS LIKE 'wsrep\\_%'")
		if err != nil {
			return fmt.Errorf("read the node's status: %w", err)
		}
		if status["wsrep_ready"] != "ON" || status["wsrep_cluster_status"] != "Primary" {
			return fmt.Errorf("%w: wsrep_ready is %q, wsrep_cluster_status is %q", errReadOnly, status["wsrep_ready"], status["wsrep_cluster_status"])
		}
	}
	for _, name := range readOnlySettings() {
		if value, ok := has[name]; ok && value != "OFF" && value != "0" {
			return fmt.Errorf("%w: %s is %s", errReadOnly, name, value)
		}
	}
	statements := []string{"SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED"}
	if set := sessionSettings(has, c.appends); set != "" {
		statements = append(statements, "SET "+set)
	}
	for _, statement := range statements {
		if _, err := conn.(driver.ExecerContext).ExecContext(ctx, statement, nil); err != nil {
			return fmt.Errorf("%s: %w", statement, err)
		}
	}
	return nil
}

func readOnlySettings() []string {
	return []string{"read_only", "super_read_only", "innodb_read_only", "tidb_super_read_only", "tidb_restricted_read_only"}
}

// sessionSettings lists what to set, of what the engine has.
func sessionSettings(has map[string]string, appends bool) string {
	want := map[string]string{
		"autocommit": "1",
		"sql_mode":   "'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION'",
		"time_zone":  "'+00:00'",
		// An append whose own bytes are still being committed by a lost connection waits for them. It gives up, with
		// nothing written, so that no heap of connections waits.
		"innodb_lock_wait_timeout": "2",
		"max_statement_time":       "0", // MariaDB: would end an append in the middle
		"max_execution_time":       "0",
		"tidb_txn_mode":            "'pessimistic'",
		"ob_read_consistency":      "'strong'",
		"wsrep_dirty_reads":        "OFF",
	}
	if !appends { // reads see all that any node of the cluster committed before; an append needs no such wait: its fence is its own
		want["wsrep_sync_wait"] = "7"
	}
	set := make([]string, 0, len(want))
	for name, value := range want {
		if _, ok := has[name]; ok {
			set = append(set, "SESSION "+name+" = "+value)
		}
	}
	slices.Sort(set)
	return strings.Join(set, ", ")
}

// pairs runs a query of two columns, names and values.
func pairs(ctx context.Context, conn driver.Conn, query string) (map[string]string, error) {
	rows, err := conn.(driver.QueryerContext).QueryContext(ctx, query, nil)
	if err != nil {
		return nil, err
	}
	defer rows.Close() //nolint:errcheck // read to the end
	result := map[string]string{}
	row := make([]driver.Value, len(rows.Columns()))
	for {
		err := rows.Next(row)
		if errors.Is(err, io.EOF) {
			return result, nil
		}
		if err != nil {
			return nil, err
		}
		if len(row) >= 2 {
			result[strings.ToLower(text(row[0]))] = text(row[1])
		}
	}
}

func text(v driver.Value) string {
	if b, ok := v.([]byte); ok {
		return string(b)
	}
	return fmt.Sprint(v)
}
