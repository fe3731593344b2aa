package api

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"

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
	// retryAfter is when the same call will be taken, zero if that can't be told.
	retryAfter time.Duration
	leader     string // host:port of the node that takes the call
}

func (f *fault) Error() string { return f.message }

func malformed(field, message string) *fault {
	if field != "" {
		message = field + ": " + message
	}
	return &fault{code: connect.CodeInvalidArgument, reason: ledgerv1.ErrorReason_ERROR_REASON_MALFORMED, field: field, message: message}
}

func internal() *fault {
	return &fault{code: connect.CodeInternal, reason: ledgerv1.ErrorReason_ERROR_REASON_INTERNAL, message: "a fault of the server: its log has the cause"}
}

func tooLarge(limit int) *fault {
	return &fault{
		code: connect.CodeResourceExhausted, reason: ledgerv1.ErrorReason_ERROR_REASON_TOO_LARGE,
		message: fmt.Sprintf("the request is larger than %d bytes: send its events in several calls", limit),
	}
}

func tokenRefused(message string) *fault {
	return &fault{code: connect.CodeUnauthenticated, reason: ledgerv1.ErrorReason_ERROR_REASON_TOKEN_REFUSED, message: message}
}

func roleRefused(p auth.Principal, method string) *fault {
	return &fault{
		code: connect.CodePermissionDenied, reason: ledgerv1.ErrorReason_ERROR_REASON_ROLE_REFUSED,
		message: fmt.Sprintf("token %q has the role %v, which may not call %s: use a token of another role", p.Name, p.Role, method),
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
	if e := (*cell.NotLeaderError)(nil); errors.As(err, &e) {
		return &fault{code: connect.CodeUnavailable, reason: ledgerv1.ErrorReason_ERROR_REASON_NOT_LEADER, message: e.Error() + "; nothing was done", leader: e.Leader}, true
	}
	if errors.Is(err, index.ErrFilter) {
		return malformed("filter", err.Error()), true
	}
	if errors.Is(err, index.ErrBuilding) {
		return &fault{code: connect.CodeUnavailable, reason: ledgerv1.ErrorReason_ERROR_REASON_INDEX_BUILDING, message: err.Error()}, true
	}
	for _, c := range slices.Concat(causes(), keyCauses(), auditCauses()) {
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
	return append(feedCauses(),
		cause{cell.ErrOutcomeUnknown, fault{
			code: connect.CodeUnavailable, reason: ledgerv1.ErrorReason_ERROR_REASON_OUTCOME_UNKNOWN,
			message: "outcome unknown: send again with the same ids",
		}},
		cause{cell.ErrFull, fault{
			code: connect.CodeResourceExhausted, reason: ledgerv1.ErrorReason_ERROR_REASON_STORE_FULL,
			message: "the journal's disk is full: nothing was written, reads go on; free space on the server, then send again",
		}},
		cause{cell.ErrClockHeld, fault{
			code: connect.CodeFailedPrecondition, reason: ledgerv1.ErrorReason_ERROR_REASON_CLOCK_HELD,
			message: "writes are held because the server's clock jumped forward: an operator checks the clock and calls AcceptClock",
		}},
		cause{cell.ErrOverloaded, fault{
			code: connect.CodeUnavailable, reason: ledgerv1.ErrorReason_ERROR_REASON_OVERLOADED,
			message: "too many requests are queued, nothing was written: send again after a pause",
		}},
		cause{cell.ErrTooLarge, fault{
			code: connect.CodeInvalidArgument, reason: ledgerv1.ErrorReason_ERROR_REASON_TOO_LARGE,
			message: "too many events in one call: send them in several",
		}},
		cause{cell.ErrInTransit, fault{
			code: connect.CodeUnavailable, reason: ledgerv1.ErrorReason_ERROR_REASON_IN_TRANSIT,
			message: "a transfer to or from another cell is under way on an account that is to be closed, nothing was written: send again",
		}},
		cause{cell.ErrMoving, bucketMoving()},
		cause{cell.ErrMoved, bucketMoving()},
		cause{index.ErrClosed, fault{
			code: connect.CodeUnavailable, reason: ledgerv1.ErrorReason_ERROR_REASON_STOPPING,
			message: "the server is stopping: send again, later or to another server",
		}},
		cause{cell.ErrStopped, fault{
			code: connect.CodeUnavailable, reason: ledgerv1.ErrorReason_ERROR_REASON_STOPPING,
			message: "the server is stopping: send again with the same ids, later or to another server",
		}},
		cause{context.DeadlineExceeded, fault{
			code: connect.CodeDeadlineExceeded, reason: ledgerv1.ErrorReason_ERROR_REASON_OUTCOME_UNKNOWN,
			message: "no answer within the deadline: if the call writes, its outcome is unknown: send again with the same ids",
		}},
		cause{context.Canceled, fault{
			code: connect.CodeCanceled, reason: ledgerv1.ErrorReason_ERROR_REASON_OUTCOME_UNKNOWN,
			message: "canceled by the caller: if the call writes, its outcome is unknown: send again with the same ids",
		}},
	)
}

func (f *fault) detail() *ledgerv1.ErrorDetail {
	return &ledgerv1.ErrorDetail{Reason: f.reason, Field: f.field, Leader: f.leader}
}

func (f *fault) retryInfo() *errdetails.RetryInfo {
	return &errdetails.RetryInfo{RetryDelay: durationpb.New(f.retryAfter)}
}

// grpc returns the fault as grpc-go sends it.
func (f *fault) grpc() error {
	s := status.New(codes.Code(f.code), f.message)
	details := []protoadapt.MessageV1{protoadapt.MessageV1Of(f.detail())}
	if f.retryAfter > 0 {
		details = append(details, protoadapt.MessageV1Of(f.retryInfo()))
	}
	if with, err := s.WithDetails(details...); err == nil {
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
	if f.retryAfter > 0 {
		if d, err := connect.NewErrorDetail(f.retryInfo()); err == nil {
			e.AddDetail(d)
		}
		e.Meta().Set("Retry-After", strconv.FormatInt(int64((f.retryAfter+time.Second-1)/time.Second), 10))
	}
	return e
}
