package client

import (
	"context"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"

	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

// hanging answers nothing at first.
type hanging struct {
	ledgerv1.UnimplementedLedgerServiceServer
	attempts, lookups atomic.Int32
}

func (h *hanging) CreateTransfers(ctx context.Context, r *ledgerv1.CreateTransfersRequest) (*ledgerv1.CreateTransfersResponse, error) {
	if h.attempts.Add(1) == 1 {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return &ledgerv1.CreateTransfersResponse{Results: make([]*ledgerv1.CreateTransferResult, len(r.GetTransfers()))}, nil
}

func (h *hanging) LookupTransfers(ctx context.Context, _ *ledgerv1.LookupTransfersRequest) (*ledgerv1.LookupTransfersResponse, error) {
	h.lookups.Add(1)
	<-ctx.Done()
	return nil, ctx.Err()
}

// TestAHangingAttemptIsMadeAgain is inside the package to shorten the 15 seconds.
func TestAHangingAttemptIsMadeAgain(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h, server, done := &hanging{}, grpc.NewServer(), make(chan error, 1)
	ledgerv1.RegisterLedgerServiceServer(server, h)
	go func() { done <- server.Serve(l) }()
	defer func() {
		server.Stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	c, err := Dial(l.Addr().String(), "t")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.policy.attempt = 50 * time.Millisecond
	if _, err := c.CreateTransfers(t.Context(), &Transfer{Id: "1"}); err != nil || h.attempts.Load() < 2 {
		t.Errorf("%d attempts, %v", h.attempts.Load(), err)
	}
	// A read may take as long as it is given.
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := c.LookupTransfers(ctx); err == nil || h.lookups.Load() != 1 {
		t.Errorf("%d look-ups, %v", h.lookups.Load(), err)
	}
}
