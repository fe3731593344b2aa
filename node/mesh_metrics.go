package node

import (
	"cmp"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/sterlingrun/sterling/mesh/proxy"
)

var (
	descMeshGeneration = prometheus.NewDesc("sterling_mesh_generation", "The number of the mesh's configuration; 0: none.", nil, nil)
	descMeshRefused    = prometheus.NewDesc("sterling_mesh_desired_state_refused", "1 while the newest desired state is not in use.", nil, nil)
	descMeshNodes      = prometheus.NewDesc("sterling_mesh_nodes", "Data planes that are connected, by whether they have the newest configuration.", []string{"state"}, nil)
	descMeshRate       = prometheus.NewDesc("sterling_mesh_edge_requests_per_second", "Calls of the last 10 to 20 seconds, by who called whom.", []string{"caller", "service"}, nil)
	descMeshFailing    = prometheus.NewDesc("sterling_mesh_edge_failures_per_second", "Of those, the failed ones.", []string{"caller", "service"}, nil)
	descMeshP99        = prometheus.NewDesc("sterling_mesh_edge_p99_seconds", "How long 99 % of them took at most, estimated.", []string{"caller", "service"}, nil)
)

// Describe implements prometheus.Collector.
func (m *MeshControl) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{descMeshGeneration, descMeshRefused, descMeshNodes, descMeshRate, descMeshFailing, descMeshP99} {
		to <- d
	}
}

// Collect implements prometheus.Collector.
func (m *MeshControl) Collect(to chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	t := m.Topology("")
	gauge(descMeshGeneration, float64(t.GetGeneration()))
	gauge(descMeshRefused, boolean(t.GetRefusal() != ""))
	states := map[string]int{"current": 0, "behind": 0, "refused": 0}
	for _, n := range t.GetNodes() {
		switch {
		case n.GetRefusal() != "":
			states["refused"]++
		case n.GetGeneration() < t.GetGeneration():
			states["behind"]++
		default:
			states["current"]++
		}
	}
	for state, n := range states {
		gauge(descMeshNodes, float64(n), state)
	}
	for _, e := range t.GetEdges() {
		caller := cmp.Or(e.GetCaller(), "(unknown)") // which no service is called
		gauge(descMeshRate, e.GetRequestsPerSecond(), caller, e.GetService())
		gauge(descMeshFailing, e.GetFailuresPerSecond(), caller, e.GetService())
		gauge(descMeshP99, e.GetP99Seconds(), caller, e.GetService())
	}
}

// Register adds the metrics of a node's proxies, each with its workload's id. The error is that of a registry which has
// them already.
func (n *MeshNode) Register(with prometheus.Registerer) error {
	for _, s := range n.sidecars {
		labelled := prometheus.WrapRegistererWith(prometheus.Labels{"workload": s.id.String()}, with)
		if err := labelled.Register(sidecarMetrics{s}); err != nil {
			return fmt.Errorf("register the metrics of %s: %w", s.id, err)
		}
	}
	return nil
}

// sidecarMetrics are those of the proxy that a sidecar has at the time.
type sidecarMetrics struct{ *sidecar }

// Describe implements prometheus.Collector.
func (s sidecarMetrics) Describe(to chan<- *prometheus.Desc) {
	new(proxy.Proxy).Describe(to)
	s.stats.Describe(to)
}

// Collect implements prometheus.Collector.
func (s sidecarMetrics) Collect(to chan<- prometheus.Metric) {
	s.mu.Lock()
	p := s.proxy
	s.mu.Unlock()
	if p != nil {
		p.Collect(to)
	}
	s.stats.Collect(to)
}

// serveMetrics offers Prometheus metrics, where the configuration says so.
func (n *MeshNode) serveMetrics() error {
	if n.config.Metrics == "" {
		return nil
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	if err := n.Register(registry); err != nil {
		return err
	}
	l, err := net.Listen("tcp", n.config.Metrics)
	if err != nil {
		return fmt.Errorf("serve metrics: %w; choose another address with --metrics", err)
	}
	n.metricsAt = l.Addr()
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4}))
	n.metrics = &http.Server{
		Handler: mux, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: time.Minute, IdleTimeout: time.Minute,
		ErrorLog: slog.NewLogLogger(n.log.Handler(), slog.LevelDebug),
	}
	n.running.Go(func() { serveUntilClosed(n.metrics, l, n.log) })
	return nil
}

// MetricsAddress is where metrics are served; nil: nowhere.
func (n *MeshNode) MetricsAddress() net.Addr { return n.metricsAt }

// closeMetrics frees the address, also for a process that takes over.
func (n *MeshNode) closeMetrics() {
	if n.metrics != nil {
		_ = n.metrics.Close() // who reads asks again
	}
}
