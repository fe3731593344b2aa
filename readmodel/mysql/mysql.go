// Package mysql keeps the read model in the MySQL family: MariaDB, on which it is tested, MySQL, TiDB and OceanBase. Rows
// go in by INSERTs of many rows. LOAD DATA is not used: with LOCAL, a row that does not fit its table becomes a warning,
// and is left out or cut; an INSERT in strict mode fails. The package has no code in common with the other engines'; they
// share the suite readmodel/readmodeltest.
//
// It never decides what a row says (package readmodel does), and relies on nothing but transactions and row locks. Use a
// database of its own.
//
// Start reading at [Open], and [Target.Apply] in write.go.
package mysql

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"strings"
	"time"

	"github.com/pressly/goose/v3"

	"github.com/sterlingrun/sterling/clock"
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/readmodel"
)

//go:embed migrations
var migrations embed.FS

// versionTable is where goose keeps which migrations were applied.
const versionTable = "readmodel_migrations"

const (
	connectTimeout = 10 * time.Second
	// A statement that hangs for so long is given up with its connection; what became of its transaction, the position
	// tells.
	ioTimeout = 5 * time.Minute
)

// Options of a target. DSN and Clock are required.
type Options struct {
	// DSN is user:password@tcp(host:port)/database, as go-sql-driver has it, or mysql://user:password@host:port,…/database: of
	// several servers the first that takes writes is used. It is never logged.
	DSN    string
	Clock  clock.Clock
	Logger *slog.Logger // nil: nothing is logged
}

// Target keeps the read model of one or more cells in a database.
type Target struct {
	db     *sql.DB
	before func(step string) error
}

// Open connects, makes or migrates the tables, and returns a target. An unknown newer schema is refused with
// readmodel.ErrNewer.
func Open(ctx context.Context, opts Options) (*Target, error) {
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	servers, err := newServers(opts.DSN, opts.Logger)
	if err != nil {
		return nil, fmt.Errorf("open the read model in MySQL: %w", err) // the driver leaves the DSN out
	}
	db := sql.OpenDB(servers)
	db.SetMaxOpenConns(1)
	if err := migrate(ctx, db, opts); err != nil {
		return nil, errors.Join(fmt.Errorf("open the read model in MySQL at %s: %w", strings.Join(servers.names, ","), err), db.Close())
	}
	return &Target{db: db, before: func(string) error { return nil }}, nil
}

// The family has no transactions for the definition of tables. Of two programs that make them at the same time, one fails,
// and finds them made when it looks again.
const (
	migrationTries = 5
	migrationPause = time.Second
)

func migrate(ctx context.Context, db *sql.DB, opts Options) error {
	for try := 1; ; try++ {
		err := migrateOnce(ctx, db, opts.Logger)
		if err == nil || try == migrationTries || errors.Is(err, readmodel.ErrNewer) || ctx.Err() != nil {
			return err
		}
		if err := clock.Sleep(ctx, opts.Clock, migrationPause); err != nil {
			return err
		}
	}
}

func migrateOnce(ctx context.Context, db *sql.DB, logger *slog.Logger) error {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	p, err := goose.NewProvider(goose.DialectMySQL, db, files, goose.WithTableName(versionTable), goose.WithSlog(logger), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return err
	}
	have, want, err := p.GetVersions(ctx)
	if err != nil {
		return fmt.Errorf("ask for the version of the schema: %w", err)
	}
	if have > want {
		return fmt.Errorf("the schema has version %d, this program knows %d: %w", have, want, readmodel.ErrNewer)
	}
	if _, err := p.Up(ctx); err != nil {
		return fmt.Errorf("make the tables (they want a database of their own; if an earlier start was cut short while it made them, drop them): %w", err)
	}
	return nil
}

// Close closes the connection.
func (t *Target) Close() error { return t.db.Close() }

const selectPosition = `SELECT seq, hash, time, head, assets, utc_offset, rules, version, state FROM projected_through WHERE cell = ?`

// Position implements readmodel.Target.
func (t *Target) Position(ctx context.Context, cell uint64) (readmodel.Position, error) {
	if err := t.before("position"); err != nil {
		return readmodel.Position{}, err
	}
	key, err := key(cell)
	if err != nil {
		return readmodel.Position{}, err
	}
	var p readmodel.Position
	err = t.with(ctx, func(c *sql.Conn) (err error) {
		p, err = scanPosition(c.QueryRowContext(ctx, selectPosition, key), cell)
		return err
	})
	return p, err
}

func scanPosition(row *sql.Row, cell uint64) (readmodel.Position, error) {
	p := readmodel.Position{Cell: cell}
	var hash []byte
	var state string
	err := row.Scan(&p.Seq, &hash, &p.Time, &p.Head, &p.Assets, &p.UTCOffset, &p.Rules, &p.Version, &state)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return p, nil
	case err != nil:
		return p, fmt.Errorf("read the position of cell %d: %w", cell, err)
	case len(hash) != len(p.Hash):
		return p, fmt.Errorf("the position of cell %d has a hash of %d bytes: %w", cell, len(hash), readmodel.ErrTables)
	}
	p.Hash, p.Emptying = journal.Hash(hash), state == "emptying"
	return p, nil
}

// key is the cell's number as the tables have it.
func key(cell uint64) (int64, error) {
	if cell >= 1<<63 {
		return 0, fmt.Errorf("cell %d is beyond 2^63 - 1, which the tables have no place for", cell)
	}
	return int64(cell), nil //nolint:gosec // checked above
}

// claim makes sure that there is a row with the cell's position, which can be locked.
const claim = `INSERT INTO projected_through (cell, seq, hash, time, head, assets, utc_offset, rules, version, state, updated)
	VALUES (?, 0, REPEAT(X'00', 32), 0, 0, 0, 0, 0, 0, 'live', UTC_TIMESTAMP(6)) ON DUPLICATE KEY UPDATE cell = VALUES(cell)`

// deleteChunk is how many rows one transaction of Reset takes.
const deleteChunk = 10_000

// tables are all but projected_through.
func tables() []string {
	return []string{
		"assets", "accounts", "balances", "transfers", "reservations", "transactions", "metadata", "freezes", "day_closes", "day_close_lines", "handovers",
	}
}

// Reset implements readmodel.Target.
func (t *Target) Reset(ctx context.Context, cell uint64, deleted func(rows int64)) error {
	key, err := key(cell)
	if err != nil {
		return err
	}
	const begin = `INSERT INTO projected_through (cell, seq, hash, time, head, assets, utc_offset, rules, version, state, updated)
		VALUES (?, 0, REPEAT(X'00', 32), 0, 0, 0, 0, 0, 0, 'emptying', UTC_TIMESTAMP(6))
		ON DUPLICATE KEY UPDATE seq = 0, hash = VALUES(hash), state = 'emptying', updated = VALUES(updated)`
	err = t.with(ctx, func(c *sql.Conn) error {
		_, err := c.ExecContext(ctx, begin, key)
		return err
	})
	if err != nil {
		return fmt.Errorf("begin to empty the tables of cell %d: %w", cell, err)
	}
	var rows int64
	for _, table := range tables() {
		for n := int64(1); n > 0; {
			if n, err = t.emptying(ctx, key, table, "DELETE FROM "+table+" WHERE cell = ? LIMIT ?", key, deleteChunk); err != nil {
				return fmt.Errorf("empty the table %s of cell %d: %w", table, cell, err)
			}
			rows += n
			deleted(rows)
		}
	}
	if _, err := t.emptying(ctx, key, "projected_through", `DELETE FROM projected_through WHERE cell = ?`, key); err != nil {
		return fmt.Errorf("end emptying the tables of cell %d: %w", cell, err)
	}
	return nil
}

// emptying runs a statement while the tables are still being emptied, by us or by others.
func (t *Target) emptying(ctx context.Context, key int64, step, text string, args ...any) (n int64, err error) {
	if err := t.before(step); err != nil {
		return 0, err
	}
	err = t.with(ctx, func(c *sql.Conn) error {
		tx, err := c.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		defer tx.Rollback() //nolint:errcheck // after a commit there is nothing to roll back
		var state string
		err = tx.QueryRowContext(ctx, `SELECT state FROM projected_through WHERE cell = ? FOR UPDATE`, key).Scan(&state)
		if errors.Is(err, sql.ErrNoRows) || err == nil && state != "emptying" {
			return readmodel.ErrMoved
		}
		if err != nil {
			return err
		}
		done, err := tx.ExecContext(ctx, text, args...)
		if err != nil {
			return err
		}
		if n, err = done.RowsAffected(); err != nil {
			return err
		}
		return tx.Commit()
	})
	return n, err
}
