package cell

import (
	"context"

	"github.com/sterlingrun/sterling/ledger"
	"github.com/sterlingrun/sterling/money"
)

// ScanPendings calls visit with the open reservations, in no order. Pieces of the scan see different moments: one that
// begins or ends meanwhile may be seen or not; every other is seen once.
func (c *Cell) ScanPendings(ctx context.Context, visit func(p *ledger.OpenPending)) error {
	var part []ledger.OpenPending
	for from := uint32(1); from != 0; {
		err := c.view(ctx, func(s *ledger.State) { part, from = s.OpenPendings(from, scanPiece, part[:0]) })
		if err != nil {
			return err
		}
		for i := range part {
			visit(&part[i])
		}
	}
	return nil
}

// OpenPending returns the open reservation with this id; ok is false where there is none. It is linearizable.
func (c *Cell) OpenPending(ctx context.Context, id money.U128) (p ledger.OpenPending, ok bool, err error) {
	err = c.view(ctx, func(s *ledger.State) { p, ok = s.OpenPending(id) })
	return p, ok, err
}
