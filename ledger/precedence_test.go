package ledger_test

import (
	"slices"
	"testing"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/money"
)

// The tests of this file plant two faults in one event, for all pairs of faults that can stand together, and expect
// the status that comes first in the published list. A single fault gives its own status.

// world is what the ledger looks like before the event in question. Accounts 1 and 2 are the ones the event is about;
// 3 and 4 are their counterparts. All that happens before is imported, so that an imported event may follow.
type world struct {
	accounts [4]journal.Account
	before   []journal.Transfer // with imported timestamps given by build
	freezes  []journal.Freeze
	limits   []journal.Limit
	clock    uint64
	first    *journal.Transfer // goes first in the event's request
	late     [2]bool           // accounts 1 and 2 are younger than the event says it is
	then     uint64            // moves the clock after before happened
}

const (
	accountTime  = 1_000
	beforeTime   = 2_000
	eventTime    = 5_000
	lateTime     = 6_000
	requestClock = 10_000_000_000
)

func newWorld() *world {
	w := &world{clock: requestClock}
	for i := range w.accounts {
		w.accounts[i] = journal.Account{ID: money.From(uint64(i) + 1), Asset: 1, Code: 1, Flags: journal.AccountImported, Timestamp: accountTime + uint64(i)}
	}
	return w
}

// move adds a transfer from one account to another (0-based) before the event.
func (w *world) move(from, to int, amount money.U128, flags journal.TransferFlags) {
	w.before = append(w.before, journal.Transfer{
		ID: money.From(uint64(200 + len(w.before))), Debit: w.accounts[from].ID, Credit: w.accounts[to].ID,
		Amount: amount, Asset: w.accounts[from].Asset, Code: 1, Flags: flags | journal.TransferImported,
	})
}

func (w *world) freeze(account uint64, mode journal.FreezeMode) {
	w.freezes = append(w.freezes, journal.Freeze{
		ID: money.From(300 + account), Account: money.From(account), Selector: journal.SelectAccount, Mode: mode,
	})
}

func (w *world) limit(account uint64, side journal.FreezeMode) {
	w.limits = append(w.limits, journal.Limit{ID: money.From(400 + account), Account: money.From(account), Side: side, HourAmount: money.From(5)})
}

// build makes the world; what happens before must succeed, but for the transfers whose failure is meant (code 2).
func (w *world) build(t *testing.T) *rig {
	t.Helper()
	r := newRig([2]uint64{3, 5})
	r.clock = w.clock
	accounts := slices.Clone(w.accounts[:])
	for i, late := range w.late {
		if late {
			accounts[i].Timestamp = lateTime + uint64(i)
		}
	}
	slices.SortFunc(accounts, func(a, b journal.Account) int { return int(a.Timestamp) - int(b.Timestamp) })
	mustCreate(t, r.apply(journal.KindAccounts, journal.Actor{}, journal.Bytes(accounts)))
	for i := range w.before {
		x := &w.before[i]
		if x.Flags.Has(journal.TransferImported) {
			x.Timestamp = beforeTime + uint64(i)
		}
		results := r.apply(journal.KindTransfers, journal.Actor{}, journal.Bytes(w.before[i:i+1]))
		if x.Code != 2 {
			mustCreate(t, results)
		}
	}
	if len(w.freezes) > 0 {
		mustCreate(t, r.apply(journal.KindFreeze, journal.Actor{}, journal.Bytes(w.freezes)))
	}
	if len(w.limits) > 0 {
		mustCreate(t, r.apply(journal.KindLimits, journal.Actor{}, journal.Bytes(w.limits)))
	}
	if w.then != 0 {
		r.seal()
		r.clock += w.then
	}
	return r
}

func mustCreate(t *testing.T, results []journal.Result) {
	t.Helper()
	for i, r := range results {
		if r.Status != journal.Created {
			t.Fatalf("event %d before the one in question: status %d", i, r.Status)
		}
	}
}

// fault is one thing wrong with an event or the world it meets. Two faults of one place can't stand together.
type fault struct {
	status journal.Status
	places string // letters; two faults that share one exclude each other
	event  func(*journal.Transfer)
	world  func(*world)
}

func excludes(a, b *fault) bool {
	for _, p := range a.places {
		for _, q := range b.places {
			if p == q {
				return true
			}
		}
	}
	return false
}

// checkPairs applies each fault alone and all pairs that can stand together to base.
func checkPairs(t *testing.T, base journal.Transfer, prepare func(*world), faults []fault) {
	t.Helper()
	pairs := 0
	try := func(want journal.Status, both ...*fault) {
		w, event := newWorld(), base
		prepare(w)
		for _, f := range both {
			if f.world != nil {
				f.world(w)
			}
			if f.event != nil {
				f.event(&event)
			}
		}
		r := w.build(t)
		events := []journal.Transfer{event}
		if w.first != nil {
			events = []journal.Transfer{*w.first, event}
		}
		results := r.apply(journal.KindTransfers, journal.Actor{}, journal.Bytes(events))
		if got := results[len(results)-1].Status; got != want {
			names := ""
			for _, f := range both {
				names += " " + f.status.Name(journal.KindTransfers)
			}
			t.Errorf("planted%s: got %s, want %s", names, got.Name(journal.KindTransfers), want.Name(journal.KindTransfers))
		}
		if len(both) > 1 {
			return
		}
		if err := r.checkReplay(); err != nil {
			t.Error(err)
		}
	}
	try(journal.Created)
	for i := range faults {
		try(faults[i].status, &faults[i])
		for j := i + 1; j < len(faults); j++ {
			if excludes(&faults[i], &faults[j]) {
				continue
			}
			pairs++
			try(min(faults[i].status, faults[j].status), &faults[i], &faults[j])
		}
	}
	if pairs < len(faults) {
		t.Errorf("only %d pairs of %d faults", pairs, len(faults))
	}
	t.Logf("%d faults, %d pairs", len(faults), pairs)
}

// ofAnyTransfer are the faults that come before the kinds part ways. Places: t timestamp, i id.
func ofAnyTransfer(imported bool) []fault {
	list := []fault{
		{journal.TransferReservedFlag, "", func(x *journal.Transfer) { x.Flags |= 1 << 15 }, nil},
		{journal.TransferIdMustNotBeZero, "i", func(x *journal.Transfer) { x.ID = money.U128{} }, nil},
		{journal.TransferIdMustNotBeIntMax, "i", func(x *journal.Transfer) { x.ID = money.Max() }, nil},
		{journal.TransferIdAlreadyFailed, "ib", nil, func(w *world) {
			w.before = append(w.before, journal.Transfer{
				ID: money.From(100), Debit: money.From(98), Credit: money.From(99), Asset: 1, Code: 2, Flags: journal.TransferImported,
			})
		}},
	}
	if !imported {
		return append(list,
			fault{journal.TransferTimestampMustBeZero, "t", func(x *journal.Transfer) { x.Timestamp = 1 }, nil},
			fault{journal.TransferImportedEventExpected, "", nil, func(w *world) {
				w.first = &journal.Transfer{Flags: journal.TransferImported, Timestamp: 1}
			}})
	}
	return append(list,
		fault{journal.TransferImportedEventNotExpected, "", nil, func(w *world) { w.first = &journal.Transfer{} }},
		fault{journal.TransferImportedEventTimestampOutOfRange, "t", func(x *journal.Transfer) { x.Timestamp = 0 }, nil},
		fault{journal.TransferImportedEventTimestampMustNotAdvance, "t", func(x *journal.Transfer) { x.Timestamp = 1 << 62 }, nil},
		fault{
			journal.TransferImportedEventTimestampMustNotRegress, "tw",
			func(x *journal.Transfer) { x.Timestamp = beforeTime },
			func(w *world) { w.move(2, 3, money.U128{}, 0) },
		})
}

// ofMoves are the faults of plain and pending transfers. Places: d debit, c credit, a asset, p pending or plain,
// w assets of the accounts, o amount, b what happened before.
func ofMoves() []fault {
	one, most := money.From(1), money.Max()
	huge := func(flags journal.TransferFlags) func(*journal.Transfer) {
		return func(x *journal.Transfer) { x.Amount, x.Flags = most, x.Flags|flags }
	}
	return []fault{
		{journal.TransferFlagsAreMutuallyExclusive, "", func(x *journal.Transfer) { x.Flags |= journal.TransferFence }, nil},
		{journal.TransferDebitAccountIdMustNotBeZero, "d", func(x *journal.Transfer) { x.Debit = money.U128{} }, nil},
		{journal.TransferDebitAccountIdMustNotBeIntMax, "d", func(x *journal.Transfer) { x.Debit = most }, nil},
		{journal.TransferCreditAccountIdMustNotBeZero, "c", func(x *journal.Transfer) { x.Credit = money.U128{} }, nil},
		{journal.TransferCreditAccountIdMustNotBeIntMax, "c", func(x *journal.Transfer) { x.Credit = most }, nil},
		{journal.TransferAccountsMustBeDifferent, "dc", func(x *journal.Transfer) { x.Credit = x.Debit }, nil},
		{journal.TransferPendingIdMustBeZero, "", func(x *journal.Transfer) { x.PendingID = one }, nil},
		{journal.TransferTimeoutReservedForPendingTransfer, "p", func(x *journal.Transfer) { x.Timeout = 1 }, nil},
		{journal.TransferClosingTransferMustBePending, "p", func(x *journal.Transfer) { x.Flags |= journal.TransferClosingDebit }, nil},
		{journal.TransferLedgerMustNotBeZero, "a", func(x *journal.Transfer) { x.Asset = 0 }, nil},
		{journal.TransferCodeMustNotBeZero, "", func(x *journal.Transfer) { x.Code = 0 }, nil},
		{journal.TransferDebitAccountNotFound, "d", func(x *journal.Transfer) { x.Debit = money.From(77) }, nil},
		{journal.TransferCreditAccountNotFound, "c", func(x *journal.Transfer) { x.Credit = money.From(78) }, nil},
		{journal.TransferAccountsMustHaveTheSameLedger, "wdc", nil, func(w *world) { w.accounts[1].Asset, w.accounts[3].Asset = 2, 2 }},
		{journal.TransferTransferMustHaveTheSameLedgerAsAccounts, "adc", func(x *journal.Transfer) { x.Asset = 9 }, nil},
		{journal.TransferDebitAccountAlreadyClosed, "dlb", nil, func(w *world) { w.accounts[0].Flags |= journal.AccountClosed }},
		{journal.TransferCreditAccountAlreadyClosed, "clb", nil, func(w *world) { w.accounts[1].Flags |= journal.AccountClosed }},
		{journal.TransferDebitAccountFrozen, "d", nil, func(w *world) { w.freeze(1, journal.FreezeDebit) }},
		{journal.TransferCreditAccountFrozen, "c", nil, func(w *world) { w.freeze(2, journal.FreezeCredit) }},
		{journal.TransferOverflowsDebitsPending, "dpol", huge(journal.TransferPending), func(w *world) { w.move(0, 2, one, journal.TransferPending) }},
		{journal.TransferOverflowsCreditsPending, "cpolw", huge(journal.TransferPending), func(w *world) { w.move(3, 1, one, journal.TransferPending) }},
		{journal.TransferOverflowsDebitsPosted, "dol", huge(0), func(w *world) { w.move(0, 2, one, 0) }},
		{journal.TransferOverflowsCreditsPosted, "colw", huge(0), func(w *world) { w.move(3, 1, one, 0) }},
		{journal.TransferOverflowsDebits, "dpol", huge(0), func(w *world) { w.move(0, 2, one, journal.TransferPending) }},
		{journal.TransferOverflowsCredits, "cpolw", huge(0), func(w *world) { w.move(3, 1, one, journal.TransferPending) }},
		{journal.TransferExceedsCredits, "dl", nil, func(w *world) { w.accounts[0].Flags |= journal.AccountDebitsMustNotExceedCredits }},
		{journal.TransferExceedsDebits, "cl", nil, func(w *world) { w.accounts[1].Flags |= journal.AccountCreditsMustNotExceedDebits }},
		{journal.TransferExceedsDebitVelocityLimit, "d", nil, func(w *world) { w.limit(1, journal.FreezeDebit) }},
		{journal.TransferExceedsCreditVelocityLimit, "c", nil, func(w *world) { w.limit(2, journal.FreezeCredit) }},
	}
}

func plainTransfer() journal.Transfer {
	return journal.Transfer{ID: money.From(100), Debit: money.From(1), Credit: money.From(2), Amount: money.From(10), Asset: 1, Code: 1}
}

// TestPrecedenceOfTransfers also has faults of accounts that a transfer with another account id never meets: such
// pairs share the place of the id and are left out, because then only one fault is there.
func TestPrecedenceOfTransfers(t *testing.T) {
	faults := append(ofAnyTransfer(false), ofMoves()...)
	faults = append(faults, fault{
		journal.TransferOverflowsTimeout, "pt",
		func(x *journal.Transfer) { x.Flags, x.Timeout = x.Flags|journal.TransferPending, 1<<32-1 },
		func(w *world) { w.clock = journal.MaxTimestamp - 1_000_000 },
	})
	checkPairs(t, plainTransfer(), func(*world) {}, faults)
}

func TestPrecedenceOfImportedTransfers(t *testing.T) {
	base := plainTransfer()
	base.Flags, base.Timestamp = journal.TransferImported, eventTime
	faults := append(ofAnyTransfer(true), ofMoves()...)
	faults = append(faults,
		fault{journal.TransferImportedEventTimestampMustPostdateDebitAccount, "dtbol", nil, func(w *world) { w.late[0] = true }},
		fault{journal.TransferImportedEventTimestampMustPostdateCreditAccount, "ctbol", nil, func(w *world) { w.late[1] = true }},
		fault{journal.TransferImportedEventTimeoutMustBeZero, "p", func(x *journal.Transfer) {
			x.Flags, x.Timeout = x.Flags|journal.TransferPending, 1
		}, nil})
	checkPairs(t, base, func(*world) {}, faults)
}

// ofResolutions are the faults of posts and voids. Places: p the pending id, s what became of the reservation.
func ofResolutions(void bool) []fault {
	closeSide := func(flag journal.TransferFlags, from, to int) func(*world) {
		return func(w *world) { w.move(from, to, money.U128{}, journal.TransferPending|flag) }
	}
	end := func(flags journal.TransferFlags) func(*world) {
		return func(w *world) {
			w.before = append(w.before, journal.Transfer{
				ID: money.From(150), PendingID: money.From(200), Amount: money.Max(), Flags: flags | journal.TransferImported, Code: 1,
			})
			if flags.Has(journal.TransferVoid) {
				w.before[len(w.before)-1].Amount = money.U128{}
			}
		}
	}
	list := []fault{
		{journal.TransferFlagsAreMutuallyExclusive, "", func(x *journal.Transfer) { x.Flags |= journal.TransferPending }, nil},
		{journal.TransferPendingIdMustNotBeZero, "p", func(x *journal.Transfer) { x.PendingID = money.U128{} }, nil},
		{journal.TransferPendingIdMustNotBeIntMax, "p", func(x *journal.Transfer) { x.PendingID = money.Max() }, nil},
		{journal.TransferPendingIdMustBeDifferent, "pib", func(x *journal.Transfer) { x.PendingID = x.ID }, nil},
		{journal.TransferTimeoutReservedForPendingTransfer, "", func(x *journal.Transfer) { x.Timeout = 1 }, nil},
		{journal.TransferPendingTransferNotFound, "p", func(x *journal.Transfer) { x.PendingID = money.From(77) }, nil},
		{journal.TransferPendingTransferNotPending, "p", func(x *journal.Transfer) { x.PendingID = money.From(201) }, nil},
		{journal.TransferPendingTransferHasDifferentDebitAccountId, "", func(x *journal.Transfer) { x.Debit = money.From(9) }, nil},
		{journal.TransferPendingTransferHasDifferentCreditAccountId, "", func(x *journal.Transfer) { x.Credit = money.From(9) }, nil},
		{journal.TransferPendingTransferHasDifferentLedger, "", func(x *journal.Transfer) { x.Asset = 9 }, nil},
		{journal.TransferPendingTransferHasDifferentCode, "", func(x *journal.Transfer) { x.Code = 9 }, nil},
		{journal.TransferExceedsPendingTransferAmount, "o", func(x *journal.Transfer) { x.Amount = money.From(11) }, nil},
		{journal.TransferPendingTransferAlreadyPosted, "sl", nil, end(journal.TransferPost)},
		{journal.TransferPendingTransferAlreadyVoided, "sl", nil, end(journal.TransferVoid)},
	}
	if void {
		return append(list, fault{journal.TransferPendingTransferHasDifferentAmount, "o", func(x *journal.Transfer) { x.Amount = money.From(9) }, nil})
	}
	return append(list, []fault{
		{journal.TransferDebitAccountAlreadyClosed, "lp", nil, closeSide(journal.TransferClosingDebit, 0, 2)},
		{journal.TransferCreditAccountAlreadyClosed, "lp", nil, closeSide(journal.TransferClosingCredit, 3, 1)},
		{journal.TransferDebitAccountFrozen, "p", nil, func(w *world) { w.freeze(1, journal.FreezeDebit) }},
		{journal.TransferCreditAccountFrozen, "p", nil, func(w *world) { w.freeze(2, journal.FreezeAll) }},
	}...)
}

// reserve puts a reservation (id 200) and a plain transfer (id 201) before the event.
func reserve(w *world) {
	w.move(0, 1, money.From(10), journal.TransferPending)
	w.move(2, 3, money.From(10), 0)
}

func TestPrecedenceOfPostsAndVoids(t *testing.T) {
	expired := fault{journal.TransferPendingTransferExpired, "slt", nil, func(w *world) {
		w.before[0].Flags, w.before[0].Timeout = journal.TransferPending, 1
		w.before[0].Timestamp = 0
		w.before[1].Flags = 0
		w.then = 2_000_000_000
	}}
	for _, kind := range []struct {
		name  string
		flags journal.TransferFlags
	}{
		{"post", journal.TransferPost},
		{"void", journal.TransferVoid},
		{"imported post", journal.TransferPost | journal.TransferImported},
		{"imported void", journal.TransferVoid | journal.TransferImported},
	} {
		t.Run(kind.name, func(t *testing.T) {
			base := journal.Transfer{ID: money.From(100), PendingID: money.From(200), Flags: kind.flags}
			void, imported := kind.flags.Has(journal.TransferVoid), kind.flags.Has(journal.TransferImported)
			if !void {
				base.Amount = money.Max()
			}
			faults := append(ofAnyTransfer(imported), ofResolutions(void)...)
			if imported {
				base.Timestamp = eventTime
			} else {
				faults = append(faults, withPlace(expired, "b"))
			}
			checkPairs(t, base, reserve, faults)
		})
	}
}

func withPlace(f fault, place string) fault {
	f.places += place
	return f
}
