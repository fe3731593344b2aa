package api

import (
	"context"
	"net/http"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/sterlingrun/sterling/auth"
)

// cold is a method served through messages.
type cold struct {
	// serve decodes the request with dec and answers it, with a message or with one that is encoded already.
	serve func(s *Server, ctx context.Context, p auth.Principal, dec func(proto.Message) error) (any, error)
	http  func(s *Server, m *method, options ...connect.HandlerOption) http.Handler
}

// unary makes a cold method of a function over messages, which answers for the node's own cell.
func unary[Req, Resp any, PReq messageOf[Req], PResp messageOf[Resp]](
	own func(s *Server, ctx context.Context, p auth.Principal, request PReq) (PResp, error),
) *cold {
	return unrouted(func(s *Server, ctx context.Context, p auth.Principal, request PReq) (PResp, error) {
		return routed(ctx, s, &p, request, func() PResp { return PResp(new(Resp)) }, func() (PResp, error) { return own(s, ctx, p, request) })
	})
}

// unrouted is unary for a method that is about the node that was asked, such as those by which cells talk to each other:
// it never waits for a bucket that moves.
func unrouted[Req, Resp any, PReq messageOf[Req], PResp messageOf[Resp]](
	f func(s *Server, ctx context.Context, p auth.Principal, request PReq) (PResp, error),
) *cold {
	return &cold{
		serve: func(s *Server, ctx context.Context, p auth.Principal, dec func(proto.Message) error) (any, error) {
			request := PReq(new(Req))
			if err := dec(request); err != nil {
				return nil, err
			}
			return f(s, ctx, p, request)
		},
		http: func(s *Server, m *method, options ...connect.HandlerOption) http.Handler {
			return connect.NewUnaryHandler(m.path, func(ctx context.Context, r *connect.Request[Req]) (*connect.Response[Resp], error) {
				began, v := s.config.Clock.Mono(), visitOf(ctx)
				var response PResp
				err := s.protect(m, func() (err error) {
					response, err = f(s, ctx, v.principal, PReq(r.Msg))
					return err
				})
				if fault := s.end(m, &v.principal, &v.visitor, began, nil, err); fault != nil {
					return nil, fault.connect()
				}
				return connect.NewResponse((*Resp)(response)), nil
			}, options...)
		},
	}
}

// messageJSON is connect's JSON codec, but it writes fields that are zero, as the
// hot calls do.
type messageJSON struct{}

func (messageJSON) Name() string { return "json" }

func (messageJSON) Marshal(v any) ([]byte, error) {
	m, ok := v.(proto.Message)
	if !ok {
		return nil, internal()
	}
	return protojson.MarshalOptions{EmitDefaultValues: true}.Marshal(m)
}

func (messageJSON) Unmarshal(data []byte, v any) error {
	m, ok := v.(proto.Message)
	if !ok {
		return internal()
	}
	return protojson.Unmarshal(data, m)
}
