package client

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

// retryPolicy says how a call is repeated while the server is unavailable.
type retryPolicy struct {
	first    time.Duration // pause after the first attempt; it doubles
	longest  time.Duration
	patience time.Duration // in all, where the context has no deadline
}

func defaultPolicy() retryPolicy {
	return retryPolicy{first: 20 * time.Millisecond, longest: 2 * time.Second, patience: 30 * time.Second}
}

// send calls f until it succeeds, fails for good, or time is up. Every request
// that comes here may be sent twice: reads change nothing, and the events of a
// write carry ids that the ledger records once.
func send[Req, Resp any](
	ctx context.Context, c *Client, what string, request Req,
	f func(ledgerv1.LedgerServiceClient, context.Context, Req, ...grpc.CallOption) (Resp, error),
) (Resp, error) {
	if _, ok := ctx.Deadline(); !ok && c.policy.patience > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.policy.patience)
		defer cancel()
	}
	pause := c.policy.first
	for attempt := 1; ; attempt++ {
		response, err := f(c.Ledger(), ctx, request)
		if err == nil {
			return response, nil
		}
		err = fmt.Errorf("%s: %w", what, err)
		if status.Code(err) != codes.Unavailable || c.policy.patience == 0 {
			return response, err
		}
		// Half of the pause is random, so that clients cut off together do not come
		// back together.
		timer := time.NewTimer(pause/2 + rand.N(pause/2+1)) //nolint:gosec // spreads load, hides nothing
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return response, fmt.Errorf("%w (gave up after %d attempts: %w)", err, attempt, ctx.Err())
		}
		pause = min(2*pause, c.policy.longest)
	}
}

// Reason returns why the server refused a call as a whole; UNSPECIFIED if it did
// not say, for instance because the connection was lost.
func Reason(err error) ledgerv1.ErrorReason {
	var s interface{ GRPCStatus() *status.Status }
	if !errors.As(err, &s) {
		return ledgerv1.ErrorReason_ERROR_REASON_UNSPECIFIED
	}
	for _, d := range s.GRPCStatus().Details() {
		if detail, ok := d.(*ledgerv1.ErrorDetail); ok {
			return detail.GetReason()
		}
	}
	return ledgerv1.ErrorReason_ERROR_REASON_UNSPECIFIED
}
