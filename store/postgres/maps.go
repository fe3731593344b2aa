package postgres

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/jackc/pgx/v5"
)

const (
	newestMapSQL = `SELECT version, text FROM sterling_map ORDER BY version DESC LIMIT 1`
	// swapMapSQL is fenced as an append is: the version before has to be there, the new one must not.
	swapMapSQL = `INSERT INTO sterling_map (version, text)
SELECT $1::bigint + 1, $2::bytea
WHERE $1::bigint = 0 OR EXISTS (SELECT 1 FROM sterling_map WHERE version = $1::bigint)
ON CONFLICT DO NOTHING`
	// durableSQL makes this transaction's commit a durable one. An engine that doesn't know the setting keeps its ways.
	durableSQL = `SELECT set_config(name, 'on', true) FROM pg_catalog.pg_settings
WHERE name = 'synchronous_commit' AND setting NOT IN ('on', 'remote_apply', 'always')`

	maxMap = 1 << 20
)

// Load returns the newest version of the map that all cells of this schema share, and its text; 0 and nil where there is
// none yet.
func (s *Store) Load(ctx context.Context) (version uint64, raw []byte, err error) {
	ctx, cancel := s.bounded(ctx)
	defer cancel()
	var newest int64
	err = s.readers.QueryRow(ctx, newestMapSQL).Scan(&newest, &raw)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return 0, nil, nil
	case err != nil:
		return 0, nil, fmt.Errorf("read the map of cells: %w", s.doubt(err))
	}
	return uint64(newest), raw, nil //nolint:gosec // the table has none below 1
}

// Swap makes raw, at most 1 MiB, version was+1 of the map if was is the newest (0: there is none), and says whether it
// did. After an error the outcome is unknown: Load tells.
func (s *Store) Swap(ctx context.Context, was uint64, raw []byte) (bool, error) {
	if was >= math.MaxInt64 || len(raw) == 0 || len(raw) > maxMap {
		return false, fmt.Errorf("replace version %d of the map of cells: %d bytes: want 1 to %d", was, len(raw), maxMap)
	}
	ctx, cancel := s.bounded(ctx)
	defer cancel()
	swapped := false
	err := pgx.BeginFunc(ctx, s.readers, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, durableSQL); err != nil {
			return err
		}
		tag, err := tx.Exec(ctx, swapMapSQL, key(was), raw)
		swapped = tag.RowsAffected() == 1
		return err
	})
	if err != nil {
		return false, fmt.Errorf("replace version %d of the map of cells: %w", was, s.doubt(err))
	}
	return swapped, nil
}
