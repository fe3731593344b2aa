package bench

import (
	"math/bits"
	"time"
)

const (
	subBits     = 6 // 64 buckets for each power of two: a value is known to 1.6%
	subBuckets  = 1 << subBits
	powers      = 64 - subBits
	bucketCount = (powers + 1) * subBuckets
)

// Histogram counts durations, exact below 64 ns and to 1.6% above. The zero value is empty. It is not safe for
// concurrent use: every worker has one, and they are merged.
type Histogram struct {
	counts [bucketCount]uint64
	total  uint64
	max    time.Duration
}

// Record counts one duration; negative ones count as zero.
func (h *Histogram) Record(d time.Duration) {
	h.RecordN(d, 1)
}

// RecordN counts a duration n times.
func (h *Histogram) RecordN(d time.Duration, n uint64) {
	if n == 0 {
		return
	}
	d = max(0, d)
	h.counts[bucketOf(uint64(d))] += n
	h.total += n
	h.max = max(h.max, d)
}

// Merge adds what other has counted.
func (h *Histogram) Merge(other *Histogram) {
	for i, n := range other.counts {
		h.counts[i] += n
	}
	h.total += other.total
	h.max = max(h.max, other.max)
}

// Count is how many durations were recorded.
func (h *Histogram) Count() uint64 { return h.total }

// Max is the longest duration, exactly.
func (h *Histogram) Max() time.Duration { return h.max }

// Quantile returns a duration that the fraction q (0 to 1) of all durations does not exceed: the upper end of its
// bucket, at most Max. It is 0 where nothing was recorded.
func (h *Histogram) Quantile(q float64) time.Duration {
	if h.total == 0 {
		return 0
	}
	rank := min(max(uint64(q*float64(h.total)+0.999999), 1), h.total)
	var seen uint64
	for i, n := range h.counts {
		if seen += n; seen >= rank {
			return min(upperEnd(i), h.max)
		}
	}
	return h.max
}

// bucketOf gives values below 2·64 a bucket each; above, the highest bit chooses a group of 64 and the six bits after
// it the bucket.
func bucketOf(v uint64) int {
	shift := max(0, bits.Len64(v)-subBits-1)
	return shift*subBuckets + int(v>>shift) //nolint:gosec // below 128
}

// upperEnd is the largest value that bucketOf puts into bucket i.
func upperEnd(i int) time.Duration {
	if i < 2*subBuckets {
		return time.Duration(i)
	}
	shift := i/subBuckets - 1
	return time.Duration((uint64(i%subBuckets+subBuckets)+1)<<shift - 1) //nolint:gosec // durations are below 2^63
}
