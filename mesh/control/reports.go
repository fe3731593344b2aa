package control

import (
	"context"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/sterlingrun/sterling/mesh"
	cellv1 "github.com/sterlingrun/sterling/proto/gen/sterling/cell/v1"
)

const (
	// MaxReported bounds each list of a report.
	MaxReported = 1024
	// maxWindows bounds the counts that are kept of all data planes together, of some 700 bytes each.
	maxWindows = 1 << 16
	// reportWindow is what rates are of: between one and two of these.
	reportWindow = 10 * time.Second
	// reportSilence is after how long without a report a data plane counts as silent: its rates are not known.
	reportSilence = 10 * time.Second
)

// reports are what data planes told last.
type reports struct {
	arrived signal // of a report
	mu      sync.Mutex
	nodes   map[string]*nodeReport
	windows int // of all nodes
}

// nodeReport is what one data plane tells.
type nodeReport struct {
	last    *cellv1.ReportRequest
	began   [2]uint64 // the last two windows, and when last came: monotonic nanoseconds
	lastAt  uint64
	windows map[farEnd]*callWindow
}

// farEnd is who is at the other end of calls: a service that was called, or the SPIFFE id of who called.
type farEnd struct {
	name     string
	outbound bool
}

// callWindow is a count as it is, and as it was when the last two windows began.
type callWindow struct {
	began [2]mesh.Calls
	last  mesh.Calls
}

// lately are the calls of the last one to two windows.
func (w *callWindow) lately() mesh.Calls { return w.last.Since(&w.began[0]) }

// forget drops a data plane that is no longer connected.
func (r *reports) forget(node string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if n := r.nodes[node]; n != nil {
		r.windows -= len(n.windows)
		delete(r.nodes, node)
	}
}

// take keeps a report that has been checked.
func (r *reports) take(now uint64, in *cellv1.ReportRequest) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.nodes == nil {
		r.nodes = map[string]*nodeReport{}
	}
	n, known := r.nodes[in.GetNode()], true
	switch {
	case n == nil:
		known = false
		n = &nodeReport{began: [2]uint64{now, now}, windows: map[farEnd]*callWindow{}}
		r.nodes[in.GetNode()] = n
	case in.GetStarted() < n.last.GetStarted():
		return // of a process that another one has taken over from
	case in.GetStarted() > n.last.GetStarted():
		r.windows -= len(n.windows)
		n.windows = map[farEnd]*callWindow{}
	}
	turn := now-n.began[1] >= uint64(reportWindow)
	if turn {
		n.began = [2]uint64{n.began[1], now}
	}
	for _, c := range in.GetCalls() {
		key := farEnd{c.GetPeer(), c.GetOutbound()}
		w := n.windows[key]
		counts := callsOf(c)
		switch {
		case w == nil && (r.windows >= maxWindows || len(n.windows) >= MaxReported):
			continue
		case w == nil:
			w = &callWindow{}
			if !known { // how long it took to count so far, nobody knows
				w.began = [2]mesh.Calls{counts, counts}
			}
			n.windows[key] = w
			r.windows++
		}
		w.last = counts
		if turn {
			w.began = [2]mesh.Calls{w.began[1], counts}
		}
	}
	n.last, n.lastAt = in, now
	r.arrived.wake()
}

func callsOf(c *cellv1.MeshCalls) (out mesh.Calls) {
	copy(out.Latency[:], c.GetLatency())
	copy(out.Failures[:], c.GetFailures())
	return out
}

// health is what a rollout asks of a data plane.
type health struct {
	started     uint64 // of its counts
	all, lately mesh.Calls
}

// health returns how a data plane's calls have been; false: it does not report.
func (r *reports) health(node string, now uint64) (h health, reports bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := r.nodes[node]
	if n == nil || n.silent(now) {
		return h, false
	}
	h.started = n.last.GetStarted()
	for _, w := range n.windows {
		h.all.Add(&w.last)
		lately := w.lately()
		h.lately.Add(&lately)
	}
	return h, true
}

func (n *nodeReport) silent(now uint64) bool { return now-n.lastAt > uint64(reportSilence) }

// reporting serves the reports of data planes.
type reporting struct {
	cellv1.UnimplementedMeshReportServiceServer
	plane *Plane
}

// Report implements MeshReportService. A data plane speaks for itself only, and only while it is connected.
func (s reporting) Report(ctx context.Context, in *cellv1.ReportRequest) (*cellv1.ReportResponse, error) {
	p := s.plane
	id, err := parseNode(in.GetNode())
	if err != nil {
		return nil, err
	}
	g, err := p.view(in.GetNode())
	if err != nil {
		return nil, status.Error(codes.Unavailable, err.Error())
	}
	ids, err := identities(ctx, g.snapshot)
	if err != nil {
		return nil, err
	}
	if !slices.Contains(ids, id) {
		return nil, status.Errorf(codes.PermissionDenied, "the caller is not %s", id)
	}
	if err := checkReport(in); err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock() // so that a stream that ends meanwhile takes the report with it
	if p.present[in.GetNode()] == 0 {
		return nil, status.Errorf(codes.FailedPrecondition, "%.200s is not connected", in.GetNode())
	}
	p.reports.take(p.Clock.Mono(), in)
	return &cellv1.ReportResponse{}, nil
}

// checkReport bounds a report.
func checkReport(in *cellv1.ReportRequest) error {
	if len(in.GetCalls()) > MaxReported || len(in.GetRoutes()) > MaxReported || len(in.GetClusters()) > MaxReported {
		return status.Errorf(codes.InvalidArgument, "a report has at most %d entries of a kind", MaxReported)
	}
	if in.GetStarted() == 0 {
		return status.Error(codes.InvalidArgument, "started: want when the counts began")
	}
	for _, r := range in.GetRoutes() {
		if len(r.GetName()) > maxPeer {
			return status.Errorf(codes.InvalidArgument, "a route's name has at most %d bytes", maxPeer)
		}
	}
	for _, k := range in.GetClusters() {
		if len(k.GetName()) > maxPeer {
			return status.Errorf(codes.InvalidArgument, "a cluster's name has at most %d bytes", maxPeer)
		}
	}
	for _, c := range in.GetCalls() {
		if len(c.GetPeer()) > maxPeer || len(c.GetLatency()) > mesh.LatencyBuckets || len(c.GetFailures()) > mesh.Failures {
			return status.Errorf(codes.InvalidArgument, "calls: want a peer of at most %d bytes, %d counts of latency and %d of failures", maxPeer, mesh.LatencyBuckets, mesh.Failures)
		}
	}
	return nil
}

// maxPeer is the length of a SPIFFE id at most, and of other names.
const maxPeer = 2048

// seconds is how long the window of a data plane's counts is, in seconds; 0: nothing is known yet.
func (n *nodeReport) seconds() float64 {
	return time.Duration(n.lastAt - n.began[0]).Seconds() //nolint:gosec // the clock's own difference
}
