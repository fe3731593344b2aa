package isolation_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/sterlingrun/sterling/engines/enginestest"
	"github.com/sterlingrun/sterling/qualify"
	"github.com/sterlingrun/sterling/qualify/isolation"
)

// weak is a driver that gives READ COMMITTED whatever was asked for, and that forgets about unique keys.
type weak struct {
	driver.Connector
	refuses bool // it knows no SERIALIZABLE, and says so
}

func (w weak) Connect(ctx context.Context) (driver.Conn, error) {
	c, err := w.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	return weakConn{c.(*stdlib.Conn), w.refuses}, nil
}

type weakConn struct {
	*stdlib.Conn
	refuses bool
}

func (c weakConn) BeginTx(ctx context.Context, o driver.TxOptions) (driver.Tx, error) {
	if c.refuses {
		if sql.IsolationLevel(o.Isolation) == sql.LevelSerializable {
			return nil, errors.New("unsupported isolation level")
		}
		return c.Conn.BeginTx(ctx, o)
	}
	o.Isolation = driver.IsolationLevel(sql.LevelReadCommitted)
	return c.Conn.BeginTx(ctx, o)
}

func (c weakConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	if strings.HasPrefix(query, "CREATE") {
		query = strings.NewReplacer("PRIMARY KEY", "", "UNIQUE", "").Replace(query)
	}
	return c.Conn.ExecContext(ctx, query, args)
}

func weakTarget(t *testing.T, refuses bool) *qualify.Target {
	config, err := pgx.ParseConfig(enginestest.Postgres(t).DSN())
	if err != nil {
		t.Fatal(err)
	}
	db := sql.OpenDB(weak{stdlib.GetConnector(*config), refuses})
	t.Cleanup(func() { _ = db.Close() })
	return &qualify.Target{Dialect: qualify.PostgreSQL, Nodes: []*sql.DB{db}}
}

// TestAnEngineThatOnlySaysSerializableFails: what it must exclude is observed.
func TestAnEngineThatOnlySaysSerializableFails(t *testing.T) {
	s := &qualify.Section{}
	if err := isolation.Run(t.Context(), weakTarget(t, false), nil, s); err != nil {
		t.Fatal(err)
	}
	want := map[string]bool{
		"isolation.read-skew.repeatable-read": true, "isolation.read-skew.serializable": true,
		"isolation.lost-update.serializable": true, "isolation.write-skew.serializable": true,
	}
	for _, c := range s.Checks {
		if got := c.Outcome == qualify.Fail; got != want[c.ID] {
			t.Errorf("%s: %s, %s", c.ID, c.Outcome, c.Found)
		}
	}
}

// TestAnEngineMayLackALevel: saying so is no fault, pretending is.
func TestAnEngineMayLackALevel(t *testing.T) {
	s := &qualify.Section{}
	if err := isolation.Run(t.Context(), weakTarget(t, true), nil, s); err != nil {
		t.Fatal(err)
	}
	refused := 0
	for _, c := range s.Checks {
		if c.Outcome == qualify.Fail {
			t.Errorf("%s: %s", c.ID, c.Found)
		}
		if c.Outcome == qualify.Note && strings.Contains(c.Found, "no such level") {
			refused++
		}
	}
	if refused != 6 {
		t.Errorf("%d notes of a level that is not there, want 6", refused)
	}
}

// TestAnEngineWithoutUniqueKeysFails: many win the same key.
func TestAnEngineWithoutUniqueKeysFails(t *testing.T) {
	s := &qualify.Section{}
	if err := isolation.Unique(t.Context(), weakTarget(t, false), isolation.UniqueOptions{Sessions: 4, Keys: 20, Duration: 20 * time.Second}, s); err != nil {
		t.Fatal(err)
	}
	if c := s.Find("unique.contended"); c == nil || c.Outcome != qualify.Fail || !strings.Contains(c.Found, "20 had several winners") {
		t.Fatalf("%+v", c)
	}
}
