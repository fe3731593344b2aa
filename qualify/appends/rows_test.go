package appends_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/sterlingrun/sterling/cell/celltest"
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/qualify"
	"github.com/sterlingrun/sterling/qualify/appends"
	"github.com/sterlingrun/sterling/qualify/qualifytest"
)

// crash stands for an engine that is killed: it ends all sessions, and then does something to the rows before it
// answers again. An engine of its own for each fault would take a minute; run's tests kill real ones.
type crash struct {
	t      *testing.T
	target *qualify.Target
	sql    []string
}

func (c *crash) Kill() error {
	kill := "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
	_, err := c.target.Nodes[0].ExecContext(c.t.Context(), kill)
	return err
}

func (c *crash) Restart(ctx context.Context) error {
	for _, statement := range c.sql {
		if _, err := c.target.Nodes[0].ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("plant a fault: %w", err)
		}
	}
	return nil
}

// TestRowsUnderKills: what a crash takes from the rows, or adds to them, turns the named check red, and it alone.
func TestRowsUnderKills(t *testing.T) {
	for name, c := range map[string]struct {
		sql []string
		red string
	}{
		"nothing": {},
		"an acknowledged transaction is gone": {
			[]string{"DELETE FROM qualify_rows WHERE id = 3"}, "durability.acknowledged",
		},
		"one side is gone": {
			[]string{"DELETE FROM qualify_rows WHERE id = 3 AND side = 0"}, "durability.atomic",
		},
		"an amount changed": {
			[]string{"UPDATE qualify_rows SET amount = amount + 1 WHERE id = 3 AND side = 1"}, "durability.atomic",
		},
		"rows that nobody sent": {
			[]string{"INSERT INTO qualify_rows (id, side, amount) VALUES (1000000000, 0, -5), (1000000000, 1, 5)"}, "durability.foreign",
		},
	} {
		t.Run(name, func(t *testing.T) {
			target := qualifytest.PostgreSQL(t)
			target.Server = &crash{t, target, c.sql}
			s := &qualify.Section{}
			if err := appends.Rows(t.Context(), target, appends.RowsOptions{Rounds: 1, Writers: 4, Load: 300 * time.Millisecond}, s); err != nil {
				t.Fatal(err)
			}
			for _, check := range s.Checks {
				if got := check.Outcome == qualify.Fail; got != (check.ID == c.red) {
					t.Errorf("%s: %s, %s", check.ID, check.Outcome, check.Found)
				}
			}
			if len(s.Checks) != 5 || len(s.Limits) == 0 || !strings.Contains(s.Limits[0], "page cache") {
				t.Errorf("%d checks, limits %q", len(s.Checks), s.Limits)
			}
		})
	}
}

func TestWriteUntilKilled(t *testing.T) {
	log := &celltest.Memory{}
	w := &closing{after: 5}
	if err := appends.WriteUntilKilled(t.Context(), log, 7, w); !errors.Is(err, os.ErrClosed) {
		t.Fatalf("it ended with %v, want that nobody reads", err)
	}
	head, hash, _ := log.Head(t.Context())
	lines := strings.Split(strings.TrimSpace(w.String()), "\n")
	if head != 6 || len(lines) != 5 || !strings.HasPrefix(lines[4], "5 ") || hash == (journal.Hash{}) {
		t.Fatalf("head %d, told %q", head, lines)
	}
}

// closing is a pipe whose reader goes away.
type closing struct {
	bytes.Buffer
	after int
}

func (c *closing) Write(p []byte) (int, error) {
	if c.after--; c.after < 0 {
		return 0, os.ErrClosed
	}
	return c.Buffer.Write(p)
}

// TestProcesses: a script stands for the writer that is killed. It tells of blocks that are, or are not, in the journal.
func TestProcesses(t *testing.T) {
	log := &celltest.Memory{}
	w := &closing{after: 5}
	_ = appends.WriteUntilKilled(t.Context(), log, 7, w)
	for name, c := range map[string]struct {
		told string
		red  string
	}{
		"what was told is there":       {w.String() + "99 cut", ""},
		"an acknowledged block is not": {w.String() + "7 " + strings.Repeat("ab", 32) + "\n", "durability.acknowledged"},
		"another block stands there":   {"1 " + strings.Repeat("ab", 32) + "\n", "durability.acknowledged"},
	} {
		t.Run(name, func(t *testing.T) {
			s := &qualify.Section{}
			o := appends.ProcessOptions{Cell: 7, Rounds: 1, Load: 100 * time.Millisecond, Command: []string{"sh", "-c", "printf '%s' \"$0\"; exec sleep 60", c.told}}
			if err := appends.Processes(t.Context(), memory(log), o, s); err != nil {
				t.Fatal(err)
			}
			for _, check := range s.Checks {
				if got := check.Outcome == qualify.Fail; got != (check.ID == c.red) {
					t.Errorf("%s: %s, %s", check.ID, check.Outcome, check.Found)
				}
			}
		})
	}
	o := appends.ProcessOptions{Cell: 7, Rounds: 1, Command: []string{"sh", "-c", "echo no disk >&2; exit 1"}}
	if err := appends.Processes(t.Context(), memory(log), o, &qualify.Section{}); err == nil || !strings.Contains(err.Error(), "no disk") {
		t.Fatalf("a writer that fails: %v", err)
	}
}
