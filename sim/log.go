package sim

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"

	"github.com/sterlingrun/sterling/cell"
	"github.com/sterlingrun/sterling/journal"
)

// Log is a database that several machines share: a conditional append over a network that loses, delays and doubles
// results, with a replica that may take over without what was not replicated. Reads tell what the primary has.
type Log struct {
	rng    *rand.Rand
	plant  Plant
	trace  func(format string, args ...any)
	faults int // percent of appends that something happens to; 0 when all is well
	full   bool

	blocks     []entry
	replicated int     // blocks that the replica has too
	late       []entry // appends that are still on their way
}

type entry struct {
	seq  uint64
	hash journal.Hash
	prev journal.Hash
	raw  []byte
}

func entryOf(b *journal.Block) entry {
	return entry{seq: b.Header.Seq, hash: b.Hash, prev: b.Header.Prev, raw: append([]byte(nil), b.Raw...)}
}

// Append implements cell.Log.
func (l *Log) Append(_ context.Context, b *journal.Block) error {
	e := entryOf(b)
	fault := "none"
	if l.rng.IntN(100) < l.faults {
		fault = []string{"lost", "late", "doubled", "result lost", "local only", "local only", "fail-over"}[l.rng.IntN(7)]
	}
	if l.full {
		fault = "full"
	}
	var err error
	switch fault {
	case "full":
		return fmt.Errorf("append block %d: %w", e.seq, cell.ErrFull)
	case "lost":
	case "late":
		l.late = append(l.late, e)
	case "fail-over": // with the append under way
		l.failOver()
		l.late = append(l.late, e)
	case "doubled": // once now, and once more some day
		l.late = append(l.late, e)
		err = l.land(e, true)
	case "local only":
		err = l.land(e, false)
	default:
		err = l.land(e, true)
	}
	acknowledged := fault == "none" || fault == "doubled" || fault == "local only" && l.plant.AckLocalCommit
	if err == nil && !acknowledged {
		err = fmt.Errorf("append block %d (%s): %w", e.seq, fault, cell.ErrOutcomeUnknown)
	}
	l.trace("log: append %d %v after %v: %s: %v", e.seq, e.hash, e.prev, fault, err)
	return err
}

// link is one machine's way to the database. While it is cut, appends get lost or come late, and nothing can be read.
type link struct {
	*Log
	cut bool
}

var errCut = errors.New("no connection to the database")

// Append implements cell.Log.
func (l *link) Append(ctx context.Context, b *journal.Block) error {
	if !l.cut {
		return l.Log.Append(ctx, b)
	}
	e, fault := entryOf(b), "lost"
	if l.rng.IntN(4) == 0 {
		fault, l.late = "late", append(l.late, e)
	}
	l.trace("log: append %d %v after %v over a cut link: %s", e.seq, e.hash, e.prev, fault)
	return fmt.Errorf("append block %d: %w: %w", e.seq, cell.ErrOutcomeUnknown, errCut)
}

// Head implements cell.Log.
func (l *link) Head(ctx context.Context) (uint64, journal.Hash, error) {
	if l.cut {
		return 0, journal.Hash{}, errCut
	}
	return l.Log.Head(ctx)
}

// Read implements cell.Log.
func (l *link) Read(ctx context.Context, seq uint64, dst []byte) ([]byte, error) {
	if l.cut {
		return nil, errCut
	}
	return l.Log.Read(ctx, seq, dst)
}

// ReadAt implements cell.Log.
func (l *link) ReadAt(ctx context.Context, seq uint64, p []byte, offset int) error {
	if l.cut {
		return errCut
	}
	return l.Log.ReadAt(ctx, seq, p, offset)
}

// land is the conditional append itself.
func (l *Log) land(e entry, replicate bool) error {
	head := uint64(len(l.blocks))
	var last journal.Hash
	if head > 0 {
		last = l.blocks[head-1].hash
	}
	switch {
	case e.seq == head && e.hash == last: // our own bytes: that they are here says nothing of where else they are
		return nil
	case e.seq == head+1 && (e.prev == last || l.plant.NoPredecessorCheck):
		l.blocks = append(l.blocks, e)
	case e.seq >= 1 && e.seq <= head && l.plant.LateAppendWins && e.hash != l.blocks[e.seq-1].hash:
		l.blocks = append(l.blocks[:e.seq-1:e.seq-1], e)
		l.replicated = min(l.replicated, len(l.blocks))
	default:
		return fmt.Errorf("append block %d: %w: the journal ends with block %d %v", e.seq, cell.ErrConflict, head, last)
	}
	if replicate {
		l.replicated = len(l.blocks)
	}
	return nil
}

// landLate lets one delayed append arrive.
func (l *Log) landLate() bool {
	if len(l.late) == 0 {
		return false
	}
	i := l.rng.IntN(len(l.late))
	e := l.late[i]
	l.late = append(l.late[:i], l.late[i+1:]...)
	l.trace("log: the delayed block %d %v arrives: %v", e.seq, e.hash, l.land(e, true))
	return true
}

// failOver makes the replica the primary: what only the primary had is gone.
func (l *Log) failOver() bool {
	if l.replicated == len(l.blocks) {
		return false
	}
	l.trace("log: fail-over, blocks %d to %d are gone", l.replicated+1, len(l.blocks))
	l.blocks = l.blocks[:l.replicated:l.replicated]
	return true
}

// Head implements cell.Log.
func (l *Log) Head(context.Context) (uint64, journal.Hash, error) {
	if len(l.blocks) == 0 {
		return 0, journal.Hash{}, nil
	}
	last := l.blocks[len(l.blocks)-1]
	return uint64(len(l.blocks)), last.hash, nil
}

// Read implements cell.Log.
func (l *Log) Read(_ context.Context, seq uint64, dst []byte) ([]byte, error) {
	if seq == 0 || seq > uint64(len(l.blocks)) {
		return nil, fmt.Errorf("read block %d: %w", seq, cell.ErrNotFound)
	}
	return append(dst[:0], l.blocks[seq-1].raw...), nil
}

// ReadAt implements cell.Log.
func (l *Log) ReadAt(_ context.Context, seq uint64, p []byte, offset int) error {
	if seq == 0 || seq > uint64(len(l.blocks)) {
		return fmt.Errorf("read block %d: %w", seq, cell.ErrNotFound)
	}
	raw := l.blocks[seq-1].raw
	if offset < 0 || offset+len(p) > len(raw) {
		return fmt.Errorf("read block %d: %w", seq, errShort)
	}
	copy(p, raw[offset:])
	return nil
}

// withRules rewrites the journal as if blocks from seq on had been validated by other rules, with a chain that holds.
func (l *Log) withRules(seq uint64, rules uint16) error {
	var prev journal.Hash
	for i := range l.blocks {
		e := &l.blocks[i]
		h, err := journal.DecodeHeader(e.raw)
		if err != nil {
			return err
		}
		if h.Prev = prev; h.Seq >= seq {
			h.Rules = rules
		}
		h.Encode(e.raw)
		e.prev, e.hash = prev, h.Hash()
		prev = e.hash
	}
	return nil
}

var errShort = errors.New("beyond the block's end")
