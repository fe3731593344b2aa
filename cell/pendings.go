package cell

import (
	"context"

	"github.com/sterlingrun/sterling/ledger"
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
