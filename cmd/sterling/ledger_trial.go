package main

import (
	"context"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/sterlingrun/sterling/journal"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

func newTrialBalance(f *ledgerFlags) *cobra.Command {
	var r ledgerv1.GetTrialBalanceRequest
	c := &cobra.Command{
		Use: "trial-balance", Short: "Show the trial balance of a period, by asset and code", Args: cobra.NoArgs,
		Long: `Posted amounts by booking dates: what the days before the period add up to, what was
booked in it, and both together. Without --from it begins with the first day, without
--through it has no end, so that days to come count too.`,
		RunE: func(c *cobra.Command, _ []string) error {
			for flag, day := range map[string]string{"--from": r.GetFrom(), "--through": r.GetThrough()} {
				if _, err := journal.ParseDate(day); day != "" && err != nil {
					return usage("%s: %w", flag, err)
				}
			}
			return f.with(c, func(ctx context.Context, s *session) error {
				ctx, cancel := s.call(ctx)
				defer cancel()
				response, err := s.client.Books().GetTrialBalance(ctx, &r)
				if err != nil {
					return err
				}
				var rows [][]string
				for _, t := range response.GetRows() {
					in := func(v string) string { return decimal(v, t.GetAsset()) }
					rows = append(rows, []string{
						t.GetAsset(), strconv.Itoa(int(t.GetCode())), in(t.GetOpeningDebits()), in(t.GetOpeningCredits()),
						in(t.GetDebits()), in(t.GetCredits()), in(t.GetClosingDebits()), in(t.GetClosingCredits()),
					})
				}
				return s.print(response, "ASSET CODE OPENING-DEBITS OPENING-CREDITS DEBITS CREDITS CLOSING-DEBITS CLOSING-CREDITS", rows)
			})
		},
	}
	c.Flags().StringVar(&r.From, "from", "", "first day, 2026-01-31")
	c.Flags().StringVar(&r.Through, "through", "", "last day")
	return c
}
