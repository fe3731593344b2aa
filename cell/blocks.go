package cell

import (
	"context"
	"fmt"

	"github.com/sterlingrun/sterling/journal"
)

// Blocks calls visit with the durable blocks from..to, in order, until it returns an error, which is returned. The blocks
// are read ahead, many at a time where the log can, and nobody else waits for it. visit keeps nothing of a block.
func (c *Cell) Blocks(ctx context.Context, from, to uint64, visit func(k *journal.Block) error) error {
	if from > to {
		return nil
	}
	ctx, stop := context.WithCancel(ctx)
	reader := startReader(ctx, c.opts.Log, from, to)
	defer reader.wait()
	defer stop()
	for seq := from; seq <= to; seq++ {
		k, err := reader.next(ctx)
		if err == nil && k.Header.Seq != seq {
			err = fmt.Errorf("%w: it says that it is block %d", ErrDamaged, k.Header.Seq)
		}
		if err != nil {
			return fmt.Errorf("read block %d: %w", seq, err)
		}
		if err := visit(k); err != nil {
			return err
		}
		reader.recycle(k)
	}
	return nil
}
