// Package sqlite keeps the read model in a SQLite file: the engine that is embedded, for one machine. Others may read the
// file while it is written (WAL). It has no code in common with the other engines' packages; they share the suite
// readmodel/readmodeltest.
//
// It never decides what a row says (package readmodel does), and never does arithmetic on amounts in SQL, since SQLite
// has no exact number beyond 63 bits. Its data is derived: after a loss of power the last transactions may be missing,
// whole, and are projected again.
//
// Start reading at [Open], and [Target.Apply] in write.go.
package sqlite

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"

	"github.com/pressly/goose/v3"
	driver "modernc.org/sqlite"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/readmodel"
)

//go:embed migrations
var migrations embed.FS

// versionTable is where goose keeps which migrations were applied.
const versionTable = "readmodel_migrations"

// Options of a target. Path is required.
type Options struct {
	Path   string       // of the file, which is made with mode 0600 where there is none
	Logger *slog.Logger // nil: nothing is logged
}

// Target keeps the read model of one or more cells in a file.
type Target struct {
	db     *sql.DB
	before func(step string) error
}

// Open opens the file, makes or migrates its tables, and returns a target. An unknown newer schema is refused with
// readmodel.ErrNewer.
func Open(ctx context.Context, opts Options) (*Target, error) {
	db, err := open(opts.Path)
	if err == nil {
		err = migrate(ctx, db, opts.Logger)
	}
	if err != nil {
		if db != nil {
			err = errors.Join(err, db.Close())
		}
		return nil, fmt.Errorf("open the read model %s: %w", opts.Path, err)
	}
	return &Target{db: db, before: func(string) error { return nil }}, nil
}

func open(path string) (*sql.DB, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600) // SQLite would make it readable by others
	if err != nil {
		return nil, err
	}
	if err := f.Close(); err != nil {
		return nil, err
	}
	q := url.Values{"_txlock": {"immediate"}, "_pragma": {"busy_timeout(10000)", "journal_mode(WAL)", "synchronous(NORMAL)", "cache_size(-65536)"}}
	c, err := driver.NewConnector((&url.URL{Scheme: "file", Path: path, RawQuery: q.Encode()}).String())
	if err != nil {
		return nil, err
	}
	db := sql.OpenDB(c)
	db.SetMaxOpenConns(1)
	return db, nil
}

func migrate(ctx context.Context, db *sql.DB, logger *slog.Logger) error {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	p, err := goose.NewProvider(goose.DialectSQLite3, db, files, goose.WithTableName(versionTable), goose.WithSlog(logger), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return err
	}
	have, want, err := p.GetVersions(ctx)
	if err != nil {
		return fmt.Errorf("ask for the version of its schema: %w", err)
	}
	if have > want {
		return fmt.Errorf("its schema has version %d, this program knows %d: %w", have, want, readmodel.ErrNewer)
	}
	if _, err := p.Up(ctx); err != nil {
		return fmt.Errorf("make its tables (they want a file of their own): %w", err)
	}
	return nil
}

// Close closes the file.
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
	return scanPosition(t.db.QueryRowContext(ctx, selectPosition, key), cell)
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

// deleteChunk is how many keys one transaction of Reset takes.
const deleteChunk = 10_000

// tables are all but projected_through, with a key by which to delete them piece by piece.
func tables() [][2]string {
	return [][2]string{
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
	}
}

// Reset implements readmodel.Target.
func (t *Target) Reset(ctx context.Context, cell uint64, deleted func(rows int64)) error {
	key, err := key(cell)
	if err != nil {
		return err
	}
	const begin = `INSERT INTO projected_through (cell, seq, hash, time, head, assets, utc_offset, rules, version, state, updated)
		VALUES (?, 0, zeroblob(32), 0, 0, 0, 0, 0, 0, 'emptying', datetime())
		ON CONFLICT (cell) DO UPDATE SET seq = 0, hash = zeroblob(32), state = 'emptying', updated = datetime()`
	if _, err := t.db.ExecContext(ctx, begin, key); err != nil {
		return fmt.Errorf("begin to empty the tables of cell %d: %w", cell, err)
	}
	var rows int64
	for _, table := range tables() {
		text := "DELETE FROM " + table[0] + " WHERE cell = ?1 AND " + table[1] + " IN (SELECT " + table[1] + " FROM " + table[0] + " WHERE cell = ?1 LIMIT ?2)"
		for n := int64(1); n > 0; {
			if n, err = t.emptying(ctx, key, table[0], text, key, deleteChunk); err != nil {
				return fmt.Errorf("empty the table %s of cell %d: %w", table[0], cell, err)
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
func (t *Target) emptying(ctx context.Context, key int64, step, text string, args ...any) (int64, error) {
	if err := t.before(step); err != nil {
		return 0, err
	}
	tx, err := t.db.BeginTx(ctx, nil)
	if err != nil {
		return 0, err
	}
	defer tx.Rollback() //nolint:errcheck // after a commit there is nothing to roll back
	var state string
	err = tx.QueryRowContext(ctx, `SELECT state FROM projected_through WHERE cell = ?`, key).Scan(&state)
	if errors.Is(err, sql.ErrNoRows) || err == nil && state != "emptying" {
		return 0, readmodel.ErrMoved
	}
	if err != nil {
		return 0, err
	}
	done, err := tx.ExecContext(ctx, text, args...)
	if err != nil {
		return 0, err
	}
	n, err := done.RowsAffected()
	if err != nil {
		return 0, err
	}
	return n, tx.Commit()
}
