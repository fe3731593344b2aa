package isolation_test

import (
	"strings"
	"testing"
	"time"

	"github.com/sterlingrun/sterling/qualify"
	"github.com/sterlingrun/sterling/qualify/isolation"
	"github.com/sterlingrun/sterling/qualify/qualifytest"
)

// observed are the anomalies that the engines are documented to let happen.
var observed = map[qualify.Dialect][]string{
	qualify.PostgreSQL: {
		"isolation.read-skew.read-committed", "isolation.lost-update.read-committed", "isolation.write-skew.read-committed",
		"isolation.write-skew.repeatable-read", // snapshot isolation
	},
	qualify.MySQL: {
		"isolation.read-skew.read-committed", "isolation.lost-update.read-committed", "isolation.write-skew.read-committed",
		"isolation.lost-update.repeatable-read", "isolation.write-skew.repeatable-read",
	},
}

func TestAnomalies(t *testing.T) {
	qualifytest.Both(t, func(t *testing.T, target *qualify.Target) {
		s := &qualify.Section{}
		if err := isolation.Run(t.Context(), target, nil, s); err != nil {
			t.Fatal(err)
		}
		if len(s.Checks) != 18 {
			t.Fatalf("%d checks, want 6 anomalies at 3 levels", len(s.Checks))
		}
		want := map[string]bool{}
		for _, id := range observed[target.Dialect] {
			want[id] = true
		}
		for _, c := range s.Checks {
			t.Log(c.Outcome, c.Title, ": ", c.Found)
			if got := strings.HasPrefix(c.Found, "observed"); got != want[c.ID] {
				t.Errorf("%s: observed %v, want %v: %s", c.ID, got, want[c.ID], c.Found)
			}
			if c.Outcome == qualify.Fail {
				t.Errorf("%s failed: %s", c.ID, c.Found)
			}
		}
	})
}

func TestUnique(t *testing.T) {
	qualifytest.Both(t, func(t *testing.T, target *qualify.Target) {
		s := &qualify.Section{}
		if err := isolation.Unique(t.Context(), target, isolation.UniqueOptions{Sessions: 8, Keys: 60, Duration: 20 * time.Second}, s); err != nil {
			t.Fatal(err)
		}
		if c := s.Find("unique.contended"); c == nil || c.Outcome != qualify.Pass {
			t.Fatalf("%+v", c)
		}
	})
}
