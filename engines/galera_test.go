package engines_test

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/sterlingrun/sterling/engines"
	"github.com/sterlingrun/sterling/engines/enginestest"
)

func galeraTrio(t *testing.T, o engines.Options) *engines.GaleraTrio {
	t.Helper()
	o.Logger = testLog(t)
	began := time.Now()
	trio, err := engines.StartGaleraTrio(t.Context(), o)
	enginestest.Check(t, err)
	t.Cleanup(func() { must(t, trio.Close()) })
	t.Cleanup(func() {
		if t.Failed() {
			tellState(t, trio)
		}
	})
	t.Logf("the Galera trio was ready after %v", time.Since(began))
	return trio
}

// tellState prints what the nodes say, and the ends of their logs, which are removed with the trio.
func tellState(t *testing.T, trio *engines.GaleraTrio) {
	t.Helper()
	for _, s := range trio.Status(context.Background()) {
		text, _ := os.ReadFile(s.Log)
		t.Logf("%s, pid %d: %s\n%s", s.Name, s.Pid, s.State, text[max(0, len(text)-8000):])
	}
}

func open(t *testing.T, dsn string) *sql.DB {
	t.Helper()
	config, err := mysql.ParseDSN(dsn)
	must(t, err)
	config.Logger = &mysql.NopLogger{}
	connector, err := mysql.NewConnector(config)
	must(t, err)
	db := sql.OpenDB(connector)
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// galeraWriter writes through all nodes; a worker whose node fails goes on with the next one.
func galeraWriter(t *testing.T, trio *engines.GaleraTrio) *writer {
	t.Helper()
	var nodes []*sql.DB
	for _, dsn := range trio.DSNs() {
		nodes = append(nodes, open(t, dsn))
	}
	_, err := nodes[0].ExecContext(t.Context(), "CREATE TABLE written (id int PRIMARY KEY)")
	must(t, err)
	at := make([]int, workers)
	for i := range at {
		at[i] = i % len(nodes)
	}
	w := startWriter(t, func(ctx context.Context, worker, id int) error {
		_, err := nodes[at[worker]].ExecContext(ctx, "INSERT INTO written VALUES (?)", id)
		if err != nil {
			at[worker] = (at[worker] + 1) % len(nodes)
		}
		return err
	})
	t.Cleanup(w.stop) // before the pools are closed
	return w
}

// checkGalera wants every acknowledged write on every node.
func (w *writer) checkGalera(t *testing.T, trio *engines.GaleraTrio) {
	t.Helper()
	w.stop()
	for _, dsn := range trio.DSNs() {
		rows, err := open(t, dsn).QueryContext(t.Context(), "SELECT id FROM written")
		must(t, err)
		there := map[int]bool{}
		for rows.Next() {
			var id int
			must(t, rows.Scan(&id))
			there[id] = true
		}
		must(t, errors.Join(rows.Err(), rows.Close()))
		w.check(t, there)
	}
}

func galeraSettled(t *testing.T, trio *engines.GaleraTrio) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	began := time.Now()
	must(t, trio.Settled(ctx))
	t.Logf("full strength again after %v", time.Since(began))
}

func TestGaleraTrio(t *testing.T) {
	t.Parallel() // most of it is waiting for time-outs
	trio := galeraTrio(t, engines.Options{SuspectTimeout: 4 * time.Second})
	w := galeraWriter(t, trio)
	w.more(t, 200, failOverWithin)

	for round := range rounds(1, 10) {
		node := round % 3
		must(t, trio.Kill(node))
		w.survive(t, "killed a node")
		began := time.Now()
		must(t, trio.Start(t.Context(), node))
		t.Logf("the killed node was synced %v after its start", time.Since(began))
		galeraSettled(t, trio)
	}

	damage(t, trio, 1)
	galeraSettled(t, trio)

	must(t, trio.Cut(1))
	w.survive(t, "cut a node off")
	must(t, trio.Heal(1))
	galeraSettled(t, trio)

	must(t, trio.Stop(2))
	w.survive(t, "stopped a node")
	must(t, trio.Continue(2))
	galeraSettled(t, trio)
	w.more(t, 200, failOverWithin)

	// The first ends earlier than the others, so it has less.
	must(t, trio.Kill(0))
	w.more(t, 200, failOverWithin)
	must(t, errors.Join(trio.Kill(1), trio.Kill(2)))
	w.stop()
	err := trio.Start(t.Context(), 0)
	if err == nil || !strings.Contains(err.Error(), "newer state") {
		t.Fatalf("start the node with an old state: %v; want a refusal", err)
	}
	if err := trio.Start(t.Context(), 1); err != nil {
		must(t, trio.Start(t.Context(), 2)) // it had a little more
		must(t, trio.Start(t.Context(), 1))
	} else {
		must(t, trio.Start(t.Context(), 2))
	}
	must(t, trio.Start(t.Context(), 0))
	galeraSettled(t, trio)
	w.checkGalera(t, trio)
}

// damage kills a node and takes a file away without which it does not start: it comes back with a copy of another's.
func damage(t *testing.T, trio *engines.GaleraTrio, node int) {
	t.Helper()
	must(t, trio.Kill(node))
	tables := filepath.Join(filepath.Dir(trio.Log(node)), "data", "mysql")
	must(t, os.RemoveAll(tables))
	must(t, trio.Start(t.Context(), node))
}

// survive waits until the writes have gone on for two seconds after their longest pause.
func (w *writer) survive(t *testing.T, what string) {
	t.Helper()
	began := time.Now()
	longest := time.Duration(0)
	for time.Since(began) < longest+4*time.Second {
		longest = max(longest, w.more(t, 50, failOverWithin))
	}
	t.Logf("%s: nothing was acknowledged for %v", what, longest)
}
