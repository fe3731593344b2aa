package mesh

import "time"

// Failure says why a call did not do what it was for. The numbers are those of MeshCalls.failures in reports.
type Failure uint8

// The kinds of failures.
const (
	Refused     Failure = iota // by a policy, or because no route has it
	Overload                   // shed, above a rate, or refused by a circuit breaker
	Unreachable                // no endpoint could be reached
	Timeout                    // no answer in time
	Broken                     // the answer was malformed or broke off
	Upstream                   // the service itself answered with 5xx
	Injected                   // on purpose
	Invalid                    // the request was malformed, too large or too slow

	Failures = int(Invalid) + 1
)

// String is how metrics and people call the kind.
func (f Failure) String() string {
	return [Failures]string{"refused", "overload", "unreachable", "timeout", "broken", "upstream", "injected", "invalid"}[f]
}

// LatencyBuckets is how many buckets a histogram of calls has; the last one is for what takes longer than any bound.
const LatencyBuckets = 15

// LatencyBound is the upper bound of a bucket of the histogram of calls, but the last.
func LatencyBound(bucket int) time.Duration {
	return [LatencyBuckets - 1]time.Duration{
		250 * time.Microsecond, 500 * time.Microsecond, time.Millisecond, 2500 * time.Microsecond, 5 * time.Millisecond, 10 * time.Millisecond,
		25 * time.Millisecond, 50 * time.Millisecond, 100 * time.Millisecond, 250 * time.Millisecond, 500 * time.Millisecond,
		time.Second, 2500 * time.Millisecond, 10 * time.Second,
	}[bucket]
}

// Calls counts calls by how long they took, and those among them that failed by why.
type Calls struct {
	Latency  [LatencyBuckets]uint64
	Failures [Failures]uint64
}

// Requests is how many calls there were.
func (c *Calls) Requests() (n uint64) {
	for _, v := range c.Latency {
		n += v
	}
	return n
}

// Failed is how many calls failed through no fault and no wish of anybody who made or configured them: what a policy
// refuses, what is injected, and what the caller did wrong are no failures of the mesh or of the service.
func (c *Calls) Failed() uint64 {
	f := &c.Failures
	return f[Overload] + f[Unreachable] + f[Timeout] + f[Broken] + f[Upstream]
}

// Add adds the calls of other.
func (c *Calls) Add(other *Calls) {
	for i := range c.Latency {
		c.Latency[i] += other.Latency[i]
	}
	for i := range c.Failures {
		c.Failures[i] += other.Failures[i]
	}
}

// Since returns the calls after before, which counted the same. A count that went back counts as none.
func (c *Calls) Since(before *Calls) (out Calls) {
	for i := range c.Latency {
		out.Latency[i] = c.Latency[i] - min(c.Latency[i], before.Latency[i])
	}
	for i := range c.Failures {
		out.Failures[i] = c.Failures[i] - min(c.Failures[i], before.Failures[i])
	}
	return out
}

// Quantile estimates how long the share q (0 to 1) of the calls took at most, as evenly spread within each bucket. What
// took longer than the last bound counts as that bound. Zero: no calls.
func (c *Calls) Quantile(q float64) time.Duration {
	all := c.Requests()
	if all == 0 {
		return 0
	}
	rank, seen, lower := q*float64(all), 0.0, time.Duration(0)
	for i, n := range c.Latency[:LatencyBuckets-1] {
		upper := LatencyBound(i)
		if n > 0 && seen+float64(n) >= rank {
			return lower + time.Duration(float64(upper-lower)*(rank-seen)/float64(n))
		}
		seen += float64(n)
		lower = upper
	}
	return lower
}
