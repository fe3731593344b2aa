package feed

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sort"
	"sync"

	"github.com/sterlingrun/sterling/clock"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

// RunnerOptions are what all sinks of a node share. All are required.
type RunnerOptions struct {
	Dir    string // of cursors and dead letters; made if it is not there
	Clock  clock.Clock
	Logger *slog.Logger
	Jitter func() float64 // in [0, 1)
}

// Runners are the sinks of a node. Safe for concurrent use.
type Runners struct {
	list    []*Runner // by name
	cancel  context.CancelFunc
	running sync.WaitGroup
}

// StartSinks begins to serve the sinks. It fails where their folder can't be used or a name is taken twice; whatever
// else goes wrong stops one sink, and its status says why. Close ends them, also after an error.
func (f *Feed) StartSinks(opts RunnerOptions, sinks []SinkOptions) (*Runners, error) {
	ctx, cancel := context.WithCancel(context.Background())
	rs := &Runners{cancel: cancel}
	for _, o := range sinks {
		o.defaults()
		rs.list = append(rs.list, &Runner{
			opts: o, feed: f, clock: opts.Clock, logger: opts.Logger, jitter: opts.Jitter, path: cursorPath(opts.Dir, o.Name),
		})
	}
	if err := os.MkdirAll(opts.Dir, 0o700); err != nil {
		return rs, fmt.Errorf("make the folder of the sinks: %w", err)
	}
	names := map[string]bool{}
	for _, r := range rs.list {
		name := r.opts.Name
		if !ValidSinkName(name) || names[name] {
			return rs, fmt.Errorf("sink %.80q: want another name for each, of a-z, 0-9, '-' and '_'", name)
		}
		names[name] = true
		var err error
		if r.dead, err = openDeadLetters(deadPath(opts.Dir, name), r.opts.DeadBytes); err != nil {
			return rs, fmt.Errorf("sink %s: %w", name, err)
		}
	}
	sort.Slice(rs.list, func(i, k int) bool { return rs.list[i].opts.Name < rs.list[k].opts.Name })
	for _, r := range rs.list {
		rs.running.Go(func() { r.run(ctx) })
	}
	return rs, nil
}

// Close stops delivering and waits for it; what was under way is delivered again at the next start.
func (rs *Runners) Close() error {
	rs.cancel()
	rs.running.Wait()
	var err error
	for _, r := range rs.list {
		err = errors.Join(err, r.opts.Sink.Close())
	}
	return err
}

// Status tells how each sink is doing, by name.
func (rs *Runners) Status() []*ledgerv1.Sink {
	list := make([]*ledgerv1.Sink, len(rs.list))
	for i, r := range rs.list {
		list[i] = r.report()
	}
	return list
}

func (rs *Runners) find(name string) (*Runner, error) {
	for _, r := range rs.list {
		if r.opts.Name == name {
			return r, nil
		}
	}
	return nil, fmt.Errorf("sink %.80q: %w", name, ErrNotFound)
}

// DeadLetters lists up to limit dead letters of a sink after an id ("": from the oldest).
func (rs *Runners) DeadLetters(sink, after string, limit int) ([]*ledgerv1.DeadLetter, error) {
	r, err := rs.find(sink)
	if err != nil {
		return nil, err
	}
	return r.dead.after(after, limit), nil
}

// DeadLetter returns one with its events.
func (rs *Runners) DeadLetter(sink, id string) (*ledgerv1.DeadLetter, []*ledgerv1.FeedEvent, error) {
	r, err := rs.find(sink)
	if err != nil {
		return nil, nil, err
	}
	letter, d, err := r.dead.get(id)
	if err != nil {
		return nil, nil, err
	}
	return letter, d.Events, nil
}

// Redeliver sends a dead letter once more, and removes it when it has arrived; ErrDelivery where it has not.
func (rs *Runners) Redeliver(ctx context.Context, sink, id string) error {
	r, err := rs.find(sink)
	if err != nil {
		return err
	}
	_, d, err := r.dead.get(id)
	if err != nil {
		return err
	}
	if err := r.attempt(ctx, d); err != nil {
		return fmt.Errorf("redeliver %s to %s: %w: %w", id, sink, ErrDelivery, err)
	}
	return r.dead.remove(id)
}

// Drop removes a dead letter for good.
func (rs *Runners) Drop(sink, id string) error {
	r, err := rs.find(sink)
	if err != nil {
		return err
	}
	return r.dead.remove(id)
}
