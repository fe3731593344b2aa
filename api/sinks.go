package api

import (
	"context"
	"errors"
	"fmt"

	"connectrpc.com/connect"

	"github.com/sterlingrun/sterling/auth"
	"github.com/sterlingrun/sterling/feed"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
	"github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1/ledgerv1connect"
)

// Sinks are the deliveries of the change feed. [feed.Runners] is.
type Sinks interface {
	Status() []*ledgerv1.Sink
	// The others take a sink's name; feed.ErrNotFound where there is no such sink or dead letter.
	DeadLetters(ctx context.Context, sink, after string, limit int) ([]*ledgerv1.DeadLetter, error)
	DeadLetter(ctx context.Context, sink, id string) (*ledgerv1.DeadLetter, []*ledgerv1.FeedEvent, error)
	Redeliver(ctx context.Context, sink, id string) error
	Drop(ctx context.Context, sink, id string) error
}

// noSinks are those of a server that delivers to nobody.
type noSinks struct{}

func (noSinks) Status() []*ledgerv1.Sink { return nil }

func (noSinks) DeadLetters(context.Context, string, string, int) ([]*ledgerv1.DeadLetter, error) {
	return nil, feed.ErrNotFound
}

func (noSinks) DeadLetter(context.Context, string, string) (*ledgerv1.DeadLetter, []*ledgerv1.FeedEvent, error) {
	return nil, nil, feed.ErrNotFound
}

func (noSinks) Redeliver(context.Context, string, string) error { return feed.ErrNotFound }

func (noSinks) Drop(context.Context, string, string) error { return feed.ErrNotFound }

func sinkMethods() []*method {
	return []*method{
		{path: ledgerv1connect.SinkServiceListSinksProcedure, permission: auth.Read, cold: unary((*Server).listSinks)},
		{path: ledgerv1connect.SinkServiceListDeadLettersProcedure, permission: auth.Read, cold: unary((*Server).listDeadLetters)},
		{path: ledgerv1connect.SinkServiceGetDeadLetterProcedure, permission: auth.Read, cold: unary((*Server).getDeadLetter)},
		{path: ledgerv1connect.SinkServiceRedeliverDeadLetterProcedure, permission: auth.Operate, cold: unary((*Server).redeliverDeadLetter)},
		{path: ledgerv1connect.SinkServiceDropDeadLetterProcedure, permission: auth.Operate, cold: unary((*Server).dropDeadLetter)},
	}
}

// sinkFault tells the caller what a sink answered: it is theirs to mend.
func sinkFault(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, feed.ErrNotFound):
		return &fault{code: connect.CodeNotFound, reason: ledgerv1.ErrorReason_ERROR_REASON_UNSPECIFIED, field: "", message: err.Error()}
	case errors.Is(err, feed.ErrDelivery):
		return &fault{code: connect.CodeFailedPrecondition, reason: ledgerv1.ErrorReason_ERROR_REASON_UNSPECIFIED, field: "", message: err.Error()}
	}
	return err
}

func (s *Server) listSinks(context.Context, auth.Principal, *ledgerv1.ListSinksRequest) (*ledgerv1.ListSinksResponse, error) {
	return &ledgerv1.ListSinksResponse{Sinks: s.config.Sinks.Status()}, nil
}

func (s *Server) listDeadLetters(ctx context.Context, _ auth.Principal, r *ledgerv1.ListDeadLettersRequest) (*ledgerv1.ListDeadLettersResponse, error) {
	const most, usual = 1000, 100
	limit := int(r.GetLimit())
	if limit > most {
		return nil, malformed("limit", fmt.Sprintf("want up to %d", most))
	}
	if limit == 0 {
		limit = usual
	}
	list, err := s.config.Sinks.DeadLetters(ctx, r.GetSink(), r.GetAfter(), limit)
	return &ledgerv1.ListDeadLettersResponse{DeadLetters: list}, sinkFault(err)
}

func (s *Server) getDeadLetter(ctx context.Context, _ auth.Principal, r *ledgerv1.GetDeadLetterRequest) (*ledgerv1.GetDeadLetterResponse, error) {
	letter, events, err := s.config.Sinks.DeadLetter(ctx, r.GetSink(), r.GetId())
	return &ledgerv1.GetDeadLetterResponse{DeadLetter: letter, Events: events}, sinkFault(err)
}

func (s *Server) redeliverDeadLetter(ctx context.Context, p auth.Principal, r *ledgerv1.RedeliverDeadLetterRequest) (*ledgerv1.RedeliverDeadLetterResponse, error) {
	err := s.config.Sinks.Redeliver(ctx, r.GetSink(), r.GetId())
	if err == nil {
		s.logger.Info("dead letter redelivered", "sink", r.GetSink(), "id", r.GetId(), "by", p.Name)
	}
	return &ledgerv1.RedeliverDeadLetterResponse{}, sinkFault(err)
}

func (s *Server) dropDeadLetter(ctx context.Context, p auth.Principal, r *ledgerv1.DropDeadLetterRequest) (*ledgerv1.DropDeadLetterResponse, error) {
	err := s.config.Sinks.Drop(ctx, r.GetSink(), r.GetId())
	if err == nil {
		s.logger.Warn("dead letter dropped", "sink", r.GetSink(), "id", r.GetId(), "by", p.Name)
	}
	return &ledgerv1.DropDeadLetterResponse{}, sinkFault(err)
}
