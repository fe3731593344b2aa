package cell

import (
	"errors"
	"fmt"
	"syscall"
	"time"

	"github.com/sterlingrun/sterling/clock"
)

// write is the goroutine that appends blocks, one at a time, and answers who waits for them. A batch without a block
// of its own passes through in its turn: by then everything that its reads saw is durable.
func (c *Cell) write() {
	defer c.running.Done()
	defer close(c.toIndex)
	for b := range c.toLog {
		c.settle(b, c.append(b))
	}
	c.endWrite()
}

// endWrite answers who waits for a block that is still in doubt. There is none unless the cell stopped on a fault.
func (c *Cell) endWrite() {
	for _, b := range c.held {
		c.release(b, errors.Join(ErrOutcomeUnknown, c.errStopped()))
	}
	c.held = nil
}

// maxHeld is how many batches wait for a successor that is appended without a doubt, before the cell gives up: a log
// whose every answer gets lost is none.
const maxHeld = batches / 2

// settle answers who waits for b and passes it on. A block whose outcome was unknown is in the log, but perhaps only in
// the part of it that answered: it is acknowledged, with all that was decided after it, once a successor was appended
// without a doubt.
func (c *Cell) settle(b *batch, err error) {
	sure := b.isBlock && !b.doubt
	switch {
	case err != nil:
		c.endWrite()
	case b.doubt || len(c.held) > 0 && !sure:
		if len(c.held) == maxHeld {
			err = fmt.Errorf("append block %d: %w: the outcome of %d appends one after the other was unknown at first", b.header.Seq, ErrUnsure, maxHeld)
			c.fail(err)
			c.endWrite()
			err = errors.Join(ErrOutcomeUnknown, err)
			break
		}
		c.held = append(c.held, b)
		c.doubt.Store(true)
		c.inHand.Add(-1)
		c.poke()
		return
	case sure:
		for _, h := range c.held {
			c.release(h, nil)
		}
		c.held = c.held[:0]
		c.doubt.Store(false)
		c.durable.Store(b.header.Seq)
	}
	c.inHand.Add(-1)
	c.release(b, err)
}

// release answers who waits for b, and passes a block that is durable on.
func (c *Cell) release(b *batch, err error) {
	if err == nil && b.assets != nil {
		c.assets.Store(b.assets)
	}
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
		h.Prev, h.Acked = c.head, c.durable.Load()
		b.block = b.builder.Seal(h)
	}
	seq := b.header.Seq
	err = c.opts.Log.Append(c.ctx, b.block)
	switch {
	case err == nil:
		c.head = b.block.Hash
		c.told.Store(b.block.Header.Acked)
		return true, nil
	case errors.Is(err, ErrOutcomeUnknown), errors.Is(err, ErrFull):
		c.opts.Logger.Warn("append again", "seq", seq, "try", try+1, "error", err)
		b.doubt = b.doubt || errors.Is(err, ErrOutcomeUnknown)
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
