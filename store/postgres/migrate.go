package postgres

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
)

// ErrNewerSchema is a database whose schema a newer program made: this one doesn't know what it means.
var ErrNewerSchema = errors.New("the schema is newer than this program")

const (
	versionTable  = "sterling_store_version"
	migrationLock = 7_311_954_082_215_002_001 // any number, the same for ever
)

//go:embed migrations/*.sql
var migrationFiles embed.FS

// migrate brings the schema to this program's version. One program at a time does it: the others wait.
func migrate(ctx context.Context, cfg *pgx.ConnConfig, log *slog.Logger) (err error) {
	db := stdlib.OpenDB(*cfg)
	defer func() { err = errors.Join(err, db.Close()) }()
	lock, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer lock.Close() //nolint:errcheck // ends the session, and with it the lock
	if err := lockMigrations(ctx, lock); err != nil {
		return fmt.Errorf("lock the schema: %w", err)
	}
	files, err := fs.Sub(migrationFiles, "migrations")
	if err != nil {
		return err
	}
	provider, err := goose.NewProvider(goose.DialectPostgres, db, files, goose.WithTableName(versionTable),
		goose.WithDisableGlobalRegistry(true), goose.WithGoMigrations(externalBodies()), goose.WithSlog(log))
	if err != nil {
		return err
	}
	current, known, err := provider.GetVersions(ctx)
	if err != nil {
		return fmt.Errorf("read the schema's version: %w", err)
	}
	if current > known {
		return fmt.Errorf("%w: version %d, this program knows %d: use the newer program", ErrNewerSchema, current, known)
	}
	if current == known {
		return nil
	}
	if _, err := provider.Up(ctx); err != nil {
		return fmt.Errorf("bring the schema from version %d to %d: %w", current, known, err)
	}
	return nil
}

// lockMigrations waits for the session's advisory lock. Where an engine has none, the statements of the migrations
// being repeatable must do.
func lockMigrations(ctx context.Context, conn *sql.Conn) error {
	var has bool
	if err := conn.QueryRowContext(ctx, "SELECT count(*) > 0 FROM pg_catalog.pg_proc WHERE proname = 'pg_advisory_lock'").Scan(&has); err != nil {
		return err
	}
	if !has {
		return nil
	}
	_, err := conn.ExecContext(ctx, fmt.Sprintf("SELECT pg_advisory_lock(%d)", migrationLock))
	return err
}

// externalBodies stores bodies out of line and as they are: packed records hardly compress, and a part of a body can
// be read without the rest. Only PostgreSQL itself knows this.
func externalBodies() *goose.Migration {
	return goose.NewGoMigration(2, &goose.GoFunc{RunTx: func(ctx context.Context, tx *sql.Tx) error {
		flavour, err := flavourOf(ctx, tx)
		if err != nil || flavour != PostgreSQL {
			return err
		}
		_, err = tx.ExecContext(ctx, "ALTER TABLE sterling_block ALTER COLUMN body SET STORAGE EXTERNAL")
		return err
	}}, nil)
}

// The engines that speak PostgreSQL's protocol, as Report names them.
const (
	PostgreSQL  = "PostgreSQL"
	CockroachDB = "CockroachDB"
	YugabyteDB  = "YugabyteDB"
)

type rowQueryer interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

func flavourOf(ctx context.Context, q rowQueryer) (string, error) {
	var version string
	if err := q.QueryRowContext(ctx, "SELECT version()").Scan(&version); err != nil {
		return "", fmt.Errorf("ask for the engine's version: %w", err)
	}
	return flavour(version), nil
}

func flavour(version string) string {
	switch {
	case strings.Contains(version, "CockroachDB"):
		return CockroachDB
	case strings.Contains(version, "-YB-"):
		return YugabyteDB
	}
	return PostgreSQL
}
