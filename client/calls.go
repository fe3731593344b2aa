package client

import (
	"context"
	"encoding/binary"
	"fmt"

	"github.com/sterlingrun/sterling/money"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

// CreateAccounts opens accounts: one result each, in order. After a lost answer
// the same accounts are sent again; those recorded the first time then have the
// status EXISTS, with the timestamp of their creation. Errors are as in
// [Client.CreateTransfers].
func (c *Client) CreateAccounts(ctx context.Context, accounts ...*Account) (*ledgerv1.CreateAccountsResponse, error) {
	ctx, cancel := c.policy.bound(ctx)
	defer cancel()
	var t trail
	response, err := c.createAccounts(ctx, &t, accounts)
	return response, unknown(err, t.unsure, accounts)
}

func (c *Client) createAccounts(ctx context.Context, t *trail, accounts []*Account) (*ledgerv1.CreateAccountsResponse, error) {
	r := &ledgerv1.CreateAccountsRequest{Accounts: accounts}
	t.limit = c.policy.attempt
	response, err := repeat(ctx, c, t, fmt.Sprintf("create %d accounts", len(accounts)), r, ledgerv1.LedgerServiceClient.CreateAccounts)
	return response, t.complete(err, len(response.GetResults()), len(accounts))
}

// CreateTransfers records transfers: one result each, in order. After a lost
// answer the same transfers are sent again; those recorded the first time then
// have the status EXISTS, with the timestamp of their creation. An [UnknownError]
// means what it says: call again with the same transfers. After any other error
// none of them was recorded.
//
// A linked chain that was recorded before breaks at its first event, which has
// EXISTS, and the others have LINKED_EVENT_FAILED. [Client.Chain] looks after that
// by itself.
func (c *Client) CreateTransfers(ctx context.Context, transfers ...*Transfer) (*ledgerv1.CreateTransfersResponse, error) {
	ctx, cancel := c.policy.bound(ctx)
	defer cancel()
	var t trail
	response, err := c.createTransfers(ctx, &t, transfers)
	return response, unknown(err, t.unsure, transfers)
}

func (c *Client) createTransfers(ctx context.Context, t *trail, transfers []*Transfer) (*ledgerv1.CreateTransfersResponse, error) {
	r := &ledgerv1.CreateTransfersRequest{Transfers: transfers}
	t.limit = c.policy.attempt
	response, err := repeat(ctx, c, t, fmt.Sprintf("create %d transfers", len(transfers)), r, ledgerv1.LedgerServiceClient.CreateTransfers)
	return response, t.complete(err, len(response.GetResults()), len(transfers))
}

// complete is sameLength for writes: they may have been recorded.
func (t *trail) complete(err error, got, want int) error {
	if err == nil && got != want {
		t.unsure = true
	}
	return sameLength(err, got, want)
}

// unknown makes an UnknownError of err if the events may have been recorded.
func unknown[E interface{ GetId() string }](err error, unsure bool, events []E) error {
	if err == nil || !unsure {
		return err
	}
	ids := make([]money.U128, 0, len(events))
	for _, e := range events {
		if id, err := money.Parse(e.GetId()); err == nil { // else the server would have refused the call
			ids = append(ids, id)
		}
	}
	return &UnknownError{IDs: ids, Err: err}
}

// sameLength checks what callers rely on when they index results.
func sameLength(err error, got, want int) error {
	if err == nil && got != want {
		return fmt.Errorf("the server answered %d events with %d results", want, got)
	}
	return err
}

// LookupAccounts returns the accounts found, in the order asked.
func (c *Client) LookupAccounts(ctx context.Context, ids ...money.U128) ([]*Account, error) {
	r := &ledgerv1.LookupAccountsRequest{Ids: decimals(ids)}
	response, err := send(ctx, c, fmt.Sprintf("look up %d accounts", len(ids)), r, ledgerv1.LedgerServiceClient.LookupAccounts)
	return response.GetAccounts(), err
}

// LookupTransfers returns the transfers found, in the order asked.
func (c *Client) LookupTransfers(ctx context.Context, ids ...money.U128) ([]*Transfer, error) {
	r := &ledgerv1.LookupTransfersRequest{Ids: decimals(ids)}
	response, err := send(ctx, c, fmt.Sprintf("look up %d transfers", len(ids)), r, ledgerv1.LedgerServiceClient.LookupTransfers)
	return response.GetTransfers(), err
}

func decimals(ids []money.U128) []string {
	list := make([]string, len(ids))
	for i, id := range ids {
		list[i] = id.String()
	}
	return list
}

// AccountTransfers lists transfers of one account by timestamp. since may be nil;
// given the position of a response, the answer includes what that response did.
func (c *Client) AccountTransfers(ctx context.Context, f *AccountFilter, since *Position) (*ledgerv1.GetAccountTransfersResponse, error) {
	r := &ledgerv1.GetAccountTransfersRequest{Filter: f, MinPosition: since}
	return send(ctx, c, "list transfers of account "+f.GetAccountId(), r, ledgerv1.LedgerServiceClient.GetAccountTransfers)
}

// AccountBalances lists the balances of one account after each of its transfers.
// since is as in [Client.AccountTransfers].
func (c *Client) AccountBalances(ctx context.Context, f *AccountFilter, since *Position) (*ledgerv1.GetAccountBalancesResponse, error) {
	r := &ledgerv1.GetAccountBalancesRequest{Filter: f, MinPosition: since}
	return send(ctx, c, "list balances of account "+f.GetAccountId(), r, ledgerv1.LedgerServiceClient.GetAccountBalances)
}

// QueryAccounts lists accounts by timestamp. since is as in
// [Client.AccountTransfers].
func (c *Client) QueryAccounts(ctx context.Context, f *QueryFilter, since *Position) (*ledgerv1.QueryAccountsResponse, error) {
	r := &ledgerv1.QueryAccountsRequest{Filter: f, MinPosition: since}
	return send(ctx, c, "query accounts", r, ledgerv1.LedgerServiceClient.QueryAccounts)
}

// QueryTransfers lists transfers by timestamp. since is as in
// [Client.AccountTransfers].
func (c *Client) QueryTransfers(ctx context.Context, f *QueryFilter, since *Position) (*ledgerv1.QueryTransfersResponse, error) {
	r := &ledgerv1.QueryTransfersRequest{Filter: f, MinPosition: since}
	return send(ctx, c, "query transfers", r, ledgerv1.LedgerServiceClient.QueryTransfers)
}

// Freeze stops money. It may be sent again with the same id.
func (c *Client) Freeze(ctx context.Context, r *ledgerv1.FreezeRequest) (*ledgerv1.FreezeResponse, error) {
	return send(ctx, c, "freeze", r, ledgerv1.LedgerServiceClient.Freeze)
}

// Unfreeze lifts a freeze; the token must be another one than that which froze.
func (c *Client) Unfreeze(ctx context.Context, r *ledgerv1.UnfreezeRequest) (*ledgerv1.UnfreezeResponse, error) {
	return send(ctx, c, "unfreeze", r, ledgerv1.LedgerServiceClient.Unfreeze)
}

// Freezes returns the freezes in force.
func (c *Client) Freezes(ctx context.Context) ([]*ledgerv1.FrozenState, error) {
	response, err := send(ctx, c, "list freezes", &ledgerv1.ListFreezesRequest{}, ledgerv1.LedgerServiceClient.ListFreezes)
	return response.GetFreezes(), err
}

// SetVelocityLimits sets limits: one result each, in order.
func (c *Client) SetVelocityLimits(ctx context.Context, limits ...*ledgerv1.VelocityLimit) (*ledgerv1.SetVelocityLimitsResponse, error) {
	r := &ledgerv1.SetVelocityLimitsRequest{Limits: limits}
	response, err := send(ctx, c, "set velocity limits", r, ledgerv1.LedgerServiceClient.SetVelocityLimits)
	return response, sameLength(err, len(response.GetResults()), len(limits))
}

// RegisterAssets returns the catalogue entries of assets such as "CNY/2" and
// registers those that are new, in the order given.
func (c *Client) RegisterAssets(ctx context.Context, names ...string) ([]*ledgerv1.Asset, error) {
	r := &ledgerv1.RegisterAssetsRequest{Assets: names}
	response, err := send(ctx, c, "register assets", r, ledgerv1.LedgerServiceClient.RegisterAssets)
	return response.GetAssets(), sameLength(err, len(response.GetAssets()), len(names))
}

// Assets returns the catalogue.
func (c *Client) Assets(ctx context.Context) ([]*ledgerv1.Asset, error) {
	response, err := send(ctx, c, "list assets", &ledgerv1.ListAssetsRequest{}, ledgerv1.LedgerServiceClient.ListAssets)
	return response.GetAssets(), err
}

// Sizes of the packed forms in bytes.
const (
	RecordSize = 128
	resultSize = 16
	idSize     = 16
)

// PackedResult is the outcome of one packed event.
type PackedResult struct {
	Status    uint32 // CreateAccountStatus or CreateTransferStatus
	Timestamp uint64 // ns since 1970
}

// CreateAccountsPacked opens accounts given as 128-byte records (docs/formats.md).
func (c *Client) CreateAccountsPacked(ctx context.Context, records []byte) ([]PackedResult, error) {
	r := &ledgerv1.CreateAccountsPackedRequest{Records: records}
	response, err := send(ctx, c, "create packed accounts", r, ledgerv1.LedgerServiceClient.CreateAccountsPacked)
	if err != nil {
		return nil, err
	}
	return unpack(response.GetResults(), len(records)/RecordSize)
}

// CreateTransfersPacked records transfers given as 128-byte records
// (docs/formats.md).
func (c *Client) CreateTransfersPacked(ctx context.Context, records []byte) ([]PackedResult, error) {
	r := &ledgerv1.CreateTransfersPackedRequest{Records: records}
	response, err := send(ctx, c, "create packed transfers", r, ledgerv1.LedgerServiceClient.CreateTransfersPacked)
	if err != nil {
		return nil, err
	}
	return unpack(response.GetResults(), len(records)/RecordSize)
}

func unpack(b []byte, events int) ([]PackedResult, error) {
	if err := sameLength(nil, len(b)/resultSize, events); err != nil {
		return nil, err
	}
	results := make([]PackedResult, events)
	for i := range results {
		results[i].Status = binary.LittleEndian.Uint32(b[i*resultSize:])
		results[i].Timestamp = binary.LittleEndian.Uint64(b[i*resultSize+8:])
	}
	return results, nil
}

// LookupAccountsPacked returns the records of the accounts found, 128 bytes each,
// in the order asked.
func (c *Client) LookupAccountsPacked(ctx context.Context, ids ...money.U128) (records []byte, err error) {
	packed := make([]byte, idSize*len(ids))
	for i, id := range ids {
		id.PutLE(packed[i*idSize:])
	}
	r := &ledgerv1.LookupAccountsPackedRequest{Ids: packed}
	response, err := send(ctx, c, fmt.Sprintf("look up %d accounts", len(ids)), r, ledgerv1.LedgerServiceClient.LookupAccountsPacked)
	return response.GetRecords(), err
}
