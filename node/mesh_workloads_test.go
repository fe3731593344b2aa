package node_test

import (
	"context"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/workloadapi"

	"github.com/sterlingrun/sterling/mesh"
	"github.com/sterlingrun/sterling/mesh/control"
	"github.com/sterlingrun/sterling/node"
)

// TestAJoinedMachineServesItsPrograms: a go-spiffe client beside a node that joined gets its identity, through an
// upgrade of the node, and nothing once the node has ended.
func TestAJoinedMachineServesItsPrograms(t *testing.T) {
	t.Parallel()
	r := newMeshRig(t, time.Hour)
	r.control.Close()
	r.config.Listen = "127.0.0.1:0"
	r.startControl()
	shop := mesh.ID{Domain: "bank.example", Cell: "c1", Service: "shop"}
	now := time.Now()
	token, err := control.NewTicket(filepath.Join(r.dir, "c"), control.Ticket{Node: "box", Expires: now.Add(time.Minute), Workloads: []mesh.ID{shop}}, now)
	if err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(r.dir, "w")
	joined := func(c *node.MeshNodeConfig) {
		c.Control, c.Identities, c.Token, c.WorkloadSocket = r.control.Address().String(), nil, token, socket
	}
	fetch := func() (string, error) {
		ctx, cancel := context.WithTimeout(t.Context(), meshPatience)
		defer cancel()
		svids, err := workloadapi.FetchX509SVIDs(ctx, workloadapi.WithAddr("unix://"+socket))
		var ids []string
		for _, s := range svids {
			ids = append(ids, s.ID.String())
		}
		return strings.Join(ids, " "), err
	}
	old := r.startNode("shop", joined)
	r.until("an identity", func() bool { got, err := fetch(); return err == nil && got == shop.String() })
	r.until("it reports", func() bool {
		nodes := r.control.Topology("").GetNodes()
		return len(nodes) == 1 && nodes[0].GetReports()
	})
	next := r.startNode("shop", joined)
	select {
	case <-old.TakenOver():
	case <-time.After(meshPatience):
		t.Fatal("the old one was not told")
	}
	old.Close(t.Context())
	r.until("the same identity", func() bool { got, err := fetch(); return err == nil && got == shop.String() })
	next.Close(t.Context())
	if got, err := fetch(); err == nil {
		t.Errorf("nobody is there, and it is %s", got)
	}
}
