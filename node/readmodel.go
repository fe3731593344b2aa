package node

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sterlingrun/sterling/cell"
	"github.com/sterlingrun/sterling/readmodel"
	"github.com/sterlingrun/sterling/readmodel/mysql"
	"github.com/sterlingrun/sterling/readmodel/postgres"
	"github.com/sterlingrun/sterling/readmodel/sqlite"
)

// ReadModel is a database that gets the ledger as tables, for the user's own SQL.
type ReadModel struct {
	// DSN names it: postgres://…, mysql://… or sqlite:FILE; empty: there is none.
	DSN string `yaml:"dsn"`
	// DSNFile is a file with the DSN, so that its password is in no configuration and no list of processes.
	DSNFile string `yaml:"dsn_file"`
}

func (m *ReadModel) wanted() bool { return m.DSN != "" || m.DSNFile != "" }

func (m *ReadModel) check(fault func(format string, args ...any)) {
	if m.DSN != "" && m.DSNFile != "" {
		fault("read_model: want dsn or dsn_file, not both")
	}
	if m.DSN != "" && tablesOf(m.DSN) == nil {
		fault("read_model.dsn: want postgres://…, mysql://… or sqlite:FILE") // never the text: it may hold a password
	}
}

type openTables func(ctx context.Context, n *Node) (readmodel.Target, error)

// tablesOf returns how a DSN's tables are opened; nil for none that is known.
func tablesOf(dsn string) openTables {
	switch scheme, rest, _ := strings.Cut(dsn, ":"); scheme {
	case "postgres", "postgresql":
		return func(ctx context.Context, n *Node) (readmodel.Target, error) {
			return postgres.Open(ctx, postgres.Options{DSN: dsn, Clock: n.clock, Logger: n.logger})
		}
	case "mysql", "mariadb":
		return func(ctx context.Context, n *Node) (readmodel.Target, error) {
			return mysql.Open(ctx, mysql.Options{DSN: "mysql:" + rest, Clock: n.clock, Logger: n.logger})
		}
	case "sqlite":
		return func(ctx context.Context, _ *Node) (readmodel.Target, error) {
			return sqlite.Open(ctx, sqlite.Options{Path: strings.TrimPrefix(rest, "//")})
		}
	}
	return nil
}

// tables is the projector of a running node.
type tables struct {
	projector *readmodel.Projector
	stop      context.CancelFunc
	running   sync.WaitGroup
}

// acknowledged is the journal as far as it is acknowledged.
type acknowledged struct {
	cell.Log
	head func() uint64
}

// Head implements readmodel.Source.
func (a acknowledged) Head(context.Context) (uint64, error) { return a.head(), nil }

// startReadModel begins to project. Nothing of it can keep the node from starting, or make a payment wait.
func (n *Node) startReadModel(context.Context) error {
	m := &n.config.ReadModel
	if !m.wanted() {
		return nil
	}
	dsn := m.DSN
	if m.DSNFile != "" {
		b, err := os.ReadFile(m.DSNFile)
		if err != nil {
			return fmt.Errorf("read read_model.dsn_file: %w", err)
		}
		dsn = strings.TrimSpace(string(b))
	}
	open := tablesOf(dsn)
	if open == nil {
		return fmt.Errorf("%w: read_model.dsn: want postgres://…, mysql://… or sqlite:FILE", ErrConfig)
	}
	if err := checkURL(dsn); err != nil {
		return fmt.Errorf("%w: read_model.dsn: %w", ErrConfig, err)
	}
	t := &tables{projector: readmodel.New(readmodel.Options{
		Cell: uint64(n.config.Cell), Source: acknowledged{n.journal, n.cell.Head}, Clock: n.clock, Logger: n.logger,
		Open: func(ctx context.Context) (readmodel.Target, error) { return open(ctx, n) },
	})}
	ctx, stop := context.WithCancel(context.Background())
	t.stop = stop
	t.running.Go(func() {
		if err := t.projector.Run(ctx); err != nil && !errors.Is(err, context.Canceled) {
			n.logger.Error("the read model is not kept up any more; payments go on", "error", err)
		}
	})
	n.registry.MustRegister(t.collectors()...)
	n.tables.Store(t)
	return nil
}

// stopReadModel ends the projection where it is; the next start goes on there. It may be called twice.
func (n *Node) stopReadModel() {
	if t := n.tables.Swap(nil); t != nil {
		t.stop()
		t.running.Wait()
	}
}

func (t *tables) collectors() []prometheus.Collector {
	gauge := func(name, help string, value func(*readmodel.Status) float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "sterling_read_model_" + name, Help: help}, func() float64 {
			s := t.projector.Status()
			return value(&s)
		})
	}
	return []prometheus.Collector{
		gauge("block", "Last block that the read model has.", func(s *readmodel.Status) float64 { return float64(s.Position.Seq) }),
		gauge("behind_blocks", "Acknowledged blocks that the read model lacks.", func(s *readmodel.Status) float64 { return float64(s.Behind()) }),
		gauge("failing", "1 while the last attempt to write the read model failed.", func(s *readmodel.Status) float64 { return boolean(s.Failure != "") }),
		gauge("rows", "Rows written since the start.", func(s *readmodel.Status) float64 { return float64(s.Stats.Rows) }),
	}
}
