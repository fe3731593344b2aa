package index_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/sterlingrun/sterling/index"
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/ledger"
	"github.com/sterlingrun/sterling/money"
)

func mustOpen(t *testing.T, fs vfs.FS, entries int) *index.Index {
	t.Helper()
	x, err := index.Open("idx", index.Options{FS: fs, RunEntries: entries})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = x.Close() })
	return x
}

// someBlocks returns a world of n random blocks.
func someBlocks(n int) *world {
	w := newWorld(11)
	for range n {
		w.addBlock(3)
	}
	return w
}

func mustAdd(t *testing.T, x *index.Index, w *world, from uint64) {
	t.Helper()
	if err := w.addTo(x, from); err != nil {
		t.Fatal(err)
	}
}

// TestFullBlockBorders: the last event of a full block with expiries, the first of the next, and ranges of time that
// end between them.
func TestFullBlockBorders(t *testing.T) {
	x := mustOpen(t, vfs.NewMem(), 1<<20)
	w := newWorld(1)
	w.accounts = []account{{number: 255}, {number: 256}}
	w.accounts[0].ID, w.accounts[1].ID = money.From(1), money.From(2)
	for range 2 {
		k := &block{world: w, seq: uint64(len(w.blocks)) + 1, b: journal.NewBuilder(), fx: &ledger.Effects{}, expiries: journal.MaxEvents}
		w.time += 1000
		k.h = journal.Header{Kind: journal.BlockNormal, Cell: 7, Seq: k.seq, Time: w.time}
		if k.seq > 1 {
			k.h.Prev = w.blocks[0].Hash
		}
		k.addExpiries()
		records := make([]journal.Transfer, journal.MaxEvents)
		k.b.AddRequest(journal.KindTransfers, journal.Actor{}, journal.Bytes(records))
		for i := range records {
			k.create(i, records[i])
		}
		sealed := k.b.Seal(k.h)
		w.time = sealed.Header.End()
		w.blocks, w.effects = append(w.blocks, sealed), append(w.effects, k.fx)
	}
	mustAdd(t, x, w, 1)
	q := index.NewQueries(x, w)
	last, first := w.transfers[journal.MaxEvents-1], w.transfers[journal.MaxEvents]
	if last.Position.Seq() != 1 || first.Position.Seq() != 2 || last.Position.Index() != 2*journal.MaxEvents-1 {
		t.Fatalf("the border is between %v and %v", last.Position, first.Position)
	}
	for _, flushed := range []bool{false, true} {
		if flushed {
			if err := x.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		for _, c := range []struct {
			name     string
			from, to uint64
			want     []ledger.Transfer
		}{
			{"until the last of the first block", last.Timestamp, last.Timestamp, []ledger.Transfer{last}},
			{"between the blocks", last.Timestamp + 1, first.Timestamp - 1, nil},
			{"from the first of the second block", first.Timestamp, first.Timestamp, []ledger.Transfer{first}},
			{"both", last.Timestamp, first.Timestamp, []ledger.Transfer{last, first}},
		} {
			for _, number := range []uint32{255, 256} {
				id := money.From(uint64(number) - 254)
				page, err := q.AccountTransfers(t.Context(), number, index.AccountFilter{AccountID: id, TimestampMin: c.from, TimestampMax: c.to, Limit: 10})
				if err != nil || !slices.Equal(page.Rows, c.want) {
					t.Errorf("%s (flushed %v): %d rows, %v", c.name, flushed, len(page.Rows), err)
				}
			}
			page, err := q.Transfers(t.Context(), index.QueryFilter{TimestampMin: c.from, TimestampMax: c.to, Limit: 10})
			if err != nil || !slices.Equal(page.Rows, c.want) {
				t.Errorf("query %s (flushed %v): %d rows, %v", c.name, flushed, len(page.Rows), err)
			}
		}
	}
}

// TestContinuation: a scan that may look at few transfers answers in pages that say where the next begins.
func TestContinuation(t *testing.T) {
	x := mustOpen(t, vfs.NewMem(), 50)
	w := someBlocks(60)
	mustAdd(t, x, w, 1)
	q := index.NewQueries(x, w)
	q.SetScan(40)
	f := index.QueryFilter{Code: 2, Limit: 8190}
	var got []ledger.Transfer
	stops := 0
	for {
		page, err := q.Transfers(t.Context(), f)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, page.Rows...)
		if page.NextTimestamp == 0 {
			break
		}
		if page.NextTimestamp <= f.TimestampMin {
			t.Fatalf("goes on at %d after %d", page.NextTimestamp, f.TimestampMin)
		}
		f.TimestampMin = page.NextTimestamp
		stops++
	}
	var want []ledger.Transfer
	for _, i := range w.queryTransfers(index.QueryFilter{Code: 2}) {
		want = append(want, w.transfers[i])
	}
	if stops < 5 || len(want) == 0 || !slices.Equal(got, want) {
		t.Fatalf("%d transfers in %d pages, want %d", len(got), stops+1, len(want))
	}
}

func TestFilters(t *testing.T) {
	x := mustOpen(t, vfs.NewMem(), 0)
	q := index.NewQueries(x, newWorld(1))
	id := money.From(1)
	for _, f := range []index.AccountFilter{
		{Limit: 10},
		{AccountID: money.Max(), Limit: 10},
		{AccountID: id},
		{AccountID: id, Limit: journal.MaxEvents + 1},
		{AccountID: id, Limit: -1},
		{AccountID: id, Limit: 1, TimestampMin: 2, TimestampMax: 1},
	} {
		if _, err := q.AccountTransfers(t.Context(), 1, f); !errors.Is(err, index.ErrFilter) {
			t.Errorf("%+v: %v", f, err)
		}
		if _, err := q.AccountBalances(t.Context(), 1, f); !errors.Is(err, index.ErrFilter) {
			t.Errorf("balances, %+v: %v", f, err)
		}
	}
	if _, err := q.Transfers(t.Context(), index.QueryFilter{}); !errors.Is(err, index.ErrFilter) {
		t.Errorf("no limit: %v", err)
	}
	if _, _, err := q.AccountNumbers(t.Context(), index.QueryFilter{UserData32: 1}, nil); !errors.Is(err, index.ErrFilter) {
		t.Errorf("no limit: %v", err)
	}
	if page, err := q.Transfers(t.Context(), index.QueryFilter{Limit: 1}); err != nil || len(page.Rows) != 0 || page.NextTimestamp != 0 {
		t.Errorf("an empty index: %+v, %v", page, err)
	}
	f := index.AccountFilter{AccountID: id, Limit: 1, TimestampMin: 1<<64 - 1, TimestampMax: 1<<64 - 1, Reversed: true}
	if page, err := q.AccountTransfers(t.Context(), 1, f); err != nil || len(page.Rows) != 0 {
		t.Errorf("the end of time: %+v, %v", page, err)
	}
}

func TestWaitFor(t *testing.T) {
	w := someBlocks(3)
	synctest.Test(t, func(t *testing.T) {
		x, err := index.Open("idx", index.Options{FS: vfs.NewMem()})
		if err != nil {
			t.Fatal(err)
		}
		results := make(chan error)
		go func() { results <- x.WaitFor(t.Context(), 2) }()
		if err := x.Add(w.blocks[0], w.effects[0]); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		select {
		case err := <-results:
			t.Fatalf("did not wait: %v", err)
		default:
		}
		if err := x.Add(w.blocks[1], w.effects[1]); err != nil {
			t.Fatal(err)
		}
		if err := <-results; err != nil {
			t.Fatal(err)
		}
		if err := x.WaitFor(t.Context(), 1); err != nil {
			t.Fatalf("for a block of the past: %v", err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		go func() { results <- x.WaitFor(ctx, 3) }()
		synctest.Wait()
		cancel()
		if err := <-results; !errors.Is(err, context.Canceled) {
			t.Fatalf("cancelled: %v", err)
		}
		go func() { results <- x.WaitFor(t.Context(), 3) }()
		synctest.Wait()
		if err := x.Close(); err != nil {
			t.Fatal(err)
		}
		if err := <-results; !errors.Is(err, index.ErrClosed) {
			t.Fatalf("closed: %v", err)
		}
		// The bubble ends only when every goroutine of the index has: none is left after Close.
	})
}

func TestClosed(t *testing.T) {
	w := someBlocks(1)
	x := mustOpen(t, vfs.NewMem(), 0)
	if err := x.Close(); err != nil {
		t.Fatal(err)
	}
	q := index.NewQueries(x, w)
	_, query := q.Transfers(t.Context(), index.QueryFilter{Limit: 1})
	for name, err := range map[string]error{
		"add": x.Add(w.blocks[0], w.effects[0]), "flush": x.Flush(t.Context()), "query": query, "close": x.Close(),
	} {
		if !errors.Is(err, index.ErrClosed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestCancel: a query ends with its context, in the middle of its work.
func TestCancel(t *testing.T) {
	x := mustOpen(t, vfs.NewMem(), 10)
	w := someBlocks(20)
	mustAdd(t, x, w, 1)
	ctx, cancel := context.WithCancel(t.Context())
	r := &cancelling{world: w, after: 3, cancel: cancel}
	_, err := index.NewQueries(x, r).Transfers(ctx, index.QueryFilter{Limit: 8190})
	if !errors.Is(err, context.Canceled) || r.after != 0 {
		t.Fatalf("%v, %d reads before the cancel", err, r.after)
	}
}

type cancelling struct {
	*world
	after  int
	cancel func()
}

func (c *cancelling) BlockTransfers(ctx context.Context, seq uint64) ([]ledger.Transfer, error) {
	if c.after--; c.after == 0 {
		c.cancel()
	}
	return c.world.BlockTransfers(ctx, seq)
}

// TestQueriesWhileAdding: whatever is on its way from memory to the disk, a query sees each block once, up to the
// last one that was applied before it.
func TestQueriesWhileAdding(t *testing.T) {
	const blocks = 2000
	x := mustOpen(t, vfs.NewMem(), 20)
	w := newWorld(5)
	w.accounts = []account{{number: 1}, {number: 2}}
	w.accounts[0].ID, w.accounts[1].ID = money.From(1), money.From(2)
	for len(w.blocks) < blocks {
		k := &block{world: w, seq: uint64(len(w.blocks)) + 1, b: journal.NewBuilder(), fx: &ledger.Effects{}}
		w.time += 10
		k.h = journal.Header{Kind: journal.BlockNormal, Cell: 7, Seq: k.seq, Time: w.time}
		if k.seq > 1 {
			k.h.Prev = w.blocks[k.seq-2].Hash
		}
		k.b.AddRequest(journal.KindTransfers, journal.Actor{}, journal.Bytes(make([]journal.Transfer, 1)))
		k.create(0, journal.Transfer{})
		w.blocks, w.effects = append(w.blocks, k.b.Seal(k.h)), append(w.effects, k.fx)
	}
	q := index.NewQueries(x, w)
	var readers sync.WaitGroup
	for reader := range 3 {
		readers.Go(func() {
			for x.Applied() < blocks {
				checkWhole(t, x, q, reader)
			}
		})
	}
	mustAdd(t, x, w, 1)
	readers.Wait()
	checkWhole(t, x, q, 0)
}

func checkWhole(t *testing.T, x *index.Index, q *index.Queries, how int) {
	applied := x.Applied()
	page := index.Page[ledger.Transfer]{}
	var err error
	switch how {
	case 0:
		page, err = q.AccountTransfers(t.Context(), 1, index.AccountFilter{AccountID: money.From(1), Limit: 8190})
	case 1:
		page, err = q.AccountTransfers(t.Context(), 2, index.AccountFilter{AccountID: money.From(2), Limit: 8190, Reversed: true})
		slices.Reverse(page.Rows)
	default:
		page, err = q.Transfers(t.Context(), index.QueryFilter{Limit: 8190})
	}
	if err != nil || uint64(len(page.Rows)) < applied {
		t.Errorf("%d rows after block %d: %v", len(page.Rows), applied, err)
		return
	}
	for i := range page.Rows {
		if page.Rows[i].Position.Seq() != uint64(i)+1 {
			t.Errorf("row %d is of block %d", i, page.Rows[i].Position.Seq())
			return
		}
	}
}

func TestStatsAndThrottle(t *testing.T) {
	x := mustOpen(t, vfs.NewMem(), 1000)
	w := someBlocks(4)
	mustAdd(t, x, w, 1)
	if s := x.Stats(); s.Applied != 4 || s.Durable != 0 || s.Entries < 2*len(w.transfers) || s.InFlight != 0 || s.Failures != 0 {
		t.Errorf("before a flush: %+v", s)
	}
	if err := x.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s := x.Stats(); s.Applied != 4 || s.Durable != 4 || s.Entries != 0 {
		t.Errorf("after a flush: %+v", s)
	}
	for _, c := range []struct {
		sublevels int64
		want      float64
	}{{0, 0}, {24, 0}, {48, 0.5}, {72, 1}, {1000, 1}} {
		x.SetSublevels(c.sublevels)
		if got := x.Throttle(); got != c.want {
			t.Errorf("throttle %v at %d sublevels, want %v", got, c.sublevels, c.want)
		}
	}
}
