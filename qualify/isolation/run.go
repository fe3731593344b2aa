package isolation

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/sterlingrun/sterling/qualify"
)

// Run plays every anomaly at every level by the first node, and across two where there are several, and adds a check
// for each to s.
func Run(ctx context.Context, t *qualify.Target, progress qualify.Progress, s *qualify.Section) error {
	db := t.Nodes[0]
	if _, err := db.ExecContext(ctx, "CREATE TABLE qualify_isolation (id INT NOT NULL PRIMARY KEY, value INT NOT NULL)"); err != nil {
		return fmt.Errorf("make the table of the schedules: %w", err)
	}
	where := []place{{nodes: [2]*sql.DB{db, db}}}
	if len(t.Nodes) > 1 {
		where = append(where, place{nodes: [2]*sql.DB{db, t.Nodes[1]}, across: true})
		s.Limit("A cluster that certifies write sets at commit, such as Galera, promises its isolation levels between sessions of one node. What was not observed across nodes is no promise.")
	}
	list := Anomalies()
	for i, a := range list {
		for _, p := range where {
			for _, level := range levels {
				progress.Tell(float64(i)/float64(len(list)), a.Name+" at "+name(level))
				observed, seen, err := p.play(ctx, t.Dialect, a, level)
				switch {
				case errors.Is(err, errNoLevel):
					c := p.check(a, level)
					c.Found = err.Error()
					s.Note(c)
				case err != nil:
					return fmt.Errorf("play %q at %s: %w", a.Name, name(level), err)
				default:
					p.judge(s, a, level, observed, seen)
				}
			}
		}
	}
	s.Limit("Each schedule is one example of its anomaly. That it was not observed shows that this schedule is excluded, not every other.")
	return nil
}

// place is where the two sessions are.
type place struct {
	nodes  [2]*sql.DB
	across bool // two nodes of a cluster
}

// play plays one schedule, in a time of its own.
func (p place) play(ctx context.Context, dialect qualify.Dialect, a Anomaly, level sql.IsolationLevel) (observed bool, seen string, err error) {
	ctx, cancel := context.WithTimeout(ctx, longest)
	defer cancel()
	s, err := set(ctx, p.nodes, dialect, level)
	if err != nil {
		return false, "", err
	}
	result := a.play(s)
	s.clear()
	if err := s.fault(); err != nil {
		return false, "", err
	}
	observed, seen = result()
	vx, vy, err := s.now()
	if err != nil {
		return false, "", err
	}
	return observed, fmt.Sprintf("%s; %s; %s; afterwards x = %d, y = %d", seen, s.t1.ending(), s.t2.ending(), vx, vy), nil
}

// name is a level as SQL writes it.
func name(level sql.IsolationLevel) string { return strings.ToUpper(level.String()) }

// check is that of one schedule at one level, without its answer.
func (p place) check(a Anomaly, level sql.IsolationLevel) qualify.Check {
	c := qualify.Check{
		ID:    "isolation." + a.ID + "." + strings.ReplaceAll(strings.ToLower(level.String()), " ", "-"),
		Title: a.Name + " at " + name(level), Why: a.Schedule + ". " + strings.ToUpper(a.Why[:1]) + a.Why[1:],
	}
	if p.across {
		c.ID += ".across"
		c.Title += ", across nodes"
	}
	return c
}

// judge adds the check of one schedule at one level.
func (p place) judge(s *qualify.Section, a Anomaly, level sql.IsolationLevel, observed bool, seen string) {
	c := p.check(a, level)
	c.Found = "not observed: " + seen
	if observed {
		c.Found = "observed: " + seen
	}
	switch {
	case p.across && a.From > sql.LevelReadCommitted:
		c.Wanted = "nothing across nodes: a cluster's levels hold between sessions of one node, and the ledger does not rely on more"
		s.Note(c)
	case level < a.From:
		c.Wanted = "nothing: below " + name(a.From) + " no engine has to exclude it, and the ledger does not rely on it"
		s.Note(c)
	default:
		c.Wanted = "not observed"
		s.Add(!observed, c)
	}
}
