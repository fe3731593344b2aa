package qualify

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
)

// Address is where an engine is: a DSN of pgx (postgres://…) or of go-sql-driver (user:password@tcp(…)/database, with
// or without mysql:// in front), or local:FOLDER.
type Address struct {
	Dialect Dialect
	Folder  string // of Local
	DSN     string // as the driver reads it
}

// ErrAddress is an address that can't be read.
var ErrAddress = errors.New("no address of an engine")

// ParseAddress reads an address. Its errors wrap ErrAddress and hold no password.
func ParseAddress(text string) (Address, error) {
	scheme, rest, _ := strings.Cut(text, ":")
	switch scheme {
	case "local", "file":
		rest = strings.TrimPrefix(rest, "//")
		if rest == "" {
			return Address{}, fmt.Errorf("%w: local: needs a folder, as in local:/srv/ledger", ErrAddress)
		}
		return Address{Dialect: Local, Folder: rest}, nil
	case "postgres", "postgresql":
		if _, err := pgx.ParseConfig(text); err != nil {
			return Address{}, fmt.Errorf("%w: the PostgreSQL URL can't be read; want postgres://user:password@host:5432/database", ErrAddress)
		}
		return Address{Dialect: PostgreSQL, DSN: text}, nil
	}
	dsn, err := mysqlDSN(text)
	if err != nil {
		return Address{}, err
	}
	return Address{Dialect: MySQL, DSN: dsn}, nil
}

// mysqlDSN reads a DSN of go-sql-driver, or a URL as other tools write it.
func mysqlDSN(text string) (string, error) {
	bad := fmt.Errorf("%w: want postgres://user:password@host:5432/database, mysql://user:password@host:3306/database, user:password@tcp(host:3306)/database or local:FOLDER", ErrAddress)
	if rest, ok := strings.CutPrefix(text, "mysql://"); ok && !strings.Contains(rest, "tcp(") && !strings.Contains(rest, "unix(") {
		u, err := url.Parse(text)
		if err != nil || u.Host == "" {
			return "", bad
		}
		c := mysql.NewConfig()
		c.User, c.Net, c.Addr, c.DBName = u.User.Username(), "tcp", u.Host, strings.TrimPrefix(u.Path, "/")
		c.Passwd, _ = u.User.Password()
		if u.Port() == "" {
			c.Addr += ":3306"
		}
		dsn := c.FormatDSN()
		if u.RawQuery != "" {
			dsn += "&" + u.RawQuery
			if !strings.Contains(c.FormatDSN(), "?") {
				dsn = c.FormatDSN() + "?" + u.RawQuery
			}
		}
		text = dsn
	}
	text = strings.TrimPrefix(text, "mysql://")
	if !strings.Contains(text, "/") {
		return "", bad
	}
	if _, err := mysql.ParseDSN(text); err != nil {
		return "", bad
	}
	return text, nil
}

// String is the address without a password, for reports.
func (a Address) String() string {
	switch a.Dialect {
	case PostgreSQL:
		c, err := pgx.ParseConfig(a.DSN)
		if err != nil {
			return "postgres://"
		}
		u := url.URL{Scheme: "postgres", User: url.User(c.User), Host: fmt.Sprintf("%s:%d", c.Host, c.Port), Path: c.Database}
		return u.String()
	case MySQL:
		c, err := mysql.ParseDSN(a.DSN)
		if err != nil {
			return "mysql://"
		}
		u := url.URL{Scheme: "mysql", User: url.User(c.User), Host: c.Addr, Path: c.DBName}
		return u.String()
	}
	return "local:" + a.Folder
}

// In returns the address with another schema: for PostgreSQL a schema of the same database, for MySQL a database.
// An empty name is the address's own.
func (a Address) In(schema string) (string, error) {
	switch {
	case schema == "":
		return a.DSN, nil
	case a.Dialect == PostgreSQL:
		u, err := url.Parse(a.DSN)
		if err != nil {
			return "", fmt.Errorf("%w: the PostgreSQL URL can't be read", ErrAddress)
		}
		q := u.Query()
		q.Set("search_path", schema)
		u.RawQuery = q.Encode()
		return u.String(), nil
	default:
		c, err := mysql.ParseDSN(a.DSN)
		if err != nil {
			return "", fmt.Errorf("%w: the MySQL DSN can't be read", ErrAddress)
		}
		c.DBName = schema
		return c.FormatDSN(), nil
	}
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
		c.RuntimeParams["timezone"] = "UTC"
		c.RuntimeParams["application_name"] = "sterling qualify"
		db = stdlib.OpenDB(*c)
	} else {
		c, err := mysql.ParseDSN(dsn)
		if err != nil {
			return nil, fmt.Errorf("%w: the MySQL DSN can't be read", ErrAddress)
		}
		c.ParseTime, c.InterpolateParams, c.ClientFoundRows, c.Loc = true, true, true, time.UTC
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
