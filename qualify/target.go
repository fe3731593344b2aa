package qualify

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"

	"github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/sterlingrun/sterling/cell"
)

// Dialect is the family of an engine: how its SQL and its errors are written.
type Dialect string

// The families.
const (
	PostgreSQL Dialect = "postgresql" // and what speaks its protocol
	MySQL      Dialect = "mysql"      // MySQL, MariaDB, Galera, TiDB, OceanBase
	Local      Dialect = "local"      // Sterling's own store in a folder: no SQL
)

// Rebind turns the question marks of a statement into the dialect's placeholders. A statement has no other question
// marks.
func (d Dialect) Rebind(query string) string {
	if d != PostgreSQL {
		return query
	}
	var b strings.Builder
	n := 0
	for part := range strings.SplitSeq(query, "?") {
		if n > 0 {
			b.WriteByte('$')
			b.WriteString(strconv.Itoa(n))
		}
		b.WriteString(part)
		n++
	}
	return b.String()
}

// Log is a way to a journal, with an end.
type Log interface {
	cell.Log
	io.Closer
}

// Server is an engine that the qualification has started, and may therefore kill.
type Server interface {
	// Kill ends every process of the engine at once, with SIGKILL.
	Kill() error
	// Restart starts it again on the same data and waits until it answers.
	Restart(ctx context.Context) error
}

// Target is an engine under examination.
type Target struct {
	Dialect Dialect
	// Nodes are ways to the scratch schema, one for each node of the engine that was named; empty for Local.
	Nodes []*sql.DB
	// OpenLog opens the journal of a scratch cell by one of the nodes (0 for Local). The caller closes it.
	OpenLog func(ctx context.Context, cell uint64, node int) (Log, error)
	// Server is nil unless the qualification has started the engine.
	Server Server
}

// Refresh forgets the idle connections, which a restart of the engine has broken, and waits until each node answers.
func (t *Target) Refresh(ctx context.Context) error {
	for i, db := range t.Nodes {
		most := db.Stats().MaxOpenConnections
		db.SetMaxIdleConns(-1)
		db.SetMaxIdleConns(most)
		if err := db.PingContext(ctx); err != nil {
			return fmt.Errorf("reach node %d after a restart: %w", i+1, err)
		}
	}
	return nil
}

// ErrorClass says what a caller does about an error of a statement.
type ErrorClass int

// The classes.
const (
	Other     ErrorClass = iota
	Duplicate            // a unique key is taken
	Retryable            // the engine chose this transaction as a victim; nothing of it happened
	Lost                 // the connection is gone or the server is going: a commit may or may not have happened
)

// Classify sorts an error of a statement or of a commit.
func Classify(err error) ErrorClass {
	var pg *pgconn.PgError
	var my *mysql.MySQLError
	var network net.Error
	switch {
	case errors.As(err, &pg):
		switch {
		case pg.Code == "23505":
			return Duplicate
		case pg.Code == "40001" || pg.Code == "40P01" || pg.Code == "55P03":
			return Retryable
		case strings.HasPrefix(pg.Code, "08") || strings.HasPrefix(pg.Code, "57P"):
			return Lost
		}
	case errors.As(err, &my):
		switch my.Number {
		case 1062:
			return Duplicate
		case 1205, 1213, 3572:
			return Retryable
		case 1047, 1053, 1077, 1180, 1927, 2006, 2013:
			return Lost
		}
	case pgconn.SafeToRetry(err), errors.Is(err, driver.ErrBadConn), errors.Is(err, mysql.ErrInvalidConn), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF),
		errors.Is(err, sql.ErrConnDone), errors.Is(err, context.DeadlineExceeded), errors.As(err, &network):
		return Lost
	}
	return Other
}
