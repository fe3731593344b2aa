package api

import (
	"context"
	"errors"
	"time"

	"connectrpc.com/connect"

	"github.com/sterlingrun/sterling/api/internal/codec"
	"github.com/sterlingrun/sterling/cell"
	"github.com/sterlingrun/sterling/clock"
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/money"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
	"github.com/sterlingrun/sterling/router"
)

// A bucket of accounts that moves to another cell holds up the calls that touch it: they wait in the node that the caller
// asked until it has arrived, and are then answered there. A node that another one forwarded a call to does not wait: it
// refuses what it does not have, and the other one finds out where that is by now. What is left of a call of which it has
// recorded the rest is a call of its own.
const (
	movingPatience = 5 * time.Second
	movingPoll     = 50 * time.Millisecond
)

func bucketMoving() fault {
	return fault{
		code: connect.CodeUnavailable, reason: ledgerv1.ErrorReason_ERROR_REASON_BUCKET_MOVING, retryAfter: 100 * time.Millisecond,
		message: "accounts of the call are being moved to another cell, and nothing was written: send again with the same ids",
	}
}

// isMoving tells of a call that was refused whole, here or by another cell, since a bucket moves or has moved.
func isMoving(err error) bool {
	if errors.Is(err, cell.ErrMoving) || errors.Is(err, cell.ErrMoved) {
		return true
	}
	f := (*fault)(nil)
	return errors.As(err, &f) && f.reason == ledgerv1.ErrorReason_ERROR_REASON_BUCKET_MOVING
}

// refresh has the node know the newest map, or one that is new enough.
func (c *Cells) refresh(ctx context.Context, version uint64) error {
	if c.Refresh == nil {
		return nil
	}
	return c.Refresh(ctx, version)
}

// whileMoving calls f again while it is refused since a bucket moves: by the newest map each time, and once only where the
// call was forwarded. f must have done nothing then.
func (s *Server) whileMoving(ctx context.Context, forwarded bool, f func() error) error {
	err := f()
	if s.config.Cells == nil || !isMoving(err) {
		return err
	}
	until := s.config.Clock.Mono() + uint64(movingPatience)
	for try := 0; isMoving(err); try++ {
		if refreshed := s.config.Cells.refresh(ctx, 0); refreshed != nil {
			s.logger.Warn("the map of cells can't be read", "error", refreshed)
		}
		if try > 0 && (forwarded || s.config.Clock.Mono() >= until || clock.Sleep(ctx, s.config.Clock, min(time.Millisecond<<min(try, 10), movingPoll)) != nil) {
			return err
		}
		err = f()
	}
	return err
}

// splitCall splits a call's transfers by the cells that they belong to. A call that came from another node goes on to no
// third one: the one that forwarded it knows what else is in it.
func (s *Server) splitCall(ctx context.Context, c *call, b *codec.Batch) (*router.Parts, error) {
	split := s.config.Cells.Router.Split
	if c.moved {
		split = s.config.Cells.Router.SplitAgain
	}
	p, err := split(ctx, b.Transfers, s.finder(c))
	if err == nil && c.forwarded && len(p.There) > 0 {
		return nil, cell.ErrMoved // this node, or the one that forwarded, has an old map
	}
	return p, err
}

// againWhere is recordAgain for those of the events at these places that an error of the driver names.
func (s *Server) againWhere(ctx context.Context, c *call, b *codec.Batch, places []int, results []journal.Result, err error) error {
	e := (*router.AgainError)(nil)
	if !errors.As(err, &e) {
		return err
	}
	left := make([]int, len(e.Places))
	for k, i := range e.Places {
		left[k] = places[i]
	}
	return s.recordAgain(ctx, c, b, left, results, err)
}

// recordAgain records the events at these places once their bucket has moved; refused is why they could not be recorded
// at once. Others of the batch may have been recorded; if there are no others, all of it is begun anew by whoever waits for
// it.
func (s *Server) recordAgain(ctx context.Context, c *call, b *codec.Batch, places []int, results []journal.Result, refused error) error {
	if !isMoving(refused) || len(places) == len(b.Transfers) {
		return refused
	}
	rest, sub, again := c.rest(), part(b, places), make([]journal.Result, len(places))
	err := s.whenMoved(ctx, refused, func() error { return s.recordParts(ctx, rest, sub, again) })
	if err == nil {
		scatter(results, places, again)
	}
	return err
}

// whenMoved is whileMoving for what is left of a call, of which the first try was refused.
func (s *Server) whenMoved(ctx context.Context, refused error, f func() error) error {
	first := true
	err := s.whileMoving(ctx, false, func() error {
		if first {
			first = false
			return refused
		}
		return f()
	})
	if isMoving(err) {
		return &fault{
			code: connect.CodeUnavailable, reason: ledgerv1.ErrorReason_ERROR_REASON_OUTCOME_UNKNOWN,
			message: "accounts of the call are being moved to another cell, and other events of it may have been recorded: send again with the same ids",
		}
	}
	return err
}

// ownOf returns those of the accounts that are of the node's cell.
func (s *Server) ownOf(ids []money.U128) []money.U128 {
	if s.config.Cells == nil {
		return ids
	}
	own := make([]money.U128, 0, len(ids))
	for _, id := range ids {
		if s.config.Cells.Router.Owns(id) {
			own = append(own, id)
		}
	}
	return own
}
