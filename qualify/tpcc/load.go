package tpcc

import (
	"context"
	"fmt"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/sterlingrun/sterling/qualify"
)

// loader fills the tables, as clause 4.3.3.1 says.
type loader struct {
	*Database
	constants constants
	rows      atomic.Int64
	total     int64
	progress  qualify.Progress
}

// loaders is how many parts are loaded at a time.
const loaders = 2

// Load makes the tables and fills them. The schema must not have them yet.
func (d *Database) Load(ctx context.Context, progress qualify.Progress) error {
	if err := d.Scale.check(); err != nil {
		return err
	}
	if err := d.create(ctx); err != nil {
		return err
	}
	c, _ := bothConstants(d.Seed)
	s := d.Scale
	l := &loader{Database: d, constants: c, progress: progress}
	l.total = int64(s.Items) + int64(s.Warehouses)*(1+int64(s.Items)+districts*(1+int64(s.Customers)*14))
	work, loading := errgroup.WithContext(ctx)
	work.SetLimit(loaders)
	work.Go(func() error { return l.items(loading) })
	for w := 1; w <= s.Warehouses; w++ {
		work.Go(func() error { return l.warehouse(loading, w) })
		work.Go(func() error { return l.stock(loading, w) })
		work.Go(func() error { return l.customers(loading, w) })
		work.Go(func() error { return l.orders(loading, w) })
	}
	if err := work.Wait(); err != nil {
		return fmt.Errorf("load the data: %w", err)
	}
	return d.analyze(ctx)
}

// analyze lets the planner know the tables; without it the first transactions may scan them.
func (d *Database) analyze(ctx context.Context) error {
	word := "ANALYZE TABLE "
	if d.Dialect == qualify.PostgreSQL {
		word = "ANALYZE "
	}
	for _, table := range []string{"warehouse", "district", "customer", "history", "orders", "new_order", "order_line", "item", "stock"} {
		if _, err := d.DB.ExecContext(ctx, word+table); err != nil {
			return fmt.Errorf("analyse %s: %w", table, err)
		}
	}
	return nil
}

// into fills one table.
func (l *loader) into(ctx context.Context, table string, columns []string, fill func(row func(...any) error) error) error {
	b, err := l.bulk(ctx, table, columns...)
	if err != nil {
		return err
	}
	if err := fill(l.counting(b)); err != nil {
		b.abandon()
		return fmt.Errorf("load %s: %w", table, err)
	}
	if err := b.end(); err != nil {
		return fmt.Errorf("load %s: %w", table, err)
	}
	return nil
}

func (l *loader) counting(b bulk) func(...any) error {
	return func(values ...any) error {
		if n := l.rows.Add(1); n%1000 == 0 {
			l.progress.Tell(min(1, float64(n)/float64(l.total)), fmt.Sprintf("%d rows loaded", n))
		}
		return b.row(values...)
	}
}

// The streams of random numbers: one for each part, so that the data do not depend on which is loaded first.
const (
	streamItems = 1 + iota
	streamWarehouse
	streamStock
	streamCustomers
	streamOrders
	streams
)

func (l *loader) random(stream, w int) *random {
	return newRandom(l.Seed, uint64(w*streams+stream), l.constants) //nolint:gosec // small
}

func (l *loader) items(ctx context.Context) error {
	r := l.random(streamItems, 0)
	return l.into(ctx, "item", []string{"i_id", "i_im_id", "i_name", "i_price", "i_data"}, func(row func(...any) error) error {
		for i := 1; i <= l.Scale.Items; i++ {
			if err := row(i, r.between(1, 10_000), r.text(14, 24), cents(r.between(100, 10_000)), r.data()); err != nil {
				return err
			}
		}
		return nil
	})
}

func (l *loader) warehouse(ctx context.Context, w int) error {
	r := l.random(streamWarehouse, w)
	paid := cents(l.Scale.Customers * payment0) // by the customers of a district
	columns := []string{"w_id", "w_name", "w_street_1", "w_street_2", "w_city", "w_state", "w_zip", "w_tax", "w_ytd"}
	if err := l.into(ctx, "warehouse", columns, func(row func(...any) error) error {
		return row(w, r.text(6, 10), r.text(10, 20), r.text(10, 20), r.text(10, 20), r.text(2, 2), r.zip(), r.tax(), paid*districts)
	}); err != nil {
		return err
	}
	columns = []string{"d_w_id", "d_id", "d_name", "d_street_1", "d_street_2", "d_city", "d_state", "d_zip", "d_tax", "d_ytd", "d_next_o_id"}
	return l.into(ctx, "district", columns, func(row func(...any) error) error {
		for d := 1; d <= districts; d++ {
			if err := row(w, d, r.text(6, 10), r.text(10, 20), r.text(10, 20), r.text(10, 20), r.text(2, 2), r.zip(), r.tax(), paid, l.Scale.Customers+1); err != nil {
				return err
			}
		}
		return nil
	})
}

func (l *loader) stock(ctx context.Context, w int) error {
	r := l.random(streamStock, w)
	columns := []string{
		"s_w_id", "s_i_id", "s_quantity", "s_dist_01", "s_dist_02", "s_dist_03", "s_dist_04", "s_dist_05", "s_dist_06", "s_dist_07",
		"s_dist_08", "s_dist_09", "s_dist_10", "s_ytd", "s_order_cnt", "s_remote_cnt", "s_data",
	}
	return l.into(ctx, "stock", columns, func(row func(...any) error) error {
		for i := 1; i <= l.Scale.Items; i++ {
			values := []any{w, i, r.between(10, 100)}
			for range districts {
				values = append(values, r.text(24, 24))
			}
			if err := row(append(values, 0, 0, 0, r.data())...); err != nil {
				return err
			}
		}
		return nil
	})
}

// customers fills customer and history, one row each for everyone.
func (l *loader) customers(ctx context.Context, w int) error {
	r, at := l.random(streamCustomers, w), now()
	columns := []string{
		"c_w_id", "c_d_id", "c_id", "c_first", "c_middle", "c_last", "c_street_1", "c_street_2", "c_city", "c_state", "c_zip", "c_phone",
		"c_since", "c_credit", "c_credit_lim", "c_discount", "c_balance", "c_ytd_payment", "c_payment_cnt", "c_delivery_cnt", "c_data",
	}
	if err := l.into(ctx, "customer", columns, func(row func(...any) error) error {
		for d := 1; d <= districts; d++ {
			for c := 1; c <= l.Scale.Customers; c++ {
				last := lastName((c - 1) % 1000)
				if c > 1000 {
					last = r.lastOf(l.Scale)
				}
				credit := "GC"
				if r.IntN(10) == 0 {
					credit = "BC"
				}
				if err := row(w, d, c, r.text(8, 16), "OE", last, r.text(10, 20), r.text(10, 20), r.text(10, 20), r.text(2, 2), r.zip(), r.number(16),
					at, credit, cents(50_000_00), r.discount(), cents(-payment0), cents(payment0), 1, 0, r.text(300, 500)); err != nil {
					return err
				}
			}
		}
		return nil
	}); err != nil {
		return err
	}
	columns = []string{"h_id", "h_c_id", "h_c_d_id", "h_c_w_id", "h_d_id", "h_w_id", "h_date", "h_amount", "h_data"}
	return l.into(ctx, "history", columns, func(row func(...any) error) error {
		for d := 1; d <= districts; d++ {
			for c := 1; c <= l.Scale.Customers; c++ {
				id := int64(w)<<40 | int64(d)<<32 | int64(c) // below 2^62, where the load's begin
				if err := row(id, c, d, w, d, w, at, cents(payment0), r.text(12, 24)); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// orders fills orders, order_line and new_order, in this order.
func (l *loader) orders(ctx context.Context, w int) error {
	at := now()
	lines := make([]int, districts*l.Scale.Customers) // of each order
	r := l.random(streamOrders, w)
	if err := l.into(ctx, "orders", []string{"o_w_id", "o_d_id", "o_id", "o_c_id", "o_entry_d", "o_carrier_id", "o_ol_cnt", "o_all_local"}, func(row func(...any) error) error {
		for d := 1; d <= districts; d++ {
			for o, c := range r.Perm(l.Scale.Customers) {
				var carrier any
				if o < l.Scale.delivered() {
					carrier = r.between(1, 10)
				}
				n := r.between(5, 15)
				lines[(d-1)*l.Scale.Customers+o] = n
				if err := row(w, d, o+1, c+1, at, carrier, n, 1); err != nil {
					return err
				}
			}
		}
		return nil
	}); err != nil {
		return err
	}
	columns := []string{"ol_w_id", "ol_d_id", "ol_o_id", "ol_number", "ol_i_id", "ol_supply_w_id", "ol_delivery_d", "ol_quantity", "ol_amount", "ol_dist_info"}
	if err := l.into(ctx, "order_line", columns, func(row func(...any) error) error {
		for i, n := range lines {
			d, o := i/l.Scale.Customers+1, i%l.Scale.Customers+1
			for number := 1; number <= n; number++ {
				var delivery any = at
				amount := cents(0)
				if o > l.Scale.delivered() {
					delivery, amount = nil, cents(r.between(1, 999_999))
				}
				if err := row(w, d, o, number, r.between(1, l.Scale.Items), w, delivery, 5, amount, r.text(24, 24)); err != nil {
					return err
				}
			}
		}
		return nil
	}); err != nil {
		return err
	}
	return l.into(ctx, "new_order", []string{"no_w_id", "no_d_id", "no_o_id"}, func(row func(...any) error) error {
		for d := 1; d <= districts; d++ {
			for o := l.Scale.delivered() + 1; o <= l.Scale.Customers; o++ {
				if err := row(w, d, o); err != nil {
					return err
				}
			}
		}
		return nil
	})
}
