package mysql_test

import (
	"context"
	"errors"
	"os"
	"testing"

	driver "github.com/go-sql-driver/mysql"

	"github.com/sterlingrun/sterling/engines"
	"github.com/sterlingrun/sterling/engines/enginestest"
	"github.com/sterlingrun/sterling/readmodel/readmodeltest"
)

// TestNodeKilled projects into a cluster of three nodes, of which one after the other is killed.
func TestNodeKilled(t *testing.T) {
	if os.Getenv("STERLING_SOAK") != "1" {
		t.Skip("three servers: with STERLING_SOAK=1")
	}
	trio, err := engines.StartGaleraTrio(t.Context(), engines.Options{})
	enginestest.Check(t, err)
	t.Cleanup(func() {
		if err := trio.Close(); err != nil {
			t.Error(err)
		}
	})
	config, err := driver.ParseDSN(trio.NodeDSN(2))
	if err != nil {
		t.Fatal(err)
	}
	if config.Params == nil {
		config.Params = map[string]string{}
	}
	config.Params["wsrep_sync_wait"] = "1" // sees what the others have
	h := harnessOf(t, trio.DSN(), config.FormatDSN())
	readmodeltest.ServerKilled(t, h, &node{GaleraTrio: trio, next: -1})
}

type node struct {
	*engines.GaleraTrio
	next int
}

func (n *node) Kill() error {
	n.next++
	return n.GaleraTrio.Kill(n.next)
}

func (n *node) Restart(ctx context.Context) error {
	return errors.Join(n.Start(ctx, n.next), n.Settled(ctx))
}
