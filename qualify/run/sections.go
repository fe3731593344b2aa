package run

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/sterlingrun/sterling/qualify"
	"github.com/sterlingrun/sterling/qualify/appends"
	"github.com/sterlingrun/sterling/qualify/isolation"
	"github.com/sterlingrun/sterling/qualify/rules"
	"github.com/sterlingrun/sterling/qualify/tpcc"
)

// The scratch cells, one for each use of a journal.
const (
	cellContend = 1_000_001 + iota
	cellProcess
	cellSpeed
)

// sections are those that apply to the target, in their order. The first asks the engine what it is.
func (r *runner) sections() []work {
	list := []work{r.rules(), r.contention(), r.durability()}
	if r.target.Dialect != qualify.Local {
		list = append(list, r.uniqueness(), r.isolation(), r.tpcc())
	}
	list = append(list, r.speed())
	if r.only == nil {
		return list
	}
	return slices.DeleteFunc(list, func(w work) bool { return !slices.Contains(r.only, w.id) })
}

func (r *runner) rules() work {
	w := work{
		id: "rules", title: "Settings", limit: r.plan.patience,
		method: "The engine is asked for its settings, by the store that a ledger would use, and they are compared with the rules for money.",
	}
	w.run = func(ctx context.Context, s *qualify.Section, _ qualify.Progress) (err error) {
		if r.target.Dialect == qualify.Local {
			r.report.Engine = "Sterling's local store " + r.Version
			rules.Local(&r.report.Machine, s)
			return nil
		}
		r.report.Engine = string(r.target.Dialect) // until it says more
		engine, err := rules.SQL(ctx, r.target.Dialect, r.target.dsns, s)
		if engine != "" {
			r.report.Engine = engine + r.shape()
		}
		s.Limit("Settings are what the engine tells. Whether its disks keep what they acknowledge depends on the machines below, which were not looked at.")
		return err
	}
	if r.target.Dialect == qualify.Local {
		w.method = "The file system and the speed of the disk below the folder are looked at."
	}
	return w
}

// victim is what a kill hits.
func (r *runner) victim() string {
	switch r.Start {
	case "postgres-trio":
		return "the primary, every process of it (after every other kill another server takes over, otherwise it comes back as the primary),"
	case "galera-trio":
		return "one node after the other, every process of it,"
	}
	return "the engine, every process of it,"
}

// shape says what the engine consists of.
func (r *runner) shape() string {
	switch n := len(r.target.Nodes); {
	case r.Start == "postgres-trio":
		return ", three servers with quorum replication"
	case r.Start == "galera-trio":
		return ", three Galera nodes"
	case n > 1:
		return fmt.Sprintf(", %d nodes", n)
	}
	return ""
}

func (r *runner) contention() work {
	p := &r.plan
	o := appends.ContendOptions{Cell: cellContend, Writers: p.writers, Duration: p.contend, MostCalls: p.calls, Settle: p.settle}
	method := "Writers contend for every number of a scratch journal: each looks at the head, appends a block after it, and now and then reads blocks, " +
		"sends the same bytes again, appends what a deposed leader would, or appends beside the head. An unknown outcome is resolved by the same bytes. " +
		"A checker (porcupine) then looks for an order of all calls that a conditional append allows, and the journal is read back by its hashes."
	if r.target.Server != nil {
		o.Kills = p.kills
		method += " Meanwhile " + r.victim() + " is killed with SIGKILL and started again."
	}
	return work{
		id: "append", title: "Conditional append under contention", method: method, limit: p.contend + p.patience,
		run: func(ctx context.Context, s *qualify.Section, progress qualify.Progress) error {
			o.Progress = progress
			if r.target.Server == nil && r.target.Dialect != qualify.Local {
				s.Limit("The engine was not started by the qualification, so it was not killed under contention.")
			}
			return appends.Contend(ctx, &r.target.Target, o, s)
		},
	}
}

func (r *runner) durability() work {
	p := &r.plan
	w := work{
		id: "durability", title: "Durability under kill -9", limit: time.Duration(p.rounds)*(p.load+p.settle) + p.patience,
		method: "Sessions commit transactions of two rows each, a debit and a credit. In the middle of it " + r.victim() + " is killed with SIGKILL; " +
			"it is started again, and after the last kill every row that was acknowledged is looked for.",
	}
	switch {
	case r.target.Dialect == qualify.Local:
		w.method = "A process appends blocks to a scratch journal and tells which were acknowledged. It is killed with SIGKILL, and the journal is opened and read from its beginning; several times, on the same journal."
		w.run = func(ctx context.Context, s *qualify.Section, progress qualify.Progress) error {
			return appends.Processes(ctx, &r.target.Target, appends.ProcessOptions{
				Cell: cellProcess, Command: append(slices.Clone(r.Writer), r.target.scratch, strconv.Itoa(cellProcess)), Rounds: p.rounds, Load: p.load, Progress: progress,
			}, s)
		}
	case r.target.Server == nil:
		w.method = "Only an engine that the qualification has started is killed; see --start."
		w.run = func(_ context.Context, s *qualify.Section, _ qualify.Progress) error {
			s.Skip(qualify.Check{ID: "durability.acknowledged", Title: "Every acknowledged transaction outlives a kill -9 of the engine"},
				"since the engine was not started by the qualification")
			return nil
		}
	default:
		w.run = func(ctx context.Context, s *qualify.Section, progress qualify.Progress) error {
			if r.trio() {
				s.Limit("One server of the cluster was killed at a time. Two at once, all at once, and a cut network were not tried.")
			}
			return appends.Rows(ctx, &r.target.Target, appends.RowsOptions{Rounds: p.rounds, Writers: p.writers, Load: p.load, Settle: p.settle, Progress: progress}, s)
		}
	}
	return w
}

func (r *runner) uniqueness() work {
	p := &r.plan
	return work{
		id: "unique", title: "Unique keys under contention", limit: p.unique + p.patience,
		method: "Sessions insert the same key at the same time, at READ COMMITTED, half of the keys under a primary key and half under a unique index.",
		run: func(ctx context.Context, s *qualify.Section, progress qualify.Progress) error {
			return isolation.Unique(ctx, &r.target.Target, isolation.UniqueOptions{Sessions: p.writers, Keys: p.keys, Duration: p.unique, Progress: progress}, s)
		},
	}
}

func (r *runner) isolation() work {
	return work{
		id: "isolation", title: "Isolation", limit: r.plan.patience,
		method: "Two sessions play a schedule on two rows, x = 10 and y = 20, statement by statement, at three levels. The ledger's stores append with one statement at READ COMMITTED; what has to be excluded at a level is said beside it.",
		run: func(ctx context.Context, s *qualify.Section, progress qualify.Progress) error {
			return isolation.Run(ctx, &r.target.Target, progress, s)
		},
	}
}

func (r *runner) tpcc() work {
	o := r.plan.tpcc
	return work{
		id: "tpcc", title: "A load of the TPC-C kind, and its consistency conditions", limit: o.Duration + time.Duration(o.Scale.Warehouses)*2*time.Minute + r.plan.patience,
		method: "The nine tables are loaded; terminals then run the five transactions at the specification's mix (ten New-Orders, ten Payments, one of each other, in a shuffled deck) at READ COMMITTED with locking reads, " +
			"with its non-uniform random keys, and repeat what the engine refuses as a deadlock or serialization failure. Before and after it, the consistency conditions 3.3.2.1 to 3.3.2.12 of TPC-C 5.11 are checked over all rows (3.3.2.11 before it only), and the tables are compared with what was acknowledged.",
		run: func(ctx context.Context, s *qualify.Section, progress qualify.Progress) error {
			o.Progress = progress
			return tpcc.Run(ctx, &r.target.Target, o, s)
		},
	}
}

func (r *runner) speed() work {
	return work{
		id: "speed", title: "Speed of appends", limit: 6*r.plan.speed + r.plan.patience,
		method: "One writer appends blocks of three sizes to a scratch journal, one append outstanding, as a ledger does. Nothing is asked of the numbers.",
		run: func(ctx context.Context, s *qualify.Section, progress qualify.Progress) error {
			return appends.Speed(ctx, &r.target.Target, appends.SpeedOptions{Cell: cellSpeed, Duration: r.plan.speed, Progress: progress}, s)
		},
	}
}
