package tpcc

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
)

// payment is clause 2.5: a customer pays, which changes the totals of a warehouse and a district.
func (t *terminal) payment() func(context.Context, *sql.Tx) (ledgerEntry, error) {
	d := t.between(1, districts)
	cw, cd := t.warehouse, d
	if t.IntN(100) < 15 && t.db.Scale.Warehouses > 1 {
		cw, cd = t.otherWarehouse(), t.between(1, districts)
	}
	id, last := t.chooseCustomer()
	amount := cents(t.between(100, 500_000))
	t.history++
	number := t.history
	return func(ctx context.Context, tx *sql.Tx) (ledgerEntry, error) {
		entry := ledgerEntry{paid: amount}
		wName, err := t.payTo(ctx, tx, "payment.warehouse", "payment.w", amount, t.warehouse)
		if err != nil {
			return entry, err
		}
		dName, err := t.payTo(ctx, tx, "payment.district", "payment.d", amount, t.warehouse, d)
		if err != nil {
			return entry, err
		}
		c, err := t.findCustomer(ctx, tx, cw, cd, id, last)
		if err != nil {
			return entry, err
		}
		var credit, data string
		if err := t.query(ctx, tx, "payment.customer", cw, cd, c).Scan(&credit, &data); err != nil {
			return entry, fmt.Errorf("the customer: %w", err)
		}
		if credit == "BC" {
			data = fmt.Sprintf("%d %d %d %d %d %v|%s", c, cd, cw, d, t.warehouse, amount, data)
			data = data[:min(len(data), 500)]
		}
		if err := t.exec(ctx, tx, "payment.pay", 1, amount.String(), amount.String(), data, cw, cd, c); err != nil {
			return entry, err
		}
		return entry, t.exec(ctx, tx, "payment.history", 1, number, c, cd, cw, d, t.warehouse, now(), amount.String(), wName+"    "+dName)
	}
}

// payTo adds an amount to a total and returns the name of whose it is.
func (t *terminal) payTo(ctx context.Context, tx *sql.Tx, update, look string, amount cents, key ...any) (name string, err error) {
	if err := t.exec(ctx, tx, update, 1, append([]any{amount.String()}, key...)...); err != nil {
		return "", err
	}
	var street1, street2, city, state, zip string
	if err := t.query(ctx, tx, look, key...).Scan(&name, &street1, &street2, &city, &state, &zip); err != nil {
		return "", fmt.Errorf("%s: %w", look, err)
	}
	return name, nil
}

// orderStatus is clause 2.6: a customer asks for the last order.
func (t *terminal) orderStatus() func(context.Context, *sql.Tx) (ledgerEntry, error) {
	d := t.between(1, districts)
	id, last := t.chooseCustomer()
	return func(ctx context.Context, tx *sql.Tx) (ledgerEntry, error) {
		c, err := t.findCustomer(ctx, tx, t.warehouse, d, id, last)
		if err != nil {
			return ledgerEntry{}, err
		}
		var balance, first, middle, name string
		if err := t.query(ctx, tx, "status.customer", t.warehouse, d, c).Scan(&balance, &first, &middle, &name); err != nil {
			return ledgerEntry{}, fmt.Errorf("the customer: %w", err)
		}
		var order int
		var entered sql.NullTime
		var carrier sql.NullInt64
		if err := t.query(ctx, tx, "status.order", t.warehouse, d, c).Scan(&order, &entered, &carrier); err != nil {
			return ledgerEntry{}, fmt.Errorf("the last order: %w", err)
		}
		return ledgerEntry{}, t.readLines(ctx, tx, d, order)
	}
}

func (t *terminal) readLines(ctx context.Context, tx *sql.Tx, d, order int) (err error) {
	rows, err := tx.QueryContext(ctx, t.sql["status.lines"], t.warehouse, d, order)
	if err != nil {
		return fmt.Errorf("the order's lines: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	lines := 0
	for rows.Next() {
		var item, supplier, quantity int
		var amount string
		var delivered sql.NullTime
		if err := rows.Scan(&item, &supplier, &quantity, &amount, &delivered); err != nil {
			return fmt.Errorf("the order's lines: %w", err)
		}
		lines++
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("the order's lines: %w", err)
	}
	if lines == 0 {
		return fmt.Errorf("order %d of district %d has no lines", order, d)
	}
	return nil
}

// delivery is clause 2.7: the oldest new order of every district of a warehouse, all in one transaction.
func (t *terminal) delivery() func(context.Context, *sql.Tx) (ledgerEntry, error) {
	carrier := t.between(1, 10)
	return func(ctx context.Context, tx *sql.Tx) (entry ledgerEntry, err error) {
		for d := 1; d <= districts; d++ {
			order, err := t.oldest(ctx, tx, d)
			if errors.Is(err, sql.ErrNoRows) {
				continue // nothing to deliver here (clause 2.7.4.2)
			}
			if err != nil {
				return entry, err
			}
			if err := t.deliver(ctx, tx, d, order, carrier); err != nil {
				return entry, err
			}
			entry.delivered++
		}
		return entry, nil
	}
}

// oldest locks a district's oldest new order. At read committed, whoever waited for another delivery finds the row it
// waited for gone, and has to look once more.
func (t *terminal) oldest(ctx context.Context, tx *sql.Tx, d int) (order int, err error) {
	for range 3 {
		if err = t.query(ctx, tx, "delivery.oldest", t.warehouse, d).Scan(&order); !errors.Is(err, sql.ErrNoRows) {
			break
		}
	}
	if err != nil {
		return 0, fmt.Errorf("the oldest new order: %w", err)
	}
	return order, nil
}

func (t *terminal) deliver(ctx context.Context, tx *sql.Tx, d, order, carrier int) error {
	if err := t.exec(ctx, tx, "delivery.delete", 1, t.warehouse, d, order); err != nil {
		return err
	}
	var c int
	if err := t.query(ctx, tx, "delivery.customer", t.warehouse, d, order).Scan(&c); err != nil {
		return fmt.Errorf("whose order %d is: %w", order, err)
	}
	if err := t.exec(ctx, tx, "delivery.order", 1, carrier, t.warehouse, d, order); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, t.sql["delivery.lines"], now(), t.warehouse, d, order); err != nil {
		return fmt.Errorf("the date of delivery: %w", err)
	}
	var sum string
	if err := t.query(ctx, tx, "delivery.sum", t.warehouse, d, order).Scan(&sum); err != nil {
		return fmt.Errorf("the order's amount: %w", err)
	}
	return t.exec(ctx, tx, "delivery.balance", 1, sum, t.warehouse, d, c)
}

// stockLevel is clause 2.8: how many items of a district's last 20 orders run low.
func (t *terminal) stockLevel() func(context.Context, *sql.Tx) (ledgerEntry, error) {
	d, threshold := t.between(1, districts), t.between(10, 20)
	return func(ctx context.Context, tx *sql.Tx) (ledgerEntry, error) {
		var next, low int
		if err := t.query(ctx, tx, "stock.next", t.warehouse, d).Scan(&next); err != nil {
			return ledgerEntry{}, fmt.Errorf("the next order number: %w", err)
		}
		if err := t.query(ctx, tx, "stock.low", t.warehouse, t.warehouse, d, next-20, next, threshold).Scan(&low); err != nil {
			return ledgerEntry{}, fmt.Errorf("the stock that runs low: %w", err)
		}
		return ledgerEntry{}, nil
	}
}
