package tpcc

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sterlingrun/sterling/qualify"
)

// Options says how much data there is and how long the load lasts.
type Options struct {
	Scale     Scale
	Terminals int // 0: 4 for each warehouse, 32 at most
	Duration  time.Duration
	Seed      uint64
	Progress  qualify.Progress
}

const mostTerminals = 32

// Run loads the data, checks it, puts the load on it and checks it again. It adds its checks to s; an error means
// that it could not be tried at all.
func Run(ctx context.Context, t *qualify.Target, o Options, s *qualify.Section) error {
	if o.Terminals == 0 {
		o.Terminals = min(4*o.Scale.Warehouses, mostTerminals)
	}
	d := &Database{DB: t.Nodes[0], Dialect: t.Dialect, Scale: o.Scale, Seed: o.Seed}
	o.limits(s)
	began := time.Now()
	if err := d.Load(ctx, part(o.Progress, 0, 0.4)); err != nil {
		return err
	}
	loaded := time.Since(began)
	before, err := d.books(ctx)
	if err != nil {
		return err
	}
	o.Progress.Tell(0.4, "checking the fresh data")
	broken, err := Check(ctx, d.DB, d.Scale, true)
	if err != nil {
		return err
	}
	judgeFresh(s, broken, loaded)
	totals, err := d.Drive(ctx, DriveOptions{Terminals: o.Terminals, Duration: o.Duration, Nodes: t.Nodes, Progress: part(o.Progress, 0.4, 0.95)})
	if err != nil {
		return err
	}
	o.Progress.Tell(0.95, "checking the consistency conditions")
	if broken, err = Check(ctx, d.DB, d.Scale, false); err != nil {
		return err
	}
	for _, b := range broken {
		judgeCondition(s, b)
	}
	after, err := d.books(ctx)
	if err != nil {
		return err
	}
	totals.judge(s, before, after)
	totals.report(s)
	return nil
}

// part maps a piece of work into a part of the whole.
func part(p qualify.Progress, from, to float64) qualify.Progress {
	if p == nil {
		return nil
	}
	return func(fraction float64, text string) { p(from+(to-from)*fraction, text) }
}

func (o *Options) limits(s *qualify.Section) {
	s.Limit("No audited TPC-C result, and not comparable with one: no keying and think times, %d terminals that are threads of this program, "+
		"deliveries run at once instead of from a queue, no pricing, no eight hours of steady state.", o.Terminals)
	if standard := Standard(o.Scale.Warehouses); o.Scale != standard {
		s.Limit("Less data than the specification's: %d customers a district instead of %d, %d items instead of %d.",
			o.Scale.Customers, standard.Customers, o.Scale.Items, standard.Items)
	}
}

// books are the sums that the load's own books are compared with.
type books struct {
	orders, history, open int64
	paid                  cents // W_YTD of all warehouses
}

func (d *Database) books(ctx context.Context) (b books, err error) {
	var paid string
	row := d.DB.QueryRowContext(ctx, `SELECT (SELECT COUNT(*) FROM orders), (SELECT COUNT(*) FROM history), (SELECT COUNT(*) FROM new_order),
		(SELECT SUM(w_ytd) FROM warehouse)`)
	if err := row.Scan(&b.orders, &b.history, &b.open, &paid); err != nil {
		return b, fmt.Errorf("add up the tables: %w", err)
	}
	b.paid, err = parseCents(paid)
	return b, err
}

func judgeFresh(s *qualify.Section, broken []Broken, loaded time.Duration) {
	var text string
	for _, b := range broken {
		if b.Rows > 0 {
			text += fmt.Sprintf("3.3.2.%d is broken by %d rows; ", b.Number, b.Rows)
		}
	}
	ok := text == ""
	if ok {
		text = fmt.Sprintf("all %d conditions hold; ", len(broken))
	}
	s.Add(ok, qualify.Check{
		ID: "tpcc.fresh", Title: "The freshly loaded data are consistent", Found: text + fmt.Sprintf("loaded in %.1f s", loaded.Seconds()),
		Wanted: "conditions 3.3.2.1 to 3.3.2.12", Why: "what is wrong from the start says nothing about transactions",
		Measures: []qualify.Measure{{Name: "load", Value: loaded.Seconds(), Unit: "s"}},
	})
}

func judgeCondition(s *qualify.Section, b Broken) {
	s.Add(b.Rows == 0, qualify.Check{
		ID: fmt.Sprintf("tpcc.3.3.2.%d", b.Number), Title: fmt.Sprintf("Condition 3.3.2.%d: %s", b.Number, b.Text),
		Found: fmt.Sprintf("%d rows break it", b.Rows), Wanted: "0",
		Why: "different statements of concurrent transactions wrote both sides; they must agree to the cent",
	})
}

// judge compares what was acknowledged with what is there.
func (t *Totals) judge(s *qualify.Section, before, after books) {
	orders, history, paid := after.orders-before.orders, after.history-before.history, int64(after.paid-before.paid)
	unknownOrders, unknownPayments := int64(t.Kinds[NewOrder].Unknown), int64(t.Kinds[Payment].Unknown)
	within := func(found, acknowledged, unknown int64) bool {
		return found >= acknowledged && found <= acknowledged+unknown
	}
	ok := within(orders, int64(t.Orders), unknownOrders) && within(history, int64(t.Payments), unknownPayments) &&
		(paid == t.Paid || unknownPayments > 0 && paid > t.Paid)
	delivered := before.open + orders - after.open
	ok = ok && (delivered == int64(t.Delivered) || t.Kinds[Delivery].Unknown > 0 && delivered > int64(t.Delivered))
	s.Add(ok, qualify.Check{
		ID: "tpcc.acknowledged", Title: "The tables agree with what was acknowledged",
		Found: fmt.Sprintf("orders %d acknowledged, %d there; payments %d, %d; amounts %v, %v; deliveries %d, %d; %d commits never answered",
			t.Orders, orders, t.Payments, history, cents(t.Paid), cents(paid), t.Delivered, delivered, t.unknown()),
		Wanted: "the same, but for commits that were never answered", Why: "nothing that was acknowledged may be lost or happen twice",
	})
	found := "none"
	if len(t.Errors) > 0 {
		found = errors.Join(t.Errors...).Error()
	}
	gaveUp := 0
	for _, k := range t.Kinds {
		gaveUp += k.GaveUp
	}
	s.Add(len(t.Errors) == 0 && gaveUp == 0, qualify.Check{
		ID: "tpcc.errors", Title: "Every transaction ended as it should", Found: fmt.Sprintf("errors: %s; given up after %d retries: %d", found, mostRetries, gaveUp),
		Wanted: "none", Why: "deadlocks and serialization failures are retried; anything else is unexpected",
	})
	s.Add(t.Kinds[NewOrder].Latency.Count() > 0 && t.Kinds[Payment].Latency.Count() > 0, qualify.Check{
		ID: "tpcc.load", Title: "There was a load", Found: fmt.Sprintf("%d orders, %d payments", t.Orders, t.Payments), Wanted: "some of each",
		Why: "conditions that nothing has tried to break say nothing",
	})
}

func (t *Totals) unknown() (n int) {
	for _, k := range t.Kinds {
		n += k.Unknown
	}
	return n
}

// report adds the numbers.
func (t *Totals) report(s *qualify.Section) {
	done := t.Kinds[NewOrder].Latency.Count()
	tpm := float64(done) / t.Took.Minutes()
	s.Note(qualify.Check{
		ID: "tpcc.tpm", Title: "New-Orders per minute", Found: fmt.Sprintf("%.0f in %.0f s (without think time: see the limits)", tpm, t.Took.Seconds()),
		Measures: []qualify.Measure{{Name: "new orders per minute", Value: tpm}},
	})
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	for k := range kinds {
		d := &t.Kinds[k]
		p50, p90, p99, most := ms(d.Latency.Quantile(0.5)), ms(d.Latency.Quantile(0.9)), ms(d.Latency.Quantile(0.99)), ms(d.Latency.Max())
		text := fmt.Sprintf("%d done; p50 %.1f ms, p90 %.1f ms, p99 %.1f ms, longest %.1f ms; %d retries", d.Latency.Count(), p50, p90, p99, most, d.Retries)
		if k == NewOrder {
			text += fmt.Sprintf("; %d rolled back as the specification asks", d.RolledBack)
		}
		s.Note(qualify.Check{
			ID: "tpcc." + k.String(), Title: k.String(), Found: text,
			Measures: []qualify.Measure{
				{Name: "done", Value: float64(d.Latency.Count())},
				{Name: "p50", Value: p50, Unit: "ms"},
				{Name: "p90", Value: p90, Unit: "ms"},
				{Name: "p99", Value: p99, Unit: "ms"},
				{Name: "longest", Value: most, Unit: "ms"},
				{Name: "retries", Value: float64(d.Retries)},
			},
		})
	}
}
