package ledger_test

import (
	"math/big"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/money"
)

func (m *model) createTransfers(first uint64, events []journal.Transfer, attached []journal.Attachment) []journal.Result {
	linked := make([]bool, len(events))
	for i := range events {
		linked[i] = events[i].Flags.Has(journal.TransferLinked) || m.approved && i < len(events)-1
	}
	m.request, m.attached = events, attached
	defer func() { m.request, m.attached = nil, nil }()
	return m.run(first, linked, func(i int, at uint64) (journal.Status, uint64, []money.U128) {
		m.event = i
		return m.createTransfer(&events[i], attachedTo(attached, i), events[0].Flags.Has(journal.TransferImported), at)
	})
}

func (m *model) createTransfer(asked *journal.Transfer, attached string, batch bool, at uint64) (journal.Status, uint64, []money.U128) {
	x := *asked
	t := &x
	var f faults
	imported := t.Flags.Has(journal.TransferImported)
	f.when(batch && !imported, journal.TransferImportedEventExpected)
	f.when(!batch && imported, journal.TransferImportedEventNotExpected)
	f.when(!imported && t.Timestamp != 0, journal.TransferTimestampMustBeZero)
	f.when(imported && (t.Timestamp == 0 || t.Timestamp > 1<<63-1), journal.TransferImportedEventTimestampOutOfRange)
	f.when(imported && t.Timestamp >= m.time, journal.TransferImportedEventTimestampMustNotAdvance)
	across := m.crossing(t, attached)
	f.when(across.wrong, journal.TransferReservedFlag)
	f.when(t.Flags&0x6000 != 0 || t.Flags.Has(1<<15) != (attached != ""), journal.TransferReservedFlag)
	t.Flags &= 0x7FFF
	f.when(t.ID.IsZero(), journal.TransferIdMustNotBeZero)
	f.when(t.ID.IsMax(), journal.TransferIdMustNotBeIntMax)
	if e, ok := m.heads[t.ID]; ok {
		if f.when(true, journal.TransferExistsWithDifferentFlags); f.first(transferOrder) == journal.TransferExistsWithDifferentFlags {
			at = e.timestamp
		}
		return f.first(transferOrder), at, nil
	}
	if e, ok := m.transfers[t.ID]; ok {
		m.differences(&f, t, &e)
		if across.step == 5 && e.asked.Flags.Has(1<<11) {
			f.when(across.credit != field(e.attached, 8)[48:64], journal.TransferExistsWithDifferentCreditAccountId)
		}
		f.when(dateIn(attached) != dateIn(e.attached), journal.TransferExistsWithDifferentBookingDate)
		f.when(attached != e.attached, journal.TransferExistsWithDifferentMetadata)
		if s := f.first(transferOrder); s >= journal.TransferExistsWithDifferentFlags {
			return s, e.timestamp, nil
		}
		return f.first(transferOrder), at, nil
	}
	_, burned := m.burned[t.ID]
	f.when(burned, journal.TransferIdAlreadyFailed)
	if _, failed := m.burned[t.ID]; !failed {
		m.order(&f, t, &across)
	}
	booked := m.bookingDay(&f, t, attached, at)
	resolves := t.Flags.Has(journal.TransferPost | journal.TransferVoid)
	var (
		then   func(uint64)
		fenced money.U128
	)
	if resolves {
		then, fenced = m.resolution(&f, t, &across, at)
	} else {
		then = m.movement(&f, t, &across, at)
	}
	status := f.first(transferOrder)
	if real, ok := modelOnly[status]; ok {
		status = real
	}
	if status == journal.Created {
		if imported {
			at = t.Timestamp
		}
		then(at)
		m.book(t.ID, attached, booked)
		m.youngest[1] = at
		m.stamps[at] = true
		return status, at, m.burnedBy(&across, status, t.ID)
	}
	if across.step != 0 {
		burns := m.burnedBy(&across, status, t.ID)
		if status == journal.TransferPendingTransferNotFound && !fenced.IsZero() {
			burns = append(burns, fenced)
		}
		return status, at, burns
	}
	var burns []money.U128
	if transientNames[status.Name(journal.KindTransfers)] {
		burns = append(burns, t.ID)
		if status == journal.TransferPendingTransferNotFound && !fenced.IsZero() {
			burns = append(burns, fenced)
		}
	}
	return status, at, burns
}

var transientNames = map[string]bool{
	"debit_account_not_found": true, "credit_account_not_found": true, "pending_transfer_not_found": true,
	"exceeds_credits": true, "exceeds_debits": true, "debit_account_already_closed": true,
	"credit_account_already_closed": true, "debit_account_frozen": true, "credit_account_frozen": true,
	"exceeds_debit_velocity_limit": true, "exceeds_credit_velocity_limit": true,
}

// differences compares a transfer with the one that has its id.
func (m *model) differences(f *faults, t *journal.Transfer, e *modelTransfer) {
	was := &e.asked
	f.when(true, journal.TransferExists)
	f.when((t.Flags^was.Flags)&^(1<<11) != 0, journal.TransferExistsWithDifferentFlags)
	f.when(t.PendingID != was.PendingID, journal.TransferExistsWithDifferentPendingId)
	f.when(t.Timeout != was.Timeout, journal.TransferExistsWithDifferentTimeout)
	if (t.Flags^was.Flags)&^(1<<11) != 0 || t.PendingID != was.PendingID {
		return // what follows depends on both
	}
	amount, data := bigOf(t.Amount), [3]money.U128{t.UserData128, money.From(t.UserData64), money.From(uint64(t.UserData32))}
	other := amount.Cmp(e.amount) != 0
	asset, code := was.Asset, was.Code
	optional := t.Flags.Has(journal.TransferPost | journal.TransferVoid)
	switch {
	case optional:
		p := m.transfers[was.PendingID]
		asset, code = p.asked.Asset, p.asked.Code
		for i := range data {
			if data[i].IsZero() {
				data[i] = p.data[i]
			}
		}
		if t.Flags.Has(journal.TransferPost) && t.Amount.IsMax() || t.Flags.Has(journal.TransferVoid) && t.Amount.IsZero() {
			other = t.Amount != was.Amount && e.amount.Cmp(p.amount) != 0
		}
	case t.Flags.Has(journal.TransferBalancingDebit | journal.TransferBalancingCredit):
		other = amount.Cmp(e.amount) < 0
	}
	skip := func(zero bool) bool { return optional && zero }
	f.when(!skip(t.Debit.IsZero()) && t.Debit != e.debit, journal.TransferExistsWithDifferentDebitAccountId)
	f.when(!skip(t.Credit.IsZero()) && t.Credit != e.credit, journal.TransferExistsWithDifferentCreditAccountId)
	f.when(other, journal.TransferExistsWithDifferentAmount)
	f.when(data[0] != e.data[0], journal.TransferExistsWithDifferentUserData128)
	f.when(data[1] != e.data[1], journal.TransferExistsWithDifferentUserData64)
	f.when(data[2] != e.data[2], journal.TransferExistsWithDifferentUserData32)
	f.when(!skip(t.Asset == 0) && t.Asset != asset, journal.TransferExistsWithDifferentLedger)
	f.when(!skip(t.Code == 0) && t.Code != code, journal.TransferExistsWithDifferentCode)
}

// movement collects the faults of a plain or pending transfer and returns what it does.
func (m *model) movement(f *faults, t *journal.Transfer, across *modelCrossing, at uint64) func(uint64) {
	pending := t.Flags.Has(journal.TransferPending)
	f.when(t.Flags.Has(journal.TransferKeepRemainder|journal.TransferFence), journal.TransferFlagsAreMutuallyExclusive)
	f.when(t.Debit.IsZero(), journal.TransferDebitAccountIdMustNotBeZero)
	f.when(t.Debit.IsMax(), journal.TransferDebitAccountIdMustNotBeIntMax)
	f.when(t.Credit.IsZero(), journal.TransferCreditAccountIdMustNotBeZero)
	f.when(t.Credit.IsMax(), journal.TransferCreditAccountIdMustNotBeIntMax)
	f.when(t.Debit == t.Credit, journal.TransferAccountsMustBeDifferent)
	f.when(!t.PendingID.IsZero() && !t.Flags.Has(1<<12), journal.TransferPendingIdMustBeZero)
	f.when(!pending && t.Timeout != 0, journal.TransferTimeoutReservedForPendingTransfer)
	f.when(!pending && t.Flags.Has(journal.TransferClosingDebit|journal.TransferClosingCredit), journal.TransferClosingTransferMustBePending)
	f.when(t.Asset == 0, journal.TransferLedgerMustNotBeZero)
	f.when(t.Code == 0, journal.TransferCodeMustNotBeZero)
	d, okD := m.accounts[t.Debit]
	c, okC := m.accounts[t.Credit]
	f.when(!okD, journal.TransferDebitAccountNotFound)
	f.when(!okC, journal.TransferCreditAccountNotFound)
	if !okD || !okC {
		return nil
	}
	across.accounts(f, d.asked.Flags.Has(1<<14), c.asked.Flags.Has(1<<14))
	f.when(d.asked.Asset != c.asked.Asset, journal.TransferAccountsMustHaveTheSameLedger)
	f.when(t.Asset != d.asked.Asset, journal.TransferTransferMustHaveTheSameLedgerAsAccounts)
	stamp := at
	if t.Flags.Has(journal.TransferImported) {
		stamp = t.Timestamp
		m.regress(f, t.Timestamp)
		f.when(t.Timestamp <= d.timestamp, journal.TransferImportedEventTimestampMustPostdateDebitAccount)
		f.when(t.Timestamp <= c.timestamp, journal.TransferImportedEventTimestampMustPostdateCreditAccount)
		f.when(t.Timeout != 0, journal.TransferImportedEventTimeoutMustBeZero)
		f.when(m.importsApproved && !m.approved, journal.TransferApprovalRequired)
	}
	if across.step != 4 {
		m.stopped(f, t.Code, d, c)
	}
	amount := bigOf(t.Amount)
	reduce := func(room *big.Int) {
		if room.Sign() < 0 {
			room = new(big.Int)
		}
		if room.Cmp(amount) < 0 {
			amount = room
		}
	}
	if t.Flags.Has(journal.TransferBalancingDebit) {
		reduce(minus(d.credPosted, plus(d.debPosted, d.debPending)))
	}
	if t.Flags.Has(journal.TransferBalancingCredit) {
		reduce(minus(c.debPosted, plus(c.credPosted, c.credPending)))
	}
	f.when(pending && overflows(amount, d.debPending), journal.TransferOverflowsDebitsPending)
	f.when(pending && overflows(amount, c.credPending), journal.TransferOverflowsCreditsPending)
	f.when(overflows(amount, d.debPosted), journal.TransferOverflowsDebitsPosted)
	f.when(overflows(amount, c.credPosted), journal.TransferOverflowsCreditsPosted)
	f.when(overflows(amount, d.debPosted, d.debPending), journal.TransferOverflowsDebits)
	f.when(overflows(amount, c.credPosted, c.credPending), journal.TransferOverflowsCredits)
	expires := plus(new(big.Int).SetUint64(stamp), new(big.Int).Mul(big.NewInt(int64(t.Timeout)), big.NewInt(1_000_000_000)))
	f.when(!expires.IsInt64(), journal.TransferOverflowsTimeout)
	f.when(d.asked.Flags.Has(journal.AccountDebitsMustNotExceedCredits) && plus(amount, d.debPosted, d.debPending).Cmp(d.credPosted) > 0, journal.TransferExceedsCredits)
	f.when(c.asked.Flags.Has(journal.AccountCreditsMustNotExceedDebits) && plus(amount, c.credPosted, c.credPending).Cmp(c.debPosted) > 0, journal.TransferExceedsDebits)
	f.when(across.step != 1 && m.tooFast(limitOf{t.Debit, journal.FreezeDebit}, amount, stamp), journal.TransferExceedsDebitVelocityLimit)
	f.when(across.step != 1 && m.tooFast(limitOf{t.Credit, journal.FreezeCredit}, amount, stamp), journal.TransferExceedsCreditVelocityLimit)
	return func(at uint64) {
		m.move(t, d, c, amount, at)
		m.moved = m.moved[:len(m.moved)-across.uncounted()]
		m.cross(t, across, amount)
	}
}

func (m *model) move(t *journal.Transfer, d, c modelAccount, amount *big.Int, at uint64) {
	x := modelTransfer{
		asked: *t, amount: amount, debit: t.Debit, credit: t.Credit, timestamp: at, end: journal.TransferPendingTransferNotPending,
		data: [3]money.U128{t.UserData128, money.From(t.UserData64), money.From(uint64(t.UserData32))},
	}
	if t.Flags.Has(journal.TransferPending) {
		x.end, x.left = journal.Created, amount
		d.debPending, c.credPending = plus(d.debPending, amount), plus(c.credPending, amount)
		d.closed = d.closed || t.Flags.Has(journal.TransferClosingDebit)
		c.closed = c.closed || t.Flags.Has(journal.TransferClosingCredit)
	} else {
		d.debPosted, c.credPosted = plus(d.debPosted, amount), plus(c.credPosted, amount)
	}
	m.accounts[t.Debit], m.accounts[t.Credit], m.transfers[t.ID] = d, c, x
	m.moved = append(m.moved, movement{t.Debit, t.Credit, amount, at})
	m.remember(at, t.Debit, t.Credit)
}

func (m *model) regress(f *faults, timestamp uint64) {
	taken := false
	for _, a := range m.accounts {
		taken = taken || a.timestamp == timestamp
	}
	f.when(timestamp <= m.youngest[1] || taken, journal.TransferImportedEventTimestampMustNotRegress)
}

// stopped are closed and frozen accounts.
func (m *model) stopped(f *faults, code uint16, d, c modelAccount) {
	f.when(d.closed, journal.TransferDebitAccountAlreadyClosed)
	f.when(c.closed, journal.TransferCreditAccountAlreadyClosed)
	for _, z := range m.freezes {
		covers := func(a modelAccount) bool {
			switch z.Selector {
			case journal.SelectAccount:
				return z.Account == a.asked.ID
			case journal.SelectCode:
				return z.Code == code
			}
			return true
		}
		f.when(!z.lifted && z.Mode&journal.FreezeDebit != 0 && covers(d), journal.TransferDebitAccountFrozen)
		f.when(!z.lifted && z.Mode&journal.FreezeCredit != 0 && covers(c), journal.TransferCreditAccountFrozen)
	}
}

// tooFast sums what moved in the same hour and day since the side had its first limit.
func (m *model) tooFast(key limitOf, amount *big.Int, at uint64) bool {
	l, ok := m.limits[key]
	if !ok {
		return false
	}
	const hour = 3600 * 1_000_000_000
	over := func(length uint64, most money.U128, count uint32) bool {
		sum, n := amount, uint32(1)
		for _, x := range m.moved[l.since:] {
			mine := key.side == journal.FreezeDebit && x.debit == key.account || key.side == journal.FreezeCredit && x.credit == key.account
			if mine && x.at/length == at/length {
				sum, n = plus(sum, x.amount), n+1
			}
		}
		return !most.IsZero() && sum.Cmp(bigOf(most)) > 0 || count != 0 && n > count
	}
	return over(hour, l.HourAmount, l.HourCount) || over(24*hour, l.DayAmount, l.DayCount)
}

// resolution collects the faults of a post or void and returns what it does, and the id that it fences.
func (m *model) resolution(f *faults, t *journal.Transfer, across *modelCrossing, at uint64) (then func(uint64), fenced money.U128) {
	post, void := t.Flags.Has(journal.TransferPost), t.Flags.Has(journal.TransferVoid)
	f.when(post && void, journal.TransferFlagsAreMutuallyExclusive)
	f.when(t.Flags&(journal.TransferPending|journal.TransferBalancingDebit|journal.TransferBalancingCredit|
		journal.TransferClosingDebit|journal.TransferClosingCredit) != 0, journal.TransferFlagsAreMutuallyExclusive)
	f.when(t.Flags.Has(journal.TransferKeepRemainder) && !post || t.Flags.Has(journal.TransferFence) && !void, journal.TransferFlagsAreMutuallyExclusive)
	f.when(t.PendingID.IsZero(), journal.TransferPendingIdMustNotBeZero)
	f.when(t.PendingID.IsMax(), journal.TransferPendingIdMustNotBeIntMax)
	f.when(t.PendingID == t.ID, journal.TransferPendingIdMustBeDifferent)
	f.when(t.Timeout != 0, journal.TransferTimeoutReservedForPendingTransfer)
	p, ok := m.transfers[t.PendingID]
	if _, head := m.heads[t.PendingID]; head {
		f.when(true, journal.TransferPendingTransferNotPending)
		return nil, fenced
	}
	if !ok {
		f.when(true, journal.TransferPendingTransferNotFound)
		if t.Flags.Has(journal.TransferFence) {
			fenced = t.PendingID
		}
		return nil, fenced
	}
	if !p.asked.Flags.Has(journal.TransferPending) {
		f.when(true, journal.TransferPendingTransferNotPending)
		return nil, fenced
	}
	if !m.mayEnd(&p, across) {
		f.when(true, journal.TransferPendingTransferNotFound)
		return nil, fenced
	}
	whole := p.amount // of one that ended, the first amount counts
	if p.open() {
		whole = p.left
	}
	amount := bigOf(t.Amount)
	if void && t.Amount.IsZero() || !void && t.Amount.IsMax() {
		amount = whole
	}
	f.when(!t.Debit.IsZero() && t.Debit != p.debit, journal.TransferPendingTransferHasDifferentDebitAccountId)
	f.when(!t.Credit.IsZero() && t.Credit != p.credit, journal.TransferPendingTransferHasDifferentCreditAccountId)
	f.when(t.Asset != 0 && t.Asset != p.asked.Asset, journal.TransferPendingTransferHasDifferentLedger)
	f.when(t.Code != 0 && t.Code != p.asked.Code, journal.TransferPendingTransferHasDifferentCode)
	f.when(amount.Cmp(whole) > 0, journal.TransferExceedsPendingTransferAmount)
	f.when(void && amount.Cmp(whole) < 0, journal.TransferPendingTransferHasDifferentAmount)
	f.when(!p.open(), p.end)
	f.when(p.asked.Timeout != 0 && p.expires() <= at, journal.TransferPendingTransferExpired)
	m.settling(f, &p, across, post, amount)
	if t.Flags.Has(journal.TransferImported) {
		m.regress(f, t.Timestamp)
		f.when(m.importsApproved && !m.approved, journal.TransferApprovalRequired)
	}
	d, c := m.accounts[p.debit], m.accounts[p.credit]
	if !void && across.step != 6 && across.step != 7 {
		m.stopped(f, p.asked.Code, d, c)
	}
	return func(at uint64) { m.resolve(t, p, amount, at) }, fenced
}

func (m *model) resolve(t *journal.Transfer, p modelTransfer, amount *big.Int, at uint64) {
	post := t.Flags.Has(journal.TransferPost)
	if post && t.Flags.Has(journal.TransferKeepRemainder) && amount.Cmp(p.left) < 0 {
		d, c := m.accounts[p.debit], m.accounts[p.credit]
		d.debPending, c.credPending = minus(d.debPending, amount), minus(c.credPending, amount)
		m.accounts[p.debit], m.accounts[p.credit] = d, c
		p.left = minus(p.left, amount)
	} else {
		m.giveBack(&p, !post)
		p.end = journal.TransferPendingTransferAlreadyVoided
		if post {
			p.end = journal.TransferPendingTransferAlreadyPosted
		}
		if !post {
			m.endCrossing(&p, new(big.Int))
		} else {
			m.endCrossing(&p, amount)
		}
	}
	m.transfers[p.asked.ID] = p
	if post {
		d := m.accounts[p.debit]
		d.debPosted = plus(d.debPosted, amount)
		m.accounts[p.debit] = d
		c := m.accounts[p.credit]
		c.credPosted = plus(c.credPosted, amount)
		m.accounts[p.credit] = c
	}
	x := modelTransfer{
		asked: *t, amount: amount, debit: p.debit, credit: p.credit, timestamp: at, end: journal.TransferPendingTransferNotPending,
		data: [3]money.U128{t.UserData128, money.From(t.UserData64), money.From(uint64(t.UserData32))},
	}
	for i := range x.data {
		if x.data[i].IsZero() {
			x.data[i] = p.data[i]
		}
	}
	m.transfers[t.ID] = x
	m.remember(at, p.debit, p.credit)
}
