package node_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sterlingrun/sterling/node"
)

// TestTheAccessLog has a line for each request, with the trace that it belongs to and where it was sent, and begins anew
// where the file was moved away.
func TestTheAccessLog(t *testing.T) {
	r := newMeshRig(t, time.Hour)
	file := filepath.Join(t.TempDir(), "access.log")
	r.startNode("orders")
	r.startNode("shop", func(c *node.MeshNodeConfig) { c.AccessLog = file })
	line := func() (out map[string]any) {
		r.until("a line", func() bool {
			text, _ := os.ReadFile(file)
			return strings.HasSuffix(string(text), "\n") && json.Unmarshal(text, &out) == nil
		})
		return out
	}
	r.wantCall("/orders/1?secret", 200)
	got := line()
	trace, _ := got["trace"].(string)
	if got["path"] != "/orders/1" || got["cluster"] != "orders" || got["status"] != 200.0 || len(strings.Split(trace, "-")) != 4 {
		t.Errorf("%v", got)
	}
	if err := os.Rename(file, file+".1"); err != nil {
		t.Fatal(err)
	}
	r.wantCall("/orders/2", 200)
	if got := line(); got["path"] != "/orders/2" {
		t.Errorf("after a rotation: %v", got)
	}
}
