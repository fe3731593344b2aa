package cell

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/sterlingrun/sterling/clock"
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/ledger"
)

// IDFiles keeps the generations of ids that the ledger has settled, each of which is written once and then only read.
// They are derived from the journal: whoever replays it writes them anew, under the same numbers. Implementations pass
// the suite in celltest. Find and Load may be called while another generation is written.
type IDFiles interface {
	// Write makes a generation durable under its number, in place of one that has that number, and returns its name,
	// with a sum that differs for other contents, and its filter. ErrFull: there is no space, and whatever had the
	// number is as it was.
	Write(g *ledger.Generation) (ledger.GenerationRef, []uint64, error)
	// Load returns the filter of a generation and makes it ready for Find. ErrDamaged: it is not there, or not that one.
	Load(ref ledger.GenerationRef) ([]uint64, error)
	// Find appends the values of all entries of hash in the generation of this number, which was written or loaded, to
	// dst. ErrDamaged: what should tell can't be read as it was written.
	Find(number uint32, hash uint64, dst []uint64) ([]uint64, error)
}

// unsettledMost is how many full generations may be in memory: with more, writes wait until all are written out.
const unsettledMost = 3

// settling is how generations are written out: one at a time, beside the sequencer.
type settling struct {
	start   func(*settleTask) // has someone write it
	task    *settleTask       // under way; owned by the sequencer
	behind  atomic.Bool       // writes wait, or are refused where there is no space
	full    atomic.Bool       // the last try met a full disk
	cancel  context.CancelFunc
	writing sync.WaitGroup
}

// settleTask writes one generation.
type settleTask struct {
	c      *Cell
	ctx    context.Context // ends when the cell stops
	g      *ledger.Generation
	ref    ledger.GenerationRef
	filter []uint64
	done   atomic.Bool
}

func (c *Cell) generation() int {
	switch {
	case c.opts.IDs == nil:
		return 0
	case c.opts.Generation > 0:
		return c.opts.Generation
	}
	return ledger.DefaultGeneration
}

func (c *Cell) ledgerConfig() ledger.Config {
	cfg := ledger.Config{HashKey: c.opts.HashKey, Alloc: c.opts.Alloc, Yield: c.opts.Yield, Generation: c.generation()}
	if c.opts.IDs != nil {
		cfg.Filter = c.opts.IDs.Load
	}
	return cfg
}

// settleAll writes out what there is, during recovery. On a full disk, ids stay in memory until the cell runs.
func (c *Cell) settleAll() error {
	for g := c.state.NextSealed(); g != nil && !c.settling.full.Load(); g = c.state.NextSealed() {
		ref, filter, err := c.opts.IDs.Write(g)
		if errors.Is(err, ErrFull) {
			c.settling.full.Store(true)
			return nil
		}
		if err != nil {
			return fmt.Errorf("write generation %d of ids: %w", g.Number(), err)
		}
		c.state.Settle(ref, filter)
	}
	return nil
}

// settleStep takes over what was written and begins the next one. The sequencer calls it whenever it looks around.
func (c *Cell) settleStep() {
	s := &c.settling
	if t := s.task; t != nil && t.done.Load() {
		c.state.Settle(t.ref, t.filter)
		s.task = nil
	}
	if n := c.state.Unsettled(); n == 0 || n >= unsettledMost {
		s.behind.Store(n > 0)
	}
	g := c.state.NextSealed()
	if s.task != nil || g == nil || c.Err() != nil {
		return
	}
	ctx, cancel := context.WithCancel(c.ctx)
	s.cancel = cancel
	s.task = &settleTask{c: c, ctx: ctx, g: g}
	s.start(s.task)
}

// endSettling gives up what is being written, when the cell stops: the next start makes it again.
func (c *Cell) endSettling() {
	if c.settling.cancel != nil {
		c.settling.cancel()
	}
	c.settling.writing.Wait()
}

// goSettle writes a generation in a goroutine of its own.
func (c *Cell) goSettle(t *settleTask) {
	c.settling.writing.Add(1)
	go func() {
		defer c.settling.writing.Done()
		for try := 0; !t.try(); try++ {
			if clock.Sleep(t.ctx, c.opts.Clock, backoff(try)) != nil {
				return
			}
		}
	}()
}

// try writes the generation once. It returns false where that is to be tried again: a full disk is waited for.
func (t *settleTask) try() bool {
	if t.ctx.Err() != nil {
		return true
	}
	ref, filter, err := t.c.opts.IDs.Write(t.g)
	full := errors.Is(err, ErrFull)
	if t.c.settling.full.Swap(full) != full && full {
		t.c.opts.Logger.Warn("ids stay in memory", "generation", t.g.Number(), "error", err)
	}
	switch {
	case full:
		t.c.poke()
		return false
	case err != nil:
		t.c.fail(fmt.Errorf("write generation %d of ids: %w", t.g.Number(), err))
		return true
	}
	t.ref, t.filter = ref, filter
	t.done.Store(true)
	t.c.poke()
	return true
}

// idRoom tells whether there is memory for more ids.
func (c *Cell) idRoom() error {
	if c.settling.behind.Load() && c.settling.full.Load() {
		return fmt.Errorf("%w: there is no space for the files of ids", ErrFull)
	}
	return nil
}

// idsBehind reports whether the next block has to wait for generations that are being written.
func (c *Cell) idsBehind() bool { return c.settling.behind.Load() && !c.settling.full.Load() }

// findIDs returns what settled generations have of the hash. Damage stops the cell: an id that can't be looked up may
// be known, and a payment must not be made twice.
func (c *Cell) findIDs(n *ledger.Need) (values []uint64, err error) {
	for _, g := range n.Generations {
		if values, err = c.opts.IDs.Find(g, n.Hash, values); err != nil {
			err = fmt.Errorf("look an id up in generation %d: %w", g, err)
			if errors.Is(err, ErrDamaged) && c.stop != nil { // nil: it is recovering
				c.fail(err)
			}
			return nil, err
		}
	}
	return values, nil
}

// fetchIDs answers the need of a hash: its entries, then the transfers that they point to.
func (c *Cell) fetchIDs(ctx context.Context, n *ledger.Need, facts *ledger.Facts) error {
	values, known := facts.IDs[n.Hash]
	if !known {
		var err error
		if values, err = c.findIDs(n); err != nil {
			return err
		}
		if facts.IDs == nil {
			facts.IDs = map[uint64][]uint64{}
		}
		facts.IDs[n.Hash] = values
	}
	for _, v := range values {
		p := journal.Position(v >> 2)
		if p == n.Skip {
			continue
		}
		if err := c.fetchWithPending(ctx, p, facts); err != nil {
			return err
		}
	}
	return nil
}

// places are where transfers of an id may stand: what memory knows, and what to look up on disk.
type places struct {
	at      []journal.Position
	settled ledger.Need
}

// settledPositions looks up where settled generations say that a transfer may stand.
func (c *Cell) settledPositions(n *ledger.Need) ([]journal.Position, error) {
	values, err := c.findIDs(n)
	list := make([]journal.Position, len(values))
	for i, v := range values {
		list[i] = journal.Position(v >> 2)
	}
	return list, err
}
