package client

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/grpc/metadata"
)

// The marks of shadow traffic; docs/mesh-proxy.md says what they mean.
const (
	shadowHeader     = "x-sterling-shadow"
	traceStateHeader = "tracestate"
	shadowMember     = "sterling=shadow"
)

// WithShadow marks every call as shadow traffic of a load test. Such calls are
// answered by the ledger's shadow, directly or behind the mesh, and refused by
// the ledger itself; they take a token that was made for that. A program that
// does both kinds of work has a client for each.
func WithShadow() Option { return func(o *options) { o.shadow = true } }

// checkColor refuses an event that its caller's context marks as shadow traffic,
// on a client that does not: events of many callers share a request, and the mark
// would be lost with the context.
func (c *Client) checkColor(ctx context.Context) error {
	if c.shadow {
		return nil
	}
	header, _ := metadata.FromOutgoingContext(ctx)
	if len(header[shadowHeader]) > 0 || slices.ContainsFunc(header[traceStateHeader], shadowState) {
		return fmt.Errorf("%w: the context is marked as shadow traffic, and this client is not: use one with WithShadow", ErrNotSent)
	}
	return nil
}

// shadowState tells whether a trace state is marked.
func shadowState(state string) bool {
	return slices.ContainsFunc(strings.Split(state, ","), func(member string) bool { return strings.TrimSpace(member) == shadowMember })
}
