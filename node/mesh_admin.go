package node

import (
	"context"
	"encoding/json"
	"net/http"
	"path/filepath"
	"strconv"
	"sync"

	"gopkg.in/yaml.v3"

	"github.com/sterlingrun/sterling/mesh/proxy"
)

// maxTaps is how many may watch a node at a time.
const maxTaps = 8

// MeshNodeStatus is about a mesh node.
type MeshNodeStatus struct {
	Name      string          `json:"name"`
	Control   string          `json:"control"`
	Workloads []SidecarStatus `json:"workloads"`
}

// MeshRoutes is what a workload's proxy does, as it is in use.
type MeshRoutes struct {
	ID     string          `json:"id"`
	Config json.RawMessage `json:"config"` // with the keys of its YAML
}

// configJSON writes a configuration with the keys and spellings of its YAML.
func configJSON(c proxy.Config) (json.RawMessage, error) {
	text, err := yaml.Marshal(c)
	if err != nil {
		return nil, err
	}
	var tree any
	if err := yaml.Unmarshal(text, &tree); err != nil {
		return nil, err
	}
	return json.Marshal(tree)
}

// serveAdmin tells people how the node is, on a Unix socket of its owner.
func (n *MeshNode) serveAdmin() error {
	l, err := replaceUnix("unix", filepath.Join(n.config.Data, MeshAdminSocket), 0o600)
	if err != nil {
		return err
	}
	taps := make(chan struct{}, maxTaps)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) {
		out := &MeshNodeStatus{Name: n.config.Name, Control: n.config.Control}
		for _, s := range n.sidecars {
			out.Workloads = append(out.Workloads, s.told())
		}
		writeJSON(w, MeshStatus{Node: out})
	})
	mux.HandleFunc("GET /routes", func(w http.ResponseWriter, _ *http.Request) {
		var out []MeshRoutes
		for _, s := range n.sidecars {
			s.mu.Lock()
			config := s.config
			s.mu.Unlock()
			text, err := configJSON(config)
			if err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
				return
			}
			out = append(out, MeshRoutes{s.id.String(), text})
		}
		writeJSON(w, out)
	})
	mux.HandleFunc("GET /certs", func(w http.ResponseWriter, _ *http.Request) {
		var out []MeshCerts
		for _, s := range n.sidecars {
			if m := s.identity.current.Load(); m != nil {
				out = append(out, m.told)
			}
		}
		writeJSON(w, out)
	})
	mux.HandleFunc("GET /tap", func(w http.ResponseWriter, r *http.Request) {
		every, err := strconv.Atoi(r.FormValue("every"))
		if err != nil || every < 1 || every > 1_000_000 {
			http.Error(w, "every: want 1 to 1000000", http.StatusBadRequest)
			return
		}
		select {
		case taps <- struct{}{}:
			defer func() { <-taps }()
		default:
			http.Error(w, "as many watch already as may", http.StatusTooManyRequests)
			return
		}
		n.tap(r.Context(), w, every)
	})
	n.admin = serveHTTP(&n.running, l, mux, n.log)
	return nil
}

// tap writes requests as they end, until ctx does.
func (n *MeshNode) tap(ctx context.Context, w http.ResponseWriter, every int) {
	to := &flusher{w: w, control: http.NewResponseController(w)}
	w.Header().Set("Content-Type", "application/x-ndjson")
	to.flush()
	var running sync.WaitGroup
	for _, s := range n.sidecars {
		running.Go(func() {
			for ctx.Err() == nil {
				s.mu.Lock()
				p, changed := s.proxy, s.changed
				s.mu.Unlock()
				stop := p.Tap(to, every)
				select {
				case <-ctx.Done():
				case <-changed:
				}
				_ = stop() // whoever watched has seen the end
			}
		})
	}
	running.Wait()
}

// flusher passes on what is written at once.
type flusher struct {
	mu      sync.Mutex
	w       http.ResponseWriter
	control *http.ResponseController
}

func (f *flusher) Write(b []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n, err := f.w.Write(b)
	if err != nil {
		return n, err
	}
	return n, f.control.Flush()
}

func (f *flusher) flush() {
	f.mu.Lock()
	defer f.mu.Unlock()
	_ = f.control.Flush() // the headers; lines tell whether anybody is there
}
