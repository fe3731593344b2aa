package isolation

import (
	"context"
	"database/sql"
	"fmt"
	"strings"

	"github.com/sterlingrun/sterling/qualify"
)

// Run plays every anomaly at every level by the first node and adds a check for each to s.
func Run(ctx context.Context, t *qualify.Target, progress qualify.Progress, s *qualify.Section) error {
	db := t.Nodes[0]
	if _, err := db.ExecContext(ctx, "CREATE TABLE qualify_isolation (id INT NOT NULL PRIMARY KEY, value INT NOT NULL)"); err != nil {
		return fmt.Errorf("make the table of the schedules: %w", err)
	}
	list := Anomalies()
	for i, a := range list {
		for j, level := range levels {
			progress.Tell(float64(i*len(levels)+j)/float64(len(list)*len(levels)), a.Name+" at "+name(level))
			observed, seen, err := play(ctx, db, t.Dialect, a, level)
			if err != nil {
				return fmt.Errorf("play %q at %s: %w", a.Name, name(level), err)
			}
			judge(s, a, level, observed, seen)
		}
	}
	if len(t.Nodes) > 1 {
		s.Limit("The schedules were played by sessions of one node. Across nodes, engines that certify write sets at commit, such as Galera, do not exclude write skew at any level.")
	}
	s.Limit("Each schedule is one example of its anomaly. That it was not observed shows that this schedule is excluded, not every other.")
	return nil
}

// play plays one schedule, in a time of its own.
func play(ctx context.Context, db *sql.DB, dialect qualify.Dialect, a Anomaly, level sql.IsolationLevel) (observed bool, seen string, err error) {
	ctx, cancel := context.WithTimeout(ctx, longest)
	defer cancel()
	s, err := set(ctx, db, dialect, level)
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

// judge adds the check of one schedule at one level.
func judge(s *qualify.Section, a Anomaly, level sql.IsolationLevel, observed bool, seen string) {
	word := "not observed: "
	if observed {
		word = "observed: "
	}
	c := qualify.Check{
		ID:    "isolation." + a.ID + "." + strings.ReplaceAll(strings.ToLower(level.String()), " ", "-"),
		Title: a.Name + " at " + name(level), Found: word + seen, Why: a.Schedule + ". " + strings.ToUpper(a.Why[:1]) + a.Why[1:],
	}
	if level < a.From {
		c.Wanted = "nothing: below " + name(a.From) + " no engine has to exclude it, and the ledger does not rely on it"
		s.Note(c)
		return
	}
	c.Wanted = "not observed"
	s.Add(!observed, c)
}
