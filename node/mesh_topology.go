package node

import (
	"net/http"

	"google.golang.org/protobuf/encoding/protojson"

	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

// Topology tells who calls whom and how the data planes are, of the one named with all there is. It implements api.Mesh.
func (m *MeshControl) Topology(detailed string) *ledgerv1.GetTopologyResponse {
	out := m.plane.Topology(detailed)
	m.mu.Lock()
	defer m.mu.Unlock()
	out.Refusal = m.refusal
	return out
}

// serveTopology answers with the API's JSON.
func (m *MeshControl) serveTopology(w http.ResponseWriter, r *http.Request) {
	text, err := protojson.MarshalOptions{EmitDefaultValues: true}.Marshal(m.Topology(r.FormValue("node")))
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(text) // the caller is gone
}
