package qualify

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
)

// Address is where one node of an engine is.
type Address struct {
	Dialect Dialect
	Folder  string // of Local
	DSN     string // as the driver reads it; for PostgreSQL it may name several hosts, of which one takes writes
	// Session are settings of every session, for MySQL.
	Session map[string]string
}

// ErrAddress is an address that can't be read.
var ErrAddress = errors.New("no address of an engine")

// ParseAddress reads where an engine is: postgres://user:password@host:5432/database, which may name several hosts,
// mysql://user:password@host:3306,host2:3306/database (one address for each host), user:password@tcp(host)/database,
// or local:FOLDER. Its errors wrap ErrAddress and hold no password.
func ParseAddress(text string) ([]Address, error) {
	scheme, rest, _ := strings.Cut(text, ":")
	switch scheme {
	case "local", "file":
		rest = strings.TrimPrefix(rest, "//")
		if rest == "" {
			return nil, fmt.Errorf("%w: local: needs a folder, as in local:/srv/ledger", ErrAddress)
		}
		return []Address{{Dialect: Local, Folder: rest}}, nil
	case "postgres", "postgresql":
		if _, err := pgx.ParseConfig(text); err != nil {
			return nil, fmt.Errorf("%w: the PostgreSQL URL can't be read; want postgres://user:password@host:5432/database", ErrAddress)
		}
		return []Address{{Dialect: PostgreSQL, DSN: text}}, nil
	}
	dsns, ok := mysqlDSNs(text)
	for _, dsn := range dsns {
		if _, err := mysql.ParseDSN(dsn); err != nil || !strings.Contains(dsn, "/") {
			ok = false
		}
	}
	if !ok {
		return nil, fmt.Errorf("%w: want postgres://user:password@host:5432/database, mysql://user:password@host:3306/database, "+
			"user:password@tcp(host:3306)/database or local:FOLDER", ErrAddress)
	}
	list := make([]Address, len(dsns))
	for i, dsn := range dsns {
		list[i] = Address{Dialect: MySQL, DSN: dsn}
	}
	return list, nil
}

// mysqlDSNs turns a URL into a DSN of go-sql-driver for each of its hosts; what is a DSN already stays as it is.
func mysqlDSNs(text string) (dsns []string, ok bool) {
	rest, isURL := strings.CutPrefix(text, "mysql://")
	if !isURL || strings.Contains(rest, "tcp(") || strings.Contains(rest, "unix(") {
		return []string{rest}, true
	}
	authority, path, _ := strings.Cut(rest, "/")
	user, hosts := "", authority
	if i := strings.LastIndexByte(authority, '@'); i >= 0 {
		user, hosts = authority[:i], authority[i+1:]
	}
	name, password, _ := strings.Cut(user, ":")
	name, err1 := url.PathUnescape(name)
	password, err2 := url.PathUnescape(password)
	database, query, _ := strings.Cut(path, "?")
	for host := range strings.SplitSeq(hosts, ",") {
		if host == "" || err1 != nil || err2 != nil {
			return nil, false
		}
		if !strings.Contains(host, ":") {
			host += ":3306"
		}
		c := mysql.NewConfig()
		c.User, c.Passwd, c.Net, c.Addr, c.DBName = name, password, "tcp", host, database
		dsns = append(dsns, with(c.FormatDSN(), query))
	}
	return dsns, true
}

// with appends parameters to a DSN or URL.
func with(dsn, query string) string {
	switch {
	case query == "":
		return dsn
	case strings.Contains(dsn, "?"):
		return dsn + "&" + query
	}
	return dsn + "?" + query
}

// String is the address without a password, for reports.
func (a Address) String() string {
	switch a.Dialect {
	case PostgreSQL:
		c, err := pgx.ParseConfig(a.DSN)
		if err != nil {
			return "postgres:"
		}
		hosts := net.JoinHostPort(c.Host, strconv.Itoa(int(c.Port)))
		for _, f := range c.Fallbacks {
			if host := net.JoinHostPort(f.Host, strconv.Itoa(int(f.Port))); !strings.Contains(hosts, host) {
				hosts += "," + host
			}
		}
		return "postgres://" + c.User + "@" + hosts + "/" + c.Database
	case MySQL:
		c, err := mysql.ParseDSN(a.DSN)
		if err != nil {
			return "mysql:"
		}
		return "mysql://" + c.User + "@" + c.Addr + "/" + c.DBName
	}
	return "local:" + a.Folder
}

// In returns the address's DSN with another schema: for PostgreSQL a schema of the same database, for MySQL a
// database. An empty name is the address's own.
func (a Address) In(schema string) (string, error) {
	switch {
	case a.Dialect == PostgreSQL && schema != "":
		return with(a.DSN, "search_path="+url.QueryEscape(schema)), nil
	case a.Dialect == PostgreSQL:
		return a.DSN, nil
	}
	c, err := mysql.ParseDSN(a.DSN)
	if err != nil {
		return "", fmt.Errorf("%w: the MySQL DSN can't be read", ErrAddress)
	}
	if schema != "" {
		c.DBName = schema
	}
	return c.FormatDSN(), nil
}

// Open returns a pool of connections to a schema of the address; see In. It does not connect yet.
func (a Address) Open(schema string, most int) (*sql.DB, error) {
	dsn, err := a.In(schema)
	if err != nil {
		return nil, err
	}
	var db *sql.DB
	if a.Dialect == PostgreSQL {
		c, err := pgx.ParseConfig(dsn)
		if err != nil {
			return nil, fmt.Errorf("%w: the PostgreSQL URL can't be read", ErrAddress)
		}
		c.ValidateConnect = pgconn.ValidateConnectTargetSessionAttrsReadWrite
		c.RuntimeParams["timezone"] = "UTC"
		c.RuntimeParams["application_name"] = "sterling qualify"
		db = stdlib.OpenDB(*c)
	} else {
		c, err := mysql.ParseDSN(dsn)
		if err != nil {
			return nil, fmt.Errorf("%w: the MySQL DSN can't be read", ErrAddress)
		}
		c.ParseTime, c.InterpolateParams, c.ClientFoundRows, c.Loc = true, true, true, time.UTC
		if c.Params == nil {
			c.Params = map[string]string{}
		}
		c.Params["time_zone"] = "'+00:00'" // no hour that a summer time leaves out
		maps.Copy(c.Params, a.Session)
		c.Logger = quiet{} // lost connections are what kills are about
		connector, err := mysql.NewConnector(c)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrAddress, err)
		}
		db = sql.OpenDB(connector)
	}
	db.SetMaxOpenConns(most)
	db.SetMaxIdleConns(most)
	return db, nil
}

type quiet struct{}

func (quiet) Print(...any) {}

// Scratch makes a schema of its own for everything that a qualification writes, and returns how to remove it.
func Scratch(ctx context.Context, a Address, name string) (remove func(context.Context) error, err error) {
	db, err := a.Open("", 1)
	if err != nil {
		return nil, err
	}
	word, cascade := "SCHEMA ", " CASCADE"
	if a.Dialect == MySQL {
		word, cascade = "DATABASE ", ""
	}
	if _, err := db.ExecContext(ctx, "CREATE "+word+name); err != nil {
		return nil, errors.Join(fmt.Errorf("make the scratch schema %s, which needs the right to create one: %w", name, err), db.Close())
	}
	return func(ctx context.Context) error {
		_, err := db.ExecContext(ctx, "DROP "+word+name+cascade)
		if err != nil {
			err = fmt.Errorf("remove the scratch schema %s: %w", name, err)
		}
		return errors.Join(err, db.Close())
	}, nil
}
