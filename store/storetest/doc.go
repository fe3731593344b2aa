// Package storetest is what every store that several nodes can reach has to pass beyond cell/celltest: leases, the map of cells, reading
// in bulk, writers that race (the history must be linearizable), and servers that crash. It tests through interfaces;
// the faults of one engine are that store's tests. Start reading at Store and Race.
package storetest

import (
	"context"

	"github.com/sterlingrun/sterling/cell"
)

// Store is a journal in a database.
type Store interface {
	cell.Log
	cell.Leases
	// ReadFrom gives up to maxBlocks blocks, and maxBytes but one block at least, in order from seq on to fn.
	ReadFrom(ctx context.Context, seq uint64, maxBlocks, maxBytes int, fn func(seq uint64, raw []byte) error) error
}
