package mysql

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"

	driver "github.com/go-sql-driver/mysql"
	"github.com/pressly/goose/v3"
)

// ErrNewerSchema is a database whose schema a newer program made: this one doesn't know what it means.
var ErrNewerSchema = errors.New("the schema is newer than this program")

const versionTable = "sterling_store_version"

//go:embed migrations/*.sql
var migrationFiles embed.FS

// migrate brings the schema to this program's version. One program at a time does it: the others wait.
func migrate(ctx context.Context, db *sql.DB, log *slog.Logger) (err error) {
	lock, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	if err := lockMigrations(ctx, lock); err != nil {
		return fmt.Errorf("lock the schema: %w", err)
	}
	defer unlockMigrations(ctx, lock)
	files, err := fs.Sub(migrationFiles, "migrations")
	if err != nil {
		return err
	}
	provider, err := goose.NewProvider(goose.DialectMySQL, db, files, goose.WithTableName(versionTable),
		goose.WithDisableGlobalRegistry(true), goose.WithSlog(log))
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

// lockName is the same for all who migrate this database.
const lockName = "CONCAT('sterling.', MD5(DATABASE()))"

// lockMigrations waits for a named lock of the server. Galera has it per node, and some engines refuse it: there, the
// statements of the migrations being repeatable must do.
func lockMigrations(ctx context.Context, conn *sql.Conn) error {
	var got sql.NullInt64
	err := conn.QueryRowContext(ctx, "SELECT GET_LOCK("+lockName+", 60)").Scan(&got)
	var refused *driver.MySQLError
	switch {
	case errors.As(err, &refused):
		return nil
	case err != nil:
		return err
	case got.Int64 != 1:
		return errors.New("another program has held it for 60 s")
	}
	return nil
}

// unlockMigrations gives the lock up; if it can't, the session's end does.
func unlockMigrations(ctx context.Context, conn *sql.Conn) {
	_, _ = conn.ExecContext(context.WithoutCancel(ctx), "DO RELEASE_LOCK("+lockName+")")
}
