package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"syscall"
	"time"

	"github.com/sterlingrun/sterling/engines"
)

// FailoverConfig is what Failover breaks, and how often.
type FailoverConfig struct {
	// Command starts a server: a program and its first arguments, which `--config FILE` follows.
	Command []string
	Dir     string // for the nodes' and the engine's data; empty: the system's for temporary files
	// Engine is what has the journal: "postgres" and "galera" are trios that Failover starts, and breaks, too;
	// otherwise Store is a database that runs already.
	Engine, Store string
	Version       string // of the program, for the report
	Config        string // more of the nodes' configuration, in YAML; may be empty

	Nodes, Senders int
	Lease          time.Duration // of the leader
	Kills          int           // of the leader, by SIGKILL
	Stops          int           // of the leader, by SIGSTOP; it goes on afterwards
	Drains         int
	Databases      int // kills of the database's primary, or of the node that the leader writes to

	Progress func(what string, done, total int) // may be nil
}

// DefaultFailover is the configuration of the published numbers, without Command, Dir and Version.
func DefaultFailover() FailoverConfig {
	return FailoverConfig{Engine: "postgres", Nodes: 3, Senders: 8, Lease: 2 * time.Second, Kills: 20, Stops: 5, Drains: 10, Databases: 10}
}

func (c *FailoverConfig) check() error {
	switch {
	case c.Store == "" && c.Engine != "postgres" && c.Engine != "galera":
		return fmt.Errorf("%w: engine %q: want postgres or galera, or a store", ErrConfig, c.Engine)
	case c.Store != "" && c.Databases > 0:
		return fmt.Errorf("%w: a database that runs already is not broken: want 0 kills of it", ErrConfig)
	case c.Nodes < 2 || c.Nodes > 9 || c.Senders < 1 || c.Kills < 0 || c.Stops < 0 || c.Drains < 0 || c.Databases < 0:
		return fmt.Errorf("%w: want 2 to 9 nodes, 1 sender or more, and no count below 0", ErrConfig)
	}
	return nil
}

// Failover starts a cell of several nodes, has payments made without end, breaks nodes and database one after the other,
// and measures how long after each fault the first payment is acknowledged. Afterwards the ledger must have exactly what
// was acknowledged.
func Failover(ctx context.Context, c FailoverConfig) (report *Report, err error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	if c.Dir, err = os.MkdirTemp(c.Dir, "sterling-failover-"); err != nil {
		return nil, fmt.Errorf("make a folder for the nodes' data: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(c.Dir)) }()
	report = &Report{Version: c.Version, Began: time.Now().UTC()}
	if report.Machine, err = Describe(c.Dir); err != nil {
		return report, err
	}
	d, err := c.database(ctx)
	if err != nil {
		return report, err
	}
	defer func() { err = errors.Join(err, d.close()) }()
	report.Durability = "acknowledged = " + d.durability
	f := &fleet{FailoverConfig: c, database: d}
	defer func() { err = errors.Join(err, f.close()) }()
	if err := f.start(ctx); err != nil {
		return report, err
	}
	result, err := f.breakAll(ctx)
	if err != nil {
		return report, err
	}
	report.Results = []Result{result}
	return report, nil
}

// database is the engine under the nodes.
type database struct {
	dsn, durability string
	// kill ends the primary, start has it come back, and settled waits until it is whole again; nil: not ours.
	kill    func() (node int, err error)
	start   func(ctx context.Context, node int) error
	settled func(context.Context) error
	close   func() error
}

func (c *FailoverConfig) database(ctx context.Context) (*database, error) {
	if c.Store != "" {
		return &database{dsn: c.Store, durability: "as the database is set up", close: func() error { return nil }}, nil
	}
	o := engines.Options{SuspectTimeout: 4 * time.Second}
	if c.Engine == "galera" {
		t, err := engines.StartGaleraTrio(ctx, o)
		if err != nil {
			return nil, err
		}
		next := -1
		return &database{
			dsn: t.DSN(), durability: "committed on three MariaDB nodes by Galera, evs.suspect_timeout 4 s",
			kill:  func() (int, error) { next = (next + 1) % 3; return next, t.Kill(next) },
			start: t.Start, settled: t.Settled, close: t.Close,
		}, nil
	}
	t, err := engines.StartPostgresTrio(ctx, o)
	if err != nil {
		return nil, err
	}
	return &database{
		dsn: t.DSN(), durability: "committed on the PostgreSQL primary and one of two standbys (ANY 1)",
		kill:  func() (int, error) { at := t.Primary(); return at, t.Kill(at) },
		start: t.Start, settled: t.Settled, close: t.Close,
	}, nil
}

// breakAll does every kind of harm in turn while payments are made.
func (f *fleet) breakAll(ctx context.Context) (r Result, err error) {
	p := f.pay(ctx)
	r = Result{Shape: "failover-" + f.Engine, What: fmt.Sprintf("%d nodes, %d senders of single payments, lease %v", f.Nodes, f.Senders, f.Lease)}
	if f.Engine == "" || f.Store != "" {
		r.Shape = "failover"
	}
	for _, kind := range []struct {
		name       string
		count      int
		once       func(context.Context, *payments) (time.Duration, error)
		asked, aim float64 // ms
	}{
		{"leader killed", f.Kills, f.killLeader, 5_000, 1_000},
		{"leader stopped", f.Stops, f.stopLeader, 10_000, 3_000},
		{"drained", f.Drains, f.drainLeader, 0, 0},
		{"database node killed", f.Databases, f.killDatabase, 15_000, 5_000},
	} {
		var gaps []time.Duration
		for i := range kind.count {
			if f.Progress != nil {
				f.Progress(kind.name, i, kind.count)
			}
			gap, err := kind.once(ctx, p)
			if err != nil {
				return r, errors.Join(fmt.Errorf("%s, time %d: %w", kind.name, i+1, err), p.end(ctx, nil))
			}
			gaps = append(gaps, gap)
		}
		r.Measures = append(r.Measures, gapMeasures(kind.name, gaps, kind.asked, kind.aim)...)
	}
	err = p.end(ctx, &r)
	return r, err
}

func gapMeasures(name string, gaps []time.Duration, asked, aim float64) []Measure {
	if len(gaps) == 0 {
		return nil
	}
	slices.Sort(gaps)
	at := func(q float64) float64 { return ms(gaps[min(len(gaps)-1, int(q*float64(len(gaps))))]) }
	return []Measure{
		{Name: name + " → first payment, p99 of " + fmt.Sprint(len(gaps)), Unit: "ms", Value: at(0.99), AtLeast: asked, Aim: aim, Less: true},
		{Name: name + " → first payment, p50", Unit: "ms", Value: at(0.5), Less: true},
	}
}

func (f *fleet) killLeader(ctx context.Context, p *payments) (time.Duration, error) {
	at, err := f.leader(ctx)
	if err != nil {
		return 0, err
	}
	began := time.Now()
	if err := f.nodes[at].kill(); err != nil {
		return 0, err
	}
	gap, err := p.resumed(ctx, began)
	return gap, errors.Join(err, f.startNode(ctx, at))
}

func (f *fleet) stopLeader(ctx context.Context, p *payments) (time.Duration, error) {
	at, err := f.leader(ctx)
	if err != nil {
		return 0, err
	}
	began := time.Now()
	process := f.nodes[at].command.Process
	if err := process.Signal(syscall.SIGSTOP); err != nil {
		return 0, fmt.Errorf("stop the leader: %w", err)
	}
	gap, err := p.resumed(ctx, began)
	return gap, errors.Join(err, process.Signal(syscall.SIGCONT), f.standsBy(ctx, at), p.more(ctx, 100))
}

func (f *fleet) drainLeader(ctx context.Context, p *payments) (time.Duration, error) {
	began := time.Now()
	if err := f.drain(ctx); err != nil {
		return 0, err
	}
	gap, err := p.resumed(ctx, began)
	return gap, errors.Join(err, p.more(ctx, 100))
}

func (f *fleet) killDatabase(ctx context.Context, p *payments) (time.Duration, error) {
	began := time.Now()
	node, err := f.database.kill()
	if err != nil {
		return 0, err
	}
	gap, err := p.resumed(ctx, began)
	if err == nil {
		err = f.database.start(ctx, node)
	}
	if err == nil {
		err = f.database.settled(ctx)
	}
	return gap, errors.Join(err, p.more(ctx, 100))
}
