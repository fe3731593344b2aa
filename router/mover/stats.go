package mover

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// stats are the metrics of a runner.
type stats struct {
	buckets, resumed, carried prometheus.Counter
	pause                     prometheus.Histogram
}

func newStats() stats {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "sterling_move_" + name, Help: help})
	}
	return stats{
		buckets: counter("buckets_total", "Buckets that this node has moved to other cells."),
		resumed: counter("resumed_total", "Moves of buckets that this node has brought to their end after another one began them."),
		carried: counter("carried_ids_total", "Ids of transfers that were carried to other cells, some of them twice."),
		pause: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "sterling_move_pause_seconds", Help: "For how long calls that touched a bucket had to wait while it moved.",
			Buckets: []float64{0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5},
		}),
	}
}

func (s *stats) moved(pause time.Duration) {
	s.buckets.Inc()
	s.pause.Observe(pause.Seconds())
}

// Collectors returns the metrics of a runner, for a registry.
func (r *Runner) Collectors() []prometheus.Collector {
	left := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "sterling_move_buckets_left", Help: "Buckets that are still to be moved by the move that is under way.",
	}, func() float64 {
		p, ok := r.Progress()
		if !ok || p.State != Running {
			return 0
		}
		return float64(p.Buckets - p.Already - len(p.Moved))
	})
	return []prometheus.Collector{r.stats.buckets, r.stats.resumed, r.stats.carried, r.stats.pause, left}
}
