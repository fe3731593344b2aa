package appends

import (
	"fmt"
	"slices"

	"github.com/anishathalye/porcupine"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/qualify"
)

// span is a time of the contest's clock, in ticks.
type span struct{ from, to int64 }

// earlyBlock is a block that may have been shown and then taken by a kill: its append was under way when the engine died.
type earlyBlock struct {
	hash journal.Hash
	seq  uint64
	seen span // from when its append was called until the engine was dead
}

// setEarlyAside takes calls out of the history whose answers may rest on a block that was shown before it was durable and
// that a kill took, and returns how many. Engines differ here: InnoDB lets others see a commit before its log is flushed
// (bugs.mysql.com/bug.php?id=74303), PostgreSQL does not. A ledger stands it: it acknowledges under nothing but its own
// durable appends, nodes that follow go by what the journal itself says was acknowledged, and after a conflict a leader
// stands down and reads again. That nothing acknowledged goes is a check of its own.
func (c *contest) setEarlyAside() (n int) {
	list := c.earlyBlocks()
	if len(list) == 0 {
		return 0
	}
	before := len(c.history)
	c.history = slices.DeleteFunc(c.history, func(op porcupine.Operation) bool {
		return slices.ContainsFunc(list, func(e earlyBlock) bool { return c.restsOn(&op, &e) })
	})
	return before - len(c.history)
}

// earlyBlocks are the blocks whose outcome was unknown because of a kill.
func (c *contest) earlyBlocks() (list []earlyBlock) {
	for hash, op := range c.open {
		for _, k := range c.kills {
			if op.Call < k.to && op.Return > k.from {
				list = append(list, earlyBlock{hash, op.Input.(input).seq, span{op.Call, k.to}})
			}
		}
	}
	return list
}

// restsOn reports whether the answer of a call may come of an early block.
func (c *contest) restsOn(op *porcupine.Operation, e *earlyBlock) bool {
	if op.Call > e.seen.to || op.Return < e.seen.from {
		return false
	}
	in, out := op.Input.(input), op.Output.(output)
	switch in.verb {
	case verbHead:
		return out.seq >= e.seq && state{out.seq, out.hash}.at(e.seq, c.proposed) == e.hash
	case verbRead:
		return out.hash == e.hash
	}
	// A conflict is with what stands in the block's place, or before it.
	return !out.acknowledged && e.hash != in.hash && e.hash != in.prev && (e.seq == in.seq || e.seq+1 == in.seq)
}

func (c *contest) noteEarly(s *qualify.Section, n int) {
	s.Note(qualify.Check{
		ID: "append.early", Title: "Answers that came of a block before it was durable",
		Found:    fmt.Sprintf("%d calls, set aside: each overlapped an append that a kill left unknown, and was answered by a head, a read or a conflict that may have come of it", n),
		Why:      "an engine may show a commit before it is durable; the ledger acknowledges nothing on what it has read",
		Measures: []qualify.Measure{{Name: "calls", Value: float64(n)}},
	})
}
