// Package statement reads statements of bank accounts: ISO 20022 camt.053 (versions 001.02 and later, which differ little
// in what is read here) and CSV by a mapping. Amounts stay exact: they are minor units by the currency's ISO 4217 scale.
// It never guesses and never corrects: what is malformed, in a currency that does not exist, or does not add up is an
// error that names its line. It sends nothing and knows no ledger; `sterling watch import` does.
//
// Start reading at Statement, then ReadCamt and ReadCSV. Why the reader is our own: docs/adr/0012-bank-statements.md.
package statement

import (
	"errors"
	"fmt"
	"math/big"
	"strings"
	"time"

	"github.com/sterlingrun/sterling/money"
)

// Bounds of what is read.
const (
	MaxBytes   = 256 << 20 // of a file
	MaxEntries = 1_000_000 // of a file, with the details of batches
	MaxText    = 1024      // bytes of a text; longer ones are cut, at a character
)

// What can be wrong with a statement. Each comes within an *Error.
var (
	ErrMalformed = errors.New("malformed statement")
	ErrCurrency  = errors.New("unknown currency")
	ErrSums      = errors.New("the sums are wrong")
	ErrTooLarge  = errors.New("too large")
)

// Error says where a statement can't be used, and why. It wraps one of the errors above.
type Error struct {
	Line    int    // from 1 on
	Element string // or column, such as "Ntry/Amt"; may be empty
	Err     error
}

// Error implements error.
func (e *Error) Error() string {
	if e.Element == "" {
		return fmt.Sprintf("line %d: %v", e.Line, e.Err)
	}
	return fmt.Sprintf("line %d: %s: %v", e.Line, e.Element, e.Err)
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Amount is minor units of Asset; Minus: a debit, money that left the account.
type Amount struct {
	Minor money.U128
	Minus bool
	Asset string // such as "CNY/2"
}

// String is the amount with its sign, in minor units.
func (a Amount) String() string {
	if a.Minus && a.Minor != (money.U128{}) {
		return "-" + a.Minor.String()
	}
	return a.Minor.String()
}

func (a Amount) signed() *big.Int {
	n, _ := new(big.Int).SetString(a.String(), 10) // it is a number
	return n
}

// Statement is what a bank says of one account over a time.
type Statement struct {
	Line             int
	ID               string // the bank's
	Account          string // IBAN, or the bank's own number
	From, To         time.Time
	Created          time.Time
	Opening, Closing *Amount // booked; nil: not said
	Entries          []Entry // booked ones
	Pending          int     // entries that are not booked, and left out
}

// Entry is one movement: an entry, or one transaction of a batch entry whose details add up to it.
type Entry struct {
	Line          int
	Amount        Amount
	Booked, Value time.Time // Value may be zero
	Reference     string    // the bank's (AcctSvcrRef), unique for the account where it is there
	EndToEnd      string    // what the payer gave it; empty: nothing
	Text          string    // remittance information
	Reversal      bool
}

// Through is the moment up to which the statement is complete: its end, but never after it was made.
func (s *Statement) Through() time.Time {
	if !s.Created.IsZero() && s.Created.Before(s.To) {
		return s.Created
	}
	return s.To
}

// check says whether opening balance and entries make the closing balance, in one currency.
func (s *Statement) check() error {
	fault := func(line int, format string, args ...any) error {
		return &Error{line, "", fmt.Errorf("%w: %s", ErrSums, fmt.Sprintf(format, args...))}
	}
	if s.Opening == nil || s.Closing == nil {
		return nil
	}
	if s.Opening.Asset != s.Closing.Asset {
		return fault(s.Line, "it opens in %s and closes in %s", s.Opening.Asset, s.Closing.Asset)
	}
	sum := s.Opening.signed()
	for i := range s.Entries {
		e := &s.Entries[i]
		if e.Amount.Asset != s.Opening.Asset {
			return fault(e.Line, "an entry in %s on an account in %s", e.Amount.Asset, s.Opening.Asset)
		}
		sum.Add(sum, e.Amount.signed())
	}
	if closing := s.Closing.signed(); sum.Cmp(closing) != 0 {
		return fault(s.Line, "statement %s: opening %v and %d entries make %v, and it closes with %v (minor units of %s)",
			s.ID, s.Opening, len(s.Entries), sum, closing, s.Opening.Asset)
	}
	return nil
}

// assetOf returns the asset of a currency, with its ISO 4217 scale.
func assetOf(code string) (money.Asset, error) {
	c, ok := money.CurrencyOf(code)
	if !ok {
		return money.Asset{}, fmt.Errorf("%w %.40q: want a code of ISO 4217", ErrCurrency, code)
	}
	return money.ResolveAsset(c.Code)
}

// bounded cuts a text at a character, and leaves out what can't be printed.
func bounded(text string) string {
	text = strings.Join(strings.Fields(strings.ToValidUTF8(text, "?")), " ")
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 {
			return -1
		}
		return r
	}, text)
	if len(text) <= MaxText {
		return text
	}
	return strings.ToValidUTF8(text[:MaxText], "")
}
