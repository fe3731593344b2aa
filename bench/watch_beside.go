package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// besidePairs is how often the load runs with and without the watch.
const besidePairs = 2

// besideFlow claims every transfer of the load, each by its own id: a case for each, without witnesses.
const besideFlow = "flow: load\ntitle: Transfers of the benchmark\ntransfers: code > 0\nkey: id\nlegs:\n  - {name: transfer}\n"

// beside runs the ledger's shape of 128 clients on servers with and without a watch, in turns, each on an empty folder.
func beside(ctx context.Context, b *watchBench) ([]Measure, error) {
	flows := filepath.Join(b.Dir, "flows")
	if err := os.MkdirAll(flows, 0o700); err != nil {
		return nil, fmt.Errorf("make a folder for flows: %w", err)
	}
	if err := os.WriteFile(filepath.Join(flows, "load.yaml"), []byte(besideFlow), 0o600); err != nil {
		return nil, fmt.Errorf("write a flow: %w", err)
	}
	var alone, watched measurement
	worst := 0.0
	for n := range 2 * besidePairs {
		b.progress(uint64(n), 2*besidePairs)
		with := (n+n/2)%2 == 1 // without, with, with, without: neither is always first
		more := "watch: {enabled: false}\n"
		if with {
			more = fmt.Sprintf("watch: {enabled: true, flows: %q}\n", flows)
		}
		m, lag, err := b.besideOnce(ctx, filepath.Join(b.Dir, fmt.Sprintf("beside-%d", n)), more)
		switch {
		case err != nil:
			return nil, err
		case with:
			watched.merge(m)
			worst = max(worst, lag)
		default:
			alone.merge(m)
		}
	}
	return []Measure{
		{Name: "writes kept", Unit: "ratio", Value: watched.perSecond() / max(1, alone.perSecond()), AtLeast: 0.85},
		{Name: "the watch's lag, at most", Unit: "s", Value: worst, AtLeast: 2, Less: true},
		{Name: "writes without a watch", Unit: perSecond, Value: alone.perSecond()},
		{Name: "writes with a watch", Unit: perSecond, Value: watched.perSecond()},
		{Name: "p99 without", Unit: "ms", Value: ms(alone.latency.Quantile(0.99))},
		{Name: "p99 with", Unit: "ms", Value: ms(watched.latency.Quantile(0.99))},
	}, nil
}

// besideOnce is one run on a server of its own, and the watch's largest lag in seconds meanwhile.
func (b *watchBench) besideOnce(ctx context.Context, folder, more string) (m *measurement, lag float64, err error) {
	const accounts, clients = 10_000, 128
	one := &bench{Config: Config{Accounts: accounts}, book: newBook(accounts, b.Seed), shape: &shape{name: b.part}}
	s, _, err := start(ctx, b.Command, childOptions{folder: folder, more: more})
	if err != nil {
		return nil, 0, err
	}
	defer func() { err = errors.Join(err, s.close(), os.RemoveAll(folder)) }()
	if err := one.createAccounts(ctx, s); err != nil {
		return nil, 0, err
	}
	if err := s.awaitWatch(ctx); err != nil {
		return nil, 0, err
	}
	err = one.with(ctx, s, wireForm(clients, 1), func(l *load) error {
		asking, stop := context.WithCancel(ctx)
		var group sync.WaitGroup
		var asked error
		group.Go(func() { lag, asked = s.worstLag(asking) })
		m, err = l.run(ctx, time.Second, b.Window)
		stop()
		group.Wait()
		return errors.Join(err, asked)
	})
	return m, lag, err
}

// awaitWatch waits until the watch, where there is one, has taken what there is.
func (s *server) awaitWatch(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, readyTime, errors.New("the watch does not catch up"))
	defer cancel()
	for {
		values, err := s.metrics(ctx)
		if err != nil {
			return err
		}
		if up, watched := values["sterling_watch_up"]; !watched || up == 1 && values["sterling_watch_lag_blocks"] == 0 {
			return nil
		}
		if err := wait(ctx, 100*time.Millisecond); err != nil {
			return err
		}
	}
}

// worstLag asks for the watch's lag until ctx ends. A server without a watch has none.
func (s *server) worstLag(ctx context.Context) (worst float64, err error) {
	for {
		values, err := s.metrics(ctx)
		if ctx.Err() != nil {
			return worst, nil
		}
		if err != nil {
			return worst, err
		}
		worst = max(worst, values["sterling_watch_lag_seconds"])
		if err := wait(ctx, 100*time.Millisecond); err != nil {
			return worst, nil //nolint:nilerr // the load has ended
		}
	}
}
