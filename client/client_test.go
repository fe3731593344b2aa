package client_test

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/sterlingrun/sterling/client"
	"github.com/sterlingrun/sterling/money"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

// scripted is a server that answers CreateTransfers with errors in turn, and then
// with results. That the client works with the real one is tested in package api.
type scripted struct {
	ledgerv1.UnimplementedLedgerServiceServer
	mu       sync.Mutex
	errors   []error
	requests []*ledgerv1.CreateTransfersRequest
	tokens   []string
	short    bool // answer one result too few
	hang     bool // answer nothing once errors is used up
}

func (s *scripted) CreateTransfers(ctx context.Context, r *ledgerv1.CreateTransfersRequest) (*ledgerv1.CreateTransfersResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.hang && len(s.errors) == 0 {
		<-ctx.Done()
		return nil, status.FromContextError(ctx.Err()).Err()
	}
	s.requests = append(s.requests, r)
	s.tokens = append(s.tokens, strings.Join(metadata.ValueFromIncomingContext(ctx, "authorization"), ","))
	if len(s.errors) > 0 {
		err := s.errors[0]
		s.errors = s.errors[1:]
		return nil, err
	}
	response := &ledgerv1.CreateTransfersResponse{Position: &client.Position{Cell: 1, Seq: 2}}
	for range r.GetTransfers() {
		response.Results = append(response.Results, &ledgerv1.CreateTransferResult{Status: ledgerv1.CreateTransferStatus_CREATE_TRANSFER_STATUS_EXISTS})
	}
	if s.short {
		response.Results = response.Results[1:]
	}
	return response, nil
}

func serve(t *testing.T, s ledgerv1.LedgerServiceServer, options ...grpc.ServerOption) (address string) {
	t.Helper()
	return serveAll(t, func(server *grpc.Server) { ledgerv1.RegisterLedgerServiceServer(server, s) }, options...)
}

func serveFeed(t *testing.T, s ledgerv1.FeedServiceServer) (address string) {
	t.Helper()
	return serveAll(t, func(server *grpc.Server) { ledgerv1.RegisterFeedServiceServer(server, s) })
}

func serveAll(t *testing.T, register func(*grpc.Server), options ...grpc.ServerOption) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer(options...)
	register(server)
	done := make(chan error, 1)
	go func() { done <- server.Serve(l) }()
	t.Cleanup(func() {
		server.Stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return l.Addr().String()
}

func dial(t *testing.T, address string, options ...client.Option) *client.Client {
	t.Helper()
	c, err := client.Dial(address, "sterling_x_y", options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func payment() *client.Transfer {
	return &client.Transfer{Id: "10", DebitAccountId: "1", CreditAccountId: "2", Amount: proto.String("100"), Asset: "CNY/2", Code: 1}
}

func TestUnavailableIsSentAgainUnchanged(t *testing.T) {
	unavailable := status.Error(codes.Unavailable, "outcome unknown")
	s := &scripted{errors: []error{unavailable, unavailable}}
	c := dial(t, serve(t, s), client.WithConnections(2))
	response, err := c.CreateTransfers(t.Context(), payment())
	if err != nil || response.GetResults()[0].GetStatus() != ledgerv1.CreateTransferStatus_CREATE_TRANSFER_STATUS_EXISTS {
		t.Fatalf("%v, %v", response, err)
	}
	if len(s.requests) != 3 {
		t.Fatalf("%d attempts, want 3", len(s.requests))
	}
	for i, r := range s.requests {
		if !proto.Equal(r.GetTransfers()[0], payment()) || s.tokens[i] != "Bearer sterling_x_y" {
			t.Errorf("attempt %d: %v with %q", i, r, s.tokens[i])
		}
	}
}

func TestOtherErrorsAreNotRepeated(t *testing.T) {
	for _, code := range []codes.Code{codes.InvalidArgument, codes.PermissionDenied, codes.Internal, codes.FailedPrecondition} {
		s := &scripted{errors: []error{status.Error(code, "no")}}
		_, err := dial(t, serve(t, s)).CreateTransfers(t.Context(), payment())
		if status.Code(err) != code || len(s.requests) != 1 || !strings.Contains(err.Error(), "create 1 transfers: ") {
			t.Errorf("%v: %d attempts, %v", code, len(s.requests), err)
		}
	}
}

func TestGivesUpAtTheDeadline(t *testing.T) {
	s := &scripted{}
	for range 1000 {
		s.errors = append(s.errors, status.Error(codes.Unavailable, "down"))
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	c := dial(t, serve(t, s))
	_, err := c.CreateTransfers(ctx, payment())
	if !errors.Is(err, context.DeadlineExceeded) && status.Code(err) != codes.DeadlineExceeded {
		t.Fatalf("err = %v", err)
	}
	s.mu.Lock()
	attempts := len(s.requests)
	s.mu.Unlock()
	if attempts < 2 || attempts > 20 {
		t.Errorf("%d attempts in 100 ms", attempts)
	}
	_, err = dial(t, serve(t, s), client.WithPatience(0)).CreateTransfers(t.Context(), payment())
	if status.Code(err) != codes.Unavailable {
		t.Errorf("without patience: %v", err)
	}
	_, err = dial(t, serve(t, s), client.WithPatience(50*time.Millisecond)).CreateTransfers(context.Background(), payment())
	if err == nil {
		t.Error("little patience without a deadline: no error")
	}
}

func TestTheDeadlineDoesNotHideTheCause(t *testing.T) {
	s := &scripted{errors: []error{status.Error(codes.Unavailable, "connection refused")}, hang: true}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	_, err := dial(t, serve(t, s)).CreateTransfers(ctx, payment())
	if !errors.Is(err, context.DeadlineExceeded) || status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), "gave up after 2 attempts") {
		t.Fatalf("err = %v, want why the first attempt did not succeed, and the deadline", err)
	}
}

func TestReasonReadsTheDetail(t *testing.T) {
	s, err := status.New(codes.ResourceExhausted, "full").WithDetails(&ledgerv1.ErrorDetail{Reason: ledgerv1.ErrorReason_ERROR_REASON_STORE_FULL})
	if err != nil {
		t.Fatal(err)
	}
	_, got := dial(t, serve(t, &scripted{errors: []error{s.Err()}})).CreateTransfers(t.Context(), payment())
	if r := client.Reason(got); r != ledgerv1.ErrorReason_ERROR_REASON_STORE_FULL {
		t.Errorf("reason %v of %v", r, got)
	}
	for _, err := range []error{nil, errors.New("x"), status.Error(codes.Unavailable, "x")} {
		if r := client.Reason(err); r != ledgerv1.ErrorReason_ERROR_REASON_UNSPECIFIED {
			t.Errorf("reason %v of %v", r, err)
		}
	}
}

// limited is the answer to a token whose rate is used up; no delay: for ever.
func limited(t *testing.T, delay time.Duration) error {
	t.Helper()
	details := []protoadapt.MessageV1{&ledgerv1.ErrorDetail{Reason: ledgerv1.ErrorReason_ERROR_REASON_RATE_LIMITED}}
	if delay > 0 {
		details = append(details, &errdetails.RetryInfo{RetryDelay: durationpb.New(delay)})
	}
	s, err := status.New(codes.ResourceExhausted, "the rate is used up").WithDetails(details...)
	if err != nil {
		t.Fatal(err)
	}
	return s.Err()
}

func TestALimitedRateIsWaitedFor(t *testing.T) {
	const delay = 300 * time.Millisecond
	s := &scripted{errors: []error{limited(t, delay)}}
	c, began := dial(t, serve(t, s)), time.Now()
	if _, err := c.CreateTransfers(t.Context(), payment()); err != nil || len(s.requests) != 2 || time.Since(began) < delay {
		t.Errorf("%d attempts in %v, %v", len(s.requests), time.Since(began), err)
	}
	// Not longer than there is time, and not where waiting does not help.
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for _, delay := range []time.Duration{time.Hour, 0} {
		s.errors, s.requests = []error{limited(t, delay)}, nil
		_, err := c.CreateTransfers(ctx, payment())
		if client.Reason(err) != ledgerv1.ErrorReason_ERROR_REASON_RATE_LIMITED || len(s.requests) != 1 || errors.As(err, new(*client.UnknownError)) {
			t.Errorf("after %v: %d attempts, %v", delay, len(s.requests), err)
		}
	}
	if time.Since(began) > 30*time.Second {
		t.Errorf("it waited for %v", time.Since(began))
	}
}

func TestRefusalsAreNotRepeated(t *testing.T) {
	for reason, code := range map[ledgerv1.ErrorReason]codes.Code{
		ledgerv1.ErrorReason_ERROR_REASON_SCOPE_REFUSED:  codes.PermissionDenied,
		ledgerv1.ErrorReason_ERROR_REASON_SUBJECT_ERASED: codes.FailedPrecondition,
		ledgerv1.ErrorReason_ERROR_REASON_UNBALANCED:     codes.InvalidArgument,
		ledgerv1.ErrorReason_ERROR_REASON_NOT_FOUND:      codes.NotFound,
	} {
		refusal, err := status.New(code, "no").WithDetails(&ledgerv1.ErrorDetail{Reason: reason})
		if err != nil {
			t.Fatal(err)
		}
		s := &scripted{errors: []error{refusal.Err()}}
		_, err = dial(t, serve(t, s)).CreateTransfers(t.Context(), payment())
		if client.Reason(err) != reason || len(s.requests) != 1 || errors.As(err, new(*client.UnknownError)) {
			t.Errorf("%v: %d attempts, %v", reason, len(s.requests), err)
		}
	}
}

func TestTooFewResultsAreAnError(t *testing.T) {
	if _, err := dial(t, serve(t, &scripted{short: true})).CreateTransfers(t.Context(), payment()); err == nil {
		t.Fatal("a result is missing and there is no error")
	}
}

func TestDialRefusesToSendTokensInClear(t *testing.T) {
	for address, fits := range map[string]bool{
		"127.0.0.1:1": true, "localhost:1": true, "[::1]:1": true, "192.0.2.1:1": false, "ledger.example:1": false, "nonsense": false, "": false,
	} {
		c, err := client.Dial(address, "t")
		if (err == nil) != fits {
			t.Errorf("%q: %v", address, err)
		}
		if c != nil {
			c.Close()
		}
	}
	for _, o := range []client.Option{client.WithPlaintext(), client.WithTLS(&tls.Config{MinVersion: tls.VersionTLS13})} {
		c, err := client.Dial("ledger.example:1", "t", o)
		if err != nil {
			t.Error(err)
			continue
		}
		c.Close()
	}
	if _, err := client.Dial("127.0.0.1:1", "t", client.WithConnections(0)); err == nil {
		t.Error("no connections at all were accepted")
	}
}

func TestNewIDIncreases(t *testing.T) {
	c := dial(t, "127.0.0.1:1")
	last := money.U128{}
	for range 1000 {
		id, err := c.NewID()
		if err != nil || !last.Less(id) || id.IsMax() {
			t.Fatalf("%v after %v, %v", id, last, err)
		}
		last = id
	}
}
