package ledger_test

import (
	"testing"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/money"
)

// ofRepeats are differences between a transfer and the one that has its id already.
func ofRepeats(less bool) []fault {
	return []fault{
		{journal.TransferExistsWithDifferentFlags, "", func(x *journal.Transfer) { x.Flags |= journal.TransferFence | journal.TransferClosingDebit }, nil},
		{journal.TransferExistsWithDifferentPendingId, "", func(x *journal.Transfer) { x.PendingID = money.From(9) }, nil},
		{journal.TransferExistsWithDifferentTimeout, "", func(x *journal.Transfer) { x.Timeout = 9 }, nil},
		{journal.TransferExistsWithDifferentDebitAccountId, "", func(x *journal.Transfer) { x.Debit = money.From(9) }, nil},
		{journal.TransferExistsWithDifferentCreditAccountId, "", func(x *journal.Transfer) { x.Credit = money.From(9) }, nil},
		{journal.TransferExistsWithDifferentAmount, "", func(x *journal.Transfer) {
			x.Amount = money.From(11)
			if less {
				x.Amount = money.From(1)
			}
		}, nil},
		{journal.TransferExistsWithDifferentUserData128, "", func(x *journal.Transfer) { x.UserData128 = money.From(9) }, nil},
		{journal.TransferExistsWithDifferentUserData64, "", func(x *journal.Transfer) { x.UserData64 = 9 }, nil},
		{journal.TransferExistsWithDifferentUserData32, "", func(x *journal.Transfer) { x.UserData32 = 9 }, nil},
		{journal.TransferExistsWithDifferentLedger, "", func(x *journal.Transfer) { x.Asset = 9 }, nil},
		{journal.TransferExistsWithDifferentCode, "", func(x *journal.Transfer) { x.Code = 9 }, nil},
	}
}

// TestPrecedenceOfRepeats sends each kind of transfer twice, the second time with all pairs of differences: while its
// record is in memory, after that, and after a restart.
func TestPrecedenceOfRepeats(t *testing.T) {
	data := func(x journal.Transfer) journal.Transfer {
		x.UserData128, x.UserData64, x.UserData32 = money.From(1), 2, 3
		return x
	}
	pending := data(plainTransfer())
	pending.Flags, pending.Timeout = journal.TransferPending, 100
	balancing := data(plainTransfer())
	balancing.Flags = journal.TransferBalancingCredit
	post := data(journal.Transfer{ID: money.From(100), PendingID: money.From(200), Flags: journal.TransferPost, Amount: money.Max()})
	part := post
	part.Flags, part.Amount = post.Flags|journal.TransferKeepRemainder, money.From(7)
	void := journal.Transfer{ID: money.From(100), PendingID: money.From(200), Flags: journal.TransferVoid}
	for _, kind := range []struct {
		name string
		was  journal.Transfer
		less bool // only less than what was moved is another amount
	}{
		{"plain", data(plainTransfer()), false},
		{"pending", pending, false},
		{"balancing", balancing, true},
		{"post", post, false},
		{"part", part, false},
		{"void", void, false},
	} {
		for _, memory := range []string{"open block", "sealed block", "released block"} {
			t.Run(kind.name+"/"+memory, func(t *testing.T) {
				checkRepeats(t, kind.was, memory, ofRepeats(kind.less))
			})
		}
	}
}

func checkRepeats(t *testing.T, was journal.Transfer, memory string, faults []fault) {
	w := newWorld()
	w.clock = requestClock
	reserve(w)
	w.move(1, 2, money.From(15), 0) // room for what balances account 2: debits 15, credits pending 10
	r := w.build(t)
	first := r.apply(journal.KindTransfers, journal.Actor{}, journal.Bytes([]journal.Transfer{was}))
	mustCreate(t, first)
	if memory != "open block" {
		r.seal()
	}
	if memory == "released block" {
		r.release(uint64(len(r.log)))
	}
	try := func(want journal.Status, both ...fault) {
		again := was
		for _, f := range both {
			f.event(&again)
		}
		got := r.apply(journal.KindTransfers, journal.Actor{}, journal.Bytes([]journal.Transfer{again}))[0]
		if got.Status != want || got.Timestamp != first[0].Timestamp {
			t.Errorf("differences %v: %s at %d, want %s at %d", both, got.Status.Name(journal.KindTransfers), got.Timestamp,
				want.Name(journal.KindTransfers), first[0].Timestamp)
		}
	}
	try(journal.TransferExists)
	for i, f := range faults {
		try(f.status, f)
		for _, g := range faults[i+1:] {
			try(f.status, f, g)
		}
	}
}

// accountFault is one thing wrong with an account.
type accountFault struct {
	status journal.Status
	place  byte
	event  func(*journal.Account)
	batch  bool // another kind of event comes first in the request
}

func accountFaults(imported bool) []accountFault {
	list := []accountFault{
		{journal.AccountReservedField, 0, func(a *journal.Account) { a.Reserved = 1 }, false},
		{journal.AccountReservedFlag, 0, func(a *journal.Account) { a.Flags |= 1 << 15 }, false},
		{journal.AccountIdMustNotBeZero, 'i', func(a *journal.Account) { a.ID = money.U128{} }, false},
		{journal.AccountIdMustNotBeIntMax, 'i', func(a *journal.Account) { a.ID = money.Max() }, false},
		{journal.AccountFlagsAreMutuallyExclusive, 0, func(a *journal.Account) {
			a.Flags |= journal.AccountDebitsMustNotExceedCredits | journal.AccountCreditsMustNotExceedDebits
		}, false},
		{journal.AccountDebitsPendingMustBeZero, 0, func(a *journal.Account) { a.DebitsPending = money.From(1) }, false},
		{journal.AccountDebitsPostedMustBeZero, 0, func(a *journal.Account) { a.DebitsPosted = money.From(1) }, false},
		{journal.AccountCreditsPendingMustBeZero, 0, func(a *journal.Account) { a.CreditsPending = money.From(1) }, false},
		{journal.AccountCreditsPostedMustBeZero, 0, func(a *journal.Account) { a.CreditsPosted = money.From(1) }, false},
		{journal.AccountLedgerMustNotBeZero, 0, func(a *journal.Account) { a.Asset = 0 }, false},
		{journal.AccountCodeMustNotBeZero, 0, func(a *journal.Account) { a.Code = 0 }, false},
	}
	nothing := func(*journal.Account) {}
	if !imported {
		return append(list,
			accountFault{journal.AccountImportedEventExpected, 0, nothing, true},
			accountFault{journal.AccountTimestampMustBeZero, 0, func(a *journal.Account) { a.Timestamp = 1 }, false})
	}
	return append(list,
		accountFault{journal.AccountImportedEventNotExpected, 0, nothing, true},
		accountFault{journal.AccountImportedEventTimestampOutOfRange, 't', func(a *journal.Account) { a.Timestamp = 1 << 63 }, false},
		accountFault{journal.AccountImportedEventTimestampMustNotAdvance, 't', func(a *journal.Account) { a.Timestamp = 1 << 62 }, false},
		accountFault{journal.AccountImportedEventTimestampMustNotRegress, 't', func(a *journal.Account) { a.Timestamp = accountTime }, false})
}

func TestPrecedenceOfAccounts(t *testing.T) {
	for _, imported := range []bool{false, true} {
		base := journal.Account{ID: money.From(100), Asset: 1, Code: 1}
		first := journal.Account{Flags: journal.AccountImported, Timestamp: 1}
		if imported {
			base.Flags, base.Timestamp = journal.AccountImported, eventTime
			first = journal.Account{}
		}
		try := func(want journal.Status, both ...accountFault) {
			r := newWorld().build(t)
			a, events := base, []journal.Account{}
			for _, f := range both {
				f.event(&a)
				if f.batch {
					events = append(events, first)
				}
			}
			events = append(events, a)
			results := r.apply(journal.KindAccounts, journal.Actor{}, journal.Bytes(events))
			if got := results[len(results)-1].Status; got != want {
				t.Errorf("imported %v: got %s, want %s", imported, got.Name(journal.KindAccounts), want.Name(journal.KindAccounts))
			}
		}
		try(journal.Created)
		faults := accountFaults(imported)
		for i, f := range faults {
			try(f.status, f)
			for _, g := range faults[i+1:] {
				if f.place == 0 || f.place != g.place {
					try(min(f.status, g.status), f, g)
				}
			}
		}
	}
}

// TestPrecedenceOfAccountRepeats sends an account twice, the second time with all pairs of differences and with what
// would be a fault of a new account.
func TestPrecedenceOfAccountRepeats(t *testing.T) {
	differences := []accountFault{
		{journal.AccountExistsWithDifferentFlags, 0, func(a *journal.Account) { a.Flags = 6 }, false},
		{journal.AccountExistsWithDifferentUserData128, 0, func(a *journal.Account) { a.UserData128 = money.From(9) }, false},
		{journal.AccountExistsWithDifferentUserData64, 0, func(a *journal.Account) { a.UserData64 = 9 }, false},
		{journal.AccountExistsWithDifferentUserData32, 0, func(a *journal.Account) { a.UserData32 = 9 }, false},
		{journal.AccountExistsWithDifferentLedger, 0, func(a *journal.Account) { a.Asset = 0 }, false},
		{journal.AccountExistsWithDifferentCode, 0, func(a *journal.Account) { a.Code = 0 }, false},
		{journal.AccountExists, 0, func(a *journal.Account) { a.DebitsPosted = money.From(9) }, false},
	}
	was := journal.Account{ID: money.From(100), UserData128: money.From(1), UserData64: 2, UserData32: 3, Asset: 1, Code: 1}
	r := newWorld().build(t)
	mustCreate(t, r.apply(journal.KindAccounts, journal.Actor{}, journal.Bytes([]journal.Account{was})))
	for i, f := range differences {
		for _, g := range differences[i:] {
			again := was
			f.event(&again)
			g.event(&again)
			got := r.apply(journal.KindAccounts, journal.Actor{}, journal.Bytes([]journal.Account{again}))[0].Status
			if got != f.status {
				t.Errorf("got %s, want %s", got.Name(journal.KindAccounts), f.status.Name(journal.KindAccounts))
			}
		}
	}
}
