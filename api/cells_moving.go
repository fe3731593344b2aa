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

// A bucket of accounts that moves to another cell holds up the calls that touch it: they wait in the node until it has
// arrived, and are then answered there.
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

// whileMoving calls f again while it is refused since a bucket moves: by the newest map each time. f must have done nothing
// then.
func (s *Server) whileMoving(ctx context.Context, f func() error) error {
	err := f()
	if s.config.Cells == nil || !isMoving(err) {
		return err
	}
	until := s.config.Clock.Mono() + uint64(movingPatience)
	for try := 0; isMoving(err); try++ {
		if refreshed := s.config.Cells.refresh(ctx, 0); refreshed != nil {
			s.logger.Warn("the map of cells can't be read", "error", refreshed)
		}
		if try > 0 && (s.config.Clock.Mono() >= until || clock.Sleep(ctx, s.config.Clock, min(time.Millisecond<<min(try, 10), movingPoll)) != nil) {
			return err
		}
		err = f()
	}
	return err
}

// splitCall splits a call's transfers by the cells that they belong to. A call that came from another node goes on to a
// third one only where a bucket has moved on.
func (s *Server) splitCall(ctx context.Context, c *call, b *codec.Batch) (*router.Parts, error) {
	split := s.config.Cells.Router.Split
	if c.moved {
		split = s.config.Cells.Router.SplitAgain
	}
	p, err := split(ctx, b.Transfers, s.finder(c))
	if err == nil && c.forwarded && len(p.There) > 0 && (!c.moved || c.hops >= maxHops) {
		return nil, cell.ErrMoving // this node, or the one that forwarded, has an old map
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
// at once. Others of the call may have been recorded.
func (s *Server) recordAgain(ctx context.Context, c *call, b *codec.Batch, places []int, results []journal.Result, refused error) error {
	if len(places) == len(b.Transfers) {
		return refused // nothing at all was recorded: all of it is begun anew
	}
	c.moved = true
	sub := part(b, places)
	again := make([]journal.Result, len(places))
	first := true
	err := s.whileMoving(ctx, func() error {
		if first {
			first = false
			return refused
		}
		_, err := s.recordParts(ctx, c, sub, again)
		return err
	})
	if err == nil {
		scatter(results, places, again)
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
