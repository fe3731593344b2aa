package router

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/sterlingrun/sterling/clock"
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/transit"
)

// lane brings what was decided to its end, towards one peer: confirm there, then settle here. Nobody waits for it.
type lane struct {
	t    *term
	peer uint64
	wake chan struct{}

	mu    sync.Mutex
	queue []*attempt
}

// lane returns the lane to a peer.
func (t *term) lane(peer uint64) *lane {
	t.mu.Lock()
	l := t.lanes[peer]
	fresh := l == nil
	if fresh {
		l = &lane{t: t, peer: peer, wake: make(chan struct{}, 1)}
		t.lanes[peer] = l
	}
	t.mu.Unlock()
	if fresh {
		t.start(l.run) // not after Stand: the next leader finds what is open
	}
	return l
}

func (l *lane) add(list ...*attempt) {
	l.mu.Lock()
	l.queue = append(l.queue, list...)
	l.mu.Unlock()
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// take moves up to batchTransfers from the queue.
func (l *lane) take() []*attempt {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := min(len(l.queue), batchTransfers)
	list := l.queue[:n:n]
	l.queue = l.queue[n:]
	return list
}

func (l *lane) run() {
	t, told := l.t, ""
	for try := 0; t.ctx.Err() == nil; {
		list := l.take()
		if len(list) == 0 {
			select {
			case <-l.wake:
			case <-t.ctx.Done():
			}
			continue
		}
		left, err := l.end(list)
		if len(left) == 0 {
			try, told = 0, ""
			continue
		}
		if text := err.Error(); text != told && t.ctx.Err() == nil {
			told = text
			t.opts.Logger.Warn("transfers to another cell are decided and not confirmed yet; it is tried again", "cell", t.opts.Cell, "peer", l.peer, "transfers", len(left), "error", err)
		}
		if len(left) < len(list) { // one that can't be confirmed does not hold up the others
			try = 0
		}
		for _, a := range left { // where its account is now
			t.lane(t.peerOf(a)).add(a)
		}
		_ = clock.Sleep(t.ctx, t.opts.Clock, pause(try)) // the loop ends with the context
		try++
	}
}

// submit has the peer record steps, which may be this cell itself: both accounts of a transfer have come to it.
func (l *lane) submit(ctx context.Context, s *Steps) ([]journal.Status, error) {
	if l.peer != l.t.opts.Cell {
		return l.t.opts.Peers.Submit(ctx, l.peer, s)
	}
	var b batch
	for _, step := range s.List {
		b.add(transit.Event{Transfer: step.Record, Attached: step.Details})
	}
	results, err := l.t.do(s.Actor, &b)
	statuses := make([]journal.Status, len(results))
	for i := range results {
		statuses[i] = results[i].Status
	}
	return statuses, err
}

// end confirms and settles attempts, and returns those for which that is to be tried again.
func (l *lane) end(list []*attempt) (left []*attempt, err error) {
	t := l.t
	steps := &Steps{Home: t.opts.Cell, Actor: driverActor}
	for _, a := range list {
		e := a.Confirm(a.posted, !a.undated)
		steps.List = append(steps.List, Step{e.Transfer, e.Attached, a.Asset})
	}
	ctx, cancel := clock.Within(t.ctx, t.opts.Clock, t.opts.HoldPatience)
	defer cancel()
	statuses, err := l.submit(ctx, steps)
	if n := len(list) / 2; n > 0 && moving(err) { // the buckets of the others don't
		cancel()
		left, err = l.end(list[:n])
		more, other := l.end(list[n:])
		return append(left, more...), errors.Join(err, other)
	}
	if err != nil || len(statuses) != len(list) {
		return list, fmt.Errorf("confirm %d transfers in cell %d: %d statuses: %w", len(list), l.peer, len(statuses), err)
	}
	t.heard(l.peer, nil)
	var b batch
	var confirmed []*attempt
	for i, a := range list {
		switch transit.Confirmed(statuses[i], a.posted) {
		case transit.Done:
			confirmed = append(confirmed, a)
			b.add(a.Settle(a.posted))
		case transit.SendPlain:
			a.undated = true
			left, err = append(left, a), fmt.Errorf("the books of the day of transfer %v are closed in cell %d", a.id(), l.peer)
		case transit.Wrong:
			left, err = append(left, a), fmt.Errorf("confirm transfer %v, attempt %v, in cell %d: status %d", a.id(), a.Reserve, l.peer, statuses[i])
		}
	}
	results, failed := t.untilDone(driverActor, &b)
	if failed != nil {
		return append(left, confirmed...), failed
	}
	for i, a := range confirmed {
		s := results[i].Status
		if transit.Settled(s, a.posted) == transit.Done {
			t.ended(a)
			continue
		}
		left, err = append(left, a), fmt.Errorf("settle transfer %v, attempt %v: status %d", a.id(), a.Reserve, s)
	}
	return left, err
}
