package alert

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	sent, failed, dropped prometheus.Counter
	active                prometheus.Gauge
}

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "sterling_watch_alerts_" + name, Help: help})
	}
	m := &metrics{
		sent:    counter("sent_total", "Alerts that a receiver took, repetitions too."),
		failed:  counter("failed_total", "Requests with alerts that a receiver did not take; they are sent again."),
		dropped: counter("dropped_total", "Alerts beyond those that are kept at once."),
		active:  prometheus.NewGauge(prometheus.GaugeOpts{Name: "sterling_watch_alerts_active", Help: "Alerts that go on, or whose end was not told yet."}),
	}
	if r == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.sent, m.failed, m.dropped, m.active} {
		if err := r.Register(c); err != nil {
			return nil, fmt.Errorf("register the metrics of alerts: %w", err)
		}
	}
	return m, nil
}
