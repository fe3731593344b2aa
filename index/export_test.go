package index

import "time"

// AwaitQuiet waits until Pebble has nothing to compact. For benchmarks: it looks every few milliseconds.
func (x *Index) AwaitQuiet() {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for quiet := 0; quiet < 20; quiet++ {
		if x.db.Metrics().Compact.NumInProgress > 0 {
			quiet = 0
		}
		<-tick.C
	}
}

// DiskBytes is the size of all tables.
func (x *Index) DiskBytes() uint64 { return x.db.Metrics().DiskSpaceUsage() }

// SetScan replaces MaxScan.
func (q *Queries) SetScan(n int) { q.scan = n }

// SetSublevels sets what Throttle goes by.
func (x *Index) SetSublevels(n int64) { x.sublevels.Store(n) }
