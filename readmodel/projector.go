package readmodel

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/sterlingrun/sterling/clock"
	"github.com/sterlingrun/sterling/journal"
)

// Source is where blocks come from. A cell with its store is one, and so is a store that others write to, if its Head
// tells what is acknowledged and not only what is there.
type Source interface {
	// Head is the sequence number of the highest block that is durable and acknowledged; 0: none. It may fall behind for a
	// while, as a replica does; then the projector waits.
	Head(ctx context.Context) (uint64, error)
	// Read appends the bytes of block seq to dst[:0] and returns them.
	Read(ctx context.Context, seq uint64, dst []byte) ([]byte, error)
}

// Options of a projector. Cell, Source, Open and Clock are required.
type Options struct {
	Cell   uint64
	Source Source
	// Open connects the target. Run calls it until it succeeds, so that a database that is down keeps nobody else from
	// starting, and closes the target in the end.
	Open   func(ctx context.Context) (Target, error)
	Clock  clock.Clock
	Logger *slog.Logger // nil: nothing is logged

	// BatchEvents is how many events, and expiries, a transaction takes before no other block is added: more make it
	// faster to catch up, and hold locks longer. 0: 32,768. A block is never split.
	BatchEvents int
	// Rebuild empties the tables of the cell first.
	Rebuild bool
}

const (
	defaultBatch = 4 * 8192
	// batchBytes bounds the blocks of a batch: with attachments, few events may be many bytes.
	batchBytes = 16 << 20
	// pollEach is how often Head is asked where nobody calls Notify.
	pollEach = time.Second
	// A transaction that failed is tried again after firstPause, then after twice as long, up to longestPause.
	firstPause   = 100 * time.Millisecond
	longestPause = 10 * time.Second
	progressEach = 10 * time.Second
)

// Projector keeps the tables of one cell. Run drives it; everything else may be called from anywhere.
type Projector struct {
	opts Options
	wake chan struct{}

	// Owned by Run.
	target   Target // nil: it is not open
	pos      Position
	known    bool // pos is where the tables stand
	rebuild  bool
	told     uint64 // when progress was logged last, by Mono
	behindOf uint64 // the head when catching up began; 0: it has not

	mu      sync.Mutex
	status  Status
	changed chan struct{} // closed when status changes
}

// New returns a projector that does nothing yet.
func New(opts Options) *Projector {
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	if opts.BatchEvents == 0 {
		opts.BatchEvents = defaultBatch
	}
	return &Projector{
		opts: opts, wake: make(chan struct{}, 1), rebuild: opts.Rebuild, changed: make(chan struct{}),
		status: Status{State: Starting},
	}
}

// Notify tells that there may be new acknowledged blocks. It never blocks.
func (p *Projector) Notify() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// Run projects until ctx ends, and returns its error then. Whatever may pass (a database that is down, somebody else who
// projects, a replica that is behind) is tried again for ever, and shown by Status. What needs a person is returned:
// ErrTables, ErrNewer, ErrJournal.
func (p *Projector) Run(ctx context.Context) (err error) {
	defer func() {
		if p.target != nil {
			err = errors.Join(err, p.target.Close())
		}
	}()
	pause := firstPause
	for {
		more, err := p.step(ctx)
		if ctx.Err() != nil {
			p.set(func(s *Status) { s.State = Stopped })
			return ctx.Err()
		}
		switch {
		case err == nil:
			pause = firstPause
			if !more {
				p.idle(ctx)
			}
		case errors.Is(err, ErrTables) || errors.Is(err, ErrNewer) || errors.Is(err, ErrJournal):
			err = fmt.Errorf("project cell %d: %w", p.opts.Cell, err)
			p.set(func(s *Status) { s.State, s.Failure = Stopped, err.Error() })
			return err
		default:
			p.failed(err, pause)
			_ = clock.Sleep(ctx, p.opts.Clock, pause) // ctx is looked at above
			pause = min(2*pause, longestPause)
		}
	}
}

// failed notes a fault that may pass. Where the tables stand is not known any more.
func (p *Projector) failed(err error, pause time.Duration) {
	p.known = false
	moved := errors.Is(err, ErrMoved)
	p.set(func(s *Status) {
		if s.Failure = err.Error(); moved {
			s.Stats.Moved++
		} else {
			s.State = Failing
			s.Stats.Failures++
		}
	})
	if moved {
		p.opts.Logger.Info("somebody else projects the same cell into the same tables", "cell", p.opts.Cell)
		return
	}
	p.opts.Logger.Warn("the read model falls behind", "cell", p.opts.Cell, "error", err, "again_in", pause)
}

// idle waits for something to do.
func (p *Projector) idle(ctx context.Context) {
	due, stop := p.opts.Clock.After(pollEach)
	defer stop()
	select {
	case <-p.wake:
	case <-due:
	case <-ctx.Done():
	}
}

// step does one thing, and reports whether there is more to do at once.
func (p *Projector) step(ctx context.Context) (more bool, err error) {
	if p.target == nil {
		if p.target, err = p.opts.Open(ctx); err != nil {
			p.target = nil // and not an interface that holds nothing
			return false, err
		}
	}
	if !p.known {
		if err := p.begin(ctx); err != nil {
			return false, err
		}
	}
	head, err := p.opts.Source.Head(ctx)
	if err != nil {
		return false, fmt.Errorf("ask for the journal's head: %w", err)
	}
	if head < p.pos.Seq {
		p.set(func(s *Status) { s.State, s.Head, s.Failure = Waiting, head, "" })
		return false, nil // a source that is behind; should it be another journal, its block here will tell
	}
	if head == p.pos.Seq {
		p.live(head)
		return false, nil
	}
	blocks, err := p.read(ctx, head)
	if err != nil {
		return false, err
	}
	if len(blocks) == 0 {
		return false, nil
	}
	return true, p.apply(ctx, blocks, head)
}

// begin finds out where the tables stand, and whether that is a place of this journal.
func (p *Projector) begin(ctx context.Context) error {
	pos, err := p.target.Position(ctx, p.opts.Cell)
	if err != nil {
		return fmt.Errorf("ask where the tables stand: %w", err)
	}
	if pos.Version > Version {
		return fmt.Errorf("tables of cell %d have version %d, this program makes version %d: %w", pos.Cell, pos.Version, Version, ErrNewer)
	}
	why, err := p.outdated(ctx, &pos)
	if err != nil {
		return err
	}
	if why != "" {
		if err := p.reset(ctx, why, pos.Seq); err != nil {
			return err
		}
		pos = Position{Cell: p.opts.Cell}
	}
	p.pos, p.known = pos, true
	p.set(func(s *Status) { s.Position = pos })
	return nil
}

// outdated says why the tables have to be built anew; "" where they need not.
func (p *Projector) outdated(ctx context.Context, pos *Position) (string, error) {
	switch {
	case p.rebuild:
		return "it was asked for", nil
	case pos.Emptying:
		return "they were being emptied", nil
	case pos.Seq == 0:
		return "", nil
	case pos.Version != Version:
		return fmt.Sprintf("they have version %d of the projection, this program makes version %d", pos.Version, Version), nil
	}
	head, err := p.opts.Source.Head(ctx)
	if err != nil {
		return "", fmt.Errorf("ask for the journal's head: %w", err)
	}
	if head < pos.Seq {
		return "", nil // not to be told yet; the block after it will
	}
	k, err := p.readBlock(ctx, pos.Seq)
	if err != nil {
		return "", err
	}
	if k.Hash != pos.Hash {
		return fmt.Sprintf("the journal contradicts them: its block %d is %v, they were made from %v", pos.Seq, k.Hash, pos.Hash), nil
	}
	return "", nil
}

// reset empties the tables of the cell.
func (p *Projector) reset(ctx context.Context, why string, seq uint64) error {
	p.opts.Logger.Warn("the read model is built anew", "cell", p.opts.Cell, "why", why, "was_at", seq)
	p.set(func(s *Status) { s.State, s.Why, s.Stats.Rebuilds = Emptying, why, s.Stats.Rebuilds+1 })
	p.told = p.opts.Clock.Mono()
	err := p.target.Reset(ctx, p.opts.Cell, func(rows int64) {
		if p.often() {
			p.opts.Logger.Info("emptying the read model", "cell", p.opts.Cell, "rows", rows)
		}
	})
	if err == nil || errors.Is(err, ErrMoved) { // somebody else has emptied them, and goes on
		p.rebuild = false
	}
	if err != nil {
		return fmt.Errorf("empty the tables: %w", err)
	}
	return nil
}

func (p *Projector) readBlock(ctx context.Context, seq uint64) (*journal.Block, error) {
	raw, err := p.opts.Source.Read(ctx, seq, nil)
	if err != nil {
		return nil, fmt.Errorf("read block %d: %w", seq, err)
	}
	k, err := journal.Decode(raw)
	if err != nil {
		return nil, fmt.Errorf("read block %d: %w", seq, err)
	}
	if k.Header.Seq != seq || k.Header.Cell != p.opts.Cell {
		return nil, fmt.Errorf("read block %d of cell %d: block %d of cell %d stands there", seq, p.opts.Cell, k.Header.Seq, k.Header.Cell)
	}
	return k, nil
}

// read returns the next blocks, as many as a batch takes. Blocks that do not follow what the tables have are no batch.
func (p *Projector) read(ctx context.Context, head uint64) (blocks []*journal.Block, err error) {
	prev := p.pos.Hash
	events, size := 0, 0
	for seq := p.pos.Seq + 1; seq <= head && events < p.opts.BatchEvents && size < batchBytes; seq++ {
		k, err := p.readBlock(ctx, seq)
		if err != nil {
			return nil, err
		}
		if k.Header.Prev != prev {
			p.known = false // begin looks whether it is the tables that are wrong
			return nil, fmt.Errorf("block %d does not follow block %d with hash %v", seq, seq-1, prev)
		}
		prev = k.Hash
		events += int(k.Header.Events) + int(k.Header.Expiries)
		size += len(k.Raw)
		blocks = append(blocks, k)
	}
	return blocks, nil
}

// apply writes the blocks into the tables.
func (p *Projector) apply(ctx context.Context, blocks []*journal.Block, head uint64) error {
	var batch *Batch
	begun := p.opts.Clock.Mono()
	err := p.target.Apply(ctx, &Change{
		From: p.pos, Pending: Needs(blocks),
		Complete: func(found []Reservation) (_ *Batch, err error) {
			batch, err = Derive(p.pos, blocks, found, head)
			return batch, err
		},
	})
	if err != nil {
		return fmt.Errorf("project blocks %d to %d: %w", p.pos.Seq+1, p.pos.Seq+uint64(len(blocks)), err)
	}
	p.pos = batch.To
	took := time.Duration(p.opts.Clock.Mono() - begun) //nolint:gosec // monotonic
	p.set(func(s *Status) {
		s.Position, s.Head, s.Failure = p.pos, head, ""
		s.Stats.count(batch, len(blocks), took)
		if p.pos.Seq < head {
			s.State = CatchingUp
		}
	})
	if p.pos.Seq < head {
		p.progress(head)
	}
	return nil
}

// progress logs now and then how far catching up is.
func (p *Projector) progress(head uint64) {
	if p.behindOf == 0 {
		p.behindOf, p.told = head, p.opts.Clock.Mono()
		return
	}
	if p.often() {
		p.opts.Logger.Info("the read model catches up", "cell", p.opts.Cell, "block", p.pos.Seq, "of", head)
	}
}

func (p *Projector) often() bool {
	now := p.opts.Clock.Mono()
	if now-p.told < uint64(progressEach) {
		return false
	}
	p.told = now
	return true
}

func (p *Projector) live(head uint64) {
	p.behindOf = 0
	p.set(func(s *Status) {
		if s.State != Live {
			p.opts.Logger.Info("the read model is up to date", "cell", p.opts.Cell, "block", head)
		}
		s.State, s.Head, s.Failure, s.Why = Live, head, "", ""
	})
}
