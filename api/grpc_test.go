package api_test

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"connectrpc.com/connect"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/sterlingrun/sterling/api"
	"github.com/sterlingrun/sterling/auth"
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/money"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
	"github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1/ledgerv1connect"
)

func transfer(id string) *ledgerv1.Transfer {
	return &ledgerv1.Transfer{Id: id, DebitAccountId: "1", CreditAccountId: "2", Amount: proto.String("5"), Asset: "CNY/2", Code: 1}
}

func accounts() []*ledgerv1.Account {
	return []*ledgerv1.Account{
		{Id: "1", Asset: "CNY/2", Code: 1, Flags: []ledgerv1.AccountFlag{ledgerv1.AccountFlag_ACCOUNT_FLAG_HISTORY}},
		{Id: "2", Asset: "CNY/2", Code: 2, UserData_128: "340282366920938463463374607431768211455"},
	}
}

func TestGRPCMovesMoney(t *testing.T) {
	b := open(t, nil)
	client, ctx := b.grpcClient(auth.RoleTeller)
	created, err := client.CreateAccounts(ctx, &ledgerv1.CreateAccountsRequest{Accounts: accounts()})
	if err != nil || len(created.GetResults()) != 2 || created.GetResults()[1].GetStatus() != ledgerv1.CreateAccountStatus_CREATE_ACCOUNT_STATUS_CREATED {
		t.Fatalf("create accounts: %v, %v", created, err)
	}
	moved, err := client.CreateTransfers(ctx, &ledgerv1.CreateTransfersRequest{Transfers: []*ledgerv1.Transfer{transfer("10"), transfer("10"), transfer("0")}}, grpc.UseCompressor(gzip.Name))
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []ledgerv1.CreateTransferStatus{
		ledgerv1.CreateTransferStatus_CREATE_TRANSFER_STATUS_CREATED,
		ledgerv1.CreateTransferStatus_CREATE_TRANSFER_STATUS_EXISTS,
		ledgerv1.CreateTransferStatus_CREATE_TRANSFER_STATUS_ID_MUST_NOT_BE_ZERO,
	} {
		if got := moved.GetResults()[i].GetStatus(); got != want {
			t.Errorf("transfer %d: %v, want %v", i, got, want)
		}
	}
	if moved.GetPosition().GetCell() != 7 || moved.GetPosition().GetSeq() <= created.GetPosition().GetSeq() {
		t.Errorf("position %v after %v", moved.GetPosition(), created.GetPosition())
	}
	found, err := client.LookupAccounts(ctx, &ledgerv1.LookupAccountsRequest{Ids: []string{"2", "1"}})
	if err != nil || len(found.GetAccounts()) != 2 || found.GetAccounts()[0].GetCreditsPosted() != "5" || found.GetAccounts()[0].GetUserData_128() != accounts()[1].GetUserData_128() {
		t.Fatalf("look up accounts: %v, %v", found, err)
	}
	transfers, err := client.LookupTransfers(ctx, &ledgerv1.LookupTransfersRequest{Ids: []string{"10"}})
	if err != nil || transfers.GetTransfers()[0].GetTimestamp() != moved.GetResults()[0].GetTimestamp() {
		t.Fatalf("look up transfers: %v, %v", transfers, err)
	}
	listed, err := client.GetAccountTransfers(ctx, &ledgerv1.GetAccountTransfersRequest{Filter: &ledgerv1.AccountFilter{AccountId: "1"}, MinPosition: moved.GetPosition()})
	if err != nil || len(listed.GetTransfers()) != 1 || !proto.Equal(listed.GetTransfers()[0], transfers.GetTransfers()[0]) {
		t.Fatalf("list transfers: %v, %v", listed, err)
	}
}

func TestPackedMovesMoney(t *testing.T) {
	b := open(t, nil)
	client, ctx := b.grpcClient(auth.RoleTeller)
	registered, err := client.RegisterAssets(ctx, &ledgerv1.RegisterAssetsRequest{Assets: []string{"JPY/0"}})
	if err != nil {
		t.Fatal(err)
	}
	number := registered.GetAssets()[0].GetNumber()
	created, err := client.CreateAccountsPacked(ctx, &ledgerv1.CreateAccountsPackedRequest{Records: journal.Bytes([]journal.Account{
		{ID: money.From(1), Asset: number, Code: 1}, {ID: money.From(2), Asset: number, Code: 1},
	})})
	if err != nil || len(created.GetResults()) != 32 {
		t.Fatalf("create accounts: %v, %v", created, err)
	}
	full := make([]journal.Transfer, api.MaxEvents)
	for i := range full {
		full[i] = journal.Transfer{ID: money.From(uint64(i + 1)), Debit: money.From(1), Credit: money.From(2), Amount: money.From(2), Asset: number, Code: 1}
	}
	moved, err := client.CreateTransfersPacked(ctx, &ledgerv1.CreateTransfersPackedRequest{Records: journal.Bytes(full)})
	if err != nil || len(moved.GetResults()) != 16*len(full) {
		t.Fatalf("create transfers: %d bytes, %v", len(moved.GetResults()), err)
	}
	last := moved.GetResults()[16*(len(full)-1):]
	if binary.LittleEndian.Uint32(last) != 1 || binary.LittleEndian.Uint32(last[4:]) != 0 || binary.LittleEndian.Uint64(last[8:]) == 0 {
		t.Errorf("last result: %x", last)
	}
	ids := make([]byte, 32)
	money.From(2).PutLE(ids)
	money.From(9).PutLE(ids[16:])
	found, err := client.LookupAccountsPacked(ctx, &ledgerv1.LookupAccountsPackedRequest{Ids: ids})
	if err != nil || len(found.GetRecords()) != journal.RecordSize {
		t.Fatalf("look up: %v, %v", found, err)
	}
	if a := journal.View[journal.Account](journal.Aligned(found.GetRecords()))[0]; a.CreditsPosted != money.From(2*api.MaxEvents) {
		t.Errorf("credits %v", a.CreditsPosted)
	}
	_, err = client.CreateTransfersPacked(ctx, &ledgerv1.CreateTransfersPackedRequest{Records: make([]byte, 100)})
	if status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), "records: 100 bytes are not a whole number of 128-byte records") {
		t.Errorf("a part of a record: %v", err)
	}
}

func TestStreamAnswersEveryMessage(t *testing.T) {
	b := open(t, nil)
	b.seed()
	client, ctx := b.grpcClient(auth.RoleTeller)
	stream, err := client.CreateTransfersStream(ctx)
	if err != nil {
		t.Fatal(err)
	}
	const n = 500 // more than are worked on at once
	sent := make(chan error, 1)
	go func() {
		for i := range n {
			id := money.From(uint64(1000 + i)).String()
			if err := stream.Send(&ledgerv1.CreateTransfersStreamRequest{Sequence: uint64(i), Transfers: []*ledgerv1.Transfer{transfer(id)}}); err != nil {
				sent <- err
				return
			}
		}
		sent <- stream.CloseSend()
	}()
	seen := map[uint64]bool{}
	for {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if len(m.GetResults()) != 1 || m.GetResults()[0].GetStatus() != ledgerv1.CreateTransferStatus_CREATE_TRANSFER_STATUS_CREATED {
			t.Fatalf("message %d: %v", m.GetSequence(), m)
		}
		seen[m.GetSequence()] = true
	}
	if err := <-sent; err != nil || len(seen) != n {
		t.Fatalf("%d answers to %d messages, %v", len(seen), n, err)
	}
	found, err := client.LookupAccounts(ctx, &ledgerv1.LookupAccountsRequest{Ids: []string{"2"}})
	if err != nil || found.GetAccounts()[0].GetCreditsPosted() != "2500" {
		t.Fatalf("%v, %v", found, err)
	}
}

func TestStreamEndsOnAMalformedMessage(t *testing.T) {
	b := open(t, nil)
	b.seed()
	client, ctx := b.grpcClient(auth.RoleTeller)
	stream, err := client.CreateTransfersStream(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(&ledgerv1.CreateTransfersStreamRequest{Transfers: []*ledgerv1.Transfer{{Id: "x"}}}); err != nil {
		t.Fatal(err)
	}
	// The client does not close its side: the server must end the stream by itself.
	_, err = stream.Recv()
	if status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), "transfers[0].id: want decimal digits") {
		t.Fatalf("err = %v", err)
	}
}

func TestStreamEndsWhenItsTokenIsRevoked(t *testing.T) {
	b := open(t, nil)
	b.seed()
	client, ctx := b.grpcClient(auth.RoleTeller)
	stream, err := client.CreateTransfersStream(ctx)
	if err != nil {
		t.Fatal(err)
	}
	next := func(id string) error {
		if err := stream.Send(&ledgerv1.CreateTransfersStreamRequest{Transfers: []*ledgerv1.Transfer{transfer(id)}}); err != nil {
			t.Fatal(err)
		}
		_, err := stream.Recv()
		return err
	}
	if err := next("1"); err != nil {
		t.Fatal(err)
	}
	b.revocable.revoked.Store(true)
	if err := next("2"); status.Code(err) != codes.Unauthenticated {
		t.Fatalf("err = %v, want Unauthenticated", err)
	}
}

func TestGRPCErrorsCarryADetail(t *testing.T) {
	b := open(t, nil)
	client, ctx := b.grpcClient(auth.RoleTeller)
	_, err := client.CreateTransfers(ctx, &ledgerv1.CreateTransfersRequest{Transfers: []*ledgerv1.Transfer{transfer("1"), {Id: "1"}}})
	s := status.Convert(err)
	if s.Code() != codes.InvalidArgument || len(s.Details()) != 1 {
		t.Fatalf("err = %v with %d details", err, len(s.Details()))
	}
	d, ok := s.Details()[0].(*ledgerv1.ErrorDetail)
	if !ok || d.GetReason() != ledgerv1.ErrorReason_ERROR_REASON_MALFORMED || d.GetField() != "transfers[1].amount" {
		t.Fatalf("detail %v", s.Details()[0])
	}
	huge := &ledgerv1.LookupAccountsRequest{Ids: []string{strings.Repeat("1", api.DefaultLimits().Message)}}
	if _, err := client.LookupAccounts(ctx, huge); status.Code(err) != codes.ResourceExhausted {
		t.Fatalf("an oversized message: %v", err)
	}
}

func TestGRPCNeedsAToken(t *testing.T) {
	b := open(t, nil)
	conn, err := grpc.NewClient(b.addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	client := ledgerv1.NewLedgerServiceClient(conn)
	none, reader := context.Background(), metadata.AppendToOutgoingContext(context.Background(), "authorization", "Bearer "+b.tokens[auth.RoleReader])
	stream := func(ctx context.Context) error {
		s, err := client.CreateTransfersStream(ctx)
		if err != nil {
			return err
		}
		_, err = s.Recv()
		return err
	}
	hot := func(ctx context.Context) error {
		_, err := client.CreateTransfers(ctx, &ledgerv1.CreateTransfersRequest{})
		return err
	}
	cold := func(ctx context.Context) error {
		_, err := client.Freeze(ctx, &ledgerv1.FreezeRequest{})
		return err
	}
	for name, call := range map[string]func(context.Context) error{"stream": stream, "hot": hot, "cold": cold} {
		if err := call(none); status.Code(err) != codes.Unauthenticated {
			t.Errorf("%s without a token: %v", name, err)
		}
		if err := call(reader); status.Code(err) != codes.PermissionDenied || !strings.Contains(err.Error(), `token "reader" has the role reader`) {
			t.Errorf("%s as a reader: %v", name, err)
		}
		if err := call(metadata.AppendToOutgoingContext(none, "authorization", "Bearer x", "authorization", "Bearer y")); status.Code(err) != codes.Unauthenticated {
			t.Errorf("%s with two tokens: %v", name, err)
		}
	}
}

// TestConnectProtocols calls hot and cold methods the ways that go through
// connect-go.
func TestConnectProtocols(t *testing.T) {
	b := open(t, nil)
	b.seed()
	token := connect.WithInterceptors(connect.UnaryInterceptorFunc(func(next connect.UnaryFunc) connect.UnaryFunc {
		return func(ctx context.Context, r connect.AnyRequest) (connect.AnyResponse, error) {
			r.Header().Set("Authorization", "Bearer "+b.tokens[auth.RoleTeller])
			return next(ctx, r)
		}
	}))
	for name, options := range map[string][]connect.ClientOption{
		"gRPC-Web":        {connect.WithGRPCWeb()},
		"Connect, binary": {},
		"Connect, JSON":   {connect.WithProtoJSON()},
		"Connect, gzip":   {connect.WithSendGzip()},
	} {
		client := ledgerv1connect.NewLedgerServiceClient(http.DefaultClient, "http://"+b.addr, append(options, token)...)
		found, err := client.LookupAccounts(t.Context(), connect.NewRequest(&ledgerv1.LookupAccountsRequest{Ids: []string{"2"}}))
		if err != nil || found.Msg.GetAccounts()[0].GetUserData_64() != 9 {
			t.Errorf("%s: %v, %v", name, found, err)
		}
		assets, err := client.ListAssets(t.Context(), connect.NewRequest(&ledgerv1.ListAssetsRequest{}))
		if err != nil || assets.Msg.GetAssets()[0].GetName() != "CNY/2" {
			t.Errorf("%s: %v, %v", name, assets, err)
		}
		_, err = client.CreateTransfers(t.Context(), connect.NewRequest(&ledgerv1.CreateTransfersRequest{Transfers: []*ledgerv1.Transfer{{Id: "x"}}}))
		if connect.CodeOf(err) != connect.CodeInvalidArgument || !strings.Contains(err.Error(), "transfers[0].id") {
			t.Errorf("%s: %v", name, err)
		}
		_, err = client.Freeze(t.Context(), connect.NewRequest(&ledgerv1.FreezeRequest{}))
		if connect.CodeOf(err) != connect.CodePermissionDenied {
			t.Errorf("%s: %v", name, err)
		}
		huge := &ledgerv1.LookupAccountsRequest{Ids: []string{strings.Repeat("1", api.DefaultLimits().Message)}}
		if _, err = client.LookupAccounts(t.Context(), connect.NewRequest(huge)); connect.CodeOf(err) != connect.CodeResourceExhausted {
			t.Errorf("%s, oversized: %v", name, err)
		}
	}
}
