package cell

import (
	"context"
	"errors"
	"fmt"

	"github.com/sterlingrun/sterling/clock"
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/ledger"
)

// takeOver appends the epoch block that makes this cell the journal's writer. From then on what was recovered is
// confirmed: the follower gets it, and whoever wrote before conflicts. believed is what another clock says, such as the
// store's (ns since 1970), against which this machine's is held; 0: there is none.
func (c *Cell) takeOver(ctx context.Context, believed uint64) error {
	if believed == 0 {
		c.guard.accept() // there is nothing to compare the clock with yet; from here on there is
	} else {
		c.guard.believe(believed)
		if err := c.guard.check(); err != nil {
			c.opts.Logger.Error("taking over, with writes held", "error", err)
		}
	}
	c.epoch.Add(1)
	kind := journal.BlockEpoch
	for range maxDoubts {
		doubt, err := c.appendOwn(ctx, kind)
		if err != nil {
			return err
		}
		if !doubt {
			return c.tookOver()
		}
		kind = journal.BlockNormal // nothing in it: it only follows
	}
	return fmt.Errorf("%w: the outcome of %d appends one after the other was unknown at first", ErrUnsure, maxDoubts)
}

// maxDoubts is how many blocks a takeover appends to get one of them in without a doubt.
const maxDoubts = 100

// appendOwn appends a block that nobody asked for, and tells whether its outcome was in doubt.
func (c *Cell) appendOwn(ctx context.Context, kind journal.BlockKind) (doubt bool, err error) {
	c.seq++
	builder, fx := journal.NewBuilder(), new(ledger.Effects)
	at := max(c.guard.now(), c.state.NextTime())
	c.state.RaiseRules() // the epoch block says so; what follows it is the same anyway
	c.state.Begin(builder, fx, c.seq, at)
	c.state.Expire() // as in every block: a replay does it again
	h := journal.Header{
		Rules: ledger.Rules, Kind: kind, Cell: c.opts.ID, Seq: c.seq, Epoch: c.epoch.Load(), Incarnation: c.opts.Incarnation,
		Time: at, Prev: c.head, Acked: c.seq - 1 - uint64(len(c.tail)),
	}
	if c.seq%journal.DigestInterval == 0 {
		h.StateDigest = c.state.Digest()
	}
	k := builder.Seal(h)
	for try := 0; ; try++ {
		err := c.opts.Log.Append(ctx, k)
		if err == nil {
			break
		}
		if !errors.Is(err, ErrOutcomeUnknown) {
			return false, fmt.Errorf("append epoch block %d: %w", c.seq, err)
		}
		doubt = true
		if err := clock.Sleep(ctx, c.opts.Clock, backoff(try)); err != nil {
			return false, fmt.Errorf("append epoch block %d: %w", c.seq, err)
		}
	}
	c.state.End(k)
	c.state.Release(c.seq)
	c.head = k.Hash
	c.tail = append(c.tail, tailBlock{k, fx})
	return doubt, nil
}

// tookOver makes what has been appended durable for all others.
func (c *Cell) tookOver() error {
	if err := c.confirmTail(); err != nil {
		return err
	}
	c.durable.Store(c.seq)
	c.followed.advance(c.seq)
	c.trailing = c.seq // the epoch block: the other nodes should know that it counts
	c.assets.Store(c.state.Assets())
	c.pendingAssets = c.state.Assets()
	c.ctx, c.stop = context.WithCancel(context.Background())
	if c.snapshot.cancel != nil { // the standby's: the leader goes on with it
		context.AfterFunc(c.ctx, c.snapshot.cancel)
	}
	return nil
}
