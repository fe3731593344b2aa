package drill_test

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/sterlingrun/sterling/bench"
	"github.com/sterlingrun/sterling/engines/enginestest"
)

// TestFailover: three processes serve a cell over a PostgreSQL trio with quorum replication, under load. The leader is
// killed, stopped in its tracks and woken again, and drained, and the database's primary is killed. No acknowledged
// payment is lost or made twice, and none fails.
func TestFailover(t *testing.T) { failover(t, "postgres") }

// TestFailoverOnGalera is TestFailover over a MariaDB Galera trio.
func TestFailoverOnGalera(t *testing.T) { failover(t, "galera") }

// slowest is how long after a fault the first payment may take in a test on a busy machine; `sterling bench failover`
// measures.
const slowest = 60 * time.Second

func failover(t *testing.T, engine string) {
	t.Helper()
	c := bench.FailoverConfig{
		Command: []string{sterling, "up"}, Dir: t.TempDir(), Engine: engine, Version: "test", Config: "snapshot_events: 10000\n",
		Nodes: 3, Senders: 8, Lease: 2 * time.Second, Kills: 3, Stops: 1, Drains: 1, Databases: 2,
	}
	if os.Getenv("STERLING_SOAK") == "1" {
		c.Kills, c.Stops, c.Drains, c.Databases = 20, 5, 10, 10
	}
	report, err := bench.Failover(t.Context(), c)
	enginestest.Check(t, err)
	exact := map[string]bool{"acknowledged and not there": false, "there and not acknowledged, or twice": false, "payments that failed": false}
	for _, m := range report.Results[0].Measures {
		t.Logf("%s: %v %s", m.Name, m.Value, m.Unit)
		_, isExact := exact[m.Name]
		switch {
		case isExact:
			if exact[m.Name] = true; m.Value != 0 {
				t.Errorf("%s: %v", m.Name, m.Value)
			}
		case strings.Contains(m.Name, "→ first payment") && m.Value > float64(slowest.Milliseconds()):
			t.Errorf("%s: %v %s", m.Name, m.Value, m.Unit)
		}
	}
	for name, measured := range exact {
		if !measured {
			t.Errorf("%s: not measured", name)
		}
	}
}
