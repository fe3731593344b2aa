package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// fill puts n settled transfers on a server, in bulk, and waits until it has come to rest.
func (b *bench) fill(ctx context.Context, s *server, n int) error {
	return b.with(ctx, s, packedForm(), func(l *load) error {
		last, err := l.send(ctx, uint64(n)) //nolint:gosec // G115: > 0
		if err != nil {
			return err
		}
		_, err = s.settle(ctx, last)
		return err
	})
}

// startUp measures how long a start takes over a full journal: after an orderly end, after a crash, with a cold page
// cache, and without snapshots.
func startUp(ctx context.Context, b *bench) (result Result, err error) {
	s, _, err := b.child(ctx, 0)
	if err != nil {
		return result, err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	if err := b.createAccounts(ctx, s); err != nil {
		return result, err
	}
	if err := b.fill(ctx, s, b.Transfers); err != nil {
		return result, err
	}
	want, err := s.status(ctx)
	if err != nil {
		return result, err
	}
	for _, step := range []struct {
		name    string
		end     func(*server) error
		prepare func(folder string) error
		m       Measure
	}{
		{"after an orderly end", (*server).close, nothing, Measure{AtLeast: 10, Aim: 3}},
		{"after SIGKILL", (*server).kill, nothing, Measure{AtLeast: 10, Aim: 3}},
		{"with a cold page cache", (*server).close, dropCache, Measure{}},
		{"without snapshots: all is replayed", (*server).close, removeSnapshots, Measure{AtLeast: 10, Aim: 3}},
	} {
		if err := errors.Join(step.end(s), step.prepare(b.folder())); err != nil {
			return result, err
		}
		next, took, err := b.child(ctx, 0)
		if err != nil {
			return result, err
		}
		s = next
		got, err := s.status(ctx)
		if err != nil {
			return result, err
		}
		if got.GetTransfers() != want.GetTransfers() || got.GetAccounts() != want.GetAccounts() {
			return result, fmt.Errorf("LOST MONEY: %d transfers and %d accounts before, %d and %d after the start %s",
				want.GetTransfers(), want.GetAccounts(), got.GetTransfers(), got.GetAccounts(), step.name)
		}
		step.m.Name, step.m.Unit, step.m.Value, step.m.Less = step.name, "s", took.Seconds(), true
		result.Measures = append(result.Measures, step.m)
	}
	return result, err
}

func nothing(string) error { return nil }

func removeSnapshots(folder string) error { return os.RemoveAll(filepath.Join(folder, "snapshots")) }

// dropCache asks the system to forget the pages of all files of a folder; they are on disk.
func dropCache(folder string) error {
	return filepath.WalkDir(folder, func(path string, entry os.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		err = errors.Join(f.Sync(), unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED))
		return errors.Join(err, f.Close())
	})
}

// memory looks at what is resident: with idle accounts, with the transfers, and with 40% more of them.
func memory(ctx context.Context, b *bench) (result Result, err error) {
	err = b.serve(ctx, 0, func(s *server) error {
		if _, err := s.settle(ctx, time.Now()); err != nil {
			return err
		}
		idle, err := s.restingMemory(ctx, b.Rest)
		if err != nil {
			return err
		}
		if err := b.fill(ctx, s, b.Transfers); err != nil {
			return err
		}
		full, err := s.restingMemory(ctx, b.Rest)
		if err != nil {
			return err
		}
		more := max(1, b.Transfers*2/5)
		if err := b.fill(ctx, s, more); err != nil {
			return err
		}
		fuller, err := s.restingMemory(ctx, b.Rest)
		if err != nil {
			return err
		}
		_, peak, err := s.memory(ctx)
		result.Measures = []Measure{
			{Name: number(float64(b.Accounts)) + " accounts, idle", Unit: "MB", Value: idle, AtLeast: 400, Aim: 220, Less: true},
			{Name: "each further million transfers", Unit: "MB", Value: (fuller - full) / (float64(more) / 1e6), AtLeast: 40, Aim: 4, Less: true},
			{Name: "with " + number(float64(b.Transfers)) + " transfers", Unit: "MB", Value: full},
			{Name: "with " + number(float64(b.Transfers+more)) + " transfers", Unit: "MB", Value: fuller},
			{Name: "peak under load", Unit: "MB", Value: mb(peak)},
		}
		return err
	})
	return result, err
}

const restSteps = 25 // looks at the memory while the server rests

// restingMemory is the least that is resident, in MB, while nothing happens for a while: the runtime gives memory back
// little by little.
func (s *server) restingMemory(ctx context.Context, rest time.Duration) (float64, error) {
	least := ^uint64(0)
	for range restSteps {
		now, _, err := s.memory(ctx)
		if err != nil {
			return 0, err
		}
		least = min(least, now)
		if err := sleepUntil(ctx, time.Now().Add(rest/restSteps)); err != nil {
			return 0, err
		}
	}
	return mb(least), nil
}

const (
	pacedCalls     = 400    // per second
	pacedTransfers = 100    // per call
	pacedPreload   = 10     // of this part of Transfers is the state that a snapshot has, apart from the accounts
	snapshotEvents = 80_000 // between two snapshots: two seconds of load
)

// snapshot sends at a fixed rate well below what is possible, lets snapshots be taken every few seconds, and compares
// the calls that were under way while one was being written with the others.
func snapshot(ctx context.Context, b *bench) (result Result, err error) {
	err = b.serve(ctx, snapshotEvents, func(s *server) error {
		if err := b.fill(ctx, s, max(1, b.Transfers/pacedPreload)); err != nil {
			return err
		}
		return b.with(ctx, s, wireForm(64, pacedTransfers), func(l *load) error {
			watch := watchSnapshots(filepath.Join(s.folder, "snapshots"))
			samples, err := l.paced(ctx, pacedCalls, b.window(20*time.Second))
			spans := watch.stop()
			if err != nil {
				return err
			}
			if len(spans) == 0 {
				return errors.New("no snapshot was taken meanwhile: give a longer --duration")
			}
			result.Measures = compare(samples, spans)
			return nil
		})
	})
	return result, err
}

// compare divides samples by whether a snapshot was being taken at any moment of theirs.
func compare(samples []sample, spans []span) []Measure {
	var during, without Histogram
	for _, s := range samples {
		into := &without
		for _, p := range spans {
			if s.due.Before(p.end) && p.begin.Before(s.end) {
				into = &during
			}
		}
		into.Record(s.end.Sub(s.due))
	}
	var taken time.Duration
	for _, p := range spans {
		taken += p.end.Sub(p.begin)
	}
	return []Measure{
		{Name: "p99 while a snapshot is taken", Unit: "ms", Value: ms(during.Quantile(0.99)), AtLeast: 50, Aim: 10, Less: true},
		{Name: "p99 without", Unit: "ms", Value: ms(without.Quantile(0.99))},
		{Name: "longest while a snapshot is taken", Unit: "ms", Value: ms(during.Max())},
		{Name: "longest without", Unit: "ms", Value: ms(without.Max())},
		{Name: "snapshots", Unit: "number", Value: float64(len(spans))},
		{Name: "a snapshot takes", Unit: "s", Value: taken.Seconds() / float64(max(1, len(spans)))},
		{Name: "calls while a snapshot is taken", Unit: "number", Value: float64(during.Count())},
		{Name: "calls without", Unit: "number", Value: float64(without.Count())},
	}
}

// span is the time from the beginning to the end of a snapshot.
type span struct{ begin, end time.Time }

// snapshotWatch looks at a folder for snapshots that are being written.
type snapshotWatch struct {
	done  chan struct{}
	group sync.WaitGroup
	spans []span
}

const watchEvery = time.Millisecond

func watchSnapshots(folder string) *snapshotWatch {
	w := &snapshotWatch{done: make(chan struct{})}
	w.group.Go(func() {
		var open *span
		ticker := time.NewTicker(watchEvery)
		defer ticker.Stop()
		for {
			now := time.Now()
			switch taking := unfinished(folder); {
			case taking && open == nil:
				open = &span{begin: now.Add(-watchEvery)}
			case !taking && open != nil:
				open.end = now
				w.spans = append(w.spans, *open)
				open = nil
			}
			select {
			case <-w.done:
				if open != nil {
					open.end = time.Now()
					w.spans = append(w.spans, *open)
				}
				return
			case <-ticker.C:
			}
		}
	})
	return w
}

func (w *snapshotWatch) stop() []span {
	close(w.done)
	w.group.Wait()
	return w.spans
}

func unfinished(folder string) bool {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return false
	}
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".tmp") {
			return true
		}
	}
	return false
}
