package index

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/ledger"
)

// build brings an index up to the ledger, from the journal. What blocks did is derived from them, from the first one on;
// those that the index has already are only derived.
type build struct {
	live   *Live
	x      *Index
	number int // its generation
	ended  chan struct{}
	done   atomic.Uint64 // last block that was read
	failed atomic.Pointer[error]
}

func (b *build) failure() error {
	if p := b.failed.Load(); p != nil {
		return *p
	}
	return nil
}

func (b *build) run(ctx context.Context) {
	deriver := NewDeriver()
	var (
		fx   ledger.Effects
		buf  []byte
		prev journal.Hash
	)
	for !b.finish(deriver.Seq()) {
		seq := deriver.Seq() + 1
		k, err := b.read(ctx, seq, buf)
		if err == nil && k.Header.Prev != prev {
			err = fmt.Errorf("%w: its predecessor has another hash", ErrDerive)
		}
		if err == nil {
			err = deriver.Derive(k, &fx)
		}
		if err == nil {
			err = b.add(ctx, k, &fx)
		}
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			err = fmt.Errorf("build the index: block %d: %w", seq, err)
			b.failed.Store(&err)
			b.live.warn("the index is not built", err)
			return
		}
		prev, buf = k.Hash, k.Raw[:0]
		b.done.Store(seq)
	}
}

func (b *build) read(ctx context.Context, seq uint64, buf []byte) (*journal.Block, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	raw, err := b.live.journal.Read(ctx, seq, buf)
	if err != nil {
		return nil, err
	}
	return journal.Decode(raw)
}

const spacePause = time.Second

// add adds a block, and where the disk is full tries until it is not.
func (b *build) add(ctx context.Context, k *journal.Block, fx *ledger.Effects) error {
	for {
		err := b.x.Add(k, fx)
		if !errors.Is(err, syscall.ENOSPC) && !errors.Is(err, syscall.EDQUOT) {
			return err
		}
		wait := time.NewTimer(spacePause)
		select {
		case <-wait.C:
		case <-ctx.Done():
			wait.Stop()
			return ctx.Err()
		}
	}
}

// finish lets the index follow the ledger, if it has all blocks up to the last one, and then drops the one before it.
func (b *build) finish(through uint64) bool {
	l := b.live
	l.mu.Lock()
	if through < l.seen || b.x.Applied() < l.seen {
		l.mu.Unlock()
		return false
	}
	old := l.current
	l.current, l.build = b.x, nil
	l.mu.Unlock()
	if old == nil {
		return true
	}
	// Queries that run on the old one end first.
	old.life.Lock()
	old.life.Unlock() //nolint:staticcheck // nothing is left to do inside
	err := old.Close()
	if err == nil {
		err = l.removeOlder(b.number)
	}
	if err != nil {
		l.warn("the index before stays in its folder", err)
	}
	return true
}

// removeOlder removes the generations before one.
func (l *Live) removeOlder(than int) error {
	numbers, err := l.generations()
	for _, n := range numbers {
		if err == nil && n < than {
			err = l.remove(n)
		}
	}
	return err
}
