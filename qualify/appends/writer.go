package appends

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"time"

	"github.com/sterlingrun/sterling/cell"
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/qualify"
)

// writer is one contender. It has one call outstanding, as a cell has.
type writer struct {
	*contest
	number int
	log    qualify.Log
	blocks *qualify.Writer
	random *mathrand.Rand
}

// sizes are how many transfers a contended block has. Most are small: the contest is about order, not bandwidth.
var sizes = []int{0, 1, 1, 2, 3, 16, 200}

// work contends until the time is over. Writers who are ahead of the number of calls that are to be made wait; so they
// come together again, and are still at it when the engine is killed.
func (w *writer) work(ctx context.Context, began time.Time) {
	for ctx.Err() == nil && time.Since(began) < w.Duration {
		if float64(w.calls.Load()) > float64(w.MostCalls)*time.Since(began).Seconds()/w.Duration.Seconds() {
			pause(ctx, 2*time.Millisecond)
			continue
		}
		seq, hash, ok := w.head(ctx)
		if !ok {
			pause(ctx, 20*time.Millisecond) // the engine is down
			continue
		}
		switch n := w.random.IntN(20); {
		case n < 3:
			w.read(ctx, max(1, seq-min(seq, uint64(w.random.IntN(4))))) //nolint:gosec // 0 to 3
		case n < 4 && seq > 0:
			w.branch(ctx, seq)
		default:
			w.extend(ctx, seq, hash)
		}
	}
}

// head asks for the head. An error says nothing and is no part of the history.
func (w *writer) head(ctx context.Context) (uint64, journal.Hash, bool) {
	w.calls.Add(1)
	called := w.clock.Add(1)
	ctx, cancel := context.WithTimeout(ctx, w.Settle)
	defer cancel()
	seq, hash, err := w.log.Head(ctx)
	if err != nil {
		w.count(func(n *counts) { n.failedReads++ })
		return 0, journal.Hash{}, false
	}
	w.note(w.number, called, input{verb: verbHead}, output{seq: seq, hash: hash})
	return seq, hash, true
}

// read reads a block near the head and notes the hash of the bytes it got.
func (w *writer) read(ctx context.Context, seq uint64) {
	w.calls.Add(1)
	called := w.clock.Add(1)
	ctx, cancel := context.WithTimeout(ctx, w.Settle)
	defer cancel()
	raw, err := w.log.Read(ctx, seq, nil)
	var hash journal.Hash
	switch {
	case errors.Is(err, cell.ErrNotFound):
	case err != nil:
		w.count(func(n *counts) { n.failedReads++ })
		return
	default:
		b, err := journal.Decode(raw)
		if err != nil {
			hash = sha256.Sum256(raw) // no block's hash: the model refuses it
			break
		}
		hash = b.Hash
	}
	w.note(w.number, called, input{verb: verbRead, seq: seq}, output{hash: hash})
}

// extend appends a block to the head that was seen. If it lost, it tries what a deposed leader would: the block after
// the one that lost, at a number that may be free.
func (w *writer) extend(ctx context.Context, seq uint64, head journal.Hash) {
	b := w.blocks.Block(seq+1, head, sizes[w.random.IntN(len(sizes))])
	lost := b.Hash
	switch err := w.append(ctx, b); {
	case err == nil:
		if w.random.IntN(8) == 0 { // the same bytes again: acknowledged, or a conflict where others came after it
			w.count(func(n *counts) { n.again++ })
			_ = w.append(ctx, b) // the history has the answer
		}
	case errors.Is(err, cell.ErrConflict):
		late := w.blocks.Block(seq+2, lost, 1)
		err := w.appendOnce(ctx, late)
		w.count(func(n *counts) {
			n.late++
			if err == nil {
				n.lateAccepted++
			}
		})
	}
}

// branch appends beside the head: to the right number, after a predecessor that is none.
func (w *writer) branch(ctx context.Context, seq uint64) {
	b := w.blocks.Block(seq+1, sha256.Sum256(w.blocks.Block(1, journal.Hash{}, 0).Raw), 1)
	err := w.appendOnce(ctx, b)
	w.count(func(n *counts) {
		n.late++
		if err == nil {
			n.lateAccepted++
		}
	})
}

// append appends until the outcome is known, as a cell does: the same bytes again. It returns nil, cell.ErrConflict
// or another error if it stayed unknown.
func (w *writer) append(ctx context.Context, b *journal.Block) error {
	w.propose(b)
	in := input{verb: verbAppend, seq: b.Header.Seq, prev: b.Header.Prev, hash: b.Hash}
	called := w.clock.Add(1)
	unknown := false
	for until := time.Now().Add(w.Settle); ; {
		w.calls.Add(1)
		err := w.try(ctx, b)
		switch {
		case err == nil && !unknown:
			w.note(w.number, called, in, output{acknowledged: true})
			return nil
		case err == nil:
			w.leave(w.number, called, in, true)
			return nil
		case errors.Is(err, cell.ErrConflict) && !unknown:
			w.note(w.number, called, in, output{})
			return cell.ErrConflict
		case errors.Is(err, cell.ErrConflict):
			// An earlier attempt may have been written and then followed by another writer's block. The journal tells.
			w.leave(w.number, called, in, true)
			return cell.ErrConflict
		}
		if !unknown {
			w.count(func(n *counts) { n.unknown++ })
		}
		unknown = true
		if ctx.Err() != nil || time.Now().After(until) {
			w.leave(w.number, called, in, false)
			return err
		}
		pause(ctx, 5*time.Millisecond)
	}
}

// appendOnce is for blocks that must not be accepted; an unknown outcome is left to the journal.
func (w *writer) appendOnce(ctx context.Context, b *journal.Block) error {
	w.propose(b)
	in := input{verb: verbAppend, seq: b.Header.Seq, prev: b.Header.Prev, hash: b.Hash}
	called := w.clock.Add(1)
	w.calls.Add(1)
	err := w.try(ctx, b)
	switch {
	case err == nil:
		w.note(w.number, called, in, output{acknowledged: true})
	case errors.Is(err, cell.ErrConflict):
		w.note(w.number, called, in, output{})
	default:
		w.leave(w.number, called, in, false)
	}
	return err
}

// try is one attempt. An answer outside of the contract is noted, and taken as unknown.
func (w *writer) try(ctx context.Context, b *journal.Block) error {
	attempt, cancel := context.WithTimeout(ctx, w.Settle)
	defer cancel()
	err := w.log.Append(attempt, b)
	if err == nil || contractual(err) {
		return err
	}
	if ctx.Err() == nil {
		w.outside(err)
	}
	return fmt.Errorf("%w: %w", cell.ErrOutcomeUnknown, err)
}
