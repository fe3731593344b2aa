package proxy

import "sync/atomic"

// window counts what came of the requests to an endpoint since the interval's first failure.
type window struct {
	began    atomic.Uint64 // the clock's monotonic nanoseconds
	ok, fail atomic.Int64
}

// failed counts a failure and tells whether the share of failures ejects.
func (w *window) failed(e *Ejection, now uint64) bool {
	if e.Percent == 0 {
		return false
	}
	if now-w.began.Load() >= uint64(e.Interval) { //nolint:gosec // positive
		w.began.Store(now)
		w.ok.Store(0)
		w.fail.Store(0)
	}
	fail := w.fail.Add(1)
	all := fail + w.ok.Load()
	return all >= int64(e.Requests) && fail*100 >= int64(e.Percent)*all
}
