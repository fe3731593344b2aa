package api

import (
	"connectrpc.com/connect"
	"github.com/prometheus/client_golang/prometheus"
)

// metrics are the counters of one server.
type metrics struct {
	calls       *prometheus.CounterVec
	seconds     *prometheus.HistogramVec
	events      *prometheus.CounterVec
	connections *prometheus.GaugeVec
	refused     prometheus.Counter
	panics      prometheus.Counter
	handshakes  prometheus.Counter
}

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		calls: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sterling_api_calls_total", Help: "Calls, by method and code; messages of a stream count as calls.",
		}, []string{"method", "code"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "sterling_api_call_seconds", Help: "Time from authentication to the encoded answer.",
			Buckets: []float64{.0002, .0005, .001, .002, .005, .01, .015, .025, .05, .1, .25, .5, 1, 2.5, 10},
		}, []string{"method"}),
		events: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sterling_api_events_total", Help: "Accounts and transfers sent, whatever became of them, and ids looked up.",
		}, []string{"method"}),
		connections: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "sterling_api_connections", Help: "Open connections, by protocol; new ones have sent nothing yet.",
		}, []string{"protocol"}),
		refused: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "sterling_api_connections_refused_total", Help: "Connections closed at once because there were too many.",
		}),
		handshakes: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "sterling_api_tls_handshakes_failed_total", Help: "Connections that ended in the TLS handshake, for instance for lack of a client certificate.",
		}),
		panics: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "sterling_api_panics_total", Help: "Calls that ended in a panic: each is a bug; the log has its place.",
		}),
	}
	for _, c := range []prometheus.Collector{m.calls, m.seconds, m.events, m.connections, m.refused, m.panics, m.handshakes} {
		if err := r.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// codeOK stands for success among connect's codes, which begin at 1.
const codeOK connect.Code = 0

// methodMetrics are the metrics of one method, found once: labels cost more than
// the counting.
type methodMetrics struct {
	codes   [connect.CodeUnauthenticated + 1]prometheus.Counter
	seconds prometheus.Observer
	events  prometheus.Counter
}

func (m *metrics) method(name string) methodMetrics {
	mm := methodMetrics{seconds: m.seconds.WithLabelValues(name), events: m.events.WithLabelValues(name)}
	for code := range mm.codes {
		label := "ok"
		if code > 0 {
			label = connect.Code(code).String()
		}
		mm.codes[code] = m.calls.WithLabelValues(name, label)
	}
	return mm
}
