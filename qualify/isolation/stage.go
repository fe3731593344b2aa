package isolation

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/sterlingrun/sterling/qualify"
)

const (
	// patience is how long a statement may take before it is suspected to wait for a lock.
	patience = 100 * time.Millisecond
	// probes are statements of a third session that have to be answered meanwhile, before the suspicion counts: on a
	// machine that is merely slow they are slow as well.
	probes = 5
	// longest bounds a schedule. Engines break deadlocks in a second; a lock that nobody breaks ends here.
	longest = 15 * time.Second
)

// stage is where one schedule is played: two rows, x and y, and two sessions.
type stage struct {
	ctx      context.Context
	db       *sql.DB
	dialect  qualify.Dialect
	level    sql.IsolationLevel
	t1, t2   *session
	sessions []*session
}

// session is a transaction of its own. Its statements run one after the other, beside those of the other session.
type session struct {
	stage     *stage
	name      string
	tx        *sql.Tx
	queue     chan func()
	ended     chan struct{}
	waited    bool // some statement waited for the other session
	committed bool
	err       error // the first; owned by the session's goroutine until it has ended
}

// errNoLevel is an engine that refuses to begin a transaction at a level. It is honest, and the ledger asks for READ
// COMMITTED only.
var errNoLevel = errors.New("the engine has no such level")

const (
	x = 1
	y = 2
)

// set makes a stage with x = 10 and y = 20 and begins both transactions, each by a node of its own.
func set(ctx context.Context, nodes [2]*sql.DB, dialect qualify.Dialect, level sql.IsolationLevel) (*stage, error) {
	db := nodes[0]
	for _, statement := range []string{"DELETE FROM qualify_isolation", "INSERT INTO qualify_isolation (id, value) VALUES (1, 10), (2, 20)"} {
		if _, err := db.ExecContext(ctx, statement); err != nil {
			return nil, fmt.Errorf("set the stage: %w", err)
		}
	}
	s := &stage{ctx: ctx, db: db, dialect: dialect, level: level}
	for i, name := range []string{"T1", "T2"} {
		tx, err := nodes[i].BeginTx(ctx, &sql.TxOptions{Isolation: level})
		if err != nil {
			s.clear()
			if level > sql.LevelReadCommitted && qualify.Classify(err) == qualify.Other {
				err = fmt.Errorf("%w: %w", errNoLevel, err)
			}
			return nil, fmt.Errorf("begin %s: %w", name, err)
		}
		one := &session{stage: s, name: name, tx: tx, queue: make(chan func(), 16), ended: make(chan struct{})}
		go one.run()
		s.sessions = append(s.sessions, one)
	}
	s.t1, s.t2 = s.sessions[0], s.sessions[1]
	return s, nil
}

func (t *session) run() {
	defer close(t.ended)
	for f := range t.queue {
		f()
	}
	if !t.committed {
		_ = t.tx.Rollback() // it has failed already, or the schedule wants it so
	}
}

// clear ends the sessions and waits for them.
func (s *stage) clear() {
	for _, t := range s.sessions {
		close(t.queue)
	}
	for _, t := range s.sessions {
		<-t.ended
	}
}

// do gives a session its next statement, and waits until it is done or seems to wait for the other session. After an
// error a session does nothing more.
func (t *session) do(f func() error) {
	done := make(chan struct{})
	t.queue <- func() {
		defer close(done)
		if t.err == nil {
			t.err = f()
		}
	}
	if !within(done, patience) && t.stage.stuck(done) {
		t.waited = true
	}
}

func within(done <-chan struct{}, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-done:
		return true
	case <-timer.C:
		return false
	}
}

// stuck reports whether a statement is not done although the engine answers others.
func (s *stage) stuck(done <-chan struct{}) bool {
	for range probes {
		var one int
		if err := s.db.QueryRowContext(s.ctx, "SELECT 1").Scan(&one); err != nil && s.ctx.Err() != nil {
			return true // the schedule has had its time
		}
		if within(done, patience/probes) {
			return false
		}
	}
	return true
}

// read returns a place for a row's value, which is there once the session has ended.
func (t *session) read(id int) *int {
	value := new(int)
	t.do(func() error {
		return t.tx.QueryRowContext(t.stage.ctx, t.stage.dialect.Rebind("SELECT value FROM qualify_isolation WHERE id = ?"), id).Scan(value)
	})
	return value
}

// write sets a row to what value returns when the statement's turn comes.
func (t *session) write(id int, value func() int) {
	t.do(func() error {
		_, err := t.tx.ExecContext(t.stage.ctx, t.stage.dialect.Rebind("UPDATE qualify_isolation SET value = ? WHERE id = ?"), value(), id)
		return err
	})
}

// swap sets a row if it still has a value, and tells how many rows that were.
func (t *session) swap(id, from, to int) *int64 {
	changed := new(int64)
	t.do(func() error {
		result, err := t.tx.ExecContext(t.stage.ctx, t.stage.dialect.Rebind("UPDATE qualify_isolation SET value = ? WHERE id = ? AND value = ?"), to, id, from)
		if err != nil {
			return err
		}
		*changed, err = result.RowsAffected()
		return err
	})
	return changed
}

func (t *session) commit() {
	t.do(func() error {
		err := t.tx.Commit()
		t.committed = err == nil
		return err
	})
}

func (t *session) rollback() {
	t.do(func() error { return t.tx.Rollback() })
}

// now reads both rows after the schedule.
func (s *stage) now() (vx, vy int, err error) {
	for id, v := range map[int]*int{x: &vx, y: &vy} {
		if err := s.db.QueryRowContext(s.ctx, s.dialect.Rebind("SELECT value FROM qualify_isolation WHERE id = ?"), id).Scan(v); err != nil {
			return 0, 0, fmt.Errorf("read the rows afterwards: %w", err)
		}
	}
	return vx, vy, nil
}

// ending says how a session ended, in words. The sessions must have ended.
func (t *session) ending() string {
	text := t.name + " "
	if t.waited {
		text += "waited and "
	}
	switch {
	case t.committed:
		return text + "committed"
	case t.err == nil:
		return text + "rolled back"
	default:
		return fmt.Sprintf("%swas refused (%v)", text, t.err)
	}
}

// fault returns an error that is not an engine's way of refusing a transaction.
func (s *stage) fault() error {
	for _, t := range s.sessions {
		if t.err != nil && qualify.Classify(t.err) != qualify.Retryable && !errors.Is(t.err, sql.ErrTxDone) {
			return fmt.Errorf("%s: %w", t.name, t.err)
		}
	}
	return nil
}
