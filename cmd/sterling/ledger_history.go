package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/money"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

// accountName splits what names an account: an id, or else an address.
func accountName(text string) (id, address string, err error) {
	if v, err := money.Parse(text); err == nil {
		return v.String(), "", nil
	}
	if journal.CheckAddress(text) != nil {
		return "", "", usage("%q names no account: want an id, or an address such as merchant:1001:settlement", text)
	}
	return "", text, nil
}

// periodFlags choose a period of a statement.
type periodFlags struct{ from, to, by string }

func (p *periodFlags) register(c *cobra.Command) {
	c.Flags().StringVar(&p.from, "from", "", "with balances, from then on: 2026-01-31, 2026-01-31T12:00:00Z or nanoseconds since 1970")
	c.Flags().StringVar(&p.to, "to", "", "with balances, up to then, inclusive; a day counts whole")
	c.Flags().StringVar(&p.by, "by", "", "with balances, by time, or by booking-date: then --from and --to are days in the ledger's zone")
}

func (p *periodFlags) set() bool { return p.from != "" || p.to != "" || p.by != "" }

// request reads the flags into a request.
func (p *periodFlags) request(r *ledgerv1.GetStatementRequest) (err error) {
	switch p.by {
	case "booking-date":
		r.ByBookingDate = true
		for flag, day := range map[string]string{"--from": p.from, "--to": p.to} {
			if _, err := journal.ParseDate(day); day != "" && err != nil {
				return usage("%s: %w", flag, err)
			}
		}
		r.FromDate, r.ToDate = p.from, p.to
		return nil
	case "", "time":
		if r.TimestampMin, err = parseTime(p.from); err != nil {
			return err
		}
		r.TimestampMax, err = parseEnd(p.to)
		return err
	}
	return usage("--by %q: want time or booking-date", p.by)
}

// parseEnd is parseTime for a moment that ends something: a day ends with its last nanosecond, UTC.
func parseEnd(text string) (uint64, error) {
	ns, err := parseTime(text)
	if _, notDay := time.Parse(time.DateOnly, text); err == nil && notDay == nil {
		ns += 86_400*1_000_000_000 - 1
	}
	return ns, err
}

// maxStatementRows is how many rows the API gives at a time.
const maxStatementRows = 1000

// statement prints rows with the balances after each, page by page up to the limit.
func (s *session) statement(ctx context.Context, r *ledgerv1.GetStatementRequest, limit uint32) error {
	ctx, cancel := s.call(ctx)
	defer cancel()
	var all *ledgerv1.GetStatementResponse
	for {
		r.Limit = min(limit, maxStatementRows)
		if all != nil {
			r.Limit = min(limit-uint32(len(all.GetRows())), maxStatementRows) //nolint:gosec // ≤ limit
		}
		page, err := s.client.History().GetStatement(ctx, r)
		if err != nil {
			return err
		}
		if all == nil {
			all = page
		} else {
			all.Rows, all.NextPageToken = append(all.Rows, page.GetRows()...), page.GetNextPageToken()
		}
		if r.PageToken = page.GetNextPageToken(); r.PageToken == "" || len(all.GetRows()) >= int(limit) {
			break
		}
	}
	return s.printStatement(all, r.GetByBookingDate())
}

func (s *session) printStatement(r *ledgerv1.GetStatementResponse, byDate bool) error {
	in := func(amount string) string { return decimal(amount, r.GetAsset()) }
	balances := func(b *ledgerv1.Balances) []string {
		columns := []string{in(b.GetDebitsPosted()), in(b.GetCreditsPosted())}
		if !byDate {
			columns = append(columns, in(b.GetDebitsPending()), in(b.GetCreditsPending()))
		}
		return columns
	}
	head := "TIME TRANSFER WHAT DEBIT CREDIT DEBITS CREDITS PENDING-DEBITS PENDING-CREDITS"
	if byDate {
		head = "BOOKED TRANSFER WHAT DEBIT CREDIT DEBITS CREDITS"
	}
	rows := [][]string{append([]string{"", "", "opening", "", ""}, balances(r.GetOpening())...)}
	for _, row := range r.GetRows() {
		when := stamp(row.GetTimestamp())
		if byDate {
			when = row.GetBookingDate()
		}
		what, amount := movement(row)
		if x := row.GetTransfer().GetTransit(); x != nil {
			what += fmt.Sprintf(" (%s, cell %d)", short(x.GetStep().String()), x.GetPeer())
		}
		debit, credit := in(amount), ""
		if row.GetSide() == ledgerv1.TransferSide_TRANSFER_SIDE_CREDIT {
			debit, credit = "", debit
		}
		if m := row.GetMoved(); m != nil {
			debit, credit = in(movedSum(m.GetBalances().GetDebitsPosted(), m.GetBalances().GetDebitsPending())), in(movedSum(m.GetBalances().GetCreditsPosted(), m.GetBalances().GetCreditsPending()))
		}
		rows = append(rows, append([]string{when, askedID(row.GetTransfer()), what, debit, credit}, balances(row.GetBalances())...))
	}
	rows = append(rows, append([]string{"", "", "closing", "", ""}, balances(r.GetClosing())...))
	if r.GetNextPageToken() != "" && s.flags.output != "json" {
		s.note("there is more: raise --limit, or choose a shorter period")
	}
	if s.flags.output != "json" {
		s.printf("account %s, amounts in %s\n", r.GetAccountId(), r.GetAsset())
	}
	return s.print(r, head, rows)
}

// movedSum is what was handed over on one side: an account takes along what is posted, a reservation what is reserved.
func movedSum(posted, pending string) string {
	if posted == "0" && pending != "" {
		return pending
	}
	return posted
}

// movement says in a word what a row did, and of which amount.
func movement(r *ledgerv1.StatementRow) (what, amount string) {
	switch {
	case r.GetMoved().GetLeft():
		return "left for another cell", "0"
	case r.GetMoved() != nil:
		return "came from another cell", "0"
	case r.GetExpired():
		return "expired", r.GetReleased()
	case r.GetReserved() != "0":
		return "reserved", r.GetReserved()
	case r.GetPosted() == "0" && r.GetReleased() != "0":
		return "released", r.GetReleased()
	}
	return "posted", r.GetPosted()
}

func newAsOf(f *ledgerFlags) *cobra.Command {
	var at, on string
	c := &cobra.Command{
		Use: "as-of ACCOUNT", Short: "Show an account's balances as they were", Args: cobra.ExactArgs(1),
		Long: `Exact at any moment (--at), or at the end of a day by booking dates (--on): then what
was recorded later for days up to it counts, and what was recorded before for later
days does not. ACCOUNT is an id or an address.`,
		Example: `  sterling ledger as-of 1001 --at 2026-01-31T12:00:00Z
  sterling ledger as-of merchant:1001:settlement --on 2026-01-31`,
		RunE: func(c *cobra.Command, args []string) error {
			r := &ledgerv1.GetBalanceAsOfRequest{BookingDate: on}
			var err error
			if r.AccountId, r.Address, err = accountName(args[0]); err != nil {
				return err
			}
			if r.Timestamp, err = parseEnd(at); err != nil {
				return err
			}
			if at != "" && on != "" {
				return usage("--at and --on: want one of them")
			}
			if _, err := journal.ParseDate(on); on != "" && err != nil {
				return usage("--on: %w", err)
			}
			return f.with(c, func(ctx context.Context, s *session) error {
				ctx, cancel := s.call(ctx)
				defer cancel()
				response, err := s.client.History().GetBalanceAsOf(ctx, r)
				if err != nil {
					return err
				}
				b, in := response.GetBalances(), func(v string) string { return dash(decimal(v, response.GetAsset())) }
				return s.print(response, "ACCOUNT ASSET DEBITS CREDITS PENDING-DEBITS PENDING-CREDITS", [][]string{{
					response.GetAccountId(), response.GetAsset(), in(b.GetDebitsPosted()), in(b.GetCreditsPosted()),
					in(b.GetDebitsPending()), in(b.GetCreditsPending()),
				}})
			})
		},
	}
	c.Flags().StringVar(&at, "at", "", "2026-01-31T12:00:00Z, nanoseconds since 1970, or a day (to its end, UTC); default: now")
	c.Flags().StringVar(&on, "on", "", "the end of this day by booking dates")
	return c
}

func newTotals(f *ledgerFlags) *cobra.Command {
	return &cobra.Command{
		Use: "totals", Short: "Show the sums of all accounts now, by asset and code", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return f.with(c, func(ctx context.Context, s *session) error {
				ctx, cancel := s.call(ctx)
				defer cancel()
				r, err := s.client.History().GetTotals(ctx, &ledgerv1.GetTotalsRequest{})
				if err != nil {
					return err
				}
				var rows [][]string
				for _, g := range append(r.GetGroups(), r.GetAssets()...) {
					in := func(v string) string { return decimal(v, g.GetAsset()) }
					code := strconv.Itoa(int(g.GetCode()))
					if code == "0" {
						code = "all"
					}
					rows = append(rows, []string{
						g.GetAsset(), code, strconv.FormatUint(g.GetAccounts(), 10), in(g.GetDebitsPosted()), in(g.GetCreditsPosted()),
						in(g.GetDebitsPending()), in(g.GetCreditsPending()),
					})
				}
				return s.print(r, "ASSET CODE ACCOUNTS DEBITS CREDITS PENDING-DEBITS PENDING-CREDITS", rows)
			})
		},
	}
}

func newAgeing(f *ledgerFlags) *cobra.Command {
	var (
		asset  string
		code   uint16
		bounds []string
		limit  uint32
	)
	c := &cobra.Command{
		Use: "ageing", Short: "Show how old the open reservations are, and the oldest", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			r := &ledgerv1.GetPendingAgeingRequest{Asset: asset, Code: uint32(code), Limit: limit}
			for _, b := range bounds {
				d, err := parseAge(b)
				if err != nil {
					return err
				}
				r.Bounds = append(r.Bounds, d)
			}
			return f.with(c, func(ctx context.Context, s *session) error {
				ctx, cancel := s.call(ctx)
				defer cancel()
				response, err := s.client.History().GetPendingAgeing(ctx, r)
				if err != nil {
					return err
				}
				return s.printAgeing(response)
			})
		},
	}
	c.Flags().StringVar(&asset, "asset", "", "only reservations of this asset, CODE/SCALE")
	c.Flags().Uint16Var(&code, "code", 0, "only reservations with this code")
	c.Flags().StringSliceVar(&bounds, "bounds", nil, "ages that divide them, ascending, such as 1h,1d,7d,30d (which is the default)")
	c.Flags().Uint32Var(&limit, "limit", 20, "oldest reservations to list, 1 to 1,000")
	return c
}

// parseAge reads 90s, 1h or 7d as seconds.
func parseAge(text string) (uint64, error) {
	if days, ok := strings.CutSuffix(text, "d"); ok {
		n, err := strconv.ParseUint(days, 10, 32)
		if err != nil {
			return 0, usage("--bounds: %q is no age: want one such as 90s, 1h or 7d", text)
		}
		return n * 86_400, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < time.Second {
		return 0, usage("--bounds: %q is no age: want one such as 90s, 1h or 7d", text)
	}
	return uint64(d / time.Second), nil
}

func age(seconds uint64) string {
	if seconds%86_400 == 0 {
		return fmt.Sprintf("%dd", seconds/86_400)
	}
	return strings.TrimSuffix(strings.TrimSuffix((time.Duration(seconds)*time.Second).String(), "0s"), "0m") //nolint:gosec // ages
}

func (s *session) printAgeing(r *ledgerv1.GetPendingAgeingResponse) error {
	if s.flags.output == "json" {
		return s.printJSON(r)
	}
	head := "ASSET CODE"
	for _, b := range r.GetBounds() {
		head += " UNDER-" + age(b)
	}
	head += " OLDER"
	var rows [][]string
	for _, g := range r.GetGroups() {
		row := []string{g.GetAsset(), strconv.Itoa(int(g.GetCode()))}
		for _, b := range g.GetBuckets() {
			row = append(row, fmt.Sprintf("%s (%d)", decimal(b.GetAmount(), g.GetAsset()), b.GetCount()))
		}
		rows = append(rows, row)
	}
	if err := s.print(r, head, rows); err != nil {
		return err
	}
	s.printf("\n")
	rows = nil
	for _, p := range r.GetOldest() {
		rows = append(rows, []string{
			p.GetId(), p.GetDebitAccountId(), p.GetCreditAccountId(), decimal(p.GetRemaining(), p.GetAsset()), p.GetAsset(),
			strconv.Itoa(int(p.GetCode())), stamp(p.GetTimestamp()), dash(stamp(p.GetExpires())),
		})
	}
	return s.print(r, "OLDEST DEBIT CREDIT REMAINING ASSET CODE SINCE EXPIRES", rows)
}

func newAddresses(f *ledgerFlags) *cobra.Command {
	var limit uint32
	c := &cobra.Command{
		Use: "list-addresses [PREFIX]", Short: "List accounts by the beginning of their addresses", Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			r := &ledgerv1.ListAccountsByAddressRequest{Limit: limit, Prefix: strings.Join(args, "")}
			return f.with(c, func(ctx context.Context, s *session) error {
				ctx, cancel := s.call(ctx)
				defer cancel()
				response, err := s.client.History().ListAccountsByAddress(ctx, r)
				if err != nil {
					return err
				}
				var rows [][]string
				for i, row := range accountRows(response.GetAccounts()) {
					rows = append(rows, append([]string{response.GetAccounts()[i].GetAddress()}, row...))
				}
				if response.GetNextPageToken() != "" && s.flags.output != "json" {
					s.note("there is more: raise --limit, or give a longer prefix")
				}
				return s.print(response, "ADDRESS "+accountHead, rows)
			})
		},
	}
	c.Flags().Uint32Var(&limit, "limit", 100, "accounts at most, 1 to 8,190")
	return c
}
