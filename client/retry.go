package client

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

// retryPolicy says how a call is repeated while the server does not answer it.
type retryPolicy struct {
	first    time.Duration // pause after the first attempt; it doubles
	longest  time.Duration // pause
	attempt  time.Duration // of one attempt of a write, before another connection is tried
	patience time.Duration // in all, where the context has no deadline; zero repeats nothing
}

func defaultPolicy() retryPolicy {
	return retryPolicy{first: 20 * time.Millisecond, longest: 2 * time.Second, attempt: 15 * time.Second, patience: 30 * time.Second}
}

// bound gives ctx the patience as its deadline where it has none.
func (p retryPolicy) bound(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok || p.patience == 0 {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, p.patience)
}

// trail is what is known after some attempts of one request.
type trail struct {
	attempts int
	// unsure: an attempt failed in a way that leaves open whether the server did
	// what was asked. No later refusal takes that back.
	unsure bool
	// limit bounds each attempt, zero not at all: a server that hangs must not use
	// up the time in which another connection would have answered. Reads may take
	// long by themselves and have none.
	limit time.Duration
}

// rpc is a method of the generated client.
type rpc[Req, Resp any] func(ledgerv1.LedgerServiceClient, context.Context, Req, ...grpc.CallOption) (Resp, error)

// send calls f until it succeeds, fails for good, or time is up. Every request
// that comes here may be sent twice: reads change nothing, and the events of a
// write carry ids that the ledger records once.
func send[Req, Resp any](ctx context.Context, c *Client, what string, request Req, f rpc[Req, Resp]) (Resp, error) {
	ctx, cancel := c.policy.bound(ctx)
	defer cancel()
	var t trail
	return repeat(ctx, c, &t, what, request, f)
}

// repeat is send without a bound of its own, and tells t what happened.
func repeat[Req, Resp any](ctx context.Context, c *Client, t *trail, what string, request Req, f rpc[Req, Resp]) (Resp, error) {
	return again(ctx, c, t, what, func(ctx context.Context) (Resp, error) { return f(c.Ledger(), ctx, request) })
}

// again is repeat for the methods of any service; call makes one attempt, over the
// next connection.
func again[Resp any](ctx context.Context, c *Client, t *trail, what string, call func(context.Context) (Resp, error)) (Resp, error) {
	pause := c.policy.first
	var cause error // of the last attempt that was not merely cut off: that says less than why there had to be another
	for {
		response, err := once(ctx, c, t.limit, call)
		t.attempts++
		if err == nil {
			return response, nil
		}
		t.unsure = t.unsure || !surelyRefused(err)
		err = fmt.Errorf("%s: %w", what, err)
		if cause == nil || status.Code(err) != codes.DeadlineExceeded {
			cause = err
		}
		if ctx.Err() != nil {
			return response, gaveUp(ctx, cause, t.attempts)
		}
		if c.policy.patience == 0 || !passing(err) {
			return response, err
		}
		if !wait(ctx, pause, err) {
			return response, gaveUp(ctx, cause, t.attempts)
		}
		if Reason(err) != ledgerv1.ErrorReason_ERROR_REASON_NOT_LEADER { // the next one leads in a moment
			pause = min(2*pause, c.policy.longest)
		}
	}
}

// lastPause is the shortest pause: what is left of a deadline after it is too little for an attempt.
const lastPause = 5 * time.Millisecond

// wait pauses before the next attempt, as long as the server asked for in err if it
// did, else at most half of what is left. It is false where ctx ends before, at once
// if its deadline says so.
func wait(ctx context.Context, pause time.Duration, err error) bool {
	// Half of the pause is random, so that clients cut off together do not come
	// back together.
	pause = pause/2 + rand.N(pause/2+1) //nolint:gosec // spreads load, hides nothing
	pause += retryAfter(err)
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) < pause {
		pause = time.Until(deadline) / 2
		if retryAfter(err) > 0 { // known not to help
			return false
		}
		if pause < lastPause {
			<-ctx.Done()
			return false
		}
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

func gaveUp(ctx context.Context, err error, attempts int) error {
	if ctx.Err() == nil {
		return fmt.Errorf("%w (gave up after %d attempts: it is due after the deadline)", err, attempts)
	}
	return fmt.Errorf("%w (gave up after %d attempts: %w)", err, attempts, context.Cause(ctx))
}

// once makes one attempt.
func once[Resp any](ctx context.Context, c *Client, limit time.Duration, call func(context.Context) (Resp, error)) (Resp, error) {
	if c.policy.patience > 0 && limit > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, limit)
		defer cancel()
	}
	return call(ctx)
}

// passing tells whether the same request may succeed in a while.
func passing(err error) bool {
	switch status.Code(err) {
	case codes.Unavailable, codes.DeadlineExceeded:
		return true
	case codes.ResourceExhausted:
		switch Reason(err) { //nolint:exhaustive // the others pass by themselves
		case ledgerv1.ErrorReason_ERROR_REASON_TOO_LARGE, ledgerv1.ErrorReason_ERROR_REASON_ASSETS_EXHAUSTED,
			ledgerv1.ErrorReason_ERROR_REASON_STORE_FULL: // a person has to make room first
			return false
		case ledgerv1.ErrorReason_ERROR_REASON_RATE_LIMITED:
			return retryAfter(err) > 0 // else the call is larger than the rate ever allows
		}
		return true
	default:
		return false
	}
}

// surelyRefused tells whether an error says that nothing was recorded. In doubt it
// is false.
func surelyRefused(err error) bool {
	switch Reason(err) { //nolint:exhaustive // the others leave it open
	case ledgerv1.ErrorReason_ERROR_REASON_OVERLOADED, ledgerv1.ErrorReason_ERROR_REASON_NOT_LEADER,
		ledgerv1.ErrorReason_ERROR_REASON_BUCKET_MOVING:
		return true
	case ledgerv1.ErrorReason_ERROR_REASON_OUTCOME_UNKNOWN, ledgerv1.ErrorReason_ERROR_REASON_INTERNAL:
		return false
	}
	switch status.Code(err) { //nolint:exhaustive // the others leave it open
	case codes.InvalidArgument, codes.NotFound, codes.PermissionDenied, codes.Unauthenticated, codes.FailedPrecondition,
		codes.ResourceExhausted, codes.Unimplemented, codes.OutOfRange:
		return true
	default:
		return false
	}
}

// Reason returns why the server refused a call as a whole; UNSPECIFIED if it did
// not say, for instance because the connection was lost.
func Reason(err error) ledgerv1.ErrorReason {
	return detail[*ledgerv1.ErrorDetail](err).GetReason()
}

// retryAfter returns how long the server asked to wait; zero if it did not.
func retryAfter(err error) time.Duration {
	return max(0, detail[*errdetails.RetryInfo](err).GetRetryDelay().AsDuration())
}

// detail returns the first detail of a type in a status of gRPC.
func detail[D any](err error) (none D) {
	var s interface{ GRPCStatus() *status.Status }
	if !errors.As(err, &s) {
		return none
	}
	for _, d := range s.GRPCStatus().Details() {
		if d, ok := d.(D); ok {
			return d
		}
	}
	return none
}
