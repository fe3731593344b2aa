package cell

import (
	"context"
	"errors"
	"fmt"
	"syscall"
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
		c.settle(b, c.append(b))
	}
}

// settle answers who waits for b and passes it on.
func (c *Cell) settle(b *batch, err error) {
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
		return
	}
	b.assets = nil
	c.free <- b
}

// append seals the block and makes it durable, whatever it takes, or stops the cell.
func (c *Cell) append(b *batch) error {
	began := c.opts.Clock.Mono()
	for try := 0; ; try++ {
		done, err := c.tryAppend(b, try)
		if done {
			if err == nil && b.isBlock {
				c.stats.countAppend(c.opts.Clock.Mono()-began, len(b.block.Raw))
			}
			return err
		}
		if clock.Sleep(c.ctx, c.opts.Clock, backoff(try)) != nil {
			return c.errStopped()
		}
	}
}

// tryAppend appends the block once; the first try seals it. While its outcome is unknown, or there is no space, it is
// not done, and the same bytes are to be appended again.
func (c *Cell) tryAppend(b *batch, try int) (done bool, err error) {
	switch {
	case try == 0 && c.Err() != nil:
		return true, c.errStopped()
	case !b.isBlock:
		return true, nil
	case try == 0:
		h := b.header
		h.Prev, h.Acked = c.head, h.Seq-1
		b.block = b.builder.Seal(h)
	}
	seq := b.header.Seq
	err = c.opts.Log.Append(c.ctx, b.block)
	switch {
	case err == nil:
		c.head = b.block.Hash
		c.durable.Store(seq)
		return true, nil
	case errors.Is(err, ErrOutcomeUnknown), errors.Is(err, ErrFull):
		c.opts.Logger.Warn("append again", "seq", seq, "try", try+1, "error", err)
		return false, nil
	}
	err = fmt.Errorf("append block %d: %w", seq, err)
	c.fail(err)
	return true, errors.Join(ErrOutcomeUnknown, err)
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
		c.followBlock(b)
	}
}

func (c *Cell) followBlock(b *batch) {
	if f := c.opts.Follower; f != nil && c.Err() == nil && !c.leftBehind {
		if err := c.feed(f, b); err != nil {
			c.fail(fmt.Errorf("index block %d: %w", b.block.Header.Seq, err))
		}
	}
	c.followed.advance(b.block.Header.Seq)
	b.block, b.assets = nil, nil
	c.free <- b
}

// feed hands a block to the follower. A full disk is waited for, because reads can go on; a cell that stops meanwhile
// leaves the follower behind: it catches up with the journal at the next start.
func (c *Cell) feed(f Follower, b *batch) error {
	for try := 0; ; try++ {
		err := f.Add(b.block, &b.fx)
		if !errors.Is(err, ErrFull) && !errors.Is(err, syscall.ENOSPC) && !errors.Is(err, syscall.EDQUOT) {
			return err
		}
		if _, _, closed := c.queue.waiting(); closed {
			c.leftBehind = true
			return nil
		}
		if clock.Sleep(c.ctx, c.opts.Clock, backoff(try)) != nil {
			return err
		}
	}
}

// takeOver appends the epoch block that makes this cell the journal's writer.
func (c *Cell) takeOver(ctx context.Context) error {
	c.epoch++
	c.seq++
	b := <-c.free
	c.guard.accept() // there is nothing to compare the clock with yet; from here on there is
	at := max(c.guard.now(), c.state.NextTime())
	c.state.Begin(b.builder, &b.fx, c.seq, at)
	c.state.Expire() // as in every block: a replay does it again
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
