package feed

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sort"
	"sync"

	"github.com/sterlingrun/sterling/clock"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

// RunnerOptions are what all sinks of a node share. All are required.
type RunnerOptions struct {
	Shelf  Shelf
	Clock  clock.Clock
	Logger *slog.Logger
	Jitter func() float64 // in [0, 1)
}

// Runners are the sinks of a node. Safe for concurrent use.
type Runners struct {
	list []*Runner // by name

	mu      sync.Mutex
	cancel  context.CancelFunc // nil: the sinks are not served
	closed  bool
	running sync.WaitGroup
}

// NewSinks returns the sinks, of which none is served yet. It fails where a name is taken twice; Close also then.
func (f *Feed) NewSinks(opts RunnerOptions, sinks []SinkOptions) (*Runners, error) {
	rs := &Runners{}
	for _, o := range sinks {
		o.defaults()
		rs.list = append(rs.list, &Runner{
			opts: o, feed: f, clock: opts.Clock, logger: opts.Logger, jitter: opts.Jitter, shelf: opts.Shelf,
			dead: &deadLetters{shelf: opts.Shelf, prefix: deadPrefix(o.Name), limit: o.DeadBytes},
		})
	}
	names := map[string]bool{}
	for _, r := range rs.list {
		name := r.opts.Name
		if !ValidSinkName(name) || names[name] {
			return rs, fmt.Errorf("sink %.80q: want another name for each, of a-z, 0-9, '-' and '_'", name)
		}
		names[name] = true
	}
	sort.Slice(rs.list, func(i, k int) bool { return rs.list[i].opts.Name < rs.list[k].opts.Name })
	return rs, nil
}

// Serve begins to deliver, from where the shelf says, unless they are closed. Of the nodes that share a shelf one may do so at a time; where two
// do for a moment, deliveries arrive twice. Whatever goes wrong stops one sink, and its status says why.
func (rs *Runners) Serve() {
	rs.Pause()
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if rs.closed {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	rs.cancel = cancel
	for _, r := range rs.list {
		r.dead.forget()
		rs.running.Go(func() { r.run(ctx) })
	}
}

// Pause stops delivering, and does not wait for it: another node goes on.
func (rs *Runners) Pause() {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if rs.cancel != nil {
		rs.cancel()
		rs.cancel = nil
	}
}

// Serving reports whether the sinks are served here: only then does Status say something.
func (rs *Runners) Serving() bool {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	return rs.cancel != nil
}

// Close stops delivering for good and waits for it; what was under way is delivered again at the next start. It may be
// called more than once.
func (rs *Runners) Close() error {
	rs.Pause()
	rs.mu.Lock()
	again := rs.closed
	rs.closed = true
	rs.mu.Unlock()
	rs.running.Wait()
	if again {
		return nil
	}
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

// find returns a sink whose dead letters are known.
func (rs *Runners) find(ctx context.Context, name string) (*Runner, error) {
	for _, r := range rs.list {
		if r.opts.Name == name {
			return r, r.dead.load(ctx)
		}
	}
	return nil, fmt.Errorf("sink %.80q: %w", name, ErrNotFound)
}

// DeadLetters lists up to limit dead letters of a sink after an id ("": from the oldest).
func (rs *Runners) DeadLetters(ctx context.Context, sink, after string, limit int) ([]*ledgerv1.DeadLetter, error) {
	r, err := rs.find(ctx, sink)
	if err != nil {
		return nil, err
	}
	return r.dead.after(after, limit), nil
}

// DeadLetter returns one with its events.
func (rs *Runners) DeadLetter(ctx context.Context, sink, id string) (*ledgerv1.DeadLetter, []*ledgerv1.FeedEvent, error) {
	r, err := rs.find(ctx, sink)
	if err != nil {
		return nil, nil, err
	}
	letter, d, err := r.dead.get(ctx, id)
	if err != nil {
		return nil, nil, err
	}
	return letter, d.Events, nil
}

// Redeliver sends a dead letter once more, and removes it when it has arrived; ErrDelivery where it has not.
func (rs *Runners) Redeliver(ctx context.Context, sink, id string) error {
	r, err := rs.find(ctx, sink)
	if err != nil {
		return err
	}
	_, d, err := r.dead.get(ctx, id)
	if err != nil {
		return err
	}
	if err := r.attempt(ctx, d); err != nil {
		return fmt.Errorf("redeliver %s to %s: %w: %w", id, sink, ErrDelivery, err)
	}
	return r.dead.remove(ctx, id)
}

// Drop removes a dead letter for good.
func (rs *Runners) Drop(ctx context.Context, sink, id string) error {
	r, err := rs.find(ctx, sink)
	if err != nil {
		return err
	}
	return r.dead.remove(ctx, id)
}
