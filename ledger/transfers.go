package ledger

import (
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/money"
	"github.com/sterlingrun/sterling/must"
)

const second = 1_000_000_000 // ns

func (s *State) createTransfers(events []journal.Transfer, first int, results []journal.Result) {
	must.True(len(s.prep) == len(events), "Needs was not asked for this request")
	imported := events[0].Flags.Has(journal.TransferImported)
	s.eachLinked(len(events), first, results,
		func(i int) bool {
			return events[i].Flags.Has(journal.TransferLinked) || s.approved && i < len(events)-1
		},
		func(i int, at uint64) (journal.Status, uint64) {
			if i%lookAhead == 0 {
				s.yield()
				s.touchNext(min(i+lookAhead, len(events)), i)
			}
			t := &events[i]
			if is := t.Flags.Has(journal.TransferImported); is != imported {
				return pick(imported, journal.TransferImportedEventExpected, journal.TransferImportedEventNotExpected), at
			}
			return s.createTransfer(t, i, at)
		})
}

// touchNext brings near what the next transfers need: both cache lines of their accounts, and what tells whether their
// ids are known: Needs read that, too, but in a large request the nearest caches have lost it since.
func (s *State) touchNext(end, from int) {
	again := len(s.prep) > lookAhead
	for i := from; i < end; i++ {
		p := &s.prep[i]
		if again {
			s.touchID(p.hash)
		}
		if p.debit != 0 && p.credit != 0 {
			debit, credit := s.accounts.at(p.debit), s.accounts.at(p.credit)
			s.sink += debit.DebitsPending.Lo + uint64(debit.Asset) + credit.DebitsPending.Lo + uint64(credit.Asset)
		}
	}
}

// createTransfer validates in the published order of precedence and applies event i of the request.
func (s *State) createTransfer(t *journal.Transfer, i int, at uint64) (journal.Status, uint64) {
	if t.Flags.Has(journal.TransferImported) {
		if t.Timestamp == 0 || t.Timestamp > journal.MaxTimestamp {
			return journal.TransferImportedEventTimestampOutOfRange, at
		}
		if t.Timestamp >= s.time {
			return journal.TransferImportedEventTimestampMustNotAdvance, at
		}
	} else if t.Timestamp != 0 {
		return journal.TransferTimestampMustBeZero, at
	}
	s.transit.Step = 0
	switch {
	case t.Flags&^(journal.TransferFlagsKnown|transitFlags|journal.TransferAttached) != 0,
		!s.flagged(s.first+i, t.Flags.Has(journal.TransferAttached)),
		t.Flags.Has(transitFlags) && !s.beginTransit(t, i):
		return journal.TransferReservedFlag, at
	case t.ID.IsZero():
		return journal.TransferIdMustNotBeZero, at
	case t.ID.IsMax():
		return journal.TransferIdMustNotBeIntMax, at
	}
	hash := s.prep[i].hash
	if e, found := s.lookUp(t.ID, hash); found {
		if e.Status != journal.Created || e.Asked.ID != t.ID {
			return journal.TransferIdAlreadyFailed, at
		}
		return s.transferExists(t, s.first+i, &e), e.Timestamp
	}
	status := checkFlags(t)
	if status == journal.Created && s.transit.Step != 0 {
		status = s.checkTransit(t, i)
	}
	if status == journal.Created {
		status = s.chooseDate(t, s.first+i, at)
	}
	if status == journal.Created {
		if t.Flags.Has(journal.TransferPost | journal.TransferVoid) {
			status, at = s.resolvePending(t, i, at)
		} else {
			status, at = s.move(t, i, at)
		}
	}
	switch {
	case s.transit.Step != 0:
		s.burnTransit(hash, status)
	case status.Transient():
		s.burns = append(s.burns, hash)
	}
	return status, at
}

// lookUp finds what the journal knows of a transfer's id: the event that created it, that burned it by a transient
// failure, or that fenced it. It is the earliest of those that name it: a fence that found its pending id burned already
// names it, too, and may stand beside it where the hashes of its two ids are equal.
func (s *State) lookUp(id money.U128, hash uint64) (first Fact, found bool) {
	var at uint64
	for _, v := range s.entries(hash) {
		if found && v>>2 > at {
			continue
		}
		f := s.factOrClosed(journal.Position(v >> 2))
		if f.Asked.ID == id || f.Asked.PendingID == id && (f.fenced() || f.burnedTransfer()) {
			first, found, at = f, true, v>>2
		}
	}
	return first, found
}

// fenced reports whether the event burned its pending id.
func (f *Fact) fenced() bool {
	return f.Asked.Flags.Has(journal.TransferFence) && f.Status == journal.TransferPendingTransferNotFound
}

// burn makes an id unusable: its entry points to the event that failed.
func (s *State) burn(hash uint64, at journal.Position) {
	if !s.ids.has(hash, uint64(at)<<2) { // a fence's two ids may share their hash
		s.ids.insert(hash, uint64(at)<<2)
	}
	s.counts.Burned++
	s.changed = true
	s.digest[1] = (s.digest[1] ^ uint64(at)) * 0x9E3779B97F4A7C15
}

// checkFlags decides all that the transfer itself tells, up to its pending id, its timeout and its closing flags.
func checkFlags(t *journal.Transfer) journal.Status {
	const (
		post, void = journal.TransferPost, journal.TransferVoid
		notWith    = journal.TransferPending | journal.TransferBalancingDebit | journal.TransferBalancingCredit |
			journal.TransferClosingDebit | journal.TransferClosingCredit
	)
	f := t.Flags
	resolves := f.Has(post | void)
	switch {
	case f&(post|void) == post|void, resolves && f.Has(notWith),
		f.Has(journal.TransferKeepRemainder) && !f.Has(post), f.Has(journal.TransferFence) && !f.Has(void):
		return journal.TransferFlagsAreMutuallyExclusive
	case resolves:
		return checkResolving(t)
	case t.Debit.IsZero():
		return journal.TransferDebitAccountIdMustNotBeZero
	case t.Debit.IsMax():
		return journal.TransferDebitAccountIdMustNotBeIntMax
	case t.Credit.IsZero():
		return journal.TransferCreditAccountIdMustNotBeZero
	case t.Credit.IsMax():
		return journal.TransferCreditAccountIdMustNotBeIntMax
	case t.Debit == t.Credit:
		return journal.TransferAccountsMustBeDifferent
	case !t.PendingID.IsZero() && !f.Has(journal.TransferHold):
		return journal.TransferPendingIdMustBeZero
	case !f.Has(journal.TransferPending) && t.Timeout != 0:
		return journal.TransferTimeoutReservedForPendingTransfer
	case !f.Has(journal.TransferPending) && f.Has(journal.TransferClosingDebit|journal.TransferClosingCredit):
		return journal.TransferClosingTransferMustBePending
	case t.Asset == 0:
		return journal.TransferLedgerMustNotBeZero
	case t.Code == 0:
		return journal.TransferCodeMustNotBeZero
	}
	return journal.Created
}

func checkResolving(t *journal.Transfer) journal.Status {
	switch {
	case t.PendingID.IsZero():
		return journal.TransferPendingIdMustNotBeZero
	case t.PendingID.IsMax():
		return journal.TransferPendingIdMustNotBeIntMax
	case t.PendingID == t.ID:
		return journal.TransferPendingIdMustBeDifferent
	case t.Timeout != 0:
		return journal.TransferTimeoutReservedForPendingTransfer
	}
	return journal.Created
}

// move applies a plain or pending transfer.
func (s *State) move(t *journal.Transfer, i int, at uint64) (journal.Status, uint64) {
	p := &s.prep[i]
	if status := s.checkAccounts(t, p.debit, p.credit); status != journal.Created {
		return status, at
	}
	debit, credit := s.accounts.at(p.debit), s.accounts.at(p.credit)
	if t.Flags.Has(journal.TransferImported) {
		if status := s.checkImported(t, debit, credit); status != journal.Created {
			return status, at
		}
		if s.needsApproval(journal.PolicyImportsApproved) {
			return journal.TransferApprovalRequired, at
		}
		at = t.Timestamp
	}
	status := journal.Created
	if s.transit.Step != journal.TransitMarker {
		status = s.checkOpen(t.Code, debit, credit)
	}
	if status != journal.Created {
		return status, s.eventTime(s.first + i)
	}
	amount := balanced(t, debit, credit)
	status = s.checkAmount(t, amount, debit, credit, at)
	if status == journal.Created && s.limited(debit, credit) {
		status = s.checkVelocity(p.debit, p.credit, amount, at)
	}
	if status != journal.Created {
		return status, s.eventTime(s.first + i)
	}
	s.apply(t, i, at, amount)
	return journal.Created, at
}

func (s *State) checkAccounts(t *journal.Transfer, debit, credit uint32) journal.Status {
	switch {
	case debit == 0:
		return journal.TransferDebitAccountNotFound
	case credit == 0:
		return journal.TransferCreditAccountNotFound
	}
	d, c := s.accounts.at(debit), s.accounts.at(credit)
	if (d.Flags | c.Flags).Has(journal.AccountTransit) || s.transit.Step != 0 {
		if status := s.checkTransitAccounts(d, c); status != journal.Created {
			return status
		}
	}
	switch {
	case d.Asset != c.Asset:
		return journal.TransferAccountsMustHaveTheSameLedger
	case t.Asset != d.Asset:
		return journal.TransferTransferMustHaveTheSameLedgerAsAccounts
	}
	return journal.Created
}

func (s *State) checkImported(t *journal.Transfer, debit, credit *journal.Account) journal.Status {
	switch {
	case t.Timestamp <= s.lastXfer || s.accountAt(t.Timestamp):
		return journal.TransferImportedEventTimestampMustNotRegress
	case t.Timestamp <= debit.Timestamp:
		return journal.TransferImportedEventTimestampMustPostdateDebitAccount
	case t.Timestamp <= credit.Timestamp:
		return journal.TransferImportedEventTimestampMustPostdateCreditAccount
	case t.Timeout != 0:
		return journal.TransferImportedEventTimeoutMustBeZero
	}
	return journal.Created
}

// checkOpen refuses closed and frozen accounts.
func (s *State) checkOpen(code uint16, debit, credit *journal.Account) journal.Status {
	switch {
	case debit.Flags.Has(journal.AccountClosed):
		return journal.TransferDebitAccountAlreadyClosed
	case credit.Flags.Has(journal.AccountClosed):
		return journal.TransferCreditAccountAlreadyClosed
	}
	if s.freezes.active == 0 {
		return journal.Created
	}
	mask := s.freezes.mask(code)
	switch {
	case debit.Reserved&markFrozenDebit != 0 || mask&journal.FreezeDebit != 0:
		return journal.TransferDebitAccountFrozen
	case credit.Reserved&markFrozenCredit != 0 || mask&journal.FreezeCredit != 0:
		return journal.TransferCreditAccountFrozen
	}
	return journal.Created
}

// balanced reduces the amount to what balances the accounts, where the transfer asks for that.
func balanced(t *journal.Transfer, debit, credit *journal.Account) money.U128 {
	amount := t.Amount
	if t.Flags.Has(journal.TransferBalancingDebit) {
		used, _ := debit.DebitsPosted.Add(debit.DebitsPending)
		amount = amount.Min(saturatingSub(debit.CreditsPosted, used))
	}
	if t.Flags.Has(journal.TransferBalancingCredit) {
		used, _ := credit.CreditsPosted.Add(credit.CreditsPending)
		amount = amount.Min(saturatingSub(credit.DebitsPosted, used))
	}
	return amount
}

func saturatingSub(a, b money.U128) money.U128 {
	d, under := a.Sub(b)
	if under {
		return money.U128{}
	}
	return d
}

// checkAmount refuses overflows and what the accounts' limits don't allow.
func (s *State) checkAmount(t *journal.Transfer, amount money.U128, debit, credit *journal.Account, at uint64) journal.Status {
	dp, over1 := amount.Add(debit.DebitsPending)
	cp, over2 := amount.Add(credit.CreditsPending)
	if t.Flags.Has(journal.TransferPending) {
		if over1 {
			return journal.TransferOverflowsDebitsPending
		}
		if over2 {
			return journal.TransferOverflowsCreditsPending
		}
	}
	if _, over := amount.Add(debit.DebitsPosted); over {
		return journal.TransferOverflowsDebitsPosted
	}
	if _, over := amount.Add(credit.CreditsPosted); over {
		return journal.TransferOverflowsCreditsPosted
	}
	debits, over3 := dp.Add(debit.DebitsPosted)
	if over1 || over3 {
		return journal.TransferOverflowsDebits
	}
	credits, over4 := cp.Add(credit.CreditsPosted)
	if over2 || over4 {
		return journal.TransferOverflowsCredits
	}
	if at+uint64(t.Timeout)*second > journal.MaxTimestamp {
		return journal.TransferOverflowsTimeout
	}
	if debit.Flags.Has(journal.AccountDebitsMustNotExceedCredits) && debit.CreditsPosted.Less(debits) {
		return journal.TransferExceedsCredits
	}
	if credit.Flags.Has(journal.AccountCreditsMustNotExceedDebits) && credit.DebitsPosted.Less(credits) {
		return journal.TransferExceedsDebits
	}
	return journal.Created
}

// apply moves or reserves the amount: from here on, nothing can fail.
func (s *State) apply(t *journal.Transfer, i int, at uint64, amount money.U128) {
	p := &s.prep[i]
	debit, credit := s.edit(p.debit), s.edit(p.credit)
	if t.Flags.Has(journal.TransferPending) {
		debit.DebitsPending = add(debit.DebitsPending, amount)
		credit.CreditsPending = add(credit.CreditsPending, amount)
		if t.Flags.Has(journal.TransferClosingDebit) {
			debit.Flags |= journal.AccountClosed
		}
		if t.Flags.Has(journal.TransferClosingCredit) {
			credit.Flags |= journal.AccountClosed
		}
		s.openPending(t, i, at, amount)
	} else {
		debit.DebitsPosted = add(debit.DebitsPosted, amount)
		credit.CreditsPosted = add(credit.CreditsPosted, amount)
		s.book(debit, credit, amount)
		if s.transit.Step == journal.TransitTransfer {
			s.transits.end(s.position(s.first+i), amount)
		}
	}
	if amount != t.Amount {
		s.special = append(s.special, special{event: s.first + i, amount: amount})
	}
	if s.limited(debit, credit) {
		s.countVelocity(p.debit, p.credit, amount, at)
	}
	s.record(i, at, p.debit, p.credit, false)
}

// record enters a created transfer into the ids, the digest and the effects; keep asks for a row of its balances.
func (s *State) record(i int, at uint64, debit, credit uint32, keep bool) {
	hash, pos := s.prep[i].hash, s.position(s.first+i)
	s.ids.insert(hash, uint64(pos)<<2)
	if s.chain.open {
		s.chain.created = append(s.chain.created, created{hash: hash, value: uint64(pos) << 2})
	}
	s.lastXfer = at
	s.counts.Transfers++
	s.changed = true
	s.fx.Transfers = append(s.fx.Transfers, TransferEffect{Event: uint32(s.first + i), Debit: debit, Credit: credit}) //nolint:gosec // ≤ MaxEvents
	if s.books.date != s.dayOf(at) {
		s.fx.Bookings = append(s.fx.Bookings, BookingEffect{Event: uint32(s.first + i), Date: s.books.date}) //nolint:gosec // ≤ MaxEvents
	}
	keep = keep || Sampled(pos)
	s.settle(debit, pos, keep)
	s.settle(credit, pos, keep)
}

// settle notes an account's new balances: in the digest, and in its history if it keeps one or a row is asked for.
func (s *State) settle(n uint32, pos journal.Position, keep bool) {
	a := s.accounts.at(n)
	s.mix(n, a)
	if history := a.Flags.Has(journal.AccountHistory); history || keep {
		s.fx.History = append(s.fx.History, HistoryRow{Account: n, Sampled: !history, Position: pos, Balances: BalancesOf(a)})
	}
}

// BalancesOf returns the account's four sums.
func BalancesOf(a *journal.Account) Balances {
	return Balances{a.DebitsPending, a.DebitsPosted, a.CreditsPending, a.CreditsPosted}
}

func add(a, b money.U128) money.U128 {
	sum, over := a.Add(b)
	if over {
		must.True(false, "%v + %v overflows after it was checked", a, b)
	}
	return sum
}

func sub(a, b money.U128) money.U128 {
	diff, under := a.Sub(b)
	if under {
		must.True(false, "%v - %v is negative", a, b)
	}
	return diff
}
