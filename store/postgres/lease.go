package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sterlingrun/sterling/cell"
)

const (
	// leaseSQL takes the lease where nobody has it, it has ended, or it is the asker's own. now() is when the
	// transaction began: having waited for a rival makes it no later, so that a lease never ends later than was asked.
	leaseSQL = `INSERT INTO sterling_lease (cell, holder, address, until)
VALUES ($1, $2, $3, now() + $4::bigint * interval '1 microsecond')
ON CONFLICT (cell) DO UPDATE SET holder = excluded.holder, address = excluded.address, until = excluded.until
WHERE sterling_lease.holder = excluded.holder OR sterling_lease.until <= now()`
	leaderSQL  = `SELECT holder, address, until, now() FROM sterling_lease WHERE cell = $1`
	nowSQL     = `SELECT now()`
	releaseSQL = `DELETE FROM sterling_lease WHERE cell = $1 AND holder = $2`

	minTTL, maxTTL = 100 * time.Millisecond, 10 * time.Minute
	maxAddress     = 255
)

// Lease implements cell.Leases, by the server's clock.
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
	if _, err := s.readers.Exec(ctx, leaseSQL, key(s.cell), r.Holder[:], r.Address, r.TTL.Microseconds()); err != nil {
		return cell.Lease{}, fmt.Errorf("take the lease of cell %d: %w", s.cell, s.doubt(err))
	}
	l, err := s.leader(ctx)
	l.Held = err == nil && l.Holder == r.Holder
	return l, err
}

// Leader implements cell.Leases.
func (s *Store) Leader(ctx context.Context) (cell.Lease, error) {
	ctx, cancel := s.bounded(ctx)
	defer cancel()
	return s.leader(ctx)
}

func (s *Store) leader(ctx context.Context) (cell.Lease, error) {
	var l cell.Lease
	var holder []byte
	var until time.Time
	err := s.readers.QueryRow(ctx, leaderSQL, key(s.cell)).Scan(&holder, &l.Address, &until, &l.Now)
	if errors.Is(err, pgx.ErrNoRows) {
		l = cell.Lease{}
		err = s.readers.QueryRow(ctx, nowSQL).Scan(&l.Now)
	}
	l.Now = l.Now.UTC()
	switch {
	case err != nil:
		return cell.Lease{}, fmt.Errorf("read the lease of cell %d: %w", s.cell, s.doubt(err))
	case !until.After(l.Now):
		return cell.Lease{Now: l.Now}, nil
	case len(holder) != len(l.Holder):
		return cell.Lease{}, fmt.Errorf("read the lease of cell %d: %w: a holder of %d bytes", s.cell, cell.ErrDamaged, len(holder))
	}
	l.Holder, l.Remaining = [16]byte(holder), until.Sub(l.Now)
	return l, nil
}

// Release implements cell.Leases.
func (s *Store) Release(ctx context.Context, holder [16]byte) error {
	ctx, cancel := s.bounded(ctx)
	defer cancel()
	if _, err := s.readers.Exec(ctx, releaseSQL, key(s.cell), holder[:]); err != nil {
		return fmt.Errorf("give up the lease of cell %d: %w", s.cell, s.doubt(err))
	}
	return nil
}
