package main

import (
	"context"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

// control prints the outcome of one control and judges it.
func (s *session) control(id string, status ledgerv1.ControlStatus) error {
	if s.flags.output != "json" {
		s.printf("%s  %s\n", id, short(status.String()))
	}
	if status == ledgerv1.ControlStatus_CONTROL_STATUS_CREATED || status == ledgerv1.ControlStatus_CONTROL_STATUS_EXISTS {
		return nil
	}
	if hint := controlHint(status); hint != "" {
		return &exitError{exitRefused, fmt.Errorf("refused: %s: %s", short(status.String()), hint)}
	}
	return &exitError{exitRefused, fmt.Errorf("refused: %s", short(status.String()))}
}

func newFreeze(f *ledgerFlags) *cobra.Command {
	var (
		id, account, mode, reason string
		code                      uint16
		whole                     bool
	)
	c := &cobra.Command{
		Use: "freeze", Short: "Stop debits, credits or both: of an account, of a transfer code, or of everything", Args: cobra.NoArgs,
		Long: `Takes effect ahead of everything that is queued. Voids and expiries always pass.
Another operator than the one who froze lifts it: see "sterling ledger unfreeze".`,
		Example: `  sterling ledger freeze --account 2 --mode debit --reason "card stolen"
  sterling ledger freeze --code 7 --reason "payroll file is wrong"
  sterling ledger freeze --cell --reason "stop everything"`,
		RunE: func(c *cobra.Command, _ []string) error {
			request := &ledgerv1.FreezeRequest{Reason: reason}
			given := 0
			if account != "" {
				if err := checkAccount("--account", account); err != nil {
					return err
				}
				request.Selector = &ledgerv1.FreezeRequest_AccountId{AccountId: account}
				given++
			}
			if c.Flags().Changed("code") {
				request.Selector = &ledgerv1.FreezeRequest_TransferCode{TransferCode: uint32(code)}
				given++
			}
			if whole {
				request.Selector = &ledgerv1.FreezeRequest_WholeCell{WholeCell: true}
				given++
			}
			if given != 1 {
				return usage("say what to freeze, one of --account, --code and --cell")
			}
			m, err := enumValue(ledgerv1.FreezeMode_value, "FREEZE_MODE_", mode, "mode")
			if err != nil {
				return err
			}
			request.Mode = ledgerv1.FreezeMode(m)
			return f.with(c, func(ctx context.Context, s *session) error { return s.freeze(ctx, id, request) })
		},
	}
	c.Flags().StringVar(&id, "id", "", "id of the freeze (default: a new one)")
	c.Flags().StringVar(&account, "account", "", "freeze this account")
	c.Flags().Uint16Var(&code, "code", 0, "freeze all transfers with this code")
	c.Flags().BoolVar(&whole, "cell", false, "freeze every transfer of the cell")
	c.Flags().StringVar(&mode, "mode", "all", "debit, credit or all")
	c.Flags().StringVar(&reason, "reason", "", "why, up to 64 bytes")
	return c
}

func (s *session) freeze(ctx context.Context, id string, request *ledgerv1.FreezeRequest) (err error) {
	if by, ok := request.GetSelector().(*ledgerv1.FreezeRequest_AccountId); ok {
		if by.AccountId, err = s.account(ctx, "--account", by.AccountId); err != nil {
			return err
		}
	}
	if request.Id, err = s.giveID(id); err != nil {
		return err
	}
	ctx, cancel := s.call(ctx)
	defer cancel()
	response, err := s.Freeze(ctx, request)
	if err != nil {
		return fmt.Errorf("freeze %s: %w", request.GetId(), s.explain(err))
	}
	if s.flags.output == "json" {
		if err := s.printJSON(response); err != nil {
			return err
		}
	}
	return s.control(request.GetId(), response.GetStatus())
}

func newUnfreeze(f *ledgerFlags) *cobra.Command {
	var id, reason string
	c := &cobra.Command{
		Use: "unfreeze FREEZE-ID", Short: "Lift a freeze; it takes another person than the one who froze", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			freeze, err := parseID("freeze id", args[0])
			if err != nil {
				return err
			}
			return f.with(c, func(ctx context.Context, s *session) error {
				given, err := s.giveID(id)
				if err != nil {
					return err
				}
				ctx, cancel := s.call(ctx)
				defer cancel()
				response, err := s.Unfreeze(ctx, &ledgerv1.UnfreezeRequest{Id: given, FreezeId: freeze, Reason: reason})
				if err != nil {
					return fmt.Errorf("unfreeze %s: %w", given, s.explain(err))
				}
				if s.flags.output == "json" {
					if err := s.printJSON(response); err != nil {
						return err
					}
				}
				return s.control(given, response.GetStatus())
			})
		},
	}
	c.Flags().StringVar(&id, "id", "", "id of this unfreezing (default: a new one)")
	c.Flags().StringVar(&reason, "reason", "", "why, up to 64 bytes")
	return c
}

func newFreezes(f *ledgerFlags) *cobra.Command {
	return &cobra.Command{
		Use: "freezes", Short: "List the freezes in force", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return f.with(c, func(ctx context.Context, s *session) error {
				ctx, cancel := s.call(ctx)
				defer cancel()
				response, err := s.ListFreezes(ctx, &ledgerv1.ListFreezesRequest{})
				if err != nil {
					return err
				}
				var rows [][]string
				for _, x := range response.GetFreezes() {
					what := "cell"
					switch by := x.GetSelector().(type) {
					case *ledgerv1.FrozenState_AccountId:
						what = "account:" + by.AccountId
					case *ledgerv1.FrozenState_TransferCode:
						what = "code:" + strconv.Itoa(int(by.TransferCode))
					}
					rows = append(rows, []string{x.GetId(), what, short(x.GetMode().String()), stamp(x.GetTimestamp()), x.GetActor(), x.GetReason()})
				}
				return s.print(response, "ID WHAT MODE TIME TOKEN REASON", rows)
			})
		},
	}
}

func newLimits(f *ledgerFlags) *cobra.Command {
	var (
		id, side, asset   string
		hour, day         string
		hourCount, dCount uint32
	)
	c := &cobra.Command{
		Use: "limits ACCOUNT", Short: "Bound how much may move through one side of an account", Args: cobra.ExactArgs(1),
		Long: `Sets the limit of one side of an account, in the place of the one it had. Windows
are hours and days of UTC. What is left out is not limited.`,
		Example: `  sterling ledger limits 2 --side debit --amount-per-day "5000 CNY" --count-per-hour 20`,
		RunE: func(c *cobra.Command, args []string) error {
			if err := checkAccount("account", args[0]); err != nil {
				return err
			}
			v, err := enumValue(ledgerv1.TransferSide_value, "TRANSFER_SIDE_", side, "side")
			if err != nil {
				return err
			}
			return f.with(c, func(ctx context.Context, s *session) error {
				account, err := s.account(ctx, "account", args[0])
				if err != nil {
					return err
				}
				limit := &ledgerv1.VelocityLimit{AccountId: account, Side: ledgerv1.TransferSide(v), CountPerHour: hourCount, CountPerDay: dCount}
				if limit.AmountPerHour, err = s.limitAmount(ctx, account, "amount-per-hour", hour, asset); err != nil {
					return err
				}
				if limit.AmountPerDay, err = s.limitAmount(ctx, account, "amount-per-day", day, asset); err != nil {
					return err
				}
				return s.limit(ctx, id, limit)
			})
		},
	}
	c.Flags().StringVar(&id, "id", "", "id of the limit (default: a new one)")
	c.Flags().StringVar(&side, "side", "debit", "debit or credit")
	c.Flags().StringVar(&asset, "asset", "", "CODE/SCALE or an ISO 4217 code, where amounts count minor units")
	c.Flags().StringVar(&hour, "amount-per-hour", "", `such as "500 CNY"`)
	c.Flags().StringVar(&day, "amount-per-day", "", `such as "5000 CNY"`)
	c.Flags().Uint32Var(&hourCount, "count-per-hour", 0, "transfers")
	c.Flags().Uint32Var(&dCount, "count-per-day", 0, "transfers")
	return c
}

// limitAmount reads a limit. It has to be of the account's asset: minor units of another are another amount.
func (s *session) limitAmount(ctx context.Context, account, flag, text, asset string) (string, error) {
	if text == "" {
		return "", nil
	}
	amount, unit, err := s.parseAmount(ctx, flag, text, asset)
	if err != nil {
		return "", err
	}
	ctx, cancel := s.call(ctx)
	defer cancel()
	found, err := s.LookupAccounts(ctx, &ledgerv1.LookupAccountsRequest{Ids: []string{account}})
	if err != nil {
		return "", err
	}
	for _, a := range found.GetAccounts() {
		if unit != "" && a.GetAsset() != unit {
			return "", usage("--%s is in %s, account %s counts %s", flag, unit, account, a.GetAsset())
		}
	}
	return amount, nil
}

func (s *session) limit(ctx context.Context, id string, limit *ledgerv1.VelocityLimit) (err error) {
	if limit.Id, err = s.giveID(id); err != nil {
		return err
	}
	ctx, cancel := s.call(ctx)
	defer cancel()
	response, err := s.SetVelocityLimits(ctx, &ledgerv1.SetVelocityLimitsRequest{Limits: []*ledgerv1.VelocityLimit{limit}})
	if err != nil {
		return fmt.Errorf("limit %s: %w", limit.GetId(), s.explain(err))
	}
	if s.flags.output == "json" {
		if err := s.printJSON(response); err != nil {
			return err
		}
	}
	return s.control(limit.GetId(), response.GetResults()[0].GetStatus())
}

func newStatus(f *ledgerFlags) *cobra.Command {
	return &cobra.Command{
		Use: "status", Short: "Show where the node stands", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return f.with(c, func(ctx context.Context, s *session) error {
				ctx, cancel := s.call(ctx)
				defer cancel()
				r, err := s.admin.Status(ctx, &ledgerv1.StatusRequest{})
				if err != nil {
					return err
				}
				if s.flags.output == "json" {
					return s.printJSON(r)
				}
				s.printf("version    %s\ncell       %d, epoch %d%s\njournal    block %d\nindex      block %d%s\naccounts   %d\ntransfers  %d\nmemory     %d MB\nclock      %s\ndisk       %s\n",
					r.GetVersion(), r.GetCell(), r.GetEpoch(), roleText(r), r.GetHead(), r.GetIndexSeq(), indexState(r), r.GetAccounts(), r.GetTransfers(),
					r.GetMemoryBytes()/1e6, short(r.GetClock().String()), short(r.GetDisk().String()))
				return nil
			})
		},
	}
}

// roleText says which part a node has in a cell of several, "" where it is the only one.
func roleText(r *ledgerv1.StatusResponse) string {
	switch r.GetRole() {
	case ledgerv1.CellRole_CELL_ROLE_LEADER:
		return ", leader"
	case ledgerv1.CellRole_CELL_ROLE_STANDBY:
		if r.GetLeader() != "" {
			return ", standby of " + r.GetLeader()
		}
		return ", standby; nobody is known to lead"
	}
	return ""
}

// indexState says what a person should know of the index, "" where all is well.
func indexState(r *ledgerv1.StatusResponse) string {
	switch r.GetIndex() {
	case ledgerv1.IndexState_INDEX_STATE_BUILDING:
		return fmt.Sprintf(", being built: %d%%, queries are unavailable until then", r.GetIndexPercent())
	case ledgerv1.IndexState_INDEX_STATE_REBUILDING:
		return fmt.Sprintf(", a new one is being built: %d%%", r.GetIndexPercent())
	case ledgerv1.IndexState_INDEX_STATE_FAILED:
		return ", the build of a new one failed: the server's log has the cause, `sterling index rebuild` tries again"
	}
	return ""
}

func newAcceptClock(f *ledgerFlags) *cobra.Command {
	return &cobra.Command{
		Use: "accept-clock", Short: "Let writes go on after the server's clock jumped forward", Args: cobra.NoArgs,
		Long: `A clock that jumps forward by more than 10 s holds all writes, because block times
can't be taken back. Look at the server's clock first: this accepts it as it is.`,
		RunE: func(c *cobra.Command, _ []string) error {
			return f.with(c, func(ctx context.Context, s *session) error {
				ctx, cancel := s.call(ctx)
				defer cancel()
				response, err := s.admin.AcceptClock(ctx, &ledgerv1.AcceptClockRequest{})
				if err == nil && s.flags.output == "json" {
					err = s.printJSON(response)
				}
				return err
			})
		},
	}
}
