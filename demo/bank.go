package demo

import (
	"strconv"

	"google.golang.org/protobuf/proto"

	"github.com/sterlingrun/sterling/client"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

// The bank's assets.
const (
	cny = "CNY/2"
	usd = "USD/2"
)

// Role is what an account is for: its place in the chart of accounts.
type Role uint16

// The roles. Customers' and merchants' accounts can't be overdrawn, loans can't be repaid beyond what is owed, the
// bank's own accounts balance what comes and goes.
const (
	Customer        Role = 101 // current account
	CustomerDollars Role = 102 // of every tenth customer
	Loan            Role = 111 // of every third customer: what the customer owes
	Employer        Role = 121
	Merchant        Role = 201
	MerchantDollars Role = 202
	Fees            Role = 301
	FeesDollars     Role = 302
	Interest        Role = 303
	Settlement      Role = 401 // what other banks and card schemes owe or are owed
	SettlementUSD   Role = 402
	Promotion       Role = 411 // the budget of the evening's sale
	Exchange        Role = 421 // the bank's position in yuan against dollars
	ExchangeDollars Role = 422
)

func (r Role) asset() string {
	switch r {
	case CustomerDollars, MerchantDollars, FeesDollars, SettlementUSD, ExchangeDollars:
		return usd
	default:
		return cny
	}
}

func (r Role) flags() []ledgerv1.AccountFlag {
	switch r {
	case Customer, CustomerDollars:
		return []ledgerv1.AccountFlag{ledgerv1.AccountFlag_ACCOUNT_FLAG_DEBITS_MUST_NOT_EXCEED_CREDITS, ledgerv1.AccountFlag_ACCOUNT_FLAG_HISTORY}
	case Merchant, MerchantDollars, Employer, Promotion:
		return []ledgerv1.AccountFlag{ledgerv1.AccountFlag_ACCOUNT_FLAG_DEBITS_MUST_NOT_EXCEED_CREDITS}
	case Loan:
		return []ledgerv1.AccountFlag{ledgerv1.AccountFlag_ACCOUNT_FLAG_CREDITS_MUST_NOT_EXCEED_DEBITS}
	default:
		return nil
	}
}

// bank is how many of each there are.
type bank struct{ customers, merchants, employers int }

func newBank(customers int) bank {
	return bank{customers: customers, merchants: max(5, customers/20), employers: max(2, customers/100)}
}

const (
	dollarsEvery = 10
	loanEvery    = 3
)

// AccountID is the id of the n-th account (from 0) of a role: 8800, the role, and nine digits, such as
// 8800301000000001. It is the same in every run, so that the bank's accounts are made once, and the flows can name them.
func AccountID(role Role, n int) string {
	return strconv.FormatUint(8_800_000_000_000_000+uint64(role)*1_000_000_000+uint64(n)+1, 10) //nolint:gosec // G115: n ≥ 0
}

// visit calls f with every account of the bank.
func (b bank) visit(f func(role Role, n int)) {
	for _, r := range []Role{Fees, FeesDollars, Interest, Settlement, SettlementUSD, Promotion, Exchange, ExchangeDollars} {
		f(r, 0)
	}
	for n := range b.employers {
		f(Employer, n)
	}
	for n := range b.merchants {
		f(Merchant, n)
		f(MerchantDollars, n)
	}
	for n := range b.customers {
		f(Customer, n)
		if n%dollarsEvery == 0 {
			f(CustomerDollars, n)
		}
		if n%loanEvery == 0 {
			f(Loan, n)
		}
	}
}

func (b bank) accounts() []*client.Account {
	var list []*client.Account
	b.visit(func(role Role, n int) {
		list = append(list, &client.Account{
			Id: AccountID(role, n), Asset: role.asset(), Code: uint32(role), Flags: role.flags(), UserData_128: strconv.Itoa(n + 1),
		})
	})
	return list
}

// openings are the first transfers: what everybody begins with. Their ids don't depend on the seed; a shadow has its own.
func (b bank) openings(shadow bool) []*client.Transfer {
	var list []*client.Transfer
	what := "opening at 8800"
	if shadow {
		what = "shadow " + what
	}
	pay := func(from, to Role, n int, amount int) {
		debit := 0
		if from == Loan {
			debit = n
		}
		t := &client.Transfer{
			Id: transferID(what, uint64(to)<<16|uint64(from), uint64(n)), DebitAccountId: AccountID(from, debit), CreditAccountId: AccountID(to, n), //nolint:gosec // G115: n ≥ 0
			Amount: proto.String(strconv.Itoa(amount)), Asset: from.asset(), Code: uint32(Opening),
		}
		list = append(list, t)
	}
	pay(Settlement, Promotion, 0, 50_000_000)
	for n := range b.employers {
		pay(Settlement, Employer, n, 100_000_000_00)
	}
	for n := range b.customers {
		pay(Settlement, Customer, n, 500_00+n%100*200_00)
		if n%dollarsEvery == 0 {
			pay(SettlementUSD, CustomerDollars, n, 1_000_00)
		}
		if n%loanEvery == 0 {
			pay(Loan, Customer, n, 10_000_00)
		}
	}
	return list
}
