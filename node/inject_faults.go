package node

import (
	"context"
	"time"

	"github.com/sterlingrun/sterling/demo"
	"github.com/sterlingrun/sterling/watch"
)

// Fault is a class of faults that a demonstration can be made to show.
type Fault struct {
	Class watch.Class
	What  string        // is done, for people
	After time.Duration // it is found: at once, or once a deadline has passed
	tell  func(s *story)
}

// Faults returns the faults that can be made, in the order of the list of classes.
func Faults() []Fault {
	list := faults()
	for i := range list {
		list[i].tell = nil
	}
	return list
}

// The legs of the demo bank's stories.
const (
	legMain     = 1
	legFee      = 2
	legInterest = 3
	legOther    = 4
)

const (
	orderDeadline   = 5 * time.Second
	receiptDeadline = 30 * time.Second
)

func faults() []Fault {
	var list []Fault
	for _, part := range [][]Fault{paymentFaults(), feeFaults(), cardFaults(), refundFaults(), termFaults(), witnessFaults()} {
		list = append(list, part...)
	}
	return list
}

// payment is a customer's payment to another: what was ordered, and who moves what in its place.
func payment(ordered uint64, money func(s *story, from, to party)) func(s *story) {
	return func(s *story) {
		from, to := s.pick(demo.Customer, 1_000_00), s.pick(demo.Customer, 0)
		s.order("payment", from, to, ordered, yuan)
		money(s, from, to)
	}
}

func paymentFaults() []Fault {
	return []Fault{
		{watch.DuplicatePost, "a payment of 12.34 was ordered once and booked twice", 0, payment(12_34, func(s *story, from, to party) {
			s.move(s.transfer(demo.Payment, legMain, from, to, 12_34))
			s.move(s.transfer(demo.Payment, legMain, from, to, 12_34))
		})},
		{watch.MissingPost, "a payment of 12.34 was ordered and never booked", orderDeadline, payment(12_34, func(*story, party, party) {})},
		{watch.WrongAmount, "a payment of 12.34 was ordered, and 15.34 moved", 0, payment(12_34, func(s *story, from, to party) {
			s.move(s.transfer(demo.Payment, legMain, from, to, 15_34))
		})},
		{watch.UnitError, "a payment of 1.23 was ordered, and 123.00 moved", 0, payment(1_23, func(s *story, from, to party) {
			s.move(s.transfer(demo.Payment, legMain, from, to, 123_00))
		})},
		{watch.WrongAccount, "a payment went to another customer than ordered", 0, payment(12_34, func(s *story, from, _ party) {
			s.move(s.transfer(demo.Payment, legMain, from, s.pick(demo.Customer, 0), 12_34))
		})},
		{watch.SwappedSides, "a payment was booked the wrong way round", 0, func(s *story) {
			from, to := s.pick(demo.Customer, 1_000_00), s.pick(demo.Customer, 1_000_00)
			s.order("payment", from, to, 12_34, yuan)
			s.move(s.transfer(demo.Payment, legMain, to, from, 12_34))
		}},
		{watch.WrongCurrency, "a payment of 12.34 dollars was ordered, and 12.34 yuan moved", 0, func(s *story) {
			from, to := s.pick(demo.Customer, 1_000_00), s.pick(demo.Customer, 0)
			s.order("payment", from, to, 12_34, dollars)
			s.move(s.transfer(demo.Payment, legMain, from, to, 12_34))
		}},
		{watch.UnorderedEffect, "12.34 moved that nobody had ordered", orderDeadline, func(s *story) {
			s.move(s.transfer(demo.Payment, legMain, s.pick(demo.Customer, 1_000_00), s.pick(demo.Customer, 0), 12_34))
		}},
	}
}

func feeFaults() []Fault {
	charged := func(fee uint64) func(s *story) {
		return payment(600_00, func(s *story, from, to party) {
			moved := s.transfer(demo.Payment, legMain, from, to, 600_00)
			if fee == 0 {
				s.move(moved)
				return
			}
			s.move(moved, s.transfer(demo.Payment, legFee, from, s.house(demo.Fees), fee))
		})
	}
	return []Fault{
		{watch.WrongFee, "a payment of 600.00 cost 2.00 instead of 1.00", 0, charged(2_00)},
		{watch.MissingFee, "a payment of 600.00 cost nothing instead of 1.00", 0, charged(0)},
		{watch.MissingLeg, "a customer got 10.00 dollars and was not charged the yuan", 0, func(s *story) {
			bank, to := s.house(demo.ExchangeDollars), s.pick(demo.CustomerDollars, 0)
			s.order("exchange", bank, to, 10_00, dollars)
			s.move(s.transfer(demo.Conversion, legMain, bank, to, 10_00))
		}},
		{watch.StaleRate, "10.00 dollars were sold at 7.00 instead of 7.10", 0, func(s *story) {
			bank, to, from := s.house(demo.ExchangeDollars), s.pick(demo.CustomerDollars, 0), s.pick(demo.Customer, 1_000_00)
			s.order("exchange", bank, to, 10_00, dollars).Terms = []watch.Term{{Name: "rate_ppm", Value: 7_100_000}}
			s.move(s.transfer(demo.Conversion, legOther, from, s.house(demo.Exchange), 70_00), s.transfer(demo.Conversion, legMain, bank, to, 10_00))
		}},
	}
}

// card orders and books a card payment of 20.00 with its fee of 0.12.
func (s *story) card() (customer, merchant party) {
	customer, merchant = s.pick(demo.Customer, 1_000_00), s.pick(demo.Merchant, 0)
	s.order("card-payment", customer, merchant, 20_00, yuan)
	s.move(s.transfer(demo.Card, legMain, customer, merchant, 20_00), s.transfer(demo.Card, legFee, merchant, s.house(demo.Fees), 12))
	return customer, merchant
}

func cardFaults() []Fault {
	return []Fault{
		{watch.DuplicatePayout, "a card payment of 20.00, and the card scheme paid twice", 0, func(s *story) {
			s.card()
			s.receipt("card-payment", watch.Settled, 20_00)
			s.receipt("card-payment", watch.Settled, 20_00)
		}},
		{watch.MissingReceipt, "a card payment of 20.00, and no word of the card scheme", receiptDeadline, func(s *story) { s.card() }},
		{watch.WrongChannelAmount, "a card payment of 20.00, and the card scheme paid 21.00", receiptDeadline, func(s *story) {
			s.card()
			s.receipt("card-payment", watch.Settled, 21_00)
		}},
		{watch.PostedChannelFailed, "a card payment of 20.00 was booked, and the card scheme says that it failed", receiptDeadline, func(s *story) {
			s.card()
			s.receipt("card-payment", watch.Failed, 0)
		}},
		{watch.FailedChannelPaid, "a card payment of 20.00 was never booked, and the card scheme paid it", orderDeadline, func(s *story) {
			s.order("card-payment", s.pick(demo.Customer, 0), s.pick(demo.Merchant, 0), 20_00, yuan)
			s.receipt("card-payment", watch.Settled, 20_00)
		}},
	}
}

// refund orders and books a refund of a card payment under a key of its own.
func (s *story) refund(of watch.ID, merchant, customer party, amount, fee uint64) {
	payment := s.key
	s.key = s.other()
	s.order("refund", merchant, customer, amount, yuan).OfKey = of
	s.move(s.transfer(demo.Refund, legMain, merchant, customer, amount), s.transfer(demo.Refund, legFee, s.house(demo.Fees), merchant, fee))
	s.receipt("refund", watch.Refunded, amount)
	s.key = payment
}

func refundFaults() []Fault {
	paid := func(back func(s *story, of watch.ID, merchant, customer party)) func(s *story) {
		return func(s *story) {
			customer, merchant := s.card()
			s.receipt("card-payment", watch.Settled, 20_00)
			back(s, idOf(s.key), merchant, customer)
		}
	}
	return []Fault{
		{watch.RefundDouble, "a card payment of 20.00 was paid back twice", 0, paid(func(s *story, of watch.ID, merchant, customer party) {
			s.refund(of, merchant, customer, 20_00, 12)
			s.refund(of, merchant, customer, 20_00, 12)
		})},
		{watch.RefundExcess, "of a card payment of 20.00, 25.00 were paid back", 0, paid(func(s *story, of watch.ID, merchant, customer party) {
			s.refund(of, merchant, customer, 25_00, 15)
		})},
		{watch.RefundMisdirected, "a card payment was paid back to another customer", 0, paid(func(s *story, of watch.ID, merchant, _ party) {
			s.refund(of, merchant, s.pick(demo.Customer, 0), 20_00, 12)
		})},
		{watch.RefundOrphan, "20.00 were paid back of a card payment that never was", 0, func(s *story) {
			s.refund(idOf(s.other()), s.pick(demo.Merchant, 100_00), s.pick(demo.Customer, 0), 20_00, 12)
		}},
	}
}

func termFaults() []Fault {
	lent := func(times int, terms ...watch.Term) func(s *story) {
		return func(s *story) {
			from, to := s.pick(demo.Loan, 0), s.pick(demo.Customer, 0)
			s.order("lending", from, to, 1_000_00, yuan).Terms = terms
			for range times {
				s.move(s.transfer(demo.Lending, legMain, from, to, 1_000_00))
			}
		}
	}
	repaid := func(interest uint64, terms ...watch.Term) func(s *story) {
		return func(s *story) {
			from, to := s.pick(demo.Customer, 1_000_00), s.pick(demo.Loan, 0)
			if to.owes < 100_00 {
				s.move(s.transfer(demo.Opening, legMain, to, from, 100_00)) // there has to be something to repay
			}
			s.order("instalment", from, to, 100_00, yuan).Terms = terms
			s.move(s.transfer(demo.Instalment, legMain, from, to, 100_00), s.transfer(demo.Instalment, legInterest, from, s.house(demo.Interest), interest))
		}
	}
	return []Fault{
		{watch.LoanTwice, "a loan of 1,000.00 was paid out twice", 0, lent(2)},
		{watch.ContractPrice, "a loan of 1,000.00 was paid out, and its contract is about 1,100.00", 0, lent(1, watch.Term{Name: "principal", Value: 1_100_00})},
		{watch.WrongInterest, "an instalment of 100.00 cost interest of 3.00 instead of 2.00", 0, repaid(3_00, watch.Term{Name: "interest", Value: 2_00})},
		{
			watch.DayCount, "interest was reckoned for 31 days instead of 30", 0,
			repaid(2_00, watch.Term{Name: "days", Value: 31}, watch.Term{Name: "from_day", Value: 100}, watch.Term{Name: "interest", Value: 2_00}, watch.Term{Name: "until_day", Value: 130}),
		},
		{
			watch.AllocationMismatch, "principal and interest of an instalment are not what the customer repaid", 0,
			repaid(2_00, watch.Term{Name: "interest", Value: 2_00}, watch.Term{Name: "total", Value: 103_00}),
		},
		{
			watch.ScheduleOff, "the schedule of a loan leaves 0.05 after its last instalment", 0,
			repaid(2_00, watch.Term{Name: "interest", Value: 2_00}, watch.Term{Name: "left_after_last", Value: 5}),
		},
	}
}

func witnessFaults() []Fault {
	return []Fault{
		{watch.StatementMismatch, "the other bank lists a deposit of 12.34 that the ledger does not have", orderDeadline, func(s *story) {
			s.lines = append(s.lines, s.said(watch.StatementEntry, "deposit", 12_34, yuan))
		}},
		{watch.UnknownAsset, "a payment was ordered in a currency that the ledger does not have", 0, func(s *story) {
			s.order("payment", s.pick(demo.Customer, 0), s.pick(demo.Customer, 0), 12_34, "XTS/2")
		}},
		{watch.SourceRepeat, "one order was told twice, with two amounts", 0, payment(12_34, func(s *story, from, to party) {
			again := s.orders[0]
			again.Amount.Lo++
			s.orders = append(s.orders, again)
			s.move(s.transfer(demo.Payment, legMain, from, to, 12_34))
		})},
		{watch.ClockJump, "the clock of the card scheme goes an hour ahead", 0, func(s *story) {
			ahead := s.injector.node.clock.Wall() + uint64(time.Hour)
			s.receipts = append(s.receipts, watch.Observation{Kind: watch.Heartbeat, Time: ahead, Through: ahead})
		}},
		{watch.SilentSource, "the card scheme is not heard for 15 seconds", 10 * time.Second, func(s *story) {
			s.instead = func(context.Context) error {
				s.injector.silence(demo.CardScheme, 15*time.Second)
				return nil
			}
		}},
		{watch.TamperedHistory, "a bit of one block is another one in the watch's copy; the ledger's is as it was", 0, func(s *story) {
			s.instead = func(context.Context) error {
				s.injector.mu.Lock()
				defer s.injector.mu.Unlock()
				s.injector.bend = true
				return nil
			}
		}},
	}
}
