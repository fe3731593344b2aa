package api

import (
	"context"
	"errors"
	"fmt"

	"connectrpc.com/connect"

	"github.com/sterlingrun/sterling/auth"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
	"github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1/ledgerv1connect"
)

// ErrNoSandbox is that of a [Sandboxes] which does not know the one that was asked for.
var ErrNoSandbox = errors.New("there is no such sandbox")

// Sandboxes are the secure containers of the node's machine.
type Sandboxes interface {
	List(ctx context.Context) ([]*ledgerv1.Sandbox, error)
	// Get returns up to limit lines of a sandbox's record from a number on, the newest where there are more. The error
	// wraps ErrNoSandbox.
	Get(ctx context.Context, id string, from uint64, limit int) (*ledgerv1.GetSandboxResponse, error)
}

func sandboxMethods() []*method {
	return []*method{
		{path: ledgerv1connect.SandboxServiceListSandboxesProcedure, permission: auth.Audit, anywhere: true, cold: unary((*Server).listSandboxes)},
		{path: ledgerv1connect.SandboxServiceGetSandboxProcedure, permission: auth.Audit, anywhere: true, cold: unary((*Server).getSandbox)},
	}
}

func (s *Server) sandboxes() (Sandboxes, error) {
	if s.config.Sandboxes == nil {
		return nil, &fault{
			code: connect.CodeUnimplemented, reason: ledgerv1.ErrorReason_ERROR_REASON_UNSPECIFIED,
			message: "this server shows no sandboxes: set sandboxes.state in its configuration",
		}
	}
	return s.config.Sandboxes, nil
}

func (s *Server) listSandboxes(ctx context.Context, _ auth.Principal, _ *ledgerv1.ListSandboxesRequest) (*ledgerv1.ListSandboxesResponse, error) {
	all, err := s.sandboxes()
	if err != nil {
		return nil, err
	}
	list, err := all.List(ctx)
	return &ledgerv1.ListSandboxesResponse{Sandboxes: list}, sandboxFault(err)
}

func (s *Server) getSandbox(ctx context.Context, _ auth.Principal, r *ledgerv1.GetSandboxRequest) (*ledgerv1.GetSandboxResponse, error) {
	const most, usual = 500, 100
	if r.GetLimit() > most {
		return nil, malformed("limit", fmt.Sprintf("want up to %d", most))
	}
	limit := int(r.GetLimit())
	if limit == 0 {
		limit = usual
	}
	all, err := s.sandboxes()
	if err != nil {
		return nil, err
	}
	response, err := all.Get(ctx, r.GetId(), r.GetFrom(), limit)
	return response, sandboxFault(err)
}

func sandboxFault(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, ErrNoSandbox):
		return &fault{code: connect.CodeNotFound, reason: ledgerv1.ErrorReason_ERROR_REASON_UNSPECIFIED, message: err.Error()}
	}
	return &fault{code: connect.CodeFailedPrecondition, reason: ledgerv1.ErrorReason_ERROR_REASON_UNSPECIFIED, message: err.Error()}
}
