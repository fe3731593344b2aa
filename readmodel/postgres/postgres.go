// Package postgres keeps the read model in PostgreSQL: rows go in by COPY, what changes is changed by one statement for
// each table. It has no code in common with the other engines' packages; they share the suite readmodel/readmodeltest.
//
// It never decides what a row says (package readmodel does), and relies on nothing but transactions, row locks and COPY:
// no advisory locks, no temporary tables, no triggers. Use a database, or a schema (search_path in the DSN), of its own.
//
// Start reading at [Open], and [Target.Apply] in write.go.
package postgres

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
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
	// A transaction that takes so long is given up with its connection, which may hang; what became of it, the position
	// tells.
	transactionTimeout = 5 * time.Minute
)

// Options of a target. DSN and Clock are required.
type Options struct {
	// DSN is postgres://user@host:port,…/database, or key=value pairs: of several servers one that takes writes is used. It is
	// never logged.
	DSN    string
	Clock  clock.Clock
	Logger *slog.Logger // nil: nothing is logged
}

// Target keeps the read model of one or more cells in a database. It has one connection at a time, and makes another one
// after any error.
type Target struct {
	config *pgx.ConnConfig
	conn   *pgx.Conn // nil: there is none
	before func(step string) error
}

// Open connects, makes or migrates the tables, and returns a target. An unknown newer schema is refused with
// readmodel.ErrNewer.
func Open(ctx context.Context, opts Options) (*Target, error) {
	config, err := pgx.ParseConfig(opts.DSN)
	if err != nil {
		return nil, fmt.Errorf("open the read model in PostgreSQL: %w", err) // pgx leaves the password out
	}
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = connectTimeout
	}
	if len(config.Fallbacks) > 0 && config.ValidateConnect == nil { // of several servers, one that takes writes
		config.ValidateConnect = pgconn.ValidateConnectTargetSessionAttrsReadWrite
	}
	config.RuntimeParams["client_encoding"] = "UTF8"
	if config.RuntimeParams["application_name"] == "" {
		config.RuntimeParams["application_name"] = "sterling read model"
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	if err := migrate(ctx, config, opts); err != nil {
		return nil, fmt.Errorf("open the read model in PostgreSQL at %s:%d/%s: %w", config.Host, config.Port, config.Database, err)
	}
	return &Target{config: config, before: func(string) error { return nil }}, nil
}

// Migrations are transactions. Of two programs that make the tables at the same time, one fails, and finds them made when
// it looks again.
const (
	migrationTries = 5
	migrationPause = time.Second
)

func migrate(ctx context.Context, config *pgx.ConnConfig, opts Options) error {
	for try := 1; ; try++ {
		err := migrateOnce(ctx, config, opts.Logger)
		if err == nil || try == migrationTries || errors.Is(err, readmodel.ErrNewer) || ctx.Err() != nil {
			return err
		}
		if err := clock.Sleep(ctx, opts.Clock, migrationPause); err != nil {
			return err
		}
	}
}

func migrateOnce(ctx context.Context, config *pgx.ConnConfig, logger *slog.Logger) (err error) {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	db := stdlib.OpenDB(*config)
	defer func() { err = errors.Join(err, db.Close()) }()
	var encoding string
	if err := db.QueryRowContext(ctx, "SHOW server_encoding").Scan(&encoding); err != nil {
		return fmt.Errorf("ask for the encoding of its texts: %w", err)
	}
	if encoding != "UTF8" {
		return fmt.Errorf("the database has the encoding %s, which can't hold every text: create one with ENCODING 'UTF8'", encoding)
	}
	p, err := goose.NewProvider(goose.DialectPostgres, db, files, goose.WithTableName(versionTable), goose.WithSlog(logger), goose.WithDisableGlobalRegistry(true))
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
		return fmt.Errorf("make the tables (they want a database or a schema of their own): %w", err)
	}
	return nil
}

// Close closes the connection.
func (t *Target) Close() error {
	if t.conn == nil {
		return nil
	}
	conn := t.conn
	t.conn = nil
	ctx, cancel := context.WithTimeout(context.Background(), connectTimeout)
	defer cancel()
	return conn.Close(ctx)
}

// with runs fn with the connection. After an error nothing is known of it: it is closed.
func (t *Target) with(ctx context.Context, fn func(ctx context.Context, c *pgx.Conn) error) error {
	ctx, cancel := context.WithTimeout(ctx, transactionTimeout)
	defer cancel()
	if t.conn == nil || t.conn.IsClosed() {
		conn, err := pgx.ConnectConfig(ctx, t.config)
		if err != nil {
			return fmt.Errorf("connect: %w", err)
		}
		t.conn = conn
	}
	err := fn(ctx, t.conn)
	if err != nil {
		_ = t.Close() // the error is what counts
	}
	return err
}

const selectPosition = `SELECT seq, hash, time, head, assets, utc_offset, rules, version, state FROM projected_through WHERE cell = $1`

// Position implements readmodel.Target.
func (t *Target) Position(ctx context.Context, cell uint64) (p readmodel.Position, err error) {
	key, err := key(cell)
	if err != nil {
		return p, err
	}
	err = t.with(ctx, func(ctx context.Context, c *pgx.Conn) error {
		if err := t.before("position"); err != nil {
			return err
		}
		p, err = scanPosition(c.QueryRow(ctx, selectPosition, key), cell)
		return err
	})
	return p, err
}

func scanPosition(row pgx.Row, cell uint64) (readmodel.Position, error) {
	p := readmodel.Position{Cell: cell}
	var hash []byte
	var state string
	err := row.Scan(&p.Seq, &hash, &p.Time, &p.Head, &p.Assets, &p.UTCOffset, &p.Rules, &p.Version, &state)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
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
	VALUES ($1, 0, decode(repeat('00', 32), 'hex'), 0, 0, 0, 0, 0, 0, 'live', now()) ON CONFLICT (cell) DO NOTHING`

// deleteChunk is how many keys one transaction of Reset takes.
const deleteChunk = 10_000

// deletions are the statements that empty all tables but projected_through, piece by piece.
func deletions() (list [][2]string) {
	for _, t := range [][2]string{
		{"assets", "number"},
		{"accounts", "id"},
		{"balances", "account_id"},
		{"transfers", "position"},
		{"reservations", "id"},
		{"transactions", "id"},
		{"metadata", "owner_id"},
		{"freezes", "id"},
		{"day_closes", "id"},
		{"day_close_lines", "close_id"},
		{"handovers", "position"},
	} {
		list = append(list, [2]string{t[0], "DELETE FROM " + t[0] + " WHERE cell = $1 AND " + t[1] + " IN (SELECT " + t[1] + " FROM " + t[0] + " WHERE cell = $1 LIMIT $2)"})
	}
	return list
}

// Reset implements readmodel.Target.
func (t *Target) Reset(ctx context.Context, cell uint64, deleted func(rows int64)) error {
	key, err := key(cell)
	if err != nil {
		return err
	}
	err = t.with(ctx, func(ctx context.Context, c *pgx.Conn) error {
		_, err := c.Exec(ctx, `INSERT INTO projected_through (cell, seq, hash, time, head, assets, utc_offset, rules, version, state, updated)
			VALUES ($1, 0, decode(repeat('00', 32), 'hex'), 0, 0, 0, 0, 0, 0, 'emptying', now())
			ON CONFLICT (cell) DO UPDATE SET seq = 0, hash = excluded.hash, state = 'emptying', updated = now()`, key)
		return err
	})
	if err != nil {
		return fmt.Errorf("begin to empty the tables of cell %d: %w", cell, err)
	}
	var rows int64
	for _, d := range deletions() {
		for n := int64(1); n > 0; {
			if n, err = t.emptying(ctx, key, d[0], d[1], key, deleteChunk); err != nil {
				return fmt.Errorf("empty the table %s of cell %d: %w", d[0], cell, err)
			}
			rows += n
			deleted(rows)
		}
	}
	if _, err := t.emptying(ctx, key, "projected_through", `DELETE FROM projected_through WHERE cell = $1`, key); err != nil {
		return fmt.Errorf("end emptying the tables of cell %d: %w", cell, err)
	}
	return nil
}

// emptying runs a statement while the tables are still being emptied, by us or by others.
func (t *Target) emptying(ctx context.Context, key int64, step, text string, args ...any) (n int64, err error) {
	err = t.with(ctx, func(ctx context.Context, c *pgx.Conn) error {
		if err := t.before(step); err != nil {
			return err
		}
		tx, err := c.Begin(ctx)
		if err != nil {
			return err
		}
		var state string
		err = tx.QueryRow(ctx, `SELECT state FROM projected_through WHERE cell = $1 FOR UPDATE`, key).Scan(&state)
		if errors.Is(err, pgx.ErrNoRows) || err == nil && state != "emptying" {
			return readmodel.ErrMoved
		}
		if err != nil {
			return err
		}
		done, err := tx.Exec(ctx, text, args...)
		if err != nil {
			return err
		}
		n = done.RowsAffected()
		return tx.Commit(ctx)
	})
	return n, err
}
