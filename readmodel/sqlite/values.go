package sqlite

import (
	"fmt"
	"strings"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/money"
	"github.com/sterlingrun/sterling/readmodel"
)

const (
	amountDigits = 39 // of 2^128 - 1
	sumDigits    = 58 // of 2^192 - 1
	u64Digits    = 20 // of 2^64 - 1
)

const zeros = "0000000000000000000000000000000000000000000000000000000000"

func pad(digits string, n int) string { return zeros[:n-len(digits)] + digits }

// amount is an amount as the tables have it.
func amount(v money.U128) string { return pad(v.String(), amountDigits) }

// id is an id as the tables have it, and as the API writes it.
func id(v money.U128) string { return v.String() }

// optional is an id that may be missing.
func optional(v money.U128) any {
	if v.IsZero() {
		return nil
	}
	return v.String()
}

// userData are the three fields.
func userData(u *readmodel.UserData) (d128, d64 string, d32 int64) {
	return u.D128.String(), fmt.Sprintf("%0*d", u64Digits, u.D64), int64(u.D32)
}

// ns is a timestamp; they are below 2^63.
func ns(v uint64) int64 { return int64(v) } //nolint:gosec // journal.MaxTimestamp

// optionalNs is a timestamp that may be missing. A reservation may expire beyond what the timeline has; then it never
// does.
func optionalNs(v uint64) any {
	if v == 0 || v > journal.MaxTimestamp {
		return nil
	}
	return ns(v)
}

func position(p journal.Position) int64 { return int64(p) } //nolint:gosec // 62 bits

func optionalText(s string) any {
	if s == "" {
		return nil
	}
	return s
}

func optionalBytes(b []byte) any {
	if b == nil {
		return nil
	}
	return b
}

func actor(a *journal.Actor) []byte { return a[:] }

// number reads an amount or an id.
type number struct{ to *money.U128 }

// Scan implements sql.Scanner.
func (n number) Scan(v any) (err error) {
	s, ok := v.(string)
	if !ok {
		return fmt.Errorf("a number is of type %T: %w", v, readmodel.ErrTables)
	}
	if s = strings.TrimLeft(s, "0"); s == "" {
		s = "0"
	}
	if *n.to, err = money.Parse(s); err != nil {
		return fmt.Errorf("%w: %w", readmodel.ErrTables, err)
	}
	return nil
}
