package rules

import (
	"strings"
	"testing"

	"github.com/sterlingrun/sterling/bench"
	"github.com/sterlingrun/sterling/engines/enginestest"
	"github.com/sterlingrun/sterling/qualify"
)

func TestLocal(t *testing.T) {
	for _, c := range []struct {
		fs        string
		p50       float64
		disk, syn qualify.Outcome
	}{
		{"ext4", 0.1, qualify.Pass, qualify.Pass},
		{"xfs", 4, qualify.Pass, qualify.Pass},
		{"tmpfs", 0.001, qualify.Fail, qualify.Fail},
		{"nfs4", 2, qualify.Fail, qualify.Pass},
		{"fuse.sshfs", 2, qualify.Fail, qualify.Pass},
		{"ext4", 0, qualify.Pass, qualify.Fail},
	} {
		s := &qualify.Section{}
		Local(&bench.Machine{FileSystem: c.fs, SyncP50: c.p50}, s)
		if disk, sync := s.Find("rules.filesystem"), s.Find("rules.fdatasync"); disk.Outcome != c.disk || sync.Outcome != c.syn {
			t.Errorf("%s, %v ms: %s and %s", c.fs, c.p50, disk.Outcome, sync.Outcome)
		}
	}
}

// TestEveryRuleHasAReason: a store's new rule needs one.
func TestEveryRuleHasAReason(t *testing.T) {
	for name, dialect := range map[string]qualify.Dialect{"PostgreSQL": qualify.PostgreSQL, "MariaDB": qualify.MySQL} {
		t.Run(name, func(t *testing.T) {
			var dsn string
			if dialect == qualify.PostgreSQL {
				dsn = enginestest.Postgres(t).DSN()
			} else {
				dsn = enginestest.MariaDB(t).DSN()
			}
			s := &qualify.Section{}
			engine, err := SQL(t.Context(), dialect, []string{dsn, dsn}, s)
			if err != nil || !strings.HasPrefix(engine, name+" ") || strings.Contains(engine, "compiled") {
				t.Fatalf("engine %q, error %v", engine, err)
			}
			if len(s.Checks) < 14 || s.Find("rules.2.failover") == nil {
				t.Fatalf("%d checks of two nodes", len(s.Checks))
			}
			for _, c := range s.Checks {
				if c.Outcome == qualify.Fail || c.Outcome == qualify.Pass && (c.Why == "" || c.Wanted == "") {
					t.Errorf("%+v", c)
				}
			}
		})
	}
}

func TestBecause(t *testing.T) {
	for _, c := range []struct {
		rule rule
		want string
	}{
		{rule{name: "max_allowed_packet"}, "a block is sent in one piece"},
		{rule{name: "max_allowed_packet", change: "raise it"}, "a block is sent in one piece; to change it: raise it"},
		{rule{name: "new", change: "raise it"}, "to change it: raise it"},
	} {
		if got := because(c.rule); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}
