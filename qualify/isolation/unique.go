package isolation

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/sterlingrun/sterling/qualify"
)

// UniqueOptions says how hard sessions contend for keys.
type UniqueOptions struct {
	Sessions int
	Keys     int           // at most; each is wanted by every session
	Duration time.Duration // ends it earlier
	Progress qualify.Progress
}

// unique is what the sessions were told: who got which key.
type unique struct {
	UniqueOptions
	target  *qualify.Target
	mu      sync.Mutex
	winners map[int64][]int
	refused int
	other   error
}

// Unique lets sessions insert the same keys at the same time, under a primary key and under a unique index. Exactly one
// may succeed for each, and its row has to be there.
func Unique(ctx context.Context, t *qualify.Target, o UniqueOptions, s *qualify.Section) error {
	for _, statement := range []string{
		"CREATE TABLE qualify_unique (id BIGINT NOT NULL PRIMARY KEY, number BIGINT NOT NULL, owner INT NOT NULL)",
		"CREATE UNIQUE INDEX qualify_unique_number ON qualify_unique (number)",
	} {
		if _, err := t.Nodes[0].ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("make the table of unique keys: %w", err)
		}
	}
	u := &unique{UniqueOptions: o, target: t, winners: map[int64][]int{}}
	keys := u.contend(ctx)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return u.judge(ctx, s, keys)
}

// contend lets all sessions want one key after the other, and returns how many there were.
func (u *unique) contend(ctx context.Context) (keys int64) {
	began := time.Now()
	for keys = 0; keys < int64(u.Keys) && time.Since(began) < u.Duration && ctx.Err() == nil; keys++ {
		if keys%16 == 0 {
			u.Progress.Tell(float64(keys)/float64(u.Keys), fmt.Sprintf("%d keys", keys))
		}
		start := make(chan struct{})
		var wait sync.WaitGroup
		for session := range u.Sessions {
			wait.Go(func() {
				<-start
				u.want(ctx, keys, session)
			})
		}
		close(start)
		wait.Wait()
	}
	return keys
}

// want inserts a key. Even keys are unique by the primary key, odd ones by the index. An engine's refusal of the
// transaction, a deadlock for instance, is tried again.
func (u *unique) want(ctx context.Context, key int64, session int) {
	ctx, cancel := context.WithTimeout(ctx, longest)
	defer cancel()
	id, number := key, int64(session)*int64(u.Keys)+key
	if key%2 == 1 {
		id, number = number, -key
	}
	for {
		err := u.insert(ctx, id, number, session)
		class := qualify.Classify(err)
		if err != nil && class == qualify.Retryable && ctx.Err() == nil {
			continue
		}
		u.mu.Lock()
		switch {
		case err == nil:
			u.winners[key] = append(u.winners[key], session)
		case class == qualify.Duplicate:
			u.refused++
		default:
			u.other = errors.Join(u.other, fmt.Errorf("session %d, key %d: %w", session, key, err))
		}
		u.mu.Unlock()
		return
	}
}

func (u *unique) insert(ctx context.Context, id, number int64, session int) error {
	tx, err := u.target.Nodes[session%len(u.target.Nodes)].BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelReadCommitted})
	if err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, u.target.Dialect.Rebind("INSERT INTO qualify_unique (id, number, owner) VALUES (?, ?, ?)"), id, number, session); err != nil {
		_ = tx.Rollback() // the first error tells more
		return err
	}
	return tx.Commit()
}

// judge compares what the sessions were told with the rows.
func (u *unique) judge(ctx context.Context, s *qualify.Section, keys int64) error {
	owners, rows, err := u.rows(ctx)
	if err != nil {
		return err
	}
	var several, none, wrong int
	for key := range keys {
		switch winners := u.winners[key]; len(winners) {
		case 0:
			none++
		case 1:
			if owners[key] != winners[0]+1 {
				wrong++
			}
		default:
			several++
		}
	}
	found := fmt.Sprintf("%d keys, each wanted by %d sessions at once: %d had several winners, %d none, %d rows are missing or another's; %d rows, %d refusals",
		keys, u.Sessions, several, none, wrong, rows, u.refused)
	if u.other != nil {
		found += "; other errors: " + u.other.Error()
	}
	s.Add(several+none+wrong == 0 && rows == keys && keys > 0 && u.other == nil, qualify.Check{
		ID: "unique.contended", Title: "A unique key has one owner, however many want it at once", Found: found, Wanted: "exactly one winner for each key, and its row",
		Why:      "an id is a payment's identity: two rows are two payments",
		Measures: []qualify.Measure{{Name: "keys", Value: float64(keys)}, {Name: "refused", Value: float64(u.refused)}},
	})
	return nil
}

// rows returns each key's owner, counted from 1, and how many rows there are.
func (u *unique) rows(ctx context.Context) (owners map[int64]int, n int64, err error) {
	list, err := u.target.Nodes[0].QueryContext(ctx, "SELECT id, number, owner FROM qualify_unique")
	if err != nil {
		return nil, 0, fmt.Errorf("read the unique keys back: %w", err)
	}
	defer func() { err = errors.Join(err, list.Close()) }()
	owners = map[int64]int{}
	for list.Next() {
		var id, number int64
		var owner int
		if err := list.Scan(&id, &number, &owner); err != nil {
			return nil, 0, fmt.Errorf("read the unique keys back: %w", err)
		}
		n++
		if number < 0 {
			owners[-number] = owner + 1
		} else {
			owners[id] = owner + 1
		}
	}
	return owners, n, list.Err()
}
