package proxy

import (
	"cmp"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sterlingrun/sterling/mesh"
)

var (
	descCalls  = prometheus.NewDesc("sterling_mesh_calls_total", "Requests, and connections passed through, by who called and what was chosen.", []string{"listener", "caller", "cluster"}, nil)
	descFailed = prometheus.NewDesc("sterling_mesh_failed_calls_total", "Those that did not do what they were for, by why.", []string{"listener", "caller", "cluster", "why"}, nil)
)

// Describe implements prometheus.Collector.
func (s *Stats) Describe(to chan<- *prometheus.Desc) { to <- descCalls; to <- descFailed }

// Collect implements prometheus.Collector.
func (s *Stats) Collect(to chan<- prometheus.Metric) {
	for _, c := range s.Calls() {
		labels := []string{c.Listener, cmp.Or(c.Caller, "unknown"), cmp.Or(c.Cluster, "(none)")} // which no service is called
		to <- prometheus.MustNewConstMetric(descCalls, prometheus.CounterValue, float64(c.Requests()), labels...)
		for kind, n := range c.Failures {
			if n > 0 {
				to <- prometheus.MustNewConstMetric(descFailed, prometheus.CounterValue, float64(n), append(labels, mesh.Failure(kind).String())...)
			}
		}
	}
}
