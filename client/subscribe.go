package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

// errStreamEnded is a stream that the server ended without saying why.
var errStreamEnded = status.Error(codes.Unavailable, "the stream ended")

// Subscribe yields runs of events from where r starts, gapless and in order, until
// ctx ends or the loop is left. Where the stream breaks, or the server restarts, it
// subscribes again after the last run that was yielded: an event may then come
// twice, never not at all, and the position of a run tells which were seen. A run
// without events comes about once a second, so that the position moves on.
//
// Keep the run's ResumeAfter together with what its events did, and start After it
// next time. Starting FromNow, now is when the first run is answered.
//
// Transfers travel in the packed form and are yielded as events like all others.
//
// It ends with one error: that of ctx, a refusal, or that of the last attempt after
// the server was gone for longer than the patience of the client.
func (c *Client) Subscribe(ctx context.Context, r *ledgerv1.SubscribeRequest) iter.Seq2[*ledgerv1.SubscribeResponse, error] {
	return func(yield func(*ledgerv1.SubscribeResponse, error) bool) {
		next := &ledgerv1.SubscribeRequest{Filter: r.GetFilter(), Start: r.GetStart(), Packed: true}
		pause, since, attempts := c.policy.first, time.Now(), 0
		for {
			heard, stopped, err := c.follow(ctx, next, yield)
			if stopped {
				return
			}
			if heard {
				pause, since, attempts = c.policy.first, time.Now(), 0
			}
			attempts++
			err = fmt.Errorf("subscribe: %w", err)
			gone := time.Since(since) >= c.policy.patience
			if ctx.Err() != nil || gone || !passing(err) || !wait(ctx, pause, err) {
				if ctx.Err() != nil {
					err = gaveUp(ctx, err, attempts)
				}
				yield(nil, err)
				return
			}
			pause = min(2*pause, c.policy.longest)
		}
	}
}

// follow yields from one stream until it ends, and moves r's start on.
func (c *Client) follow(ctx context.Context, r *ledgerv1.SubscribeRequest, yield func(*ledgerv1.SubscribeResponse, error) bool) (heard, stopped bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // ends the stream
	stream, err := c.Feed().Subscribe(ctx, r)
	if err != nil {
		return false, false, err
	}
	for {
		run, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			err = errStreamEnded
		}
		if err != nil {
			return heard, false, err
		}
		if err := unpackRuns(run); err != nil {
			return heard, false, err
		}
		heard = true
		if !yield(run, nil) {
			return true, true, nil
		}
		if at := run.GetResumeAfter(); at != nil {
			r.Start = &ledgerv1.SubscribeRequest_After{After: at}
		}
	}
}
