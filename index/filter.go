package index

import (
	"fmt"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/ledger"
	"github.com/sterlingrun/sterling/money"
)

// AccountFilter chooses transfers of one account. Zero means that a field does not matter, but for AccountID and Limit.
type AccountFilter struct {
	AccountID    money.U128
	UserData128  money.U128
	UserData64   uint64
	UserData32   uint32
	Code         uint16
	TimestampMin uint64 // ns since 1970, inclusive
	TimestampMax uint64 // ns since 1970, inclusive
	Limit        int    // rows at most, 1 to journal.MaxEvents
	Debits       bool   // transfers that debit the account; neither this nor Credits means both
	Credits      bool   // transfers that credit the account
	Reversed     bool   // latest first
}

// QueryFilter chooses transfers or accounts. Zero means that a field does not matter, but for Limit.
type QueryFilter struct {
	UserData128  money.U128
	UserData64   uint64
	UserData32   uint32
	Asset        uint32 // number in the catalogue of assets
	Code         uint16
	TimestampMin uint64 // ns since 1970, inclusive
	TimestampMax uint64 // ns since 1970, inclusive
	Limit        int    // rows at most, 1 to journal.MaxEvents
	Reversed     bool   // latest first
}

func (f *AccountFilter) check() error {
	if f.AccountID.IsZero() || f.AccountID.IsMax() {
		return fmt.Errorf("%w: account id %v", ErrFilter, f.AccountID)
	}
	return checkRange(f.TimestampMin, f.TimestampMax, f.Limit)
}

func (f *QueryFilter) check() error { return checkRange(f.TimestampMin, f.TimestampMax, f.Limit) }

func checkRange(from, to uint64, limit int) error {
	if limit < 1 || limit > journal.MaxEvents {
		return fmt.Errorf("%w: limit %d is not within 1 to %d", ErrFilter, limit, journal.MaxEvents)
	}
	if to != 0 && from > to {
		return fmt.Errorf("%w: from timestamp %d to %d", ErrFilter, from, to)
	}
	return nil
}

// needsRecord reports whether the index alone can't tell if a transfer matches.
func (f *AccountFilter) needsRecord() bool { return f.Code != 0 || f.Debits != f.Credits }

func (f *AccountFilter) match(t *ledger.Transfer) bool {
	switch {
	case f.Code != 0 && t.Code != f.Code:
		return false
	case f.Debits && !f.Credits:
		return t.Debit == f.AccountID
	case f.Credits && !f.Debits:
		return t.Credit == f.AccountID
	}
	return true
}

// match compares everything but user data, which the index has.
func (f *QueryFilter) match(t *ledger.Transfer) bool {
	return (f.Code == 0 || t.Code == f.Code) && (f.Asset == 0 || t.Asset == f.Asset)
}
