package cell

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sterlingrun/sterling/clock"
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/ledger"
)

// write is the goroutine that appends blocks, one at a time, and answers who waits for them. A batch without a block
// of its own passes through in its turn: by then everything that its reads saw is durable.
func (c *Cell) write() {
	defer c.running.Done()
	defer close(c.toIndex)
	for b := range c.toLog {
		var err error
		if c.Err() != nil {
			err = c.errStopped()
		} else if b.isBlock {
			err = c.append(b)
		}
		if err == nil && b.assets != nil {
			c.assets.Store(b.assets)
		}
		c.inHand.Add(-1)
		c.poke()
		c.answer(b, err)
		if err == nil && b.isBlock {
			if c.opts.OnBlock != nil {
				c.opts.OnBlock(b.block, int(b.block.Header.Events))
			}
			c.toIndex <- b
			continue
		}
		b.assets = nil
		c.free <- b
	}
}

// append seals the block and makes it durable, whatever it takes, or stops the cell.
func (c *Cell) append(b *batch) error {
	h := b.header
	h.Prev, h.Acked = c.head, h.Seq-1
	b.block = b.builder.Seal(h)
	began := c.opts.Clock.Mono()
	for try := 0; ; try++ {
		err := c.opts.Log.Append(c.ctx, b.block)
		if err == nil {
			break
		}
		if !errors.Is(err, ErrOutcomeUnknown) && !errors.Is(err, ErrFull) {
			err = fmt.Errorf("append block %d: %w", h.Seq, err)
			c.fail(err)
			return errors.Join(ErrOutcomeUnknown, err)
		}
		c.opts.Logger.Warn("append again", "seq", h.Seq, "try", try+1, "error", err)
		if clock.Sleep(c.ctx, c.opts.Clock, backoff(try)) != nil {
			return c.errStopped()
		}
	}
	c.stats.countAppend(c.opts.Clock.Mono()-began, len(b.block.Raw))
	c.head = b.block.Hash
	c.durable.Store(h.Seq)
	return nil
}

func backoff(try int) time.Duration {
	return min(time.Second, 5*time.Millisecond<<min(try, 10))
}

func (c *Cell) answer(b *batch, err error) {
	for i, r := range b.waiting {
		answer := err
		if answer == nil {
			answer = r.err
		}
		r.done <- answer
		b.waiting[i] = nil
	}
	b.waiting = b.waiting[:0]
}

// follow is the goroutine that hands durable blocks to the follower.
func (c *Cell) follow() {
	defer c.running.Done()
	for b := range c.toIndex {
		if f := c.opts.Follower; f != nil && c.Err() == nil {
			if err := f.Add(b.block, &b.fx); err != nil {
				c.fail(fmt.Errorf("index block %d: %w", b.block.Header.Seq, err))
			}
		}
		c.followed.advance(b.block.Header.Seq)
		b.block, b.assets = nil, nil
		c.free <- b
	}
}

// takeOver appends the epoch block that makes this cell the journal's writer.
func (c *Cell) takeOver(ctx context.Context) error {
	c.epoch++
	c.seq++
	b := <-c.free
	at := max(c.opts.Clock.Wall(), c.state.NextTime())
	c.state.Begin(b.builder, &b.fx, c.seq, at)
	h := journal.Header{
		Rules: ledger.Rules, Kind: journal.BlockEpoch, Cell: c.opts.ID, Seq: c.seq, Epoch: c.epoch, Incarnation: c.opts.Incarnation,
		Time: at, Prev: c.head, Acked: c.seq - 1,
	}
	if c.seq%journal.DigestInterval == 0 {
		h.StateDigest = c.state.Digest()
	}
	k := b.builder.Seal(h)
	for try := 0; ; try++ {
		err := c.opts.Log.Append(ctx, k)
		if err == nil {
			break
		}
		if !errors.Is(err, ErrOutcomeUnknown) {
			return fmt.Errorf("append epoch block %d: %w", c.seq, err)
		}
		if err := clock.Sleep(ctx, c.opts.Clock, backoff(try)); err != nil {
			return err
		}
	}
	c.state.End(k)
	c.state.Release(c.seq)
	c.head = k.Hash
	c.durable.Store(c.seq)
	c.followed.advance(c.seq)
	if c.opts.Follower != nil {
		if err := c.opts.Follower.Add(k, &b.fx); err != nil {
			return fmt.Errorf("index block %d: %w", c.seq, err)
		}
	}
	c.free <- b
	c.assets.Store(c.state.Assets())
	c.pendingAssets = c.state.Assets()
	return nil
}
