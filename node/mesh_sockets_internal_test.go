package node

import (
	"errors"
	"log/slog"
	"net/netip"
	"path/filepath"
	"testing"

	"github.com/sterlingrun/sterling/clock"
	"github.com/sterlingrun/sterling/mesh/proxy"
)

// TestAControlPlaneNamesNoSocketsOfThisMachine: by one it could reach what was never meant for the mesh.
func TestAControlPlaneNamesNoSocketsOfThisMachine(t *testing.T) {
	for what, text := range map[string]string{
		"a listener":  `listeners: [{name: in, address: "unix:` + filepath.Join(t.TempDir(), "s") + `"}]`,
		"an endpoint": `clusters: [{name: app, endpoints: [{address: "unix:/run/program.sock"}]}]`,
	} {
		s := &sidecar{
			node: &MeshNode{clock: clock.NewSystem(), offer: netip.MustParseAddr("127.0.0.1")}, log: slog.New(slog.DiscardHandler), identity: &meshIdentity{},
			sockets: map[string]socket{}, faults: map[string]string{}, stats: proxy.NewStats(), ready: make(chan struct{}), changed: make(chan struct{}),
		}
		if err := s.use([]byte(text), "1"); !errors.Is(err, proxy.ErrConfig) {
			t.Errorf("%s: %v", what, err)
			s.finish(t.Context(), 0)
		}
	}
}
