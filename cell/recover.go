package cell

import (
	"context"
	"errors"
	"fmt"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/ledger"
)

// recover builds the state from the newest usable snapshot and the blocks after it, all that the journal has.
func (c *Cell) recover(ctx context.Context) error {
	head, err := c.logHead(ctx)
	if err != nil {
		return err
	}
	if err := c.load(ctx, head); err != nil {
		return err
	}
	return c.catchUp(ctx, head)
}

// logHead is where a log ends, and what of it is confirmed.
type logHead struct {
	seq   uint64
	hash  journal.Hash
	acked uint64 // up to here the last block itself says that all was acknowledged
	epoch uint64 // of the last block
}

func (c *Cell) logHead(ctx context.Context) (h logHead, err error) {
	if h.seq, h.hash, err = c.opts.Log.Head(ctx); err != nil {
		return h, fmt.Errorf("find the journal's head: %w", err)
	}
	if h.seq == 0 {
		return h, nil
	}
	header, err := c.readHeader(ctx, h.seq)
	if err != nil {
		return h, err
	}
	if header.Hash() != h.hash || header.Acked >= h.seq {
		return h, fmt.Errorf("%w: the log says that block %d has hash %v; its header has %v and acknowledges block %d", ErrDamaged, h.seq, h.hash, header.Hash(), header.Acked)
	}
	h.acked, h.epoch = header.Acked, header.Epoch
	return h, nil
}

// load restores the newest usable snapshot and replays what is confirmed.
func (c *Cell) load(ctx context.Context, head logHead) error {
	if f := c.opts.Follower; f != nil && f.Applied() > head.seq {
		return fmt.Errorf("%w: the index knows block %d, but the journal ends at block %d", ErrDamaged, f.Applied(), head.seq)
	}
	seq, err := c.restore(head.seq)
	if err != nil {
		return err
	}
	if err := c.prevHash(ctx, seq); err != nil {
		return err
	}
	if err := c.settleAll(); err != nil {
		return err
	}
	c.seq = seq
	return c.replay(ctx, head.acked, head.seq, true)
}

// catchUp replays the rest of the journal, which no block has confirmed yet: the follower gets it with the epoch block.
func (c *Cell) catchUp(ctx context.Context, head logHead) error {
	if err := c.replay(ctx, head.acked, head.seq, true); err != nil {
		return err
	}
	if err := c.replay(ctx, head.seq, head.seq, false); err != nil {
		return err
	}
	if c.head != head.hash && head.seq > 0 {
		return fmt.Errorf("%w: block %d has hash %v, the log says %v", ErrDamaged, head.seq, c.head, head.hash)
	}
	return nil
}

// tailBlock is a block that was recovered, or appended by a takeover, before anything has confirmed it.
type tailBlock struct {
	block *journal.Block
	fx    *ledger.Effects
}

// confirmTail gives the follower what a takeover has confirmed.
func (c *Cell) confirmTail() error {
	for _, t := range c.tail {
		if f := c.opts.Follower; f != nil {
			if err := f.Add(t.block, t.fx); err != nil {
				return fmt.Errorf("index block %d: %w", t.block.Header.Seq, err)
			}
		}
		if c.opts.Shared && c.opts.OnBlock != nil {
			c.opts.OnBlock(t.block, int(t.block.Header.Events))
		}
	}
	c.tail = c.tail[:0]
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
		state, err := c.loadSnapshot(seq)
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

func (c *Cell) loadSnapshot(seq uint64) (*ledger.State, error) {
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

// replay validates the blocks after c.seq again, up to through, while the next ones are being read and decoded. Blocks
// that are confirmed go to the follower; others are kept for when they are. head is the journal's, for who watches.
func (c *Cell) replay(ctx context.Context, through, head uint64, confirmed bool) error {
	if c.seq >= through {
		return nil
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	reader := startReader(ctx, c.opts.Log, c.seq+1, through)
	defer reader.wait()
	defer stop()
	scratch := journal.NewBuilder()
	fx := new(ledger.Effects)
	for seq := c.seq + 1; seq <= through; seq++ {
		k, err := reader.next(ctx)
		if err != nil {
			return fmt.Errorf("read block %d: %w", seq, err)
		}
		if err := c.checkLink(k, seq); err != nil {
			return err
		}
		err = c.state.Replay(k, scratch, fx, func(needs []ledger.Need) (ledger.Facts, error) { return c.fetch(ctx, needs) })
		if err != nil {
			c.halfway = true
			return fmt.Errorf("replay: %w", err)
		}
		c.head, c.seq = k.Hash, seq
		c.epoch.Store(k.Header.Epoch)
		if confirmed { // what is not, nobody may see before a takeover has succeeded
			c.durable.Store(seq)
		}
		c.snapshot.replayed += uint64(k.Header.Events)
		if err := c.settleAll(); err != nil {
			return err
		}
		c.tail = append(c.tail, tailBlock{k, fx})
		if confirmed {
			if err := c.confirmTail(); err != nil {
				return err
			}
			reader.recycle(k)
		} else { // it is kept, with all that it was made of
			scratch, fx = journal.NewBuilder(), new(ledger.Effects)
			reader.buffers <- nil
		}
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
	h, err := c.readHeader(ctx, seq)
	if err != nil {
		return err
	}
	c.head = h.Hash()
	c.epoch.Store(h.Epoch)
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
	case h.Epoch < c.epoch.Load() || h.Epoch > c.epoch.Load() && h.Kind != journal.BlockEpoch:
		return fmt.Errorf("%w: block %d of kind %d has epoch %d after epoch %d", ErrDamaged, seq, h.Kind, h.Epoch, c.epoch.Load())
	}
	return nil
}
