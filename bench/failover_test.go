package bench_test

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/sterlingrun/sterling/bench"
	"github.com/sterlingrun/sterling/engines/enginestest"
)

func TestFailover(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := bench.FailoverConfig{
		Command: []string{self, serveWord}, Dir: t.TempDir(), Store: enginestest.Postgres(t).DSN(), Version: "test",
		Nodes: 2, Senders: 4, Lease: time.Second, Kills: 1, Stops: 1, Drains: 1,
	}
	report, err := bench.Failover(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]float64{}
	for _, m := range report.Results[0].Measures {
		name, _, _ := strings.Cut(m.Name, ", p99")
		values[name] = m.Value
	}
	for _, name := range []string{"leader killed → first payment", "leader stopped → first payment", "payments acknowledged"} {
		if values[name] <= 0 {
			t.Errorf("%s: %v", name, values[name])
		}
	}
	for _, name := range []string{"acknowledged and not there", "there and not acknowledged, or twice", "payments that failed"} {
		if v, ok := values[name]; !ok || v != 0 {
			t.Errorf("%s: %v, %v", name, v, ok)
		}
	}
}

func TestFailoverRefuses(t *testing.T) {
	for name, change := range map[string]func(*bench.FailoverConfig){
		"engine":         func(c *bench.FailoverConfig) { c.Engine = "oracle" },
		"a store's kill": func(c *bench.FailoverConfig) { c.Store = "postgres://127.0.0.1/x" },
		"one node":       func(c *bench.FailoverConfig) { c.Nodes = 1 },
		"below zero":     func(c *bench.FailoverConfig) { c.Kills = -1 },
	} {
		c := bench.DefaultFailover()
		change(&c)
		if _, err := bench.Failover(t.Context(), c); !errors.Is(err, bench.ErrConfig) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
