package mysql_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	driver "github.com/go-sql-driver/mysql"

	"github.com/sterlingrun/sterling/cell"
	"github.com/sterlingrun/sterling/cell/celltest"
	"github.com/sterlingrun/sterling/engines"
	"github.com/sterlingrun/sterling/engines/enginestest"
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/store/mysql"
	"github.com/sterlingrun/sterling/store/storetest"
)

// TestGalera runs the suites on three nodes, with the two contenders on different ones, and kills the node that takes
// the appends.
func TestGalera(t *testing.T) {
	if os.Getenv("STERLING_SOAK") == "" {
		t.Skip("three servers: with STERLING_SOAK=1")
	}
	trio, err := engines.StartGaleraTrio(t.Context(), engines.Options{})
	enginestest.Check(t, err)
	t.Cleanup(func() {
		if err := trio.Close(); err != nil {
			t.Error(err)
		}
	})
	databases := 0
	// fresh makes an empty database and returns the DSNs of all nodes, beginning with each of them.
	fresh := func(t *testing.T) (from [3]string) {
		databases++
		name := fmt.Sprintf("fresh_%d", databases)
		run(t, trio.NodeDSN(0), "CREATE DATABASE "+name)
		for i := range from {
			from[i] = list(t, name, trio.NodeDSN(i), trio.NodeDSN((i+1)%3), trio.NodeDSN((i+2)%3))
		}
		return from
	}
	patient := func(o *mysql.Options) { o.Timeout = 10 * time.Second }
	celltest.Logs(t, func(t *testing.T) celltest.LogHarness {
		dsns := fresh(t)
		a, b := open(t, dsns[0], patient), open(t, dsns[1], patient)
		return celltest.LogHarness{Log: again{a}, Other: again{b}, Reopen: func() (cell.Log, error) {
			return again{open(t, dsns[2], patient)}, errors.Join(a.Close(), b.Close())
		}}
	})
	dsns := fresh(t)
	logs := make([]cell.Log, 6)
	for i := range logs {
		logs[i] = open(t, dsns[i%3], patient)
	}
	if err := storetest.Race(t.Context(), logs, 20, 3); err != nil {
		t.Error(err)
	}
	s := open(t, fresh(t)[0], patient)
	r, err := s.Check(t.Context())
	if err != nil || !r.Fit() || !r.Failover {
		t.Errorf("%+v, error %v, %v", r, err, r.Err())
	}
	node := -1
	storetest.Crashes(t, s, 3, func() error {
		node++
		return errors.Join(trio.Kill(node), trio.Start(t.Context(), node), trio.Settled(t.Context()))
	})
}

// again appends the same bytes again while the outcome is unknown, as a cell does: a node may lag behind the other, or
// give way to it by a deadlock (1213).
type again struct{ *mysql.Store }

func (a again) Append(ctx context.Context, b *journal.Block) (err error) {
	for range 20 {
		if err = a.Store.Append(ctx, b); !errors.Is(err, cell.ErrOutcomeUnknown) {
			return err
		}
	}
	return err
}

// list makes one DSN of several nodes.
func list(t *testing.T, database string, dsns ...string) string {
	t.Helper()
	servers := make([]string, len(dsns))
	var c *driver.Config
	for i, dsn := range dsns {
		var err error
		if c, err = driver.ParseDSN(dsn); err != nil {
			t.Fatal(err)
		}
		servers[i] = c.Addr
	}
	return fmt.Sprintf("mysql://%s:%s@%s/%s?timeout=2s", c.User, c.Passwd, strings.Join(servers, ","), database)
}
