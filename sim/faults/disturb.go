package faults

import (
	"math/rand/v2"
	"slices"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/watch"
)

// Disturbances are what happens to honest streams. Nothing is to be found in them.
func Disturbances() []Injector { return slices.Concat(lateWords(), roughDeliveries()) }

// roughDeliveries are disturbances of how steps arrive.
func roughDeliveries() []Injector {
	return []Injector{
		disturbance("everything is delivered twice", func(s *Stream, _ *rand.Rand) {
			s.OnStep(func(step *Step) []Step {
				if step.Kind == StepBlock || step.Kind == StepObserve {
					return []Step{*step, *step}
				}
				return []Step{*step}
			})
		}),
		disturbance("the watch is behind by seconds, and catches up", lagging),
		disturbance("a source stops for most of what it may, and catches up", paused),
		disturbance("a source sends its last thousand again after a restart", resent),
		disturbance("the watch's clock stands still, and goes back a little", func(s *Stream, r *rand.Rand) {
			from := s.some(r)
			s.OnStep(func(step *Step) []Step {
				if step.Kind == StepTick && step.Now >= from && step.Now < from+3*second {
					step.Now, step.Horizon = from-(step.Now-from)/4, min(step.Horizon, from-1)
				}
				return []Step{*step}
			})
		}),
		disturbance("a minute without anything", func(s *Stream, _ *rand.Rand) {
			for _, one := range s.Stories[len(s.Stories)/2:] {
				one.shift(minute)
			}
			s.Last += minute
			s.PlayUntil(s.Last + rest)
		}),
		disturbance("heartbeats without promises in between", func(s *Stream, _ *rand.Rand) {
			s.OnTold(func(_ string, list []watch.Observation) []watch.Observation {
				for i := range list {
					if list[i].Kind == watch.Heartbeat && list[i].Seq%3 != 0 {
						list[i].Through = 0
					}
				}
				return list
			})
		}),
		disturbance("one payment is captured in 200 parts", parts),
		disturbance("transfers to and from another cell", crossings),
	}
}

// lateWords are disturbances of when things are said.
func lateWords() []Injector {
	return []Injector{
		disturbance("all receipts come just before their deadline", func(s *Stream, r *rand.Rand) {
			s.words(func(one *Story, w *Word) {
				if w.Seen.Kind != watch.Instruction && w.Source != Orders && len(one.Moves) > 0 && len(w.Seen.Flow) > 0 {
					w.Seen.Time = max(w.Seen.Time, one.Moves[0].At+20*second+r.Uint64N(9*second))
					w.Told = max(w.Told, w.Seen.Time+r.Uint64N(100*millisecond))
				}
			})
			s.PlayUntil(s.Last + 80*second)
		}),
		disturbance("all orders are told seconds late, and so are the promises", func(s *Stream, r *rand.Rand) {
			s.words(func(one *Story, w *Word) {
				if w.Seen.Kind == watch.Instruction {
					w.Told += 2*second + r.Uint64N(20*second)
				}
			})
			s.PlayUntil(s.Last + 90*second)
		}),
		disturbance("orders are told in another order", func(s *Stream, r *rand.Rand) {
			s.words(func(_ *Story, w *Word) { w.Told += r.Uint64N(4 * second) })
		}),
		disturbance("the money moves up to 4 s before its order", func(s *Stream, r *rand.Rand) {
			s.words(func(_ *Story, w *Word) {
				if w.Seen.Kind == watch.Instruction {
					w.Seen.Time += r.Uint64N(1_000 * millisecond)
					w.Told = max(w.Told, w.Seen.Time)
				}
			})
			for _, one := range s.Stories {
				if o := one.order(); o != nil && len(one.Moves) == 1 && one.Flow != flowRefund {
					one.Moves[0].At = max(one.Start, o.Seen.Time-min(r.Uint64N(4*second), o.Seen.Time-one.Start))
				}
			}
		}),
		disturbance("every word is sent again, much later, under a new number", func(s *Stream, r *rand.Rand) {
			s.words(func(_ *Story, w *Word) { w.Again = r.Uint64N(30 * second) })
		}),
	}
}

func disturbance(name string, bend func(*Stream, *rand.Rand)) Injector {
	return injector{"", name, func(s *Stream, r *rand.Rand) (Expected, bool) {
		bend(s, r)
		return Expected{}, true
	}}
}

// words visits all words of stories that have an order and move money: not declines and withdrawals, whose word has a
// time of its own.
func (s *Stream) words(f func(*Story, *Word)) {
	for _, one := range s.Stories {
		if len(one.Moves) == 0 {
			continue
		}
		for i := range one.Words {
			f(one, &one.Words[i])
		}
	}
}

// shift moves a story to a later time.
func (s *Story) shift(by uint64) {
	s.Start += by
	for i := range s.Moves {
		s.Moves[i].At += by
	}
	for i := range s.Words {
		s.Words[i].Told += by
		s.Words[i].Seen.Time += by
	}
}

// lagging keeps blocks back for some seconds. Ticks say how far the ledger is.
func lagging(s *Stream, r *rand.Rand) {
	from := s.some(r)
	until := from + 4*second
	var kept []Step
	s.OnStep(func(step *Step) []Step {
		switch {
		case step.Now >= until && kept != nil:
			list := append(kept, *step)
			kept = nil
			return list
		case step.Now >= from && step.Now < until && (step.Kind == StepBlock || step.Kind == StepCompare):
			kept = append(kept, *step)
			return nil
		}
		return []Step{*step}
	})
}

// paused keeps what a source tells back for 8 seconds.
func paused(s *Stream, r *rand.Rand) {
	from, source := s.some(r), Sources()[r.IntN(3)]
	until := from + 8*second
	var kept []Step
	s.OnStep(func(step *Step) []Step {
		switch {
		case step.Now >= until && kept != nil:
			list := append(kept, *step)
			kept = nil
			return list
		case step.Now >= from && step.Now < until && step.Source == source:
			kept = append(kept, *step)
			return nil
		}
		return []Step{*step}
	})
}

// resent has a source send its last thousand observations again, under their own numbers.
func resent(s *Stream, r *rand.Rand) {
	from, source := s.some(r), Sources()[r.IntN(3)]
	var last []watch.Observation
	s.OnStep(func(step *Step) []Step {
		list := []Step{*step}
		if step.Source == source && from != 0 {
			last = append(last, step.List...)
			if step.Now >= from {
				slices.SortFunc(last, func(a, b watch.Observation) int { return int(a.Seq) - int(b.Seq) }) //nolint:gosec // G115: small
				again := *step
				again.List = last[max(0, len(last)-1_000):]
				list, from = append(list, again), 0
			}
		}
		return list
	})
}

// parts captures a card payment in 200 parts, each with its receipt.
func parts(s *Stream, r *rand.Rand) {
	t := s.teller
	at := s.some(r)
	one := &draft{Story: Story{Flow: flowCard, Start: at}, ordered: at, booked: at}
	one.Key = t.id()
	const n, each = 200, 1_000
	t.order(one, customerBase, merchantBase, n*each, cnyName)
	hold := t.transfer(one, customerBase, merchantBase, n*each, codeCard, legMain)
	hold.Flags, hold.Timeout = journal.TransferPending, 1_800
	one.move(at, hold)
	for i := range uint64(n) {
		flags := journal.TransferKeepRemainder
		if i == n-1 {
			flags = 0
		}
		t.capture(one, &hold, at+(i+1)*50*millisecond, each, i*each, flags)
	}
	s.Stories = append(s.Stories, &one.Story)
	s.Sort()
	s.PlayUntil(at + 100*second)
}
