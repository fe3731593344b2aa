package mysql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
)

const (
	newestMapSQL = `SELECT version, text FROM sterling_map ORDER BY version DESC LIMIT 1`
	// swapMapSQL is fenced as an append is: the version before has to be there, the new one must not.
	swapMapSQL = `INSERT INTO sterling_map (version, text)
SELECT ?, ? FROM DUAL` + insertWritable + `
AND (? = 0 OR EXISTS (SELECT 1 FROM sterling_map AS p WHERE p.version = ?))`

	maxMap = 1 << 20
)

// Load returns the newest version of the map that all cells of this schema share, and its text; 0 and nil where there is
// none yet.
func (s *Store) Load(ctx context.Context) (version uint64, raw []byte, err error) {
	ctx, cancel := s.bounded(ctx)
	defer cancel()
	var newest int64
	err = s.readers.QueryRowContext(ctx, newestMapSQL).Scan(&newest, &raw)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return 0, nil, nil
	case err != nil:
		return 0, nil, fmt.Errorf("read the map of cells: %w", s.renew(err))
	case newest <= 0:
		return 0, nil, fmt.Errorf("read the map of cells: version %d: want 1 or more", newest)
	}
	return uint64(newest), raw, nil
}

// Swap makes raw, at most 1 MiB, version was+1 of the map if was is the newest (0: there is none), and says whether it
// did. After an error the outcome is unknown: Load tells.
func (s *Store) Swap(ctx context.Context, was uint64, raw []byte) (bool, error) {
	if was >= math.MaxInt64 || len(raw) == 0 || len(raw) > maxMap {
		return false, fmt.Errorf("replace version %d of the map of cells: %d bytes: want 1 to %d", was, len(raw), maxMap)
	}
	ctx, cancel := s.bounded(ctx)
	defer cancel()
	swapped, err := s.change(ctx, swapMapSQL, key(was+1), raw, key(was), key(was))
	if err != nil {
		return false, fmt.Errorf("replace version %d of the map of cells: %w", was, err)
	}
	return swapped, nil
}
