package engines_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/sterlingrun/sterling/clock"
)

// A writer inserts ids, one after the other in each of its workers, and remembers which were
// acknowledged. An id whose insert failed is never tried again: whether it is there is open.
type writer struct {
	insert func(ctx context.Context, worker, id int) error
	cancel context.CancelFunc
	done   sync.WaitGroup

	mu           sync.Mutex
	acknowledged []int
	last         time.Time     // of the latest acknowledgement
	silence      time.Duration // the longest time without one since the last call of more
	failed       int
	lastError    error
	next         int
	changed      chan struct{} // closed and replaced at each acknowledgement
}

const (
	workers = 8
	// insertWithin bounds an insert: a commit that waits for a standby that never comes hangs. Connecting anew, past a
	// host that hangs, must fit.
	insertWithin = 3 * time.Second
	// pace keeps the load small: what is tested here is what happens to each write, not how many there are.
	pace = 4 * time.Millisecond
)

func startWriter(t *testing.T, insert func(ctx context.Context, worker, id int) error) *writer {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	w := &writer{insert: insert, cancel: cancel, changed: make(chan struct{})}
	for worker := range workers {
		w.done.Go(func() { w.work(ctx, worker) })
	}
	t.Cleanup(w.stop)
	return w
}

func (w *writer) work(ctx context.Context, worker int) {
	for ctx.Err() == nil {
		w.mu.Lock()
		w.next++
		id := w.next
		w.mu.Unlock()
		bounded, cancel := context.WithTimeout(ctx, insertWithin)
		err := w.insert(bounded, worker, id)
		cancel()
		w.mu.Lock()
		if err == nil {
			w.acknowledged = append(w.acknowledged, id)
			w.hush()
			close(w.changed)
			w.changed = make(chan struct{})
		} else {
			w.failed++
			w.lastError = err
		}
		w.mu.Unlock()
		_ = clock.Sleep(ctx, clock.NewSystem(), pace)
	}
}

// hush notes the time since the latest acknowledgement, and that there is one now.
func (w *writer) hush() {
	now := time.Now()
	w.silence = max(w.silence, now.Sub(w.last))
	w.last = now
}

// more waits until n more ids are acknowledged, the longest pause between two of them over, and returns that pause.
func (w *writer) more(t *testing.T, n int, within time.Duration) (silence time.Duration) {
	t.Helper()
	late := time.NewTimer(within)
	defer late.Stop()
	w.mu.Lock()
	before := len(w.acknowledged)
	w.last, w.silence = time.Now(), 0
	w.mu.Unlock()
	for {
		w.mu.Lock()
		now, changed, silence := len(w.acknowledged), w.changed, w.silence
		w.mu.Unlock()
		if now >= before+n {
			return silence
		}
		select {
		case <-changed:
		case <-late.C:
			w.mu.Lock()
			defer w.mu.Unlock()
			t.Fatalf("%d more writes were acknowledged within %v, want %d (%d failed so far; last: %v)", now-before, within, n, w.failed, w.lastError)
		}
	}
}

func (w *writer) stop() {
	w.cancel()
	w.done.Wait()
}

// check holds what is there against what was acknowledged.
func (w *writer) check(t *testing.T, there map[int]bool) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	lost := 0
	for _, id := range w.acknowledged {
		if !there[id] {
			lost++
		}
	}
	if lost > 0 {
		t.Fatalf("%d of %d acknowledged writes are lost", lost, len(w.acknowledged))
	}
	if len(w.acknowledged) == 0 {
		t.Fatal("no write was acknowledged: the check shows nothing")
	}
	t.Logf("%d acknowledged writes, none lost; %d outcomes unknown, of which %d were applied", len(w.acknowledged), w.failed, len(there)-len(w.acknowledged))
}
