package main

import (
	"errors"
	"fmt"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

// explain turns the error of a call into what happened, where, and what to do next.
func (s *session) explain(err error) error {
	var grpcStatus interface{ GRPCStatus() *status.Status }
	if err == nil || !errors.As(err, &grpcStatus) {
		return err
	}
	st := grpcStatus.GRPCStatus()
	reason := ledgerv1.ErrorReason_ERROR_REASON_UNSPECIFIED
	for _, d := range st.Details() {
		if detail, ok := d.(*ledgerv1.ErrorDetail); ok {
			reason = detail.GetReason()
		}
	}
	if reason == ledgerv1.ErrorReason_ERROR_REASON_UNSPECIFIED {
		return s.explainTransport(st)
	}
	switch reason {
	case ledgerv1.ErrorReason_ERROR_REASON_MALFORMED, ledgerv1.ErrorReason_ERROR_REASON_TOO_LARGE, ledgerv1.ErrorReason_ERROR_REASON_UNBALANCED:
		return usage("%s", st.Message())
	case ledgerv1.ErrorReason_ERROR_REASON_NOT_FOUND:
		return errors.New(st.Message())
	case ledgerv1.ErrorReason_ERROR_REASON_TOKEN_REFUSED:
		if s.token.token == "" {
			return fmt.Errorf("%s does not know the certificate %s: %s; name it under tls.clients of the server's configuration, or use a token", s.flags.server, s.token.from, st.Message())
		}
		return fmt.Errorf("%s refused the token from %s: %s; is it of this server's folder? make another with `sterling token create`", s.flags.server, s.token.from, st.Message())
	case ledgerv1.ErrorReason_ERROR_REASON_ROLE_REFUSED, ledgerv1.ErrorReason_ERROR_REASON_SCOPE_REFUSED:
		return fmt.Errorf("%s (it came from %s)", st.Message(), s.token.from)
	default:
		return fmt.Errorf("%s: %s", s.flags.server, st.Message())
	}
}

// explainTransport explains an error that is not the API's: no server, no answer, or not a Sterling.
func (s *session) explainTransport(st *status.Status) error {
	late := st.Code() == codes.DeadlineExceeded
	switch {
	// Cut off by the deadline while it dialled, gRPC adds why it had not succeeded before.
	case (late || st.Code() == codes.Unavailable) && strings.Contains(st.Message(), "connection refused"):
		return fmt.Errorf("nothing listens on %s: is `sterling up` running? another address is given with --server", s.flags.server)
	case st.Code() == codes.Unavailable:
		return fmt.Errorf("no connection to %s: %s; if the call writes, its outcome is unknown: run it again with the same ids", s.flags.server, st.Message())
	case late:
		return fmt.Errorf("%s did not answer within %v (--deadline); if the call writes, its outcome is unknown: run it again with the same ids", s.flags.server, s.flags.deadline)
	case st.Code() == codes.Canceled:
		return errors.New("interrupted; if the call writes, its outcome is unknown: run it again with the same ids")
	default:
		return fmt.Errorf("%s: %s (%v)", s.flags.server, st.Message(), st.Code())
	}
}

// refused is an error for events that were not recorded. The answer has been printed.
func refused(n, of int) error {
	return &exitError{exitRefused, fmt.Errorf("%d of %d refused", n, of)}
}
