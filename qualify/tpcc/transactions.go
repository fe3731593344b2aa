package tpcc

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/sterlingrun/sterling/qualify"
)

// Kind is one of the five transactions.
type Kind int

// The transactions, in the specification's order.
const (
	NewOrder Kind = iota
	Payment
	OrderStatus
	Delivery
	StockLevel
	kinds
)

// String returns the specification's name.
func (k Kind) String() string {
	return [...]string{"New-Order", "Payment", "Order-Status", "Delivery", "Stock-Level"}[k]
}

// errRolledBack ends the one New-Order in a hundred that names an item which does not exist: it is rolled back, and
// counts as done (clause 2.4.2.3).
var errRolledBack = errors.New("rolled back as asked: an item does not exist")

// ledgerEntry is what a committed transaction did, for the books of the load.
type ledgerEntry struct {
	orders    int
	paid      cents
	delivered int
}

// statements of one dialect.
type statements map[string]string

func (s statements) add(d qualify.Dialect, name, query string) { s[name] = d.Rebind(query) }

// terminal runs one transaction at a time. It is not safe for concurrent use.
type terminal struct {
	*random
	db        *Database
	node      *sql.DB
	warehouse int // at home
	history   int64
	sql       statements
}

// columnsOfDist are S_DIST_01 to S_DIST_10.
func columnOfDist(d int) string { return fmt.Sprintf("s_dist_%02d", d) }

func prepare(d qualify.Dialect) statements {
	s := statements{}
	for name, query := range map[string]string{
		"order.warehouse": `SELECT w_tax FROM warehouse WHERE w_id = ?`,
		"order.district":  `SELECT d_next_o_id, d_tax FROM district WHERE d_w_id = ? AND d_id = ? FOR UPDATE`,
		"order.next":      `UPDATE district SET d_next_o_id = d_next_o_id + 1 WHERE d_w_id = ? AND d_id = ?`,
		"order.customer":  `SELECT c_discount, c_last, c_credit FROM customer WHERE c_w_id = ? AND c_d_id = ? AND c_id = ?`,
		"order.insert":    `INSERT INTO orders (o_w_id, o_d_id, o_id, o_c_id, o_entry_d, o_carrier_id, o_ol_cnt, o_all_local) VALUES (?, ?, ?, ?, ?, NULL, ?, ?)`,
		"order.new":       `INSERT INTO new_order (no_w_id, no_d_id, no_o_id) VALUES (?, ?, ?)`,
		"order.item":      `SELECT i_price, i_name, i_data FROM item WHERE i_id = ?`,
		"order.take": `UPDATE stock SET s_quantity = ?, s_ytd = s_ytd + ?, s_order_cnt = s_order_cnt + 1, s_remote_cnt = s_remote_cnt + ?
			WHERE s_w_id = ? AND s_i_id = ?`,
		"payment.warehouse": `UPDATE warehouse SET w_ytd = w_ytd + ? WHERE w_id = ?`,
		"payment.w":         `SELECT w_name, w_street_1, w_street_2, w_city, w_state, w_zip FROM warehouse WHERE w_id = ?`,
		"payment.district":  `UPDATE district SET d_ytd = d_ytd + ? WHERE d_w_id = ? AND d_id = ?`,
		"payment.d":         `SELECT d_name, d_street_1, d_street_2, d_city, d_state, d_zip FROM district WHERE d_w_id = ? AND d_id = ?`,
		"payment.customer":  `SELECT c_credit, c_data FROM customer WHERE c_w_id = ? AND c_d_id = ? AND c_id = ? FOR UPDATE`,
		"payment.pay": `UPDATE customer SET c_balance = c_balance - ?, c_ytd_payment = c_ytd_payment + ?, c_payment_cnt = c_payment_cnt + 1, c_data = ?
			WHERE c_w_id = ? AND c_d_id = ? AND c_id = ?`,
		"payment.history": `INSERT INTO history (h_id, h_c_id, h_c_d_id, h_c_w_id, h_d_id, h_w_id, h_date, h_amount, h_data) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		"by.name":         `SELECT c_id FROM customer WHERE c_w_id = ? AND c_d_id = ? AND c_last = ? ORDER BY c_first, c_id`,
		"status.customer": `SELECT c_balance, c_first, c_middle, c_last FROM customer WHERE c_w_id = ? AND c_d_id = ? AND c_id = ?`,
		"status.order": `SELECT o_id, o_entry_d, o_carrier_id FROM orders WHERE o_w_id = ? AND o_d_id = ? AND o_c_id = ?
			ORDER BY o_id DESC LIMIT 1`,
		"status.lines":      `SELECT ol_i_id, ol_supply_w_id, ol_quantity, ol_amount, ol_delivery_d FROM order_line WHERE ol_w_id = ? AND ol_d_id = ? AND ol_o_id = ?`,
		"delivery.oldest":   `SELECT no_o_id FROM new_order WHERE no_w_id = ? AND no_d_id = ? ORDER BY no_o_id LIMIT 1 FOR UPDATE`,
		"delivery.delete":   `DELETE FROM new_order WHERE no_w_id = ? AND no_d_id = ? AND no_o_id = ?`,
		"delivery.customer": `SELECT o_c_id FROM orders WHERE o_w_id = ? AND o_d_id = ? AND o_id = ?`,
		"delivery.order":    `UPDATE orders SET o_carrier_id = ? WHERE o_w_id = ? AND o_d_id = ? AND o_id = ?`,
		"delivery.lines":    `UPDATE order_line SET ol_delivery_d = ? WHERE ol_w_id = ? AND ol_d_id = ? AND ol_o_id = ?`,
		"delivery.sum":      `SELECT SUM(ol_amount) FROM order_line WHERE ol_w_id = ? AND ol_d_id = ? AND ol_o_id = ?`,
		"delivery.balance": `UPDATE customer SET c_balance = c_balance + ?, c_delivery_cnt = c_delivery_cnt + 1
			WHERE c_w_id = ? AND c_d_id = ? AND c_id = ?`,
		"stock.next": `SELECT d_next_o_id FROM district WHERE d_w_id = ? AND d_id = ?`,
		"stock.low": `SELECT COUNT(DISTINCT s_i_id) FROM order_line JOIN stock ON s_w_id = ? AND s_i_id = ol_i_id
			WHERE ol_w_id = ? AND ol_d_id = ? AND ol_o_id >= ? AND ol_o_id < ? AND s_quantity < ?`,
	} {
		s.add(d, name, query)
	}
	for district := 1; district <= districts; district++ {
		s.add(d, "order.stock."+columnOfDist(district), strings.ReplaceAll(
			`SELECT s_quantity, s_data, DIST FROM stock WHERE s_w_id = ? AND s_i_id = ? FOR UPDATE`, "DIST", columnOfDist(district)))
	}
	for n := 5; n <= 15; n++ {
		s.add(d, fmt.Sprintf("order.lines.%d", n), `INSERT INTO order_line (ol_w_id, ol_d_id, ol_o_id, ol_number, ol_i_id, ol_supply_w_id,
			ol_delivery_d, ol_quantity, ol_amount, ol_dist_info) VALUES (?, ?, ?, ?, ?, ?, NULL, ?, ?, ?)`+
			strings.Repeat(", (?, ?, ?, ?, ?, ?, NULL, ?, ?, ?)", n-1))
	}
	return s
}

// query is a row of a named statement.
func (t *terminal) query(ctx context.Context, tx *sql.Tx, name string, args ...any) *sql.Row {
	return tx.QueryRowContext(ctx, t.sql[name], args...)
}

// exec runs a named statement that has to change exactly n rows.
func (t *terminal) exec(ctx context.Context, tx *sql.Tx, name string, n int64, args ...any) error {
	result, err := tx.ExecContext(ctx, t.sql[name], args...)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	changed, err := result.RowsAffected()
	if err == nil && changed != n {
		err = fmt.Errorf("%d rows changed, want %d", changed, n)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// once runs one attempt of a transaction. committing tells that COMMIT was sent: if it failed, nobody knows.
func (t *terminal) once(ctx context.Context, work func(context.Context, *sql.Tx) error) (committing bool, err error) {
	tx, err := t.node.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelReadCommitted})
	if err != nil {
		return false, err
	}
	if err := work(ctx, tx); err != nil {
		_ = tx.Rollback() // the first error tells more
		return false, err
	}
	return true, tx.Commit()
}

// byName finds the customer in the middle of those with a last name (clause 2.5.2.2).
func (t *terminal) byName(ctx context.Context, tx *sql.Tx, w, d int, last string) (id int, err error) {
	rows, err := tx.QueryContext(ctx, t.sql["by.name"], w, d, last)
	if err != nil {
		return 0, fmt.Errorf("customers by name: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	var ids []int
	for rows.Next() {
		if err := rows.Scan(&id); err != nil {
			return 0, fmt.Errorf("customers by name: %w", err)
		}
		ids = append(ids, id)
	}
	if err := rows.Err(); err != nil {
		return 0, fmt.Errorf("customers by name: %w", err)
	}
	if len(ids) == 0 {
		return 0, fmt.Errorf("no customer of district %d of warehouse %d has the last name %s: %w", d, w, last, sql.ErrNoRows)
	}
	return ids[(len(ids)-1)/2], nil
}

// chooseCustomer draws a customer: six times in ten by last name, which has to be looked up.
func (t *terminal) chooseCustomer() (id int, last string) {
	if t.IntN(10) < 6 {
		return 0, t.lastOf(t.db.Scale)
	}
	return t.customerOf(t.db.Scale), ""
}

func (t *terminal) findCustomer(ctx context.Context, tx *sql.Tx, w, d, id int, last string) (int, error) {
	if id > 0 {
		return id, nil
	}
	return t.byName(ctx, tx, w, d, last)
}

// otherWarehouse draws one that is not home; home where there is no other.
func (t *terminal) otherWarehouse() int {
	if t.db.Scale.Warehouses == 1 {
		return t.warehouse
	}
	w := t.between(1, t.db.Scale.Warehouses-1)
	if w >= t.warehouse {
		w++
	}
	return w
}
