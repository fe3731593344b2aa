package api_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/sterlingrun/sterling/api"
	"github.com/sterlingrun/sterling/auth"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

type fakeMesh struct{}

func (fakeMesh) Topology(detailed string) *ledgerv1.GetTopologyResponse {
	return &ledgerv1.GetTopologyResponse{
		Domain: "bank.example", Generation: 3, Nodes: []*ledgerv1.MeshNode{{Name: detailed}},
		Edges: []*ledgerv1.MeshEdge{{Caller: "shop", Service: "orders", RequestsPerSecond: 1.5}},
	}
}

func TestTopology(t *testing.T) {
	const path = "GetTopology"
	without := open(t, nil)
	if code, body := without.post(path, without.tokens[auth.RoleReader], "{}"); code != http.StatusBadRequest || !strings.Contains(body, "runs no control plane of the mesh") {
		t.Errorf("without a mesh: %d %s", code, body)
	}
	b := open(t, func(c *api.Config) { c.Mesh = fakeMesh{} })
	for role := auth.RoleReader; role <= auth.RoleAdmin; role++ {
		if code, body := b.post(path, b.tokens[role], `{"node":"x#1"}`); code != http.StatusOK || !strings.Contains(body, `"name":"x#1"`) || !strings.Contains(body, `"requestsPerSecond":1.5`) {
			t.Errorf("%v: %d %s", role, code, body)
		}
	}
	if code, _ := b.post(path, "x", "{}"); code != http.StatusUnauthorized {
		t.Errorf("without a token: %d", code)
	}
}
