package proxy

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// routeStats are rate, errors and duration of a route: atomic counters, because a request passes here every few
// microseconds.
type routeStats struct {
	answers [6]atomic.Uint64 // by the first digit of the status
	own     atomic.Uint64    // of those, made by the proxy itself
	retries atomic.Uint64
	hedges  atomic.Uint64 // second copies sent
	mirrors atomic.Uint64 // copies sent
	dropped atomic.Uint64 // copies not sent
	buckets [len(bounds) + 1]atomic.Uint64
	sum     atomic.Int64 // nanoseconds
	in, out atomic.Int64 // bytes of bodies
}

func (s *routeStats) observe(status int, took time.Duration, in, out int64) {
	s.answers[min(status/100, 5)].Add(1)
	i := 0
	for i < len(bounds) && took > bounds[i] {
		i++
	}
	s.buckets[i].Add(1)
	s.sum.Add(int64(took))
	if in > 0 {
		s.in.Add(in)
	}
	if out > 0 {
		s.out.Add(out)
	}
}

type listenerStats struct {
	accepted, refused, handshakes, malformed, unrouted atomic.Uint64
	bytesIn, bytesOut                                  atomic.Uint64 // of tcp
}

// record counts the exchange and writes its line to the access log.
func (x *exchange) record() {
	took := time.Since(x.started)
	status := x.status
	if x.failed != nil && x.begun {
		status = x.failed.status // the answer broke off: what the client saw was not what it was told
	}
	if x.route == nil {
		x.c.l.stats.unrouted.Add(1)
	} else {
		x.route.stats.observe(status, took, x.in, x.sent)
		if x.failed != nil {
			x.route.stats.own.Add(1)
		}
	}
	x.c.l.calls.observe(x, status, took)
	if x.c.p.access != nil {
		x.c.p.access.request(x, status, took)
	}
	x.c.p.tapped(x, status, took)
}

var (
	descRequests = prometheus.NewDesc("sterling_mesh_requests_total", "Requests answered, by the class of the status.", []string{"route", "class"}, nil)
	descOwn      = prometheus.NewDesc("sterling_mesh_own_answers_total", "Answers made by the proxy: refused, shed, failed or broken off.", []string{"route"}, nil)
	descRetries  = prometheus.NewDesc("sterling_mesh_retries_total", "Requests sent again.", []string{"route"}, nil)
	descHedges   = prometheus.NewDesc("sterling_mesh_hedges_total", "Second copies of requests that got no answer in time.", []string{"route"}, nil)
	descMirrors  = prometheus.NewDesc("sterling_mesh_mirrored_total", "Copies of requests, by whether they were sent.", []string{"route", "sent"}, nil)
	descDuration = prometheus.NewDesc("sterling_mesh_request_seconds", "Time from a request's first byte to the end of its answer.", []string{"route"}, nil)
	descBytes    = prometheus.NewDesc("sterling_mesh_body_bytes_total", "Bytes of bodies.", []string{"route", "direction"}, nil)
	descConns    = prometheus.NewDesc("sterling_mesh_connections_total", "Connections, by what became of them.", []string{"listener", "result"}, nil)
	descOpen     = prometheus.NewDesc("sterling_mesh_connections_open", "Connections open.", []string{"listener"}, nil)
	descBad      = prometheus.NewDesc("sterling_mesh_malformed_total", "Messages refused as malformed.", []string{"listener"}, nil)
	descUnrouted = prometheus.NewDesc("sterling_mesh_unrouted_total", "Requests that no route takes.", []string{"listener"}, nil)
	descTCP      = prometheus.NewDesc("sterling_mesh_tcp_bytes_total", "Bytes passed through.", []string{"listener", "direction"}, nil)
	descFlight   = prometheus.NewDesc("sterling_mesh_in_flight", "Requests and connections in flight.", []string{"cluster"}, nil)
	descEjected  = prometheus.NewDesc("sterling_mesh_endpoints_ejected", "Endpoints taken out of the choice.", []string{"cluster"}, nil)
	descBreaker  = prometheus.NewDesc("sterling_mesh_breaker_refused_total", "Requests refused by the circuit breaker.", []string{"cluster"}, nil)
	descLimit    = prometheus.NewDesc("sterling_mesh_limit", "Requests that may be in flight, as the limiter found.", []string{"cluster"}, nil)
	descShed     = prometheus.NewDesc("sterling_mesh_shed_total", "Requests shed, by reason.", []string{"cluster", "reason"}, nil)
	descLogLost  = prometheus.NewDesc("sterling_mesh_access_log_lost_total", "Lines of the access log that could not be written.", nil, nil)
)

// Describe implements prometheus.Collector.
func (p *Proxy) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		descRequests, descOwn, descRetries, descHedges, descMirrors, descDuration, descBytes, descConns, descOpen, descBad, descUnrouted, descTCP,
		descFlight, descEjected, descBreaker, descLimit, descShed, descLogLost,
	} {
		to <- d
	}
}

// Collect implements prometheus.Collector.
func (p *Proxy) Collect(to chan<- prometheus.Metric) {
	counter := func(d *prometheus.Desc, v uint64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
	}
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	s := p.snap.Load()
	for _, r := range s.routes {
		r.stats.collect(to, counter, r.Name)
	}
	for _, l := range p.listeners {
		counter(descConns, l.stats.accepted.Load(), l.Name, "accepted")
		counter(descConns, l.stats.refused.Load(), l.Name, "refused")
		counter(descConns, l.stats.handshakes.Load(), l.Name, "handshake_failed")
		gauge(descOpen, float64(l.open.Load()), l.Name)
		if l.Protocol == "tcp" {
			counter(descTCP, l.stats.bytesIn.Load(), l.Name, "in")
			counter(descTCP, l.stats.bytesOut.Load(), l.Name, "out")
			continue
		}
		counter(descBad, l.stats.malformed.Load(), l.Name)
		counter(descUnrouted, l.stats.unrouted.Load(), l.Name)
	}
	now := p.clock.Mono()
	for _, k := range s.clusters {
		gauge(descFlight, float64(k.load.inFlight.Load()), k.Name)
		gauge(descEjected, float64(k.ejected(now)), k.Name)
		counter(descBreaker, k.load.rejected.Load(), k.Name)
		if k.limiter != nil {
			state := k.limiter.State()
			gauge(descLimit, float64(state.Limit), k.Name)
			counter(descShed, state.Shed, k.Name, "priority")
			counter(descShed, state.Overdue, k.Name, "queue")
		}
	}
	if p.access != nil {
		counter(descLogLost, p.access.lost.Load())
	}
}

func (s *routeStats) collect(to chan<- prometheus.Metric, counter func(*prometheus.Desc, uint64, ...string), name string) {
	for i, class := range [...]string{"", "1xx", "2xx", "3xx", "4xx", "5xx"} {
		if i > 0 {
			counter(descRequests, s.answers[i].Load(), name, class)
		}
	}
	counter(descOwn, s.own.Load(), name)
	counter(descRetries, s.retries.Load(), name)
	counter(descHedges, s.hedges.Load(), name)
	counter(descMirrors, s.mirrors.Load(), name, "true")
	counter(descMirrors, s.dropped.Load(), name, "false")
	counter(descBytes, uint64(s.in.Load()), name, "in")   //nolint:gosec // a count
	counter(descBytes, uint64(s.out.Load()), name, "out") //nolint:gosec // a count
	buckets, total := map[float64]uint64{}, uint64(0)
	for i := range s.buckets {
		total += s.buckets[i].Load()
		if i < len(bounds) {
			buckets[bounds[i].Seconds()] = total
		}
	}
	sum := time.Duration(s.sum.Load()).Seconds()
	to <- prometheus.MustNewConstHistogram(descDuration, total, sum, buckets, name)
}
