package node_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/sterlingrun/sterling/node"
)

// hook is a receiver of webhooks. It notes which transfers it was told of.
type hook struct {
	mu  sync.Mutex
	ids map[string]int
}

// newHook starts a receiver, and returns the sink that delivers to it.
func newHook(t *testing.T) (*hook, node.Sink) {
	t.Helper()
	h := &hook{ids: map[string]int{}}
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	secret := filepath.Join(t.TempDir(), "hook.secret")
	if err := os.WriteFile(secret, []byte("9d3f1c52b7e84a06a1f0c3d5e7b9284c"), 0o600); err != nil {
		t.Fatal(err)
	}
	return h, node.Sink{
		Name: "partners", Filter: node.SinkFilter{Kinds: []string{"transfer_created"}},
		Webhook: &node.Webhook{URL: server.URL, PrivateNetwork: true, Keys: []node.WebhookKey{{ID: "k1", Secret: node.Secret{File: secret}}}},
	}
}

func (h *hook) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Events []struct {
			Transfer struct {
				ID string `json:"id"`
			} `json:"transfer"`
		} `json:"events"`
	}
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, e := range body.Events {
		h.ids[e.Transfer.ID]++
	}
}

// wantTold waits until so many transfers have arrived.
func (h *hook) wantTold(t *testing.T, want int) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for {
		h.mu.Lock()
		n := len(h.ids)
		h.mu.Unlock()
		if n == want {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the sink was told of %d transfers, want %d", n, want)
		}
		runtime.Gosched()
	}
}
