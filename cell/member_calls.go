package cell

import (
	"context"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/ledger"
	"github.com/sterlingrun/sterling/money"
)

// The calls of a Cell, answered while this node leads; else with ErrNotLeader, and nothing was done.

// led calls f with the cell that this node leads.
func led[T any](m *Member, f func(*Cell) (T, error)) (T, error) {
	c, err := m.Leader()
	if err != nil {
		var none T
		return none, err
	}
	v, err := f(c)
	if err == ErrStopped { //nolint:errorlint // bare: it had not begun, and the node stood down meanwhile
		err = m.notLeader()
	}
	return v, err
}

// do is led for calls without a result.
func (m *Member) do(f func(*Cell) error) error {
	_, err := led(m, func(c *Cell) (struct{}, error) { return struct{}{}, f(c) })
	return err
}

// Do is [Cell.Do].
func (m *Member) Do(ctx context.Context, r *Request) error {
	return m.do(func(c *Cell) error { return c.Do(ctx, r) })
}

// Read is [Cell.Read].
func (m *Member) Read(ctx context.Context, fn func(*ledger.State)) error {
	return m.do(func(c *Cell) error { return c.Read(ctx, fn) })
}

// ReadAfter is [Cell.ReadAfter].
func (m *Member) ReadAfter(ctx context.Context, fn func(m Moment, s *ledger.State)) error {
	return m.do(func(c *Cell) error { return c.ReadAfter(ctx, fn) })
}

// ScanPendings is [Cell.ScanPendings].
func (m *Member) ScanPendings(ctx context.Context, visit func(p *ledger.OpenPending)) error {
	return m.do(func(c *Cell) error { return c.ScanPendings(ctx, visit) })
}

// OpenPending is [Cell.OpenPending].
func (m *Member) OpenPending(ctx context.Context, id money.U128) (p ledger.OpenPending, ok bool, err error) {
	err = m.do(func(c *Cell) (err error) {
		p, ok, err = c.OpenPending(ctx, id)
		return err
	})
	return p, ok, err
}

// ScanAccounts is [Cell.ScanAccounts].
func (m *Member) ScanAccounts(ctx context.Context, from uint32, reversed bool, visit func(n uint32, a *journal.Account) bool) error {
	return m.do(func(c *Cell) error { return c.ScanAccounts(ctx, from, reversed, visit) })
}

// LookupAccounts is [Cell.LookupAccounts].
func (m *Member) LookupAccounts(ctx context.Context, ids []money.U128) ([]journal.Account, error) {
	return led(m, func(c *Cell) ([]journal.Account, error) { return c.LookupAccounts(ctx, ids) })
}

// LookupTransfers is [Cell.LookupTransfers].
func (m *Member) LookupTransfers(ctx context.Context, ids []money.U128) ([]ledger.Transfer, error) {
	return led(m, func(c *Cell) ([]ledger.Transfer, error) { return c.LookupTransfers(ctx, ids) })
}

// Freezes is [Cell.Freezes].
func (m *Member) Freezes(ctx context.Context, inForce bool) ([]ledger.Freeze, error) {
	return led(m, func(c *Cell) ([]ledger.Freeze, error) { return c.Freezes(ctx, inForce) })
}

// Transaction is [Cell.Transaction].
func (m *Member) Transaction(ctx context.Context, id money.U128) (*ledger.Fact, error) {
	return led(m, func(c *Cell) (*ledger.Fact, error) { return c.Transaction(ctx, id) })
}

// AccountNumber is [Cell.AccountNumber].
func (m *Member) AccountNumber(ctx context.Context, id money.U128) (uint32, error) {
	return led(m, func(c *Cell) (uint32, error) { return c.AccountNumber(ctx, id) })
}

// AccountsByNumber is [Cell.AccountsByNumber].
func (m *Member) AccountsByNumber(ctx context.Context, numbers []uint32) ([]journal.Account, error) {
	return led(m, func(c *Cell) ([]journal.Account, error) { return c.AccountsByNumber(ctx, numbers) })
}

// Fresh is [Cell.Fresh].
func (m *Member) Fresh(ctx context.Context) (uint64, error) {
	return led(m, func(c *Cell) (uint64, error) { return c.Fresh(ctx) })
}

// What needs no leader: durable blocks are the same everywhere.

// Header is [Cell.Header].
func (m *Member) Header(ctx context.Context, seq uint64) (journal.Header, error) {
	return m.follows.Load().Header(ctx, seq)
}

// Attachment is [Cell.Attachment].
func (m *Member) Attachment(ctx context.Context, p journal.Position) ([]byte, error) {
	return m.follows.Load().Attachment(ctx, p)
}

// Fact is [Cell.Fact].
func (m *Member) Fact(ctx context.Context, p journal.Position) (ledger.Fact, error) {
	return m.follows.Load().Fact(ctx, p)
}

// Transfer is [Cell.Transfer].
func (m *Member) Transfer(ctx context.Context, p journal.Position) (ledger.Transfer, error) {
	return m.follows.Load().Transfer(ctx, p)
}

// BlockTransfers is [Cell.BlockTransfers].
func (m *Member) BlockTransfers(ctx context.Context, seq uint64) ([]ledger.Transfer, error) {
	return m.follows.Load().BlockTransfers(ctx, seq)
}

// Head is the last block that this node knows to be acknowledged.
func (m *Member) Head() uint64 { return m.follows.Load().Head() }

// Assets is the catalogue as of a block that was acknowledged.
func (m *Member) Assets() *ledger.Catalogue { return m.follows.Load().Assets() }

// ID is the cell's number.
func (m *Member) ID() uint64 { return m.opts.ID }

// Stats is [Cell.Stats]. A node that does not lead holds no writes, whatever its clock says: it is compared with the
// store's when it takes over.
func (m *Member) Stats() Stats {
	s := m.follows.Load().Stats()
	s.ClockHeld = s.ClockHeld && m.leader.Load() != nil
	return s
}

// AcceptClock is [Cell.AcceptClock].
func (m *Member) AcceptClock() {
	if c := m.leader.Load(); c != nil {
		c.AcceptClock()
	}
}

// Err is nil: a member's faults are told to Failed.
func (m *Member) Err() error {
	if m.ctx.Err() != nil {
		return ErrStopped
	}
	return nil
}
