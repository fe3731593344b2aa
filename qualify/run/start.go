package run

import (
	"context"
	"fmt"
	"time"

	"github.com/sterlingrun/sterling/clock"
	"github.com/sterlingrun/sterling/engines"
	"github.com/sterlingrun/sterling/qualify"
)

// started is an engine of our own.
type started struct {
	dsns   []string
	server qualify.Server
	stop   func() error
}

// starters start the engines, by their names.
func starters() map[string]func(context.Context, engines.Options) (*started, error) {
	return map[string]func(context.Context, engines.Options) (*started, error){
		"postgres": func(ctx context.Context, o engines.Options) (*started, error) {
			s, err := engines.StartPostgres(ctx, o)
			if err != nil {
				return nil, err
			}
			return &started{[]string{s.DSN()}, s, s.Close}, nil
		},
		"mariadb": func(ctx context.Context, o engines.Options) (*started, error) {
			s, err := engines.StartMariaDB(ctx, o)
			if err != nil {
				return nil, err
			}
			return &started{[]string{s.DSN()}, s, s.Close}, nil
		},
		"postgres-trio": func(ctx context.Context, o engines.Options) (*started, error) {
			s, err := engines.StartPostgresTrio(ctx, o)
			if err != nil {
				return nil, err
			}
			return &started{[]string{s.DSN()}, &member{trio: s, next: s.Primary, primary: s.Primary}, s.Close}, nil
		},
		"galera-trio": func(ctx context.Context, o engines.Options) (*started, error) {
			s, err := engines.StartGaleraTrio(ctx, o)
			if err != nil {
				return nil, err
			}
			dsns, kills := s.DSNs(), -1
			next := func() int { kills++; return kills % len(dsns) }
			return &started{dsns, &member{trio: s, next: next}, s.Close}, nil
		},
	}
}

// trio is what both have.
type trio interface {
	Kill(i int) error
	Start(ctx context.Context, i int) error
	Settled(ctx context.Context) error
}

// member kills one node of a trio at a time: where there is a primary, that one.
type member struct {
	trio    trio
	next    func() int
	primary func() int // nil where all nodes are equal
	dead    int        // the one that was killed last
	kills   int
}

// Kill ends one node.
func (m *member) Kill() error {
	m.dead = m.next()
	m.kills++
	return m.trio.Kill(m.dead)
}

// Restart starts it again and waits until the trio has its full strength. After every other kill of a primary another
// node has to take over first; after the others the same one comes back.
func (m *member) Restart(ctx context.Context) error {
	for m.primary != nil && m.kills%2 == 1 && m.primary() == m.dead {
		if err := clock.Sleep(ctx, clock.NewSystem(), pollEvery); err != nil {
			return fmt.Errorf("wait for another primary: %w", err)
		}
	}
	if err := m.trio.Start(ctx, m.dead); err != nil {
		return err
	}
	return m.trio.Settled(ctx)
}

const pollEvery = 50 * time.Millisecond
