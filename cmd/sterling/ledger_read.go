package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

func newAccounts(f *ledgerFlags) *cobra.Command {
	return &cobra.Command{
		Use: "accounts ACCOUNT…", Short: "Show accounts with their balances, by ids or addresses", Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return f.with(c, func(ctx context.Context, s *session) error {
				ids, err := s.accounts(ctx, "account", args)
				if err != nil {
					return err
				}
				ctx, cancel := s.call(ctx)
				defer cancel()
				response, err := s.LookupAccounts(ctx, &ledgerv1.LookupAccountsRequest{Ids: ids})
				if err != nil {
					return err
				}
				if err := s.print(response, accountHead, accountRows(response.GetAccounts())); err != nil {
					return err
				}
				found := map[string]bool{}
				for _, a := range response.GetAccounts() {
					found[a.GetId()] = true
				}
				return missing("account", ids, found)
			})
		},
	}
}

func newTransfers(f *ledgerFlags) *cobra.Command {
	return &cobra.Command{
		Use: "transfers ID…", Short: "Show transfers as they were recorded", Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			ids, err := parseIDs(args)
			if err != nil {
				return err
			}
			return f.with(c, func(ctx context.Context, s *session) error {
				ctx, cancel := s.call(ctx)
				defer cancel()
				response, err := s.LookupTransfers(ctx, &ledgerv1.LookupTransfersRequest{Ids: ids})
				if err != nil {
					return err
				}
				if err := s.printTransfers(ctx, response, response.GetTransfers()); err != nil {
					return err
				}
				found := map[string]bool{}
				for _, t := range response.GetTransfers() {
					found[t.GetId()] = true
				}
				return missing("transfer", ids, found)
			})
		},
	}
}

// missing is an error that names what was asked for and isn't there.
func missing(what string, ids []string, found map[string]bool) error {
	var lost []string
	for _, id := range ids {
		if !found[id] {
			lost = append(lost, id)
		}
	}
	switch len(lost) {
	case 0:
		return nil
	case 1:
		return fmt.Errorf("there is no %s %s", what, lost[0])
	default:
		return fmt.Errorf("there are no %ss %s", what, strings.Join(lost, ", "))
	}
}

const accountHead = "ID ASSET CODE DEBITS CREDITS PENDING-DEBITS PENDING-CREDITS FLAGS OPENED ADDRESS METADATA"

func accountRows(list []*ledgerv1.Account) [][]string {
	var rows [][]string
	for _, a := range list {
		in := func(amount string) string { return decimal(amount, a.GetAsset()) }
		rows = append(rows, []string{
			a.GetId(), a.GetAsset(), strconv.Itoa(int(a.GetCode())), in(a.GetDebitsPosted()), in(a.GetCreditsPosted()),
			in(a.GetDebitsPending()), in(a.GetCreditsPending()), flagNames(a.GetFlags()), stamp(a.GetTimestamp()),
			dash(a.GetAddress()), metaText(a.GetMetadata()),
		})
	}
	return rows
}

const transferHead = "ID DEBIT CREDIT AMOUNT ASSET CODE FLAGS PENDING-ID TIME BOOKED METADATA"

// transferRows makes rows of transfers; names has the addresses of accounts.
func transferRows(list []*ledgerv1.Transfer, names map[string]string) [][]string {
	var rows [][]string
	for _, t := range list {
		flags := flagNames(t.GetFlags())
		if step := stepText(t); step != "" {
			flags = strings.TrimPrefix(flags+","+step, "-,")
		}
		rows = append(rows, []string{
			t.GetId(), called(t.GetDebitAccountId(), names), called(t.GetCreditAccountId(), names), decimal(t.GetAmount(), t.GetAsset()), t.GetAsset(),
			strconv.Itoa(int(t.GetCode())), flags, dash(t.GetPendingId()), stamp(t.GetTimestamp()),
			dash(t.GetBookingDate()), metaText(t.GetMetadata()),
		})
	}
	return rows
}

func flagNames[T fmt.Stringer](flags []T) string {
	var names []string
	for _, f := range flags {
		names = append(names, short(f.String()))
	}
	return dash(strings.Join(names, ","))
}

// dash stands for nothing in a table.
func dash(text string) string {
	if text == "" || text == "0" {
		return "-"
	}
	return text
}

// filterFlags are the flags of everything that lists rows.
type filterFlags struct {
	user         userFlags
	code         uint16
	since, until string
	limit        uint32
	reversed     bool
	debits       bool
	credits      bool
	asset        string
}

func (q *filterFlags) register(c *cobra.Command) {
	c.Flags().StringVar(&q.user.data128, "user-data-128", "", "only rows with this")
	c.Flags().Uint64Var(&q.user.data64, "user-data-64", 0, "only rows with this")
	c.Flags().Uint32Var(&q.user.data32, "user-data-32", 0, "only rows with this")
	c.Flags().Uint16Var(&q.code, "code", 0, "only rows with this")
	c.Flags().StringVar(&q.since, "since", "", "from then on: 2026-01-31, 2026-01-31T12:00:00Z or nanoseconds since 1970")
	c.Flags().StringVar(&q.until, "until", "", "up to then, inclusive")
	c.Flags().Uint32Var(&q.limit, "limit", 100, "rows at most, 1 to 8,190")
	c.Flags().BoolVar(&q.reversed, "reversed", false, "latest first")
}

func (q *filterFlags) registerSides(c *cobra.Command) {
	q.register(c)
	c.Flags().BoolVar(&q.debits, "debits", false, "only what was debited")
	c.Flags().BoolVar(&q.credits, "credits", false, "only what was credited")
}

func (q *filterFlags) times() (since, until uint64, err error) {
	if since, err = parseTime(q.since); err != nil {
		return 0, 0, err
	}
	until, err = parseTime(q.until)
	return since, until, err
}

// ofAccount makes the filter of one account, whose name is yet to be resolved.
func (q *filterFlags) ofAccount(id string) (*ledgerv1.AccountFilter, error) {
	if err := checkAccount("account", id); err != nil {
		return nil, err
	}
	since, until, err := q.times()
	return &ledgerv1.AccountFilter{
		AccountId: id, UserData_128: q.user.data128, UserData_64: q.user.data64, UserData_32: q.user.data32, Code: uint32(q.code),
		TimestampMin: since, TimestampMax: until, Limit: q.limit, Debits: q.debits, Credits: q.credits, Reversed: q.reversed,
	}, err
}

func (q *filterFlags) ofLedger() (*ledgerv1.QueryFilter, error) {
	since, until, err := q.times()
	if err != nil {
		return nil, err
	}
	asset, err := assetName("asset", q.asset)
	return &ledgerv1.QueryFilter{
		UserData_128: q.user.data128, UserData_64: q.user.data64, UserData_32: q.user.data32, Asset: asset, Code: uint32(q.code),
		TimestampMin: since, TimestampMax: until, Limit: q.limit, Reversed: q.reversed,
	}, err
}

// more tells how to see the rows after the limit.
func (s *session) more(next uint64, q *filterFlags) {
	if next == 0 || s.flags.output == "json" {
		return
	}
	flag := "--since"
	if q.reversed {
		flag = "--until"
	}
	s.note("there may be more: go on with %s %s", flag, stamp(next))
}

func newStatement(f *ledgerFlags) *cobra.Command {
	var q filterFlags
	var period periodFlags
	c := &cobra.Command{
		Use: "statement ACCOUNT", Short: "List the transfers of an account, or its statement of a period", Args: cobra.ExactArgs(1),
		Long: `Without --from, --to and --by: the account's transfers as they were recorded, chosen by
the other flags. With any of the three: its statement of that period, with the
balances before, after each row, and at the end. ACCOUNT is then an id or an address.`,
		RunE: func(c *cobra.Command, args []string) error {
			if period.set() {
				r := &ledgerv1.GetStatementRequest{}
				var err error
				if r.AccountId, r.Address, err = accountName(args[0]); err != nil {
					return err
				}
				if err := period.request(r); err != nil {
					return err
				}
				return f.with(c, func(ctx context.Context, s *session) error { return s.statement(ctx, r, max(q.limit, 1)) })
			}
			filter, err := q.ofAccount(args[0])
			if err != nil {
				return err
			}
			return f.with(c, func(ctx context.Context, s *session) error {
				if filter.AccountId, err = s.account(ctx, "account", filter.GetAccountId()); err != nil {
					return err
				}
				ctx, cancel := s.call(ctx)
				defer cancel()
				response, err := s.GetAccountTransfers(ctx, &ledgerv1.GetAccountTransfersRequest{Filter: filter})
				if err != nil {
					return err
				}
				s.more(response.GetNextTimestamp(), &q)
				return s.printTransfers(ctx, response, response.GetTransfers())
			})
		},
	}
	q.registerSides(c)
	period.register(c)
	return c
}

func newBalances(f *ledgerFlags) *cobra.Command {
	var q filterFlags
	c := &cobra.Command{
		Use: "balances ACCOUNT", Short: "List an account's balances after each of its transfers", Args: cobra.ExactArgs(1),
		Long: "Only accounts that were opened with the flag history have them.",
		RunE: func(c *cobra.Command, args []string) error {
			filter, err := q.ofAccount(args[0])
			if err != nil {
				return err
			}
			return f.with(c, func(ctx context.Context, s *session) error { return s.balances(ctx, filter, &q) })
		},
	}
	q.registerSides(c)
	return c
}

func (s *session) balances(ctx context.Context, filter *ledgerv1.AccountFilter, q *filterFlags) (err error) {
	if filter.AccountId, err = s.account(ctx, "account", filter.GetAccountId()); err != nil {
		return err
	}
	ctx, cancel := s.call(ctx)
	defer cancel()
	accounts, err := s.LookupAccounts(ctx, &ledgerv1.LookupAccountsRequest{Ids: []string{filter.GetAccountId()}})
	if err != nil {
		return err
	}
	if len(accounts.GetAccounts()) == 0 {
		return fmt.Errorf("there is no account %s", filter.GetAccountId())
	}
	response, err := s.GetAccountBalances(ctx, &ledgerv1.GetAccountBalancesRequest{Filter: filter})
	if err != nil {
		return err
	}
	var rows [][]string
	for _, b := range response.GetBalances() {
		in := func(amount string) string { return decimal(amount, accounts.GetAccounts()[0].GetAsset()) }
		rows = append(rows, []string{
			stamp(b.GetTimestamp()), in(b.GetDebitsPosted()), in(b.GetCreditsPosted()), in(b.GetDebitsPending()), in(b.GetCreditsPending()),
		})
	}
	s.more(response.GetNextTimestamp(), q)
	return s.print(response, "TIME DEBITS CREDITS PENDING-DEBITS PENDING-CREDITS", rows)
}

func newQueryAccounts(f *ledgerFlags) *cobra.Command {
	var q filterFlags
	c := &cobra.Command{
		Use: "query-accounts", Short: "List the accounts that match all that is given", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			filter, err := q.ofLedger()
			if err != nil {
				return err
			}
			return f.with(c, func(ctx context.Context, s *session) error {
				ctx, cancel := s.call(ctx)
				defer cancel()
				response, err := s.QueryAccounts(ctx, &ledgerv1.QueryAccountsRequest{Filter: filter})
				if err != nil {
					return err
				}
				s.more(response.GetNextTimestamp(), &q)
				return s.print(response, accountHead, accountRows(response.GetAccounts()))
			})
		},
	}
	q.register(c)
	c.Flags().StringVar(&q.asset, "asset", "", "only accounts of this asset, CODE/SCALE or an ISO 4217 code")
	return c
}

func newQueryTransfers(f *ledgerFlags) *cobra.Command {
	var q filterFlags
	c := &cobra.Command{
		Use: "query-transfers", Short: "List the transfers that match all that is given", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			filter, err := q.ofLedger()
			if err != nil {
				return err
			}
			return f.with(c, func(ctx context.Context, s *session) error {
				ctx, cancel := s.call(ctx)
				defer cancel()
				response, err := s.QueryTransfers(ctx, &ledgerv1.QueryTransfersRequest{Filter: filter})
				if err != nil {
					return err
				}
				s.more(response.GetNextTimestamp(), &q)
				return s.printTransfers(ctx, response, response.GetTransfers())
			})
		},
	}
	q.register(c)
	c.Flags().StringVar(&q.asset, "asset", "", "only transfers of this asset, CODE/SCALE or an ISO 4217 code")
	return c
}
