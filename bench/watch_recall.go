package bench

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/sterlingrun/sterling/sim/faults"
	"github.com/sterlingrun/sterling/watch"
)

// storiesOfRecall is how many stories are around each fault.
const storiesOfRecall = 250

// watchOptions are those of an engine alone.
func (b *watchBench) watchOptions() watch.Options { return watch.Options{Flows: b.flows} }

// recall plants every fault in streams of their own, without and with restarts.
func recall(ctx context.Context, b *watchBench) ([]Measure, error) {
	list := faults.Injectors()
	if len(b.Classes) > 0 {
		list = slices.DeleteFunc(list, func(i faults.Injector) bool { return !slices.Contains(b.Classes, i.Class()) })
	}
	byClass := map[watch.Class]*classTimes{}
	var invariants, missing Histogram
	late := 0
	for n, injector := range list {
		t := byClass[injector.Class()]
		if t == nil {
			t = &classTimes{}
			byClass[injector.Class()] = t
		}
		for k := range b.Seeds {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			b.progress(uint64(n*b.Seeds+k), uint64(len(list)*b.Seeds)) //nolint:gosec // G115: ≥ 0
			x, v, err := b.plant(injector, b.Seed+uint64(k), k)
			if err != nil {
				return nil, err
			}
			t.add(&x, &v)
			switch {
			case v.Missed:
			case x.Invariant:
				invariants.Record(nanoseconds(v.Took))
			default:
				missing.Record(nanoseconds(v.Took))
			}
			if v.Late > 0 {
				late++
			}
		}
	}
	injected, found := 0, 0
	for _, class := range watch.Classes() {
		if t := byClass[class]; t != nil {
			r := t.result(class)
			injected, found = injected+r.Injected, found+r.Found
			b.report.Classes = append(b.report.Classes, r)
		}
	}
	return []Measure{
		{Name: "recall", Unit: "%", Value: 100 * float64(found) / float64(max(1, injected)), AtLeast: 100},
		{Name: "faults planted", Unit: "number", Value: float64(injected)},
		{Name: "false alarms beside them", Unit: "number", Value: float64(b.report.False)},
		{Name: "found too late", Unit: "number", Value: float64(late)},
		{Name: "invariants, p99 after all has arrived", Unit: "ms", Value: ms(invariants.Quantile(0.99)), AtLeast: 1_000, Less: true},
		{Name: "missing effects, p99 after their deadline", Unit: "ms", Value: ms(missing.Quantile(0.99)), AtLeast: 2_000, Less: true},
	}, nil
}

// plant tries one fault in one stream.
func (b *watchBench) plant(injector faults.Injector, seed uint64, restarts int) (x faults.Expected, v faults.Verdict, err error) {
	s := faults.New(seed, storiesOfRecall)
	x, ok := injector.Inject(s, rand.New(rand.NewPCG(seed, 7))) //nolint:gosec // G404: it must repeat
	where := fmt.Sprintf("%s (%s), seed %d", injector.Name(), injector.Class(), seed)
	if !ok {
		return x, v, fmt.Errorf("%w: %s: the stream has nothing to bend", ErrWatch, where)
	}
	trial, err := faults.Try(s, b.watchOptions(), restarts)
	if err != nil {
		return x, v, fmt.Errorf("%s: %w", where, err)
	}
	v = trial.Judge(&x)
	if v.Missed {
		b.report.Missed++
		b.detail("%s: not found: %s in flow %q, key %s", where, x.Class, x.Flow, x.Key)
	}
	if v.Late > 0 {
		b.detail("%s: found %v after it was due", where, nanoseconds(v.Late))
	}
	b.falseAlarms(where, v.False)
	return x, v, nil
}

// classTimes collects what a class's faults showed.
type classTimes struct {
	injected, found, inTime, wrong int
	times                          Histogram
}

func (t *classTimes) add(_ *faults.Expected, v *faults.Verdict) {
	t.injected++
	t.wrong += len(v.False)
	if v.Missed {
		return
	}
	t.found++
	if v.Late == 0 {
		t.inTime++
	}
	t.times.Record(nanoseconds(v.Took))
}

func (t *classTimes) result(class watch.Class) ClassResult {
	return ClassResult{
		Class: class, Injected: t.injected, Found: t.found, InTime: t.inTime, False: t.wrong, P50: ms(t.times.Quantile(0.5)), P99: ms(t.times.Quantile(0.99)),
	}
}

// honest has streams disturbed as honest ones are.
func honest(ctx context.Context, b *watchBench) ([]Measure, error) {
	list, events, before := faults.Disturbances(), uint64(0), b.report.False
	for n, injector := range list {
		for k := range b.Seeds {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			b.progress(uint64(n*b.Seeds+k), uint64(len(list)*b.Seeds)) //nolint:gosec // G115: ≥ 0
			seed := b.Seed + uint64(k)
			s := faults.New(seed, storiesOfRecall)
			injector.Inject(s, rand.New(rand.NewPCG(seed, 7))) //nolint:gosec // G404: it must repeat
			trial, err := faults.Try(s, b.watchOptions(), k)
			if err != nil {
				return nil, fmt.Errorf("%s, seed %d: %w", injector.Name(), seed, err)
			}
			events += trial.Events
			b.falseAlarms(fmt.Sprintf("%s, seed %d", injector.Name(), seed), trial.Found)
		}
	}
	return []Measure{
		{Name: "disturbances", Unit: "number", Value: float64(len(list))},
		{Name: "events", Unit: "number", Value: float64(events)},
		{Name: "false alarms", Unit: "number", Value: float64(b.report.False - before)},
	}, nil
}

// eventsOfStory is how many events a story has, at least: the setting up and heartbeats come on top.
const eventsOfStory = 3.9

// soak plays a long clean stream to an engine that is restored from its snapshot now and then.
func soak(ctx context.Context, b *watchBench) ([]Measure, error) {
	const every, restarts = 500_000, 8 // ns between two stories
	s := faults.Endless(b.Seed, int(float64(b.Events)/eventsOfStory)+1, every)
	r, err := faults.NewRunner(b.watchOptions())
	if err != nil {
		return nil, err
	}
	next, done, times := uint64(b.Events)/(restarts+1), uint64(0), 0 //nolint:gosec // G115: ≥ 0
	step := next
	if err := s.Play(func(one *faults.Step) error {
		done += uint64(one.Events + len(one.List)) //nolint:gosec // G115: ≥ 0
		if done >= next {
			next += step
			times++
			b.progress(done, uint64(b.Events)) //nolint:gosec // G115: ≥ 0
			if err := r.Restart(); err != nil {
				return fmt.Errorf("restart: %w", err)
			}
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		return r.Step(one)
	}); err != nil {
		return nil, err
	}
	trial := r.Trial()
	b.falseAlarms("soak", trial.Found)
	return []Measure{
		{Name: "events", Unit: "number", Value: float64(trial.Events)},
		{Name: "restarts", Unit: "number", Value: float64(times)},
		{Name: "false alarms", Unit: "number", Value: float64(len(trial.Found))},
		{Name: "keys open at the end", Unit: "number", Value: float64(trial.Keys)},
	}, nil
}

// nanoseconds is a time of the watch as a duration.
func nanoseconds(n uint64) time.Duration { return time.Duration(n) } //nolint:gosec // G115: hours
