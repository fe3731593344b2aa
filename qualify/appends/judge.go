package appends

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/sterlingrun/sterling/cell"
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/qualify"
)

// readBack opens the journal once more and reads all of it; see follow.
func (c *contest) readBack(ctx context.Context) (chain []journal.Hash, err error) {
	ctx, cancel := context.WithTimeout(ctx, c.Settle)
	defer cancel()
	log, err := c.target.OpenLog(ctx, c.Cell, 0)
	if err != nil {
		return nil, fmt.Errorf("open the journal again: %w", err)
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	called := c.clock.Add(1)
	head, hash, err := log.Head(ctx)
	if err != nil {
		return nil, fmt.Errorf("ask for the head: %w", err)
	}
	c.note(c.Writers, called, input{verb: verbHead}, output{seq: head, hash: hash})
	return follow(ctx, log, func(h journal.Hash) bool {
		_, ok := c.proposed[h]
		return ok
	})
}

// follow reads a journal from its beginning by the hashes, up to the first block that is not what it should be, which
// is the error. ours tells whether somebody wrote a block.
func follow(ctx context.Context, log cell.Log, ours func(journal.Hash) bool) (chain []journal.Hash, err error) {
	head, headHash, err := log.Head(ctx)
	if err != nil {
		return nil, fmt.Errorf("ask for the head: %w", err)
	}
	var prev journal.Hash
	var raw []byte
	for seq := uint64(1); seq <= head; seq++ {
		if raw, err = log.Read(ctx, seq, raw); err != nil {
			return chain, fmt.Errorf("read block %d of %d: %w", seq, head, err)
		}
		b, err := journal.Decode(raw)
		if err != nil {
			return chain, fmt.Errorf("read block %d: %w", seq, err)
		}
		switch {
		case b.Header.Seq != seq:
			return chain, fmt.Errorf("block %d stands in the place of block %d", b.Header.Seq, seq)
		case !ours(b.Hash):
			return chain, fmt.Errorf("block %d, %v, was written by nobody", seq, b.Hash)
		case b.Header.Prev != prev:
			return chain, fmt.Errorf("block %d follows %v, and the block before it is %v", seq, b.Header.Prev, prev)
		}
		prev = b.Hash
		chain = append(chain, prev)
	}
	if prev != headHash {
		return chain, fmt.Errorf("the head is said to be %v, and the last block is %v", headHash, prev)
	}
	return chain, nil
}

// judge adds the checks.
func (c *contest) judge(s *qualify.Section, chain []journal.Hash, chainErr error) {
	in := make(map[journal.Hash]bool, len(chain))
	for _, h := range chain {
		in[h] = true
	}
	early := c.setEarlyAside()
	c.settle(chain)
	var lost int
	for hash := range c.settled {
		if !in[hash] {
			lost++
		}
	}
	c.judgeHistory(s)
	s.Add(lost == 0, qualify.Check{
		ID: "append.acknowledged", Title: "Every acknowledged append is in the journal",
		Found: fmt.Sprintf("%d blocks acknowledged, %d of them not in the journal", len(c.settled), lost), Wanted: "0 lost",
		Why:      "an acknowledged transfer is money that someone relies on",
		Measures: []qualify.Measure{{Name: "acknowledged", Value: float64(len(c.settled))}, {Name: "lost", Value: float64(lost)}},
	})
	found := fmt.Sprintf("%d blocks, each follows the one before it", len(chain))
	if chainErr != nil {
		found = chainErr.Error()
	}
	s.Add(chainErr == nil, qualify.Check{
		ID: "append.chain", Title: "The journal is one unbroken chain of what the writers wrote",
		Found: found, Wanted: "whole, in order, nothing twice, nothing foreign", Why: "the journal is the truth that every balance is computed from",
	})
	n := c.counts
	s.Add(n.lateAccepted == 0 && n.late > 0, qualify.Check{
		ID: "append.fence", Title: "A deposed leader's late appends are refused",
		Found: fmt.Sprintf("%d tried, %d accepted", n.late, n.lateAccepted), Wanted: "at least 1 tried, 0 accepted",
		Why: "a unique key alone is no fence: the number after the one that was lost may be free",
	})
	c.judgeAnswers(s)
	c.noteEarly(s, early)
}

// settle adds the appends with an unknown outcome to the history if the journal has them; the others never happened. A
// block was written before its successor was, which bounds when an append ended that was never answered: without a bound
// a search for an order may take for ever.
func (c *contest) settle(chain []journal.Hash) {
	ended := make(map[journal.Hash]int64, len(chain))
	for _, op := range c.history {
		if in, out := op.Input.(input), op.Output.(output); in.verb == verbAppend && out.acknowledged {
			if at, ok := ended[in.hash]; !ok || op.Return < at {
				ended[in.hash] = op.Return
			}
		}
	}
	bound := int64(never)
	for i := len(chain) - 1; i >= 0; i-- {
		if at, ok := ended[chain[i]]; ok {
			bound = min(bound, at)
		}
		if op, ok := c.open[chain[i]]; ok {
			c.counts.applied++
			bound = min(bound, op.Return)
			op.Return = bound
			c.history = append(c.history, op)
		}
	}
}

// judgeHistory asks porcupine for an order of all calls that the specification allows.
func (c *contest) judgeHistory(s *qualify.Section) {
	began := time.Now()
	c.Progress.Tell(1, "looking for an order of the history")
	result := porcupine.CheckOperationsTimeout(model(c.proposed), c.history, c.Decide)
	found := fmt.Sprintf("an order exists for all %d calls of %d writers", len(c.history), c.Writers)
	switch result {
	case porcupine.Illegal:
		found = fmt.Sprintf("no order of the %d calls of %d writers explains what they were told%s", len(c.history), c.Writers, c.misfit())
	case porcupine.Unknown:
		found = fmt.Sprintf("not decided within %v for %d calls", c.Decide, len(c.history))
	}
	s.Add(result == porcupine.Ok, qualify.Check{
		ID: "append.linearizable", Title: "The history of concurrent appends and reads is linearizable", Found: found,
		Wanted: "an order in which each call takes effect between its start and its answer",
		Why:    "two leaders must never both believe that they wrote the next block, and no reader may see an older end than one before it",
		Measures: []qualify.Measure{
			{Name: "calls", Value: float64(len(c.history))}, {Name: "decided in", Value: time.Since(began).Seconds(), Unit: "s"},
		},
	})
}

// misfit names the earliest call that the longest order of a part of the history has no place for: where to start
// looking.
func (c *contest) misfit() string {
	const within = 10 * time.Second
	_, info := porcupine.CheckOperationsVerbose(model(c.proposed), c.history, within)
	type call struct {
		client int
		at     int64
	}
	placed := map[call]bool{}
	for _, orders := range info.PartialLinearizationsOperations() {
		var longest []porcupine.Operation
		for _, order := range orders {
			if len(order) > len(longest) {
				longest = order
			}
		}
		for _, op := range longest {
			placed[call{op.ClientId, op.Call}] = true
		}
	}
	first := porcupine.Operation{Return: never + 1}
	for _, op := range c.history {
		if !placed[call{op.ClientId, op.Call}] && op.Return < first.Return {
			first = op
		}
	}
	if first.Input == nil || len(placed) == 0 {
		return ""
	}
	return fmt.Sprintf("; %d fit, then not: writer %d, %s", len(placed), first.ClientId, describe(first.Input.(input), first.Output.(output)))
}

// leastAcknowledged: a contest in which fewer appends succeeded has shown nothing.
const leastAcknowledged = 20

func (c *contest) judgeAnswers(s *qualify.Section) {
	n := c.counts
	s.Add(len(c.settled) >= leastAcknowledged && n.conflicts > 0, qualify.Check{
		ID: "append.contended", Title: "The writers did contend",
		Found:  fmt.Sprintf("%d appends acknowledged, %d conflicts, %d times the same bytes again", n.acknowledged, n.conflicts, n.again),
		Wanted: fmt.Sprintf("at least %d blocks and a conflict", leastAcknowledged), Why: "without contention the checks above say nothing",
	})
	found := "none"
	if len(c.foreign) > 0 {
		found = errors.Join(c.foreign...).Error()
	}
	s.Add(len(c.foreign) == 0, qualify.Check{
		ID: "append.answers", Title: "Every append was acknowledged, conflicted, or its outcome was unknown", Found: found,
		Wanted: "no other errors", Why: "an error that is none of these leaves the ledger without a rule",
	})
	s.Note(qualify.Check{
		ID: "append.unknown", Title: "Unknown outcomes",
		Found: fmt.Sprintf("kills: %d; appends unknown at first: %d, then answered when sent again: %d, never answered: %d; the journal has %d of them; reads that failed: %d",
			n.kills, n.unknown, n.answered, n.unresolved, n.applied, n.failedReads),
		Why: "they are normal: the ledger appends the same bytes again until it knows",
	})
}
