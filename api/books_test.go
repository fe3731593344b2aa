package api_test

import (
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/sterlingrun/sterling/auth"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

// TestProposeAccountsOfKnownAssets: there is nothing to register then, and the proposal is taken all the same.
func TestProposeAccountsOfKnownAssets(t *testing.T) {
	b := open(t, nil)
	conn, ctx := b.grpcConn(auth.RoleAdmin)
	books := ledgerv1.NewBooksServiceClient(conn)
	for id, asset := range map[string]string{"1": "CNY/2", "2": "CNY/2"} {
		r, err := books.Propose(ctx, &ledgerv1.ProposeRequest{Id: id, What: &ledgerv1.ProposeRequest_Accounts{
			Accounts: &ledgerv1.CreateAccountsRequest{Accounts: []*ledgerv1.Account{{Id: id, Asset: asset, Code: 1}}},
		}})
		if err != nil || r.GetStatus() != ledgerv1.ControlStatus_CONTROL_STATUS_CREATED {
			t.Fatalf("proposal %s: %v, %v", id, r.GetStatus(), err)
		}
	}
	operator, ctx2 := b.grpcConn(auth.RoleOperator)
	r, err := ledgerv1.NewBooksServiceClient(operator).Decide(ctx2, &ledgerv1.DecideRequest{Id: "1", ProposalId: "1", Verdict: ledgerv1.Verdict_VERDICT_APPROVE})
	if err != nil || r.GetStatus() != ledgerv1.ControlStatus_CONTROL_STATUS_CREATED || len(r.GetAccounts()) != 1 {
		t.Fatalf("approval: %v, %v", r, err)
	}
}

// TestControlSumNeedsAmounts: a post of all that is pending has no amount that could be added up.
func TestControlSumNeedsAmounts(t *testing.T) {
	b := open(t, nil)
	b.seed()
	client, ctx := b.grpcClient(auth.RoleTeller)
	post := &ledgerv1.Transfer{PendingId: "5", Flags: []ledgerv1.TransferFlag{ledgerv1.TransferFlag_TRANSFER_FLAG_POST_PENDING_TRANSFER}}
	r := &ledgerv1.CreateTransactionRequest{Id: "900", ControlSum: "100", Legs: []*ledgerv1.Transfer{post}}
	_, err := client.CreateTransaction(ctx, r)
	if want := "legs[0].amount: a control sum takes the amount of every leg"; status.Code(err) != codes.InvalidArgument || status.Convert(err).Message() != want {
		t.Errorf("without an amount: %v, want %q", err, want)
	}
	post.Amount = proto.String("99")
	_, err = client.CreateTransaction(ctx, r)
	if want := "controlSum: the legs add up to 99, not to 100: nothing was written"; status.Convert(err).Message() != want {
		t.Errorf("with another amount: %v, want %q", err, want)
	}
}
