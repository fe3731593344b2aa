package api

import (
	"context"
	"fmt"

	"connectrpc.com/connect"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/sterlingrun/sterling/auth"
	"github.com/sterlingrun/sterling/money"
	cellv1 "github.com/sterlingrun/sterling/proto/gen/sterling/cell/v1"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
	"github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1/ledgerv1connect"
)

// forwardedKey marks the context of a call that another node has forwarded: it is answered by this cell alone.
type forwardedKey struct{}

func isForwarded(ctx context.Context) bool { return ctx.Value(forwardedKey{}) != nil }

// nodePrincipal is who a node is when it asks another one on its own account, and may read only.
func nodePrincipal() *auth.Principal {
	return &auth.Principal{Name: "a node of another cell", Role: auth.RoleReader}
}

// forwardTo has another cell answer a call with the caller's rights. The error is in words for the caller.
func (s *Server) forwardTo(ctx context.Context, to uint64, p *auth.Principal, requestID, path string, request, response proto.Message) error {
	wire, err := proto.Marshal(request)
	if err != nil {
		return fmt.Errorf("encode a call for cell %d: %w", to, err)
	}
	peer, err := s.config.Cells.Network.To(to)
	if err != nil {
		return err
	}
	answer, err := peer.Forward(ctx, &cellv1.ForwardRequest{
		From: s.config.CellNumber, Principal: callerMessage(p), Method: path, Request: wire, RequestId: requestID,
	})
	if err != nil {
		return faultOf(ctx, to, err)
	}
	if err := proto.Unmarshal(answer.GetResponse(), response); err != nil {
		return fmt.Errorf("decode the answer of cell %d: %w", to, err)
	}
	return nil
}

// faultOf gives the error of another cell's node to the caller as it is, where it is one of a call, and otherwise says
// that the cell does not answer.
func faultOf(ctx context.Context, from uint64, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	s := status.Convert(err)
	f := &fault{code: connect.Code(s.Code()), message: s.Message()}
	for _, d := range s.Details() {
		switch d := d.(type) {
		case *ledgerv1.ErrorDetail:
			f.reason, f.field = d.GetReason(), d.GetField()
		case *errdetails.RetryInfo:
			f.retryAfter = d.GetRetryDelay().AsDuration()
		}
	}
	switch f.reason { //nolint:exhaustive // the others are for the caller
	case ledgerv1.ErrorReason_ERROR_REASON_TOKEN_REFUSED:
		return fmt.Errorf("cell %d does not know this node: do all nodes have the same secret? %w", from, err)
	case ledgerv1.ErrorReason_ERROR_REASON_UNSPECIFIED, ledgerv1.ErrorReason_ERROR_REASON_NOT_LEADER, ledgerv1.ErrorReason_ERROR_REASON_STOPPING:
		if s.Code() == codes.Unimplemented {
			return fmt.Errorf("cell %d has no interface for other cells: %w", from, err)
		}
		return cellUnavailable(fmt.Sprintf("cell %d does not answer (%s)", from, s.Message()))
	}
	return f
}

func callerMessage(p *auth.Principal) *cellv1.Principal {
	m := &cellv1.Principal{Id: p.ID[:], Name: p.Name, Role: p.Role.String(), Via: p.Via.String()}
	if p.Scope != nil {
		m.Scoped, m.Assets, m.AddressPrefixes = true, p.Scope.Assets, p.Scope.AddressPrefixes
	}
	return m
}

func readCaller(m *cellv1.Principal) (p auth.Principal, err error) {
	if len(m.GetId()) != len(p.ID) || len(m.GetName()) > maxCaller {
		return p, malformed("principal", "an id has 16 bytes, a name 1024 at most")
	}
	p.ID, p.Name = [16]byte(m.GetId()), m.GetName()
	if p.Role, err = auth.ParseRole(m.GetRole()); err != nil {
		return p, malformed("principal.role", err.Error())
	}
	for via := auth.ViaToken; via <= auth.ViaCertificate; via++ {
		if via.String() == m.GetVia() {
			p.Via = via
		}
	}
	if m.GetScoped() {
		if p.Scope, err = auth.NewScope(m.GetAssets(), m.GetAddressPrefixes()); err != nil {
			return p, malformed("principal", err.Error())
		}
		if p.Scope == nil { // never take a scope that says nothing for none
			return p, malformed("principal", "its scope is empty")
		}
	}
	return p, nil
}

const maxCaller = 1024

// forward answers a call that came in at a node of another cell.
func (s *Server) forward(ctx context.Context, _ auth.Principal, r *cellv1.ForwardRequest) (*cellv1.ForwardResponse, error) {
	if err := s.speaksFor(ctx, r.GetFrom()); err != nil {
		return nil, err
	}
	p, err := readCaller(r.GetPrincipal())
	if err != nil {
		return nil, err
	}
	m := s.methods[r.GetMethod()]
	if m == nil || !m.forwards {
		return nil, malformed("method", "is none that is forwarded")
	}
	if err := permit(m, &p); err != nil {
		return nil, err
	}
	if s.config.Revoked != nil && s.config.Revoked(p.ID, wall(s.config.Clock)) { // here: each cell has its own list
		return nil, &fault{
			code: connect.CodePermissionDenied, reason: ledgerv1.ErrorReason_ERROR_REASON_ROLE_REFUSED,
			message: fmt.Sprintf("token %s is revoked in cell %d", quoted(p.Name), s.config.CellNumber),
		}
	}
	v := visitor{requestID: r.GetRequestId(), origin: &origin{address: fmt.Sprintf("cell %d", r.GetFrom())}}
	if err := s.begin(m, &p, &v); err != nil {
		return nil, err
	}
	ctx = context.WithValue(ctx, forwardedKey{}, true)
	began := s.config.Clock.Mono()
	if m.hot != nil {
		return s.forwardHot(ctx, m, p, v, r.GetRequest())
	}
	answer, err := m.cold.serve(s, ctx, p, func(v proto.Message) error {
		if err := proto.Unmarshal(r.GetRequest(), v); err != nil {
			return malformed("request", err.Error())
		}
		return nil
	})
	if f := s.end(m, &p, &v, began, nil, err); f != nil {
		return nil, f
	}
	switch a := answer.(type) {
	case *wireBatch:
		return &cellv1.ForwardResponse{Response: a.wire}, nil
	case proto.Message:
		wire, err := proto.Marshal(a)
		return &cellv1.ForwardResponse{Response: wire}, err
	}
	return nil, internal()
}

func (s *Server) forwardHot(ctx context.Context, m *method, p auth.Principal, v visitor, request []byte) (*cellv1.ForwardResponse, error) {
	c := s.take(m)
	defer s.give(c)
	c.principal, c.visitor, c.forwarded = p, v, true
	s.decode(c, request, m.hot.readWire)
	err := s.serve(ctx, c)
	var wire []byte
	if err == nil {
		wire, err = m.hot.writeWire(s, c, make([]byte, 0, c.sizeHint()))
	}
	if f := s.end(m, &c.principal, &c.visitor, c.began, c, err); f != nil {
		return nil, f
	}
	return &cellv1.ForwardResponse{Response: wire}, nil
}

// transfersIn looks transfers up in another cell.
func (s *Server) transfersIn(ctx context.Context, in uint64, p *auth.Principal, ids []money.U128) ([]*ledgerv1.Transfer, error) {
	response := &ledgerv1.LookupTransfersResponse{}
	err := s.forwardTo(ctx, in, p, "", ledgerv1connect.LedgerServiceLookupTransfersProcedure, &ledgerv1.LookupTransfersRequest{Ids: decimals(ids)}, response)
	return response.GetTransfers(), err
}

// accountsIn looks accounts up in another cell.
func (s *Server) accountsIn(ctx context.Context, in uint64, p *auth.Principal, ids []money.U128) ([]*ledgerv1.Account, error) {
	response := &ledgerv1.LookupAccountsResponse{}
	err := s.forwardTo(ctx, in, p, "", ledgerv1connect.LedgerServiceLookupAccountsProcedure, &ledgerv1.LookupAccountsRequest{Ids: decimals(ids)}, response)
	return response.GetAccounts(), err
}

func decimals(ids []money.U128) []string {
	list := make([]string, len(ids))
	for i, id := range ids {
		list[i] = id.String()
	}
	return list
}
