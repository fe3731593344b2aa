package faults

import (
	"math/rand/v2"
	"slices"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/watch"
)

// Injector bends a clean stream between two of its components.
type Injector interface {
	// Class is what has to be found; empty: nothing, since what it does is legitimate.
	Class() watch.Class
	// Name says in a few words what it does.
	Name() string
	// Inject bends the stream and says what has to be found. It is a function of its arguments; ok is false where the
	// stream has nothing that it could bend, and is then as it was.
	Inject(s *Stream, r *rand.Rand) (x Expected, ok bool)
}

// Injectors are the faults: at least one for every class of the watch.
func Injectors() []Injector {
	return slices.Concat(orderFaults(), channelFaults(), refundFaults(), termFaults(), journalFaults(), transitFaults(), booksFaults(), witnessFaults())
}

// injector is one that is a function.
type injector struct {
	class watch.Class
	name  string
	bend  func(s *Stream, r *rand.Rand) (Expected, bool)
}

func (i injector) Class() watch.Class { return i.class }
func (i injector) Name() string       { return i.name }
func (i injector) Inject(s *Stream, r *rand.Rand) (Expected, bool) {
	x, ok := i.bend(s, r)
	x.Class = i.class
	if ok {
		s.PlayUntil(x.Due + 2*second)
	}
	return x, ok
}

// atStory is an injector that bends one story for which fits is true.
func atStory(class watch.Class, name string, fits func(*Story) bool, bend func(s *Stream, one *Story, r *rand.Rand) Expected) Injector {
	return injector{class, name, func(s *Stream, r *rand.Rand) (Expected, bool) {
		one := s.Pick(r, func(one *Story) bool { return fits(one) && !s.refunded(one.Key) })
		if one == nil {
			return Expected{}, false
		}
		x := bend(s, one, r)
		x.Flow, x.Key = one.Flow, one.Key
		return x, true
	}}
}

// refunded reports whether a story is a payment that others pay back.
func (s *Stream) refunded(key watch.ID) bool {
	return slices.ContainsFunc(s.Stories, func(one *Story) bool {
		o := one.order()
		return o != nil && o.Seen.OfKey == key
	})
}

// How long things take at most until they arrive.
const (
	blockTakes = 250 * millisecond
	wordTakes  = 650 * millisecond
)

// shown is when all of a story that was told or moved by now has arrived.
func (s *Story) shown() (at uint64) {
	for i := range s.Moves {
		at = max(at, s.Moves[i].At+blockTakes)
	}
	for i := range s.Words {
		at = max(at, s.Words[i].Told+wordTakes)
	}
	return at
}

// seen expects what arrives to show it, at a moment at the latest.
func seen(at uint64) Expected { return Expected{Due: at + Invariant, Invariant: true} }

// missed expects it after a deadline.
func missed(deadline uint64) Expected { return Expected{Due: deadline + InTime} }

// The deadlines of the built-in flows, and of their sources.
const (
	orderWithin   = 5 * second
	receiptWithin = 30 * second
	settleWithin  = hour + 5*minute
	silentAfter   = 10 * second // how long a source may say nothing
	gapAfter      = 5 * second  // how long a number may be missing
)

// What stories are.

func ofFlow(names ...string) func(*Story) bool {
	return func(s *Story) bool { return slices.Contains(names, s.Flow) && len(s.Moves) > 0 && s.order() != nil }
}

func both(a, b func(*Story) bool) func(*Story) bool {
	return func(s *Story) bool { return a(s) && b(s) }
}

// captured reports whether a card payment was captured once, whole.
func captured(s *Story) bool {
	return s.Flow == flowCard && len(s.Moves) == 2 && s.Moves[1].Transfers()[0].Flags.Has(journal.TransferPost)
}

// voided reports whether a card payment was released.
func voided(s *Story) bool {
	return s.Flow == flowCard && len(s.Moves) == 2 && s.Moves[1].Transfers()[0].Flags.Has(journal.TransferVoid)
}

// leg returns the first transfer of a leg, or nil.
func (s *Story) leg(number uint32) (found *journal.Transfer) {
	s.legs(func(_ *Move, t *journal.Transfer) {
		if found == nil && t.UserData32 == number {
			found = t
		}
	})
	return found
}

func hasLeg(number uint32) func(*Story) bool {
	return func(s *Story) bool { return s.leg(number) != nil }
}

// without takes the transfers of a leg out of the story.
func (s *Story) without(number uint32) {
	for i := range s.Moves {
		m := &s.Moves[i]
		list := slices.DeleteFunc(slices.Clone(m.Transfers()), func(t journal.Transfer) bool { return t.UserData32 == number })
		if len(list) > 0 {
			list[len(list)-1].Flags &^= journal.TransferLinked
		}
		m.Events = journal.Bytes(list)
	}
}

// again is a move once more, under other ids.
func (t *teller) again(m *Move, at uint64) Move {
	list := slices.Clone(m.Transfers())
	ids := map[watch.ID]watch.ID{}
	for i := range list {
		fresh := t.id()
		ids[idOf(list[i].ID)] = fresh
		list[i].ID = numberOf(fresh)
	}
	return Move{At: at, Kind: m.Kind, Events: journal.Bytes(list)}
}
