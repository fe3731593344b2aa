package readmodeltest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/sterlingrun/sterling/clock"
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/keystore"
	"github.com/sterlingrun/sterling/money"
	"github.com/sterlingrun/sterling/readmodel"
)

// Harness is one empty database of an engine.
type Harness struct {
	// Open connects a target to it, with whatever is there. The test closes it.
	Open func(t testing.TB) Target
	// DB reads and alters it.
	DB *sql.DB
}

// Target is a target that can be made to fail.
type Target interface {
	readmodel.Target
	// Before is told the name of each step of a transaction before it is done, and "done" after its commit; an error is as
	// if the connection were lost at that moment.
	Before(func(step string) error)
}

// opened gives a projector a target that the test closes.
func opened(target readmodel.Target) func(context.Context) (readmodel.Target, error) {
	return func(context.Context) (readmodel.Target, error) { return kept{target}, nil }
}

type kept struct{ readmodel.Target }

// Close does nothing.
func (kept) Close() error { return nil }

// Run runs the suite. Every case gets a database of its own.
func Run(t *testing.T, open func(t testing.TB) Harness) {
	for _, c := range []struct {
		name string
		run  func(t *testing.T, h Harness)
	}{
		{"an empty database stands at block 0", empty},
		{"random journals with crashes are in the tables once", randomJournals},
		{"a crash at every step of a transaction", everyStep},
		{"extreme values", extremes},
		{"two projectors do not do a block twice", contenders},
		{"a reset takes one cell only, and goes on after a crash", resets},
		{"a reset gives way to who fills the tables again", resetGivesWay},
		{"personal values stay sealed", personal},
		{"tables that the journal contradicts are built anew", contradicted},
		{"an older projection is built anew, a newer one refused", versions},
		{"rows that somebody took away are noticed", altered},
		{"accounts that move between cells", movesBetweenCells},
	} {
		t.Run(c.name, func(t *testing.T) { c.run(t, open(t)) })
	}
}

// blocks of every random journal. STERLING_SOAK=1 plays 40 of them for each engine instead of 4.
const blocks = 40

func rounds() uint64 {
	if os.Getenv("STERLING_SOAK") == "1" {
		return 40
	}
	return 4
}

var errCrash = errors.New("the connection is lost")

// crashes makes a target fail at random steps, every so many on average.
func crashes(rng *rand.Rand, every int) func(string) error {
	return func(step string) error {
		if rng.IntN(every) == 0 {
			return fmt.Errorf("before %q: %w", step, errCrash)
		}
		return nil
	}
}

// project runs a projector until the tables have everything.
func project(t testing.TB, target readmodel.Target, w readmodel.Source, cell uint64, seq int, change func(o *readmodel.Options)) *readmodel.Projector {
	t.Helper()
	o := readmodel.Options{Cell: cell, Source: w, Open: opened(target), Clock: &hasty{clock.NewSystem()}, Logger: slog.New(slog.DiscardHandler)}
	if change != nil {
		change(&o)
	}
	p := readmodel.New(o)
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx) }()
	err := p.Await(ctx, uint64(seq)) //nolint:gosec // not negative
	cancel()
	run := <-ended
	if err != nil {
		t.Fatalf("%v (%v)", err, run)
	}
	return p
}

// hasty is a clock whose pauses are a thousand times shorter: what is tried again is tried at once.
type hasty struct{ *clock.System }

// After implements clock.Clock.
func (h *hasty) After(d time.Duration) (<-chan time.Time, func()) { return h.System.After(d / 1000) }

func closed(t testing.TB, target Target) {
	t.Helper()
	if err := target.Close(); err != nil {
		t.Error(err)
	}
}

func check(t testing.TB, w *World, h Harness) {
	t.Helper()
	if err := w.Check(t.Context(), h.DB); err != nil {
		t.Fatalf("cell %d after block %d: %v", w.Cell, len(w.Blocks), err)
	}
}

func empty(t *testing.T, h Harness) {
	target := h.Open(t)
	defer closed(t, target)
	p, err := target.Position(t.Context(), 5)
	if err != nil || p != (readmodel.Position{Cell: 5}) {
		t.Fatalf("an empty database stands at %+v: %v", p, err)
	}
	err = target.Reset(t.Context(), 5, func(int64) {})
	if p, _ := target.Position(t.Context(), 5); err != nil || p.Seq != 0 || p.Emptying {
		t.Fatalf("after a reset of nothing it stands at %+v: %v", p, err)
	}
}

// randomJournals projects several cells into one database, in batches of any size, with crashes between anything.
func randomJournals(t *testing.T, h Harness) {
	for round := range rounds() {
		w := NewWorld(round+1, round)
		rng := rand.New(rand.NewPCG(round, 9)) //nolint:gosec // a seed that replays
		for len(w.Blocks) < blocks {
			w.AddBlocks(1+rng.IntN(12), 1+rng.IntN(6))
			target := h.Open(t)
			if rng.IntN(4) > 0 {
				target.Before(crashes(rng, 12))
			}
			size := []int{1, 10, 100, 0}[rng.IntN(4)]
			project(t, target, w, w.Cell, len(w.Blocks), func(o *readmodel.Options) { o.BatchEvents = size })
			closed(t, target)
			check(t, w, h)
		}
	}
}

// everyStep crashes a transaction at its first step, the next at its second, and so on, and each time goes on afterwards.
func everyStep(t *testing.T, h Harness) {
	target := h.Open(t)
	defer closed(t, target)
	w := NewWorld(1, 77)
	failed := map[string]bool{}
	for range 24 {
		w.AddBlocks(6, 12)
		crashed := false
		target.Before(func(step string) error {
			if crashed || failed[step] {
				return nil
			}
			crashed, failed[step] = true, true
			return errCrash
		})
		project(t, target, w, w.Cell, len(w.Blocks), nil)
		check(t, w, h)
	}
	for _, step := range []string{"lock", "find", "accounts", "balances", "transfers", "reservations", "metadata", "projected_through", "commit", "done"} {
		if !failed[step] {
			t.Errorf("no transaction crashed before %q: %v", step, failed)
		}
	}
}

func extremes(t *testing.T, h Harness) {
	target := h.Open(t)
	defer closed(t, target)
	for cell, size := range map[uint64]int{1<<63 - 1: 1, 1: 0} { // as changes of what is there, and as new rows
		w := NewWorld(cell, 3)
		w.Extremes()
		project(t, target, w, w.Cell, len(w.Blocks), func(o *readmodel.Options) { o.BatchEvents = size })
		check(t, w, h)
	}
}

// contenders lets two projectors work on the same cell.
func contenders(t *testing.T, h Harness) {
	w := NewWorld(1, 5)
	w.AddBlocks(60, 5)
	a, b := h.Open(t), h.Open(t)
	defer closed(t, a)
	defer closed(t, b)
	one := func(o *readmodel.Options) { o.BatchEvents = 1 }
	done := make(chan *readmodel.Projector)
	go func() { done <- project(t, a, w, w.Cell, len(w.Blocks), one) }()
	p := project(t, b, w, w.Cell, len(w.Blocks), one)
	q := <-done
	if n := p.Status().Stats.Blocks + q.Status().Stats.Blocks; n > uint64(len(w.Blocks)) {
		t.Fatalf("of %d blocks, %d were projected", len(w.Blocks), n)
	}
	check(t, w, h)
}

func resets(t *testing.T, h Harness) {
	target := h.Open(t)
	defer closed(t, target)
	keep, gone := NewWorld(1, 11), NewWorld(2, 12)
	for _, w := range []*World{keep, gone} {
		w.AddBlocks(30, 6)
		project(t, target, w, w.Cell, len(w.Blocks), nil)
	}
	steps := 0
	target.Before(func(string) error {
		if steps++; steps == 4 {
			return errCrash
		}
		return nil
	})
	if err := target.Reset(t.Context(), gone.Cell, func(int64) {}); !errors.Is(err, errCrash) {
		t.Fatalf("the reset was to crash, it says %v", err)
	}
	target.Before(nil)
	if p, err := target.Position(t.Context(), gone.Cell); err != nil || !p.Emptying {
		t.Fatalf("after a crash in a reset the tables stand at %+v: %v", p, err)
	}
	p := project(t, target, gone, gone.Cell, len(gone.Blocks), nil)
	if n := p.Status().Stats.Rebuilds; n != 1 {
		t.Fatalf("the tables were emptied %d times", n)
	}
	check(t, gone, h)
	check(t, keep, h)
}

// resetGivesWay lets somebody else empty the tables and fill them while one is about to empty them: it must not delete what
// is there then.
func resetGivesWay(t *testing.T, h Harness) {
	a, b := h.Open(t), h.Open(t)
	defer closed(t, a)
	defer closed(t, b)
	w := NewWorld(1, 13)
	w.AddBlocks(30, 6)
	project(t, a, w, w.Cell, len(w.Blocks), nil)
	a.Before(func(step string) error {
		if step == "transfers" {
			project(t, b, w, w.Cell, len(w.Blocks), nil)
		}
		return nil
	})
	if err := a.Reset(t.Context(), w.Cell, func(int64) {}); !errors.Is(err, readmodel.ErrMoved) {
		t.Fatalf("a reset while somebody else filled the tables: %v", err)
	}
	check(t, w, h)
}

// personal projects a value that a keystore sealed: it must be there as it is, and its text nowhere.
func personal(t *testing.T, h Harness) {
	const clear = "Li Hua, 13 Nanjing Road"
	master, err := keystore.NewMaster([32]byte{1})
	if err != nil {
		t.Fatal(err)
	}
	keys, err := keystore.Open(t.Context(), keystore.Options{Dir: "keys", Master: master, Clock: clock.NewFake(1), FS: vfs.NewMem()})
	if err != nil {
		t.Fatal(err)
	}
	defer keys.Close() //nolint:errcheck // its folder is memory
	value := []keystore.Value{{Subject: "person:1", Event: [16]byte{101}, Name: "name", Type: uint8(journal.MetaText), Clear: []byte(clear)}}
	if err := keys.Seal(t.Context(), value); err != nil {
		t.Fatal(err)
	}
	w := NewWorld(1, 14)
	d := journal.Details{Metadata: []journal.Meta{journal.PersonalMeta("name", journal.Personal{Subject: "person:1", Sealed: value[0].Sealed})}}
	account := journal.Account{ID: money.From(101), Asset: 1, Code: 1, Flags: journal.AccountAttached}
	w.Do(journal.KindAccounts, 1, journal.Bytes([]journal.Account{account}), journal.Attachment{Data: d.Append(nil)})
	w.Seal()
	target := h.Open(t)
	defer closed(t, target)
	project(t, target, w, w.Cell, len(w.Blocks), nil)
	check(t, w, h)
	for _, table := range w.tables() {
		rows, err := query(t.Context(), h.DB, "SELECT "+table.columns+" FROM "+table.name)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range rows {
			if strings.Contains(strings.Join(r, "\x01"), clear) {
				t.Errorf("%s has it in the clear: %q", table.name, r)
			}
		}
	}
}

// contradicted gives the tables of one journal to another of the same cell.
func contradicted(t *testing.T, h Harness) {
	target := h.Open(t)
	defer closed(t, target)
	old, w := NewWorld(3, 21), NewWorld(3, 22)
	old.AddBlocks(25, 5)
	project(t, target, old, 3, len(old.Blocks), nil)
	w.AddBlocks(10, 5)
	asked := &counted{World: w, enough: make(chan struct{})}
	p := readmodel.New(readmodel.Options{Cell: 3, Source: asked, Open: opened(target), Clock: &hasty{clock.NewSystem()}})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx) }()
	<-asked.enough
	waiting := p.Status()
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if waiting.State != readmodel.Waiting || waiting.Position.Seq != uint64(len(old.Blocks)) || waiting.Stats.Rebuilds != 0 {
		t.Fatalf("a journal that is shorter may be a replica's: %+v", waiting)
	}
	w.AddBlocks(30, 5)
	p = project(t, target, w, 3, len(w.Blocks), nil)
	if n := p.Status().Stats.Rebuilds; n != 1 {
		t.Fatalf("the tables were emptied %d times", n)
	}
	check(t, w, h)
}

// counted is a source that tells when it was asked for its head several times: the projector is idle then.
type counted struct {
	*World
	times  int
	enough chan struct{}
}

// Head implements readmodel.Source.
func (c *counted) Head(ctx context.Context) (uint64, error) {
	if c.times++; c.times == 4 {
		close(c.enough)
	}
	return c.World.Head(ctx)
}

func versions(t *testing.T, h Harness) {
	target := h.Open(t)
	defer closed(t, target)
	w := NewWorld(1, 31)
	w.AddBlocks(20, 5)
	project(t, target, w, 1, len(w.Blocks), nil)
	alter(t, h, "UPDATE projected_through SET version = 0")
	p := project(t, target, w, 1, len(w.Blocks), nil)
	if n := p.Status().Stats.Rebuilds; n != 1 {
		t.Fatalf("the tables were emptied %d times", n)
	}
	check(t, w, h)
	alter(t, h, "UPDATE projected_through SET version = 2")
	p = readmodel.New(readmodel.Options{Cell: 1, Source: w, Open: opened(target), Clock: clock.NewSystem()})
	if err := p.Run(t.Context()); !errors.Is(err, readmodel.ErrNewer) {
		t.Fatalf("tables of a newer projection: %v", err)
	}
	if s := p.Status(); s.State != readmodel.Stopped || s.Failure == "" {
		t.Fatalf("status %+v", s)
	}
}

func altered(t *testing.T, h Harness) {
	target := h.Open(t)
	defer closed(t, target)
	for i, statement := range []string{
		"DELETE FROM balances", "DELETE FROM reservations", "UPDATE balances SET debits_posted = debits_pending, debits_pending = '0'",
		"DELETE FROM accounts", "DELETE FROM freezes",
	} {
		w := NewWorld(uint64(i)+1, 41)
		w.AddBlocks(20, 5)
		w.Do(journal.KindFreeze, 1, journal.Bytes([]journal.Freeze{{ID: money.From(1), Code: 77, Selector: journal.SelectCode, Mode: journal.FreezeAll}}))
		w.Seal()
		project(t, target, w, w.Cell, len(w.Blocks), nil)
		alter(t, h, statement)
		w.Do(journal.KindUnfreeze, 2, journal.Bytes([]journal.Unfreeze{{ID: money.From(2), FreezeID: money.From(1)}}))
		w.AddBlocks(60, 8)
		p := readmodel.New(readmodel.Options{Cell: w.Cell, Source: w, Open: opened(target), Clock: clock.NewSystem(), BatchEvents: 1})
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		err := p.Run(ctx)
		cancel()
		if !errors.Is(err, readmodel.ErrTables) {
			t.Fatalf("after %s: %v; %+v", statement, err, p.Status())
		}
		project(t, target, w, w.Cell, len(w.Blocks), func(o *readmodel.Options) { o.Rebuild = true })
		check(t, w, h)
	}
}

func alter(t testing.TB, h Harness, statement string) {
	t.Helper()
	if _, err := h.DB.ExecContext(t.Context(), statement); err != nil {
		t.Fatal(err)
	}
}
