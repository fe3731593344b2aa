package run

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/sterlingrun/sterling/engines"
	"github.com/sterlingrun/sterling/qualify"
	"github.com/sterlingrun/sterling/store/mysql"
	"github.com/sterlingrun/sterling/store/postgres"
)

// target is what is qualified, with what has to be taken down afterwards.
type target struct {
	qualify.Target
	addresses []qualify.Address
	dsns      []string // of the scratch schema
	folder    string   // whose disk is measured
	scratch   string   // of a local store
	down      []func(context.Context) error
}

// leastConnections of a pool is more than the sessions of any section but TPC-C with many terminals.
const leastConnections = 64

// cleanUpWithin bounds the end, also after an interruption.
const cleanUpWithin = time.Minute

// open makes the target ready. What it returns has to be closed, also with an error.
func open(ctx context.Context, c *Config, list []qualify.Address) (t *target, err error) {
	t = &target{addresses: list, folder: c.Dir}
	if t.folder == "" {
		t.folder = os.TempDir()
	}
	if c.Start != "" {
		if err := t.start(ctx, c); err != nil {
			return t, err
		}
	}
	t.Dialect = t.addresses[0].Dialect
	if t.Dialect == qualify.Local {
		return t, t.openLocal()
	}
	return t, t.openSQL(ctx, max(leastConnections, c.Terminals+8))
}

// close removes all that open made, in reverse.
func (t *target) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), cleanUpWithin)
	defer cancel()
	var err error
	for i := len(t.down) - 1; i >= 0; i-- {
		err = errors.Join(err, t.down[i](ctx))
	}
	t.down = nil
	return err
}

func (t *target) later(f func() error) {
	t.down = append(t.down, func(context.Context) error { return f() })
}

// start starts an engine of our own.
func (t *target) start(ctx context.Context, c *Config) error {
	var o engines.Options
	if c.Dir != "" {
		dir, err := os.MkdirTemp(c.Dir, "sterling-qualify-")
		if err != nil {
			return fmt.Errorf("make a folder for the engine: %w", err)
		}
		t.later(func() error { return os.RemoveAll(dir) })
		if err := os.Chmod(dir, 0o755); err != nil { //nolint:gosec // the engine's own account has to enter it
			return fmt.Errorf("make a folder for the engine: %w", err)
		}
		o.Dir = filepath.Join(dir, "engine")
	}
	starter, ok := starters()[c.Start]
	if !ok {
		return fmt.Errorf("%w: there is no engine %q to start; want postgres, postgres-trio, mariadb or galera-trio", ErrConfig, c.Start)
	}
	one, err := starter(ctx, o)
	if err != nil {
		return fmt.Errorf("start %s: %w", c.Start, err)
	}
	t.later(one.stop)
	t.Server = one.server
	for _, dsn := range one.dsns {
		nodes, err := qualify.ParseAddress(dsn)
		if err != nil {
			return err
		}
		t.addresses = append(t.addresses, nodes...)
	}
	return nil
}

// openSQL makes the scratch schema and a pool for each node.
func (t *target) openSQL(ctx context.Context, connections int) error {
	var random [6]byte
	_, _ = rand.Read(random[:]) // never fails
	schema := "sterling_qualify_" + hex.EncodeToString(random[:])
	if err := t.galera(ctx); err != nil {
		return err
	}
	remove, err := qualify.Scratch(ctx, t.addresses[0], schema)
	if err != nil {
		return err
	}
	t.down = append(t.down, remove)
	for _, a := range t.addresses {
		dsn, err := a.In(schema)
		if err != nil {
			return err
		}
		db, err := a.Open(schema, connections)
		if err != nil {
			return err
		}
		t.later(db.Close)
		if err := db.PingContext(ctx); err != nil {
			return fmt.Errorf("connect to %v: %w", a, err)
		}
		t.dsns, t.Nodes = append(t.dsns, dsn), append(t.Nodes, db)
	}
	t.OpenLog = func(ctx context.Context, cell uint64, node int) (qualify.Log, error) {
		if t.Dialect == qualify.PostgreSQL {
			return nonNil(postgres.Open(ctx, postgres.Options{DSN: t.dsns[node], Cell: cell}))
		}
		return nonNil(mysql.Open(ctx, mysql.Options{DSN: t.dsns[node], Cell: cell}))
	}
	return nil
}

// nonNil keeps a nil store from becoming a log that is not nil.
func nonNil[S qualify.Log](s S, err error) (qualify.Log, error) {
	if err != nil {
		return nil, err
	}
	return s, nil
}

// galera makes sessions of a Galera cluster wait for what other nodes have committed, as the store's do.
func (t *target) galera(ctx context.Context) error {
	if t.addresses[0].Dialect != qualify.MySQL {
		return nil
	}
	db, err := t.addresses[0].Open("", 1)
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	var name, value string
	err = db.QueryRowContext(ctx, "SHOW GLOBAL VARIABLES LIKE 'wsrep_on'").Scan(&name, &value)
	if errors.Is(err, sql.ErrNoRows) || err == nil && value != "ON" {
		return nil
	}
	if err != nil {
		return fmt.Errorf("connect to %v: %w", t.addresses[0], err)
	}
	for i := range t.addresses {
		t.addresses[i].Session = map[string]string{"wsrep_sync_wait": "7"}
	}
	return nil
}
