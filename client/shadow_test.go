package client_test

import (
	"context"
	"errors"
	"testing"

	"google.golang.org/grpc/metadata"

	"github.com/sterlingrun/sterling/client"
	"github.com/sterlingrun/sterling/money"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

// marked answers with success, and counts the calls, and those with a mark.
type marked struct {
	ledgerv1.UnimplementedLedgerServiceServer
	calls, marks int
}

func (s *marked) note(ctx context.Context) {
	header, _ := metadata.FromIncomingContext(ctx)
	s.calls++
	s.marks += len(header.Get("x-sterling-shadow"))
}

func (s *marked) ListAssets(ctx context.Context, _ *ledgerv1.ListAssetsRequest) (*ledgerv1.ListAssetsResponse, error) {
	s.note(ctx)
	return &ledgerv1.ListAssetsResponse{}, nil
}

func (s *marked) CreateTransfers(ctx context.Context, r *ledgerv1.CreateTransfersRequest) (*ledgerv1.CreateTransfersResponse, error) {
	s.note(ctx)
	results := make([]*ledgerv1.CreateTransferResult, len(r.GetTransfers()))
	for i := range results {
		results[i] = &ledgerv1.CreateTransferResult{Status: ledgerv1.CreateTransferStatus_CREATE_TRANSFER_STATUS_CREATED, Timestamp: 1}
	}
	return &ledgerv1.CreateTransfersResponse{Results: results, Position: &ledgerv1.Position{Cell: 1, Seq: 1}}, nil
}

func (s *marked) CreateAccounts(ctx context.Context, r *ledgerv1.CreateAccountsRequest) (*ledgerv1.CreateAccountsResponse, error) {
	s.note(ctx)
	results := make([]*ledgerv1.CreateAccountResult, len(r.GetAccounts()))
	for i := range results {
		results[i] = &ledgerv1.CreateAccountResult{Status: ledgerv1.CreateAccountStatus_CREATE_ACCOUNT_STATUS_CREATED, Timestamp: 1}
	}
	return &ledgerv1.CreateAccountsResponse{Results: results, Position: &ledgerv1.Position{Cell: 1, Seq: 1}}, nil
}

func TestAShadowClientMarksEveryCall(t *testing.T) {
	s := &marked{}
	address := serve(t, s)
	entry := client.Entry{Debit: money.From(1), Credit: money.From(2), Amount: yuan("1"), Code: 1}
	opening := client.Opening{Asset: entry.Amount.Asset, Code: 1}
	calls := func(ctx context.Context, c *client.Client) map[string]error {
		errs := map[string]error{}
		_, errs["assets"] = c.Assets(ctx)
		_, errs["transfer"] = c.Transfer(ctx, entry)
		_, errs["open"] = c.Open(ctx, opening)
		return errs
	}
	for _, isShadow := range []bool{false, true} {
		var options []client.Option
		if isShadow {
			options = append(options, client.WithShadow())
		}
		s.calls, s.marks = 0, 0
		for name, err := range calls(t.Context(), dial(t, address, options...)) {
			if err != nil {
				t.Errorf("shadow %v, %s: %v", isShadow, name, err)
			}
		}
		if want := map[bool]int{true: 3}[isShadow]; s.calls != 3 || s.marks != want {
			t.Errorf("shadow %v: %d calls, %d marked", isShadow, s.calls, s.marks)
		}
	}
	// A mark in the context would be lost in a request that many callers share.
	for _, mark := range [][2]string{{"x-sterling-shadow", "1"}, {"tracestate", "a=1, sterling=shadow"}} {
		ctx, before := metadata.AppendToOutgoingContext(t.Context(), mark[0], mark[1]), s.calls
		errs := calls(ctx, dial(t, address))
		if !errors.Is(errs["transfer"], client.ErrNotSent) || !errors.Is(errs["open"], client.ErrNotSent) || errs["assets"] != nil || s.calls != before+1 {
			t.Errorf("marked by %q: %v, %d calls", mark, errs, s.calls-before)
		}
		for name, err := range calls(ctx, dial(t, address, client.WithShadow())) {
			if err != nil {
				t.Errorf("marked by %q, a shadow client: %s: %v", mark, name, err)
			}
		}
	}
}
