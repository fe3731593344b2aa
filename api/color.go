package api

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"connectrpc.com/connect"
	"google.golang.org/grpc/metadata"

	"github.com/sterlingrun/sterling/auth"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

// The marks of shadow traffic, as the mesh has them (docs/mesh-proxy.md): a header of our own, whatever its value, and a
// member of the trace context, which instrumented services carry on. Either is enough.
const (
	shadowHeader     = "x-sterling-shadow"
	traceStateHeader = "tracestate"
	shadowMember     = "sterling=shadow"
)

// grpcShadow tells whether a call by gRPC is marked.
func grpcShadow(ctx context.Context) bool {
	return len(metadata.ValueFromIncomingContext(ctx, shadowHeader)) > 0 ||
		slices.ContainsFunc(metadata.ValueFromIncomingContext(ctx, traceStateHeader), shadowState)
}

// httpShadow tells whether a request by HTTP/1.1 is marked.
func httpShadow(h http.Header) bool {
	return len(h.Values(shadowHeader)) > 0 || slices.ContainsFunc(h.Values(traceStateHeader), shadowState)
}

// shadowState tells whether a trace state is marked.
func shadowState(state string) bool {
	for member := range strings.SplitSeq(state, ",") {
		if strings.TrimSpace(member) == shadowMember {
			return true
		}
	}
	return false
}

// judgeColor lets a call through where the call, its caller and the ledger agree on whether it is shadow traffic. The
// caller has a say so that a mark that was lost on the way, or set by a stranger, moves nothing.
func (s *Server) judgeColor(marked bool, p *auth.Principal) error {
	own := s.config.Shadow
	switch {
	case marked == own && p.Shadow == own:
		return nil
	case own && !marked:
		return shadowRefused("this ledger is a shadow, for load tests: it takes calls only that are marked by " + shadowHeader)
	case own:
		return shadowRefused(fmt.Sprintf("%s may not make shadow traffic: use a token made by \"sterling token create --shadow\"", quoted(p.Name)))
	case marked:
		return shadowRefused("this ledger takes no shadow traffic, and the call is marked as that (" + shadowHeader + ", or " + shadowMember + " in " + traceStateHeader + ")")
	}
	return shadowRefused(fmt.Sprintf("token %s is for shadow traffic only, and the call is not marked: its mark was lost on the way, or this is the wrong ledger", quoted(p.Name)))
}

func shadowRefused(message string) *fault {
	return &fault{
		code: connect.CodeFailedPrecondition, reason: ledgerv1.ErrorReason_ERROR_REASON_SHADOW_REFUSED, message: message + "; nothing was done",
	}
}
