package api

import (
	"context"

	"connectrpc.com/connect"

	"github.com/sterlingrun/sterling/auth"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
	"github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1/ledgerv1connect"
)

// Mesh is the control plane of the service mesh. The node has one where its configuration says so.
type Mesh interface {
	// Topology returns who calls whom and how the data planes are, of the one named detailed with all its clusters and
	// routes; the caller owns it.
	Topology(detailed string) *ledgerv1.GetTopologyResponse
}

// meshMethods are there without a mesh, too, and say so. They are about this process, and any node answers them.
func meshMethods() []*method {
	return []*method{
		{path: ledgerv1connect.MeshServiceGetTopologyProcedure, permission: auth.Read, anywhere: true, cold: unrouted((*Server).getTopology)},
	}
}

func (s *Server) getTopology(_ context.Context, _ auth.Principal, r *ledgerv1.GetTopologyRequest) (*ledgerv1.GetTopologyResponse, error) {
	if s.config.Mesh == nil {
		return nil, &fault{
			code: connect.CodeFailedPrecondition, reason: ledgerv1.ErrorReason_ERROR_REASON_UNSPECIFIED,
			message: "this node runs no control plane of the mesh: mesh.state in its configuration",
		}
	}
	return s.config.Mesh.Topology(r.GetNode()), nil
}
