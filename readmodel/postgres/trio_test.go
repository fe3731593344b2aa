package postgres_test

import (
	"context"
	"errors"
	"os"
	"testing"

	"github.com/sterlingrun/sterling/engines"
	"github.com/sterlingrun/sterling/engines/enginestest"
	"github.com/sterlingrun/sterling/readmodel/readmodeltest"
)

// TestPrimaryKilled projects into three servers with synchronous replication, whose primary is killed.
func TestPrimaryKilled(t *testing.T) {
	if os.Getenv("STERLING_SOAK") != "1" {
		t.Skip("three servers: with STERLING_SOAK=1")
	}
	trio, err := engines.StartPostgresTrio(t.Context(), engines.Options{})
	enginestest.Check(t, err)
	t.Cleanup(func() {
		if err := trio.Close(); err != nil {
			t.Error(err)
		}
	})
	readmodeltest.ServerKilled(t, harnessOf(t, trio.DSN()), &primary{PostgresTrio: trio})
}

type primary struct {
	*engines.PostgresTrio
	killed int
}

func (p *primary) Kill() error {
	p.killed = p.Primary()
	return p.PostgresTrio.Kill(p.killed)
}

func (p *primary) Restart(ctx context.Context) error {
	return errors.Join(p.Start(ctx, p.killed), p.Settled(ctx))
}
