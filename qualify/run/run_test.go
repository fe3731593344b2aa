package run

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sterlingrun/sterling/engines"
	"github.com/sterlingrun/sterling/engines/enginestest"
	"github.com/sterlingrun/sterling/qualify"
	"github.com/sterlingrun/sterling/qualify/tpcc"
)

// TestMain is also the process that a qualification of the local store kills.
func TestMain(m *testing.M) {
	if len(os.Args) == 4 && os.Args[1] == "writer" {
		_ = Write(context.Background(), os.Args[2], os.Args[3], os.Stdout)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// sample is a run as short as it can be.
func sample(c Config) Config {
	c.Version, c.Quick = "test", true
	c.adjust = func(p *plan) {
		p.contend, p.rounds, p.load, p.unique, p.keys = 3*time.Second, 1, 500*time.Millisecond, time.Second, 50
		p.tpcc.Scale, p.tpcc.Duration, p.speed = tpcc.Scale{Warehouses: 2, Customers: 40, Items: 200}, time.Second, 100*time.Millisecond
	}
	if os.Getenv("STERLING_SOAK") == "1" {
		c.adjust = nil
	}
	return c
}

func qualification(t *testing.T, c Config) *qualify.Report {
	t.Helper()
	var mu sync.Mutex
	var ended []string
	c.Progress = func(s Step) {
		mu.Lock()
		defer mu.Unlock()
		if s.Ended {
			ended = append(ended, s.Title)
		}
	}
	r, err := Qualify(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if len(ended) != len(r.Sections) {
		t.Errorf("%d sections, progress told of %q", len(r.Sections), ended)
	}
	for _, s := range r.Sections {
		for _, failed := range s.Failed() {
			t.Logf("%s: %s", failed.ID, failed.Found)
		}
	}
	return r
}

func check(t *testing.T, r *qualify.Report, id string) *qualify.Check {
	t.Helper()
	for i := range r.Sections {
		if c := r.Sections[i].Find(id); c != nil {
			return c
		}
	}
	t.Fatalf("no check %s", id)
	return nil
}

// TestStartedEnginesAreFit: engines as they are installed, killed on the way.
func TestStartedEnginesAreFit(t *testing.T) {
	for start, engine := range map[string]string{"postgres": "PostgreSQL ", "mariadb": "MariaDB "} {
		t.Run(start, func(t *testing.T) {
			installed(t, start)
			dir := t.TempDir()
			openTo(t, dir)
			r := qualification(t, sample(Config{Start: start, Dir: dir}))
			if !r.Fit || len(r.Sections) != 7 || !r.Started || !strings.HasPrefix(r.Engine, engine) {
				t.Fatalf("%s fit %v in %d sections: %q", r.Engine, r.Fit, len(r.Sections), r.Reasons)
			}
			if c := check(t, r, "append.unknown"); strings.Contains(c.Found, "kills: 0") {
				t.Errorf("no kill under contention: %s", c.Found)
			}
			if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
				t.Errorf("left behind: %v, error %v", left, err)
			}
		})
	}
}

// installed skips the test where an engine is missing.
func installed(t *testing.T, name string) {
	if name == "postgres" {
		enginestest.Postgres(t)
	} else {
		enginestest.MariaDB(t)
	}
}

// openTo lets the engine's own account into a test's folders.
func openTo(t *testing.T, dir string) {
	for d := dir; strings.HasPrefix(d, filepath.Clean(os.TempDir())+string(filepath.Separator)); d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

// TestFsyncOffIsUnfit: settings that lose money are named, whatever else passes.
func TestFsyncOffIsUnfit(t *testing.T) {
	for name, c := range map[string]struct {
		start func(context.Context, engines.Options) (string, func() error, error)
		set   map[string]string
		red   []string
	}{
		"PostgreSQL": {startPostgres, map[string]string{"fsync": "off", "full_page_writes": "off"}, []string{"rules.fsync", "rules.full_page_writes"}},
		"MariaDB": {
			startMariaDB,
			map[string]string{"innodb_flush_log_at_trx_commit": "2", "max_allowed_packet": "1M"},
			[]string{"rules.innodb_flush_log_at_trx_commit", "rules.max_allowed_packet"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			dsn, stop, err := c.start(t.Context(), engines.Options{Settings: c.set})
			enginestest.Check(t, err)
			defer func() {
				if err := stop(); err != nil {
					t.Error(err)
				}
			}()
			config := sample(Config{Addresses: []string{dsn}})
			config.only = []string{"rules"}
			r := qualification(t, config)
			if r.Fit || len(r.Reasons) != len(c.red) {
				t.Errorf("fit %v: %q", r.Fit, r.Reasons)
			}
			for _, id := range c.red {
				if check(t, r, id).Outcome != qualify.Fail {
					t.Errorf("%s passed", id)
				}
			}
		})
	}
}

func startPostgres(ctx context.Context, o engines.Options) (string, func() error, error) {
	s, err := engines.StartPostgres(ctx, o)
	if err != nil {
		return "", nil, err
	}
	return s.DSN(), s.Close, nil
}

func startMariaDB(ctx context.Context, o engines.Options) (string, func() error, error) {
	s, err := engines.StartMariaDB(ctx, o)
	if err != nil {
		return "", nil, err
	}
	return s.DSN(), s.Close, nil
}

// schemas are the scratch schemas that are there.
func schemas(t *testing.T, dsn string) (n int) {
	list, err := qualify.ParseAddress(dsn)
	if err != nil {
		t.Fatal(err)
	}
	db, err := list[0].Open("", 1)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM information_schema.schemata WHERE schema_name LIKE 'sterling_qualify%'").Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// TestAnEngineThatRuns is not killed, and nothing is left in it, also after an interruption.
func TestAnEngineThatRuns(t *testing.T) {
	for name, dsn := range map[string]func(t *testing.T) string{
		"PostgreSQL": func(t *testing.T) string { return enginestest.Postgres(t).DSN() },
		"MariaDB":    func(t *testing.T) string { return enginestest.MariaDB(t).DSN() },
	} {
		t.Run(name, func(t *testing.T) {
			dsn := dsn(t)
			before := schemas(t, dsn)
			c := sample(Config{Addresses: []string{dsn}})
			c.only = []string{"rules", "durability", "unique"}
			r := qualification(t, c)
			if !r.Fit || r.Started || check(t, r, "durability.acknowledged").Outcome != qualify.Skipped {
				t.Errorf("fit %v, started %v: %q", r.Fit, r.Started, r.Reasons)
			}
			if !slices.ContainsFunc(r.Limits, func(s string) bool { return strings.Contains(s, "kill -9 of the engine: not tried") }) {
				t.Errorf("the limits don't say that it was not killed: %q", r.Limits)
			}
			for _, a := range r.Address {
				if strings.Contains(a, "password") || !strings.Contains(dsn, "@") {
					t.Errorf("address %q", a)
				}
			}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			c.only, c.Progress = []string{"rules", "tpcc"}, func(s Step) {
				if s.Text == "checking the fresh data" {
					cancel()
				}
			}
			if r, err := Qualify(ctx, c); r != nil || !errors.Is(err, context.Canceled) {
				t.Errorf("interrupted: report %v, error %v", r, err)
			}
			if after := schemas(t, dsn); after != before {
				t.Errorf("%d scratch schemas, %d before", after, before)
			}
		})
	}
}

// TestASectionThatFailsIsNoSuccess: an engine that goes away makes the report unfit, not shorter.
func TestASectionThatFailsIsNoSuccess(t *testing.T) {
	r := &runner{report: &qualify.Report{Engine: "E"}}
	broken := work{id: "speed", title: "Speed", limit: time.Minute, run: func(context.Context, *qualify.Section, qualify.Progress) error {
		return errors.New("the engine went away")
	}}
	slow := work{id: "slow", title: "Slow", limit: time.Nanosecond, run: func(ctx context.Context, _ *qualify.Section, _ qualify.Progress) error {
		<-ctx.Done()
		return ctx.Err()
	}}
	for i, w := range []work{broken, slow} {
		if err := r.section(t.Context(), i+1, 2, w); err != nil {
			t.Fatal(err)
		}
	}
	if r.report.Conclude(); r.report.Fit || len(r.report.Reasons) != 2 {
		t.Fatalf("fit %v: %q", r.report.Fit, r.report.Reasons)
	}
	if c := check(t, r.report, "speed.made"); !strings.Contains(c.Found, "went away") {
		t.Error(c.Found)
	}
	if c := check(t, r.report, "slow.made"); !strings.Contains(c.Found, "not done within 1ns") {
		t.Error(c.Found)
	}
}

func TestLocalStore(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	c := sample(Config{Addresses: []string{"local:" + dir}, Writer: []string{self, "writer"}})
	r := qualification(t, c)
	for _, s := range r.Sections {
		for _, failed := range s.Failed() {
			if s.ID != "rules" { // a test's folder may be in memory
				t.Errorf("%s: %s", failed.ID, failed.Found)
			}
		}
	}
	if len(r.Sections) != 4 || check(t, r, "durability.acknowledged").Outcome != qualify.Pass {
		t.Errorf("%d sections", len(r.Sections))
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, error %v", left, err)
	}
}

func TestConfigurationsThatCanNotBeRun(t *testing.T) {
	for _, c := range []Config{
		{},
		{Start: "oracle"},
		{Start: "postgres", Addresses: []string{"local:/"}},
		{Addresses: []string{"secret"}},
		{Addresses: []string{"local:/nowhere/at/all"}},
		{Addresses: []string{"local:/a", "local:/b"}},
		{Addresses: []string{"local:/a", "postgres://a@b/c"}},
		{Start: "postgres", Warehouses: -1},
		{Start: "postgres", Warehouses: 101},
		{Start: "postgres", Duration: -1},
		{Start: "postgres", Terminals: 1000},
	} {
		if r, err := Qualify(t.Context(), c); r != nil || !errors.Is(err, ErrConfig) {
			t.Errorf("%+v: report %v, error %v", c, r, err)
		}
	}
}

func TestAnEngineThatIsNotThere(t *testing.T) {
	r, err := Qualify(t.Context(), Config{Addresses: []string{"postgres://me:secret@127.0.0.1:1/bank?connect_timeout=2"}})
	if r != nil || err == nil || errors.Is(err, ErrConfig) || strings.Contains(err.Error(), "secret") {
		t.Fatalf("report %v, error %v", r, err)
	}
}
