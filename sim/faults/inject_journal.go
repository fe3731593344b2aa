package faults

import (
	"math/rand/v2"
	"slices"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/money"
	"github.com/sterlingrun/sterling/watch"
)

// Faults between what the ledger was asked for and what stands in its journal.
func journalFaults() []Injector {
	return []Injector{
		atTransfer(watch.Unbalanced, "credits nobody", func(_ *Sealed, _ uint32, t *journal.Transfer) { t.Credit = money.From(77) }),
		atTransfer(watch.Unbalanced, "debits nobody", func(_ *Sealed, _ uint32, t *journal.Transfer) { t.Debit = money.From(77) }),
		atTransfer(watch.Unbalanced, "credits an account of another currency", func(_ *Sealed, _ uint32, t *journal.Transfer) { t.Credit = money.From(dollarBase) }),
		injector{watch.LostUpdate, "a capture records less than it moved", forgetfulCapture},
		injector{watch.LostUpdate, "a capture forgets that its reservation was released", capturedReleased},
		injector{watch.LimitExceeded, "a balance below its limit", overdrawn},
		injector{watch.LimitExceeded, "more than an account may move in an hour", beyondVelocity},
		injector{watch.MovedWhileFrozen, "an account moves although it is frozen", movedFrozen},
		injector{watch.DuplicateID, "one id created twice", createdTwice},
		atBlock(watch.Fork, "two blocks of one number", func(k *Sealed) {
			other := *k.Draft
			other.Header.Incarnation[0]++
			k.More = append(k.More, other.Seal())
		}),
		atBlock(watch.Fork, "two blocks with one predecessor", func(k *Sealed) {
			other := *k.Draft
			other.Header.Seq++
			k.More = append(k.More, other.Seal())
		}),
		atBlock(watch.TamperedHistory, "a byte altered", func(k *Sealed) {
			k.Raw = k.Seal()
			k.Raw[journal.HeaderSize+60]++
		}),
		atBlock(watch.TamperedHistory, "cut short", func(k *Sealed) {
			raw := k.Seal()
			k.Raw = raw[:len(raw)/2]
		}),
		injector{watch.TamperedHistory, "altered and hashed again", hashedAgain},
		injector{watch.ClockJump, "a block before the end of the last", blockBackwards},
		injector{watch.SourceGap, "a block is lost", blockLost},
	}
}

// bendTransfer has f look at a transfer when it is journaled.
func (s *Stream) bendTransfer(id money.U128, f func(k *Sealed, event uint32, t *journal.Transfer)) {
	s.OnSeal(func(k *Sealed) {
		k.Transfers(func(event uint32, t *journal.Transfer) {
			if t.ID == id {
				f(k, event, t)
			}
		})
	})
}

// atTransfer bends the main leg of a payment when it is journaled.
func atTransfer(class watch.Class, name string, bend func(*Sealed, uint32, *journal.Transfer)) Injector {
	return injector{class, name, func(s *Stream, r *rand.Rand) (Expected, bool) {
		one := s.Pick(r, ofFlow(flowPayment))
		if one == nil {
			return Expected{}, false
		}
		id := one.leg(legMain).ID
		s.bendTransfer(id, func(k *Sealed, event uint32, t *journal.Transfer) {
			k.Bend()
			bend(k, event, t)
		})
		x := seen(one.shown())
		x.Key = idOf(id)
		return x, true
	}}
}

// atBlock bends the block that a payment stands in. After it nothing more is proven.
func atBlock(class watch.Class, name string, bend func(*Sealed)) Injector {
	return injector{class, name, func(s *Stream, r *rand.Rand) (Expected, bool) {
		one := s.Pick(r, ofFlow(flowPayment))
		if one == nil {
			return Expected{}, false
		}
		s.bendTransfer(one.leg(legMain).ID, func(k *Sealed, _ uint32, _ *journal.Transfer) { bend(k) })
		return seen(one.Moves[0].At + blockTakes), true
	}}
}

func forgetfulCapture(s *Stream, r *rand.Rand) (Expected, bool) {
	one := s.Pick(r, func(one *Story) bool { return captured(one) && !s.refunded(one.Key) })
	if one == nil {
		return Expected{}, false
	}
	id := one.Moves[1].Transfers()[0].ID
	s.bendTransfer(id, func(k *Sealed, event uint32, _ *journal.Transfer) {
		o := k.Bend().Outcome(event)
		o.Amount = money.From(o.Amount.Lo - 1)
	})
	x := seen(one.Moves[1].At + blockTakes)
	x.Key = idOf(id)
	return x, true
}

// filler is a transfer that takes effect: a request of which nothing does is in no block.
func (s *Stream) filler() journal.Transfer {
	return journal.Transfer{
		ID: numberOf(s.teller.id()), Debit: money.From(funding), Credit: money.From(customerBase), Amount: money.From(1), Asset: cny, Code: codeOpening,
	}
}

func capturedReleased(s *Stream, r *rand.Rand) (Expected, bool) {
	one := s.Pick(r, voided)
	if one == nil {
		return Expected{}, false
	}
	hold := one.Moves[0].Transfers()[0]
	late := journal.Transfer{ID: numberOf(s.teller.id()), PendingID: hold.ID, Amount: hold.Amount, Flags: journal.TransferPost}
	at := one.Moves[1].At + 200*millisecond
	one.Moves = append(one.Moves, transfers(at, late, s.filler()))
	var held journal.Position
	s.bendTransfer(hold.ID, func(k *Sealed, event uint32, _ *journal.Transfer) {
		held = journal.At(k.Header.Seq, len(k.Expiries)+int(event))
	})
	s.bendTransfer(late.ID, func(k *Sealed, event uint32, _ *journal.Transfer) {
		k.Bend().Set(journal.Outcome{
			Event: event, Status: journal.Created, Timestamp: k.Header.Time + uint64(len(k.Expiries)) + uint64(event), Amount: hold.Amount, PendingPosition: held,
		})
	})
	x := seen(at + blockTakes)
	x.Key = idOf(late.ID)
	return x, true
}

// refused adds a payment that the ledger refuses, and a journal that says it was done.
func (s *Stream) refused(at, from, to, amount uint64) Expected {
	t := s.teller
	one := &draft{Story: Story{Flow: flowPayment, Start: at}, ordered: at}
	one.Key = t.id()
	t.order(one, from, to, amount, cnyName)
	leg := t.transfer(one, from, to, amount, codePayment, legMain)
	one.Moves = []Move{transfers(at+20*millisecond, leg, s.filler())}
	s.Stories = append(s.Stories, &one.Story)
	s.Sort()
	s.created(leg.ID)
	x := seen(one.shown())
	x.Key = idOf(leg.ID)
	return x
}

// created has the journal say of a refused transfer that it was created.
func (s *Stream) created(id money.U128) {
	s.bendTransfer(id, func(k *Sealed, event uint32, _ *journal.Transfer) {
		if k.Outcome(event) != nil {
			k.Bend().Drop(event)
		}
	})
}

// some is a moment in the middle of the stream.
func (s *Stream) some(r *rand.Rand) uint64 {
	third := (s.Last - s.First) / 3
	return s.First + third + r.Uint64N(third)
}

func overdrawn(s *Stream, r *rand.Rand) (Expected, bool) {
	return s.refused(s.some(r), poor, customerBase, 101+r.Uint64N(10_000)), true
}

func beyondVelocity(s *Stream, r *rand.Rand) (Expected, bool) {
	s.Extra = append(s.Extra, Move{At: s.Begin + second, Kind: journal.KindLimits, Events: journal.Bytes([]journal.Limit{{
		ID: hashed("limit", 1), Account: money.From(bounded), Side: journal.FreezeDebit, HourAmount: money.From(20_000),
	}})})
	return s.refused(s.some(r), bounded, customerBase, 20_001+r.Uint64N(10_000)), true
}

func movedFrozen(s *Stream, r *rand.Rand) (Expected, bool) {
	s.Extra = append(s.Extra, Move{At: s.Begin + second, Kind: journal.KindFreeze, Events: journal.Bytes([]journal.Freeze{{
		ID: hashed("freeze", 1), Account: money.From(bounded), Selector: journal.SelectAccount, Mode: journal.FreezeAll,
	}})})
	return s.refused(s.some(r), bounded, customerBase, 100+r.Uint64N(10_000)), true
}

func createdTwice(s *Stream, r *rand.Rand) (Expected, bool) {
	one := s.Pick(r, ofFlow(flowPayment))
	if one == nil {
		return Expected{}, false
	}
	leg := *one.leg(legMain)
	leg.Flags = 0
	at := one.Moves[0].At + 300*millisecond
	one.Moves = append(one.Moves, transfers(at, leg, s.filler()))
	s.created(leg.ID)
	x := seen(at + blockTakes)
	x.Key = idOf(leg.ID)
	return x, true
}

// hashedAgain alters a record in a way that no sum shows, and seals its block anew: the next one does not follow it.
func hashedAgain(s *Stream, r *rand.Rand) (Expected, bool) {
	one := s.Pick(r, ofFlow(flowPayment))
	if one == nil {
		return Expected{}, false
	}
	s.bendTransfer(one.leg(legMain).ID, func(k *Sealed, _ uint32, t *journal.Transfer) {
		t.UserData64++
		k.Raw = k.Seal()
		k.Raw = slices.Clone(k.Raw)
		t.UserData64--
	})
	return seen(one.Moves[0].At + blockTakes + second), true // the next block shows it
}

// blockBackwards gives a block the time of the one before it.
func blockBackwards(s *Stream, r *rand.Rand) (Expected, bool) {
	at := s.some(r)
	last, done := uint64(0), false
	s.OnSeal(func(k *Sealed) {
		if k.Now >= at && !done && len(k.Outcomes) == 0 && len(k.Expiries) == 0 {
			k.Bend().Header.Time = last
			done = true
		}
		last = k.Header.Time
	})
	return seen(at + 2*second), true
}

func blockLost(s *Stream, r *rand.Rand) (Expected, bool) {
	at := s.some(r)
	lost := uint64(0)
	s.OnStep(func(step *Step) []Step {
		if step.Kind == StepBlock && step.Now >= at && (lost == 0 || lost == step.Seq) {
			lost = step.Seq
			return nil
		}
		return []Step{*step}
	})
	return seen(at + 2*second), true
}
