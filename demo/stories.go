package demo

import (
	"math"
	"math/rand/v2"
	"strconv"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/sterlingrun/sterling/client"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
	watchv1 "github.com/sterlingrun/sterling/proto/gen/sterling/watch/v1"
)

// The flags by short names.
const (
	linked        = ledgerv1.TransferFlag_TRANSFER_FLAG_LINKED
	pending       = ledgerv1.TransferFlag_TRANSFER_FLAG_PENDING
	post          = ledgerv1.TransferFlag_TRANSFER_FLAG_POST_PENDING_TRANSFER
	void          = ledgerv1.TransferFlag_TRANSFER_FLAG_VOID_PENDING_TRANSFER
	keepRemainder = ledgerv1.TransferFlag_TRANSFER_FLAG_KEEP_REMAINDER
	atMostDebit   = ledgerv1.TransferFlag_TRANSFER_FLAG_BALANCING_DEBIT
	atMostCredit  = ledgerv1.TransferFlag_TRANSFER_FLAG_BALANCING_CREDIT
)

// teller tells one story.
type teller struct {
	plan   *Plan
	random *rand.Rand
	story  uint64
	at     time.Duration // when it begins
	tick   time.Duration // the time between two steps, about; 43 s of the bank's day
	steps  []*Step
	ids    uint64
}

// tell chooses what happens at a time of day.
func (t *teller) tell(at time.Duration) {
	hour := at.Hours()
	during := func(from, until, weight float64) float64 {
		if hour >= from && hour < until {
			return weight
		}
		return 0
	}
	choices := []struct {
		weight float64
		tell   func()
	}{
		{50, t.card},
		{12, t.deposit},
		{15, t.payment},
		{4, t.exchange},
		{0.5 + during(9, 10.5, 6), t.salary},
		{2 + during(5, 8, 30), t.instalment},
		{0.5 + during(10, 16, 1), t.lend},
		{during(20, 22, 40), t.cashBack},
		{0.5 + during(22.5, 24, 20), t.payout},
	}
	var sum float64
	for _, c := range choices {
		sum += c.weight
	}
	x := t.random.Float64() * sum
	for _, c := range choices {
		if x -= c.weight; x < 0 {
			c.tell()
			return
		}
	}
	t.card()
}

func (t *teller) id() string {
	t.ids++
	return transferID(strconv.FormatUint(t.plan.seed, 10), t.story, t.ids)
}

// key is what the movements of a story, its order and its receipts have in common; n tells the keys of one story apart.
func (t *teller) key(n uint64) string {
	return transferID("story "+strconv.FormatUint(t.plan.seed, 10), t.story, n)
}

// The legs of a story: which part of it a transfer is, as the flows have it.
const (
	principal = 1 + iota
	charge
	interest
	counterpart // the other side of an exchange
)

// as says which leg a transfer is; those of which nothing is said are the principal.
func as(leg uint32, one *client.Transfer) *client.Transfer {
	one.UserData_32 = leg
	return one
}

// step adds a call some ticks after the beginning. All but the last transfer are linked to the next. They have the
// story's key unless they have one already.
func (t *teller) step(kind Kind, ticks float64, transfers ...*client.Transfer) *Step {
	for i, one := range transfers {
		one.Code = uint32(kind)
		if one.PendingId != "" {
			one.Code = 0 // that of the reservation
		}
		if one.UserData_128 == "" {
			one.UserData_128 = t.key(0)
		}
		if one.UserData_32 == 0 {
			one.UserData_32 = principal
		}
		if i < len(transfers)-1 {
			one.Flags = append(one.Flags, linked)
		}
	}
	s := &Step{Story: t.story, Kind: kind, Due: t.at + time.Duration(ticks*float64(t.tick)), Transfers: transfers}
	t.steps = append(t.steps, s)
	return s
}

// move is a transfer of amount minor units between the n-th accounts of roles.
func (t *teller) move(from Role, debit int, to Role, credit, amount int, flags ...ledgerv1.TransferFlag) *client.Transfer {
	return &client.Transfer{
		Id: t.id(), DebitAccountId: AccountID(from, debit), CreditAccountId: AccountID(to, credit),
		Amount: proto.String(strconv.Itoa(amount)), Asset: from.asset(), Flags: flags,
	}
}

// settle posts or voids a reservation; amount < 0 leaves it out, which means all of it.
func (t *teller) settle(reserved *client.Transfer, amount int, flags ...ledgerv1.TransferFlag) *client.Transfer {
	s := &client.Transfer{Id: t.id(), PendingId: reserved.GetId(), Flags: flags}
	if amount >= 0 {
		s.Amount = proto.String(strconv.Itoa(amount))
	}
	return s
}

// amount is between from and until, and more often small than large.
func (t *teller) amount(from, until float64) int {
	return int(from * math.Pow(until/from, t.random.Float64()))
}

func (t *teller) customer() int { return t.random.IntN(t.plan.bank.customers) }

func (t *teller) merchant() int { return t.random.IntN(t.plan.bank.merchants) }

// every returns a customer whose number can be divided by n.
func (t *teller) every(n int) int { return t.customer() / n * n }

func fee(amount int) int { return max(1, amount*6/1000) }

const (
	patience = 3600 // seconds that a reservation holds
	brief    = 3    // where the demo shows one that expires
)

// card is a payment by card: reserved at once, settled later. The fee moves with the money or not at all.
func (t *teller) card() {
	customer, merchant, amount := t.customer(), t.merchant(), t.amount(500, 500_00)
	from, to, income := Customer, Merchant, Fees
	if customer%dollarsEvery == 0 && t.random.IntN(3) == 0 {
		from, to, income = CustomerDollars, MerchantDollars, FeesDollars
		amount = amount/10 + 1
	}
	reserved := t.move(from, customer, to, merchant, amount, pending)
	reserved.Timeout = patience
	t.step(Card, 0, reserved).order(reserved)
	capture := func(ticks float64, before, after int, flags ...ledgerv1.TransferFlag) {
		posted := t.settle(reserved, after-before, flags...)
		transfers := []*client.Transfer{posted}
		if due := fee(after); before == 0 {
			transfers = append(transfers, as(charge, t.move(to, merchant, income, 0, due)))
		} else if due -= fee(before); due > 0 {
			transfers = append(transfers, as(charge, t.move(to, merchant, income, 0, due)))
		}
		t.step(Card, ticks, transfers...).settled(t, reserved, posted.GetId(), after-before, watchv1.Outcome_OUTCOME_SETTLED)
	}
	captured := 0
	switch x := t.random.IntN(100); {
	case x < 80:
		capture(2, 0, amount, post)
		captured = amount
	case x < 90: // goods that ship in two parcels
		first := amount/3 + 1
		capture(2, 0, first, post, keepRemainder)
		capture(8, first, amount, post)
		captured = amount
	case x < 97:
		released := t.settle(reserved, -1, void)
		t.step(Card, 3, released).settled(t, reserved, released.GetId(), 0, watchv1.Outcome_OUTCOME_FAILED)
	default: // nobody comes for it: it expires
		reserved.Timeout = brief
	}
	if captured > 0 && t.random.IntN(100) < 6 {
		back, charged := t.move(to, merchant, from, customer, captured), as(charge, t.move(income, 0, to, merchant, fee(captured)))
		back.UserData_128, charged.UserData_128 = t.key(1), t.key(1)
		s := t.step(Refund, 20, back, charged).order(back)
		s.Orders[0].OfKey = t.key(0)
		s.settled(t, back, back.GetId(), captured, watchv1.Outcome_OUTCOME_REFUNDED)
	}
}

func (t *teller) deposit() {
	in := t.move(Settlement, 0, Customer, t.customer(), t.amount(100_00, 3_000_00))
	t.step(Deposit, 0, in).order(in).booked(t, in, "")
}

// payment is from one customer to another; large ones cost a fee.
func (t *teller) payment() {
	from, amount := t.customer(), t.amount(10_00, 2_000_00)
	to := (from + 1 + t.random.IntN(max(1, t.plan.bank.customers-1))) % t.plan.bank.customers
	transfers := []*client.Transfer{t.move(Customer, from, Customer, to, amount)}
	if amount > 500_00 {
		transfers = append(transfers, as(charge, t.move(Customer, from, Fees, 0, 1_00)))
	}
	t.step(Payment, 0, transfers...).order(transfers[0])
}

// salary pays some employees of one employer: all or none. Each line is an order of its own.
func (t *teller) salary() {
	b := t.plan.bank
	employer := t.random.IntN(b.employers)
	var transfers []*client.Transfer
	first := t.customer()
	for i := range min(5+t.random.IntN(16), b.customers) {
		line := t.move(Employer, employer, Customer, (first+i)%b.customers, t.amount(4_000_00, 30_000_00)/100*100)
		line.UserData_128 = t.key(uint64(i) + 1)
		transfers = append(transfers, line)
	}
	t.step(Salary, 0, transfers...).order(transfers...)
}

// instalment repays a loan, at most what is still owed, and the interest with it.
func (t *teller) instalment() {
	debtor, part := t.every(loanEvery), 200_00+t.random.IntN(10)*50_00
	repaid := t.move(Customer, debtor, Loan, debtor, part, atMostCredit)
	s := t.step(Instalment, 0, repaid, as(interest, t.move(Customer, debtor, Interest, 0, part/50))).order(repaid)
	s.Orders[0].Terms = map[string]int64{"interest": int64(part / 50)}
}

func (t *teller) lend() {
	debtor := t.every(loanEvery)
	loan := t.move(Loan, debtor, Customer, debtor, t.amount(1_000_00, 10_000_00))
	s := t.step(Lending, 0, loan).order(loan)
	if amount, err := strconv.ParseInt(loan.GetAmount(), 10, 64); err == nil {
		s.Orders[0].Terms = map[string]int64{"principal": amount}
	}
}

// cashBack is given as long as the budget lasts; now and then it is filled up.
func (t *teller) cashBack() {
	gift := t.move(Settlement, 0, Promotion, 0, 20_000_00)
	if t.random.IntN(50) != 0 {
		gift = t.move(Promotion, 0, Customer, t.customer(), 1_00+t.random.IntN(20)*1_00, atMostDebit)
	}
	t.step(CashBack, 0, gift).order(gift)
}

// yuanForDollars is the bank's rate, in millionths.
const yuanForDollars = 7_100_000

// exchange sells dollars for yuan: both sides or none. What is ordered are the dollars.
func (t *teller) exchange() {
	customer, cents := t.every(dollarsEvery), t.amount(10_00, 300_00)
	paid := as(counterpart, t.move(Customer, customer, Exchange, 0, cents*(yuanForDollars/100_000)/10))
	got := t.move(ExchangeDollars, 0, CustomerDollars, customer, cents)
	s := t.step(Conversion, 0, paid, got).order(got)
	s.Orders[0].Terms = map[string]int64{"rate_ppm": yuanForDollars}
}

// payout sends a merchant what there is, up to a bound.
func (t *teller) payout() {
	out := t.move(Merchant, t.merchant(), Settlement, 0, 100_000_00, atMostDebit)
	t.step(Payout, 0, out).order(out).booked(t, out, "-")
}
