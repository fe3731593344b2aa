package tpcc

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/sterlingrun/sterling/bench"
	"github.com/sterlingrun/sterling/qualify"
)

// deck is how often each transaction comes in 23: the specification's mix by a deck of cards (clause 5.2.4.2).
var deck = [kinds]int{NewOrder: 10, Payment: 10, OrderStatus: 1, Delivery: 1, StockLevel: 1}

// Done is how one kind of transaction went.
type Done struct {
	Latency    bench.Histogram // with its retries
	RolledBack int             // New-Orders that were rolled back as the specification asks
	Retries    int             // of attempts that the engine refused: deadlocks, serialization failures
	Unknown    int             // commits that were never answered
	GaveUp     int             // refused too often
}

// Totals is what a load was acknowledged.
type Totals struct {
	Kinds     [kinds]Done
	Orders    int
	Payments  int
	Paid      int64 // cents
	Delivered int
	Took      time.Duration
	Errors    []error // that no transaction may end with; the first few
}

// DriveOptions says how hard the load is.
type DriveOptions struct {
	Terminals int
	Duration  time.Duration
	// Nodes are ways to the engine; terminals are spread over them. At least one.
	Nodes    []*sql.DB
	Progress qualify.Progress
}

const (
	mostRetries = 50
	// longest bounds one attempt: an engine that hangs ends the load, and the check with it.
	longest = 30 * time.Second
)

// Drive puts the load on the tables for a while. The error is nil unless ctx ended.
func (d *Database) Drive(ctx context.Context, o DriveOptions) (*Totals, error) {
	var (
		totals Totals
		mu     sync.Mutex
		wait   sync.WaitGroup
	)
	_, c := bothConstants(d.Seed)
	prepared := prepare(d.Dialect)
	began := time.Now()
	stop := o.Progress.Until(began, o.Duration, func() string {
		mu.Lock()
		defer mu.Unlock()
		return fmt.Sprintf("%d orders, %d payments", totals.Orders, totals.Payments)
	})
	for i := range o.Terminals {
		t := &terminal{
			random: newRandom(d.Seed, uint64(1_000_000+i), c), db: d, node: o.Nodes[i%len(o.Nodes)], warehouse: i%d.Scale.Warehouses + 1,
			history: 1<<62 | int64(i)<<40, sql: prepared,
		}
		wait.Go(func() {
			var cards []Kind
			for ctx.Err() == nil && time.Since(began) < o.Duration {
				if len(cards) == 0 {
					cards = t.shuffle()
				}
				r := t.run(ctx, cards[0])
				mu.Lock()
				totals.add(cards[0], r)
				bad := len(totals.Errors) > 0
				mu.Unlock()
				if cards = cards[1:]; bad {
					return
				}
			}
		})
	}
	wait.Wait()
	stop()
	totals.Took = time.Since(began)
	return &totals, ctx.Err()
}

func (t *terminal) shuffle() (cards []Kind) {
	for k, n := range deck {
		for range n {
			cards = append(cards, Kind(k))
		}
	}
	t.Shuffle(len(cards), func(i, j int) { cards[i], cards[j] = cards[j], cards[i] })
	return cards
}

// ran is how one transaction went.
type ran struct {
	took     time.Duration
	entry    ledgerEntry
	retries  int
	rolled   bool
	unknown  bool
	gaveUp   bool
	err      error // no transaction may end so
	answered bool
}

// run draws a transaction's input and repeats it until it has an outcome.
func (t *terminal) run(ctx context.Context, k Kind) (r ran) {
	work := [kinds]func() func(context.Context, *sql.Tx) (ledgerEntry, error){
		t.newOrder, t.payment, t.orderStatus, t.delivery, t.stockLevel,
	}[k]()
	began := time.Now()
	defer func() { r.took = time.Since(began) }()
	for {
		attempt, cancel := context.WithTimeout(ctx, longest)
		committing, err := t.once(attempt, func(ctx context.Context, tx *sql.Tx) (err error) {
			r.entry, err = work(ctx, tx)
			return err
		})
		cancel()
		switch {
		case err == nil:
			r.answered = true
			return r
		case errors.Is(err, errRolledBack):
			r.answered, r.rolled, r.entry = true, true, ledgerEntry{}
			return r
		case ctx.Err() != nil:
			r.unknown = committing
			return r
		case qualify.Classify(err) == qualify.Retryable: // also at COMMIT: the engine says that nothing happened
			if r.retries++; r.retries > mostRetries {
				r.gaveUp = true
				return r
			}
			select { // the next attempt tells that ctx has ended
			case <-ctx.Done():
			case <-time.After(time.Duration(t.IntN(1+min(r.retries, 10)*2)) * time.Millisecond):
			}
		case qualify.Classify(err) == qualify.Lost && committing:
			r.unknown = true
			return r
		default:
			r.err = fmt.Errorf("%v: %w", k, err)
			return r
		}
	}
}

func (t *Totals) add(k Kind, r ran) {
	d := &t.Kinds[k]
	d.Retries += r.retries
	switch {
	case r.err != nil:
		if len(t.Errors) < 5 {
			t.Errors = append(t.Errors, r.err)
		}
	case r.unknown:
		d.Unknown++
	case r.gaveUp:
		d.GaveUp++
	case r.rolled:
		d.RolledBack++
		d.Latency.Record(r.took)
	case r.answered:
		d.Latency.Record(r.took)
		t.Orders += r.entry.orders
		t.Delivered += r.entry.delivered
		if k == Payment {
			t.Payments++
			t.Paid += int64(r.entry.paid)
		}
	}
}
