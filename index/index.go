package index

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/ledger"
)

// maxSealed is how many full buffers may wait for Pebble before Add waits too.
const maxSealed = 3

// Index is the writing side and the state of an index. One goroutine calls Add; everything else may be called from any.
type Index struct {
	dir        string
	fs         vfs.FS
	log        *slog.Logger
	runEntries int
	db         *pebble.DB
	opts       *pebble.Options
	cache      *pebble.Cache
	lock       *pebble.Lock
	pace       *pace

	life    sync.RWMutex // held for reading while the database is in use; taken before adding and mu
	closing sync.Once
	stop    chan struct{} // closed when the index closes
	done    chan struct{} // closed when the ingesting goroutine has ended
	wake    chan struct{} // there may be something to ingest, or a compaction ended

	adding sync.Mutex // held while the active buffer has part of a block, which must not be sealed; taken before mu

	mu       sync.RWMutex
	active   *buffer
	sealed   []*buffer     // oldest first
	head     point         // of the last block
	failures int           // runs that could not be ingested
	failure  error         // the last of them
	changed  chan struct{} // closed when any of the above changes; nil while nobody waits

	applied, durable atomic.Uint64
	noSpace          atomic.Pointer[error] // why the oldest run finds no space; nil: it does
	sublevels        atomic.Int64
	corrupt          atomic.Bool
}

// Add takes a block and what it did; queries see it when Add returns. Blocks come in order; those up to Applied are
// skipped, so a replay may overlap. Add keeps neither b nor fx. It waits while runs queue up for the disk. After an
// error the block was not taken: ErrGap; ErrRebuild where the block does not continue the chain that was indexed; or
// the fault that kept a run from the disk, after which the same block may be added again.
func (x *Index) Add(b *journal.Block, fx *ledger.Effects) error {
	if err := x.enter(); err != nil {
		return err
	}
	defer x.life.RUnlock()
	if err := x.add(b, fx); err != nil {
		return fmt.Errorf("index block %d: %w", b.Header.Seq, err)
	}
	return nil
}

func (x *Index) add(b *journal.Block, fx *ledger.Effects) error {
	if x.corrupt.Load() {
		return ErrRebuild
	}
	skip, err := x.continues(b)
	if skip || err != nil {
		return err
	}
	x.mu.RLock()
	failures := x.failures
	x.mu.RUnlock()
	err = x.await(context.Background(), func() (bool, error) {
		if len(x.sealed) < maxSealed {
			return true, nil
		}
		if x.failures != failures {
			return false, x.failure
		}
		x.signal()
		return false, nil
	})
	if err != nil {
		return err
	}
	x.adding.Lock()
	defer x.adding.Unlock()
	x.mu.Lock()
	defer x.mu.Unlock()
	// Whoever asks meanwhile finds entries beyond the last block, where no view looks.
	x.active.add(b, fx, func() {
		x.mu.Unlock()
		runtime.Gosched() // queries wait for a processor, too
		x.mu.Lock()
	})
	x.head = x.active.through
	x.applied.Store(x.head.seq)
	if x.active.full(x.runEntries) {
		x.seal()
	}
	x.announce()
	return nil
}

// continues checks that b follows the last block, or is one that was there before.
func (x *Index) continues(b *journal.Block) (skip bool, err error) {
	x.mu.RLock()
	head := x.head
	x.mu.RUnlock()
	h := &b.Header
	switch {
	case head.seq > 0 && h.Cell != head.cell:
		return false, fmt.Errorf("%w: it is of cell %d, the block of cell %d", ErrRebuild, head.cell, h.Cell)
	case h.Seq < head.seq:
		return true, nil
	case h.Seq == head.seq && b.Hash == head.hash:
		return true, nil
	case h.Seq > head.seq+1:
		return false, fmt.Errorf("%w after block %d", ErrGap, head.seq)
	case h.Seq == head.seq || h.Prev != head.hash:
		return false, fmt.Errorf("%w: it has another block %d", ErrRebuild, head.seq)
	}
	return false, nil
}

// Applied is the sequence number of the last block that queries see, 0 if none. After Open it is Durable: blocks
// after it must be added again. Where it is beyond the journal's head, the journal has lost its tail.
func (x *Index) Applied() uint64 { return x.applied.Load() }

// Room tells whether runs find space on the disk: nil, or why not; it then has it tried again. A writer that goes on
// all the same soon finds that Add takes nothing more, and queries fall behind.
func (x *Index) Room() error {
	failure := x.noSpace.Load()
	if failure == nil {
		return nil
	}
	x.signal()
	return *failure
}

// Durable is the sequence number up to which the index survives a crash.
func (x *Index) Durable() uint64 { return x.durable.Load() }

// WaitFor returns once block seq is applied.
func (x *Index) WaitFor(ctx context.Context, seq uint64) error {
	if x.applied.Load() >= seq {
		return nil
	}
	err := x.await(ctx, func() (bool, error) { return x.applied.Load() >= seq, nil })
	if err != nil {
		return fmt.Errorf("wait for block %d in the index: %w", seq, err)
	}
	return nil
}

// Flush makes all that is applied durable: before a snapshot of the state after the same block is kept.
func (x *Index) Flush(ctx context.Context) error {
	if err := x.enter(); err != nil {
		return err
	}
	defer x.life.RUnlock()
	target, failures := x.sealAll()
	x.signal()
	err := x.await(ctx, func() (bool, error) {
		if x.durable.Load() >= target {
			return true, nil
		}
		if x.failures != failures {
			return false, x.failure
		}
		return false, nil
	})
	if err != nil {
		return fmt.Errorf("flush the index through block %d: %w", target, err)
	}
	return nil
}

// sealAll seals what there is, and returns its last block and how many runs have failed so far.
func (x *Index) sealAll() (target uint64, failures int) {
	x.adding.Lock()
	defer x.adding.Unlock()
	x.mu.Lock()
	defer x.mu.Unlock()
	if !x.active.empty() {
		x.seal()
	}
	return x.head.seq, x.failures
}

// Stats says how an index is doing.
type Stats struct {
	Applied, Durable uint64 // sequence numbers; see the methods
	Sublevels        int    // of Pebble's level 0: tables that a query may have to look into, before compaction
	InFlight         int    // full buffers that are not durable yet
	Entries          int    // in memory, two a transfer
	Failures         int    // runs that could not be written; they are tried again
}

// Stats returns the index's numbers of this moment.
func (x *Index) Stats() Stats {
	x.mu.RLock()
	defer x.mu.RUnlock()
	s := Stats{
		Applied: x.applied.Load(), Durable: x.durable.Load(), Sublevels: int(x.sublevels.Load()),
		InFlight: len(x.sealed), Entries: int(x.active.entries.last), Failures: x.failures,
	}
	for _, b := range x.sealed {
		s.Entries += int(b.entries.last)
	}
	return s
}

// Throttle says how far compaction is behind, by the sublevels of level 0: from 0, all is well, to 1, writes should
// wait. Below throttleFrom sublevels nothing needs slowing.
func (x *Index) Throttle() float64 {
	return min(1, max(0, float64(x.sublevels.Load()-throttleFrom)/(throttleStop-throttleFrom)))
}

// crowded reports whether compaction is so far behind that writes are slowed down for it.
func (x *Index) crowded() bool { return x.sublevels.Load() > throttleFrom }

const (
	throttleFrom = 24
	throttleStop = 72
)

// Close ends the index; what is not durable is gone and must be replayed (Flush first to avoid that). It waits for
// the run that is being written and for running queries.
func (x *Index) Close() error {
	err := ErrClosed
	x.closing.Do(func() {
		close(x.stop)
		<-x.done
		x.life.Lock()
		defer x.life.Unlock()
		err = x.db.Close()
		x.cache.Unref()
		if e := x.lock.Close(); err == nil {
			err = e
		}
	})
	return err
}

// enter takes life for reading, so that the database stays open until the caller releases it.
func (x *Index) enter() error {
	x.life.RLock()
	if x.stopped() {
		x.life.RUnlock()
		return ErrClosed
	}
	return nil
}

func (x *Index) stopped() bool {
	select {
	case <-x.stop:
		return true
	default:
		return false
	}
}

// await returns once ready does, which is called with mu held whenever something changed.
func (x *Index) await(ctx context.Context, ready func() (bool, error)) error {
	for {
		x.mu.Lock()
		ok, err := ready()
		if ok || err != nil {
			x.mu.Unlock()
			return err
		}
		if x.changed == nil {
			x.changed = make(chan struct{})
		}
		changed := x.changed
		x.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		case <-x.stop:
			return ErrClosed
		}
	}
}

// announce wakes those in await. mu is held.
func (x *Index) announce() {
	if x.changed != nil {
		close(x.changed)
		x.changed = nil
	}
}

// signal wakes the ingesting goroutine.
func (x *Index) signal() {
	select {
	case x.wake <- struct{}{}:
	default:
	}
}

// seal makes the active buffer a run to be written. mu is held.
func (x *Index) seal() {
	full := x.active
	x.sealed = append(x.sealed, full)
	x.active = &buffer{through: full.through}
	x.signal()
}
