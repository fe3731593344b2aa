package main

import (
	"context"
	"strings"

	"github.com/sterlingrun/sterling/money"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

// parseAmount reads "12.34 CNY", "12.34 CNY/2", or minor units of asset. It returns minor units and the asset.
func (s *session) parseAmount(ctx context.Context, flag, text, asset string) (amount, name string, err error) {
	if asset, err = assetName("asset", asset); err != nil {
		return "", "", err
	}
	number, unit, ok := strings.Cut(strings.TrimSpace(text), " ")
	if err := checkNumber(flag, number); err != nil {
		return "", "", err
	}
	if !ok {
		if strings.Contains(number, ".") {
			return "", "", usage(`--%s %s: say of what, such as --%s "%s CNY"; a number alone counts minor units`, flag, text, flag, text)
		}
		v, err := money.Parse(number)
		if err != nil {
			return "", "", usage("--%s: %w", flag, err)
		}
		return v.String(), asset, nil
	}
	unit = strings.TrimSpace(unit)
	if unit == "" || unit[0] >= '0' && unit[0] <= '9' { // "1 234 CNY"
		return "", "", usage(`--%s %q: an amount has no separators within it; write it as "1234567.89 CNY"`, flag, text)
	}
	a, err := s.unit(ctx, flag, unit, asset)
	if err != nil {
		return "", "", err
	}
	if asset != "" && asset != a.String() {
		return "", "", usage("--%s is in %s, --asset says %s", flag, a, asset)
	}
	v, err := a.ParseAmount(number)
	if err != nil {
		return "", "", usage("--%s: %w", flag, err)
	}
	return v.String(), a.String(), nil
}

// separators stand between thousands in some countries, and for the decimal point in others: "1,234" is one thousand
// and something, or one and something. Money is not guessed.
const separators = ",'_’٬ \u00a0\u202f\u2009"

func checkNumber(flag, number string) error {
	if strings.ContainsAny(number, separators) {
		return usage(`--%s %q: an amount has no separators within it; write it as "1234567.89 CNY"`, flag, number)
	}
	return nil
}

// unit reads what an amount is counted in: CODE/SCALE, the code that --asset has, an ISO 4217 code, or the code of the
// only asset of the ledger that has it.
func (s *session) unit(ctx context.Context, flag, unit, asset string) (money.Asset, error) {
	switch code, _, _ := strings.Cut(asset, "/"); {
	case unit == code:
		unit = asset
	case strings.Contains(unit, "/"):
	default:
		if c, ok := money.CurrencyOf(unit); ok {
			return c.Asset(), nil
		}
		var err error
		if unit, err = s.assetOf(ctx, unit); err != nil {
			return money.Asset{}, err
		}
	}
	a, err := money.ParseAsset(unit)
	if err != nil {
		return a, usage("--%s: %w", flag, err)
	}
	return a, nil
}

// assetOf finds the one asset of the ledger with a code.
func (s *session) assetOf(ctx context.Context, code string) (string, error) {
	if s.listed == nil {
		ctx, cancel := s.call(ctx)
		defer cancel()
		list, err := s.ListAssets(ctx, &ledgerv1.ListAssetsRequest{})
		if err != nil {
			return "", err
		}
		s.listed = list.GetAssets()
	}
	var found []string
	for _, a := range s.listed {
		if c, _, _ := strings.Cut(a.GetName(), "/"); c == code {
			found = append(found, a.GetName())
		}
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return "", usage("no asset of the ledger has the code %q: write it with its decimal places, such as %s/2", code, code)
	default:
		return "", usage("%s is ambiguous: the ledger has %s; write one of them", code, strings.Join(found, " and "))
	}
}

// assetName reads CODE/SCALE or an ISO 4217 code alone, and returns CODE/SCALE; "" stays "".
func assetName(flag, text string) (string, error) {
	if text == "" {
		return "", nil
	}
	a, err := money.ResolveAsset(text)
	if err != nil {
		return "", usage("--%s: %w", flag, err)
	}
	return a.String(), nil
}

// warnOffStandard tells that an asset has a currency's code and not its decimal places. It is allowed: some books keep
// fractions of a cent.
func (s *session) warnOffStandard(asset string) {
	a, err := money.ParseAsset(asset)
	if err != nil {
		return
	}
	if c, off := a.OffStandard(); off {
		s.note("note: %s has other decimal places than ISO 4217 gives %s (%s): %s alone means %s", a, c.Code, c.Name, c.Code, c.Asset())
	}
}
