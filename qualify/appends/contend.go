package appends

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/sterlingrun/sterling/cell"
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/qualify"
)

// ContendOptions says how hard writers contend.
type ContendOptions struct {
	Cell     uint64 // a scratch cell without blocks
	Writers  int    // 2 or more
	Duration time.Duration
	// MostCalls are spread over the duration: a longer history can't be decided in useful time. 0: 8,000.
	MostCalls int
	// Kills is how often the engine is killed meanwhile; needs a Server.
	Kills int
	// Settle bounds how long an unknown outcome is asked about, and a restart. 0: 60 s.
	Settle time.Duration
	// Decide bounds the search for an order of the history. 0: 60 s.
	Decide   time.Duration
	Progress qualify.Progress
}

func (o *ContendOptions) defaults() {
	if o.MostCalls == 0 {
		o.MostCalls = 8000
	}
	if o.Settle == 0 {
		o.Settle = time.Minute
	}
	if o.Decide == 0 {
		o.Decide = time.Minute
	}
}

// contest is what the writers share.
type contest struct {
	ContendOptions
	target *qualify.Target
	clock  atomic.Int64 // orders calls and answers
	calls  atomic.Int64
	down   atomic.Bool // the engine is being killed or started

	mu       sync.Mutex
	history  []porcupine.Operation
	proposed map[journal.Hash]place
	settled  map[journal.Hash]bool // acknowledged appends
	open     map[journal.Hash]porcupine.Operation
	kills    []span // from before a kill until the engine was dead
	counts   counts
	foreign  []error // answers outside of the contract
}

type counts struct {
	acknowledged, conflicts, unknown, answered, unresolved, applied int
	late, lateAccepted                                              int
	again                                                           int
	reads, heads, failedReads, kills                                int
}

// Contend lets writers contend for every number of a scratch cell's journal and judges what they were told. It adds
// its checks to s; an error means that it could not be tried at all.
func Contend(ctx context.Context, t *qualify.Target, o ContendOptions, s *qualify.Section) error {
	o.defaults()
	c := &contest{
		ContendOptions: o, target: t, proposed: map[journal.Hash]place{}, settled: map[journal.Hash]bool{},
		open: map[journal.Hash]porcupine.Operation{},
	}
	writers, err := c.enter(ctx)
	defer func() {
		for _, w := range writers {
			_ = w.log.Close()
		}
	}()
	if err != nil {
		return err
	}
	began := time.Now()
	stop := o.Progress.Until(began, o.Duration, func() string {
		return fmt.Sprintf("%d writers, %d calls", o.Writers, c.calls.Load())
	})
	err = c.race(ctx, writers, began)
	stop()
	if err != nil {
		return err
	}
	o.Progress.Tell(1, "reading the journal back")
	chain, chainErr := c.readBack(ctx)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	c.judge(s, chain, chainErr)
	return nil
}

// enter opens a way to the log for each writer.
func (c *contest) enter(ctx context.Context) (writers []*writer, err error) {
	for i := range c.Writers {
		log, err := c.target.OpenLog(ctx, c.Cell, i%max(1, len(c.target.Nodes)))
		if err != nil {
			return writers, fmt.Errorf("open the journal of writer %d: %w", i, err)
		}
		var incarnation [16]byte
		_, _ = rand.Read(incarnation[:]) // never fails
		writers = append(writers, &writer{
			contest: c, number: i, log: log, blocks: qualify.NewWriter(c.Cell, incarnation),
			random: mathrand.New(mathrand.NewPCG(uint64(i), uint64(time.Now().UnixNano()))), //nolint:gosec // chooses what to try
		})
	}
	seq, _, err := writers[0].log.Head(ctx)
	if err == nil && seq != 0 {
		err = errors.New("the scratch cell is not empty")
	}
	if err != nil {
		return writers, fmt.Errorf("look at the journal of scratch cell %d: %w", c.Cell, err)
	}
	return writers, nil
}

// race runs the writers, and kills the engine now and then.
func (c *contest) race(ctx context.Context, writers []*writer, began time.Time) error {
	var wait sync.WaitGroup
	for _, w := range writers {
		wait.Go(func() { w.work(ctx, began) })
	}
	var err error
	for kill := range c.Kills {
		at := began.Add(c.Duration * time.Duration(kill+1) / time.Duration(c.Kills+1))
		if !pause(ctx, time.Until(at)) || time.Since(began) > c.Duration { // a kill that nobody feels shows nothing
			break
		}
		if err = c.kill(ctx); err != nil {
			break
		}
	}
	wait.Wait()
	if err == nil && c.Kills > 0 {
		err = c.target.Refresh(ctx)
	}
	return errors.Join(err, ctx.Err())
}

func (c *contest) kill(ctx context.Context) error {
	c.down.Store(true)
	defer c.down.Store(false)
	began := c.clock.Add(1)
	if err := c.target.Server.Kill(); err != nil {
		return fmt.Errorf("kill the engine: %w", err)
	}
	dead := c.clock.Add(1)
	ctx, cancel := context.WithTimeout(ctx, c.Settle)
	defer cancel()
	if err := c.target.Server.Restart(ctx); err != nil {
		return fmt.Errorf("start the engine after a kill: %w", err)
	}
	c.mu.Lock()
	c.counts.kills++
	c.kills = append(c.kills, span{began, dead})
	c.mu.Unlock()
	return nil
}

// pause waits a time and reports whether it passed before ctx ended.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(max(0, d))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// propose notes a block before it is appended.
func (c *contest) propose(b *journal.Block) {
	c.mu.Lock()
	c.proposed[b.Hash] = place{b.Header.Seq, b.Header.Prev}
	c.mu.Unlock()
}

// note adds an answered call to the history.
func (c *contest) note(client int, called int64, in input, out output) {
	returned := c.clock.Add(1)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.history = append(c.history, porcupine.Operation{ClientId: client, Input: in, Call: called, Output: out, Return: returned})
	switch in.verb {
	case verbHead:
		c.counts.heads++
	case verbRead:
		c.counts.reads++
	case verbAppend:
		if out.acknowledged {
			c.counts.acknowledged++
			c.settled[in.hash] = true
		} else {
			c.counts.conflicts++
		}
	}
}

// never is later than every answer.
const never = 1 << 62

// leave notes an append whose outcome was unknown; what is in the journal at the end decides about it. One that was
// sent again and then acknowledged, or found another block on top of it, was written before that answer, if it was. It
// is no acknowledgement, for the ledger neither: it may have been found on a server that had it alone.
func (c *contest) leave(client int, called int64, in input, answered bool) {
	returned := int64(never)
	if answered {
		returned = c.clock.Add(1)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if answered {
		c.counts.answered++
	} else {
		c.counts.unresolved++
	}
	if _, before := c.open[in.hash]; before || c.settled[in.hash] {
		return // the same bytes again, of which the first time tells
	}
	c.open[in.hash] = porcupine.Operation{ClientId: client, Input: in, Call: called, Output: output{acknowledged: true}, Return: returned}
}

func (c *contest) outside(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.foreign) < 10 {
		c.foreign = append(c.foreign, err)
	}
}

func (c *contest) count(f func(*counts)) {
	c.mu.Lock()
	f(&c.counts)
	c.mu.Unlock()
}

// contractual reports whether an append may answer so.
func contractual(err error) bool {
	return errors.Is(err, cell.ErrConflict) || errors.Is(err, cell.ErrOutcomeUnknown) || errors.Is(err, cell.ErrFull)
}
