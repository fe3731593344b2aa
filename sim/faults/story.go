package faults

import (
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/watch"
)

// Story is all that belongs to one key: what was ordered, what the ledger is asked to do, what others say about it.
// Everything about it happens at Start or later, by each one's own clock.
type Story struct {
	Flow  string
	Key   watch.ID
	Start uint64 // ns since 1970
	Moves []Move // what the ledger is asked for, ascending by At
	Words []Word // what witnesses say
}

// Move is a request to the ledger.
type Move struct {
	At     uint64 // ns since 1970; the block comes a little later
	Kind   journal.Kind
	Events []byte // records
	// Attached is what they say beyond that.
	Attached []journal.Attachment
}

// Transfers are the records of a move of transfers. They are the move's own memory.
func (m *Move) Transfers() []journal.Transfer {
	m.Events = journal.Aligned(m.Events)
	return journal.View[journal.Transfer](m.Events)
}

func transfers(at uint64, list ...journal.Transfer) Move {
	return Move{At: at, Kind: journal.KindTransfers, Events: journal.Bytes(list)}
}

// Word is what one source says once. Its number is given when it is told.
type Word struct {
	Source string
	Told   uint64 // ns: when the source sends it; Seen.Time, when it happened there, is before
	Seen   watch.Observation
	Again  uint64 // sent once more, under a new number, so much later; 0: not
}

// order returns the story's instruction, or nil.
func (s *Story) order() *Word { return s.word(watch.Instruction) }

func (s *Story) word(kind watch.ObservationKind) *Word {
	for i := range s.Words {
		if s.Words[i].Seen.Kind == kind {
			return &s.Words[i]
		}
	}
	return nil
}

// witness returns the first word of a channel or a bank about the story, or nil.
func (s *Story) witness() *Word {
	if w := s.word(watch.Receipt); w != nil {
		return w
	}
	return s.word(watch.StatementEntry)
}

// drop takes the words out for which f is true.
func (s *Story) drop(f func(*Word) bool) {
	var kept []Word
	for i := range s.Words {
		if !f(&s.Words[i]) {
			kept = append(kept, s.Words[i])
		}
	}
	s.Words = kept
}

// legs visits the transfers of the story.
func (s *Story) legs(f func(m *Move, t *journal.Transfer)) {
	for i := range s.Moves {
		m := &s.Moves[i]
		if m.Kind != journal.KindTransfers {
			continue
		}
		list := m.Transfers()
		for n := range list {
			f(m, &list[n])
		}
	}
}
