package faults

import (
	"maps"
	"math/rand/v2"
	"slices"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/money"
	"github.com/sterlingrun/sterling/watch"
)

// A tale makes a story of one kind that starts at a moment.
type tale struct {
	weight int
	tell   func(t *teller, at uint64) *draft
}

// tales is what the bank's day is made of.
func tales() []tale {
	return []tale{
		{36, (*teller).card},
		{20, (*teller).payment},
		{6, (*teller).deposit},
		{5, (*teller).payout},
		{7, (*teller).refund},
		{3, (*teller).salaries},
		{7, (*teller).instalment},
		{2, (*teller).lending},
		{4, (*teller).promotion},
		{4, (*teller).exchange},
		{4, (*teller).charge},
		{2, (*teller).withdrawn},
	}
}

// cardFee is a merchant's fee for an amount.
func cardFee(amount uint64) uint64 { return max(1, amount*6/1000) }

// card is a payment by card: reserved, then captured whole or in parts, released, left to expire, or declined.
func (t *teller) card(at uint64) *draft {
	d := t.begin(flowCard, at)
	customer, merchant, amount := t.size.customer(t.r), t.size.merchant(t.r), t.between(100, 200_000)
	t.order(d, customer, merchant, amount, cnyName)
	kind := t.r.IntN(100)
	if kind < 4 { // declined: nothing moves
		t.say(d, CardScheme, d.ordered+t.between(20*millisecond, 2*second), watch.Observation{Kind: watch.Receipt, Outcome: watch.Failed, Amount: amountOf(amount), Asset: cnyName})
		return d
	}
	hold := t.transfer(d, customer, merchant, amount, codeCard, legMain)
	hold.Flags, hold.Timeout = journal.TransferPending, 1_800
	if kind < 8 {
		hold.Timeout = uint32(t.between(1, 20)) //nolint:gosec // G115: small
		d.move(d.booked, hold)
		return d
	}
	d.move(d.booked, hold)
	end := d.booked + t.between(30*millisecond, 5*second)
	switch {
	case kind < 14:
		d.move(end, journal.Transfer{ID: numberOf(t.id()), PendingID: hold.ID, Flags: journal.TransferVoid})
	case kind < 26:
		first := t.between(1, amount-1)
		t.capture(d, &hold, end, first, 0, journal.TransferKeepRemainder)
		later := end + t.between(100*millisecond, 10*second)
		rest := amount - first
		if kind < 18 { // not all of it ships
			rest = t.between(1, rest)
		}
		t.capture(d, &hold, later, rest, first, 0)
		t.remember(d, customer, merchant, first+rest, later)
	default:
		t.capture(d, &hold, end, amount, 0, 0)
		t.remember(d, customer, merchant, amount, end)
	}
	return d
}

// hold is a card payment that stays reserved.
func (t *teller) hold(at uint64) *draft {
	d := t.begin(flowCard, at)
	customer, merchant, amount := t.size.customer(t.r), t.size.merchant(t.r), t.between(100, 200_000)
	t.order(d, customer, merchant, amount, cnyName)
	hold := t.transfer(d, customer, merchant, amount, codeCard, legMain)
	hold.Flags, hold.Timeout = journal.TransferPending, 1_800
	d.move(d.booked, hold)
	return d
}

// capture moves a part of what is reserved, with the fee for it, and has the channel say so.
func (t *teller) capture(d *draft, hold *journal.Transfer, at, amount, before uint64, flags journal.TransferFlags) {
	post := journal.Transfer{ID: numberOf(t.id()), PendingID: hold.ID, Amount: money.From(amount), Flags: journal.TransferPost | flags}
	fee := cardFee(before + amount)
	if before != 0 {
		fee -= cardFee(before)
	}
	legs := []journal.Transfer{post}
	if fee != 0 {
		leg := t.transfer(d, 0, feeIncome, fee, codeCard, legFee)
		leg.Debit = hold.Credit
		legs = append(legs, leg)
	}
	d.move(at, legs...)
	t.settled(d, at, amount, watch.Settled)
}

func (t *teller) remember(d *draft, customer, merchant, amount, at uint64) {
	p := payment{key: d.Key, customer: customer, merchant: merchant, left: amount, done: at + second}
	if len(t.paid) < maxPaid {
		t.paid = append(t.paid, p)
		return
	}
	t.paid[t.next] = p
	t.next = (t.next + 1) % maxPaid
}

// refund pays a card payment back, whole or in part. Where there is none yet, somebody pays by card instead.
func (t *teller) refund(at uint64) *draft {
	for range 8 {
		if len(t.paid) == 0 {
			break
		}
		p := &t.paid[t.r.IntN(len(t.paid))]
		if p.left == 0 || p.done > at {
			continue
		}
		amount := p.left
		if t.oneIn(2) {
			amount = t.between(1, p.left)
		}
		p.left -= amount
		return t.refundOf(p, at, amount)
	}
	return t.card(at)
}

func (t *teller) refundOf(p *payment, at, amount uint64) *draft {
	d := t.begin(flowRefund, at)
	t.order(d, p.merchant, p.customer, amount, cnyName).Seen.OfKey = p.key
	d.move(d.booked,
		t.transfer(d, p.merchant, p.customer, amount, codeRefund, legMain),
		t.transfer(d, feeIncome, p.merchant, cardFee(amount), codeRefund, legFee))
	t.settled(d, d.booked, amount, watch.Refunded)
	return d
}

// payment is one customer's to another one.
func (t *teller) payment(at uint64) *draft {
	d := t.begin(flowPayment, at)
	from, to, amount := t.size.customer(t.r), t.size.customer(t.r), t.between(100, 100_000)
	if from == to {
		to = stranger
	}
	t.order(d, from, to, amount, cnyName)
	legs := []journal.Transfer{t.transfer(d, from, to, amount, codePayment, legMain)}
	if amount > 50_000 {
		legs = append(legs, t.transfer(d, from, feeIncome, 100, codePayment, legFee))
	}
	d.move(d.booked, legs...)
	return d
}

// withdrawn is an order that its source takes back before the money moves.
func (t *teller) withdrawn(at uint64) *draft {
	d := t.begin(flowPayment, at)
	d.ordered = at
	o := t.order(d, t.size.customer(t.r), stranger, t.between(100, 50_000), cnyName)
	o.Told = at + t.upTo(500*millisecond)
	w := t.say(d, Orders, at+t.between(millisecond, second), watch.Observation{Kind: watch.Receipt, Outcome: watch.Failed})
	w.Told = max(w.Seen.Time, d.Words[0].Told) + t.upTo(500*millisecond)
	return d
}

func (t *teller) deposit(at uint64) *draft {
	d := t.begin(flowDeposit, at)
	to, amount := t.size.customer(t.r), t.between(1_000, 1_000_000)
	t.order(d, clearing, to, amount, cnyName)
	d.move(d.booked, t.transfer(d, clearing, to, amount, codeDeposit, legMain))
	t.line(d, d.booked, amount, false)
	return d
}

func (t *teller) payout(at uint64) *draft {
	d := t.begin(flowPayout, at)
	from, amount := t.size.merchant(t.r), t.between(1_000, 1_000_000)
	t.order(d, from, clearing, amount, cnyName)
	leg := t.transfer(d, from, clearing, amount, codePayout, legMain)
	leg.Flags = journal.TransferBalancingDebit
	d.move(d.booked, leg)
	t.line(d, d.booked, amount, true)
	return d
}

// salaries are several lines in one request, each with a key of its own. The story's key is the first one's.
func (t *teller) salaries(at uint64) *draft {
	d := t.begin(flowSalary, at)
	first, text, from := d.Key, d.text, t.size.merchant(t.r)
	var legs []journal.Transfer
	for i := range 2 + t.r.IntN(10) {
		if i > 0 {
			d.Key, d.text = t.key()
		}
		to, amount := t.size.customer(t.r), t.between(100_000, 3_000_000)
		t.order(d, from, to, amount, cnyName)
		legs = append(legs, t.transfer(d, from, to, amount, codeSalary, legMain))
	}
	d.move(d.booked, legs...)
	d.Key, d.text = first, text
	return d
}

// instalment repays a part of a loan with its interest. Some orders say how they are made up.
func (t *teller) instalment(at uint64) *draft {
	d := t.begin(flowInstalment, at)
	from, amount := t.size.customer(t.r), t.between(1_000, 500_000)
	interest := amount / 50
	var terms []watch.Term
	if t.oneIn(2) {
		balance, rate, days := amount*t.between(2, 20), t.between(30_000_000, 240_000_000), t.between(28, 31)
		day := t.between(20_000, 21_000)
		interest = balance * rate * days / 365 / 1_000_000_000
		terms = termsOf(map[string]uint64{
			"balance": balance, "rate_ppb": rate, "days": days, "from_day": day, "until_day": day + days, "interest": interest,
			"total": amount + interest, "left_after_last": 0,
		})
	}
	t.order(d, from, loans, amount, cnyName, terms...)
	d.move(d.booked, t.transfer(d, from, loans, amount, codeInstalment, legMain), t.transfer(d, from, interestIn, interest, codeInstalment, legInterest))
	return d
}

// termsOf makes terms, ascending by name.
func termsOf(values map[string]uint64) (list []watch.Term) {
	for _, name := range slices.Sorted(maps.Keys(values)) {
		list = append(list, watch.Term{Name: name, Value: int64(values[name])}) //nolint:gosec // G115: small
	}
	return list
}

func (t *teller) lending(at uint64) *draft {
	d := t.begin(flowLending, at)
	to, amount := t.size.customer(t.r), t.between(100_000, 5_000_000)
	t.order(d, loans, to, amount, cnyName, watch.Term{Name: "principal", Value: int64(amount)}) //nolint:gosec // G115: small
	d.move(d.booked, t.transfer(d, loans, to, amount, codeLending, legMain))
	return d
}

func (t *teller) promotion(at uint64) *draft {
	d := t.begin(flowPromotion, at)
	to, amount := t.size.customer(t.r), t.between(1, 2_000)
	t.order(d, budget, to, amount, cnyName)
	leg := t.transfer(d, budget, to, amount, codePromotion, legMain)
	leg.Flags = journal.TransferBalancingDebit
	d.move(d.booked, leg)
	return d
}

// rate is what a dollar costs, in millionths of yuan.
const rate = 7_100_000

func (t *teller) exchange(at uint64) *draft {
	d := t.begin(flowExchange, at)
	i := t.r.IntN(t.size.Customers)
	from, to, bought := customerBase+uint64(i), dollarBase+uint64(i), t.between(100, 50_000) //nolint:gosec // G115: ≥ 0
	t.order(d, exchangeUSD, to, bought, usdName, watch.Term{Name: "rate_ppm", Value: rate})
	leg := t.transfer(d, exchangeUSD, to, bought, codeExchange, legMain)
	leg.Asset = usd
	d.move(d.booked, leg, t.transfer(d, from, exchangeCNY, bought*rate/1_000_000, codeExchange, legFee))
	return d
}

func (t *teller) charge(at uint64) *draft {
	d := t.begin(flowFee, at)
	from, amount := t.size.customer(t.r), t.between(100, 5_000)
	t.order(d, from, feeIncome, amount, cnyName)
	d.move(d.booked, t.transfer(d, from, feeIncome, amount, codeFee, legMain))
	return d
}

// story makes the next story.
func (t *teller) story(list []tale, at uint64) *Story {
	sum := 0
	for i := range list {
		sum += list[i].weight
	}
	n := t.r.IntN(sum)
	for i := range list {
		if n -= list[i].weight; n < 0 {
			return &list[i].tell(t, at).Story
		}
	}
	return nil
}

func newRand(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 0x9e3779b97f4a7c15)) } //nolint:gosec // G404: it must repeat
