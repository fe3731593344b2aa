package bench

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// load is a set of clients, each of which sends one request after the other.
type load struct {
	server   *server
	book     *book
	callers  []caller
	choosers []chooser
	progress func(elapsed, total time.Duration, transfers uint64)

	acknowledged atomic.Uint64 // transfers, in all runs
	measured     atomic.Uint64 // transfers, in the current run's window
}

// newLoad makes a client of every caller, and closes the callers in the end.
func newLoad(s *server, b *book, callers []caller) *load {
	l := &load{server: s, book: b, callers: callers, choosers: make([]chooser, len(callers)), progress: func(time.Duration, time.Duration, uint64) {}}
	run := s.nextRun()
	for i := range l.choosers {
		l.choosers[i] = chooser{book: b, random: splitmix(run + uint64(i)), run: run, next: uint64(i) << 40}
	}
	return l
}

func (l *load) close() error { return closeAll(l.callers) }

// hot makes every further transfer credit one account, or again any.
func (l *load) hot(on bool) {
	for i := range l.choosers {
		l.choosers[i].hot = on
	}
}

// measurement is what a run showed, in its window only.
type measurement struct {
	seconds              float64
	calls, transfers     uint64
	latency              Histogram
	serverCPU, clientCPU time.Duration
	lastAnswer           time.Time // of all, the window's or later
}

func (m *measurement) perSecond() float64 { return float64(m.transfers) / m.seconds }

// merge adds a later run.
func (m *measurement) merge(other *measurement) {
	m.seconds += other.seconds
	m.calls += other.calls
	m.transfers += other.transfers
	m.latency.Merge(&other.latency)
	m.serverCPU += other.serverCPU
	m.clientCPU += other.clientCPU
	m.lastAnswer = other.lastAnswer
}

// client is what one of the clients saw.
type client struct {
	latency          Histogram
	calls, transfers uint64
	last             time.Time
	err              error
}

// run sends for warmup and then for duration, which is the window. A call belongs to the window if it ended there.
// Calls in flight at the end are waited for. A refused transfer or a failed call fails the run.
func (l *load) run(ctx context.Context, warmup, duration time.Duration) (*measurement, error) {
	ctx, cancel := context.WithCancel(authorized(ctx, l.server.token))
	defer cancel()
	l.measured.Store(0)
	began := time.Now()
	from, until := began.Add(warmup), began.Add(warmup+duration)
	clients := make([]client, len(l.callers))
	var group sync.WaitGroup
	for i := range l.callers {
		group.Go(func() {
			if clients[i].err = l.serve(ctx, i, &clients[i], from, until); clients[i].err != nil {
				cancel()
			}
		})
	}
	m, err := l.watch(ctx, from, until)
	group.Wait()
	for i := range clients {
		c := &clients[i]
		m.calls, m.transfers = m.calls+c.calls, m.transfers+c.transfers
		m.latency.Merge(&c.latency)
		if c.last.After(m.lastAnswer) {
			m.lastAnswer = c.last
		}
		if c.err != nil && (err == nil || errors.Is(err, context.Canceled)) {
			err = c.err
		}
	}
	return m, err
}

// serve is one client's loop.
func (l *load) serve(ctx context.Context, i int, c *client, from, until time.Time) error {
	for begin := time.Now(); begin.Before(until); {
		created, sent, err := l.callers[i].call(ctx, &l.choosers[i])
		end := time.Now()
		l.acknowledged.Add(uint64(created)) //nolint:gosec // ≥ 0
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			return err
		case created != sent:
			return fmt.Errorf("%d of %d transfers were not created", sent-created, sent)
		}
		if !end.Before(from) && end.Before(until) {
			c.latency.Record(end.Sub(begin))
			c.calls++
			c.transfers += uint64(created)  //nolint:gosec // ≥ 0
			l.measured.Add(uint64(created)) //nolint:gosec // ≥ 0
		}
		c.last, begin = end, end
	}
	return nil
}

// watch takes the processor times at both ends of the window and shows progress.
func (l *load) watch(ctx context.Context, from, until time.Time) (*measurement, error) {
	m := &measurement{seconds: until.Sub(from).Seconds()}
	if err := sleepUntil(ctx, from); err != nil {
		return m, err
	}
	server, err := l.server.cpu(ctx)
	if err != nil {
		return m, err
	}
	own := ownCPU()
	for now := time.Now(); now.Before(until); now = time.Now() {
		l.progress(now.Sub(from), until.Sub(from), l.measured.Load())
		if err := sleepUntil(ctx, earlier(until, now.Add(200*time.Millisecond))); err != nil {
			return m, err
		}
	}
	after, err := l.server.cpu(ctx)
	m.serverCPU, m.clientCPU = after-server, ownCPU()-own
	return m, err
}

// send makes the clients send until n further transfers were created, as fast as they can.
func (l *load) send(ctx context.Context, n uint64) (last time.Time, err error) {
	ctx, cancel := context.WithCancelCause(authorized(ctx, l.server.token))
	defer cancel(nil)
	began := time.Now()
	var asked, done atomic.Uint64
	var group sync.WaitGroup
	for i := range l.callers {
		group.Go(func() {
			for asked.Load() < n {
				created, sent, err := l.callers[i].call(ctx, &l.choosers[i])
				l.acknowledged.Add(uint64(created)) //nolint:gosec // ≥ 0
				if err == nil && created != sent {
					err = fmt.Errorf("%d of %d transfers were not created", sent-created, sent)
				}
				if err != nil {
					cancel(err)
					return
				}
				asked.Add(uint64(sent))                                     //nolint:gosec // ≥ 0
				l.progress(time.Since(began), 0, done.Add(uint64(created))) //nolint:gosec // ≥ 0
			}
		})
	}
	group.Wait()
	return time.Now(), context.Cause(ctx)
}

// sample is one call of a paced run.
type sample struct {
	due, end  time.Time
	transfers int
}

// paced sends perSecond calls each second for duration, whether or not earlier ones were answered, as long as clients
// are free. Latency counts from when a call was due, so that a stall shows in every call that it delayed.
func (l *load) paced(ctx context.Context, perSecond int, duration time.Duration) ([]sample, error) {
	ctx, cancel := context.WithCancelCause(authorized(ctx, l.server.token))
	defer cancel(nil)
	began := time.Now()
	samples := make([]sample, int(duration.Seconds()*float64(perSecond)))
	var next atomic.Int64
	var group sync.WaitGroup
	for i := range l.callers {
		group.Go(func() {
			for ctx.Err() == nil {
				k := int(next.Add(1)) - 1
				if k >= len(samples) {
					return
				}
				due := began.Add(time.Duration(k) * time.Second / time.Duration(perSecond))
				if sleepUntil(ctx, due) != nil {
					return
				}
				created, sent, err := l.callers[i].call(ctx, &l.choosers[i])
				l.acknowledged.Add(uint64(created)) //nolint:gosec // ≥ 0
				if err == nil && created != sent {
					err = fmt.Errorf("%d of %d transfers were not created", sent-created, sent)
				}
				if err != nil {
					cancel(err)
					return
				}
				samples[k] = sample{due, time.Now(), created}
				l.progress(time.Since(began), duration, uint64(k)*uint64(sent)) //nolint:gosec // ≥ 0
			}
		})
	}
	group.Wait()
	return samples, context.Cause(ctx)
}

func sleepUntil(ctx context.Context, t time.Time) error {
	timer := time.NewTimer(time.Until(t))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// ownCPU is the processor time of this process so far.
func ownCPU() time.Duration {
	var u unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
