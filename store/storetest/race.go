package storetest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/sterlingrun/sterling/cell"
	"github.com/sterlingrun/sterling/cell/celltest"
	"github.com/sterlingrun/sterling/journal"
)

// Race lets writers, one for each log (all ways to the same empty journal of cell 1), look at the head and append on
// it, repeat their own and each other's blocks, and checks that what they were answered is the history of one
// conditional append log. An unknown outcome may have happened, until the end of the race, or not. Race returns what
// broke, or nil.
func Race(ctx context.Context, logs []cell.Log, rounds int, seed uint64) error {
	r := &race{made: map[journal.Hash]*journal.Block{}}
	var wait sync.WaitGroup
	failures := make([]error, len(logs))
	for i, log := range logs {
		wait.Go(func() {
			failures[i] = r.run(ctx, log, celltest.Writer{Cell: 1, Epoch: 1, Incarnation: byte(i + 1)}, rounds, rand.New(rand.NewPCG(seed, uint64(i)))) //nolint:gosec // a replayable test
		})
	}
	wait.Wait()
	if err := errors.Join(failures...); err != nil {
		return err
	}
	for i := range r.history {
		if r.history[i].Output.(reply).unknown {
			r.history[i].Return = r.clock + 1
		}
	}
	result := porcupine.CheckOperationsTimeout(r.model(), r.history, time.Minute)
	if result != porcupine.Ok {
		return fmt.Errorf("the history of %d calls by %d writers, seed %d, is not linearizable: %v", len(r.history), len(logs), seed, result)
	}
	return nil
}

// race notes what writers call and are answered.
type race struct {
	mu      sync.Mutex
	clock   int64
	made    map[journal.Hash]*journal.Block
	recent  []*journal.Block
	history []porcupine.Operation
}

// reply is what a call was answered: the head that was seen, or how an append ended.
type reply struct {
	seq               uint64
	hash              journal.Hash
	conflict, unknown bool
}

func (r *race) run(ctx context.Context, log cell.Log, w celltest.Writer, rounds int, random *rand.Rand) error {
	for range rounds {
		seq, hash, err := r.head(ctx, log, int(w.Incarnation))
		if err != nil {
			return err
		}
		b := r.choose(w, seq, hash, random)
		for try := range 3 {
			again, err := r.append(ctx, log, b, int(w.Incarnation))
			if err != nil {
				return fmt.Errorf("try %d: %w", try, err)
			}
			if !again {
				break
			}
		}
	}
	return nil
}

// choose returns a block on the head, or now and then one in the head's own place, or one that somebody made before.
func (r *race) choose(w celltest.Writer, seq uint64, head journal.Hash, random *rand.Rand) *journal.Block {
	r.mu.Lock()
	defer r.mu.Unlock()
	b := w.Block(seq+1, head, 1)
	switch taken := r.made[head]; {
	case taken != nil && random.IntN(8) == 0:
		b = w.Block(seq, taken.Header.Prev, 2)
	case len(r.recent) > 0 && random.IntN(4) == 0:
		b = r.recent[len(r.recent)-1-random.IntN(min(8, len(r.recent)))]
	}
	if r.made[b.Hash] == nil {
		r.made[b.Hash] = b
		r.recent = append(r.recent, b)
	}
	return b
}

func (r *race) tick() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.clock++
	return r.clock
}

func (r *race) note(client int, called int64, in *journal.Block, out reply) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.clock++
	r.history = append(r.history, porcupine.Operation{ClientId: client, Input: in, Call: called, Output: out, Return: r.clock})
}

// head that is not answered says nothing, and is asked again.
func (r *race) head(ctx context.Context, log cell.Log, client int) (uint64, journal.Hash, error) {
	var err error
	for range 10 {
		called := r.tick()
		var out reply
		if out.seq, out.hash, err = log.Head(ctx); err == nil {
			r.note(client, called, nil, out)
			return out.seq, out.hash, nil
		}
	}
	return 0, journal.Hash{}, err
}

func (r *race) append(ctx context.Context, log cell.Log, b *journal.Block, client int) (again bool, err error) {
	called := r.tick()
	err = log.Append(ctx, b)
	out := reply{conflict: errors.Is(err, cell.ErrConflict), unknown: errors.Is(err, cell.ErrOutcomeUnknown)}
	if err != nil && out.conflict == out.unknown {
		return false, err
	}
	r.note(client, called, b, out)
	return out.unknown, nil
}

// model is a conditional append log. Its state is the hash of the head, from which the blocks below follow.
func (r *race) model() porcupine.Model {
	m := porcupine.NondeterministicModel{
		Init: func() []any { return []any{journal.Hash{}} },
		Step: func(state, input, output any) []any {
			return r.step(state.(journal.Hash), input.(*journal.Block), output.(reply))
		},
	}
	return m.ToModel()
}

func (r *race) step(head journal.Hash, b *journal.Block, out reply) []any {
	seq := r.seq(head)
	if b == nil {
		if out.seq == seq && out.hash == head {
			return []any{head}
		}
		return nil
	}
	follows := b.Header.Seq == seq+1 && b.Header.Prev == head
	there := b.Header.Seq <= seq && r.at(head, b.Header.Seq) == b.Hash
	switch {
	case out.unknown && follows:
		return []any{head, b.Hash}
	case out.unknown:
		return []any{head}
	case out.conflict && (follows || b.Hash == head): // an older block of the journal may conflict or not
		return nil
	case out.conflict:
		return []any{head}
	case there:
		return []any{head}
	case follows:
		return []any{b.Hash}
	}
	return nil
}

func (r *race) seq(head journal.Hash) uint64 {
	if b := r.made[head]; b != nil {
		return b.Header.Seq
	}
	return 0
}

// at returns the hash of block seq below head.
func (r *race) at(head journal.Hash, seq uint64) journal.Hash {
	for b := r.made[head]; b != nil; b = r.made[b.Header.Prev] {
		if b.Header.Seq == seq {
			return b.Hash
		}
	}
	return journal.Hash{}
}
