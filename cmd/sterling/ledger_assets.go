package main

import (
	"context"
	"encoding/json"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/sterlingrun/sterling/money"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

func newAssets(f *ledgerFlags) *cobra.Command {
	var (
		catalogue bool
		search    string
	)
	c := &cobra.Command{
		Use: "assets [CODE/SCALE…]", Short: "List the assets, or register some",
		Long: `Accounts register their asset by themselves; packed records need it registered
before. Registering again changes nothing. A code of ISO 4217 alone is the currency
with the standard's decimal places: CNY is CNY/2, JPY is JPY/0.

With --catalogue, lists the currencies of ISO 4217; no server is asked.`,
		Example: `  sterling ledger assets CNY JPY BTC/8
  sterling ledger assets --catalogue --search yuan`,
		RunE: func(c *cobra.Command, args []string) error {
			switch {
			case catalogue && len(args) > 0:
				return usage("--catalogue only lists; leave out %s, or --catalogue", args[0])
			case catalogue:
				return f.catalogue(c, search)
			case c.Flags().Changed("search"):
				return usage("--search is for --catalogue")
			}
			names := make([]string, len(args))
			for i, text := range args {
				a, err := money.ResolveAsset(text)
				if err != nil {
					return usage("%w", err)
				}
				names[i] = a.String()
			}
			return f.with(c, func(ctx context.Context, s *session) error { return s.assets(ctx, names) })
		},
	}
	c.Flags().BoolVar(&catalogue, "catalogue", false, "list the currencies of ISO 4217")
	c.Flags().StringVar(&search, "search", "", "with --catalogue: only those with this in their code, number or name")
	return c
}

// assets registers assets, or lists all.
func (s *session) assets(ctx context.Context, names []string) error {
	ctx, cancel := s.call(ctx)
	defer cancel()
	rows := func(list []*ledgerv1.Asset) (rows [][]string) {
		for _, a := range list {
			rows = append(rows, []string{strconv.Itoa(int(a.GetNumber())), a.GetName(), strconv.Itoa(int(a.GetScale())), assetTitle(a.GetName())})
		}
		return rows
	}
	const head = "NUMBER ASSET DECIMALS NAME"
	if len(names) == 0 {
		response, err := s.ListAssets(ctx, &ledgerv1.ListAssetsRequest{})
		if err != nil {
			return err
		}
		return s.print(response, head, rows(response.GetAssets()))
	}
	response, err := s.RegisterAssets(ctx, &ledgerv1.RegisterAssetsRequest{Assets: names})
	if err != nil {
		return err
	}
	for _, name := range names {
		s.warnOffStandard(name)
	}
	return s.print(response, head, rows(response.GetAssets()))
}

// assetTitle is the name of a currency, "-" for other assets.
func assetTitle(asset string) string {
	a, err := money.ParseAsset(asset)
	if err != nil {
		return "-"
	}
	c, _ := money.CurrencyOf(a.Code)
	return dash(c.Name)
}

// catalogue lists currencies.
func (f *ledgerFlags) catalogue(c *cobra.Command, search string) error {
	if f.output != "text" && f.output != "json" {
		return usage("--output: want text or json, not %q", f.output)
	}
	found := money.Currencies(search)
	if len(found) == 0 {
		return usage("no currency of ISO 4217 has %q in its code, number or name", search)
	}
	if f.output == "json" {
		return writeCatalogue(json.NewEncoder(c.OutOrStdout()), found)
	}
	var rows [][]string
	for _, x := range found {
		rows = append(rows, []string{x.Asset().String(), x.Numeric(), strconv.Itoa(int(x.MinorUnits)), x.Name})
	}
	s := &session{flags: f, c: c}
	return s.print(nil, "ASSET NUMBER DECIMALS NAME", rows)
}

// writeCatalogue writes one JSON object a line.
func writeCatalogue(e *json.Encoder, list []money.Currency) error {
	for _, x := range list {
		err := e.Encode(map[string]any{
			"asset": x.Asset().String(), "code": x.Code, "number": x.Numeric(), "minorUnits": x.MinorUnits, "name": x.Name,
		})
		if err != nil {
			return err
		}
	}
	return nil
}
