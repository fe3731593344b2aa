package node

import (
	"context"
	"slices"
	"time"

	"github.com/sterlingrun/sterling/audit"
)

// headOrder is a caller who waits for a head to be in the log.
type headOrder struct {
	head audit.Head
	done chan headDone // with room for the answer
}

type headDone struct {
	entry uint64
	err   error
}

// LogHead implements api.HeadLog. All heads of a second share one entry, so that any number of sandboxes costs the log
// one.
func (a *auditor) LogHead(ctx context.Context, h audit.Head) (uint64, error) {
	o := headOrder{h, make(chan headDone, 1)}
	select {
	case a.heads <- o:
	case <-ctx.Done():
		return 0, errAuditClosed
	case <-a.stopped:
		return 0, errAuditClosed
	}
	select {
	case d := <-o.done:
		return d.entry, d.err
	case <-ctx.Done():
		return 0, audit.ErrLog
	}
}

// takeHeads collects heads for a while, or until an entry is full, and appends them.
func (a *auditor) takeHeads(ctx context.Context, wait time.Duration) {
	fired, stop := a.clock.After(wait)
	defer stop()
	var orders []headOrder
	for len(orders) < audit.MaxHeads && ctx.Err() == nil {
		select {
		case o := <-a.heads:
			orders = append(orders, o)
			continue
		case <-fired:
		case <-ctx.Done():
		}
		break
	}
	if len(orders) == 0 {
		return
	}
	d := a.appendHeads(ctx, orders)
	for _, o := range orders {
		o.done <- d
	}
}

func (a *auditor) appendHeads(ctx context.Context, orders []headOrder) (d headDone) {
	log := a.open()
	if log == nil {
		return headDone{err: errAuditClosed}
	}
	h := audit.Heads{Cell: a.cell, Made: a.clock.Wall()}
	for _, o := range orders {
		h.Heads = append(h.Heads, o.head)
	}
	order := func(x, y audit.Head) int { return x.Compare(&y) }
	slices.SortStableFunc(h.Heads, order)
	// A caller who sent the same head twice, because an answer was lost, has it stated once.
	h.Heads = slices.CompactFunc(h.Heads, func(x, y audit.Head) bool { return order(x, y) == 0 })
	ctx, cancel := context.WithTimeout(ctx, stateWithin)
	defer cancel()
	d.entry, d.err = log.AppendHeads(ctx, h)
	a.afterFault(ctx, d.err)
	return d
}
