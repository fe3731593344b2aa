package engines_test

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sterlingrun/sterling/engines"
	"github.com/sterlingrun/sterling/engines/enginestest"
)

// failOverWithin is a loose gate: a machine that is busy with other tests must pass it.
const failOverWithin = 30 * time.Second

func postgresTrio(t *testing.T) *engines.PostgresTrio {
	t.Helper()
	began := time.Now()
	trio, err := engines.StartPostgresTrio(t.Context(), engines.Options{Logger: testLog(t)})
	enginestest.Check(t, err)
	t.Cleanup(func() {
		if err := trio.Close(); err != nil {
			t.Error(err)
		}
	})
	t.Logf("the PostgreSQL trio was ready after %v", time.Since(began))
	return trio
}

func postgresWriter(t *testing.T, trio *engines.PostgresTrio) *writer {
	t.Helper()
	c := connect(t, trio.DSN())
	mustExec(t, c, "CREATE TABLE written (id int PRIMARY KEY)")
	conns := make([]*pgx.Conn, workers)
	w := startWriter(t, func(ctx context.Context, worker, id int) (err error) {
		if conns[worker] == nil {
			if conns[worker], err = pgx.Connect(ctx, trio.DSN()); err != nil {
				conns[worker] = nil
				return err
			}
		}
		if _, err = conns[worker].Exec(ctx, "INSERT INTO written VALUES ($1)", id); err != nil {
			_ = conns[worker].Close(ctx)
			conns[worker] = nil
		}
		return err
	})
	t.Cleanup(func() {
		w.stop()
		for _, c := range conns {
			if c != nil {
				_ = c.Close(context.Background())
			}
		}
	})
	return w
}

func (w *writer) checkPostgres(t *testing.T, trio *engines.PostgresTrio) {
	t.Helper()
	w.stop()
	rows, err := connect(t, trio.DSN()).Query(t.Context(), "SELECT id FROM written")
	if err != nil {
		t.Fatal(err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[int])
	if err != nil {
		t.Fatal(err)
	}
	there := map[int]bool{}
	for _, id := range ids {
		there[id] = true
	}
	w.check(t, there)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func settled(t *testing.T, trio *engines.PostgresTrio) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	began := time.Now()
	if err := trio.Settled(ctx); err != nil {
		t.Fatal(err)
	}
	t.Logf("full strength again after %v", time.Since(began))
}

// lead waits until another node than old has taken over and acknowledges.
func lead(t *testing.T, trio *engines.PostgresTrio, w *writer, old int, what string) {
	t.Helper()
	promotions := trio.Promotions()
	for range 20 { // commits of the old primary may be acknowledged still, just before it is gone
		silence := w.more(t, 200, failOverWithin)
		if trio.Primary() != old {
			t.Logf("%s: nothing was acknowledged for %v", what, silence)
			return
		}
	}
	t.Fatalf("%s: still the primary, after %d promotions", what, trio.Promotions()-promotions)
}

func TestPostgresTrioPrimaryKilled(t *testing.T) {
	t.Parallel()
	trio := postgresTrio(t)
	w := postgresWriter(t, trio)
	// The commits of the last moments are on one standby only, each of the two in turn: it must be the one chosen.
	for _, behind := range []int{1, 2} {
		w.more(t, 200, failOverWithin)
		old := trio.Primary()
		ahead := 3 - old - behind
		if ahead == old || behind == old {
			behind, ahead = 0, 3-old
		}
		trio.CutBetween(old, behind)
		w.more(t, 200, failOverWithin)
		must(t, trio.Kill(old))
		lead(t, trio, w, old, "killed the primary")
		if trio.Primary() != ahead {
			t.Fatalf("node %d was promoted, though node %d had more", trio.Primary(), ahead)
		}
		must(t, trio.Heal(behind))
		must(t, trio.Start(t.Context(), old))
		settled(t, trio)
	}
	w.checkPostgres(t, trio)
}

func TestPostgresTrioCutOffAndStopped(t *testing.T) {
	t.Parallel() // most of it is waiting for time-outs
	trio := postgresTrio(t)
	w := postgresWriter(t, trio)
	w.more(t, 200, failOverWithin)

	old := trio.Primary()
	must(t, trio.Cut(old))
	lead(t, trio, w, old, "cut the primary off")
	must(t, trio.Heal(old))
	settled(t, trio)

	old = trio.Primary()
	must(t, trio.Stop(old))
	lead(t, trio, w, old, "stopped the primary")
	must(t, trio.Continue(old))
	settled(t, trio)
	w.more(t, 200, failOverWithin)

	waitForBoth(t, trio, w)
	w.checkPostgres(t, trio)
}

// waitForBoth takes the primary away while a standby is dead: nobody is promoted until that one is back.
func waitForBoth(t *testing.T, trio *engines.PostgresTrio, w *writer) {
	t.Helper()
	primary, promotions := trio.Primary(), trio.Promotions()
	standby := (primary + 1) % 3
	must(t, trio.Kill(standby))
	w.more(t, 200, failOverWithin) // one standby is enough to go on
	must(t, trio.Cut(primary))
	quiet, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	_ = trio.Settled(quiet)
	if trio.Promotions() != promotions {
		t.Fatal("a standby was promoted, though the other could have had more")
	}
	must(t, trio.Start(t.Context(), standby))
	lead(t, trio, w, primary, "the second standby is back")
	must(t, trio.Heal(primary))
	settled(t, trio)
}
