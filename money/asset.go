package money

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// MaxScale and MaxCode bound an asset: at most 18 decimal places, at most 15 characters.
const (
	MaxScale = 18
	MaxCode  = 15
)

// Asset is what an amount is counted in: a code and the number of decimal places of its minor unit. "CNY/2" counts
// fen; "CNY/4" is another asset that happens to share the code.
type Asset struct {
	Code  string // 1 to 15 of A-Z, 0-9, '.', '_', '-'; the first one a letter
	Scale uint8  // 0 to 18
}

// ErrAsset is what ParseAsset returns, wrapped with the text.
var ErrAsset = errors.New(`not an asset (want CODE/SCALE such as "CNY/2")`)

// ParseAsset reads CODE/SCALE.
func ParseAsset(s string) (Asset, error) {
	code, scale, ok := strings.Cut(s, "/")
	n, err := strconv.ParseUint(scale, 10, 8)
	if !ok || err != nil || scale != strconv.FormatUint(n, 10) {
		return Asset{}, fmt.Errorf("%.40q: %w", s, ErrAsset)
	}
	a := Asset{Code: code, Scale: uint8(n)}
	if !a.Valid() {
		return Asset{}, fmt.Errorf("%.40q: %w", s, ErrAsset)
	}
	return a, nil
}

// Valid reports whether the code and the scale are within their ranges.
func (a Asset) Valid() bool {
	if len(a.Code) == 0 || len(a.Code) > MaxCode || a.Scale > MaxScale {
		return false
	}
	for i := 0; i < len(a.Code); i++ {
		c := a.Code[i]
		letter := c >= 'A' && c <= 'Z'
		if !letter && (i == 0 || !(c >= '0' && c <= '9' || c == '.' || c == '_' || c == '-')) {
			return false
		}
	}
	return true
}

// String returns CODE/SCALE.
func (a Asset) String() string { return a.Code + "/" + strconv.Itoa(int(a.Scale)) }

// Format writes an amount of minor units as a decimal number of a's major unit: 1234 of CNY/2 is "12.34".
func (a Asset) Format(amount U128) string { return a.FormatDigits(amount.String()) }

// FormatDigits is Format for the decimal digits of an amount or a sum of any size.
func (a Asset) FormatDigits(digits string) string {
	if a.Scale == 0 {
		return digits
	}
	if short := int(a.Scale) + 1 - len(digits); short > 0 {
		digits = strings.Repeat("0", short) + digits
	}
	cut := len(digits) - int(a.Scale)
	return digits[:cut] + "." + digits[cut:]
}

// ParseAmount reads a decimal number of the major unit as minor units, exactly: decimal places beyond the scale are an
// error unless they are zeros.
func (a Asset) ParseAmount(s string) (U128, error) {
	whole, frac, dotted := strings.Cut(s, ".")
	if dotted && frac == "" {
		return U128{}, fmt.Errorf("%.48q: %w", s, ErrSyntax)
	}
	if extra := len(frac) - int(a.Scale); extra > 0 {
		if strings.Trim(frac[a.Scale:], "0") != "" {
			return U128{}, fmt.Errorf("%.48q: %s has only %d decimal places", s, a, a.Scale)
		}
		frac = frac[:a.Scale]
	}
	if whole == "" {
		return U128{}, fmt.Errorf("%.48q: %w", s, ErrSyntax)
	}
	return Parse(whole + frac + strings.Repeat("0", int(a.Scale)-len(frac)))
}
