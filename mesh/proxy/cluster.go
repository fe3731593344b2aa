package proxy

import (
	"crypto/tls"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sterlingrun/sterling/mesh/proxy/internal/shed"
)

// cluster is a Cluster at work. The parts that count live on when a new configuration has the same cluster.
type cluster struct {
	Cluster
	endpoints []*endpoint
	zone      string
	tls       *tls.Config // for requests; nil: plain
	tunnelTLS *tls.Config // for whatever is passed through; nil: plain
	shadow    *cluster
	isShadow  bool // of another cluster: takes nothing else
	load      *clusterLoad
	limiter   *shed.Limiter // nil: not adaptive

	mu         sync.Mutex                 // guards the making of candidates, and ejections
	candidates atomic.Pointer[candidates] // to choose from
	remake     atomic.Uint64              // when candidates are out of date, in the clock's monotonic nanoseconds
}

// clusterLoad is what a cluster carries now.
type clusterLoad struct {
	inFlight atomic.Int64
	budget   retryBudget
	rejected atomic.Uint64 // by the circuit breaker
}

// endpoint is one address and how it has been doing.
type endpoint struct {
	Endpoint
	pool      pool
	links     links
	calls     rpcLinks
	active    atomic.Int64 // requests in flight
	failures  atomic.Int32 // in a row
	ejections atomic.Int32 // in a row
	until     atomic.Uint64
	window    window
}

const never = ^uint64(0)

// choose takes the less loaded of two candidates at random, and one not tried yet if there is any. nil: no endpoints.
func (c *cluster) choose(now uint64, tried []*endpoint) *endpoint {
	if now >= c.remake.Load() {
		c.makeCandidates(now)
	}
	from := c.candidates.Load()
	list := from.list
	switch len(list) {
	case 0:
		return nil
	case 1:
		return list[0]
	}
	i, j := from.pair()
	if list[j].active.Load()*list[i].share() < list[i].active.Load()*list[j].share() {
		i = j
	}
	for range list {
		if !slices.Contains(tried, list[i]) {
			break
		}
		i = (i + 1) % len(list)
	}
	return list[i]
}

// makeCandidates prefers the nearest healthy endpoints, as long as half of those at their distance are healthy: fewer
// would be overrun by what all of them carried. Then any healthy one, and if none is, all: better a bad chance than none.
func (c *cluster) makeCandidates(now uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	next := never
	var healthy []*endpoint
	var at [2 * (maxDistance + 1)]struct {
		healthy []*endpoint
		all     int
	}
	for _, e := range c.endpoints {
		group := &at[2*e.Distance]
		if c.zone != "" && e.Zone != c.zone {
			group = &at[2*e.Distance+1]
		}
		group.all++
		if until := e.until.Load(); until > now {
			next = min(next, until)
			continue
		}
		healthy = append(healthy, e)
		group.healthy = append(group.healthy, e)
	}
	list := healthy
	if len(healthy) == 0 {
		list = c.endpoints
	}
	var near []*endpoint
	for _, group := range at {
		near = append(near, group.healthy...)
		if len(group.healthy) > 0 && len(group.healthy)*2 >= group.all {
			list = near
			break
		}
	}
	c.candidates.Store(newCandidates(list))
	c.remake.Store(next)
}

// succeeded and failed tell the cluster how an attempt at e went.
func (c *cluster) succeeded(e *endpoint) {
	if e.failures.Load() != 0 {
		e.failures.Store(0)
	}
	if e.ejections.Load() != 0 {
		e.ejections.Store(0)
	}
	if c.Ejection.Percent > 0 {
		e.window.ok.Add(1)
	}
}

func (c *cluster) failed(e *endpoint, now uint64) {
	limit := c.Ejection.Failures
	judged := e.window.failed(&c.Ejection, now)
	if n := e.failures.Add(1); !judged && (limit < 0 || int(n) < limit) {
		return
	}
	c.mu.Lock()
	out := 0
	for _, other := range c.endpoints {
		if other.until.Load() > now {
			out++
		}
	}
	eject := e.until.Load() <= now && out+1 < len(c.endpoints) && (out+1)*100 <= c.Ejection.MaxPercent*len(c.endpoints)
	if eject {
		times := min(e.ejections.Add(1), 10)
		e.until.Store(now + uint64(c.Ejection.For)*uint64(times)) //nolint:gosec // both positive
		e.failures.Store(int32(max(limit, 1) - 1))                //nolint:gosec // at most 1,000. Back on probation: one more failure ejects again
	}
	c.mu.Unlock()
	if eject {
		c.makeCandidates(now)
	}
}

// ejected is how many endpoints are out now.
func (c *cluster) ejected(now uint64) (n int) {
	for _, e := range c.endpoints {
		if e.until.Load() > now {
			n++
		}
	}
	return n
}

// enter takes a place in the circuit breaker; leave gives it back.
func (c *cluster) enter() bool {
	if c.load.inFlight.Add(1) > int64(c.MaxRequests) {
		c.load.inFlight.Add(-1)
		c.load.rejected.Add(1)
		return false
	}
	return true
}

func (c *cluster) leave() { c.load.inFlight.Add(-1) }

// retryBudget lets retries be a share of the requests, so that they can't double the load on what is failing already.
type retryBudget struct{ balance atomic.Int64 }

// Prices in a budget: a retry costs 100, so that a request pays in as many as the percentage of retries.
const (
	retryPrice = 100
	retryCap   = 100 * retryPrice // saved up at most
	retryStart = 10 * retryPrice  // for a cluster with little traffic
)

func (b *retryBudget) deposit(percent int) {
	if percent > 0 && b.balance.Load() < retryCap {
		b.balance.Add(int64(percent))
	}
}

func (b *retryBudget) withdraw() bool {
	for {
		v := b.balance.Load()
		if v < retryPrice {
			return false
		}
		if b.balance.CompareAndSwap(v, v-retryPrice) {
			return true
		}
	}
}

// rate is a limit of requests per second by the generic cell rate algorithm: the theoretical arrival time of the next
// request, in monotonic nanoseconds, is all its state.
type rate struct {
	of              RateLimit
	interval, burst uint64 // nanoseconds for one request, and for the burst
	next            atomic.Uint64
}

func newRate(l RateLimit) *rate {
	interval := uint64(time.Second) / uint64(l.PerSecond) //nolint:gosec // checked: 1 to 1,000,000
	return &rate{of: l, interval: interval, burst: interval * uint64(max(l.Burst, 1))}
}

func (r *rate) allow(now uint64) bool {
	for {
		was := r.next.Load()
		next := max(was, now) + r.interval
		if next > now+r.burst {
			return false
		}
		if r.next.CompareAndSwap(was, next) {
			return true
		}
	}
}
