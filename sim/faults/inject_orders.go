package faults

import (
	"math/rand/v2"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/money"
	"github.com/sterlingrun/sterling/watch"
)

// Faults between what was ordered and what the ledger was asked for.
func orderFaults() []Injector {
	paid := ofFlow(flowPayment, flowDeposit)
	return []Injector{
		atStory(watch.DuplicatePost, "booked again under other ids", ofFlow(flowPayment, flowDeposit, flowPromotion), bookedAgain),
		atStory(watch.DuplicatePost, "a card payment reserved and captured again", captured, cardAgain),
		atStory(watch.MissingPost, "never booked", ofFlow(flowPayment, flowPromotion, flowLending, flowExchange), neverBooked),
		atStory(watch.MissingLeg, "the other side of an exchange is missing", ofFlow(flowExchange), legMissing(legFee)),
		atStory(watch.MissingLeg, "an instalment without its interest", ofFlow(flowInstalment), legMissing(legInterest)),
		atStory(watch.StuckPending, "a reservation that nobody ends", captured, stuck),
		atStory(watch.WrongAmount, "another amount", paid, bendLeg(legMain, func(_ *Stream, t *journal.Transfer, r *rand.Rand) {
			t.Amount = money.From(t.Amount.Lo + 1 + r.Uint64N(40))
		})),
		atStory(watch.UnitError, "yuan taken for fen", paid, bendLeg(legMain, func(_ *Stream, t *journal.Transfer, _ *rand.Rand) {
			t.Amount = money.From(t.Amount.Lo * 100)
		})),
		atStory(watch.WrongFee, "a fee off by one", both(ofFlow(flowPayment, flowCard), hasLeg(legFee)), bendLeg(legFee, func(_ *Stream, t *journal.Transfer, _ *rand.Rand) {
			t.Amount = money.From(t.Amount.Lo + 1)
		})),
		atStory(watch.MissingFee, "no fee", both(ofFlow(flowPayment, flowCard, flowRefund), hasLeg(legFee)), legMissing(legFee)),
		atStory(watch.MissingFee, "a fee of its own is never booked", ofFlow(flowFee), neverBooked),
		atStory(watch.WrongFee, "a fee of its own with another amount", ofFlow(flowFee), bendLeg(legMain, func(_ *Stream, t *journal.Transfer, _ *rand.Rand) {
			t.Amount = money.From(t.Amount.Lo + 1)
		})),
		atStory(watch.WrongAccount, "to a stranger", ofFlow(flowPayment, flowDeposit, flowLending), bendLeg(legMain, func(s *Stream, t *journal.Transfer, _ *rand.Rand) {
			t.Credit = s.otherThan(t)
		})),
		atStory(watch.WrongAccount, "from a stranger", ofFlow(flowPayment, flowInstalment), bendLeg(legMain, func(s *Stream, t *journal.Transfer, _ *rand.Rand) {
			t.Debit = s.otherThan(t)
		})),
		atStory(watch.SwappedSides, "debit and credit swapped", paid, bendLeg(legMain, func(_ *Stream, t *journal.Transfer, _ *rand.Rand) {
			t.Debit, t.Credit = t.Credit, t.Debit
		})),
		atStory(watch.WrongCurrency, "dollars for yuan", ofFlow(flowPayment), bendLeg(legMain, func(_ *Stream, t *journal.Transfer, _ *rand.Rand) {
			t.Debit, t.Credit, t.Asset = money.From(dollarBase), money.From(dollarBase+1), usd
		})),
		atStory(watch.UnorderedEffect, "nobody ordered it", ofFlow(flowPayment, flowPromotion), unordered),
		atStory(watch.UnorderedEffect, "there and back in one block", ofFlow(flowPayment), thereAndBack),
		injector{watch.UnorderedEffect, "a compensating pair under a key of its own", strayPair},
		atStory(watch.UnorderedEffect, "booked though the order was withdrawn", ofFlow(flowPayment), bookedWithdrawn),
	}
}

// otherThan is an account that a transfer is not of.
func (s *Stream) otherThan(t *journal.Transfer) money.U128 {
	for n := uint64(customerBase); ; n++ {
		if id := money.From(n); id != t.Debit && id != t.Credit {
			return id
		}
	}
}

func bookedAgain(s *Stream, one *Story, r *rand.Rand) Expected {
	m := &one.Moves[0]
	one.Moves = append(one.Moves, s.teller.again(m, m.At+r.Uint64N(3*second)))
	return seen(one.shown())
}

func cardAgain(s *Stream, one *Story, r *rand.Rand) Expected {
	later := r.Uint64N(second)
	hold := s.teller.again(&one.Moves[0], one.Moves[1].At+later)
	post := s.teller.again(&one.Moves[1], one.Moves[1].At+later+100*millisecond)
	post.Transfers()[0].PendingID = hold.Transfers()[0].ID
	one.Moves = append(one.Moves, hold, post)
	return seen(one.shown())
}

func neverBooked(_ *Stream, one *Story, _ *rand.Rand) Expected {
	one.Moves = nil
	one.drop(func(w *Word) bool { return w.Seen.Kind != watch.Instruction })
	return missed(one.order().Seen.Time + orderWithin)
}

func legMissing(number uint32) func(*Stream, *Story, *rand.Rand) Expected {
	return func(_ *Stream, one *Story, _ *rand.Rand) Expected {
		one.without(number)
		return seen(one.shown())
	}
}

func bendLeg(number uint32, bend func(*Stream, *journal.Transfer, *rand.Rand)) func(*Stream, *Story, *rand.Rand) Expected {
	return func(s *Stream, one *Story, r *rand.Rand) Expected {
		bend(s, one.leg(number), r)
		return seen(one.shown())
	}
}

func stuck(_ *Stream, one *Story, _ *rand.Rand) Expected {
	one.Moves = one.Moves[:1]
	one.Moves[0].Transfers()[0].Timeout = 0
	one.drop(func(w *Word) bool { return w.Seen.Kind != watch.Instruction })
	return missed(one.Moves[0].At + blockTakes + settleWithin)
}

func unordered(_ *Stream, one *Story, _ *rand.Rand) Expected {
	one.drop(func(w *Word) bool { return w.Seen.Kind == watch.Instruction })
	return missed(one.Moves[0].At + orderWithin)
}

func thereAndBack(s *Stream, one *Story, _ *rand.Rand) Expected {
	m := &one.Moves[0]
	main := *one.leg(legMain)
	back, there := main, main
	back.Debit, back.Credit, back.Flags = main.Credit, main.Debit, 0
	back.ID, there.ID, there.Flags = numberOf(s.teller.id()), numberOf(s.teller.id()), 0
	list := append(append([]journal.Transfer(nil), m.Transfers()...), back, there)
	m.Events = journal.Bytes(linked(list...))
	return seen(one.shown())
}

func strayPair(s *Stream, r *rand.Rand) (Expected, bool) {
	near := s.Pick(r, ofFlow(flowPayment))
	if near == nil {
		return Expected{}, false
	}
	t := s.teller
	one := &draft{Story: Story{Flow: flowPayment, Start: near.Start}}
	one.Key = t.id()
	there := t.transfer(one, stranger, customerBase, 12_345, codePayment, legMain)
	back := there
	back.ID, back.Debit, back.Credit = numberOf(t.id()), there.Credit, there.Debit
	one.move(near.Start+millisecond, there, back)
	s.Stories = append(s.Stories, &one.Story)
	s.Sort()
	x := missed(near.Start + orderWithin)
	x.Flow, x.Key = flowPayment, one.Key
	return x, true
}

func bookedWithdrawn(s *Stream, one *Story, _ *rand.Rand) Expected {
	o := one.order()
	at := max(o.Seen.Time, one.Moves[0].At)
	w := *o
	w.Again, w.Told = 0, max(o.Told, at)+100*millisecond
	w.Seen = watch.Observation{Kind: watch.Receipt, Outcome: watch.Failed, Time: at, Flow: one.Flow, Key: one.Key, ID: s.teller.id()}
	one.Words = append(one.Words, w)
	return seen(one.shown())
}
