package cell

import (
	"context"
	"fmt"
	"sync"

	"github.com/sterlingrun/sterling/ledger"
)

// snapshotPiece is how much of a snapshot is copied between two blocks: more would stall writes longer.
const snapshotPiece = 1 << 20

// keepSnapshots is how many snapshots are kept: one to use, and one in case it is damaged.
const keepSnapshots = 2

// snapshotting is the snapshot being taken. The sequencer copies, a goroutine writes.
type snapshotting struct {
	current  *ledger.Snapshot // owned by the sequencer, like what follows
	chunk    []byte           // copied, not yet taken by the writer
	more     bool
	out      chan []byte
	since    uint64 // events that the last one has
	replayed uint64 // events that recovery found after the last one
	cancel   context.CancelFunc

	start   func(*snapshotTask) // has someone write it
	piece   int                 // see snapshotPiece
	writing sync.WaitGroup
}

// snapshotStep begins a snapshot when it is time, or goes on with the one being taken. It returns whether there is
// more to do at once.
func (c *Cell) snapshotStep() bool {
	s := &c.snapshot
	if s.current == nil {
		if c.opts.Snapshots == nil || s.out != nil || !c.snapshotDue() {
			return false
		}
		if c.state.Unsettled() > 0 {
			return false // it relies on generations that are durable; settleStep goes on with that
		}
		c.beginSnapshot()
	}
	if s.chunk == nil {
		s.chunk, s.more = s.current.Next(make([]byte, 0, s.piece+4096), s.piece)
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

// replayedPart of SnapshotEvents that a start had to replay are worth a snapshot at once: the next start, and each of a
// series of crashes, need not replay them again.
const replayedPart = 4

// snapshotDue reports whether there is enough that the last snapshot does not have.
func (c *Cell) snapshotDue() bool {
	s := &c.snapshot
	return s.replayed+c.stats.events.Load()-s.since >= c.opts.SnapshotEvents || s.replayed > c.opts.SnapshotEvents/replayedPart
}

// collectSnapshot makes way for the next snapshot once the writer is through with the last one.
func (c *Cell) collectSnapshot() {
	if c.stats.snapshotDone.CompareAndSwap(true, false) {
		c.snapshot.out = nil
	}
}

func (c *Cell) beginSnapshot() {
	s := &c.snapshot
	s.since, s.replayed = c.stats.events.Load(), 0
	s.current = c.state.StartSnapshot(c.seq)
	s.out = make(chan []byte, 4)
	ctx := c.ctx
	if ctx == nil { // a standby, see tookOver
		ctx = context.Background()
	}
	ctx, cancel := context.WithCancel(ctx)
	s.cancel = cancel
	s.start(&snapshotTask{c: c, ctx: ctx, cancel: cancel, seq: c.seq, in: s.out})
}

// goSnapshot writes a snapshot in a goroutine of its own.
func (c *Cell) goSnapshot(t *snapshotTask) {
	c.snapshot.writing.Add(1)
	go func() {
		defer c.snapshot.writing.Done()
		for b := range t.in {
			t.write(b)
		}
		if t.err == nil {
			t.err = c.followed.wait(t.ctx, t.seq)
		}
		t.finish()
		if c.opts.AfterSnapshot != nil {
			c.opts.AfterSnapshot()
		}
	}()
}

// snapshotTask writes what the sequencer copies.
type snapshotTask struct {
	c      *Cell
	ctx    context.Context // ends when the snapshot is given up
	cancel context.CancelFunc
	seq    uint64
	in     <-chan []byte
	w      SnapshotWriter
	err    error // the first; what comes after is only taken off the sequencer's hands
}

// write writes one piece.
func (t *snapshotTask) write(b []byte) {
	t.c.poke()
	if t.w == nil && t.err == nil {
		if t.w, t.err = t.c.opts.Snapshots.Create(t.seq); t.err != nil {
			t.err = fmt.Errorf("create snapshot %d: %w", t.seq, t.err)
		}
	}
	if t.err != nil {
		return
	}
	if _, err := t.w.Write(b); err != nil {
		t.err = fmt.Errorf("write snapshot %d: %w", t.seq, err)
	}
}

// finish commits the snapshot once the journal and the index are as far, or gives it up.
func (t *snapshotTask) finish() {
	defer t.cancel()
	if err := t.commit(); err != nil && t.ctx.Err() == nil {
		t.c.opts.Logger.Error("snapshot not taken", "seq", t.seq, "error", err)
	}
	t.c.stats.snapshotDone.Store(true)
	t.c.poke()
}

func (t *snapshotTask) commit() error {
	if t.err == nil && t.c.opts.Follower != nil {
		t.err = t.c.opts.Follower.Flush(t.ctx)
	}
	if t.err == nil {
		t.err = t.ctx.Err() // the cell stops, and this may be half a snapshot
	}
	if t.w == nil {
		return t.err
	}
	if t.err != nil {
		_ = t.w.Abort() // the first error tells more
		return t.err
	}
	if err := t.w.Commit(); err != nil {
		return fmt.Errorf("commit snapshot %d: %w", t.seq, err)
	}
	t.c.opts.Logger.Info("snapshot taken", "cell", t.c.opts.ID, "seq", t.seq)
	return t.c.pruneSnapshots()
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

func (p *progress) reached(v uint64) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.value >= v
}
