package ledger

import (
	"errors"
	"fmt"

	"github.com/sterlingrun/sterling/journal"
)

// ErrDiverged is a block whose recorded outcomes are not the ones that its requests give.
var ErrDiverged = errors.New("the journal's outcomes are not what its requests give")

// Replay applies a block of the journal: it validates everything again and compares with what is recorded. Facts are
// fetched from blocks before it. Scratch is a builder to use; fx receives the effects. After an error the state is
// of no use any more. The block is released already: the log has it.
func (s *State) Replay(k *journal.Block, scratch *journal.Builder, fx *Effects, fetch func([]Need) (Facts, error)) error {
	h := &k.Header
	if err := s.checkRules(k); err != nil {
		return err
	}
	if h.Time < s.lastEnd {
		return fmt.Errorf("%w: block %d begins at %d, the one before ended at %d", ErrDiverged, h.Seq, h.Time, s.lastEnd)
	}
	s.Begin(scratch, fx, h.Seq, h.Time)
	if n := s.Expire(); n != len(k.Expiries) {
		return fmt.Errorf("%w: block %d records %d expiries, %d are due", ErrDiverged, h.Seq, len(k.Expiries), n)
	}
	var (
		needs   []Need
		results []journal.Result
	)
	event := 0
	for i := range k.Requests {
		r := &k.Requests[i]
		events := k.EventBytes(event, int(r.Count))
		if r.Kind != journal.KindDayClose { // the ledger attaches the trial balance itself
			s.Attach(k.Attachments(event, int(r.Count), nil))
			if err := checkReplayed(r.Kind, events, s.attached); err != nil {
				return fmt.Errorf("%w: request %d of block %d: %w", ErrDiverged, i, h.Seq, err)
			}
		}
		event += int(r.Count)
		var facts Facts
		if needs = s.Needs(r.Kind, events, needs[:0]); len(needs) > 0 {
			var err error
			if facts, err = fetch(needs); err != nil {
				return fmt.Errorf("facts for block %d: %w", h.Seq, err)
			}
		}
		if cap(results) < int(r.Count) {
			results = make([]journal.Result, r.Count)
		}
		if !s.Apply(r.Kind, r.Actor, events, facts, results[:r.Count]) {
			return fmt.Errorf("%w: request %d of block %d changes nothing", ErrDiverged, i, h.Seq)
		}
	}
	if err := compare(k, scratch); err != nil {
		return err
	}
	s.End(k)
	s.Release(h.Seq)
	if want := k.Header.StateDigest; want != [32]byte{} && want != s.Digest() {
		return fmt.Errorf("%w: the state after block %d has another digest than recorded", ErrDiverged, h.Seq)
	}
	return nil
}

// RaiseRules makes the blocks from the next one on be validated by this program's Rules. It may be called before an
// epoch block only.
func (s *State) RaiseRules() { s.rules = Rules }

// checkRules checks that the rules that a block was validated by are known, and rise only with an epoch. Version 2
// decides whatever version 1 could be asked as version 1 did. Version 3 knows transfers across cells, whose flags were
// reserved before.
func (s *State) checkRules(k *journal.Block) error {
	h := &k.Header
	switch {
	case h.Rules == 0 || h.Rules > Rules:
		return fmt.Errorf("block %d was validated by rules version %d, this program knows versions 1 to %d: use the release that wrote it", h.Seq, h.Rules, Rules)
	case h.Seq > 1 && h.Rules != s.rules && (h.Rules < s.rules || h.Kind != journal.BlockEpoch):
		return fmt.Errorf("%w: block %d has rules version %d after version %d: it may rise only in an epoch block", ErrDiverged, h.Seq, h.Rules, s.rules)
	case h.Rules < h.Version:
		return fmt.Errorf("%w: block %d of format version %d was validated by rules version %d", ErrDiverged, h.Seq, h.Version, h.Rules)
	}
	s.rules = h.Rules
	return nil
}

// checkReplayed is CheckRequest where the rules rely on it.
func checkReplayed(kind journal.Kind, events []byte, attached []journal.Attachment) error {
	if kind <= journal.KindLimits && len(attached) == 0 {
		return nil
	}
	return CheckRequest(kind, events, attached)
}

// compare checks that replay made the same expiries and outcomes as are recorded.
func compare(k *journal.Block, made *journal.Builder) error {
	if made.SameAs(k) {
		return nil
	}
	for i := range int(k.Header.Events) {
		was, is := k.Outcome(i), made.Outcome(i)
		if (was == nil) != (is == nil) || was != nil && *was != *is {
			return fmt.Errorf("%w: event %d of block %d: recorded %s, replayed %s", ErrDiverged, i, k.Header.Seq, describe(was), describe(is))
		}
	}
	return fmt.Errorf("%w: the expiries or attachments of block %d differ", ErrDiverged, k.Header.Seq)
}

func describe(o *journal.Outcome) string {
	if o == nil {
		return "created as asked"
	}
	return fmt.Sprintf("status %d at %d, amount %v", o.Status, o.Timestamp, o.Amount)
}
