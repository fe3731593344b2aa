package cell

import (
	"context"
	"errors"
	"fmt"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/ledger"
)

// recover builds the state from the newest usable snapshot and the blocks after it.
func (c *Cell) recover(ctx context.Context) error {
	head, hash, err := c.opts.Log.Head(ctx)
	if err != nil {
		return fmt.Errorf("find the journal's head: %w", err)
	}
	if f := c.opts.Follower; f != nil && f.Applied() > head {
		return fmt.Errorf("%w: the index knows block %d, but the journal ends at block %d", ErrDamaged, f.Applied(), head)
	}
	seq, err := c.restore(head)
	if err != nil {
		return err
	}
	if err := c.replay(ctx, seq, head); err != nil {
		return err
	}
	if c.head != hash && head > 0 {
		return fmt.Errorf("%w: block %d has hash %v, the log says %v", ErrDamaged, head, c.head, hash)
	}
	c.seq = head
	c.durable.Store(head)
	return nil
}

// restore loads a snapshot that neither the journal nor the index lags behind, or starts from nothing.
func (c *Cell) restore(head uint64) (seq uint64, err error) {
	c.state = ledger.New(c.ledgerConfig())
	if c.opts.Snapshots == nil {
		return 0, nil
	}
	list, err := c.opts.Snapshots.List()
	if err != nil {
		return 0, fmt.Errorf("list snapshots: %w", err)
	}
	for _, seq := range list {
		if seq > head {
			return 0, fmt.Errorf("%w: there is a snapshot of block %d, but the journal ends at block %d", ErrDamaged, seq, head)
		}
		if f := c.opts.Follower; f != nil && f.Applied() < seq && !catchesUp(f) {
			continue
		}
		state, err := c.load(seq)
		if err == nil {
			c.state = state
			c.opts.Logger.Info("snapshot loaded", "cell", c.opts.ID, "seq", seq)
			return seq, nil
		}
		if !errors.Is(err, ErrDamaged) && !errors.Is(err, ledger.ErrSnapshot) {
			return 0, err
		}
		c.opts.Logger.Warn("snapshot left out", "seq", seq, "error", err)
	}
	return 0, nil
}

func (c *Cell) load(seq uint64) (*ledger.State, error) {
	r, err := c.opts.Snapshots.Open(seq)
	if err != nil {
		return nil, fmt.Errorf("open snapshot %d: %w", seq, err)
	}
	defer func() { _ = r.Close() }() // it was only read
	ahead := readAhead(r)
	state, at, err := ledger.Restore(c.ledgerConfig(), ahead)
	ahead.end()
	if err != nil {
		return nil, fmt.Errorf("restore snapshot %d: %w", seq, err)
	}
	if at != seq {
		return nil, fmt.Errorf("%w: snapshot %d is of block %d", ErrDamaged, seq, at)
	}
	return state, nil
}

// replay validates the blocks after seq again, up to head, while the next ones are being read and decoded.
func (c *Cell) replay(ctx context.Context, seq, head uint64) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	if err := c.prevHash(ctx, seq); err != nil {
		return err
	}
	reader := startReader(ctx, c.opts.Log, seq+1, head)
	defer reader.wait()
	defer stop()
	if err := c.settleAll(); err != nil {
		return err
	}
	scratch := journal.NewBuilder()
	var fx ledger.Effects
	for seq++; seq <= head; seq++ {
		k, err := reader.next()
		if err != nil {
			return fmt.Errorf("read block %d: %w", seq, err)
		}
		if err := c.checkLink(k, seq); err != nil {
			return err
		}
		err = c.state.Replay(k, scratch, &fx, func(needs []ledger.Need) (ledger.Facts, error) { return c.fetch(ctx, needs) })
		if err != nil {
			return fmt.Errorf("replay: %w", err)
		}
		c.head, c.epoch = k.Hash, k.Header.Epoch
		c.durable.Store(seq)
		c.snapshot.replayed += uint64(k.Header.Events)
		if err := c.settleAll(); err != nil {
			return err
		}
		if f := c.opts.Follower; f != nil {
			if err := f.Add(k, &fx); err != nil {
				return fmt.Errorf("index block %d: %w", seq, err)
			}
		}
		reader.recycle(k)
		if c.opts.Progress != nil && (seq == head || seq%64 == 0) {
			c.opts.Progress(seq, head)
		}
	}
	return nil
}

// prevHash sets the head to block seq, which a snapshot ends with.
func (c *Cell) prevHash(ctx context.Context, seq uint64) error {
	if seq == 0 {
		return nil
	}
	var b [journal.HeaderSize]byte
	if err := c.opts.Log.ReadAt(ctx, seq, b[:], 0); err != nil {
		return fmt.Errorf("read the header of block %d: %w", seq, err)
	}
	h, err := journal.DecodeHeader(b[:])
	if err != nil {
		return fmt.Errorf("block %d: %w", seq, err)
	}
	c.head, c.epoch = h.Hash(), h.Epoch
	c.durable.Store(seq)
	return nil
}

func (c *Cell) checkLink(k *journal.Block, seq uint64) error {
	h := &k.Header
	switch {
	case h.Seq != seq:
		return fmt.Errorf("%w: block %d stands where block %d should", ErrDamaged, h.Seq, seq)
	case h.Cell != c.opts.ID:
		return fmt.Errorf("%w: block %d is of cell %d, this is cell %d", ErrDamaged, seq, h.Cell, c.opts.ID)
	case h.Prev != c.head:
		return fmt.Errorf("%w: block %d follows a block with hash %v, the one before it has %v", ErrDamaged, seq, h.Prev, c.head)
	case h.Epoch < c.epoch || h.Epoch > c.epoch && h.Kind != journal.BlockEpoch:
		return fmt.Errorf("%w: block %d of kind %d has epoch %d after epoch %d", ErrDamaged, seq, h.Kind, h.Epoch, c.epoch)
	}
	return nil
}
