package tpcc

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
)

// orderLine is one line of an order as the customer wants it, and what the stock said.
type orderLine struct {
	number, item, supplier, quantity int
	amount                           cents
	dist                             string
}

// newOrder is clause 2.4: an order of 5 to 15 lines. The input is drawn before the first attempt, so that a retry
// repeats it.
func (t *terminal) newOrder() func(context.Context, *sql.Tx) (ledgerEntry, error) {
	d, c := t.between(1, districts), t.customerOf(t.db.Scale)
	lines := make([]orderLine, t.between(5, 15))
	local := 1
	for i := range lines {
		l := orderLine{number: i + 1, item: t.itemOf(t.db.Scale), supplier: t.warehouse, quantity: t.between(1, 10)}
		if t.IntN(100) == 0 {
			l.supplier = t.otherWarehouse()
		}
		if l.supplier != t.warehouse {
			local = 0
		}
		lines[i] = l
	}
	if t.IntN(100) == 0 {
		lines[len(lines)-1].item = t.db.Scale.Items + 1 // there is none
	}
	return func(ctx context.Context, tx *sql.Tx) (ledgerEntry, error) {
		return ledgerEntry{orders: 1}, t.placeOrder(ctx, tx, d, c, local, lines)
	}
}

func (t *terminal) placeOrder(ctx context.Context, tx *sql.Tx, d, c, local int, lines []orderLine) error {
	var order int
	var wTax, dTax, discount, last, credit string
	if err := t.query(ctx, tx, "order.warehouse", t.warehouse).Scan(&wTax); err != nil {
		return fmt.Errorf("the warehouse's tax: %w", err)
	}
	if err := t.query(ctx, tx, "order.customer", t.warehouse, d, c).Scan(&discount, &last, &credit); err != nil {
		return fmt.Errorf("the customer: %w", err)
	}
	if err := t.query(ctx, tx, "order.district", t.warehouse, d).Scan(&order, &dTax); err != nil {
		return fmt.Errorf("the next order number: %w", err)
	}
	if err := t.exec(ctx, tx, "order.next", 1, t.warehouse, d); err != nil {
		return err
	}
	if err := t.exec(ctx, tx, "order.insert", 1, t.warehouse, d, order, c, now(), len(lines), local); err != nil {
		return err
	}
	if err := t.exec(ctx, tx, "order.new", 1, t.warehouse, d, order); err != nil {
		return err
	}
	// Stock is taken in the order of its key, so that two orders do not wait for each other.
	sorted := slices.Clone(lines)
	slices.SortStableFunc(sorted, func(a, b orderLine) int {
		if a.supplier != b.supplier {
			return a.supplier - b.supplier
		}
		return a.item - b.item
	})
	for i := range sorted {
		if err := t.take(ctx, tx, d, &sorted[i]); err != nil {
			return err
		}
	}
	args := make([]any, 0, len(sorted)*9)
	for _, l := range sorted {
		args = append(args, t.warehouse, d, order, l.number, l.item, l.supplier, l.quantity, l.amount.String(), l.dist)
	}
	return t.exec(ctx, tx, fmt.Sprintf("order.lines.%d", len(lines)), int64(len(lines)), args...)
}

// take prices a line and takes its quantity from the stock.
func (t *terminal) take(ctx context.Context, tx *sql.Tx, d int, l *orderLine) error {
	var price, name, itemData, stockData string
	err := t.query(ctx, tx, "order.item", l.item).Scan(&price, &name, &itemData)
	if errors.Is(err, sql.ErrNoRows) && l.item > t.db.Scale.Items {
		return errRolledBack
	}
	if err != nil {
		return fmt.Errorf("item %d: %w", l.item, err)
	}
	each, err := parseCents(price)
	if err != nil {
		return err
	}
	l.amount = each * cents(l.quantity)
	var quantity int
	if err := t.query(ctx, tx, "order.stock."+columnOfDist(d), l.supplier, l.item).Scan(&quantity, &stockData, &l.dist); err != nil {
		return fmt.Errorf("stock of item %d: %w", l.item, err)
	}
	if quantity >= l.quantity+10 {
		quantity -= l.quantity
	} else {
		quantity += 91 - l.quantity
	}
	remote := 0
	if l.supplier != t.warehouse {
		remote = 1
	}
	return t.exec(ctx, tx, "order.take", 1, quantity, l.quantity, remote, l.supplier, l.item)
}
