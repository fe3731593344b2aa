package mysql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/sterlingrun/sterling/cell"
)

const (
	// renewSQL takes the lease where it has ended or is the asker's own, beginSQL where nobody ever had it.
	// UTC_TIMESTAMP is when the statement began: having waited for a rival makes it no later, so that a lease never
	// ends later than was asked.
	renewSQL = `UPDATE sterling_lease SET holder = ?, address = ?, until = UTC_TIMESTAMP(6) + INTERVAL ? MICROSECOND
WHERE cell = ? AND (holder = ? OR until <= UTC_TIMESTAMP(6))`
	beginSQL = `INSERT INTO sterling_lease (cell, holder, address, until)
VALUES (?, ?, ?, UTC_TIMESTAMP(6) + INTERVAL ? MICROSECOND)`
	leaderSQL = `SELECT holder, address, TIMESTAMPDIFF(MICROSECOND, UTC_TIMESTAMP(6), until),
TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6)) FROM sterling_lease WHERE cell = ?`
	nowSQL     = `SELECT TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6))`
	releaseSQL = `DELETE FROM sterling_lease WHERE cell = ? AND holder = ?`

	minTTL, maxTTL = 100 * time.Millisecond, 10 * time.Minute
	maxAddress     = 255
)

// Lease implements cell.Leases, by the clock of the server that is asked: those of a Galera cluster should agree to
// much less than the lease's time.
func (s *Store) Lease(ctx context.Context, r cell.LeaseRequest) (cell.Lease, error) {
	switch {
	case r.Holder == [16]byte{}:
		return cell.Lease{}, errors.New("take the lease: the holder is zero")
	case len(r.Address) > maxAddress:
		return cell.Lease{}, fmt.Errorf("take the lease: an address of %d bytes, at most %d", len(r.Address), maxAddress)
	case r.TTL < minTTL || r.TTL > maxTTL:
		return cell.Lease{}, fmt.Errorf("take the lease for %v: want %v to %v", r.TTL, minTTL, maxTTL)
	}
	ctx, cancel := s.bounded(ctx)
	defer cancel()
	ttl := r.TTL.Microseconds()
	taken, err := s.change(ctx, renewSQL, r.Holder[:], r.Address, ttl, key(s.cell), r.Holder[:])
	if err != nil {
		return cell.Lease{}, fmt.Errorf("renew the lease of cell %d: %w", s.cell, err)
	}
	l, exists, err := s.leader(ctx)
	if err == nil && !taken && !exists {
		if _, err := s.change(ctx, beginSQL, key(s.cell), r.Holder[:], r.Address, ttl); err != nil {
			return cell.Lease{}, fmt.Errorf("take the lease of cell %d: %w", s.cell, err)
		}
		l, _, err = s.leader(ctx)
	}
	l.Held = err == nil && l.Holder == r.Holder
	return l, err
}

// change runs a statement and says whether it found its row. To lose against a rival is no error.
func (s *Store) change(ctx context.Context, statement string, args ...any) (bool, error) {
	result, err := s.readers.ExecContext(ctx, statement, args...)
	switch number(err) {
	case duplicateKey, deadlock, lockTimeout:
		return false, nil
	}
	if err != nil {
		return false, s.renew(err)
	}
	n, err := result.RowsAffected()
	return n > 0, err
}

// Leader implements cell.Leases.
func (s *Store) Leader(ctx context.Context) (cell.Lease, error) {
	ctx, cancel := s.bounded(ctx)
	defer cancel()
	l, _, err := s.leader(ctx)
	return l, err
}

// leader also says whether there is a row, even of a lease that has ended.
func (s *Store) leader(ctx context.Context) (l cell.Lease, exists bool, err error) {
	var holder []byte
	var remaining, now int64
	err = s.readers.QueryRowContext(ctx, leaderSQL, key(s.cell)).Scan(&holder, &l.Address, &remaining, &now)
	exists = !errors.Is(err, sql.ErrNoRows)
	if !exists {
		err = s.readers.QueryRowContext(ctx, nowSQL).Scan(&now)
	}
	l.Now = time.UnixMicro(now).UTC()
	switch {
	case err != nil:
		return cell.Lease{}, false, fmt.Errorf("read the lease of cell %d: %w", s.cell, s.renew(err))
	case remaining <= 0:
		return cell.Lease{Now: l.Now}, exists, nil
	case len(holder) != len(l.Holder):
		return cell.Lease{}, exists, fmt.Errorf("read the lease of cell %d: %w: a holder of %d bytes", s.cell, cell.ErrDamaged, len(holder))
	}
	l.Holder, l.Remaining = [16]byte(holder), time.Duration(remaining)*time.Microsecond
	return l, exists, nil
}

// Release implements cell.Leases.
func (s *Store) Release(ctx context.Context, holder [16]byte) error {
	ctx, cancel := s.bounded(ctx)
	defer cancel()
	if _, err := s.change(ctx, releaseSQL, key(s.cell), holder[:]); err != nil {
		return fmt.Errorf("give up the lease of cell %d: %w", s.cell, err)
	}
	return nil
}
