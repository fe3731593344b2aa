package postgres_test

import (
	"errors"
	"os"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sterlingrun/sterling/cell"
	"github.com/sterlingrun/sterling/cell/celltest"
	"github.com/sterlingrun/sterling/engines"
	"github.com/sterlingrun/sterling/engines/enginestest"
	"github.com/sterlingrun/sterling/store/postgres"
	"github.com/sterlingrun/sterling/store/storetest"
)

// TestTrio runs the suites on three servers with quorum replication, and kills the primary under load.
func TestTrio(t *testing.T) {
	if os.Getenv("STERLING_SOAK") == "" {
		t.Skip("three servers: with STERLING_SOAK=1")
	}
	trio, err := engines.StartPostgresTrio(t.Context(), engines.Options{})
	enginestest.Check(t, err)
	t.Cleanup(func() {
		if err := trio.Close(); err != nil {
			t.Error(err)
		}
	})
	patient := func(o *postgres.Options) { o.Timeout = 10 * time.Second }
	celltest.Logs(t, func(t *testing.T) celltest.LogHarness {
		dsn := freshSchema(t, trio.DSN())
		a, b := open(t, dsn, patient), open(t, dsn, patient)
		return celltest.LogHarness{Log: a, Other: b, Reopen: func() (cell.Log, error) {
			return open(t, dsn, patient), errors.Join(a.Close(), b.Close())
		}}
	})
	s := open(t, freshSchema(t, trio.DSN()), patient)
	r, err := s.Check(t.Context())
	if err != nil || !r.Fit() || !r.Failover {
		t.Errorf("%+v, error %v, %v", r, err, r.Err())
	}
	for i := range 3 { // a standby is no place to append to, nor to recover from
		standby, err := postgres.Open(t.Context(), postgres.Options{DSN: trio.NodeDSN(i), Cell: 1})
		if err == nil {
			err = standby.Close()
		}
		if isPrimary := i == trio.Primary(); (err == nil) != isPrimary {
			t.Errorf("node %d, the primary: %v, opened with error %v", i, isPrimary, err)
		}
	}
	storetest.Crashes(t, s, 3, func() error {
		i, promoted := trio.Primary(), trio.Promotions()
		if err := trio.Kill(i); err != nil {
			return err
		}
		for trio.Promotions() == promoted {
			if c, err := pgx.Connect(t.Context(), trio.DSN()); err == nil { // takes a while where there is no primary
				_ = c.Close(t.Context())
			}
		}
		return errors.Join(trio.Start(t.Context(), i), trio.Settled(t.Context()))
	})
}
