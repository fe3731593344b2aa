package monitor

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/sterlingrun/sterling/cell"
	"github.com/sterlingrun/sterling/clock"
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/money"
	"github.com/sterlingrun/sterling/watch"
)

// Actor is who freezes in the name of the watch, as the journal has it. No token has it; so a person, any with the
// right role, can lift such a freeze: the journal asks for another actor than the one who froze.
func Actor() journal.Actor { return journal.Actor([]byte("sterling/monitor")) }

// freezer makes the freezes that the engine wants: each until the ledger has answered.
type freezer struct {
	s    *session
	mu   sync.Mutex
	list []wanted
	wake chan struct{}
}

func (f *freezer) add(w wanted) {
	f.mu.Lock()
	f.list = append(f.list, w)
	f.mu.Unlock()
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

func (f *freezer) next() (w wanted, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.list) == 0 {
		return w, false
	}
	w = f.list[0]
	f.list = f.list[1:]
	return w, true
}

// run makes freezes in order until ctx ends.
func (f *freezer) run(ctx context.Context) {
	for {
		w, ok := f.next()
		if !ok {
			select {
			case <-f.wake:
				continue
			case <-ctx.Done():
				return
			}
		}
		failure, err := f.freeze(ctx, &w.Freeze)
		if err != nil {
			return // the session ends; the next one has it to make still
		}
		now := f.s.m.opts.Clock.Wall()
		if failure == "" {
			f.s.m.opts.FreezeTook(time.Duration(now - min(now, w.At))) //nolint:gosec // small
			f.s.m.opts.Logger.Warn("the watch froze", "what", w.Covers(), "break", watch.HexID(w.Break), "reason", w.Reason)
		} else {
			f.s.m.opts.Logger.Error("a freeze that the watch wants was refused", "what", w.Covers(), "break", watch.HexID(w.Break), "status", failure)
		}
		f.s.m.inbox.frozen(verdictOfFreeze{w.ID, failure, now})
	}
}

// freeze has one freeze journaled. The id makes it safe to repeat where the outcome is unknown. The error is ctx's.
func (f *freezer) freeze(ctx context.Context, w *watch.Freeze) (failure string, err error) {
	record, err := freezeRecord(w)
	if err != nil {
		return err.Error(), nil
	}
	for pause := 5 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		r := &cell.Request{
			Kind: journal.KindFreeze, Actor: Actor(), Events: journal.Bytes([]journal.Freeze{record}), Results: make([]journal.Result, 1),
		}
		if err = f.s.m.opts.Ledger.Do(ctx, r); err == nil {
			switch status := r.Results[0].Status; status {
			case journal.ControlCreated, journal.ControlExists:
				return "", nil
			default:
				return status.Name(journal.KindFreeze), nil
			}
		}
		f.s.m.opts.Logger.Warn("a freeze that the watch wants was not made; it is tried again", "what", w.Covers(), "error", err)
		if err := clock.Sleep(ctx, f.s.m.opts.Clock, pause); err != nil {
			return "", err
		}
	}
}

// freezeRecord is the freeze as the journal has it: both sides of what it covers stand still.
func freezeRecord(w *watch.Freeze) (r journal.Freeze, err error) {
	r = journal.Freeze{ID: money.LE(w.ID[:]), Mode: journal.FreezeAll}
	switch w.Selector {
	case watch.FreezeAccount:
		r.Selector, r.Account = journal.SelectAccount, money.LE(w.Account[:])
	case watch.FreezeCode:
		r.Selector, r.Code = journal.SelectCode, w.Code
	case watch.FreezeCell:
		r.Selector = journal.SelectCell
	default:
		return r, fmt.Errorf("it is of an unknown kind, %d", w.Selector)
	}
	copy(r.Reason[:], w.Reason)
	return r, nil
}
