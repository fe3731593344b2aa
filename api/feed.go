package api

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/sterlingrun/sterling/auth"
	"github.com/sterlingrun/sterling/feed"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
	"github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1/ledgerv1connect"
)

// feedMethods are the procedures of the change feed and its sinks, as far as they are served.
func (s *Server) feedMethods() (list []*method) {
	if s.config.Feed != nil {
		list = append(list, &method{path: ledgerv1connect.FeedServiceSubscribeProcedure, permission: auth.Read, feed: true})
	}
	return append(list, sinkMethods()...)
}

func feedCauses() []cause {
	return []cause{
		{feed.ErrClosed, fault{
			code: connect.CodeUnavailable, reason: ledgerv1.ErrorReason_ERROR_REASON_STOPPING,
			message: "the server is stopping: subscribe again after the last position, later or to another server",
		}},
		{feed.ErrTooMany, fault{
			code: connect.CodeResourceExhausted, reason: ledgerv1.ErrorReason_ERROR_REASON_OVERLOADED,
			message: "too many subscriptions are open: end some, or subscribe again later",
		}},
	}
}

// startFault says what is wrong with a subscription, where the caller can do something about it.
func startFault(err error) error {
	switch {
	case errors.Is(err, feed.ErrFilter):
		return malformed("filter", err.Error())
	case errors.Is(err, feed.ErrPosition), errors.Is(err, feed.ErrWrongCell):
		return malformed("start", err.Error())
	case errors.Is(err, feed.ErrAhead):
		return &fault{code: connect.CodeFailedPrecondition, reason: ledgerv1.ErrorReason_ERROR_REASON_MALFORMED, field: "start", message: err.Error()}
	}
	return err
}

func feedStart(r *ledgerv1.SubscribeRequest) (feed.Start, error) {
	switch at := r.GetStart().(type) {
	case *ledgerv1.SubscribeRequest_After:
		p, err := feed.PositionOf(at.After)
		if err != nil {
			return feed.Start{}, malformed("after", err.Error())
		}
		return feed.After(p), nil
	case *ledgerv1.SubscribeRequest_FromBeginning:
		if at.FromBeginning {
			return feed.Beginning(), nil
		}
	case *ledgerv1.SubscribeRequest_FromTimestamp:
		return feed.Since(at.FromTimestamp), nil
	case *ledgerv1.SubscribeRequest_FromNow:
		if at.FromNow {
			return feed.Now(), nil
		}
	}
	return feed.Start{}, malformed("", "say where to start: after, fromBeginning, fromTimestamp or fromNow")
}

// subscribe sends batches until the caller, the token, the server or the feed ends.
func (s *Server) subscribe(ctx context.Context, m *method, v *visitor, r *ledgerv1.SubscribeRequest, send func(*feed.WireBatch) error) error {
	start, err := feedStart(r)
	if err != nil {
		return err
	}
	filter, err := feed.FilterOf(r.GetFilter())
	if err != nil {
		return startFault(err)
	}
	form := feed.MessageForm
	if r.GetPacked() {
		form = feed.PackedForm
	}
	sub, err := s.config.Feed.Stream(ctx, start, filter, form)
	if errors.Is(err, feed.ErrAhead) { // of a node, perhaps, that does not know yet that another leads
		if _, err := s.config.Cell.Fresh(ctx); err != nil {
			return err
		}
	}
	if err != nil {
		return startFault(err)
	}
	defer sub.Close()
	ctx, cancel := context.WithCancelCause(ctx)
	var watching sync.WaitGroup
	defer watching.Wait()
	defer cancel(nil)
	watching.Go(func() { s.watchStream(m, v, ctx.Done(), cancel) })
	watching.Go(func() { // waits for whichever comes first
		select {
		case <-s.stopping:
			cancel(feed.ErrClosed)
		case <-ctx.Done():
		}
	})
	for {
		b, err := sub.NextWire(ctx)
		if err != nil {
			if cause := context.Cause(ctx); cause != nil {
				return cause
			}
			return err
		}
		m.metrics.events.Add(float64(b.Events))
		if err := send(&b); err != nil {
			return err
		}
	}
}

// feedHandler serves a subscription over gRPC.
func (s *Server) feedHandler(m *method) grpc.StreamHandler {
	return func(_ any, stream grpc.ServerStream) error {
		began := s.config.Clock.Mono()
		v := grpcVisitor(stream.Context())
		p, err := s.admit(m, &v)
		if err == nil {
			err = s.begin(m, &p, &v)
		}
		if err != nil {
			return s.end(m, &p, &v, began, nil, err).grpc()
		}
		err = s.protect(m, func() error {
			var r ledgerv1.SubscribeRequest
			if err := stream.RecvMsg(&r); err != nil {
				return err
			}
			return s.subscribe(stream.Context(), m, &v, &r, func(b *feed.WireBatch) error { return stream.SendMsg(b) })
		})
		if f := s.end(m, &p, &v, began, nil, err); f != nil {
			return f.grpc()
		}
		return nil
	}
}

// feedHTTP serves a subscription by way of connect-go: Connect's streams over HTTP/1.1, and gRPC-Web.
func (s *Server) feedHTTP(m *method) http.Handler {
	serve := func(ctx context.Context, r *connect.Request[ledgerv1.SubscribeRequest], stream *connect.ServerStream[ledgerv1.SubscribeResponse]) error {
		began := s.config.Clock.Mono()
		at := visitOf(ctx)
		err := s.protect(m, func() error {
			return s.subscribe(ctx, m, &at.visitor, r.Msg, func(b *feed.WireBatch) error {
				var response ledgerv1.SubscribeResponse
				if err := proto.Unmarshal(bytes.Join(b.Wire, nil), &response); err != nil {
					return fmt.Errorf("decode a run of events again: %w", err)
				}
				return stream.Send(&response)
			})
		})
		if f := s.end(m, &at.principal, &at.visitor, began, nil, err); f != nil {
			return f.connect()
		}
		return nil
	}
	return connect.NewServerStreamHandler(m.path, serve, connect.WithReadMaxBytes(s.config.Limits.Message), connect.WithCodec(messageJSON{}))
}

// patientWriter writes a response without end: not the whole has a deadline, each write has.
type patientWriter struct {
	http.ResponseWriter
	control *http.ResponseController
	server  *Server
}

func (s *Server) newPatientWriter(w http.ResponseWriter) *patientWriter {
	p := &patientWriter{w, http.NewResponseController(w), s}
	if err := p.control.SetReadDeadline(time.Time{}); err != nil { // or the request's would end the subscription
		s.logger.Debug("lift the deadline of a subscription's request", "error", err)
	}
	return p
}

// Write fails when the client takes nothing for as long as any answer may take.
func (p *patientWriter) Write(b []byte) (int, error) {
	if err := p.extend(); err != nil {
		return 0, err
	}
	return p.ResponseWriter.Write(b)
}

// Flush implements http.Flusher.
func (p *patientWriter) Flush() {
	if p.extend() == nil {
		if err := p.control.Flush(); err != nil {
			p.server.logger.Debug("send to a subscriber", "error", err)
		}
	}
}

func (p *patientWriter) extend() error {
	return p.control.SetWriteDeadline(wall(p.server.config.Clock).Add(p.server.config.Limits.Answer))
}

// Unwrap is for http.ResponseController.
func (p *patientWriter) Unwrap() http.ResponseWriter { return p.ResponseWriter }
