package main

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/spf13/cobra"

	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

// userFlags are the fields that are free for the caller.
type userFlags struct {
	data128 string
	data64  uint64
	data32  uint32
}

func (u *userFlags) register(c *cobra.Command) {
	c.Flags().StringVar(&u.data128, "user-data-128", "", "free for you, 128 bits")
	c.Flags().Uint64Var(&u.data64, "user-data-64", 0, "free for you, 64 bits")
	c.Flags().Uint32Var(&u.data32, "user-data-32", 0, "free for you, 32 bits")
}

func newCreateAccounts(f *ledgerFlags) *cobra.Command {
	var (
		user             userFlags
		asset, timestamp string
		code             uint16
		flags            []string
		address          string
		meta             []string
	)
	c := &cobra.Command{
		Use: "create-accounts [ID…]", Short: "Open accounts, all with the same fields",
		Long: `Opens an account for each id; without one, an account with a new id. Flags:
debits_must_not_exceed_credits, credits_must_not_exceed_debits, history, closed,
imported (with --timestamp), linked (all of them succeed, or none).

An address names one account for ever, such as merchant:1001:settlement. Wherever an
account is asked for, its address will do.`,
		Example: `  sterling ledger create-accounts --asset CNY/2 --code 1 1 2
  sterling ledger create-accounts --asset CNY --code 2 --address merchant:1001:settlement --meta tier=gold
  sterling ledger create-accounts --asset CNY/2 --code 1 --flag debits_must_not_exceed_credits --flag history 3`,
		RunE: func(c *cobra.Command, args []string) error {
			base := &ledgerv1.Account{
				Code: uint32(code), UserData_128: user.data128, UserData_64: user.data64, UserData_32: user.data32,
			}
			var err error
			if base.Asset, err = assetName("asset", asset); err != nil {
				return err
			}
			if base.Timestamp, err = parseTime(timestamp); err != nil {
				return err
			}
			if base.Metadata, err = parseMeta(meta); err != nil {
				return err
			}
			if base.Address = address; address != "" && len(args) > 1 {
				return usage("--address names one account; give one id, or none")
			}
			for _, name := range flags {
				v, err := enumValue(ledgerv1.AccountFlag_value, "ACCOUNT_FLAG_", name, "flag")
				if err != nil {
					return err
				}
				base.Flags = append(base.Flags, ledgerv1.AccountFlag(v))
			}
			return f.with(c, func(ctx context.Context, s *session) error { return s.createAccounts(ctx, base, args) })
		},
	}
	user.register(c)
	c.Flags().StringVar(&asset, "asset", "", `what they count: CODE/SCALE, or a code of ISO 4217 ("CNY" is "CNY/2", yuan with two decimals)`)
	c.Flags().Uint16Var(&code, "code", 0, "place in the chart of accounts, 1 to 65,535")
	c.Flags().StringArrayVar(&flags, "flag", nil, "a flag; may be given several times")
	c.Flags().StringVar(&timestamp, "timestamp", "", "with --flag imported: when it was opened")
	c.Flags().StringVar(&address, "address", "", "a name of its own, such as merchant:1001:settlement")
	c.Flags().StringArrayVar(&meta, "meta", nil, metaHelp)
	return c
}

func (s *session) createAccounts(ctx context.Context, base *ledgerv1.Account, args []string) error {
	ids, err := parseIDs(args)
	if err != nil {
		return err
	}
	if len(ids) == 0 {
		id, err := s.giveID("")
		if err != nil {
			return err
		}
		ids = []string{id}
	}
	request := &ledgerv1.CreateAccountsRequest{}
	for i, id := range ids {
		a := &ledgerv1.Account{
			Id: id, Asset: base.GetAsset(), Code: base.GetCode(), UserData_128: base.GetUserData_128(),
			UserData_64: base.GetUserData_64(), UserData_32: base.GetUserData_32(), Timestamp: base.GetTimestamp(),
			Address: base.GetAddress(), Metadata: base.GetMetadata(),
		}
		if a.Timestamp != 0 {
			a.Timestamp += uint64(i) // they are unique
		}
		for _, flag := range base.GetFlags() {
			if flag != ledgerv1.AccountFlag_ACCOUNT_FLAG_LINKED || i+1 < len(ids) { // the last one ends the chain
				a.Flags = append(a.Flags, flag)
			}
		}
		request.Accounts = append(request.Accounts, a)
	}
	ctx, cancel := s.call(ctx)
	defer cancel()
	response, err := s.CreateAccounts(ctx, request)
	if err != nil {
		return err
	}
	if opened(response.GetResults()[0].GetStatus()) {
		s.warnOffStandard(base.GetAsset())
	}
	return s.printOpened(response, ids)
}

// printOpened prints the outcome of opening accounts and judges it.
func (s *session) printOpened(response *ledgerv1.CreateAccountsResponse, ids []string) error {
	var rows [][]string
	var hints hints
	bad := 0
	for i, r := range response.GetResults() {
		if !opened(r.GetStatus()) {
			bad++
			hints.add(accountHint(r.GetStatus()))
		}
		rows = append(rows, []string{ids[i], short(r.GetStatus().String()), stamp(r.GetTimestamp())})
	}
	if err := s.print(response, "ID STATUS TIME", rows); err != nil {
		return err
	}
	if bad > 0 {
		hints.print(s)
		return refused(bad, len(rows))
	}
	return nil
}

// opened reports whether an account is in the ledger as it was asked for.
func opened(s ledgerv1.CreateAccountStatus) bool {
	return s == ledgerv1.CreateAccountStatus_CREATE_ACCOUNT_STATUS_CREATED || s == ledgerv1.CreateAccountStatus_CREATE_ACCOUNT_STATUS_EXISTS
}

// transferFlags are the flags of transfer, post and void.
type transferFlags struct {
	user                       userFlags
	id, from, to, amount       string
	asset, timestamp           string
	code                       uint16
	flags, meta                []string
	date                       string
	timeout                    time.Duration
	pending, fence, keepRemain bool
}

func newTransfer(f *ledgerFlags) *cobra.Command {
	var t transferFlags
	c := &cobra.Command{
		Use: "transfer", Short: "Move money from one account to another, or reserve it", Args: cobra.NoArgs,
		Long: `Moves an amount, or with --pending reserves it until a post or a void. The id makes
a transfer happen once, however often it is sent: give one with --id to be able to
send it again. Flags: balancing_debit, balancing_credit, closing_debit,
closing_credit, imported (with --timestamp).`,
		Example: `  sterling ledger transfer --from 1 --to 2 --amount "12.34 CNY" --code 1
  sterling ledger transfer --from 1 --to 2 --amount 1234 --asset CNY/2 --code 1 --id 100
  sterling ledger transfer --from 1 --to 2 --amount "5 CNY" --code 1 --pending --timeout 10m`,
		RunE: func(c *cobra.Command, _ []string) error {
			x, err := t.move()
			if err != nil {
				return err
			}
			return f.with(c, func(ctx context.Context, s *session) error { return s.transfer(ctx, &t, x) })
		},
	}
	c.Flags().StringVar(&t.id, "id", "", "id of the transfer (default: a new one)")
	t.registerMove(c)
	return c
}

// move is the transfer that the flags of transfer begin with.
func (t *transferFlags) move() (*ledgerv1.Transfer, error) {
	if t.amount == "" || t.from == "" || t.to == "" {
		return nil, usage("a transfer needs --from, --to and --amount")
	}
	x := &ledgerv1.Transfer{}
	if t.pending {
		x.Flags = append(x.Flags, ledgerv1.TransferFlag_TRANSFER_FLAG_PENDING)
	}
	return x, nil
}

// registerMove adds the flags of transfer, but for its id.
func (t *transferFlags) registerMove(c *cobra.Command) {
	t.user.register(c)
	t.registerBooking(c)
	c.Flags().StringVar(&t.from, "from", "", "account that gives (is debited): its id or its address")
	c.Flags().StringVar(&t.to, "to", "", "account that takes (is credited)")
	c.Flags().StringVar(&t.amount, "amount", "", `such as "12.34 CNY", or minor units with --asset`)
	c.Flags().StringVar(&t.asset, "asset", "", "CODE/SCALE or an ISO 4217 code, where --amount counts minor units")
	c.Flags().Uint16Var(&t.code, "code", 0, "reason for the transfer, 1 to 65,535")
	c.Flags().BoolVar(&t.pending, "pending", false, "only reserve the amount")
	c.Flags().DurationVar(&t.timeout, "timeout", 0, "with --pending: give the amount back after this time, whole seconds (0: never)")
	c.Flags().StringArrayVar(&t.flags, "flag", nil, "a flag; may be given several times")
	c.Flags().StringVar(&t.timestamp, "timestamp", "", "with --flag imported: when it happened")
}

// registerBooking adds the flags that every transfer has.
func (t *transferFlags) registerBooking(c *cobra.Command) {
	c.Flags().StringVar(&t.date, "booking-date", "", "day in the books, 2026-01-31 (default: the day it is recorded, in the ledger's zone)")
	c.Flags().StringArrayVar(&t.meta, "meta", nil, metaHelp)
}

func newPost(f *ledgerFlags) *cobra.Command {
	var t transferFlags
	c := &cobra.Command{
		Use: "post PENDING-ID", Short: "Post a pending transfer, in full or in part", Args: cobra.ExactArgs(1),
		Example: `  sterling ledger post 100
  sterling ledger post 100 --amount "3 CNY" --keep-remainder`,
		RunE: func(c *cobra.Command, args []string) error {
			flags := []ledgerv1.TransferFlag{ledgerv1.TransferFlag_TRANSFER_FLAG_POST_PENDING_TRANSFER}
			if t.keepRemain {
				flags = append(flags, ledgerv1.TransferFlag_TRANSFER_FLAG_KEEP_REMAINDER)
			}
			return f.resolve(c, &t, args[0], flags)
		},
	}
	t.registerResolve(c)
	c.Flags().StringVar(&t.amount, "amount", "", "what of it (default: all)")
	c.Flags().StringVar(&t.asset, "asset", "", "CODE/SCALE or an ISO 4217 code (default: that of the pending transfer)")
	c.Flags().BoolVar(&t.keepRemain, "keep-remainder", false, "leave the rest reserved, for a later post")
	return c
}

func newVoid(f *ledgerFlags) *cobra.Command {
	var t transferFlags
	c := &cobra.Command{
		Use: "void PENDING-ID", Short: "Void a pending transfer: nothing moves", Args: cobra.ExactArgs(1),
		Long: `Gives a reserved amount back. With --fence, an id that is not known yet is burned, so
that a reservation that comes late fails.`,
		RunE: func(c *cobra.Command, args []string) error {
			flags := []ledgerv1.TransferFlag{ledgerv1.TransferFlag_TRANSFER_FLAG_VOID_PENDING_TRANSFER}
			if t.fence {
				flags = append(flags, ledgerv1.TransferFlag_TRANSFER_FLAG_FENCE)
			}
			return f.resolve(c, &t, args[0], flags)
		},
	}
	t.registerResolve(c)
	c.Flags().BoolVar(&t.fence, "fence", false, "burn the id if it is unknown")
	return c
}

func (t *transferFlags) registerResolve(c *cobra.Command) {
	t.user.register(c)
	t.registerBooking(c)
	c.Flags().StringVar(&t.id, "id", "", "id of this transfer (default: a new one)")
	c.Flags().Uint16Var(&t.code, "code", 0, "reason (default: that of the pending transfer)")
}

func (f *ledgerFlags) resolve(c *cobra.Command, t *transferFlags, pending string, flags []ledgerv1.TransferFlag) error {
	id, err := parseID("pending id", pending)
	if err != nil {
		return err
	}
	return f.with(c, func(ctx context.Context, s *session) error {
		return s.transfer(ctx, t, &ledgerv1.Transfer{PendingId: id, Flags: flags})
	})
}

// fill completes a transfer with what the flags say.
func (s *session) fill(ctx context.Context, t *transferFlags, x *ledgerv1.Transfer) (err error) {
	if x.Id, err = s.giveID(t.id); err != nil {
		return err
	}
	for _, side := range []struct {
		flag, text string
		id         *string
	}{{"--from", t.from, &x.DebitAccountId}, {"--to", t.to, &x.CreditAccountId}} {
		if *side.id, err = s.account(ctx, side.flag, side.text); err != nil {
			return err
		}
	}
	x.BookingDate = t.date
	if x.Metadata, err = parseMeta(t.meta); err != nil {
		return err
	}
	if x.Asset, err = assetName("asset", t.asset); err != nil {
		return err
	}
	if t.amount != "" {
		var amount string
		if amount, x.Asset, err = s.parseAmount(ctx, "amount", t.amount, t.asset); err != nil {
			return err
		}
		x.Amount = &amount
	}
	if x.GetAsset() == "" && x.GetPendingId() == "" {
		return usage(`--amount %s: say of what, such as --asset CNY/2 for minor units, or --amount "12.34 CNY"`, t.amount)
	}
	if t.timeout%time.Second != 0 || t.timeout < 0 || t.timeout/time.Second > math.MaxUint32 {
		return usage("--timeout %v: want whole seconds, up to %d", t.timeout, uint32(math.MaxUint32))
	}
	for _, name := range t.flags {
		v, err := enumValue(ledgerv1.TransferFlag_value, "TRANSFER_FLAG_", name, "flag")
		if err != nil {
			return err
		}
		x.Flags = append(x.Flags, ledgerv1.TransferFlag(v))
	}
	x.Timeout, x.Code = uint32(t.timeout/time.Second), uint32(t.code) //nolint:gosec // checked above
	x.UserData_128, x.UserData_64, x.UserData_32 = t.user.data128, t.user.data64, t.user.data32
	x.Timestamp, err = parseTime(t.timestamp)
	return err
}

// transfer sends one transfer and prints its outcome.
func (s *session) transfer(ctx context.Context, t *transferFlags, x *ledgerv1.Transfer) error {
	if err := s.fill(ctx, t, x); err != nil {
		return err
	}
	ctx, cancel := s.call(ctx)
	defer cancel()
	response, err := s.CreateTransfers(ctx, &ledgerv1.CreateTransfersRequest{Transfers: []*ledgerv1.Transfer{x}})
	if err != nil {
		return fmt.Errorf("transfer %s: %w", x.GetId(), s.explain(err))
	}
	r := response.GetResults()[0]
	if err := s.print(response, "ID STATUS TIME", [][]string{{x.GetId(), short(r.GetStatus().String()), stamp(r.GetTimestamp())}}); err != nil {
		return err
	}
	if !recorded(r.GetStatus()) {
		if t.fence && r.GetStatus() == ledgerv1.CreateTransferStatus_CREATE_TRANSFER_STATUS_PENDING_TRANSFER_NOT_FOUND {
			s.note("nothing to void; from now on transfer %s can't be created any more", x.GetPendingId())
		}
		var hints hints
		hints.add(transferHint(r.GetStatus()))
		hints.print(s)
		return refused(1, 1)
	}
	return nil
}

// recorded reports whether a transfer is in the ledger as it was asked for.
func recorded(s ledgerv1.CreateTransferStatus) bool {
	return s == ledgerv1.CreateTransferStatus_CREATE_TRANSFER_STATUS_CREATED || s == ledgerv1.CreateTransferStatus_CREATE_TRANSFER_STATUS_EXISTS
}
