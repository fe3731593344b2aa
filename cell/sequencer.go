package cell

import (
	"context"
	"fmt"
	"time"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/ledger"
)

// eagerEvents is how many waiting events make a block of their own while the one before is still being written. Fewer
// wait for the log to be free: that forms larger groups and so fewer, better-filled writes.
const eagerEvents = journal.MaxEvents / 2

// sequence is the goroutine that owns the state.
func (c *Cell) sequence() {
	defer c.running.Done()
	defer close(c.toLog)
	for c.awaitWork() {
		var b *batch
		select {
		case b = <-c.free:
		case <-c.ctx.Done():
		}
		if b == nil {
			break
		}
		c.makeBatch(b)
		c.toLog <- b
		c.snapshotStep()
	}
	c.endSequence()
}

func (c *Cell) beginTurn() {
	c.collectSnapshot()
	c.state.Release(c.durable.Load())
	c.settleStep()
}

func (c *Cell) makeBatch(b *batch) {
	c.state.Release(c.durable.Load()) // b's builder was in use until now
	c.fill(b)
	c.inHand.Add(1)
}

func (c *Cell) endSequence() {
	c.endSnapshot()
	c.endSettling()
	c.queue.close() // a fault may have ended the sequence before it closed the queue: what came then would wait for ever
	c.refuseQueued()
}

// turn is what the sequencer does next.
type turn int

const (
	turnWait  turn = iota // nothing in the queue to do now
	turnBlock             // make a block
	turnEnd               // the cell stops and nothing is left to do
)

func (c *Cell) turn() turn {
	if c.Err() != nil {
		return turnEnd
	}
	requests, events, closed := c.queue.waiting()
	busy := int(c.inHand.Load())
	switch {
	case busy == 0 && c.doubt.Load(): // what is in doubt needs a successor before anything else can go on
		return turnBlock
	case requests > 0 && c.idsBehind():
	case requests > 0 && (busy == 0 || busy == 1 && events >= c.eager):
		return turnBlock
	case closed && requests == 0:
		return turnEnd
	}
	return turnWait
}

// awaitWork returns when a block can be made, or false when the cell stops and nothing is left to do.
func (c *Cell) awaitWork() bool {
	for {
		c.beginTurn()
		if t := c.turn(); t != turnWait {
			return t == turnBlock
		}
		if c.snapshotStep() {
			select { // a snapshot is being taken: go on with it, but look at the queue in between
			case <-c.wake:
			default:
			}
			continue
		}
		if !c.sleep() {
			return true // a reservation expires, or the last block gets its successor
		}
	}
}

// heldPause is how long the sequencer waits before it looks again at a clock that is not believed.
const heldPause = time.Second

// trailingPause is how long the last block of a shared log stays without a successor where nothing else is to be
// written: with it, the other nodes see that it was acknowledged.
const trailingPause = 20 * time.Millisecond

// untilDue returns how long it is until a block is due that nobody asks for; ok is false where none will be.
func (c *Cell) untilDue() (d time.Duration, ok bool) {
	if c.opts.Shared && c.trailing > c.told.Load() && c.inHand.Load() == 0 {
		return time.Duration(c.trailUntil - min(c.trailUntil, c.opts.Clock.Mono())), true //nolint:gosec // short
	}
	return c.untilExpiry()
}

// untilExpiry returns how long it is until a reservation expires; ok is false where that makes no block.
func (c *Cell) untilExpiry() (d time.Duration, ok bool) {
	due := c.state.NextExpiry()
	if due == 0 || c.inHand.Load() > 0 {
		return 0, false
	}
	if c.guard.check() != nil {
		return heldPause, true // nothing expires by a clock that nobody believes
	}
	now := max(c.guard.now(), c.state.NextTime())
	if due <= now {
		return 0, true
	}
	const longest = uint64(time.Hour) // look again now and then: clocks are set
	return time.Duration(min(due-now, longest)), true
}

// sleep waits for something to do; it returns false if that is a block that is due.
func (c *Cell) sleep() bool {
	d, ok := c.untilDue()
	if !ok {
		<-c.wake
		return true
	}
	if d == 0 {
		return false
	}
	fired, stop := c.opts.Clock.After(d)
	defer stop()
	select {
	case <-c.wake:
		return true
	case <-fired:
		d, ok = c.untilDue()
		return !ok || d > 0
	}
}

// fill makes a block of what is due and what waits.
func (c *Cell) fill(b *batch) {
	b.waiting, b.isBlock, b.doubt, b.block = b.waiting[:0], false, false, nil
	if !c.idsBehind() {
		b.waiting = c.queue.take(b.waiting, journal.MaxEvents)
	}
	held := c.guard.check()
	b.header.Time = max(c.guard.now(), c.state.NextTime())
	c.state.Begin(b.builder, &b.fx, c.seq+1, b.header.Time)
	c.state.Expire() // as of the time that is believed, whatever the clock says
	full := c.room()
	for i, r := range b.waiting {
		if r.read != nil {
			continue
		}
		if r.err = firstError(held, full); r.err != nil {
			continue
		}
		if !c.apply(r, b, i == 0) { // it has to begin a block of its own
			c.queue.putBack(b.waiting[i:])
			b.waiting = b.waiting[:i]
			break
		}
	}
	c.finish(b)
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// room tells whether the log and the follower have space for another block, and the ids.
func (c *Cell) room() error {
	if err := c.idRoom(); err != nil {
		return err
	}
	if r, ok := c.opts.Log.(Roomer); ok {
		if err := r.Room(); err != nil {
			return err
		}
	}
	if r, ok := c.opts.Follower.(Roomer); ok {
		if err := r.Room(); err != nil {
			return fmt.Errorf("%w: %w", ErrFull, err)
		}
	}
	return nil
}

// apply validates one request in the block being made. It returns false if the request must wait.
func (c *Cell) apply(r *Request, b *batch, first bool) bool {
	if c.state.ClosesHeld(r.Kind, r.Events) {
		r.err = ErrInTransit
		return true
	}
	c.state.Attach(r.Attachments)
	needs := c.state.Needs(r.Kind, r.Events, c.needs[:0])
	c.needs = needs
	var facts ledger.Facts
	if len(needs) > 0 {
		alone := first && b.builder.Empty() && c.durable.Load() == c.seq
		if hasTimestamp(needs) && !alone {
			return false
		}
		var err error
		if facts, err = c.fetch(c.ctx, needs); err != nil {
			r.err = err
			return true
		}
	}
	c.state.Apply(r.Kind, r.Actor, r.Events, facts, r.Results)
	return true
}

func hasTimestamp(needs []ledger.Need) bool {
	for i := range needs {
		if needs[i].OfTimestamp() {
			return true
		}
	}
	return false
}

// finish runs the reads (they see the block they came with) and fixes the header, but for what the writer knows.
func (c *Cell) finish(b *batch) {
	events := b.builder.Events()
	if !b.builder.Empty() { // a barrier needs no successor by itself
		c.trailing = c.seq + 1
	}
	if c.trailing > c.told.Load() {
		c.trailUntil = c.opts.Clock.Mono() + uint64(trailingPause)
	}
	barrier := c.doubt.Load() || c.opts.Shared
	if b.isBlock = c.state.EndUnsealed(barrier); b.isBlock {
		c.seq++
		c.stats.countBlock(events)
		b.header = journal.Header{Rules: ledger.Rules, Kind: journal.BlockNormal, Cell: c.opts.ID, Seq: c.seq, Epoch: c.epoch.Load(), Incarnation: c.opts.Incarnation, Time: b.header.Time}
		if c.seq%journal.DigestInterval == 0 {
			b.header.StateDigest = c.state.Digest()
		}
	}
	for _, r := range b.waiting {
		r.Seq = c.seq
		if r.read != nil {
			r.read(c.state)
		}
	}
	if c.state.Assets() != c.pendingAssets {
		c.pendingAssets = c.state.Assets()
		b.assets = c.pendingAssets
	}
	c.stats.counts.Store(new(c.state.Counts()))
}

// refuseQueued answers what is still queued after the cell stopped. The queue is closed first: whoever stops the cell
// may not have come to that yet, and what is queued after this nobody would ever answer.
func (c *Cell) refuseQueued() {
	c.queue.close()
	for list := c.queue.take(nil, journal.MaxEvents); len(list) > 0; list = c.queue.take(nil, journal.MaxEvents) {
		for _, r := range list {
			r.done <- c.errStopped()
		}
	}
}

// fetch reads facts from the log and from settled generations of ids.
func (c *Cell) fetch(ctx context.Context, needs []ledger.Need) (ledger.Facts, error) {
	facts := ledger.Facts{At: make(map[journal.Position]ledger.Fact, len(needs))}
	for i := range needs {
		n := &needs[i]
		if n.OfTimestamp() {
			at, err := c.transferAt(ctx, n.Timestamp)
			if err != nil {
				return facts, err
			}
			if facts.TransferAt == nil {
				facts.TransferAt = map[uint64]bool{}
			}
			facts.TransferAt[n.Timestamp] = at
			continue
		}
		var err error
		if n.Position == 0 {
			err = c.fetchIDs(ctx, n, &facts)
		} else {
			err = c.fetchWithPending(ctx, n.Position, &facts)
		}
		if err != nil {
			return facts, err
		}
	}
	return facts, nil
}

func (c *Cell) fetchWithPending(ctx context.Context, p journal.Position, facts *ledger.Facts) error {
	for p != 0 {
		if _, known := facts.At[p]; known {
			return nil
		}
		f, err := c.fact(ctx, p)
		if err != nil {
			return err
		}
		facts.At[p] = f
		p = f.PendingPosition
	}
	return nil
}
