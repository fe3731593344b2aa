package faults

import (
	"math/rand/v2"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/watch"
)

// Faults between the books and a channel or a bank.
func channelFaults() []Injector {
	return []Injector{
		atStory(watch.DuplicatePayout, "the channel pays twice", captured, saidTwice),
		atStory(watch.DuplicatePayout, "the bank pays out twice", ofFlow(flowPayout), saidTwice),
		atStory(watch.MissingReceipt, "the channel says nothing", captured, unsaid),
		atStory(watch.MissingReceipt, "the statement lacks the line", ofFlow(flowDeposit, flowPayout), unsaid),
		atStory(watch.WrongChannelAmount, "the channel paid another amount", captured, bendWord(func(o *watch.Observation, r *rand.Rand) {
			o.Amount.Lo += 1 + r.Uint64N(100)
		})),
		atStory(watch.WrongChannelAmount, "the channel paid in dollars", captured, bendWord(func(o *watch.Observation, _ *rand.Rand) { o.Asset = usdName })),
		atStory(watch.PostedChannelFailed, "captured, and the channel failed", captured, channelFailed),
		atStory(watch.FailedChannelPaid, "released, and the channel paid", voided, paidVoided),
		atStory(watch.FailedChannelPaid, "never booked, and the channel paid", captured, paidOnly),
		atStory(watch.FailedChannelPaid, "the channel paid what nobody ordered", captured, paidUnknown),
		atStory(watch.StatementMismatch, "a deposit's line has another amount", ofFlow(flowDeposit), bendWord(func(o *watch.Observation, r *rand.Rand) {
			o.Amount.Lo += 1 + r.Uint64N(100)
		})),
		atStory(watch.StatementMismatch, "a deposit's line stands there twice", ofFlow(flowDeposit), saidTwice),
		atStory(watch.StatementMismatch, "a line that nothing in the books explains", ofFlow(flowDeposit), paidUnknown),
	}
}

func saidTwice(s *Stream, one *Story, r *rand.Rand) Expected {
	w := *one.witness()
	w.Seen.ID, w.Again = s.teller.id(), 0
	w.Seen.Time += r.Uint64N(second)
	w.Told = max(w.Told, w.Seen.Time)
	one.Words = append(one.Words, w)
	return seen(one.shown())
}

func unsaid(_ *Stream, one *Story, _ *rand.Rand) Expected {
	one.drop(func(w *Word) bool { return w.Seen.Kind != watch.Instruction })
	return missed(one.Moves[len(one.Moves)-1].At + blockTakes + receiptWithin)
}

func bendWord(bend func(*watch.Observation, *rand.Rand)) func(*Stream, *Story, *rand.Rand) Expected {
	return func(_ *Stream, one *Story, r *rand.Rand) Expected {
		bend(&one.witness().Seen, r)
		return seen(one.shown())
	}
}

func channelFailed(_ *Stream, one *Story, _ *rand.Rand) Expected {
	w := one.witness()
	w.Seen.Outcome = watch.Failed
	return missed(max(one.Moves[1].At+blockTakes, w.Seen.Time) + receiptWithin)
}

func paidVoided(s *Stream, one *Story, _ *rand.Rand) Expected {
	o := one.order()
	at := one.Moves[1].At + 50*millisecond
	one.Words = append(one.Words, Word{Source: CardScheme, Told: at + 20*millisecond, Seen: watch.Observation{
		Kind: watch.Receipt, Outcome: watch.Settled, Time: at, Flow: one.Flow, Key: one.Key, ID: s.teller.id(), Amount: o.Seen.Amount, Asset: cnyName,
	}})
	return missed(at + blockTakes + receiptWithin)
}

func paidOnly(_ *Stream, one *Story, _ *rand.Rand) Expected {
	one.Moves = nil
	w := one.witness()
	w.Seen.Time = one.order().Seen.Time + 100*millisecond
	w.Told, w.Again = w.Seen.Time+10*millisecond, 0
	return missed(one.order().Seen.Time + orderWithin)
}

func paidUnknown(_ *Stream, one *Story, _ *rand.Rand) Expected {
	one.Moves = nil
	one.drop(func(w *Word) bool { return w.Seen.Kind == watch.Instruction })
	return missed(one.witness().Seen.Time + orderWithin)
}

// Faults of refunds.
func refundFaults() []Injector {
	return []Injector{
		refundFault(watch.RefundDouble, "refunded twice", func(p *payment) uint64 { return p.left }, func(s *Stream, p *payment, first *Story) *Story {
			return s.refund(p, first.Start+4*second, p.left)
		}),
		refundFault(watch.RefundExcess, "refunds that exceed the payment", func(p *payment) uint64 { return p.left - 1 }, func(s *Stream, p *payment, first *Story) *Story {
			return s.refund(p, first.Start+4*second, 2)
		}),
		refundFault(watch.RefundExcess, "a refund larger than the payment", func(p *payment) uint64 { return p.left + 3 }, nil),
		refundFault(watch.RefundMisdirected, "refunded to a stranger", func(p *payment) uint64 { return p.left }, func(s *Stream, _ *payment, first *Story) *Story {
			t := first.leg(legMain)
			t.Credit = s.otherThan(t)
			return first
		}),
		refundFault(watch.RefundMisdirected, "ordered and refunded to a stranger", func(p *payment) uint64 { return p.left }, func(s *Stream, _ *payment, first *Story) *Story {
			t := first.leg(legMain)
			t.Credit = s.otherThan(t)
			first.order().Seen.Credit = idOf(t.Credit)
			return first
		}),
		refundFault(watch.RefundOrphan, "refunded a payment that nobody made", func(p *payment) uint64 { return p.left }, func(s *Stream, _ *payment, first *Story) *Story {
			first.order().Seen.OfKey = s.teller.id()
			return first
		}),
		injector{watch.RefundOrphan, "refunded a payment that was released", orphanOfVoided},
		injector{watch.ChargebackAfterRefund, "refunded, and charged back as well", chargedBack},
	}
}

// paymentOf is a captured card payment as the teller remembers it.
func paymentOf(one *Story) *payment {
	hold := one.Moves[0].Transfers()[0]
	return &payment{
		key: one.Key, customer: hold.Debit.Lo, merchant: hold.Credit.Lo, left: hold.Amount.Lo, done: one.Moves[len(one.Moves)-1].At + second,
	}
}

// refund adds a refund of a payment to the stream.
func (s *Stream) refund(p *payment, at, amount uint64) *Story {
	one := &s.teller.refundOf(p, at, amount).Story
	for i := range one.Words {
		one.Words[i].Again = 0
	}
	s.Stories = append(s.Stories, one)
	s.Sort()
	return one
}

// refundFault refunds a payment, and bends the refund or adds another one. The key that has to be found is that of the
// refund which bend returns.
func refundFault(class watch.Class, name string, amount func(*payment) uint64, bend func(s *Stream, p *payment, first *Story) *Story) Injector {
	return injector{class, name, func(s *Stream, r *rand.Rand) (Expected, bool) {
		of := s.Pick(r, func(one *Story) bool {
			return captured(one) && one.order().Seen.Amount.Lo > 1_000 && !s.refunded(one.Key)
		})
		if of == nil {
			return Expected{}, false
		}
		p := paymentOf(of)
		bad := s.refund(p, p.done, amount(p))
		if bend != nil {
			bad = bend(s, p, bad)
		}
		x := seen(max(bad.shown(), of.shown()))
		x.Flow, x.Key = flowRefund, bad.Key
		return x, true
	}}
}

func orphanOfVoided(s *Stream, r *rand.Rand) (Expected, bool) {
	of := s.Pick(r, voided)
	if of == nil {
		return Expected{}, false
	}
	p := paymentOf(of)
	bad := s.refund(p, p.done, p.left)
	x := seen(max(bad.shown(), of.shown()))
	x.Flow, x.Key = flowRefund, bad.Key
	return x, true
}

func chargedBack(s *Stream, r *rand.Rand) (Expected, bool) {
	of := s.Pick(r, func(one *Story) bool { return captured(one) && !s.refunded(one.Key) })
	if of == nil {
		return Expected{}, false
	}
	p := paymentOf(of)
	back := s.refund(p, p.done, p.left)
	at := back.shown()
	of.Words = append(of.Words, Word{Source: CardScheme, Told: at + 50*millisecond, Seen: watch.Observation{
		Kind: watch.Receipt, Outcome: watch.ChargedBack, Time: at, Flow: of.Flow, Key: of.Key, ID: s.teller.id(), Amount: amountOf(p.left), Asset: cnyName,
	}})
	x := seen(max(of.shown(), back.shown()))
	x.Flow, x.Key = flowCard, of.Key
	return x, true
}

// Faults of computed terms.
func termFaults() []Injector {
	instalment := ofFlow(flowInstalment)
	termed := func(s *Story) bool { return instalment(s) && len(s.order().Seen.Terms) > 0 }
	return []Injector{
		atStory(watch.StaleRate, "yesterday's rate", ofFlow(flowExchange), bendLeg(legFee, func(_ *Stream, t *journal.Transfer, _ *rand.Rand) {
			t.Amount.Lo = t.Amount.Lo * 99 / 100
		})),
		atStory(watch.WrongInterest, "interest off by one", instalment, bendLeg(legInterest, func(_ *Stream, t *journal.Transfer, _ *rand.Rand) { t.Amount.Lo++ })),
		atStory(watch.WrongInterest, "interest of another rate, ordered and booked", termed, func(_ *Stream, one *Story, _ *rand.Rand) Expected {
			interest := one.leg(legInterest)
			interest.Amount.Lo += 7
			one.term("interest", func(v int64) int64 { return v + 7 })
			one.term("total", func(v int64) int64 { return v + 7 })
			return seen(one.shown())
		}),
		bendTerm(watch.DayCount, "interest for a day too many", termed, "until_day", func(v int64) int64 { return v - 1 }),
		bendTerm(watch.ContractPrice, "another price than the contract's", ofFlow(flowLending), "principal", func(v int64) int64 { return v - 1 }),
		atStory(watch.LoanTwice, "paid out twice", ofFlow(flowLending), bookedAgain),
		bendTerm(watch.ScheduleOff, "a schedule that does not end at zero", termed, "left_after_last", func(int64) int64 { return 17 }),
		bendTerm(watch.AllocationMismatch, "parts that are not the whole", termed, "total", func(v int64) int64 { return v + 1 }),
		atStory(watch.RuleFailed, "a term is missing that a rule needs", termed, func(_ *Stream, one *Story, _ *rand.Rand) Expected {
			o := &one.order().Seen
			var kept []watch.Term
			for _, term := range o.Terms {
				if term.Name != "balance" {
					kept = append(kept, term)
				}
			}
			o.Terms = kept
			return seen(one.shown())
		}),
	}
}

// term changes a term of the order.
func (s *Story) term(name string, change func(int64) int64) {
	terms := s.order().Seen.Terms
	for i := range terms {
		if terms[i].Name == name {
			terms[i].Value = change(terms[i].Value)
		}
	}
}

func bendTerm(class watch.Class, name string, fits func(*Story) bool, term string, change func(int64) int64) Injector {
	return atStory(class, name, fits, func(_ *Stream, one *Story, _ *rand.Rand) Expected {
		one.term(term, change)
		return seen(one.shown())
	})
}
