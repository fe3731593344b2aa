package run

import (
	"context"
	"errors"

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
			return &started{[]string{s.DSN()}, &member{trio: s, next: s.Primary}, s.Close}, nil
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
	trio trio
	next func() int
	dead int // the one that was killed last
}

// Kill ends one node.
func (m *member) Kill() error {
	m.dead = m.next()
	return m.trio.Kill(m.dead)
}

// Restart starts it again and waits until the trio has its full strength.
func (m *member) Restart(ctx context.Context) error {
	return errors.Join(m.trio.Start(ctx, m.dead), m.trio.Settled(ctx))
}
