package api

import (
	"context"
	"errors"
	"fmt"

	"connectrpc.com/connect"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/sterlingrun/sterling/api/internal/codec"
	"github.com/sterlingrun/sterling/auth"
	"github.com/sterlingrun/sterling/cell"
	"github.com/sterlingrun/sterling/index"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

// fault is why a call failed as a whole, in words for its sender.
type fault struct {
	code    connect.Code
	reason  ledgerv1.ErrorReason
	field   string
	message string
}

func (f *fault) Error() string { return f.message }

func malformed(field, message string) *fault {
	if field != "" {
		message = field + ": " + message
	}
	return &fault{connect.CodeInvalidArgument, ledgerv1.ErrorReason_ERROR_REASON_MALFORMED, field, message}
}

func internal() *fault {
	return &fault{connect.CodeInternal, ledgerv1.ErrorReason_ERROR_REASON_INTERNAL, "", "a fault of the server: its log has the cause"}
}

func tooLarge(limit int) *fault {
	return &fault{
		connect.CodeResourceExhausted, ledgerv1.ErrorReason_ERROR_REASON_TOO_LARGE, "",
		fmt.Sprintf("the request is larger than %d bytes: send its events in several calls", limit),
	}
}

func tokenRefused(message string) *fault {
	return &fault{connect.CodeUnauthenticated, ledgerv1.ErrorReason_ERROR_REASON_TOKEN_REFUSED, "", message}
}

func roleRefused(p auth.Principal, method string) *fault {
	return &fault{
		connect.CodePermissionDenied, ledgerv1.ErrorReason_ERROR_REASON_ROLE_REFUSED, "",
		fmt.Sprintf("token %q has the role %v, which may not call %s: use a token of another role", p.Name, p.Role, method),
	}
}

// classify gives an error the words and the code for the sender. The second
// result is false for errors that the sender is told nothing about.
func classify(err error) (f *fault, known bool) {
	if errors.As(err, &f) {
		return f, true
	}
	if e := (*codec.Error)(nil); errors.As(err, &e) {
		return malformed(e.Field, e.Reason), true
	}
	if errors.Is(err, index.ErrFilter) {
		return malformed("filter", err.Error()), true
	}
	if errors.Is(err, index.ErrBuilding) {
		return &fault{connect.CodeUnavailable, ledgerv1.ErrorReason_ERROR_REASON_INDEX_BUILDING, "", err.Error()}, true
	}
	for _, c := range causes() {
		if errors.Is(err, c.err) {
			return &c.fault, true
		}
	}
	if s, ok := status.FromError(err); ok { // from grpc-go: it could not receive the request
		f := &fault{code: connect.Code(s.Code()), message: s.Message()}
		if s.Code() == codes.ResourceExhausted {
			f.reason = ledgerv1.ErrorReason_ERROR_REASON_TOO_LARGE
		}
		return f, true
	}
	return internal(), false
}

type cause struct {
	err error
	fault
}

func causes() []cause {
	return []cause{
		{cell.ErrOutcomeUnknown, fault{
			connect.CodeUnavailable, ledgerv1.ErrorReason_ERROR_REASON_OUTCOME_UNKNOWN, "",
			"outcome unknown: send again with the same ids",
		}},
		{cell.ErrFull, fault{
			connect.CodeResourceExhausted, ledgerv1.ErrorReason_ERROR_REASON_STORE_FULL, "",
			"the journal's disk is full: nothing was written, reads go on; free space on the server, then send again",
		}},
		{cell.ErrClockHeld, fault{
			connect.CodeFailedPrecondition, ledgerv1.ErrorReason_ERROR_REASON_CLOCK_HELD, "",
			"writes are held because the server's clock jumped forward: an operator checks the clock and calls AcceptClock",
		}},
		{cell.ErrOverloaded, fault{
			connect.CodeUnavailable, ledgerv1.ErrorReason_ERROR_REASON_OVERLOADED, "",
			"too many requests are queued, nothing was written: send again after a pause",
		}},
		{cell.ErrTooLarge, fault{
			connect.CodeInvalidArgument, ledgerv1.ErrorReason_ERROR_REASON_TOO_LARGE, "",
			"too many events in one call: send them in several",
		}},
		{index.ErrClosed, fault{
			connect.CodeUnavailable, ledgerv1.ErrorReason_ERROR_REASON_STOPPING, "",
			"the server is stopping: send again, later or to another server",
		}},
		{cell.ErrStopped, fault{
			connect.CodeUnavailable, ledgerv1.ErrorReason_ERROR_REASON_STOPPING, "",
			"the server is stopping: send again with the same ids, later or to another server",
		}},
		{context.DeadlineExceeded, fault{
			connect.CodeDeadlineExceeded, ledgerv1.ErrorReason_ERROR_REASON_OUTCOME_UNKNOWN, "",
			"no answer within the deadline: if the call writes, its outcome is unknown: send again with the same ids",
		}},
		{context.Canceled, fault{
			connect.CodeCanceled, ledgerv1.ErrorReason_ERROR_REASON_OUTCOME_UNKNOWN, "",
			"canceled by the caller: if the call writes, its outcome is unknown: send again with the same ids",
		}},
	}
}

func (f *fault) detail() *ledgerv1.ErrorDetail {
	return &ledgerv1.ErrorDetail{Reason: f.reason, Field: f.field}
}

// grpc returns the fault as grpc-go sends it.
func (f *fault) grpc() error {
	s := status.New(codes.Code(f.code), f.message)
	if with, err := s.WithDetails(f.detail()); err == nil {
		s = with
	}
	return s.Err()
}

// connect returns the fault as connect-go sends it.
func (f *fault) connect() *connect.Error {
	e := connect.NewError(f.code, errors.New(f.message))
	if d, err := connect.NewErrorDetail(f.detail()); err == nil {
		e.AddDetail(d)
	}
	return e
}
