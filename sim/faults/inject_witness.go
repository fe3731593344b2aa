package faults

import (
	"math/rand/v2"
	"slices"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/watch"
)

// Faults between the watch's books and others.
func booksFaults() []Injector {
	return []Injector{
		injector{watch.BalanceMismatch, "the ledger has another balance than its journal", otherBalance},
		injector{watch.BalanceMismatch, "the bank has another balance", func(s *Stream, r *rand.Rand) (Expected, bool) {
			from, told := s.some(r), uint64(0)
			s.OnTold(func(source string, list []watch.Observation) []watch.Observation {
				for i := range list {
					o := &list[i]
					if source == Bank && o.Kind == watch.Balance && o.Time >= from && (told == 0 || told == o.Seq) {
						told = o.Seq
						o.Amount.Lo += 300
					}
				}
				return list
			})
			x := seen(from + balanceEvery + second)
			x.Key = ID(clearing)
			return x, true
		}},
	}
}

// otherBalance bends a comparison. Which account that is of, a rehearsal of the stream tells.
func otherBalance(s *Stream, r *rand.Rand) (Expected, bool) {
	var all []Step
	rehearsal := *s
	if err := rehearsal.Play(func(step *Step) error {
		if step.Kind == StepCompare {
			all = append(all, *step)
		}
		return nil
	}); err != nil || len(all) == 0 {
		return Expected{}, false
	}
	bad := all[r.IntN(len(all))]
	s.OnStep(func(step *Step) []Step {
		if step.Kind == StepCompare && step.Seq == bad.Seq {
			step.Compare[0].CreditsPosted.Lo += 5
		}
		return []Step{*step}
	})
	x := seen(bad.Now)
	x.Key = bad.Compare[0].Account
	return x, true
}

// Faults of the witnesses themselves.
func witnessFaults() []Injector {
	anything := ofFlow(flowPayment, flowCard, flowDeposit)
	return []Injector{
		injector{watch.SilentSource, "a source falls silent", func(s *Stream, r *rand.Rand) (Expected, bool) {
			from := s.some(r)
			s.Mute(Sources()[r.IntN(3)], from, ^uint64(0))
			return missed(from + wordTakes + silentAfter), true
		}},
		injector{watch.SourceGap, "an observation is lost", observationLost},
		atStory(watch.SourceRepeat, "one number, two contents", anything, func(s *Stream, one *Story, _ *rand.Rand) Expected {
			s.after(one.order().Seen.ID, func(o *watch.Observation) { o.Amount.Lo++ })
			return seen(one.shown())
		}),
		atStory(watch.SourceRepeat, "one id, two contents", anything, func(_ *Stream, one *Story, r *rand.Rand) Expected {
			w := *one.order()
			w.Seen.Amount.Lo++
			w.Told, w.Again = w.Told+r.Uint64N(second), 0
			one.Words = append(one.Words, w)
			return seen(one.shown())
		}),
		injector{watch.ClockJump, "a source's clock is an hour ahead", func(s *Stream, r *rand.Rand) (Expected, bool) {
			from := s.some(r)
			s.OnTold(func(source string, list []watch.Observation) []watch.Observation {
				for i := range list {
					if o := &list[i]; source == CardScheme && o.Time >= from && o.Time < from+hour {
						o.Time += hour
						if o.Through != 0 {
							o.Through += hour
						}
					}
				}
				return list
			})
			return seen(from + 2*beatEvery + wordTakes), true
		}},
		injector{watch.ClockJump, "one word is an hour old", oldWord},
		injector{watch.ClockJump, "the watch's own clock goes back", func(s *Stream, r *rand.Rand) (Expected, bool) {
			at, done := s.some(r), false
			s.OnStep(func(step *Step) []Step {
				if step.Kind == StepTick && step.Now >= at && !done {
					done = true
					step.Now -= hour
				}
				return []Step{*step}
			})
			return seen(at + tickEvery), true
		}},
		injector{watch.OversizedKey, "a key with 100,000 legs", oversized},
		atStory(watch.UnknownAsset, "an order in a currency that the ledger lacks", ofFlow(flowPayment), func(_ *Stream, one *Story, _ *rand.Rand) Expected {
			one.order().Seen.Asset = "XAU/3" // it could come into being until the deadline
			return missed(one.order().Seen.Time + orderWithin)
		}),
		injector{watch.RuleFailed, "an order of a flow that nobody declared", func(s *Stream, r *rand.Rand) (Expected, bool) {
			near := s.Pick(r, anything)
			if near == nil {
				return Expected{}, false
			}
			one := &Story{Flow: flowPayment, Key: s.teller.id(), Start: near.Start, Words: []Word{*near.order()}}
			w := &one.Words[0]
			w.Again, w.Seen.Flow, w.Seen.Key, w.Seen.KeyText, w.Seen.ID = 0, "no-such-flow", one.Key, "", s.teller.id()
			s.Stories = append(s.Stories, one)
			s.Sort()
			x := seen(one.shown())
			x.Key = one.Key
			return x, true
		}},
	}
}

// after delivers an observation once more, changed, right after it arrived.
func (s *Stream) after(id watch.ID, change func(*watch.Observation)) {
	done := false
	s.OnStep(func(step *Step) []Step {
		list := []Step{*step}
		for i := range step.List {
			if step.List[i].ID == id && !done {
				done = true
				again := *step
				again.List = []watch.Observation{step.List[i]}
				change(&again.List[0])
				list = append(list, again)
			}
		}
		return list
	})
}

func observationLost(s *Stream, r *rand.Rand) (Expected, bool) {
	one := s.Pick(r, ofFlow(flowPayment, flowCard, flowDeposit))
	if one == nil {
		return Expected{}, false
	}
	w := one.Words[r.IntN(len(one.Words))]
	lost := uint64(0)
	s.OnTold(func(source string, list []watch.Observation) []watch.Observation {
		return slices.DeleteFunc(list, func(o watch.Observation) bool {
			if source != w.Source || o.ID != w.Seen.ID || lost != 0 && o.Seq != lost {
				return false
			}
			lost = o.Seq
			return true
		})
	})
	return missed(w.Told + wordTakes + gapAfter), true
}

// oldWord has one observation tell of a time that its source had promised to be complete.
func oldWord(s *Stream, r *rand.Rand) (Expected, bool) {
	one := s.Pick(r, ofFlow(flowPayment, flowDeposit))
	if one == nil {
		return Expected{}, false
	}
	id := one.order().Seen.ID
	s.OnTold(func(_ string, list []watch.Observation) []watch.Observation {
		for i := range list {
			if list[i].ID == id && list[i].Time > s.First {
				list[i].Time -= hour
			}
		}
		return list
	})
	return seen(one.shown()), true
}

// oversized moves a promotion in 100,000 parts of 0.01.
func oversized(s *Stream, r *rand.Rand) (Expected, bool) {
	const legs, each = 100_000, 4_000
	t := s.teller
	at := s.some(r)
	one := &draft{Story: Story{Flow: flowPromotion, Start: at}, ordered: at}
	one.Key = t.id()
	t.order(one, budget, customerBase, legs, cnyName)
	for n := range uint64(legs / each) {
		list := make([]journal.Transfer, each)
		for i := range list {
			list[i] = t.transfer(one, budget, customerBase, 1, codePromotion, legMain)
		}
		one.Moves = append(one.Moves, transfers(at+20*millisecond*(n+1), list...))
	}
	s.Stories = append(s.Stories, &one.Story)
	s.Sort()
	x := seen(one.shown())
	x.Flow, x.Key = flowPromotion, one.Key
	return x, true
}
