package appends

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sterlingrun/sterling/qualify"
)

// RowsOptions says how the engine is killed under plain SQL.
type RowsOptions struct {
	Rounds  int
	Writers int
	// Load is the longest time of load before a kill; each round takes a random part of it, at least a quarter.
	Load     time.Duration
	Settle   time.Duration // bounds a restart; 0: 60 s
	Progress qualify.Progress
}

// rows counts what the writers were told.
type rows struct {
	RowsOptions
	target       *qualify.Target
	acknowledged map[int64]bool
	unknown      map[int64]bool
	mu           sync.Mutex
	next         int64
	other        error // that no kill explains
	restarts     []time.Duration
	enough       atomic.Bool
}

// Rows commits transactions of two rows each, a debit and a credit, kills the engine with SIGKILL in the middle, starts
// it again and looks for every row that was acknowledged. It needs a Server.
func Rows(ctx context.Context, t *qualify.Target, o RowsOptions, s *qualify.Section) error {
	if o.Settle == 0 {
		o.Settle = time.Minute
	}
	r := &rows{RowsOptions: o, target: t, acknowledged: map[int64]bool{}, unknown: map[int64]bool{}}
	if _, err := t.Nodes[0].ExecContext(ctx, "CREATE TABLE qualify_rows (id BIGINT NOT NULL, side INT NOT NULL, amount BIGINT NOT NULL, PRIMARY KEY (id, side))"); err != nil {
		return fmt.Errorf("make the table of rows: %w", err)
	}
	for i := range o.Rounds {
		o.Progress.Tell(float64(i)/float64(o.Rounds), fmt.Sprintf("kill %d of %d, %d transactions so far", i+1, o.Rounds, len(r.acknowledged)))
		if err := r.round(ctx); err != nil {
			return err
		}
	}
	return r.judge(ctx, s)
}

// afterKill is how long the other nodes of a cluster stay under load.
const afterKill = time.Second

// round puts the engine under load, kills it, and starts it again.
func (r *rows) round(ctx context.Context) error {
	var wait sync.WaitGroup
	r.enough.Store(false)
	for i := range r.Writers {
		wait.Go(func() { r.write(ctx, r.target.Nodes[i%len(r.target.Nodes)]) })
	}
	part := 0.25 + 0.75*mathrand.Float64() //nolint:gosec // when to kill
	pause(ctx, time.Duration(part*float64(r.Load)))
	err := r.target.Server.Kill()
	// Each writer ends by its first error, which the kill causes; those at other nodes, and one that was just connecting
	// anew, go on a little.
	ended := make(chan struct{})
	go func() { wait.Wait(); close(ended) }()
	select {
	case <-ended:
	case <-time.After(afterKill):
	}
	r.enough.Store(true)
	<-ended
	if err != nil {
		return fmt.Errorf("kill the engine: %w", err)
	}
	again, cancel := context.WithTimeout(ctx, r.Settle)
	defer cancel()
	began := time.Now()
	if err := r.target.Server.Restart(again); err != nil {
		return fmt.Errorf("start the engine after a kill: %w", err)
	}
	r.restarts = append(r.restarts, time.Since(began))
	return r.target.Refresh(again)
}

// write commits until the first error.
func (r *rows) write(ctx context.Context, node *sql.DB) {
	for ctx.Err() == nil && !r.enough.Load() {
		r.mu.Lock()
		r.next++
		id := r.next
		r.mu.Unlock()
		attempt, cancel := context.WithTimeout(ctx, r.Settle)
		began, err := r.commit(attempt, node, id)
		cancel()
		r.mu.Lock()
		switch {
		case err == nil:
			r.acknowledged[id] = true
		case began:
			r.unknown[id] = true
		}
		if err != nil && qualify.Classify(err) == qualify.Other && ctx.Err() == nil {
			r.other = err
		}
		r.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// commit writes both sides of a transfer; began tells whether COMMIT was sent.
func (r *rows) commit(ctx context.Context, node *sql.DB, id int64) (began bool, err error) {
	tx, err := node.BeginTx(ctx, nil)
	if err != nil {
		return false, err
	}
	for side, amount := range []int64{-id, id} {
		if _, err := tx.ExecContext(ctx, r.target.Dialect.Rebind("INSERT INTO qualify_rows (id, side, amount) VALUES (?, ?, ?)"), id, side, amount); err != nil {
			_ = tx.Rollback()
			return false, err
		}
	}
	return true, tx.Commit()
}

// standing is what is in the table: the sides of each transfer.
func (r *rows) standing(ctx context.Context) (sides map[int64]int, sum int64, err error) {
	list, err := r.target.Nodes[0].QueryContext(ctx, "SELECT id, side, amount FROM qualify_rows")
	if err != nil {
		return nil, 0, fmt.Errorf("read the rows back: %w", err)
	}
	defer func() { err = errors.Join(err, list.Close()) }()
	sides = map[int64]int{}
	for list.Next() {
		var id, amount int64
		var side int
		if err := list.Scan(&id, &side, &amount); err != nil {
			return nil, 0, fmt.Errorf("read the rows back: %w", err)
		}
		sides[id] |= 1 << side
		sum += amount
	}
	return sides, sum, list.Err()
}

func (r *rows) judge(ctx context.Context, s *qualify.Section) error {
	sides, sum, err := r.standing(ctx)
	if err != nil {
		return err
	}
	var lost, half, appeared, foreign int
	for id := range r.acknowledged {
		if sides[id] == 0 {
			lost++
		}
	}
	for id, both := range sides {
		if both != 3 {
			half++
		}
		switch {
		case r.unknown[id]:
			appeared++
		case !r.acknowledged[id]:
			foreign++
		}
	}
	s.Add(lost == 0 && len(r.acknowledged) > 0, qualify.Check{
		ID: "durability.acknowledged", Title: "Every acknowledged transaction outlives a kill -9 of the engine",
		Found: fmt.Sprintf("%d acknowledged under %d kills, %d of them gone", len(r.acknowledged), r.Rounds, lost), Wanted: "0 gone",
		Why:      "a commit that was answered is money that someone relies on; check that the engine writes its log through at commit",
		Measures: []qualify.Measure{{Name: "acknowledged", Value: float64(len(r.acknowledged))}, {Name: "lost", Value: float64(lost)}},
	})
	s.Add(half == 0 && sum == 0, qualify.Check{
		ID: "durability.atomic", Title: "No transaction is there by half after a kill",
		Found: fmt.Sprintf("%d transactions with one side only; all amounts add up to %d", half, sum), Wanted: "0, and 0",
		Why: "a debit without its credit is money that vanished",
	})
	other := ""
	if r.other != nil {
		other = "; an error that no kill explains: " + r.other.Error()
	}
	s.Add(foreign == 0 && r.other == nil, qualify.Check{
		ID: "durability.foreign", Title: "Nothing is there that was rolled back or never sent",
		Found: fmt.Sprintf("%d%s", foreign, other), Wanted: "0",
	})
	s.Note(qualify.Check{
		ID: "durability.unknown", Title: "Commits whose outcome the kill hid",
		Found: fmt.Sprintf("%d, of which %d were in fact there", len(r.unknown), appeared),
		Why:   "normal: whoever commits has to find out, and never pay again under a new id",
	})
	var longest time.Duration
	for _, d := range r.restarts {
		longest = max(longest, d)
	}
	s.Note(qualify.Check{
		ID: "durability.restart", Title: "From the start after a kill until all of it answers", Found: fmt.Sprintf("%.1f s at most", longest.Seconds()),
		Measures: []qualify.Measure{{Name: "longest", Value: longest.Seconds(), Unit: "s"}},
	})
	s.Limit("A SIGKILL keeps the operating system's page cache: what the engine had written but not synced is still there afterwards. " +
		"So this shows that commits reach the operating system and that recovery is right. Whether they reach the disk is shown by the settings only; " +
		"a power cut, or a disk that lies about its cache, was not tried.")
	return nil
}
