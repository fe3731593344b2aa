package main

import (
	"context"

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
--through it has no end, so that days to come count too. LATE is what of the opening sums was booked into days
that were closed already.`,
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
				return s.print(response, trialHead, trialRows(response.GetRows()))
			})
		},
	}
	c.Flags().StringVar(&r.From, "from", "", "first day, 2026-01-31")
	c.Flags().StringVar(&r.Through, "through", "", "last day")
	return c
}
