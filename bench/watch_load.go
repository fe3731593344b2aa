package bench

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/procfs"

	"github.com/sterlingrun/sterling/cell"
	"github.com/sterlingrun/sterling/clock"
	"github.com/sterlingrun/sterling/ledger"
	"github.com/sterlingrun/sterling/monitor"
	"github.com/sterlingrun/sterling/sim/faults"
	"github.com/sterlingrun/sterling/watch"
)

// replay stands for a ledger whose journal is written already: a monitor reads its blocks from it, and takes the time
// from it, as fast as it can. The stream's time goes on as far as the monitor follows.
type replay struct {
	clock.System // waits
	now          atomic.Uint64
	asked        atomic.Uint64 // the time that the monitor was told last
	head, taken  atomic.Uint64 // blocks that are there, and that were read
	mu           sync.Mutex
	blocks       map[uint64]journaled
	moved        atomic.Uint64 // events of the blocks that were read
	queues       map[string]*queue
	fed          uint64 // events, of blocks and observations
	feeds        sync.WaitGroup
	failed       context.CancelCauseFunc
}

type journaled struct {
	raw    []byte
	events int
}

var errEnough = errors.New("all are open")

var errReplay = errors.New("the replay has no such block")

// Wall implements clock.Clock: the stream's time.
func (r *replay) Wall() uint64 { return r.now.Load() }

// Mono implements clock.Clock.
func (r *replay) Mono() uint64 { return r.now.Load() }

// Head implements monitor.Ledger.
func (r *replay) Head() uint64 { return r.head.Load() }

// ReadAfter implements monitor.Ledger.
func (r *replay) ReadAfter(ctx context.Context, fn func(cell.Moment, *ledger.State)) error {
	head, now := r.head.Load(), r.now.Load() // in this order: blocks that come now are later
	fn(cell.Moment{Seq: head, Now: now}, ledger.New(ledger.Config{}))
	r.asked.Store(now)
	return ctx.Err()
}

// Do implements monitor.Ledger: nothing is frozen here.
func (r *replay) Do(context.Context, *cell.Request) error { return errReplay }

// Read implements monitor.Log. A block that was read is forgotten.
func (r *replay) Read(_ context.Context, seq uint64, dst []byte) ([]byte, error) {
	r.mu.Lock()
	k, ok := r.blocks[seq]
	delete(r.blocks, seq)
	r.mu.Unlock()
	if !ok {
		return nil, fmt.Errorf("block %d: %w", seq, errReplay)
	}
	r.moved.Add(uint64(k.events)) //nolint:gosec // G115: ≥ 0
	r.taken.Store(seq)
	return append(dst[:0], k.raw...), nil
}

// queue is what a source has told and is still to be handed over, in calls of up to inOneCall observations.
type queue struct {
	name  string
	mu    sync.Mutex
	list  []watch.Observation
	ended bool
	more  chan struct{}
	next  uint64
	done  atomic.Uint64
}

const (
	inOneCall = 5_000
	// most is how many events may be under way: about what a fraction of a second brings.
	most = 150_000
	// ahead is how far the stream's time may be before the one that the monitor was told last, ns.
	ahead = uint64(2 * time.Second)
)

func newReplay(failed context.CancelCauseFunc) *replay {
	r := &replay{blocks: map[uint64]journaled{}, queues: map[string]*queue{}, failed: failed}
	r.now.Store(faults.New(0, 1).Begin)
	for _, name := range faults.Sources() {
		r.queues[name] = &queue{name: name, more: make(chan struct{}, 1), next: 1}
	}
	return r
}

// serve hands what the sources tell to the monitor.
func (r *replay) serve(ctx context.Context, m *monitor.Monitor) {
	for _, q := range r.queues {
		r.feeds.Go(func() {
			for {
				list, ended := q.take()
				if len(list) == 0 {
					if ended {
						return
					}
					select {
					case <-q.more:
					case <-ctx.Done():
						return
					}
					continue
				}
				if _, err := m.Observe(ctx, q.name, q.next, list); err != nil {
					r.failed(fmt.Errorf("observations of %s from %d on: %w", q.name, q.next, err))
					return
				}
				q.next += uint64(len(list))
				q.done.Add(uint64(len(list)))
			}
		})
	}
}

func (q *queue) take() (list []watch.Observation, ended bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := min(len(q.list), inOneCall)
	list = append(list, q.list[:n]...)
	q.list = append(q.list[:0], q.list[n:]...)
	return list, q.ended
}

func (q *queue) add(list []watch.Observation, ended bool) {
	q.mu.Lock()
	q.list = append(q.list, list...)
	q.ended = q.ended || ended
	q.mu.Unlock()
	select {
	case q.more <- struct{}{}:
	default:
	}
}

// step lets one step of a stream happen, once there is room for it.
func (r *replay) step(ctx context.Context, one *faults.Step) error {
	// Where little happens the stream's time would run away from the monitor's, and its clocks seem wrong.
	for one.Now > r.asked.Load()+ahead {
		r.now.Store(max(r.now.Load(), r.asked.Load()+ahead))
		if err := wait(ctx, time.Millisecond); err != nil {
			return err
		}
	}
	switch one.Kind {
	case faults.StepBlock:
		r.mu.Lock()
		r.blocks[one.Seq] = journaled{one.Block, one.Events}
		r.mu.Unlock()
		r.fed += uint64(one.Events) //nolint:gosec // G115: ≥ 0
		r.head.Store(one.Seq)
	case faults.StepObserve:
		r.fed += uint64(len(one.List))
		r.queues[one.Source].add(one.List, false)
	default:
	}
	r.now.Store(max(r.now.Load(), one.Now))
	for r.fed-r.handled() > most {
		if err := wait(ctx, time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}

// handled is how many events the monitor has.
func (r *replay) handled() (n uint64) {
	n = r.moved.Load()
	for _, q := range r.queues {
		n += q.done.Load()
	}
	return n
}

// end waits until the monitor has everything, durably.
func (r *replay) end(ctx context.Context, m *monitor.Monitor) error {
	for _, q := range r.queues {
		q.add(nil, true)
	}
	r.feeds.Wait()
	for m.Stats().Seq < r.head.Load() {
		if err := wait(ctx, time.Millisecond); err != nil {
			return err
		}
		r.now.Add(uint64(time.Millisecond)) // or nobody would look
	}
	return context.Cause(ctx)
}

func wait(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// watched runs a monitor over a replay.
func (b *watchBench) watched(ctx context.Context, f func(ctx context.Context, r *replay, m *monitor.Monitor) error) (err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	r := newReplay(cancel)
	m, err := monitor.Open(ctx, monitor.Options{Dir: filepath.Join(b.Dir, b.part), Cell: faults.Cell, Log: r, Ledger: r, Clock: r, Flows: b.texts, HashKey: 0x5bd1e995})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, m.Close()) }()
	for !m.Stats().Up {
		if err := wait(ctx, time.Millisecond); err != nil {
			return errors.Join(err, m.Err())
		}
	}
	r.serve(ctx, m)
	return f(ctx, r, m)
}

// throughput plays a stream, which is made before, to a monitor with its log on disk.
func throughput(ctx context.Context, b *watchBench) (measures []Measure, err error) {
	const every = 18_000 // ns: about 250,000 events a second of the stream's time, so that as many keys are open as would be
	var steps []faults.Step
	events := uint64(0)
	err = faults.Endless(b.Seed, int(float64(b.Load)/eventsOfStory)+1, every).Steady().Play(func(one *faults.Step) error {
		if one.Kind != faults.StepCompare {
			steps = append(steps, *one)
			events += uint64(one.Events + len(one.List)) //nolint:gosec // G115: ≥ 0
		}
		return ctx.Err()
	})
	if err != nil {
		return nil, err
	}
	runtime.GC()
	err = b.watched(ctx, func(ctx context.Context, r *replay, m *monitor.Monitor) error {
		began, keys := time.Now(), uint64(0)
		for i := range steps {
			if err := r.step(ctx, &steps[i]); err != nil {
				return err
			}
			steps[i] = faults.Step{}
			if i%1000 == 0 {
				b.progress(r.handled(), events)
				keys = max(keys, m.Stats().OpenKeys)
			}
		}
		if err := r.end(ctx, m); err != nil {
			return err
		}
		took := time.Since(began)
		found, _, err := m.Breaks(ctx, watch.Filter{Limit: maxDetails})
		if err != nil {
			return err
		}
		b.report.False += len(found)
		for i := range found {
			b.detail("throughput: false alarm %s: %s", found[i].Class, found[i].Summary)
		}
		measures = []Measure{
			{Name: "events", Unit: perSecond, Value: float64(events) / took.Seconds(), AtLeast: 200_000, Aim: 500_000},
			{Name: "events", Unit: "number", Value: float64(events)},
			{Name: "time", Unit: "s", Value: took.Seconds()},
			{Name: "keys open at once, at most", Unit: "number", Value: float64(keys)},
			{Name: "false alarms", Unit: "number", Value: float64(len(found))},
		}
		return nil
	})
	return measures, err
}

// openKeys opens reservations that nobody ends, and looks at the memory.
func openKeys(ctx context.Context, b *watchBench) (measures []Measure, err error) {
	const every = 30_000
	err = b.watched(ctx, func(ctx context.Context, r *replay, m *monitor.Monitor) error {
		if err := b.openThem(ctx, r, m, every); err != nil {
			return err
		}
		keys := m.Stats().OpenKeys
		debug.FreeOSMemory()
		var memory runtime.MemStats
		runtime.ReadMemStats(&memory)
		resident, err := residentBytes()
		if err != nil {
			return err
		}
		measures = []Measure{
			{Name: "resident memory", Unit: "MB", Value: mb(resident), AtLeast: 1_000, Less: true},
			{Name: "of that the heap", Unit: "MB", Value: mb(memory.HeapInuse)},
			{Name: "open keys", Unit: "number", Value: float64(keys)},
			{Name: "heap a key", Unit: "B", Value: float64(memory.HeapInuse) / float64(max(1, keys))},
		}
		return nil
	})
	return measures, err
}

// openThem plays the stream until its last story has begun: after that keys would close.
func (b *watchBench) openThem(ctx context.Context, r *replay, m *monitor.Monitor, every uint64) error {
	begun := 0
	err := faults.Holds(b.Seed, b.OpenKeys+b.OpenKeys/100, every).Steady().Play(func(one *faults.Step) error {
		for i := range one.List {
			if one.List[i].Kind == watch.Instruction {
				begun++
			}
		}
		b.progress(uint64(begun), uint64(b.OpenKeys)) //nolint:gosec // G115: ≥ 0
		if err := r.step(ctx, one); err != nil {
			return err
		}
		if begun >= b.OpenKeys+b.OpenKeys/200 {
			return errEnough
		}
		return nil
	})
	if err != nil && !errors.Is(err, errEnough) {
		return err
	}
	return r.end(ctx, m)
}

// residentBytes is this process's resident memory.
func residentBytes() (uint64, error) {
	self, err := procfs.Self()
	if err != nil {
		return 0, fmt.Errorf("look at the own process: %w", err)
	}
	status, err := self.NewStatus()
	if err != nil {
		return 0, fmt.Errorf("look at the own process: %w", err)
	}
	return status.VmRSS, nil
}
