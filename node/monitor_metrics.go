package node

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sterlingrun/sterling/monitor"
)

// watchMetrics turns what the watch says into metrics when they are asked for. A watch that could not even be started is
// down, like one that has stopped.
type watchMetrics struct {
	n       *Node
	metrics []watchMetric
	breaks  *prometheus.Desc
	silent  *prometheus.Desc
	freezes prometheus.Histogram
}

type watchMetric struct {
	desc  *prometheus.Desc
	kind  prometheus.ValueType
	value func(*monitor.Stats) float64
}

func newWatchMetrics(n *Node) *watchMetrics {
	c := &watchMetrics{
		n:      n,
		breaks: prometheus.NewDesc("sterling_watch_open_breaks", "Breaks in state open.", []string{"class"}, nil),
		silent: prometheus.NewDesc("sterling_watch_source_silent", "1 while a source says nothing although it should.", []string{"source"}, nil),
		freezes: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "sterling_watch_freeze_seconds", Help: "Time from an alarm until its freeze was journaled.",
			Buckets: []float64{.001, .002, .005, .01, .02, .05, .1, .2, .5, 1, 5, 30},
		}),
	}
	add := func(kind prometheus.ValueType, name, help string, value func(*monitor.Stats) float64) {
		c.metrics = append(c.metrics, watchMetric{prometheus.NewDesc("sterling_watch_"+name, help, nil, nil), kind, value})
	}
	counter, gauge := prometheus.CounterValue, prometheus.GaugeValue
	const second = 1e9
	add(gauge, "up", "1 while the watch runs.", func(s *monitor.Stats) float64 { return boolean(s.Up) })
	add(gauge, "safe_through_seconds", "All money is proven safe through this time, in seconds since 1970; 0: not yet.", func(s *monitor.Stats) float64 { return float64(s.SafeThrough) / second })
	add(gauge, "lag_blocks", "Durable blocks that the watch has not taken yet.", func(s *monitor.Stats) float64 { return float64(s.Head - min(s.Head, s.Seq)) })
	add(gauge, "lag_seconds", "Age of the last block that the watch took, while there are newer ones.", func(s *monitor.Stats) float64 { return float64(s.LagNs) / second })
	add(gauge, "open_keys", "Cases that are not complete yet.", func(s *monitor.Stats) float64 { return float64(s.OpenKeys) })
	add(counter, "events_total", "Movements and observations that the watch has seen, since the beginning.", func(s *monitor.Stats) float64 { return float64(s.Events) })
	return c
}

func (c *watchMetrics) froze(d time.Duration) { c.freezes.Observe(d.Seconds()) }

// Describe implements prometheus.Collector.
func (c *watchMetrics) Describe(ch chan<- *prometheus.Desc) {
	for _, m := range c.metrics {
		ch <- m.desc
	}
	ch <- c.breaks
	ch <- c.silent
	c.freezes.Describe(ch)
}

// Collect implements prometheus.Collector.
func (c *watchMetrics) Collect(ch chan<- prometheus.Metric) {
	s := monitor.Stats{}
	if m := c.n.watch.Load(); m != nil {
		s = m.Stats()
	}
	for _, m := range c.metrics {
		ch <- prometheus.MustNewConstMetric(m.desc, m.kind, m.value(&s))
	}
	for class, n := range s.OpenBreaks {
		ch <- prometheus.MustNewConstMetric(c.breaks, prometheus.GaugeValue, float64(n), string(class))
	}
	for i := range s.Sources {
		ch <- prometheus.MustNewConstMetric(c.silent, prometheus.GaugeValue, boolean(s.Sources[i].Silent), s.Sources[i].Name)
	}
	c.freezes.Collect(ch)
}
