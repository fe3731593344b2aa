package ledger

import (
	"sort"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/money"
	"github.com/sterlingrun/sterling/must"
)

// Marks that the state keeps in the Reserved field of its own accounts, so that the common transfer needs no look-up
// to know that nothing special applies.
const (
	markFrozenDebit = 1 << iota
	markFrozenCredit
	markLimitDebit
	markLimitCredit
)

// number returns the account's number, or 0.
func (s *State) number(id money.U128) uint32 { return s.numberByHash(id, s.hasher.hash(id)) }

func (s *State) numberByHash(id money.U128, hash uint64) uint32 {
	seg := s.accountNo.segment(hash)
	for p, v := seg.find(hash, 0); p >= 0; p, v = seg.find(hash, p+1) {
		if n := uint32(v); s.accounts.at(n).ID == id { //nolint:gosec // account numbers are 32 bits
			return n
		}
	}
	return 0
}

// ownNumber returns the number of an account that is a caller's, or 0.
func (s *State) ownNumber(id money.U128) uint32 {
	n := s.number(id)
	if n != 0 && s.accounts.at(n).Flags.Has(journal.AccountTransit) {
		return 0
	}
	return n
}

// Account returns a copy of the account with the given id, and its number; number 0 where there is none.
func (s *State) Account(id money.U128) (journal.Account, uint32) {
	n := s.number(id)
	if n == 0 {
		return journal.Account{}, 0
	}
	return s.AccountByNumber(n), n
}

// AccountByNumber returns a copy of account n, 1 ≤ n ≤ Counts().Accounts.
func (s *State) AccountByNumber(n uint32) journal.Account {
	a := *s.accounts.at(n)
	a.Reserved = 0
	return a
}

// edit returns account n for writing.
func (s *State) edit(n uint32) *journal.Account {
	a := s.accounts.at(n)
	if s.watchEdits {
		if s.chain.open {
			s.chain.accounts = append(s.chain.accounts, accountBefore{n, *a})
		}
		if s.snapshot != nil {
			s.snapshot.keepAccount(n, a)
		}
	}
	return a
}

func (s *State) createAccounts(events []journal.Account, first int, results []journal.Result) {
	imported := events[0].Flags.Has(journal.AccountImported)
	s.eachLinked(len(events), first, results,
		func(i int) bool { return events[i].Flags.Has(journal.AccountLinked) || s.approved && i < len(events)-1 },
		func(i int, at uint64) (journal.Status, uint64) {
			a := &events[i]
			if is := a.Flags.Has(journal.AccountImported); is != imported {
				return pick(imported, journal.AccountImportedEventExpected, journal.AccountImportedEventNotExpected), at
			}
			return s.createAccount(a, first+i, at)
		})
}

func pick(yes bool, a, b journal.Status) journal.Status {
	if yes {
		return a
	}
	return b
}

// createAccount validates in the published order of precedence.
func (s *State) createAccount(a *journal.Account, event int, at uint64) (journal.Status, uint64) {
	if a.Flags.Has(journal.AccountImported) {
		if a.Timestamp == 0 || a.Timestamp > journal.MaxTimestamp {
			return journal.AccountImportedEventTimestampOutOfRange, at
		}
		if a.Timestamp >= s.time {
			return journal.AccountImportedEventTimestampMustNotAdvance, at
		}
	} else if a.Timestamp != 0 {
		return journal.AccountTimestampMustBeZero, at
	}
	switch {
	case a.Reserved != 0:
		return journal.AccountReservedField, at
	case a.Flags&^(journal.AccountFlagsKnown|journal.AccountTransit|journal.AccountAttached) != 0,
		a.Flags.Has(journal.AccountTransit) && s.rules < transitRules,
		!s.flagged(event, a.Flags.Has(journal.AccountAttached)):
		return journal.AccountReservedFlag, at
	case a.ID.IsZero():
		return journal.AccountIdMustNotBeZero, at
	case a.ID.IsMax():
		return journal.AccountIdMustNotBeIntMax, at
	}
	hash := s.hasher.hash(a.ID)
	if n := s.numberByHash(a.ID, hash); n != 0 {
		e := s.accounts.at(n)
		if status := accountExists(a, e); status != journal.AccountExists {
			return status, e.Timestamp
		}
		return s.accountDetailsExist(n, event), e.Timestamp
	}
	if status := s.checkNewAccount(a, event); status != journal.Created {
		return status, at
	}
	if a.Flags.Has(journal.AccountImported) {
		at = a.Timestamp
	}
	s.addAccount(a, hash, event, at)
	return journal.Created, at
}

func accountExists(a, e *journal.Account) journal.Status {
	switch {
	case (a.Flags^e.Flags)&^journal.AccountAttached != 0:
		return journal.AccountExistsWithDifferentFlags
	case a.UserData128 != e.UserData128:
		return journal.AccountExistsWithDifferentUserData128
	case a.UserData64 != e.UserData64:
		return journal.AccountExistsWithDifferentUserData64
	case a.UserData32 != e.UserData32:
		return journal.AccountExistsWithDifferentUserData32
	case a.Asset != e.Asset:
		return journal.AccountExistsWithDifferentLedger
	case a.Code != e.Code:
		return journal.AccountExistsWithDifferentCode
	}
	return journal.AccountExists
}

func (s *State) checkNewAccount(a *journal.Account, event int) journal.Status {
	both := journal.AccountDebitsMustNotExceedCredits | journal.AccountCreditsMustNotExceedDebits
	switch {
	case a.Flags&both == both, a.Flags.Has(journal.AccountTransit) && a.Flags&journal.AccountFlagsKnown&^journal.AccountLinked != 0:
		return journal.AccountFlagsAreMutuallyExclusive
	case !a.DebitsPending.IsZero():
		return journal.AccountDebitsPendingMustBeZero
	case !a.DebitsPosted.IsZero():
		return journal.AccountDebitsPostedMustBeZero
	case !a.CreditsPending.IsZero():
		return journal.AccountCreditsPendingMustBeZero
	case !a.CreditsPosted.IsZero():
		return journal.AccountCreditsPostedMustBeZero
	case a.Asset == 0:
		return journal.AccountLedgerMustNotBeZero
	case a.Code == 0:
		return journal.AccountCodeMustNotBeZero
	}
	if a.Flags.Has(journal.AccountImported) && (a.Timestamp <= s.lastAcct || s.facts.TransferAt[a.Timestamp]) {
		return journal.AccountImportedEventTimestampMustNotRegress
	}
	if a.Flags.Has(journal.AccountImported) && s.needsApproval(journal.PolicyImportsApproved) {
		return journal.AccountApprovalRequired
	}
	if a.Flags.Has(journal.AccountAttached) {
		if address := decoded(s.builder.Attachment(event)).Address; address != "" && s.ByAddress(address) != 0 {
			return journal.AccountAddressTaken
		}
	}
	return journal.Created
}

func (s *State) addAccount(a *journal.Account, hash uint64, event int, at uint64) {
	must.True(s.nAccounts < 1<<32-2, "account numbers are used up")
	n := s.nAccounts + 1
	s.accounts.grow(n)
	kept := s.accounts.at(n)
	*kept = *a
	kept.Timestamp = at
	s.nAccounts = n
	s.accountNo.insert(hash, uint64(n))
	s.lastAcct = at
	s.changed = true
	s.joinGroup(kept)
	addressHash := s.addDetails(n, event)
	s.mix(n, kept)
	if s.chain.open {
		s.chain.created = append(s.chain.created, created{hash: hash, value: uint64(n), in: s.accountNo})
		if addressHash != 0 {
			s.chain.created = append(s.chain.created, created{hash: addressHash, value: uint64(n), in: s.addressNo})
		}
	}
	s.fx.Accounts = append(s.fx.Accounts, AccountEffect{Event: uint32(event), Number: n}) //nolint:gosec // ≤ MaxEvents
}

// accountAt reports whether an account has this timestamp: accounts are kept in the order of their timestamps.
func (s *State) accountAt(timestamp uint64) bool {
	n := int(s.nAccounts)
	i := sort.Search(n, func(i int) bool { return s.accounts.at(uint32(i+1)).Timestamp >= timestamp }) //nolint:gosec // ≤ n
	return i < n && s.accounts.at(uint32(i+1)).Timestamp == timestamp                                  //nolint:gosec // ≤ n
}
