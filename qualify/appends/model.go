package appends

import (
	"fmt"

	"github.com/anishathalye/porcupine"

	"github.com/sterlingrun/sterling/journal"
)

// verb is what a writer asked of the log.
type verb int

const (
	verbAppend verb = iota
	verbHead
	verbRead
)

// input is one call: append the block (seq, prev, hash), tell the head, or read block seq.
type input struct {
	verb verb
	seq  uint64
	prev journal.Hash
	hash journal.Hash
}

// output is its answer. Of an append: whether it was acknowledged or conflicted. Of a head: seq and hash. Of a read:
// the hash of the bytes, zero for "no such block".
type output struct {
	acknowledged bool
	seq          uint64
	hash         journal.Hash
}

// place is a block that was proposed to the log.
type place struct {
	seq  uint64
	prev journal.Hash
}

// state is a log: the end of a chain. The hashes of the blocks before follow from it.
type state struct {
	seq  uint64
	hash journal.Hash
}

// at returns the hash of block seq below the state's head, zero where there is none.
func (s state) at(seq uint64, proposed map[journal.Hash]place) journal.Hash {
	if seq == 0 || seq > s.seq {
		return journal.Hash{}
	}
	hash := s.hash
	for n := s.seq; n > seq; n-- {
		hash = proposed[hash].prev
	}
	return hash
}

// model is the sequential specification of a conditional append log, for histories over the proposed blocks.
func model(proposed map[journal.Hash]place) porcupine.Model {
	return porcupine.Model{
		Init: func() any { return state{} },
		Step: func(s, in, out any) (bool, any) { return step(s.(state), in.(input), out.(output), proposed) },
		DescribeOperation: func(in, out any) string {
			return describe(in.(input), out.(output))
		},
	}
}

func step(s state, in input, out output, proposed map[journal.Hash]place) (bool, state) {
	switch in.verb {
	case verbHead:
		return out.seq == s.seq && out.hash == s.hash, s
	case verbRead:
		return out.hash == s.at(in.seq, proposed), s
	}
	fits := in.seq == s.seq+1 && in.prev == s.hash
	switch {
	case out.acknowledged && fits:
		return true, state{in.seq, in.hash}
	case out.acknowledged: // the same bytes again
		return s.at(in.seq, proposed) == in.hash, s
	default: // a conflict: it must not have fitted, nor be the last block itself
		return !fits && s.hash != in.hash, s
	}
}

func describe(in input, out output) string {
	switch in.verb {
	case verbHead:
		return fmt.Sprintf("head -> %d %v", out.seq, out.hash)
	case verbRead:
		return fmt.Sprintf("read %d -> %v", in.seq, out.hash)
	}
	answer := "conflict"
	if out.acknowledged {
		answer = "acknowledged"
	}
	return fmt.Sprintf("append %d %v after %v -> %s", in.seq, in.hash, in.prev, answer)
}
