package bench

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/sterlingrun/sterling/cell"
	"github.com/sterlingrun/sterling/clock"
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/monitor"
	"github.com/sterlingrun/sterling/sim/faults"
	"github.com/sterlingrun/sterling/store/local"
	"github.com/sterlingrun/sterling/watch"
)

// live is a cell on a disk with a monitor beside it that freezes.
type live struct {
	store   *local.Store
	cell    *cell.Cell
	monitor *monitor.Monitor
	mu      sync.Mutex
	froze   Histogram
	frozen  int
}

// betweenFaults keeps the breaks of one moment of the watch, a tenth of a second, few: a page of the newest has them all.
const betweenFaults = 20 * time.Millisecond

// freezeTime books wrong amounts into a real cell, one after the other, and waits for each one's freeze.
func freezeTime(ctx context.Context, b *watchBench) (measures []Measure, err error) {
	l := &live{}
	if err := l.open(ctx, b); err != nil {
		return nil, errors.Join(err, l.close())
	}
	defer func() { err = errors.Join(err, l.close()) }()
	for !l.monitor.Stats().Up {
		if err := wait(ctx, time.Millisecond); err != nil {
			return nil, errors.Join(err, l.monitor.Err())
		}
	}
	size := faults.Size{Customers: 2 * b.Freezes, Merchants: 1}
	for _, m := range size.SetUp(0) {
		if err := l.do(ctx, m.Kind, m.Events); err != nil {
			return nil, err
		}
	}
	var alarm Histogram
	for i := range b.Freezes {
		b.progress(uint64(i), uint64(b.Freezes))
		took, err := l.fault(ctx, uint64(i))
		if err != nil {
			return nil, fmt.Errorf("fault %d: %w", i, err)
		}
		alarm.Record(took)
		if err := wait(ctx, betweenFaults); err != nil {
			return nil, err
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return []Measure{
		{Name: "fault to alarm, p99", Unit: "ms", Value: ms(alarm.Quantile(0.99)), AtLeast: 1_000, Less: true},
		{Name: "alarm to freeze, p99", Unit: "ms", Value: ms(l.froze.Quantile(0.99)), AtLeast: 100, Less: true},
		{Name: "fault to alarm, p50", Unit: "ms", Value: ms(alarm.Quantile(0.5))},
		{Name: "alarm to freeze, p50", Unit: "ms", Value: ms(l.froze.Quantile(0.5))},
		{Name: "accounts frozen", Unit: "number", Value: float64(l.frozen)},
	}, nil
}

func (l *live) open(ctx context.Context, b *watchBench) error {
	const id = faults.Cell
	store, err := local.Open(filepath.Join(b.Dir, "cell"), local.Options{Cell: id})
	if err != nil {
		return err
	}
	l.store = store
	time := clock.NewSystem()
	var m *monitor.Monitor
	var mu sync.Mutex
	l.cell, err = cell.Open(ctx, cell.Options{
		ID: id, Log: store, Clock: time, Incarnation: [16]byte{1}, HashKey: [2]uint64{3, 5},
		OnBlock: func(k *journal.Block, _ int) {
			mu.Lock()
			defer mu.Unlock()
			if m != nil {
				m.OnBlock(k.Header.Seq, k.Raw)
			}
		},
	})
	if err != nil {
		return err
	}
	l.monitor, err = monitor.Open(ctx, monitor.Options{
		Dir: filepath.Join(b.Dir, "freeze"), Cell: id, Log: store, Ledger: l.cell, Clock: time, Flows: b.texts, FreezeTook: l.took,
		StopLoss: watch.StopLoss{AccountsPerMinute: 1_000_000, Rules: []watch.StopRule{{Freeze: "account"}}},
	})
	mu.Lock()
	m = l.monitor
	mu.Unlock()
	return err
}

func (l *live) close() (err error) {
	if l.monitor != nil {
		err = l.monitor.Close()
	}
	if l.cell != nil {
		err = errors.Join(err, l.cell.Close())
	}
	if l.store != nil {
		err = errors.Join(err, l.store.Close())
	}
	return err
}

func (l *live) took(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.froze.Record(d)
	l.frozen++
}

func (l *live) do(ctx context.Context, kind journal.Kind, events []byte) error {
	q := &cell.Request{Kind: kind, Actor: journal.Actor{1}, Events: events, Results: make([]journal.Result, len(events)/journal.RecordSize)}
	if err := l.cell.Do(ctx, q); err != nil {
		return err
	}
	for i, result := range q.Results {
		if result.Status != journal.Created {
			return fmt.Errorf("event %d of kind %d: %s", i, kind, result.Status.Name(kind))
		}
	}
	return nil
}

// fault orders a payment, books 0.01 too much, and says how long it took from its answer until its break was durable. It
// returns once the account is frozen.
func (l *live) fault(ctx context.Context, i uint64) (time.Duration, error) {
	order, leg := faults.Overpaid(i, uint64(time.Now().UnixNano()))
	if _, err := l.monitor.Observe(ctx, faults.Orders, i+1, []watch.Observation{order}); err != nil {
		return 0, err
	}
	if err := l.do(ctx, journal.KindTransfers, journal.Bytes([]journal.Transfer{leg})); err != nil {
		return 0, err
	}
	began, took := time.Now(), time.Duration(0)
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for {
		if took == 0 {
			list, _, err := l.monitor.Breaks(ctx, watch.Filter{Class: watch.WrongAmount, Limit: 20}) // several are of one moment
			if err != nil {
				return 0, err
			}
			if slices.ContainsFunc(list, func(r watch.Record) bool { return r.Key == order.Key }) {
				took = time.Since(began)
			}
		}
		l.mu.Lock()
		frozen := l.frozen
		l.mu.Unlock()
		if took != 0 && frozen > int(i) { //nolint:gosec // G115: small
			return took, nil
		}
		if err := wait(ctx, 200*time.Microsecond); err != nil {
			return 0, fmt.Errorf("wait for the break and its freeze (%d until now): %w", frozen, err)
		}
	}
}
