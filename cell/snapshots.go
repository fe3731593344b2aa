package cell

import (
	"context"
	"fmt"
	"sync"

	"github.com/sterlingrun/sterling/ledger"
)

// snapshotPiece is how much of a snapshot is copied between two blocks: more would stall writes longer.
const snapshotPiece = 256 << 10

// keepSnapshots is how many snapshots are kept: one to use, and one in case it is damaged.
const keepSnapshots = 2

// snapshotting is the snapshot being taken. The sequencer copies, a goroutine writes.
type snapshotting struct {
	current *ledger.Snapshot // owned by the sequencer, like what follows
	chunk   []byte           // copied, not yet taken by the writer
	more    bool
	out     chan []byte
	since   uint64 // events since the last one
	cancel  context.CancelFunc

	writing sync.WaitGroup
}

// snapshotStep begins a snapshot when it is time, or goes on with the one being taken. It returns whether there is
// more to do at once.
func (c *Cell) snapshotStep() bool {
	s := &c.snapshot
	if s.current == nil {
		if c.opts.Snapshots == nil || c.stats.events.Load()-s.since < c.opts.SnapshotEvents || s.out != nil {
			return false
		}
		c.beginSnapshot()
	}
	if s.chunk == nil {
		s.chunk, s.more = s.current.Next(make([]byte, 0, snapshotPiece+4096), snapshotPiece)
	}
	select {
	case s.out <- s.chunk:
		s.chunk = nil
	default:
		return false // the writer pokes the sequencer when it has taken one
	}
	if !s.more {
		close(s.out)
		s.current = nil
	}
	return s.more
}

// collectSnapshot makes way for the next snapshot once the writer is through with the last one.
func (c *Cell) collectSnapshot() {
	if c.stats.snapshotDone.CompareAndSwap(true, false) {
		c.snapshot.out = nil
	}
}

func (c *Cell) beginSnapshot() {
	s := &c.snapshot
	s.since = c.stats.events.Load()
	s.current = c.state.StartSnapshot(c.seq)
	s.out = make(chan []byte, 4)
	ctx, cancel := context.WithCancel(c.ctx)
	s.cancel = cancel
	s.writing.Add(1)
	go func(seq uint64, in <-chan []byte) {
		defer s.writing.Done()
		defer cancel()
		if err := c.writeSnapshot(ctx, seq, in); err != nil && ctx.Err() == nil {
			c.opts.Logger.Error("snapshot not taken", "seq", seq, "error", err)
		}
		for range in { // after an error: let the sequencer finish
			c.poke()
		}
		c.stats.snapshotDone.Store(true)
		c.poke()
	}(c.seq, s.out)
}

// writeSnapshot writes what the sequencer copies and commits it once the journal and the index are as far.
func (c *Cell) writeSnapshot(ctx context.Context, seq uint64, in <-chan []byte) error {
	w, err := c.opts.Snapshots.Create(seq)
	if err != nil {
		return fmt.Errorf("create snapshot %d: %w", seq, err)
	}
	for b := range in {
		c.poke()
		if _, err := w.Write(b); err != nil {
			_ = w.Abort() // the first error tells more
			return fmt.Errorf("write snapshot %d: %w", seq, err)
		}
	}
	if err := c.awaitFollowed(ctx, seq); err != nil {
		_ = w.Abort() // the cell stops, and this may be half a snapshot
		return err
	}
	if err := w.Commit(); err != nil {
		return fmt.Errorf("commit snapshot %d: %w", seq, err)
	}
	c.opts.Logger.Info("snapshot taken", "cell", c.opts.ID, "seq", seq)
	return c.pruneSnapshots()
}

// awaitFollowed returns when block seq is durable in the journal and in the index.
func (c *Cell) awaitFollowed(ctx context.Context, seq uint64) error {
	if err := c.followed.wait(ctx, seq); err != nil {
		return err
	}
	if c.opts.Follower != nil {
		if err := c.opts.Follower.Flush(ctx); err != nil {
			return err
		}
	}
	return ctx.Err()
}

func (c *Cell) pruneSnapshots() error {
	list, err := c.opts.Snapshots.List()
	if err != nil {
		return fmt.Errorf("list snapshots: %w", err)
	}
	for _, seq := range list[min(keepSnapshots, len(list)):] {
		if err := c.opts.Snapshots.Remove(seq); err != nil {
			return fmt.Errorf("remove snapshot %d: %w", seq, err)
		}
	}
	return nil
}

// endSnapshot gives up what is being taken, when the cell stops.
func (c *Cell) endSnapshot() {
	s := &c.snapshot
	if s.current != nil {
		s.current.Abandon()
		s.current = nil
		s.cancel() // the writer must not commit half a snapshot
		close(s.out)
	}
	s.writing.Wait()
}

// progress is a sequence number that others wait for.
type progress struct {
	mu      sync.Mutex
	value   uint64
	changed chan struct{}
}

func (p *progress) advance(v uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.value = v
	if p.changed != nil {
		close(p.changed)
		p.changed = nil
	}
}

func (p *progress) wait(ctx context.Context, v uint64) error {
	for {
		p.mu.Lock()
		if p.value >= v {
			p.mu.Unlock()
			return nil
		}
		if p.changed == nil {
			p.changed = make(chan struct{})
		}
		changed := p.changed
		p.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
